//! Whoever watches a peer's session (RFC 7854), and knows of it what it is told and nothing else.

use std::time::Instant;

use bgp::{
    Attributes, ConnectionId, Context, Ending, NeighborConfig, Observation, PeerConfig, Prefix, SourceId, Speaker,
    SpeakerAction,
};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use super::message;

const PEER: SourceId = SourceId(1);
const OPEN: u8 = 1;
const UPDATE: u8 = 2;
const NOTIFICATION: u8 = 3;

/// It makes of the peer's messages what a speaker makes of them that is configured like the one that is watched.
pub struct Watcher {
    session: NeighborConfig,
    routes: PeerConfig,
    now: Instant,
    /// While the session is up, as far as it was told.
    mirror: Option<(Speaker, ConnectionId)>,
}

impl Watcher {
    pub fn new(session: NeighborConfig, routes: PeerConfig, now: Instant) -> Self {
        Self { session, routes, now, mirror: None }
    }

    /// Takes what was seen: messages that are whole, and sessions that end after they have begun.
    pub fn take(&mut self, observation: Observation) {
        match observation {
            Observation::Up(session) => {
                assert!(self.mirror.is_none(), "it is up already");
                assert!(is_one(&session.opens.sent, OPEN) && is_one(&session.opens.received, OPEN));
                let mut speaker = Speaker::new(1, None, self.now);
                let (config, routes) = (self.session.clone(), self.routes.clone());
                self.call(|ctx| speaker.configure(PEER, config, routes, ctx).expect("a configuration"));
                let Some(SpeakerAction::Connect { connection, .. }) = speaker.poll_action() else {
                    panic!("it begins");
                };
                self.call(|ctx| speaker.connected(PEER, connection, ctx));
                self.call(|ctx| speaker.received(PEER, connection, &session.opens.received, ctx));
                self.call(|ctx| speaker.received(PEER, connection, &message(4, &[]), ctx));
                assert!(speaker.established().eq([PEER]), "the same OPENs, the same session");
                self.mirror = Some((speaker, connection));
            }
            Observation::Update(update) => {
                assert!(is_one(&update, UPDATE), "{update:?}");
                let (mut speaker, connection) = self.mirror.take().expect("it is up");
                self.call(|ctx| speaker.received(PEER, connection, &update, ctx));
                assert!(speaker.established().eq([PEER]), "{update:?}");
                self.mirror = Some((speaker, connection));
            }
            Observation::Down(ending) => {
                assert!(self.mirror.take().is_some(), "it is down already");
                if let Ending::Notifying(notification) | Ending::Notified(notification) = ending {
                    assert!(is_one(&notification, NOTIFICATION));
                }
            }
        }
    }

    /// It knows what the speaker has of the peer. It need not know of routes that are about to go, for they are those of another
    /// session, or were not announced again yet.
    pub fn check(&self, speaker: &Speaker, peer: SourceId) {
        let Some((mirror, _)) = &self.mirror else {
            assert!(speaker.session(peer).is_none(), "it was not told that the session is up");
            return;
        };
        let there = |prefix: &Prefix| of(speaker, peer, prefix);
        for prefix in mirror.rib().prefixes() {
            let (known, _) = of(mirror, PEER, &prefix).expect("its only source");
            assert_eq!(there(&prefix).map(|(route, _)| route), Some(known), "{prefix:?}");
        }
        for prefix in speaker.rib().prefixes() {
            if let Some((_, stale)) = there(&prefix) {
                assert!(stale || of(mirror, PEER, &prefix).is_some(), "{prefix:?}");
            }
        }
    }

    fn call(&self, call: impl FnOnce(&mut Context<'_>)) {
        call(&mut Context { now: self.now, rng: &mut ChaCha8Rng::seed_from_u64(1) });
    }
}

/// A route as it came, and whether it is kept although it should have come again.
fn of(speaker: &Speaker, peer: SourceId, prefix: &Prefix) -> Option<(Attributes, bool)> {
    let mut candidates = speaker.rib().candidates(prefix).into_iter();
    candidates.find(|route| route.source == peer).map(|route| (route.received, route.stale))
}

/// Whether this is one message of a type.
fn is_one(bytes: &[u8], kind: u8) -> bool {
    let head = bytes.split_first_chunk::<19>();
    head.is_some_and(|(head, _)| {
        head.starts_with(&[0xff; 16])
            && usize::from(u16::from_be_bytes([head[16], head[17]])) == bytes.len()
            && head[18] == kind
    })
}
