//! A small house over memory ports for tests: one border gateway, two attachments, tunnels to one peer.

use std::iter;
use std::net::IpAddr;
use std::num::NonZeroU8;
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use aead::Suite;
use bordergate_worker::{DropReason, Handle, Options, Sleep, Worker, worker};
use esp::{Encapsulation, HeaderRules, InboundSa, OutboundSa, OuterHeader};
use port::{MemoryOptions, MemoryPort};
use tables::{
    Attachment, AttachmentIndex, Capture, Gateway, GatewayIndex, Inbound, NextHop, Outbound, PortIndex, PortRole,
    PrefixSet, Publisher, Route, RouteIndex, RouteTable, SaSlot, Selectors, Snapshot, Traffic, TrafficSelector,
    TunnelGroup, TunnelIndex, TunnelLimits, Vlans, publication,
};
use wire::{EtherType, LinkHeader, MacAddress, Spi};

pub const WAN: usize = 0;
pub const VPC: usize = 1;

/// Both directions use this index, so that what the house seals it can also open.
pub const SPI: u32 = 0x1230_0005;
/// Two tunnels with equal shares; the second is never up.
pub const PAIR: [(TunnelIndex, NonZeroU8); 2] = [(TunnelIndex(0), NonZeroU8::MIN), (TunnelIndex(1), NonZeroU8::MIN)];
/// The outbound index of the association with this number among those with the same selectors.
pub const fn spi_of(number: u32) -> u32 {
    SPI + (number << 8)
}
pub const KEY: [u8; 16] = [7; 16];
/// The index of the tunnel with this number, both ways: that of the first is [`SPI`].
const fn spi_of_tunnel(number: u8) -> u32 {
    SPI + if number == 0 { 0 } else { 3 + number as u32 }
}
/// Where the associations of the tunnel with this number are counted, outbound and inbound.
pub fn slots_of_tunnel(number: u8) -> [SaSlot; 2] {
    [SaSlot::of(if number == 0 { 6 } else { 11 + u32::from(number) }), SaSlot::of(spi_of_tunnel(number))]
}

/// What the associations are for.
#[derive(Debug, Clone, Copy)]
pub enum Negotiated {
    /// Several ranges on each side, of both families.
    Lists,
    /// One range of IPv4 on each side.
    Ranges,
    /// Everything.
    All,
}

/// How the house differs from the ordinary.
pub struct Plan {
    pub resolved: bool,
    pub tunnel_up: bool,
    pub encapsulation: Option<Encapsulation>,
    pub extended: bool,
    /// The most packets that the outbound association seals.
    pub packets: Option<u64>,
    pub traffic: Traffic,
    /// What a limited tunnel carries, in Mbit/s; by default the slowest there is, so that no test is long enough for anything to flow
    /// in: two full frames pass.
    pub limit: u32,
    /// Whether sources are looked at that come out of the tunnel.
    pub reverse_path: bool,
    pub negotiated: Negotiated,
    /// Whether the route leads into a pair of tunnels, and by which hash.
    pub symmetric: Option<bool>,
    /// Whether the tunnel has an association of its own for each of two networks of ours.
    pub divided: bool,
    /// How many associations with the same selectors there are.
    pub alike: u8,
    /// How many tunnels are up, at most four. They differ in the networks behind them: 10.2.101.0/24 is behind the second, and so on.
    pub tunnels: u8,
    /// The worker's place among four.
    pub place: usize,
    pub wan_mtu: u16,
    /// What SYN segments are held to; what fits the tunnel if `None`.
    pub segments: Option<[u16; 2]>,
    /// The same of those that come out of the tunnel; 0 for nothing.
    pub segments_in: [u16; 2],
    pub rules: HeaderRules,
    pub options: MemoryOptions,
    pub sleep: Sleep,
    pub capture: Option<Arc<Capture>>,
}

impl Default for Plan {
    fn default() -> Self {
        let options = MemoryOptions { frame_size: 2048, rx_frames: 128, tx_frames: 128 };
        Self {
            resolved: true,
            tunnel_up: true,
            encapsulation: None,
            extended: true,
            packets: None,
            traffic: Traffic::Free,
            limit: 1,
            reverse_path: true,
            negotiated: Negotiated::Lists,
            symmetric: None,
            divided: false,
            alike: 1,
            tunnels: 1,
            place: 0,
            wan_mtu: 1500,
            segments: None,
            segments_in: [0; 2],
            rules: HeaderRules::default(),
            options,
            sleep: Sleep::Never,
            capture: None,
        }
    }
}

