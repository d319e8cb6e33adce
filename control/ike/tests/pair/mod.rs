//! Two endpoints, a network between them, and a clock that only the test moves.

#![allow(dead_code, reason = "each test file uses its own part of the harness")]

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use bordergate_ike::*;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

pub const TUNNEL: TunnelId = TunnelId(7);
pub const A: &str = "192.0.2.1";
pub const B: &str = "198.51.100.2";
/// The time of day of every test, in seconds since 1970: 1 January 2026.
pub const NOON: u64 = 1_767_225_600;
/// What a NAT before A turns its address into.
pub const A_OUTSIDE: &str = "203.0.113.9";

pub fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

pub fn prefix(text: &str, length: u8) -> TrafficSelector {
    TrafficSelector::prefix(address(text), length).unwrap()
}

/// The configuration of one end; the other end's is its mirror.
pub fn config(local: &str, remote: &str, startup: Startup) -> TunnelConfig {
    let behind = |end: &str| if end == B { prefix("10.2.0.0", 16) } else { prefix("10.1.0.0", 16) };
    TunnelConfig {
        local: address(local),
        remote: address(remote),
        local_id: Identity::from_text(local),
        remote_id: Identity::from_text(remote),
        authentication: Psk::new("correct_horse_battery").into(),
        ppk: None,
        admin: Admin::Up,
        startup,
        ike: IkeProposal {
            key_exchange: vec![KeGroup::X25519, KeGroup::Ecp256],
            additional_key_exchange: Vec::new(),
            encryption: vec![IkeCipher::Aes128Gcm16, IkeCipher::Aes128Cbc],
            integrity: vec![Integrity::HmacSha256],
            prf: vec![PrfAlgorithm::HmacSha256],
        },
        esp: EspProposal {
            encryption: vec![EspCipher::Aes128Gcm16],
            integrity: Vec::new(),
            key_exchange: Vec::new(),
            additional_key_exchange: Vec::new(),
            esn: true,
        },
        local_selectors: vec![behind(local)],
        remote_selectors: vec![behind(remote)],
        resources: 1,
        force_encapsulation: false,
        mobike: false,
        redirects: Vec::new(),
        liveness: Some(Duration::from_secs(10)),
        ike_lifetime: Duration::from_secs(14400),
        child_lifetime: Duration::from_secs(3600),
        retry: Retry::default(),
    }
}

/// SPIs in a row, and which of them are in use.
#[derive(Default)]
pub struct Spis {
    next: u32,
    pub live: BTreeSet<u32>,
    pub exhausted: bool,
}

impl SpiAllocator for Spis {
    fn allocate(&mut self, _: TunnelId) -> Option<u32> {
        if self.exhausted {
            return None;
        }
        self.next += 1;
        let spi = 0x1000 + self.next;
        self.live.insert(spi);
        Some(spi)
    }

    fn release(&mut self, _: TunnelId, spi: u32) {
        assert!(self.live.remove(&spi), "SPI {spi:#x} was given back twice");
    }
}

/// One end and what its caller sees.
pub struct Side {
    pub endpoint: Endpoint,
    pub rng: ChaCha8Rng,
    pub spis: Spis,
    pub installed: BTreeMap<u32, ChildSa>,
    /// The inbound SPI of the child that sends.
    pub sending: Option<u32>,
    /// All children that send, by inbound SPI, in the order in which they began to.
    pub senders: Vec<u32>,
    /// Everything but transmissions, in order.
    pub events: Vec<Action>,
    /// Every datagram sent, without the marker.
    pub sent: Vec<Vec<u8>>,
}

impl Side {
    pub fn new(seed: u64) -> Self {
        Self {
            endpoint: Endpoint::new(),
            rng: ChaCha8Rng::seed_from_u64(seed),
            spis: Spis::default(),
            installed: BTreeMap::new(),
            sending: None,
            senders: Vec::new(),
            events: Vec::new(),
            sent: Vec::new(),
        }
    }

    pub fn with<T>(&mut self, now: Instant, f: impl FnOnce(&mut Endpoint, &mut Context<'_>) -> T) -> T {
        let mut ctx = Context { now, unix_time: NOON, rng: &mut self.rng, spis: &mut self.spis };
        f(&mut self.endpoint, &mut ctx)
    }

    pub fn status(&self) -> TunnelStatus {
        self.endpoint.status(TUNNEL).expect("the tunnel is configured")
    }

    pub fn reason(&self) -> DownReason {
        self.status().reason
    }

    pub fn is_up(&self) -> bool {
        self.status().state == TunnelState::Up
    }

    /// The child that sends.
    pub fn child(&self) -> &ChildSa {
        &self.installed[&self.sending.expect("a child sends")]
    }

    /// Every reason the tunnel has been down for, in order.
    pub fn downs(&self) -> Vec<&'static str> {
        let down = |a: &Action| match a {
            Action::Down { reason, .. } => Some(reason.code()),
            _ => None,
        };
        self.events.iter().filter_map(down).collect()
    }

