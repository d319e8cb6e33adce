//! Two IKEv2 endpoints, and between them somebody who holds back, changes, repeats and, with the keys of either, forges:
//! whatever is exchanged, what each tells its dataplane makes sense, and once nobody disturbs them they find together.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use ike::{
    Action, Admin, ChildSa, Context, DownReason, Endpoint, EspCipher, EspProposal, Identity, IkeCipher, IkeProposal,
    Integrity, KeGroup, PrfAlgorithm, Psk, Retry, SpiAllocator, Startup, TrafficSelector, TunnelConfig, TunnelId,
    TunnelState,
};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use crate::input::head;

/// Input: how the two are configured, then a program: each step is a byte, followed by what it needs.
pub fn holds(input: &[u8]) {
    let ([how, more], mut program) = head(input);
    let mut trial = Trial::new(how, more);
    for _ in 0..MOST_STEPS {
        if program.is_empty() {
            break;
        }
        trial.step(&mut program);
    }
    trial.recover();
    trial.part();
}

/// Both ends, and what is under way between them.
struct Trial {
    ends: [End; 2],
    now: Instant,
    /// Oldest first.
    flying: VecDeque<Flight>,
    /// What was delivered, oldest first.
    delivered: VecDeque<Flight>,
    /// Something was asked in an end's name that it knows nothing of.
    forged: bool,
}

#[derive(Clone)]
struct Flight {
    to: usize,
    local: SocketAddr,
    remote: SocketAddr,
    datagram: Vec<u8>,
}

impl Trial {
    fn new(how: u8, more: u8) -> Self {
        let now = Instant::now();
        let (flying, delivered) = (VecDeque::new(), VecDeque::new());
        let mut trial = Self { ends: [End::new(1), End::new(2)], now, flying, delivered, forged: false };
        for (this, startup) in [(1, how & 1 != 0), (0, true)] {
            let startup = if startup { Startup::Initiate } else { Startup::Respond };
            let config = config(this, startup, how, more);
            trial.on(this, |endpoint, ctx| endpoint.configure(TUNNEL, config, ctx).expect("a configuration"));
        }
        trial
    }

    fn step(&mut self, program: &mut &[u8]) {
        let ([what], behind) = head::<1>(program);
        *program = behind;
        let mut byte = || {
            let ([byte], behind) = head::<1>(program);
            *program = behind;
            byte
        };
        let end = usize::from(what >> 7);
        match what % 16 {
            0 | 1 => self.deliver_next(end),
            2 => drop(self.take(end)),
            3 => {
                let (at, with) = (byte(), byte());
                if let Some(mut flight) = self.take(end) {
                    let at = usize::from(at) % flight.datagram.len();
                    flight.datagram[at] ^= with;
                    self.deliver(flight);
                }
            }
            4 => {
                let (which, port) = (usize::from(byte()), byte());
                if let Some(mut again) = self.delivered.get(which % self.delivered.len().max(1)).cloned() {
                    // Perhaps from another port: a NAT's, or an attacker's.
                    again.remote.set_port(again.remote.port().wrapping_add(u16::from(port)));
                    self.deliver(again);
                }
            }
            5 => self.pass(Duration::from_millis(1 << (byte() % 18))),
            6 => self.settle(),
            7 => self.on(end, |endpoint, ctx| endpoint.rekey_ike(TUNNEL, ctx)),
            8 => self.on(end, |endpoint, ctx| endpoint.rekey_children(TUNNEL, ctx)),
            9 => self.on(end, |endpoint, ctx| endpoint.terminate(TUNNEL, DownReason::AdminDown, ctx)),
            10 => {
                let admin = if byte() & 1 == 0 { Admin::Down } else { Admin::Up };
                self.on(end, |endpoint, ctx| endpoint.set_admin(TUNNEL, admin, ctx));
            }
            11 => self.on(end, |endpoint, ctx| endpoint.initiate(TUNNEL, ctx)),
            12 => {
                let bytes = usize::from(byte());
                let (datagram, behind) = program.split_at(bytes.min(program.len()));
                *program = behind;
                let (local, remote) = (address(end, 500), address(1 - end, 500));
                self.deliver(Flight { to: end, local, remote, datagram: datagram.to_vec() });
            }
            13..16 => {
                let ours = &mut self.ends[end];
                let forged = ike::fuzz::forge(&mut ours.endpoint, program, &mut ours.rng);
                self.forged = true;
                // It overtakes what is under way.
                for flight in forged.into_iter().filter_map(|action| flight(end, action)) {
                    self.deliver(flight);
                }
            }
            _ => unreachable!("a remainder of 16"),
        }
    }

    /// From now on everything arrives, both ends want the tunnel, and before long it is up at both, with the same children.
    /// A child that was forged may be there for one of them alone until its life is over.
    fn recover(&mut self) {
        for end in [0, 1] {
            self.on(end, |endpoint, ctx| endpoint.set_admin(TUNNEL, Admin::Up, ctx));
        }
        let deadline = self.now + Duration::from_secs(1200);
        while self.now < deadline && !self.joined() {
            self.pass(Duration::from_secs(10));
        }
        let state = |end: usize| self.ends[end].endpoint.status(TUNNEL);
        assert!(self.joined(), "{:?} {:#?} {:#?}", self.now, state(0), state(1));
    }

