//! Two neighbours and TCP between them, in virtual time.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use bordergate_bgp::{
    Action, ConnectionId, Context, DownReason, Families, Negotiated, Neighbor, NeighborConfig, State, Update,
};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

pub const MILLISECOND: Duration = Duration::from_millis(1);
pub const SECOND: Duration = Duration::from_secs(1);

pub fn config(end: usize) -> NeighborConfig {
    let addresses: [IpAddr; 2] = ["169.254.9.1".parse().unwrap(), "169.254.9.2".parse().unwrap()];
    let numbers = [65000, 65010];
    NeighborConfig {
        local: addresses[end],
        remote: addresses[1 - end],
        local_as: numbers[end],
        remote_as: numbers[1 - end],
        router_id: format!("10.0.0.{}", end + 1).parse().unwrap(),
        hold_time: 90,
        connect_retry: 10 * SECOND,
        passive: false,
        families: Families { ipv4: true, ipv6: true },
        graceful_restart: None,
    }
}

/// What a neighbour has told its owner.
#[derive(Clone, Debug, PartialEq)]
pub enum Told {
    Up(Negotiated),
    Down(DownReason, Families),
    Update(Update),
    Other(Action),
}

pub struct End {
    pub neighbor: Neighbor,
    pub told: Vec<(Duration, Told)>,
    /// By our name for the connection: the pipe it is an end of.
    pipes: BTreeMap<ConnectionId, u64>,
}

enum Event {
    /// An attempt to connect reaches the other end.
    Syn {
        from: usize,
        id: ConnectionId,
    },
    Bytes {
        pipe: u64,
        to: usize,
        bytes: Vec<u8>,
    },
    Fin {
        pipe: u64,
        to: usize,
    },
}

pub struct Pair {
    pub ends: [End; 2],
    pub rng: ChaCha8Rng,
    pub start: Instant,
    pub now: Instant,
    pub delay: Duration,
    /// What reaches the other end; the rest stays away without a word.
    pub reachable: bool,
    events: BTreeMap<(Instant, u64), Event>,
    number: u64,
    /// Each way of a pipe keeps its order.
    last: BTreeMap<(u64, usize), Instant>,
}

impl Pair {
    pub fn new(configs: [NeighborConfig; 2], seed: u64) -> Self {
        Self::staggered(configs, seed, Duration::ZERO)
    }

    /// The second end begins later.
    pub fn staggered(configs: [NeighborConfig; 2], seed: u64, later: Duration) -> Self {
        let start = Instant::now();
        let ends = configs.map(|config| End {
            neighbor: Neighbor::new(config, start).unwrap(),
            told: Vec::new(),
            pipes: BTreeMap::new(),
        });
        let mut pair = Self {
            ends,
            rng: ChaCha8Rng::seed_from_u64(seed),
            start,
            now: start,
            delay: MILLISECOND,
            reachable: true,
            events: BTreeMap::new(),
            number: 0,
            last: BTreeMap::new(),
        };
        pair.on(0, |neighbor, ctx| neighbor.start(ctx));
        pair.run_for(later);
        pair.on(1, |neighbor, ctx| neighbor.start(ctx));
        pair
    }

