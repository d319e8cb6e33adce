//! The devices under test, each at the same place of the chain.

use std::net::IpAddr;
use std::num::NonZeroU8;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::Instant;

use aead::Suite;
use anyhow::Result;
use esp::{HeaderRules, InboundSa, OutboundSa, OuterHeader};
use port::{BATCH, Port, Receive, Transmit, XdpOptions, XdpPort};
use steer::{LoadOptions, Side, Steer, XdpMode};
use tables::{
    Attachment, AttachmentIndex, GatewayIndex, Inbound, NextHop, Outbound, PortIndex, PortRole, Publisher, Route,
    RouteIndex, RouteTable, SaSlot, Selectors, SlotTable, Snapshot, TrafficSelector, TunnelGroup, TunnelIndex, Vlans,
    publication,
};
use wire::{EtherType, Link, LinkHeader, Spi};
use worker::{Handle, Options, Sleep, Worker, worker};

use super::chain::{Chain, FAR, NEAR, OWN, PEER, VPC, VPC_HOST, WAN, address};
use super::load::{Load, Measured, Pace};
use super::strongswan::StrongSwan;
use super::traffic::Traffic;
use crate::operation::Operation;

/// Whom a figure is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// The same rings, batches and copies without ESP: what the kernel allows.
    Forwarder,
    /// Bordergate's worker.
    Bordergate,
    /// strongSwan with ESP in user space.
    StrongSwan,
}

impl Kind {
    /// All, in the order in which they take turns.
    pub const ALL: [Kind; 3] = [Kind::Forwarder, Kind::Bordergate, Kind::StrongSwan];

    /// The name in figures.
    pub fn name(self) -> &'static str {
        match self {
            Self::Forwarder => "forwarder",
            Self::Bordergate => "bordergate",
            Self::StrongSwan => "strongswan",
        }
    }
}

const SPI: u32 = 0x1230_0001;
const KEY: [u8; 16] = [0x42; 16];
const SALT: [u8; esp::SALT] = [1, 2, 3, 4];
const SLOTS: u32 = 16;

/// A device under test, ready to run.
pub enum Device<'a> {
    /// See [`Kind::Forwarder`].
    Forwarder(Box<Forwarder>),
    /// See [`Kind::Bordergate`].
    Bordergate(Box<Bordergate>),
    /// See [`Kind::StrongSwan`].
    StrongSwan(&'a StrongSwan),
}

/// Moves frames from one port to another with a new link header.
pub struct Forwarder {
    ports: [XdpPort; 2],
    link: [u8; Link::UNTAGGED],
    core: usize,
    _steer: Steer,
}

/// A worker with two ports and one tunnel.
pub struct Bordergate {
    worker: Worker<XdpPort>,
    handle: Handle,
    publisher: Publisher<Snapshot>,
    snapshot: Snapshot,
    core: usize,
    _steer: Steer,
}

impl Device<'_> {
    /// The forwarder, between the interfaces that `operation` uses.
    pub fn forwarder(chain: &Chain, operation: Operation, core: usize) -> Result<Self> {
        let (from, to) = operation.device();
        let (ports, steer) = open(chain, [from, to])?;
        let link = Link::untagged(chain.mac(operation.ends().1), chain.mac(to), EtherType::IPV4);
        Ok(Self::Forwarder(Box::new(Forwarder { ports, link, core, _steer: steer })))
    }

    /// A worker whose tunnel is up.
    pub fn bordergate(chain: &Chain, core: usize) -> Result<Self> {
        let (ports, steer) = open(chain, [WAN, VPC])?;
        let snapshot = snapshot(chain);
        let (publisher, mut readers) = publication(snapshot.clone(), 1);
        let reader = readers.pop().expect("one reader was asked for");
        let options = Options { batch: BATCH, sleep: Sleep::Never, slots: SLOTS };
        let (worker, handle) = worker(Vec::from(ports), reader, options)?;
        Ok(Self::Bordergate(Box::new(Bordergate { worker, handle, publisher, snapshot, core, _steer: steer })))
    }

    /// One run with fresh security associations.
    pub fn run(&mut self, load: &mut Load, traffic: &Traffic, pace: Pace, seconds: f64) -> Measured {
        match self {
            Self::Forwarder(forwarder) => forwarder.run(load, traffic, pace, seconds),
            Self::Bordergate(bordergate) => bordergate.run(load, traffic, pace, seconds),
            Self::StrongSwan(strongswan) => load.run(traffic, pace, seconds, || strongswan.busy_nanoseconds()),
        }
    }
}

impl Forwarder {
    fn run(&mut self, load: &mut Load, traffic: &Traffic, pace: Pace, seconds: f64) -> Measured {
        let (stop, busy) = (AtomicBool::new(false), AtomicU64::new(0));
        thread::scope(|scope| {
            scope.spawn(|| {
                pin(self.core);
                self.forward(&stop, &busy);
            });
            let measured = load.run(traffic, pace, seconds, || busy.load(Relaxed));
            stop.store(true, Relaxed);
            measured
        })
    }