    fn joined(&self) -> bool {
        let [a, b] = &self.ends;
        let up = |end: &End| end.endpoint.status(TUNNEL).is_some_and(|status| status.state == TunnelState::Up);
        let opens = |one: &End, other: &End| {
            let sealing: Vec<_> = one.sending.iter().filter_map(|spi| one.installed.get(spi)).collect();
            let opened = |sealing: &&ChildSa| {
                other
                    .installed
                    .get(&sealing.outbound_spi)
                    .is_some_and(|opening| opening.inbound_key == sealing.outbound_key)
            };
            self.forged || (!sealing.is_empty() && sealing.iter().all(opened))
        };
        up(a) && up(b) && opens(a, b) && opens(b, a)
    }

    /// Tunnels that are removed leave nothing behind.
    fn part(&mut self) {
        for end in [0, 1] {
            self.on(end, |endpoint, ctx| endpoint.remove(TUNNEL, ctx));
            let End { endpoint, installed, spis, .. } = &self.ends[end];
            assert!(
                installed.is_empty() && spis.reserved.is_empty(),
                "left: {:x?} {:x?}",
                installed.keys(),
                spis.reserved
            );
            assert_eq!((endpoint.sa_count(), endpoint.next_timeout()), (0, None));
        }
    }

    /// Lets time pass, with everything delivered at once.
    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        for _ in 0..MOST_EVENTS {
            self.settle();
            let due = self.ends.iter().enumerate().filter_map(|(n, end)| Some((end.endpoint.next_timeout()?, n)));
            let Some((at, this)) = due.min().filter(|(at, _)| *at <= end) else {
                self.now = end;
                return;
            };
            self.now = self.now.max(at);
            self.on(this, Endpoint::handle_timeout);
            let next = self.ends[this].endpoint.next_timeout();
            assert!(next.is_none_or(|next| next > self.now), "a deadline does not move");
        }
        panic!("too much happens in {time:?}");
    }

    /// Delivers until nothing is under way.
    fn settle(&mut self) {
        for _ in 0..MOST_EVENTS {
            let Some(flight) = self.flying.pop_front() else { return };
            self.deliver(flight);
        }
        panic!("the two do not stop talking");
    }

    fn deliver_next(&mut self, to: usize) {
        if let Some(flight) = self.take(to) {
            self.deliver(flight);
        }
    }

    fn take(&mut self, to: usize) -> Option<Flight> {
        let at = self.flying.iter().position(|flight| flight.to == to)?;
        self.flying.remove(at)
    }

    fn deliver(&mut self, flight: Flight) {
        let Flight { to, local, remote, datagram } = flight.clone();
        self.delivered.push_back(flight);
        if self.delivered.len() > MOST_REMEMBERED {
            self.delivered.pop_front();
        }
        self.on(to, |endpoint, ctx| endpoint.handle_datagram(local, remote, &datagram, ctx));
    }

    fn on(&mut self, end: usize, happens: impl FnOnce(&mut Endpoint, &mut Context<'_>)) {
        let End { endpoint, rng, spis, .. } = &mut self.ends[end];
        happens(endpoint, &mut Context { now: self.now, unix_time: 1_767_225_600, rng, spis });
        while let Some(action) = self.ends[end].endpoint.poll_action() {
            if let Some(action) = self.ends[end].act(action) {
                self.flying.extend(flight(end, action));
            }
        }
        let End { endpoint, installed, spis, .. } = &self.ends[end];
        assert!(endpoint.sa_count() <= MOST_SAS, "{} IKE SAs", endpoint.sa_count());
        let children = installed.len() + spis.reserved.len();
        assert!(children <= MOST_CHILDREN, "{children} children");
        let told: usize = endpoint.trace(TUNNEL, 0).flat_map(|entry| entry.payloads()).map(|p| p.text.len()).sum();
        assert!(told < 64 * 1024, "{told} characters of trace");
        while self.flying.len() > MOST_FLYING {
            self.flying.pop_front();
        }
    }
}

/// One end, and what its dataplane has.
struct End {
    endpoint: Endpoint,
    rng: ChaCha8Rng,
    spis: Spis,
    /// By inbound SPI.
    installed: BTreeMap<u32, ChildSa>,
    /// Those that send.
    sending: BTreeSet<u32>,
}

impl End {
    fn new(seed: u64) -> Self {
        Self {
            endpoint: Endpoint::new(),
            rng: ChaCha8Rng::seed_from_u64(seed),
            spis: Spis::default(),
            installed: BTreeMap::new(),
            sending: BTreeSet::new(),
        }
    }

