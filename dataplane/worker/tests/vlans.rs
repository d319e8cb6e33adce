//! Two tenants with the same inner addresses share one interface by VLAN, and never mix.

use std::net::IpAddr;
use std::num::NonZeroU8;
use std::sync::Arc;

use aead::Suite;
use bordergate_worker::{DropReason, Handle, Options, Sleep, Worker, worker};
use esp::{HeaderRules, InboundSa, OutboundSa, OuterHeader};
use port::{MemoryOptions, MemoryPort};
use proptest::prelude::*;
use tables::{
    Attachment, AttachmentIndex, Gateway, GatewayIndex, Inbound, NextHop, Outbound, PortIndex, PortRole, Publisher,
    Route, RouteIndex, RouteTable, SaSlot, Seen, Selectors, SlotTable, Snapshot, TrafficSelector, TunnelGroup,
    TunnelIndex, Vlans, publication,
};
use wire::{EtherType, LinkHeader, MacAddress, Spi, Tag};

const OURS: MacAddress = MacAddress([2, 0, 0, 0, 0, 2]);
/// The VLAN of each tenant; the third has the frames without a tag.
const VLANS: [u16; 3] = [100, 200, 0];
/// Whose frames have a tag.
const TAGGED: [bool; 3] = [true, true, false];
const HOST: [u8; 4] = [10, 1, 0, 2];
const PEER: [u8; 4] = [10, 2, 0, 2];

struct Trunk {
    worker: Worker<MemoryPort>,
    handle: Handle,
    _publisher: Publisher<Snapshot>,
}

fn spi(tenant: usize) -> Spi {
    Spi::new(0x1230_0000 + tenant as u32).unwrap()
}

/// The MAC of each tenant's host.
fn mac(tenant: usize) -> MacAddress {
    MacAddress([2, 0, 0, 0, 1, tenant as u8])
}

/// Each tenant's tunnel is sealed and opened with the same key, so that what leaves can be let in again.
fn key(tenant: usize) -> [u8; 16] {
    [tenant as u8 + 1; 16]
}

fn selectors() -> Selectors {
    let all = || [TrafficSelector::new([0; 4].into(), [255; 4].into(), None, 0..=u16::MAX).unwrap()];
    Selectors::new(all(), all())
}

/// What the tenant's tunnel brings is expected to leave with a tag, or without.
fn inbound(tenant: usize, tagged: bool) -> (usize, Inbound) {
    let suite = Suite::Aes128Gcm16;
    let (key, salt) = (&key(tenant), [0; 4]);
    let sa = InboundSa::new(esp::Inbound { spi: spi(tenant), suite, key, salt, extended: true, replay_window: 4096 });
    let number = tenant as u32;
    let (tunnel, gateway) = (TunnelIndex(number), GatewayIndex(number));
    let mut made = Inbound::new(Arc::new(sa.unwrap()), tunnel, gateway, PortIndex(1), selectors());
    made.tagged = tagged;
    (tenant, made)
}

fn outbound(tenant: usize) -> (usize, Outbound) {
    let suite = Suite::Aes128Gcm16;
    let (key, salt) = (&key(tenant), [0; 4]);
    let parts = esp::Outbound { spi: spi(tenant), suite, key, salt, extended: true, packets: None };
    let link = LinkHeader::new(MacAddress([2; 6]), OURS, None, EtherType::IPV4);
    let header = OuterHeader::new(link.bytes(), [1; 4].into(), [2; 4].into(), None, HeaderRules::default()).unwrap();
    let sa = Arc::new(OutboundSa::new(parts).unwrap());
    let (slot, port) = (SaSlot::of(8 + tenant as u32), PortIndex(0));
    let selectors = selectors();
    (
        tenant,
        Outbound {
            header: Ok(header),
            longest: 1400,
            segments: [0; 2],
            limited: false,
            alike: NonZeroU8::MIN,
            slot,
            port,
            sa,
            selectors,
        },
    )
}