    pub fn ups(&self) -> usize {
        self.events.iter().filter(|a| matches!(a, Action::Up { .. })).count()
    }

    /// Carries out what is to be done; gives the datagrams.
    fn act(&mut self) -> Vec<(SocketAddr, SocketAddr, Vec<u8>)> {
        let mut out = Vec::new();
        while let Some(action) = self.endpoint.poll_action() {
            match &action {
                Action::Transmit { local, remote, datagram } => {
                    out.push((*local, *remote, datagram.clone()));
                    continue;
                }
                Action::InstallChild(child) => {
                    assert!(self.spis.live.contains(&child.inbound_spi));
                    assert!(self.installed.insert(child.inbound_spi, (**child).clone()).is_none());
                }
                Action::UseChild { inbound_spi, instead_of, .. } => {
                    assert!(self.installed.contains_key(inbound_spi), "sends on what is not installed");
                    self.sending = Some(*inbound_spi);
                    self.senders.retain(|spi| spi != inbound_spi && Some(*spi) != *instead_of);
                    self.senders.push(*inbound_spi);
                }
                Action::RemoveChild { inbound_spi, .. } => {
                    assert!(self.installed.remove(inbound_spi).is_some(), "removed twice");
                    self.sending.take_if(|spi| spi == inbound_spi);
                    self.senders.retain(|spi| spi != inbound_spi);
                    assert!(self.spis.live.remove(inbound_spi));
                }
                Action::MoveChild { inbound_spi, local, remote, encapsulation, .. } => {
                    let child = self.installed.get_mut(inbound_spi).unwrap();
                    (child.local, child.remote, child.encapsulation) = (*local, *remote, *encapsulation);
                }
                Action::Up { .. } | Action::Down { .. } => {}
            }
            self.events.push(action);
        }
        out
    }
}

/// What the network does to datagrams.
#[derive(Clone, Copy)]
pub struct Network {
    pub loss_percent: u32,
    pub duplicate_percent: u32,
    /// A datagram takes between the first and the second.
    pub delay: (Duration, Duration),
    /// A is behind a NAT that adds this to its ports.
    pub nat_shift: Option<u16>,
}

impl Default for Network {
    fn default() -> Self {
        let delay = Duration::from_millis(10);
        Self { loss_percent: 0, duplicate_percent: 0, delay: (delay, delay), nat_shift: None }
    }
}

/// From A?, destination port, payload without marker: whether it is dropped.
pub type Filter = dyn FnMut(bool, u16, &[u8]) -> bool;

type Flight = (bool, SocketAddr, SocketAddr, Vec<u8>);

/// Both ends and what is under way between them.
pub struct Pair {
    pub a: Side,
    pub b: Side,
    pub start: Instant,
    pub now: Instant,
    pub network: Network,
    /// Drops what it returns true for.
    pub filter: Box<Filter>,
    wire: BTreeMap<(Instant, u64), Flight>,
    count: u64,
    rng: ChaCha8Rng,
}

impl Pair {
    pub fn new(seed: u64) -> Self {
        let start = Instant::now();
        Self {
            a: Side::new(seed.wrapping_mul(3).wrapping_add(1)),
            b: Side::new(seed.wrapping_mul(3).wrapping_add(2)),
            start,
            now: start,
            network: Network::default(),
            filter: Box::new(|_, _, _| false),
            wire: BTreeMap::new(),
            count: 0,
            rng: ChaCha8Rng::seed_from_u64(seed.wrapping_mul(3)),
        }
    }

    /// A pair that is configured: first B, so that it is there when A begins.
    pub fn configured(seed: u64, a: TunnelConfig, b: TunnelConfig) -> Self {
        let mut pair = Self::new(seed);
        pair.configure(a, b);
        pair
    }

    /// A initiates, B responds; both as the defaults are.
    pub fn plain(seed: u64) -> Self {
        Self::configured(seed, config(A, B, Startup::Initiate), config(B, A, Startup::Respond))
    }

    pub fn configure(&mut self, a: TunnelConfig, b: TunnelConfig) {
        self.on_b(|e, ctx| e.configure(TUNNEL, b, ctx).unwrap());
        self.on_a(|e, ctx| e.configure(TUNNEL, a, ctx).unwrap());
    }

