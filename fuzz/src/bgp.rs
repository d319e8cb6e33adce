//! A BGP speaker, one peer of which sends whatever it likes, in whatever pieces, and another of which is told what is made of it.
//! What either is sent is well-formed; nothing that is wrong with the first one's routes reaches the second; whatever the first has
//! said is gone with it; and if it behaves, it gets a session afterwards. Whoever watches the first one's session knows what was
//! taken of it.

mod watcher;

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, Instant};

use bgp::{
    Action, ConnectionId, Context, Event, Families, Family, Filter, GracefulRestart, Neighbor, NeighborConfig,
    NextHops, PeerConfig, Prefix, SourceId, Speaker, SpeakerAction, State, Worth,
};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use crate::input::head;
use watcher::Watcher;

const MOST_STEPS: usize = 100;
/// The peer that sends the input.
const HOSTILE: SourceId = SourceId(1);
/// The peer that is told.
const TOLD: SourceId = SourceId(2);
const BOTH: Families = Families { ipv4: true, ipv6: true };

/// Input: how the first peer is configured, and how far its session is; then messages, each behind how long it is waited
/// before, its type, or 0 for bytes without a header, its length, and into how many pieces it falls.
pub fn holds(input: &[u8]) {
    let ([how, far], mut rest) = head(input);
    let mut trial = Trial::new(how);
    if far & 1 != 0 {
        trial.take(&open(), 1);
    }
    if far & 2 != 0 {
        trial.take(&message(4, &[]), 1);
    }
    for _ in 0..MOST_STEPS {
        let ([wait, kind, length, pieces], behind) = head(rest);
        if behind.is_empty() {
            break;
        }
        let (body, behind) = behind.split_at(behind.len().min(usize::from(length)));
        rest = behind;
        trial.wait(Duration::from_secs(u64::from(wait)));
        trial.take(&if kind == 0 { body.to_vec() } else { message(kind, body) }, usize::from(pieces));
    }
    trial.watcher.check(&trial.speaker, HOSTILE);
    trial.call(|speaker, ctx| speaker.reset(HOSTILE, "", ctx));
    trial.connect();
    trial.take(&open(), 1);
    trial.take(&message(4, &[]), 1);
    assert_eq!(trial.speaker.status(HOSTILE).map(|status| status.state), Some(State::Established));
    trial.call(|speaker, ctx| speaker.remove(HOSTILE, "", ctx));
    assert!(trial.known.is_empty() && trial.speaker.rib().counters().prefixes == [0, 0]);
}

struct Trial {
    speaker: Speaker,
    rng: ChaCha8Rng,
    now: Instant,
    /// The first peer's connection: wanted, and once something was sent on it, open.
    attempt: Option<ConnectionId>,
    open: Option<ConnectionId>,
    /// The second peer, with the names of its connection at either end, and what it knows.
    told: Neighbor,
    names: Option<(ConnectionId, ConnectionId)>,
    known: BTreeSet<Prefix>,
    watcher: Watcher,
}

impl Trial {
    fn new(how: u8) -> Self {
        let now = Instant::now();
        let restart = GracefulRestart { restart_time: 120, long_lived_stale_time: 3600, restarting: how & 8 != 0 };
        let hostile = NeighborConfig {
            local_as: if how & 1 != 0 { 65010 } else { 65000 },
            families: Families { ipv4: true, ipv6: how & 2 != 0 },
            graceful_restart: (how & 4 != 0).then_some(restart),
            ..session(1, 2, 65000, 65010)
        };
        // Without hold times, so that nobody has to keep it alive.
        let told = |local, remote, local_as, remote_as| NeighborConfig {
            hold_time: 0,
            ..session(local, remote, local_as, remote_as)
        };
        let mut trial = Self {
            speaker: Speaker::new(1, None, now),
            rng: ChaCha8Rng::seed_from_u64(1),
            now,
            attempt: None,
            open: None,
            told: Neighbor::new(told(4, 3, 65020, 65000), now).expect("a configuration"),
            names: None,
            known: BTreeSet::new(),
            watcher: Watcher::new(hostile.clone(), self::routes(&hostile), now),
        };
        trial.speaker.observe(true);
        let (routes, session) = (routes(&told(3, 4, 65000, 65020)), told(3, 4, 65000, 65020));
        trial.call(|speaker, ctx| speaker.configure(TOLD, session, routes, ctx).expect("a configuration"));
        assert_eq!(trial.told.status().state, State::Established);
        let routes = self::routes(&hostile);
        trial.call(|speaker, ctx| speaker.configure(HOSTILE, hostile, routes, ctx).expect("a configuration"));
        trial.connect();
        trial
    }