/// With so many prefixes more, of single hosts.
fn gateway(tenant: u32, more: u16) -> (usize, Gateway) {
    // The way into the tunnel lies over that to the VPC too, so that what one tunnel brings goes to the VPC.
    let routes = [Route::Attachment(AttachmentIndex(tenant)), Route::Tunnels(TunnelGroup::from(TunnelIndex(tenant)))];
    let prefixes = [("10.1.0.0/16", 0), ("10.2.0.0/16", 1)];
    let prefixes = prefixes.map(|(prefix, route)| (prefix.parse().unwrap(), RouteIndex(route)));
    let hosts = (0..more).map(|host| format!("10.4.{}.{}/32", host >> 8, host & 0xff).parse().unwrap());
    let prefixes = prefixes.into_iter().chain(hosts.map(|host| (host, RouteIndex(1))));
    (tenant as usize, RouteTable::new(routes, prefixes).into())
}

impl Trunk {
    fn new(learns: bool) -> Self {
        Self::with(learns, 0, TAGGED)
    }

    fn with(learns: bool, prefixes: u16, tagged: [bool; 3]) -> Self {
        let attachment = |tenant: usize| {
            let tag = Tag::new(VLANS[tenant], 0).filter(|tag| tag.vlan() != 0);
            let host = (IpAddr::from(HOST), LinkHeader::new(mac(tenant), OURS, tag, EtherType::IPV4));
            let known: &[_] = if learns { &[] } else { &[host] };
            let routes = [("10.1.0.0/16".parse().unwrap(), NextHop::OnLink)];
            let mut made = Attachment::new(GatewayIndex(tenant as u32), PortIndex(1), &routes, known);
            made.learns = learns;
            made
        };
        let vlans = Vlans::new(VLANS.into_iter().zip((0..).map(AttachmentIndex)));
        let snapshot = Snapshot {
            ports: Arc::new([PortRole::Wan, PortRole::Vpc(vlans)]),
            inbound: (0..3).map(|tenant| inbound(tenant, tagged[tenant])).collect(),
            tunnels: (0..3).map(outbound).collect(),
            further: SlotTable::default(),
            limits: SlotTable::default(),
            gateways: (0..3).map(|tenant| gateway(tenant, prefixes)).collect(),
            attachments: (0..3).map(attachment).collect(),
            capture: None,
        };
        let (publisher, mut readers) = publication(snapshot, 1);
        let options = MemoryOptions { frame_size: 2048, rx_frames: 128, tx_frames: 128 };
        let ports = (0..2).map(|_| MemoryPort::new(options)).collect();
        let options = Options { batch: 64, sleep: Sleep::Never, slots: 16 };
        let (worker, handle) = worker(ports, readers.pop().unwrap(), options).unwrap();
        Self { worker, handle, _publisher: publisher }
    }

    fn pass(&mut self, port: usize, frames: &[Vec<u8>]) -> Vec<Vec<u8>> {
        frames.iter().for_each(|frame| self.worker.ports()[port].inject(frame).unwrap());
        self.worker.poll();
        self.worker.ports()[1 - port].drain()
    }

    fn drops(&self, reason: DropReason) -> u64 {
        self.handle.counters().drops[reason as usize]
    }
}

/// An IPv4 packet, its number in the payload.
fn packet(source: [u8; 4], destination: [u8; 4], number: u8) -> Vec<u8> {
    let mut packet = vec![0x45, 0, 0, 29, 0, 0, 0, 0, 64, 17, 0, 0];
    packet.extend(source.into_iter().chain(destination).chain([0, 9, 0, 9, 0, 9, 0, 0, number]));
    let checksum = wire::checksum::ipv4_header(&packet[..20]);
    packet[10..12].copy_from_slice(&checksum.to_be_bytes());
    packet
}

/// A frame as a tenant's host sends it.
fn frame(tenant: usize, tags: &[u8], packet: &[u8]) -> Vec<u8> {
    [&OURS.0[..], &mac(tenant).0, tags, &[8, 0], packet].concat()
}

