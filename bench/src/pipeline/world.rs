//! A worker with its tables, and the network around it.

use std::iter;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::num::NonZeroU8;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Result, ensure};
use esp::{Encapsulation, HeaderRules, InboundSa, OutboundSa, OuterHeader, Sealing};
use ipnet::Ipv4Net;
use port::{MemoryOptions, MemoryPort};
use quanta::Clock;
use tables::{
    Attachment, AttachmentIndex, GatewayIndex, Inbound, NextHop, Outbound, PortIndex, PortRole, Publisher, Route,
    RouteIndex, RouteTable, SaSlot, Selectors, SlotTable, Snapshot, Traffic, TrafficSelector, TunnelGroup, TunnelIndex,
    TunnelLimits, Vlans, publication,
};
use wire::udp::NAT_TRAVERSAL_PORT;
use wire::{EtherType, LinkHeader, MacAddress, Protocol, Spi, Tag};
use worker::{Handle, Options, Sleep, Worker, worker};

use super::case::{Case, Inner, Kind};
use super::laps::{Laps, Watch};
use super::traffic;
use crate::operation::Operation;

/// The port towards the peers.
pub const WAN: usize = 0;
/// The port towards the VPC.
pub const VPC: usize = 1;
const OWN: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 1);
const PEER: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 2);
/// The VPC's first host.
const FIRST: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 0);

/// One case's worker, ready to be measured.
pub struct World {
    case: Case,
    worker: Worker<MemoryPort>,
    handle: Handle,
    traffic: traffic::Traffic,
    /// The peers' outbound associations, when what they seal is to be opened.
    peers: Vec<OutboundSa>,
    /// In front of what the peers seal.
    header: OuterHeader,
    clock: Clock,
    /// Of the next packet.
    number: u16,
    /// The frame of the next packet, and what seals it.
    inner: Vec<u8>,
}

/// Control's side of a world: what it published, and how it publishes more.
pub struct Control {
    pub publisher: Publisher<Snapshot>,
    pub snapshot: Snapshot,
}

impl World {
    pub fn build(case: &Case) -> Result<Self> {
        Self::with_control(case).map(|(world, _)| world)
    }

    /// A world whose tables are to change.
    pub fn with_control(case: &Case) -> Result<(Self, Control)> {
        let traffic = traffic::Traffic::new(case);
        let (mut peers, mut inbound, mut tunnels) = (Vec::new(), Vec::new(), Vec::new());
        let selectors = selectors();
        for number in 0..case.sas {
            match case.operation {
                Operation::Seal => tunnels.push((number as usize, outbound(case, number, &selectors)?)),
                Operation::Open => {
                    inbound.push((number as usize, opening(case, number, &selectors)?));
                    peers.push(sealing(case, number)?);
                }
            }
        }
        let into = (0..case.sas).map(|number| {
            let next = (number + u32::from(case.kind == Kind::Paired)) % case.sas;
            let group = [number, next].map(|number| (TunnelIndex(number), NonZeroU8::MIN));
            Route::Tunnels(TunnelGroup::new(if next == number { &group[..1] } else { &group }))
        });
        let prefixes = (0..).zip(traffic.prefixes());
        let prefixes = prefixes.map(|(number, prefix)| (case.inner.prefix(*prefix), RouteIndex(1 + number % case.sas)));
        let vpc = case.inner.prefix("10.1.0.0/16".parse()?);
        let routes = RouteTable::new(
            iter::once(Route::Attachment(AttachmentIndex(0))).chain(into),
            iter::once((vpc, RouteIndex(0))).chain(prefixes),
        );
        let hosts: Vec<_> = (0..case.hosts())
            .map(|number| case.inner.address(host(number)))
            .map(|host| (host, link(host, tag(case))))
            .collect();
        let mut attachment = Attachment::new(GatewayIndex(0), PortIndex(VPC as u32), &[(vpc, NextHop::OnLink)], &hosts);
        attachment.sources = (case.kind == Kind::Screened).then(|| iter::once(vpc).collect());
        let vlan = tag(case).map_or(Vlans::UNTAGGED, Tag::vlan);
        let limited = if case.kind == Kind::Limited { case.sas } else { 0 };
        let unreached = Arc::new(TunnelLimits::new(1_000_000, Instant::now()));
        let snapshot = Snapshot {
            ports: Arc::new([PortRole::Wan, PortRole::Vpc(Vlans::new([(vlan, AttachmentIndex(0))]))]),
            inbound: inbound.into_iter().collect(),
            tunnels: tunnels.into_iter().collect(),
            further: SlotTable::default(),
            limits: (0..limited as usize).map(|number| (number, Arc::clone(&unreached))).collect(),
            gateways: [(0, routes.into())].into_iter().collect(),
            attachments: Arc::new([attachment]),
            capture: None,
        };
        let (publisher, mut readers) = publication(snapshot.clone(), 1);
        let options = MemoryOptions { frame_size: 2048.max(case.size + 128), rx_frames: 128, tx_frames: 128 };
        let ports = (0..2).map(|_| MemoryPort::new(options)).collect();
        let reader = readers.pop().expect("one reader was asked for");
        let options = Options { batch: case.batch, sleep: Sleep::Never, slots: case.sas };
        let (worker, handle) = worker(ports, reader, options)?;
        let (inner, header) = (vec![0x5a; case.size], header(case, PEER, OWN));
        let world = Self { case: *case, worker, handle, traffic, peers, header, clock: Clock::new(), number: 0, inner };
        Ok((world, Control { publisher, snapshot }))
    }

