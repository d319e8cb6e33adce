//! Two endpoints and a network between them, in virtual time.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use bordergate_bfd::{
    Action, Arrival, Diagnostic, Discard, Distance, Endpoint, SessionConfig, SessionId, SessionStatus, State,
};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

pub const SESSION: SessionId = SessionId(1);
pub const MILLISECOND: Duration = Duration::from_millis(1);

/// 50 ms, three times.
pub fn config(end: usize) -> SessionConfig {
    let addresses: [IpAddr; 2] = ["10.9.0.1".parse().unwrap(), "10.9.0.2".parse().unwrap()];
    SessionConfig {
        local: addresses[end],
        remote: addresses[1 - end],
        distance: Distance::SingleHop,
        desired_min_tx: 50 * MILLISECOND,
        required_min_rx: 50 * MILLISECOND,
        detect_multiplier: 3,
        passive: false,
        authentication: None,
    }
}

/// A change of state, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    pub at: Duration,
    pub to: State,
    pub diagnostic: Diagnostic,
}

/// One end.
pub struct End {
    pub endpoint: Endpoint,
    pub rng: ChaCha8Rng,
    pub changes: Vec<Change>,
    /// What it sent, and when.
    pub sent: Vec<(Duration, Vec<u8>)>,
}

/// Both ends; what one sends arrives at the other after `delay`, unless `drop` says otherwise.
pub struct Pair {
    pub ends: [End; 2],
    pub start: Instant,
    pub now: Instant,
    pub delay: Duration,
    pub ttl: u8,
    /// By when and from which end.
    pub drop: Box<dyn FnMut(Duration, usize) -> bool>,
    pub discards: Vec<Discard>,
    flying: BTreeMap<Instant, VecDeque<(usize, Vec<u8>)>>,
}

impl Pair {
    pub fn new(configs: [SessionConfig; 2], seed: u64) -> Self {
        let start = Instant::now();
        let mut ends = [0, 1].map(|end| End {
            endpoint: Endpoint::new(),
            rng: ChaCha8Rng::seed_from_u64(seed * 2 + end),
            changes: Vec::new(),
            sent: Vec::new(),
        });
        for (end, config) in ends.iter_mut().zip(configs) {
            end.endpoint.configure(SESSION, config, start, &mut end.rng).unwrap();
        }
        let (now, delay) = (start, 2 * MILLISECOND);
        let mut pair = Self {
            ends,
            start,
            now,
            delay,
            ttl: 255,
            drop: Box::new(|_, _| false),
            discards: Vec::new(),
            flying: BTreeMap::new(),
        };
        pair.collect();
        pair
    }

    /// Lets time pass until `at` since the start.
    pub fn run_until(&mut self, at: Duration) {
        let until = self.start + at;
        loop {
            let next = self
                .ends
                .iter()
                .filter_map(|end| end.endpoint.next_timeout())
                .chain(self.flying.keys().copied().next());
            let Some(next) = next.min().filter(|next| *next <= until) else { break };
            self.now = self.now.max(next);
            while let Some(entry) = self.flying.first_entry().filter(|entry| *entry.key() <= self.now) {
                for (from, payload) in entry.remove() {
                    self.deliver(1 - from, &payload);
                }
            }
            for end in &mut self.ends {
                end.endpoint.handle_timeout(self.now, &mut end.rng);
            }
            self.collect();
        }
        self.now = until;
    }

    pub fn run_for(&mut self, time: Duration) {
        self.run_until(self.elapsed() + time);
    }

    pub fn deliver(&mut self, to: usize, payload: &[u8]) {
        let SessionConfig { local, remote, distance, .. } = config(to);
        let arrival = Arrival { local, remote, port: distance.port(), ttl: self.ttl, payload };
        let end = &mut self.ends[to];
        if let Err(discard) = end.endpoint.handle_datagram(arrival, self.now, &mut end.rng) {
            self.discards.push(discard);
        }
        self.collect();
    }

    pub fn collect(&mut self) {
        let at = self.elapsed();
        for (from, end) in self.ends.iter_mut().enumerate() {
            while let Some(action) = end.endpoint.poll_action() {
                match action {
                    Action::Transmit { payload, .. } => {
                        end.sent.push((at, payload.clone()));
                        if !(self.drop)(at, from) {
                            self.flying.entry(self.now + self.delay).or_default().push_back((from, payload));
                        }
                    }
                    Action::StateChanged { to, diagnostic, .. } => end.changes.push(Change { at, to, diagnostic }),
                }
            }
        }
    }

    pub fn reconfigure(&mut self, end: usize, config: SessionConfig) {
        let end = &mut self.ends[end];
        end.endpoint.configure(SESSION, config, self.now, &mut end.rng).unwrap();
        self.collect();
    }

    pub fn set_admin(&mut self, end: usize, up: bool) {
        let end = &mut self.ends[end];
        end.endpoint.set_admin(SESSION, up, self.now, &mut end.rng);
        self.collect();
    }

    pub fn elapsed(&self) -> Duration {
        self.now - self.start
    }

    pub fn status(&self, end: usize) -> SessionStatus {
        self.ends[end].endpoint.status(SESSION).unwrap()
    }

    pub fn states(&self) -> [State; 2] {
        [0, 1].map(|end| self.status(end).state)
    }

    /// The times between packets of one end since `from`.
    pub fn gaps(&self, end: usize, from: Duration) -> Vec<Duration> {
        let times: Vec<_> = self.ends[end].sent.iter().map(|(at, _)| *at).filter(|at| *at >= from).collect();
        times.windows(2).map(|pair| pair[1] - pair[0]).collect()
    }
}