fn tag(vlan: u16) -> Vec<u8> {
    if vlan == 0 { Vec::new() } else { [[0x81, 0], vlan.to_be_bytes()].concat() }
}

/// The indices of sealed packets; those of different tunnels leave in any order.
fn by_tunnel(sealed: &[Vec<u8>]) -> Vec<Vec<u8>> {
    sorted(sealed.iter().map(|frame| frame[34..38].to_vec()).collect())
}

fn sorted(mut spis: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    spis.sort_unstable();
    spis
}

proptest! {
    /// In whatever order their packets come, and whatever link headers are expected: each is sealed for its own tenant's tunnel and comes
    /// back in its own VLAN.
    #[test]
    fn tenants_of_one_interface_never_mix(order in prop::collection::vec(0..3_usize, 1..64), tagged in any::<[bool; 3]>()) {
        let mut trunk = Trunk::with(false, 0, tagged);
        let frames: Vec<_> = (0..).zip(&order)
            .map(|(number, tenant)| frame(*tenant, &tag(VLANS[*tenant]), &packet(HOST, PEER, number)))
            .collect();
        let sealed = trunk.pass(1, &frames);
        let expected: Vec<_> = order.iter().map(|tenant| spi(*tenant).value().to_be_bytes().to_vec()).collect();
        prop_assert_eq!(by_tunnel(&sealed), sorted(expected));

        // What each peer sends back is what it got, with the addresses exchanged by routing: the VPC is in both directions.
        let back = Trunk::back(&order);
        let delivered = trunk.pass(0, &back);
        prop_assert_eq!(delivered.len(), order.len());
        let mut seen = [const { Vec::new() }; 3];
        for frame in &delivered {
            let tenant = (0..3).find(|tenant| frame.starts_with(&mac(*tenant).0)).expect("a tenant's host");
            let tags = tag(VLANS[tenant]);
            prop_assert_eq!(&frame[6..12], OURS.0);
            prop_assert_eq!(&frame[12..12 + tags.len()], &tags[..]);
            let inner = &frame[14 + tags.len()..];
            prop_assert_eq!(inner.len(), 29);
            seen[tenant].push(inner[28]);
        }
        for (tenant, seen) in seen.into_iter().enumerate() {
            let own = (0..).zip(&order).filter(|(_, other)| **other == tenant).map(|(number, _)| number);
            prop_assert_eq!(seen, own.collect::<Vec<u8>>(), "as they came");
        }
        prop_assert_eq!(trunk.handle.counters().dropped, 0);
    }
}

impl Trunk {
    /// What the peers send, one packet each in this order: sealed by a worker whose routes are the peers'.
    fn back(order: &[usize]) -> Vec<Vec<u8>> {
        let sas: Vec<_> = (0..3).map(outbound).collect();
        let mut frames = Vec::new();
        for (number, tenant) in (0..).zip(order) {
            let (_, way) = &sas[*tenant];
            let inner = packet(PEER, HOST, number);
            let header = way.header.as_ref().unwrap();
            let mut frame = vec![0; 256];
            let sequence = way.sa.take_sequence(1).unwrap();
            let mut sealing = esp::Sealing::default();
            let length = sealing.push(&way.sa, header, sequence, &inner, &mut frame);
            sealing.finish();
            frame.truncate(length);
            frames.push(frame);
        }
        frames
    }
}