    fn connect(&mut self) {
        let id = self.attempt.expect("it begins");
        self.call(|speaker, ctx| speaker.connected(HOSTILE, id, ctx));
    }

    fn call(&mut self, call: impl FnOnce(&mut Speaker, &mut Context<'_>)) {
        call(&mut self.speaker, &mut Context { now: self.now, rng: &mut self.rng });
        while let Some((peer, observation)) = self.speaker.poll_observation() {
            if peer == HOSTILE {
                self.watcher.take(observation);
            }
        }
        while let Some(action) = self.speaker.poll_action() {
            self.check(action);
        }
        while self.speaker.poll_route().is_some() {}
        assert!(self.speaker.next_timeout().is_none_or(|at| at >= self.now), "a deadline that has passed");
    }

    fn check(&mut self, action: SpeakerAction) {
        match action {
            SpeakerAction::Connect { peer: HOSTILE, connection } => {
                assert_eq!(self.open, None, "one at a time");
                self.attempt = Some(connection);
            }
            SpeakerAction::Connect { connection, .. } => self.meet(connection),
            SpeakerAction::Transmit { peer, connection, bytes } => {
                let mut messages = &bytes[..];
                while !messages.is_empty() {
                    assert!(messages.starts_with(&[0xff; 16]) && (1..=5).contains(&messages[18]));
                    let length = usize::from(u16::from_be_bytes([messages[16], messages[17]]));
                    messages = messages.get(length..).expect("whole messages");
                }
                if peer == HOSTILE {
                    assert_eq!(self.attempt, Some(connection));
                    self.open = Some(connection);
                } else {
                    let (_, there) = self.names.expect("they have met");
                    let mut ctx = Context { now: self.now, rng: &mut self.rng };
                    self.told.received(there, &bytes, &mut ctx);
                    self.read();
                    self.call(|speaker, _| speaker.written(TOLD, bytes.len()));
                }
            }
            SpeakerAction::Close { peer, connection } => {
                assert_eq!((peer, self.attempt), (HOSTILE, Some(connection)));
                self.open = None;
            }
            SpeakerAction::Event { peer, event } => match event {
                Event::Up(negotiated) => assert!(negotiated.families != Families::default()),
                Event::NotUp(reason) | Event::Down { reason, .. } => {
                    assert!(peer == HOSTILE && !reason.to_string().is_empty() && !reason.hint().is_empty());
                }
                Event::Fault(fault) => assert!(peer == HOSTILE && !fault.words.is_empty()),
                Event::EndOfRib(_) | Event::StaleDropped(..) | Event::LastResort(_) => {}
                Event::PrefixWarning(..) | Event::PrefixLimit(..) => panic!("there is no limit"),
            },
        }
    }

    /// The second peer takes the connection that is opened to it.
    fn meet(&mut self, here: ConnectionId) {
        let mut ctx = Context { now: self.now, rng: &mut self.rng };
        self.told.start(&mut ctx);
        let there = self.told.accepted(&mut ctx).expect("it is wanted");
        self.names = Some((here, there));
        self.call(|speaker, ctx| speaker.connected(TOLD, here, ctx));
        self.read();
    }

    /// What the second peer makes of what it is told, and answers.
    fn read(&mut self) {
        let mut answers = Vec::new();
        while let Some(action) = self.told.poll_action() {
            match action {
                Action::Transmit { bytes, .. } => answers.push(bytes),
                Action::Update(update) => {
                    assert!(update.faults.is_empty(), "{update:?}");
                    for prefix in update.withdrawn {
                        assert!(self.known.remove(&prefix), "{prefix:?} was never told");
                    }
                    let announced = update.announced.into_iter().flat_map(|announcement| announcement.prefixes);
                    for prefix in announced {
                        assert!(is_canonical(&prefix), "{prefix:?}");
                        self.known.insert(prefix);
                    }
                }
                // Its own attempt is given up for the connection that there is.
                Action::Connect(_) | Action::Close(_) | Action::Up(_) => {}
                other => panic!("{other:?}"),
            }
        }
        if let Some((here, _)) = self.names {
            for bytes in answers {
                self.call(|speaker, ctx| speaker.received(TOLD, here, &bytes, ctx));
            }
        }
    }

    fn wait(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some(at) = self.speaker.next_timeout().filter(|at| *at <= until) {
            self.now = at;
            self.call(Speaker::handle_timeout);
        }
        self.now = until;
    }

    fn take(&mut self, bytes: &[u8], pieces: usize) {
        for piece in bytes.chunks(bytes.len().div_ceil(pieces.max(1)).max(1)) {
            let Some(id) = self.open else { return };
            self.call(|speaker, ctx| speaker.received(HOSTILE, id, piece, ctx));
        }
    }
}

fn address(last: u8) -> Ipv4Addr {
    Ipv4Addr::new(169, 254, 9, last)
}

fn session(local: u8, remote: u8, local_as: u32, remote_as: u32) -> NeighborConfig {
    NeighborConfig {
        local: IpAddr::V4(address(local)),
        remote: IpAddr::V4(address(remote)),
        local_as,
        remote_as,
        router_id: Ipv4Addr::new(10, 0, 0, local),
        hold_time: 90,
        connect_retry: Duration::from_secs(10),
        passive: false,
        families: BOTH,
        graceful_restart: None,
    }
}

/// Everything is taken and told.
fn routes(session: &NeighborConfig) -> PeerConfig {
    let IpAddr::V4(local) = session.local else { panic!("IPv4") };
    PeerConfig {
        worth: Worth { preference: 140, distance: if session.is_internal() { 200 } else { 150 } },
        local_as: session.local_as,
        remote_as: session.remote_as,
        address: session.remote,
        next_hop: NextHops { ipv4: Some(local), ipv6: Some(Ipv6Addr::new(0x2001, 0xdb8, 9, 0, 0, 0, 0, 1)) },
        allow_own_as: 0,
        override_as: false,
        import: Some(Filter::ALL),
        export: Some(Filter::ALL),
        prefix_limit: None,
        drain: None,
    }
}

/// No bit is set behind its length.
fn is_canonical(prefix: &Prefix) -> bool {
    match (Family::of(prefix), prefix) {
        (Family::Ipv4, Prefix::V4(prefix)) => {
            prefix.len <= 32 && u32::from(prefix.addr).checked_shl(prefix.len.into()).unwrap_or(0) == 0
        }
        (Family::Ipv6, Prefix::V6(prefix)) => {
            prefix.len <= 128 && u128::from(prefix.addr).checked_shl(prefix.len.into()).unwrap_or(0) == 0
        }
        (Family::Ipv4, Prefix::V6(_)) | (Family::Ipv6, Prefix::V4(_)) => false,
    }
}

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = (19 + body.len()) as u16;
    [&[0xff; 16][..], &length.to_be_bytes(), &[kind], body].concat()
}

/// AS 65010, 90 seconds, 10.0.0.2; both families, route refresh, four octets.
fn open() -> Vec<u8> {
    let capabilities = [1, 4, 0, 1, 0, 1, 1, 4, 0, 2, 0, 1, 2, 0, 65, 4, 0, 0, 0xfd, 0xf2];
    let length = capabilities.len() as u8;
    let head = [4, 0xfd, 0xf2, 0, 90, 10, 0, 0, 2, length + 2, 2, length];
    message(1, &[&head[..], &capabilities].concat())
}