    /// Does what is to be done; what is to be sent is given back.
    fn act(&mut self, action: Action) -> Option<Action> {
        match action {
            Action::Transmit { .. } => return Some(action),
            Action::InstallChild(child) => {
                assert!(self.spis.reserved.remove(&child.inbound_spi), "{:#x} was not set aside", child.inbound_spi);
                assert_eq!(self.installed.insert(child.inbound_spi, *child), None);
            }
            Action::UseChild { inbound_spi, instead_of, .. } => {
                assert!(self.installed.contains_key(&inbound_spi), "{inbound_spi:#x} is not there to be used");
                instead_of.map(|spi| self.sending.remove(&spi));
                self.sending.insert(inbound_spi);
            }
            Action::RemoveChild { inbound_spi, .. } => {
                assert!(self.installed.remove(&inbound_spi).is_some(), "{inbound_spi:#x} is not there to be removed");
                self.sending.remove(&inbound_spi);
            }
            Action::MoveChild { inbound_spi, .. } => {
                assert!(self.installed.contains_key(&inbound_spi), "{inbound_spi:#x} is not there to be moved");
            }
            Action::Up { .. } | Action::Down { .. } => {}
        }
        None
    }
}

/// SPIs in a row.
#[derive(Default)]
struct Spis {
    given: u32,
    /// Those that are neither installed nor given back.
    reserved: BTreeSet<u32>,
}

impl SpiAllocator for Spis {
    fn allocate(&mut self, _: TunnelId) -> Option<u32> {
        self.given += 1;
        let spi = 0x1000 + self.given;
        self.reserved.insert(spi);
        Some(spi)
    }

    fn release(&mut self, _: TunnelId, spi: u32) {
        assert!(self.reserved.remove(&spi), "{spi:#x} was given back and was not set aside");
    }
}

/// What an end sends, as the other end gets it: without the marker of port 4500.
fn flight(from: usize, action: Action) -> Option<Flight> {
    let Action::Transmit { local, remote, datagram } = action else { return None };
    let marked = local.port() == 4500 && datagram != [0xff];
    let datagram = datagram[if marked { 4 } else { 0 }..].to_vec();
    Some(Flight { to: 1 - from, local: remote, remote: local, datagram })
}

/// The bits of `how` and `more` say what is configured.
fn config(this: usize, startup: Startup, how: u8, more: u8) -> TunnelConfig {
    let other = 1 - this;
    let has = |bits: u8, bit: u8| bits & bit != 0;
    let behind = |end: usize| {
        let prefix = |third: u8| {
            let network = IpAddr::V4(Ipv4Addr::new(10, end as u8, third, 0));
            TrafficSelector::prefix(network, 24).expect("a prefix")
        };
        if has(how, 2) { vec![prefix(0), prefix(1)] } else { vec![prefix(0)] }
    };
    let [ip, peer] = [this, other].map(|end| address(end, 500).ip());
    let groups = |ours: KeGroup| vec![if this == 0 { ours } else { KeGroup::X25519 }, KeGroup::X25519];
    TunnelConfig {
        local: ip,
        remote: peer,
        local_id: Identity::Address(ip),
        remote_id: Identity::Address(peer),
        authentication: Psk::new("correct_horse_battery").into(),
        ppk: None,
        admin: Admin::Up,
        startup,
        ike: IkeProposal {
            // The wrong guess costs a round.
            key_exchange: groups(if has(how, 4) { KeGroup::X448 } else { KeGroup::X25519 }),
            additional_key_exchange: if has(more, 1) { vec![vec![KeGroup::MlKem512]] } else { Vec::new() },
            encryption: vec![if has(how, 8) { IkeCipher::Aes128Cbc } else { IkeCipher::Aes128Gcm16 }],
            integrity: vec![Integrity::HmacSha256],
            prf: vec![PrfAlgorithm::HmacSha256],
        },
        esp: EspProposal {
            encryption: vec![EspCipher::Aes128Gcm16],
            integrity: Vec::new(),
            key_exchange: if has(how, 16) { vec![KeGroup::X25519] } else { Vec::new() },
            additional_key_exchange: if has(how, 16) && has(more, 8) {
                vec![vec![KeGroup::MlKem512]]
            } else {
                Vec::new()
            },
            esn: true,
        },
        local_selectors: behind(this),
        remote_selectors: behind(other),
        resources: if has(more, 4) { 3 } else { 1 },
        force_encapsulation: has(how, 32),
        mobike: has(how, 64),
        redirects: Vec::new(),
        liveness: Some(Duration::from_secs(10)),
        ike_lifetime: Duration::from_secs(if has(how, 128) { 200 } else { 14400 }),
        child_lifetime: Duration::from_secs(if has(more, 2) { 120 } else { 3600 }),
        retry: Retry::default(),
    }
}

fn address(end: usize, port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1 + end as u8)), port)
}

const TUNNEL: TunnelId = TunnelId(7);
/// A hunt is not to make the slowest input, but the strangest.
const MOST_STEPS: usize = 64;
const MOST_FLYING: usize = 64;
const MOST_REMEMBERED: usize = 32;
/// In one span of time, or until both ends are silent.
const MOST_EVENTS: usize = 20_000;
/// What a peer may have us hold, whatever it says.
const MOST_SAS: usize = 32;
const MOST_CHILDREN: usize = 64;