/// Where there are many prefixes the ways are looked up ahead. Each packet goes its own way all the same, and what has none is
/// dropped.
#[test]
fn what_is_looked_up_ahead_is_each_packets_own() {
    for prefixes in [0, 600] {
        let mut trunk = Trunk::with(false, prefixes, TAGGED);
        let (mut unrouted, mut destinations) = (0, 0..u16::MAX);
        for _ in 0..40 {
            let mut expected = Vec::new();
            let frames: Vec<_> = (0..64_u8)
                .map(|number| {
                    let tenant = usize::from(number / 2) % 3;
                    let [high, low] = destinations.next().unwrap().to_be_bytes();
                    let network = match number % 7 {
                        6 => 3,
                        5 if prefixes == 0 => 3,
                        5 => 4,
                        _ => 2,
                    };
                    if network == 3 {
                        unrouted += 1;
                    } else {
                        expected.push(spi(tenant).value().to_be_bytes().to_vec());
                    }
                    // The further prefixes are of 32 bits.
                    let (high, low) = if network == 4 { (number % 2, low) } else { (high, low) };
                    frame(tenant, &tag(VLANS[tenant]), &packet(HOST, [10, network, high, low], number))
                })
                .collect();
            let sealed = trunk.pass(1, &frames);
            assert_eq!(by_tunnel(&sealed), sorted(expected));
        }
        assert_eq!((trunk.drops(DropReason::NoRoute), trunk.handle.counters().dropped), (unrouted, unrouted));
    }
}

#[test]
fn frames_of_other_vlans_are_nobodys() {
    let mut trunk = Trunk::new(false);
    let inner = packet(HOST, PEER, 0);
    let others: [&[u8]; 5] = [
        &[0x81, 0, 0, 99],
        &[0x81, 0, 0x0f, 0xff],
        // A provider's VLAN (IEEE 802.1ad) of a tenant's number, and a tenant's VLAN within another.
        &[0x88, 0xa8, 0, 100],
        &[0x88, 0xa8, 0, 7, 0x81, 0, 0, 100],
        &[0x81, 0, 0, 100, 0x81, 0, 0, 200],
    ];
    let frames: Vec<_> = others.iter().map(|tags| frame(0, tags, &inner)).collect();
    assert!(trunk.pass(1, &frames).is_empty());
    assert_eq!(trunk.drops(DropReason::UnknownVlan), 5);
    // A priority makes no other VLAN, and a priority alone none at all.
    assert_eq!(
        trunk.pass(1, &[frame(0, &[0x81, 0, 0xe0, 100], &inner), frame(2, &[0x81, 0, 0xe0, 0], &inner)]).len(),
        2
    );
}

#[test]
fn neighbours_are_learnt_in_their_own_vlan_and_the_kernel_is_not_asked() {
    let mut trunk = Trunk::new(true);
    let frames: Vec<_> = [1, 0, 1].map(|tenant| frame(tenant, &tag(VLANS[tenant]), &packet(HOST, PEER, 0))).to_vec();
    trunk.pass(1, &frames);
    for tenant in [1, 0, 1] {
        let attachment = AttachmentIndex(tenant as u32);
        assert_eq!(trunk.handle.seen(), Some(Seen { attachment, address: HOST.into(), mac: mac(tenant) }));
    }
    // Each of those behind one another, too.
    let hosts = [[10, 1, 0, 3], [10, 1, 0, 4], [10, 1, 0, 5]];
    trunk.pass(1, &hosts.map(|host| frame(0, &tag(VLANS[0]), &packet(host, PEER, 0))));
    for host in hosts {
        let address = host.into();
        assert_eq!(trunk.handle.seen(), Some(Seen { attachment: AttachmentIndex(0), address, mac: mac(0) }));
    }
    assert_eq!(trunk.handle.seen(), None);
    // A group is nobody's address (RFC 1812 §3.3.2), and who is not on the link is not a neighbour.
    let mut group = frame(0, &tag(100), &packet(HOST, PEER, 0));
    group[6] |= 1;
    trunk.pass(1, &[group, frame(0, &tag(100), &packet([10, 9, 0, 1], PEER, 0))]);
    assert_eq!(trunk.handle.seen(), None);
    trunk.pass(0, &Trunk::back(&[0]));
    assert_eq!((trunk.drops(DropReason::NeighbourUnresolved), trunk.handle.unresolved()), (1, None));
}

#[test]
fn what_is_known_is_not_told_again() {
    let mut trunk = Trunk::new(false);
    trunk.pass(1, &[frame(0, &tag(100), &packet(HOST, PEER, 0))]);
    assert_eq!(trunk.handle.seen(), None);
}