    /// A round of batches; `look` is shown every frame that came out, which is not counted.
    ///
    /// # Errors
    /// Where not every packet came out again: no figure is worth anything then.
    pub fn round(&mut self, batches: usize, with_stages: bool, mut look: impl FnMut(&[u8])) -> Result<Laps> {
        let before = self.handle.counters();
        let mut laps = Laps { packets: (batches * self.case.batch) as u64, ..Laps::default() };
        let leaving = match self.case.operation {
            Operation::Seal => WAN,
            Operation::Open => VPC,
        };
        for _ in 0..batches {
            self.fill();
            let began = self.clock.raw();
            if with_stages {
                self.worker.poll_watched(&mut Watch::start(&self.clock, &mut laps));
            } else {
                self.worker.poll();
            }
            laps.total += self.clock.raw().wrapping_sub(began);
            self.worker.ports()[leaving].drain_with(&mut look);
        }
        let after = self.handle.counters();
        ensure!(
            after.transmitted - before.transmitted == laps.packets,
            "{} of {} packets passed: {:?}",
            after.transmitted - before.transmitted,
            laps.packets,
            worker::DropReason::ALL.iter().zip(after.drops).filter(|(_, count)| *count > 0).collect::<Vec<_>>()
        );
        Ok(laps)
    }

    /// Packets of a batch.
    pub fn batch(&self) -> usize {
        self.case.batch
    }

    /// Associations whose first route no other one lies within, so that what is sent to them goes nowhere else.
    pub fn undivided(&self) -> impl Iterator<Item = u32> {
        let narrowest =
            |(number, prefix): (u32, &Ipv4Net)| (prefix.prefix_len() == traffic::NARROWEST).then_some(number);
        (0..self.case.sas).zip(self.traffic.prefixes()).filter_map(narrowest)
    }

    /// The worker and control's end of it.
    pub fn worker(&mut self) -> (&mut Worker<MemoryPort>, &Handle) {
        (&mut self.worker, &self.handle)
    }

    /// Puts a packet for a tunnel on the VPC's port.
    pub fn clear(&mut self, association: u32) {
        let destination = self.traffic.destination(association);
        self.number = self.number.wrapping_add(1);
        let (inner, number) = (self.case.inner, self.number);
        let size = self.case.size_of(self.traffic.one_of(12));
        let many = self.case.kind == Kind::Screened;
        let source = host(if many { self.traffic.one_of(self.case.hosts()) } else { 2 });
        let (link, protocol) = (link(inner.address(host(2)), tag(&self.case)), protocol(&self.case));
        self.worker.ports()[VPC].inject_with(|frame| {
            let (front, packet) = frame.split_at_mut(link.bytes().len());
            front.copy_from_slice(link.bytes());
            traffic::write(packet, (inner, protocol), number, size, (source, destination));
            link.bytes().len() + size
        });
    }

    /// Puts the next packet of a peer on the WAN's port, once `change` has done to the frame what it likes; it is given the
    /// frame's length and returns the new one.
    pub fn sealed(&mut self, association: u32, change: impl FnOnce(&mut [u8], usize) -> usize) {
        let Self { case, worker, traffic, peers, header, inner, number, .. } = self;
        let source = traffic.destination(association);
        let to =
            if case.kind == Kind::Crowded { traffic.one_of(case.hosts()) } else { u32::from(source) % case.hosts() };
        *number = number.wrapping_add(1);
        let size = case.size_of(traffic.one_of(12));
        traffic::write(inner, (case.inner, protocol(case)), *number, size, (source, host(to)));
        let inner = &inner[..size];
        let peer = &peers[association as usize];
        worker.ports()[WAN].inject_with(|frame| {
            let number = peer.take_sequence(1).expect("far from the end");
            let mut sealing = Sealing::default();
            let length = sealing.push(peer, header, number, inner, frame);
            sealing.finish();
            change(frame, length)
        });
    }