    pub fn on_a<T>(&mut self, f: impl FnOnce(&mut Endpoint, &mut Context<'_>) -> T) -> T {
        let result = self.a.with(self.now, f);
        self.flush();
        result
    }

    pub fn on_b<T>(&mut self, f: impl FnOnce(&mut Endpoint, &mut Context<'_>) -> T) -> T {
        let result = self.b.with(self.now, f);
        self.flush();
        result
    }

    pub fn run(&mut self, seconds: u64) {
        self.run_for(Duration::from_secs(seconds));
    }

    pub fn run_for(&mut self, time: Duration) {
        let end = self.now + time;
        for _ in 0..100_000 {
            let due = [
                self.wire.keys().next().map(|(at, _)| *at),
                self.a.endpoint.next_timeout(),
                self.b.endpoint.next_timeout(),
            ];
            let Some(at) = due.into_iter().flatten().min().filter(|at| *at <= end) else {
                self.now = end;
                return;
            };
            self.now = self.now.max(at);
            self.step();
        }
        panic!("the machine spins");
    }

    /// Until what was replaced is gone on both ends.
    pub fn settle(&mut self) {
        self.run(1);
        for _ in 0..100 {
            if self.a.installed.len() <= 1 && self.b.installed.len() <= 1 {
                return;
            }
            self.run(1);
        }
        panic!("a: {} children, b: {}", self.a.installed.len(), self.b.installed.len());
    }

    pub fn both_up(&self) -> bool {
        self.a.is_up() && self.b.is_up()
    }

    /// Each end opens what the other one seals, and nothing is left over.
    pub fn assert_joined(&self) {
        assert!(self.both_up(), "a: {:?}\nb: {:?}", self.a.status(), self.b.status());
        let (a, b) = (self.a.child(), self.b.child());
        assert_eq!((a.inbound_spi, a.outbound_spi), (b.outbound_spi, b.inbound_spi));
        assert_eq!(a.inbound_key, b.outbound_key);
        assert_eq!(a.outbound_key, b.inbound_key);
        assert_ne!(a.inbound_key, a.outbound_key);
        assert_eq!((a.cipher, a.esn), (b.cipher, b.esn));
        assert_eq!(a.local_selectors, b.remote_selectors);
        assert_eq!(a.remote_selectors, b.local_selectors);
        for side in [&self.a, &self.b] {
            assert_eq!(side.installed.len(), 1);
            assert!(side.spis.live.iter().eq(side.installed.keys()));
        }
    }

    /// Hands bytes to one end as if they had come from the other.
    pub fn inject(&mut self, to_a: bool, from: SocketAddr, to: SocketAddr, payload: &[u8]) {
        let side = if to_a { &mut self.a } else { &mut self.b };
        side.with(self.now, |e, ctx| e.handle_datagram(to, from, payload, ctx));
        self.flush();
    }

    fn step(&mut self) {
        let now = self.now;
        while let Some(entry) = self.wire.first_entry().filter(|e| e.key().0 <= now) {
            let (from_a, from, to, datagram) = entry.remove();
            let side = if from_a { &mut self.b } else { &mut self.a };
            let payload = strip(to.port(), &datagram);
            side.with(now, |e, ctx| e.handle_datagram(to, from, payload, ctx));
            self.flush();
        }
        for from_a in [true, false] {
            let side = if from_a { &mut self.a } else { &mut self.b };
            if side.endpoint.next_timeout().is_some_and(|at| at <= now) {
                side.with(now, |e, ctx| e.handle_timeout(ctx));
                let next = side.endpoint.next_timeout();
                assert!(next.is_none_or(|at| at > now), "a deadline does not move");
                self.flush();
            }
        }
    }

    fn flush(&mut self) {
        for from_a in [true, false] {
            let side = if from_a { &mut self.a } else { &mut self.b };
            for (from, to, datagram) in side.act() {
                let payload = strip(from.port(), &datagram).to_vec();
                let side = if from_a { &mut self.a } else { &mut self.b };
                side.sent.push(payload.clone());
                if (self.filter)(from_a, to.port(), &payload) {
                    continue;
                }
                let copies = 1 + u32::from(self.chance(self.network.duplicate_percent));
                for _ in 0..copies {
                    if self.chance(self.network.loss_percent) {
                        continue;
                    }
                    let (low, high) = self.network.delay;
                    let spread = (high - low).as_micros() as u64 + 1;
                    let delay = low + Duration::from_micros(self.rng.next_u64() % spread);
                    self.count += 1;
                    let (from, to) = self.translate(from_a, from, to);
                    let flight = (from_a, from, to, datagram.clone());
                    self.wire.insert((self.now + delay, self.count), flight);
                }
            }
        }
    }

    fn translate(&self, from_a: bool, mut from: SocketAddr, mut to: SocketAddr) -> (SocketAddr, SocketAddr) {
        if let Some(shift) = self.network.nat_shift {
            if from_a {
                from = SocketAddr::new(address(A_OUTSIDE), from.port() + shift);
            } else {
                assert_eq!(to.ip(), address(A_OUTSIDE));
                // Ports of an earlier mapping lead nowhere.
                to = SocketAddr::new(address(A), to.port().wrapping_sub(shift));
            }
        }
        (from, to)
    }

    fn chance(&mut self, percent: u32) -> bool {
        percent > 0 && self.rng.next_u32() % 100 < percent
    }
}

fn strip(port: u16, datagram: &[u8]) -> &[u8] {
    if port == 500 || datagram == [0xff] {
        return datagram;
    }
    datagram.strip_prefix(&[0, 0, 0, 0]).expect("port 4500 carries the non-ESP marker")
}