pub struct House {
    pub worker: Worker<MemoryPort>,
    pub handle: Handle,
    pub outbound: Arc<OutboundSa>,
    /// The outbound associations of all tunnels.
    pub tunnels: Vec<Arc<OutboundSa>>,
    publisher: Publisher<Snapshot>,
    snapshot: Snapshot,
    /// In which the VPCs' neighbours are to be learnt.
    learning: Snapshot,
}

pub fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

pub fn link(address: IpAddr) -> LinkHeader {
    LinkHeader::new(MacAddress([2, 0, 0, 0, 0, 1]), MacAddress([2, 0, 0, 0, 0, 2]), None, EtherType::of(address))
}

impl House {
    pub fn new(plan: Plan) -> Self {
        let (own, peer, next_hop) = (address("203.0.113.1"), address("198.51.100.2"), address("203.0.113.254"));
        let header = OuterHeader::new(link(next_hop).bytes(), own, peer, plan.encapsulation, plan.rules).unwrap();
        let (spi, salt, suite) = (Spi::new(SPI).unwrap(), [1, 2, 3, 4], Suite::Aes128Gcm16);
        let outbound = sealing(&plan, spi);
        let opening = |spi| {
            let extended = plan.extended;
            Arc::new(InboundSa::new(esp::Inbound { spi, suite, key: &KEY, salt, extended, replay_window: 64 }).unwrap())
        };
        let side = |ranges: &[(&str, &str)]| {
            let selector = |&(first, last): &(&str, &str)| {
                TrafficSelector::new(address(first), address(last), None, 0..=u16::MAX).unwrap()
            };
            ranges.iter().map(selector).collect::<Vec<_>>()
        };
        let (own, peers) = match plan.negotiated {
            Negotiated::Lists => (
                &[("10.0.0.0", "10.1.255.255"), ("10.3.0.0", "10.3.255.255"), ("2001:db8:1::", "2001:db8:1::ffff")][..],
                &[("10.2.0.0", "10.2.255.255"), ("10.2.0.0", "10.2.255.255"), ("2001:db8:2::", "2001:db8:2::ffff")][..],
            ),
            Negotiated::Ranges => (&[("10.0.0.0", "10.1.255.255")][..], &[("10.2.0.0", "10.2.127.255")][..]),
            Negotiated::All => ([&ALL[..]; 2]).into(),
        };
        let selectors = Selectors::new(side(own), side(peers));
        let longest = outbound.longest_inner(usize::from(plan.wan_mtu) + 14 - header.length()) as u16;
        let mut up = plan.tunnel_up.then(|| Outbound {
            sa: Arc::clone(&outbound),
            slot: SaSlot::of(6),
            selectors: selectors.clone(),
            port: PortIndex(WAN as u32),
            longest,
            segments: plan.segments.unwrap_or([longest - 40, longest - 60]),
            limited: plan.traffic == Traffic::Limited,
            alike: NonZeroU8::MIN,
            header: if plan.resolved { Ok(header) } else { Err(next_hop) },
        });
        let further = up.as_mut().map(|first| -> Arc<[Outbound]> {
            let of = |first_address, last_address, slot| {
                let peers = side(&[("10.2.0.0", "10.2.255.255")]);
                let selectors = Selectors::new(side(&[(first_address, last_address)]), peers);
                Outbound { selectors, slot: SaSlot::of(slot), ..first.clone() }
            };
            let firsts = if plan.divided {
                let others = [of("10.3.0.0", "10.3.0.0", 8), of("10.1.0.128", "10.1.0.255", 7)];
                [&[of("10.1.0.0", "10.1.0.127", 6)][..], &others].concat()
            } else {
                vec![first.clone()]
            };
            let alike = |one: &Outbound| {
                let (one, slot) = (one.clone(), one.slot.position() as u32);
                let next = (1..u32::from(plan.alike)).map(move |number| (number, slot + 3 * number));
                let next: Vec<_> = next
                    .map(|(number, slot)| {
                        let sa = sealing(&plan, Spi::new(spi_of(number)).unwrap());
                        Outbound { sa, slot: SaSlot::of(slot), ..one.clone() }
                    })
                    .collect();
                let leader = Outbound { alike: NonZeroU8::new(plan.alike).unwrap(), ..one };
                [vec![leader], next].concat()
            };
            let mut all: Vec<Outbound> = firsts.iter().flat_map(alike).collect();
            *first = all.remove(0);
            all.into()
        });
        let others = 1..plan.tunnels;
        let prefixes = [
            ("10.1.0.0/16", 0),
            ("10.3.0.0/16", 1),
            ("10.2.0.0/16", 2),
            ("2001:db8:1::/48", 0),
            ("2001:db8:2::/48", 2),
            ("10.2.66.0/24", 3),
            ("10.2.77.0/24", 4),
            ("10.0.0.1/32", 5),
            ("10.2.88.0/24", 1),
            ("10.2.99.1/32", 5),
        ];
        let routes = RouteTable::new(
            [
                Route::Attachment(AttachmentIndex(0)),
                Route::Attachment(AttachmentIndex(1)),
                Route::Tunnels(if plan.symmetric.is_some() { TunnelGroup::new(&PAIR) } else { TunnelIndex(0).into() }),
                Route::Blackhole,
                Route::Reject,
                Route::Host,
            ]
            .into_iter()
            .chain(others.clone().map(|number| Route::Tunnels(TunnelIndex(number.into()).into()))),
            prefixes.map(|(prefix, route)| (prefix.parse().unwrap(), RouteIndex(route))).into_iter().chain(
                others.clone().map(|number| {
                    (format!("10.2.{}.0/24", 100 + number).parse().unwrap(), RouteIndex(5 + u32::from(number)))
                }),
            ),
        );
        let sources = || -> PrefixSet {
            ["10.1.0.0/16", "10.3.0.0/16", "2001:db8:1::/48"]
                .map(|prefix| prefix.parse().unwrap())
                .into_iter()
                .collect()
        };
        let attachment = |port: usize, prefix: &str, hosts: &[&str]| {
            let routes = [
                (prefix.parse().unwrap(), NextHop::OnLink),
                ("2001:db8:1::/48".parse().unwrap(), NextHop::Via(address("fe80::1"))),
            ];
            let hosts = hosts.iter().filter(|_| plan.resolved).map(|host| address(host));
            let neighbours: Vec<_> = hosts.map(|host| (host, link(host))).collect();
            let mut made = Attachment::new(GatewayIndex(0), PortIndex(port as u32), &routes, &neighbours);
            made.sources = Some(sources());
            made
        };
        // Every packet's source is a neighbour that is not known.
        let learning = |port: usize| {
            let routes = ["0.0.0.0/0", "::/0"].map(|prefix| (prefix.parse().unwrap(), NextHop::OnLink));
            let mut made = Attachment::new(GatewayIndex(0), PortIndex(port as u32), &routes, &[]);
            (made.sources, made.learns) = (Some(sources()), true);
            made
        };
        let mut tunnels = vec![Arc::clone(&outbound)];
        tunnels.extend(others.clone().map(|number| sealing(&plan, Spi::new(spi_of_tunnel(number)).unwrap())));
        let inbounds = (0_u8..).zip(&tunnels).map(|(number, sa)| {
            let [_, slot] = slots_of_tunnel(number);
            let (tunnel, expected) = (TunnelIndex(number.into()), PortIndex(VPC as u32));
            let mut inbound = Inbound::new(opening(sa.spi()), tunnel, GatewayIndex(0), expected, selectors.clone());
            (inbound.traffic, inbound.reverse_path, inbound.segments) =
                (plan.traffic, plan.reverse_path, plan.segments_in);
            (slot.position(), inbound)
        });
        let ups = up.iter().flat_map(|first| {
            let others = (0_u8..).zip(&tunnels).skip(1).map(|(number, sa)| {
                let [slot, _] = slots_of_tunnel(number);
                (usize::from(number), Outbound { sa: Arc::clone(sa), slot, ..first.clone() })
            });
            iter::once((0, first.clone())).chain(others)
        });
        let snapshot = Snapshot {
            ports: Arc::new([
                PortRole::Wan,
                PortRole::Vpc(Vlans::untagged(AttachmentIndex(0))),
                PortRole::Vpc(Vlans::untagged(AttachmentIndex(1))),
            ]),
            inbound: inbounds.collect(),
            tunnels: ups.collect(),
            further: further.map(|others| (0, others)).into_iter().collect(),
            limits: [(0, Arc::new(TunnelLimits::new(plan.limit, Instant::now())))].into_iter().collect(),
            gateways: [(0, Gateway { routes, symmetric: plan.symmetric == Some(true) })].into_iter().collect(),
            attachments: Arc::new([
                attachment(VPC, "10.1.0.0/24", &["10.1.0.2", "fe80::1"]),
                attachment(2, "10.3.0.0/16", &["10.3.0.2"]),
            ]),
            capture: plan.capture,
        };
        let learning = Snapshot { attachments: Arc::new([learning(VPC), learning(2)]), ..snapshot.clone() };
        let (publisher, mut readers) = publication(snapshot.clone(), 4);
        let ports = (0..3).map(|_| MemoryPort::new(plan.options)).collect();
        let options = Options { batch: 64, sleep: plan.sleep, slots: 16 };
        let (worker, handle) = worker(ports, readers.swap_remove(plan.place), options).unwrap();
        Self { worker, handle, outbound, tunnels, publisher, snapshot, learning }
    }