    /// The worker's loop without its stages: the same batches, one copy, the same wake-ups.
    fn forward(&mut self, stop: &AtomicBool, busy: &AtomicU64) {
        let [from, to] = &mut self.ports;
        let ((rx, _), (_, tx)) = (from.split(), to.split());
        let mut turn_began = Instant::now();
        while !stop.load(Relaxed) {
            let count = rx.receive(BATCH);
            if count > 0 {
                let reserved = tx.reserve(count);
                let mut lengths = [0; BATCH];
                for ((position, frame), length) in tx.frames().take(reserved).enumerate().zip(&mut lengths) {
                    let received = rx.frame(position);
                    frame[..received.len()].copy_from_slice(received);
                    frame[..Link::UNTAGGED].copy_from_slice(&self.link);
                    *length = received.len() as u16;
                }
                tx.commit(&lengths[..reserved]);
                rx.release();
                tx.flush();
            }
            let now = Instant::now();
            if count > 0 {
                busy.fetch_add((now - turn_began).as_nanos() as u64, Relaxed);
            }
            turn_began = now;
        }
    }
}

impl Bordergate {
    fn run(&mut self, load: &mut Load, traffic: &Traffic, pace: Pace, seconds: f64) -> Measured {
        // A fresh window, for sealed traffic starts at number one in every run.
        self.snapshot.inbound = inbound();
        self.publisher.publish(self.snapshot.clone());
        let (worker, handle, core) = (&mut self.worker, &self.handle, self.core);
        thread::scope(|scope| {
            scope.spawn(move || {
                pin(core);
                worker.run();
            });
            let measured = load.run(traffic, pace, seconds, || handle.counters().busy_nanoseconds);
            handle.stop();
            measured
        })
    }
}

/// Keeps this thread on `core`.
pub fn pin(core: usize) {
    core_affinity::set_for_current(core_affinity::CoreId { id: core });
}

fn open(chain: &Chain, interfaces: [&'static str; 2]) -> Result<([XdpPort; 2], Steer)> {
    chain.at(VPC, || {
        let mut steer = Steer::load(LoadOptions { pin_dir: None, queues: 1, addresses: 16 })?;
        let mut attach = |interface: &str| -> Result<XdpPort> {
            let port = XdpPort::open(XdpOptions::new(interface, 0))?;
            let side = if interface == WAN { Side::Wan } else { Side::Vpc };
            steer.attach(interface, side, XdpMode::Native)?;
            steer.register_socket(interface, 0, port.socket())?;
            Ok(port)
        };
        let ports = [attach(interfaces[0])?, attach(interfaces[1])?];
        steer.set_gateway_addresses(&[address(OWN)])?;
        Ok((ports, steer))
    })
}

/// The outbound association, also of whoever seals what the device opens.
pub fn outbound_sa() -> OutboundSa {
    let spi = Spi::new(SPI).expect("not reserved");
    let parts = esp::Outbound { spi, suite: Suite::Aes128Gcm16, key: &KEY, salt: SALT, extended: true, packets: None };
    OutboundSa::new(parts).expect("the key's length is the suite's")
}

fn inbound() -> SlotTable<Inbound> {
    let parts = esp::Inbound {
        spi: Spi::new(SPI).expect("not reserved"),
        suite: Suite::Aes128Gcm16,
        key: &KEY,
        salt: SALT,
        extended: true,
        replay_window: 1024,
    };
    let sa = Arc::new(InboundSa::new(parts).expect("the key's length is the suite's"));
    let inbound = Inbound::new(sa, TunnelIndex(0), GatewayIndex(0), PortIndex(1), selectors());
    [(SaSlot::of(SPI).position(), inbound)].into_iter().collect()
}

fn selectors() -> Selectors {
    let side = |first: [u8; 4], last: [u8; 4]| {
        let any_port = 0..=u16::MAX;
        [TrafficSelector::new(address(first), address(last), None, any_port).expect("one family")]
    };
    Selectors::new(side([10, 1, 0, 0], [10, 1, 255, 255]), side([10, 2, 0, 0], [10, 2, 255, 255]))
}

/// One border gateway, one attachment, one tunnel: ports in the order of [`Device::bordergate`].
fn snapshot(chain: &Chain) -> Snapshot {
    let (own, peer, host): (IpAddr, IpAddr, IpAddr) = (address(OWN), address(PEER), address(VPC_HOST));
    let link = LinkHeader::new(chain.mac(FAR), chain.mac(WAN), None, EtherType::IPV4);
    let rules = HeaderRules::default();
    let vpc = "10.1.0.0/16".parse().expect("a prefix");
    let near = LinkHeader::new(chain.mac(NEAR), chain.mac(VPC), None, EtherType::IPV4);
    let attachment = Attachment::new(GatewayIndex(0), PortIndex(1), &[(vpc, NextHop::OnLink)], &[(host, near)]);
    let routes = RouteTable::new(
        [Route::Attachment(AttachmentIndex(0)), Route::Tunnels(TunnelGroup::from(TunnelIndex(0)))],
        [("10.1.0.0/16", 0), ("10.2.0.0/16", 1)]
            .map(|(prefix, route)| (prefix.parse().expect("a prefix"), RouteIndex(route))),
    );
    let outbound = Outbound {
        sa: Arc::new(outbound_sa()),
        slot: SaSlot::of(0),
        selectors: selectors(),
        port: PortIndex(0),
        longest: 1446,
        segments: [1406, 1386],
        limited: false,
        alike: NonZeroU8::MIN,
        header: OuterHeader::new(link.bytes(), own, peer, None, rules).ok_or(peer),
    };
    Snapshot {
        ports: Arc::new([PortRole::Wan, PortRole::Vpc(Vlans::untagged(AttachmentIndex(0)))]),
        inbound: inbound(),
        tunnels: [(0, outbound)].into_iter().collect(),
        further: SlotTable::default(),
        limits: SlotTable::default(),
        gateways: [(0, routes.into())].into_iter().collect(),
        attachments: Arc::new([attachment]),
        capture: None,
    }
}