    /// Calls a neighbour, and does what it wants done.
    pub fn on<R>(&mut self, end: usize, call: impl FnOnce(&mut Neighbor, &mut Context<'_>) -> R) -> R {
        let mut ctx = Context { now: self.now, rng: &mut self.rng };
        let result = call(&mut self.ends[end].neighbor, &mut ctx);
        self.collect(end);
        result
    }

    pub fn run_for(&mut self, time: Duration) {
        let until = self.now + time;
        loop {
            let timeouts = self.ends.iter().filter_map(|end| end.neighbor.next_timeout());
            let next = timeouts.chain(self.events.keys().map(|(at, _)| *at).next()).min();
            let Some(next) = next.filter(|next| *next <= until) else { break };
            self.now = self.now.max(next);
            while let Some(entry) = self.events.first_entry().filter(|entry| entry.key().0 <= self.now) {
                let event = entry.remove();
                self.happen(event);
            }
            for end in 0..2 {
                if self.ends[end].neighbor.next_timeout().is_some_and(|at| at <= self.now) {
                    self.on(end, |neighbor, ctx| neighbor.handle_timeout(ctx));
                }
            }
        }
        self.now = until;
    }

    /// An end loses its connections and what it knew, and starts again.
    pub fn restart(&mut self, end: usize, config: NeighborConfig, tell: bool) {
        self.ends[end].neighbor = Neighbor::new(config, self.now).unwrap();
        let pipes = std::mem::take(&mut self.ends[end].pipes);
        if tell {
            for pipe in pipes.into_values() {
                self.later(pipe, 1 - end, |pipe, to| Event::Fin { pipe, to });
            }
        }
        self.on(end, |neighbor, ctx| neighbor.start(ctx));
    }

    pub fn states(&self) -> [State; 2] {
        [0, 1].map(|end| self.ends[end].neighbor.status().state)
    }

    pub fn downs(&self, end: usize) -> Vec<(DownReason, Families)> {
        let told = self.ends[end].told.iter();
        told.filter_map(|(_, told)| match told {
            Told::Down(reason, retain) => Some((reason.clone(), *retain)),
            _ => None,
        })
        .collect()
    }

    /// How many connections an end has.
    pub fn connections(&self, end: usize) -> usize {
        self.ends[end].pipes.len()
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Syn { from, id } => {
                let accepted = if self.reachable { self.on_accept(1 - from) } else { None };
                match accepted {
                    Some(theirs) => {
                        self.number += 1;
                        let pipe = self.number;
                        self.ends[1 - from].pipes.insert(theirs, pipe);
                        self.ends[from].pipes.insert(id, pipe);
                        self.collect(1 - from);
                        self.on(from, |neighbor, ctx| neighbor.connected(id, ctx));
                    }
                    None => self.on(from, |neighbor, ctx| neighbor.connect_failed(id, ctx)),
                }
            }
            Event::Bytes { pipe, to, bytes } => {
                let Some(id) = self.id_of(to, pipe).filter(|_| self.reachable) else { return };
                // TCP hands over any pieces, or what was written together.
                let mut bytes = bytes.as_slice();
                let whole = self.rng.next_u32().is_multiple_of(2);
                while !bytes.is_empty() {
                    let piece = if whole { bytes.len() } else { 1 + self.rng.next_u32() as usize % bytes.len() };
                    let (piece, rest) = bytes.split_at(piece);
                    self.on(to, |neighbor, ctx| neighbor.received(id, piece, ctx));
                    bytes = rest;
                }
            }
            Event::Fin { pipe, to } => {
                let Some(id) = self.id_of(to, pipe).filter(|_| self.reachable) else { return };
                self.ends[to].pipes.remove(&id);
                self.on(to, |neighbor, ctx| neighbor.closed(id, ctx));
            }
        }
    }

    /// What it transmits at once waits until its connection is known.
    fn on_accept(&mut self, end: usize) -> Option<ConnectionId> {
        let mut ctx = Context { now: self.now, rng: &mut self.rng };
        self.ends[end].neighbor.accepted(&mut ctx)
    }

    fn id_of(&self, end: usize, pipe: u64) -> Option<ConnectionId> {
        self.ends[end].pipes.iter().find(|(_, of)| **of == pipe).map(|(id, _)| *id)
    }

    fn collect(&mut self, end: usize) {
        let at = self.now - self.start;
        let mut actions = VecDeque::new();
        while let Some(action) = self.ends[end].neighbor.poll_action() {
            actions.push_back(action);
        }
        for action in actions {
            match action {
                Action::Connect(id) => {
                    self.number += 1;
                    self.events.insert((self.now + self.delay, self.number), Event::Syn { from: end, id });
                }
                Action::Transmit { connection, bytes } => {
                    if let Some(pipe) = self.ends[end].pipes.get(&connection).copied() {
                        let bytes = bytes.to_vec();
                        self.later(pipe, 1 - end, |pipe, to| Event::Bytes { pipe, to, bytes });
                    }
                }
                Action::Close(id) => {
                    if let Some(pipe) = self.ends[end].pipes.remove(&id) {
                        self.later(pipe, 1 - end, |pipe, to| Event::Fin { pipe, to });
                    }
                }
                Action::Up(negotiated) => self.ends[end].told.push((at, Told::Up((*negotiated).clone()))),
                Action::Down { reason, retain } => self.ends[end].told.push((at, Told::Down(reason, retain))),
                Action::Update(update) => self.ends[end].told.push((at, Told::Update(update))),
                other => self.ends[end].told.push((at, Told::Other(other))),
            }
        }
    }

    fn later(&mut self, pipe: u64, to: usize, event: impl FnOnce(u64, usize) -> Event) {
        self.number += 1;
        let jitter = Duration::from_micros(u64::from(self.rng.next_u32() % 1000));
        let at = (self.now + self.delay + jitter).max(self.last.get(&(pipe, to)).copied().unwrap_or(self.start));
        self.last.insert((pipe, to), at);
        self.events.insert((at, self.number), event(pipe, to));
    }
}