    /// Puts frames on a port, lets the worker work them off, and returns what came out of each port.
    pub fn pass(&mut self, port: usize, frames: &[Vec<u8>]) -> [Vec<Vec<u8>>; 3] {
        let mut out = [Vec::new(), Vec::new(), Vec::new()];
        for chunk in frames.chunks(64) {
            chunk.iter().for_each(|frame| self.worker.ports()[port].inject(frame).unwrap());
            self.worker.poll();
            for (out, port) in out.iter_mut().zip(self.worker.ports()) {
                out.extend(port.drain());
            }
        }
        self.check_sums();
        out
    }

    /// The same in the general way. From a VPC a packet takes it whose sender is to be learnt, and from the WAN one that comes after a
    /// publication, which makes all remembered ways void.
    pub fn pass_generally(&mut self, port: usize, frames: &[Vec<u8>]) -> [Vec<Vec<u8>>; 3] {
        let mut out = [Vec::new(), Vec::new(), Vec::new()];
        let snapshot = if port == WAN { self.snapshot.clone() } else { self.learning.clone() };
        for frame in frames {
            self.publisher.publish(snapshot.clone());
            out.iter_mut().zip(self.pass(port, std::slice::from_ref(frame))).for_each(|(out, new)| out.extend(new));
            self.publisher.reclaim();
        }
        out
    }