    /// What the network brings for the next batch.
    fn fill(&mut self) {
        for _ in 0..self.case.batch {
            let association = self.traffic.association();
            match self.case.operation {
                Operation::Seal => self.clear(association),
                Operation::Open => self.sealed(association, |_, length| length),
            }
        }
    }
}

fn host(number: u32) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(FIRST) + number)
}

fn link(address: IpAddr, tag: Option<Tag>) -> LinkHeader {
    LinkHeader::new(MacAddress([2, 0, 0, 0, 0, 1]), MacAddress([2, 0, 0, 0, 0, 2]), tag, EtherType::of(address))
}

fn protocol(case: &Case) -> Protocol {
    if case.kind == Kind::Tcp { Protocol::TCP } else { Protocol::UDP }
}

/// The VLAN of the VPC, if its frames bear a tag.
fn tag(case: &Case) -> Option<Tag> {
    (case.kind == Kind::Tagged).then(|| Tag::new(100, 0)).flatten()
}

pub fn spi(number: u32) -> Spi {
    Spi::new(0x7ab0_0000 | number).expect("not reserved")
}

pub fn key(case: &Case, number: u32) -> Vec<u8> {
    (0..case.suite.key_length() as u32).map(|byte| (number.wrapping_mul(0x9e37_79b9) >> (byte % 4 * 8)) as u8).collect()
}

fn header(case: &Case, source: Ipv4Addr, destination: Ipv4Addr) -> OuterHeader {
    let outer = if case.kind == Kind::Ipv6 { Inner::V6 } else { Inner::V4 };
    let [source, destination] = [source, destination].map(|address| outer.address(address));
    let ports = Encapsulation { source: NAT_TRAVERSAL_PORT, destination: NAT_TRAVERSAL_PORT };
    let encapsulation = (case.kind == Kind::Udp).then_some(ports);
    let link = link(destination, None);
    OuterHeader::new(link.bytes(), source, destination, encapsulation, HeaderRules::default()).expect("one family")
}

fn sealing(case: &Case, number: u32) -> Result<OutboundSa> {
    let (key, suite) = (key(case, number), case.suite);
    Ok(OutboundSa::new(esp::Outbound {
        spi: spi(number),
        suite,
        key: &key,
        salt: [1, 2, 3, 4],
        extended: true,
        packets: None,
    })?)
}

/// A tunnel's outbound association.
pub fn outbound(case: &Case, number: u32, selectors: &Selectors) -> Result<Outbound> {
    Ok(Outbound {
        sa: Arc::new(sealing(case, number)?),
        slot: SaSlot::of(number),
        selectors: selectors.clone(),
        port: PortIndex(WAN as u32),
        longest: 9000,
        segments: [8960, 8940],
        limited: case.kind == Kind::Limited,
        alike: NonZeroU8::MIN,
        header: Ok(header(case, OWN, PEER)),
    })
}

/// What opens what an association seals.
pub fn receiving(case: &Case, number: u32) -> Result<InboundSa> {
    let (key, suite) = (key(case, number), case.suite);
    let parts =
        esp::Inbound { spi: spi(number), suite, key: &key, salt: [1, 2, 3, 4], extended: true, replay_window: 1024 };
    Ok(InboundSa::new(parts)?)
}

/// An inbound association.
pub fn opening(case: &Case, number: u32, selectors: &Selectors) -> Result<Inbound> {
    let sa = Arc::new(receiving(case, number)?);
    let mut inbound = Inbound::new(sa, TunnelIndex(number), GatewayIndex(0), PortIndex(VPC as u32), selectors.clone());
    inbound.segments = [8960, 8940];
    inbound.traffic = if case.kind == Kind::Limited { Traffic::Limited } else { Traffic::Free };
    inbound.tagged = case.kind == Kind::Tagged;
    inbound.reverse_path = case.kind == Kind::Screened;
    Ok(inbound)
}

/// All there is, as a tunnel has by default.
pub fn selectors() -> Selectors {
    let all = |first: IpAddr, last: IpAddr| TrafficSelector::new(first, last, None, 0..=u16::MAX).expect("one family");
    let any = || {
        [
            all(Ipv4Addr::UNSPECIFIED.into(), Ipv4Addr::BROADCAST.into()),
            all(Ipv6Addr::UNSPECIFIED.into(), Ipv6Addr::from_bits(u128::MAX).into()),
        ]
    };
    Selectors::new(any(), any())
}