    /// Every packet has one verdict.
    pub fn check_sums(&self) {
        let counters = self.handle.counters();
        let verdicts = counters.transmitted + counters.passed + counters.dropped + counters.merged;
        assert_eq!(counters.received + counters.split, verdicts, "{counters:?}");
        assert_eq!(counters.dropped, counters.drops.iter().sum::<u64>(), "{counters:?}");
    }

    /// The reasons counted so far, with their counts.
    pub fn drops(&self) -> Vec<(DropReason, u64)> {
        let counters = self.handle.counters();
        DropReason::ALL.into_iter().zip(counters.drops).filter(|(_, count)| *count > 0).collect()
    }
}

fn sealing(plan: &Plan, spi: Spi) -> Arc<OutboundSa> {
    let (suite, salt, extended) = (Suite::Aes128Gcm16, [1, 2, 3, 4], plan.extended);
    Arc::new(OutboundSa::new(esp::Outbound { spi, suite, key: &KEY, salt, extended, packets: plan.packets }).unwrap())
}

/// All addresses of both families.
const ALL: [(&str, &str); 2] = [("0.0.0.0", "255.255.255.255"), ("::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff")];

/// Bytes of the headers in front of ESP.
pub fn outer(encapsulation: Option<Encapsulation>) -> usize {
    14 + 20 + encapsulation.map_or(0, |_| 8)
}

/// A frame that carries `packet`.
pub fn frame(packet: &[u8]) -> Vec<u8> {
    let ether_type = if packet.first().is_some_and(|byte| byte >> 4 == 6) { 0x86dd_u16 } else { 0x0800 };
    [&[2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1][..], &ether_type.to_be_bytes(), packet].concat()
}

/// An IPv4 packet with a right header checksum.
pub fn ipv4(source: [u8; 4], destination: [u8; 4], protocol: u8, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x45, 0, 0, 0, 0, 0, 0, 0, 64, protocol, 0, 0];
    packet.extend(source.into_iter().chain(destination).chain(payload.iter().copied()));
    let length = packet.len() as u16;
    packet[2..4].copy_from_slice(&length.to_be_bytes());
    let checksum = wire::checksum::ipv4_header(&packet[..20]);
    packet[10..12].copy_from_slice(&checksum.to_be_bytes());
    packet
}

/// A UDP packet from the VPC's host to the data centre's, `size` bytes long with its headers.
pub fn clear(size: usize) -> Vec<u8> {
    ipv4([10, 1, 0, 2], [10, 2, 0, 2], 17, &vec![0x5a; size - 20])
}

/// The same the other way.
pub fn returning(size: usize, destination: [u8; 4]) -> Vec<u8> {
    ipv4([10, 2, 0, 2], destination, 17, &vec![0xa5; size - 20])
}

/// What the peer sends for `content`: sealed under the house's own key, for the outbound association's index is the
/// inbound one's too.
pub fn sealed(sa: &OutboundSa, number: u64, content: &[u8], next_header: u8, encapsulated: bool) -> Vec<u8> {
    let key = aead::Key::new(Suite::Aes128Gcm16, &KEY).unwrap();
    let padding = (4 - (content.len() + 2) % 4) % 4;
    let source = [content, &(1..=padding as u8).collect::<Vec<_>>(), &[padding as u8, next_header]].concat();
    seal_text(&key, sa, number, &source, encapsulated)
}

/// ESP over a text that need not be well formed.
pub fn seal_text(key: &aead::Key, sa: &OutboundSa, number: u64, text: &[u8], encapsulated: bool) -> Vec<u8> {
    let spi = sa.spi().value().to_be_bytes();
    let mut nonce = [1, 2, 3, 4, 0, 0, 0, 0, 0, 0, 0, 0];
    nonce[4..].copy_from_slice(&number.to_be_bytes());
    let mut data = [0; 12];
    data[..4].copy_from_slice(&spi);
    data[4..].copy_from_slice(&number.to_be_bytes());
    let mut destination = vec![0; text.len() + aead::TAG];
    aead::seal(&mut [aead::Seal {
        key,
        nonce: aead::Nonce::counter(nonce),
        associated_data: aead::AssociatedData::extended(data),
        buffers: aead::Buffers::Apart { source: text, destination: &mut destination },
        tail: aead::Tail::EMPTY,
    }]);
    let esp = [&spi[..], &(number as u32).to_be_bytes(), &number.to_be_bytes(), &destination].concat();
    let (peer, own) = ([198, 51, 100, 2], [203, 0, 113, 1]);
    if encapsulated { udp(4500, &esp) } else { ipv4(peer, own, 50, &esp) }
}

/// A datagram from the peer to the gateway.
pub fn udp(port: u16, payload: &[u8]) -> Vec<u8> {
    let header = wire::udp::header(4500, port, payload.len() as u16);
    ipv4([198, 51, 100, 2], [203, 0, 113, 1], 17, &[&header[..], payload].concat())
}

/// The packet with a right header checksum.
pub fn rechecked(mut packet: Vec<u8>) -> Vec<u8> {
    let checksum = wire::checksum::ipv4_header(&[&packet[..10], &[0, 0], &packet[12..20]].concat());
    packet[10..12].copy_from_slice(&checksum.to_be_bytes());
    packet
}

/// A fragment of ESP from the peer.
pub fn fragment(payload: &[u8], offset: usize, more: bool) -> Vec<u8> {
    let mut packet = ipv4([198, 51, 100, 2], [203, 0, 113, 1], 50, payload);
    let field = (offset / 8) as u16 | u16::from(more) << 13;
    packet[6..8].copy_from_slice(&field.to_be_bytes());
    rechecked(packet)
}

/// The fragment that carries this part of an IPv4 packet's payload.
pub fn part(whole: &[u8], range: Range<usize>) -> Vec<u8> {
    let payload = &whole[20..];
    let mut packet =
        fragment(&payload[range.start..range.end.min(payload.len())], range.start, range.end < payload.len());
    packet[9] = whole[9];
    rechecked(packet)
}
