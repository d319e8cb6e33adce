//! Sessions in virtual time: how they come up, which connection stays, how they end and what is said about it.

mod pair;

use std::time::{Duration, Instant};

use bordergate_bgp::{
    Action, ConfigError, ConnectionId, Context, DownReason, Families, Family, GracefulRestart, Neighbor,
    NeighborConfig, PathAttribute, Prefix, State, Update,
};
use pair::{MILLISECOND, Pair, SECOND, Told, config};
use proptest::prelude::*;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

const BOTH: Families = Families { ipv4: true, ipv6: true };
const NONE: Families = Families { ipv4: false, ipv6: false };

/// A message, as RFC 4271 §4.1 draws it.
fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0xff; 16];
    bytes.extend(u16::try_from(19 + body.len()).unwrap().to_be_bytes());
    bytes.push(kind);
    bytes.extend(body);
    bytes
}

const IPV4: &[u8] = &[1, 4, 0, 1, 0, 1];
const IPV6: &[u8] = &[1, 4, 0, 2, 0, 1];
const REFRESH: &[u8] = &[2, 0];
const AS_65010: &[u8] = &[65, 4, 0, 0, 0xfd, 0xf2];

fn open_with(number: u16, hold: u16, identifier: [u8; 4], capabilities: &[&[u8]]) -> Vec<u8> {
    let mut body = vec![4];
    body.extend(number.to_be_bytes());
    body.extend(hold.to_be_bytes());
    body.extend(identifier);
    let capabilities = capabilities.concat();
    let length = u8::try_from(capabilities.len()).unwrap();
    body.extend([length + 2, 2, length]);
    body.extend(capabilities);
    message(1, &body)
}

fn open() -> Vec<u8> {
    open_with(65010, 90, [10, 0, 0, 2], &[IPV4, IPV6, REFRESH, AS_65010])
}

fn keepalive() -> Vec<u8> {
    message(4, &[])
}

fn notification(code: u8, subcode: u8, data: &[u8]) -> Vec<u8> {
    message(3, &[&[code, subcode], data].concat())
}

fn update(withdrawn: &[u8], attributes: &[&[u8]], announced: &[u8]) -> Vec<u8> {
    let attributes = attributes.concat();
    let mut body = u16::try_from(withdrawn.len()).unwrap().to_be_bytes().to_vec();
    body.extend(withdrawn);
    body.extend(u16::try_from(attributes.len()).unwrap().to_be_bytes());
    body.extend(attributes);
    body.extend(announced);
    message(2, &body)
}

const ORIGIN: &[u8] = &[0x40, 1, 1, 0];
/// 65010.
const AS_PATH: &[u8] = &[0x40, 2, 6, 2, 1, 0, 0, 0xfd, 0xf2];
const NEXT_HOP: &[u8] = &[0x40, 3, 4, 169, 254, 9, 2];
const TEN: &[u8] = &[8, 10];

/// One neighbour, whose peer is written by hand.
struct Alone {
    neighbor: Neighbor,
    rng: ChaCha8Rng,
    now: Instant,
    id: ConnectionId,
    /// All messages it has sent, in order.
    sent: Vec<Vec<u8>>,
    told: Vec<Action>,
    closed: Vec<ConnectionId>,
}

impl Alone {
    fn new(config: NeighborConfig) -> Self {
        let now = Instant::now();
        let neighbor = Neighbor::new(config, now).unwrap();
        let rng = ChaCha8Rng::seed_from_u64(5);
        Self { neighbor, rng, now, id: ConnectionId(0), sent: Vec::new(), told: Vec::new(), closed: Vec::new() }
    }

    fn in_state(state: State) -> Self {
        let mut alone = Self::new(config(0));
        if state >= State::Connect {
            alone.on(|neighbor, ctx| neighbor.start(ctx));
        }
        let id = alone.id;
        if state == State::Active {
            alone.on(|neighbor, ctx| neighbor.connect_failed(id, ctx));
        }
        if state >= State::OpenSent {
            alone.on(|neighbor, ctx| neighbor.connected(id, ctx));
        }
        if state >= State::OpenConfirm {
            alone.take(&open());
        }
        if state == State::Established {
            alone.take(&keepalive());
        }
        assert_eq!(alone.neighbor.status().state, state);
        alone.sent.clear();
        alone
    }

    fn on<R>(&mut self, call: impl FnOnce(&mut Neighbor, &mut Context<'_>) -> R) -> R {
        let result = call(&mut self.neighbor, &mut Context { now: self.now, rng: &mut self.rng });
        while let Some(action) = self.neighbor.poll_action() {
            match action {
                Action::Connect(id) => self.id = id,
                Action::Transmit { bytes, .. } => self.sent.push(bytes.to_vec()),
                Action::Close(id) => self.closed.push(id),
                other => self.told.push(other),
            }
        }
        result
    }

    fn take(&mut self, bytes: &[u8]) {
        let id = self.id;
        self.on(|neighbor, ctx| neighbor.received(id, bytes, ctx));
    }

    fn wait(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some(at) = self.neighbor.next_timeout().filter(|at| *at <= until) {
            self.now = self.now.max(at);
            self.on(|neighbor, ctx| neighbor.handle_timeout(ctx));
        }
        self.now = until;
    }

    fn state(&self) -> State {
        self.neighbor.status().state
    }

    /// Code and subcode of the NOTIFICATION it has sent last.
    fn notified(&self) -> Option<(u8, u8)> {
        let last = self.sent.iter().rfind(|message| message[18] == 3)?;
        Some((last[19], last[20]))
    }

    fn reason(&self) -> Option<DownReason> {
        self.neighbor.status().last_reason.map(|(_, reason)| reason)
    }

    fn updates(&self) -> Vec<Update> {
        let updates = self.told.iter();
        updates.filter_map(|told| if let Action::Update(update) = told { Some(update.clone()) } else { None }).collect()
    }
}

#[test]
fn our_open_says_what_is_configured() {
    let restart = GracefulRestart { restart_time: 120, long_lived_stale_time: 3600, restarting: true };
    let mut alone =
        Alone::new(NeighborConfig { local_as: 4_200_000_001, graceful_restart: Some(restart), ..config(0) });
    alone.on(|neighbor, ctx| neighbor.start(ctx));
    let id = alone.id;
    alone.on(|neighbor, ctx| neighbor.connected(id, ctx));
    let [open] = &alone.sent[..] else { panic!("one message") };
    assert_eq!(open[..16], [0xff; 16]);
    assert_eq!(usize::from(u16::from_be_bytes([open[16], open[17]])), open.len());
    // Version 4, AS_TRANS, 90 seconds, the identifier.
    assert_eq!(open[18..28], [1, 4, 0x5b, 0xa0, 0, 90, 10, 0, 0, 1]);
    let mut capabilities = Vec::new();
    let mut parameters = &open[29..];
    while let [2, length, rest @ ..] = parameters {
        let (mut inside, behind) = rest.split_at(usize::from(*length));
        while let [code, length, rest @ ..] = inside {
            let (value, behind) = rest.split_at(usize::from(*length));
            capabilities.push((*code, value));
            inside = behind;
        }
        parameters = behind;
    }
    let value = |code: u8| capabilities.iter().find(|(known, _)| *known == code).map(|(_, value)| *value);
    assert!(capabilities.contains(&(1, &[0, 1, 0, 1])) && capabilities.contains(&(1, &[0, 2, 0, 1])));
    assert_eq!(value(65), Some(&4_200_000_001u32.to_be_bytes()[..]));
    assert!(value(2).is_some() && value(70).is_some() && value(6).is_some());
    // R and N, 120 seconds; both families, forwarding.
    assert_eq!(value(64), Some(&[0xc0, 120, 0, 1, 1, 0x80, 0, 2, 1, 0x80][..]));
    assert_eq!(value(71), Some(&[0, 1, 1, 0x80, 0, 14, 16, 0, 2, 1, 0x80, 0, 14, 16][..]));
    // RFC 8950: IPv4 routes over IPv6.
    assert_eq!(value(5), Some(&[0, 1, 0, 1, 0, 2][..]));
}

/// RFC 4271 §8.2.2: what each state makes of each event.
#[test]
fn every_state_meets_every_event() {
    #[derive(Clone, Copy, Debug, PartialEq)]
    enum Event {
        Open,
        Keepalive,
        Update,
        Notification,
        Refresh,
        Garbage,
        Hold,
        Closed,
        Stop,
        NoPath,
        Start,
    }
    use Event::{Closed, Garbage, Hold, Keepalive, NoPath, Notification, Open, Refresh, Start, Stop, Update};
    use State::{Active, Connect, Established, Idle, OpenConfirm, OpenSent};
    let all = [Open, Keepalive, Update, Notification, Refresh, Garbage, Hold, Closed, Stop, NoPath, Start];
    // The state after it, and the NOTIFICATION that is sent.
    let expected = |state, event| match (state, event) {
        (Idle, Start) => (Connect, None),
        (Idle, _) => (Idle, None),
        (Connect | Active, Stop | NoPath) => (Idle, None),
        // With nothing to hear from, time only brings the next attempt.
        (Active, Hold) => (Connect, None),
        (Connect | Active, _) => (state, None),
        (_, Start) => (state, None),
        (_, Stop) => (Idle, Some((6, 2))),
        (_, NoPath) => (Idle, Some((6, 10))),
        (_, Garbage) => (Idle, Some((1, 1))),
        (_, Hold) => (Active, Some((4, 0))),
        (_, Closed | Notification) => (Active, None),
        (OpenSent, Open) => (OpenConfirm, None),
        (OpenSent, Keepalive | Update | Refresh) => (Idle, Some((5, 1))),
        (OpenConfirm, Keepalive) => (Established, None),
        (OpenConfirm, Open | Update | Refresh) => (Idle, Some((5, 2))),
        (Established, Keepalive | Update | Refresh) => (Established, None),
        (Established, Open) => (Idle, Some((5, 3))),
    };
    for state in [Idle, Connect, Active, OpenSent, OpenConfirm, Established] {
        for event in all {
            let mut alone = Alone::in_state(state);
            let id = alone.id;
            match event {
                Open => alone.take(&open()),
                Keepalive => alone.take(&keepalive()),
                Update => alone.take(&update(&[], &[ORIGIN, AS_PATH, NEXT_HOP], TEN)),
                Notification => alone.take(&notification(6, 4, &[])),
                Refresh => alone.take(&message(5, &[0, 1, 0, 1])),
                Garbage => alone.take(&[0; 19]),
                Hold => {
                    // To the moment at which it expires, and not to the next attempt to connect.
                    let time = if state == OpenSent { 240 } else { 90 };
                    alone.wait(if state == Active { SECOND } else { Duration::from_secs(time) });
                }
                Closed => alone.on(|neighbor, ctx| neighbor.closed(id, ctx)),
                Stop => alone.on(|neighbor, ctx| neighbor.stop("bye", ctx)),
                NoPath => alone.on(|neighbor, ctx| neighbor.set_path(false, ctx)),
                Start => alone.on(|neighbor, ctx| neighbor.start(ctx)),
            }
            let (after, sent) = expected(state, event);
            assert_eq!((alone.state(), alone.notified()), (after, sent), "{state:?} {event:?}");
            let ended = state >= OpenSent && after < OpenSent;
            let closes = ended || (state == Connect && after == Idle);
            assert_eq!(alone.closed.len(), usize::from(closes), "{state:?} {event:?}");
            let downs = alone.told.iter().filter(|told| matches!(told, Action::Down { .. })).count();
            assert_eq!(downs, usize::from(state == Established && ended));
            assert!(!ended || alone.reason().is_some());
        }
    }
}

#[test]
fn both_ends_come_up_over_one_connection() {
    for seed in 0..200 {
        for (first, second) in [(1, 2), (2, 1), (1, 1)] {
            let end = |end: usize, id: u8| NeighborConfig { router_id: [10, 0, 0, id].into(), ..config(end) };
            // The second begins up to 5 ms after the first, while messages take one or two.
            let mut pair = Pair::staggered([end(0, first), end(1, second)], seed, Duration::from_micros(seed * 25));
            pair.run_for(SECOND);
            assert_eq!(pair.states(), [State::Established; 2], "seed {seed}");
            assert_eq!([pair.connections(0), pair.connections(1)], [1, 1], "seed {seed}");
            assert_eq!([0, 1].map(|end| pair.downs(end).len()), [0, 0]);
            let Told::Up(negotiated) = &pair.ends[0].told[0].1 else { panic!("up first") };
            assert_eq!((negotiated.peer_as, negotiated.families, negotiated.hold_time), (65010, BOTH, 90));
            assert!(negotiated.four_octet_as && negotiated.extended_next_hop && negotiated.route_refresh);
            assert_eq!((negotiated.longest_message, negotiated.restart.clone()), (65535, None));
            // And stays up: keepalives flow.
            pair.run_for(600 * SECOND);
            assert_eq!([0, 1].map(|end| pair.ends[end].neighbor.status().times_up), [1, 1]);
        }
    }
}

#[test]
fn of_two_connections_the_one_of_the_larger_identifier_stays() {
    // RFC 4271 §6.8, RFC 6286 §2.3: ours is 10.0.0.1 in AS 65000.
    for (identifier, number, peers_stays) in
        [([10, 0, 0, 2], 65010, true), ([9, 0, 0, 2], 65010, false), ([10, 0, 0, 1], 65010, true)]
    {
        let mut alone = Alone::in_state(State::OpenSent);
        let ours = alone.id;
        let opened = open_with(number, 90, identifier, &[IPV4, AS_65010]);
        alone.take(&opened);
        let theirs = alone.on(|neighbor, ctx| neighbor.accepted(ctx)).unwrap();
        alone.on(|neighbor, ctx| neighbor.received(theirs, &opened, ctx));
        assert_eq!(alone.notified(), Some((6, 7)));
        let (stays, goes) = if peers_stays { (theirs, ours) } else { (ours, theirs) };
        alone.on(|neighbor, ctx| neighbor.received(goes, &keepalive(), ctx));
        assert_eq!(alone.state(), State::OpenConfirm);
        alone.on(|neighbor, ctx| neighbor.received(stays, &keepalive(), ctx));
        assert_eq!(alone.state(), State::Established);
    }
}

#[test]
fn whatever_else_is_open_is_closed_when_one_is_established() {
    // A connection of ours that the peer has not answered, and one of the peer's, which stays.
    let mut alone = Alone::in_state(State::OpenSent);
    let ours = alone.id;
    let theirs = alone.on(|neighbor, ctx| neighbor.accepted(ctx)).unwrap();
    alone.on(|neighbor, ctx| neighbor.received(theirs, &open(), ctx));
    assert_eq!((alone.notified(), alone.closed.clone(), alone.state()), (Some((6, 7)), vec![ours], State::OpenConfirm));
    // One that does not stay gets no KEEPALIVE: the peer would take it to be up.
    let mut alone = Alone::in_state(State::OpenSent);
    let ours = alone.id;
    let theirs = alone.on(|neighbor, ctx| neighbor.accepted(ctx)).unwrap();
    alone.sent.clear();
    alone.on(|neighbor, ctx| neighbor.received(ours, &[open(), keepalive()].concat(), ctx));
    let kinds: Vec<_> = alone.sent.iter().map(|message| message[18]).collect();
    assert_eq!((kinds, alone.closed.clone(), alone.state()), (vec![3], vec![ours], State::OpenSent));
    alone.on(|neighbor, ctx| neighbor.received(theirs, &[open(), keepalive()].concat(), ctx));
    assert_eq!(alone.state(), State::Established);
    // An attempt that is under way.
    let mut alone = Alone::in_state(State::Connect);
    let ours = alone.id;
    let theirs = alone.on(|neighbor, ctx| neighbor.accepted(ctx)).unwrap();
    alone.on(|neighbor, ctx| neighbor.received(theirs, &[open(), keepalive()].concat(), ctx));
    assert_eq!((alone.state(), alone.closed.clone()), (State::Established, vec![ours]));
    alone.on(|neighbor, ctx| neighbor.connected(ours, ctx));
    assert_eq!(alone.closed, [ours]);
    // One that loses says nothing more, whatever is behind its OPEN.
    let mut alone = Alone::in_state(State::OpenConfirm);
    let theirs = alone.on(|neighbor, ctx| neighbor.accepted(ctx)).unwrap();
    let smaller = open_with(65010, 90, [9, 0, 0, 2], &[IPV4, AS_65010]);
    alone.on(|neighbor, ctx| neighbor.received(theirs, &[smaller, vec![0; 19]].concat(), ctx));
    assert_eq!((alone.state(), alone.closed.clone(), alone.reason()), (State::OpenConfirm, vec![theirs], None));
}

#[test]
fn a_session_that_keeps_breaking_is_tried_ever_less_often_until_one_lasts() {
    let mut alone = Alone::in_state(State::Established);
    let mut waits = Vec::new();
    for lasts in [1, 1, 1, 1, 40, 1] {
        alone.wait(lasts * SECOND);
        let id = alone.id;
        alone.on(|neighbor, ctx| neighbor.closed(id, ctx));
        waits.push(alone.neighbor.next_timeout().unwrap() - alone.now);
        alone.wait(*waits.last().unwrap());
        let id = alone.id;
        alone.on(|neighbor, ctx| neighbor.connected(id, ctx));
        alone.take(&[open(), keepalive()].concat());
        assert_eq!(alone.state(), State::Established);
    }
    for (wait, most) in waits.iter().zip([250, 500, 1000, 2000, 250, 500]) {
        let most = most * MILLISECOND;
        assert!(*wait <= most && *wait >= most * 3 / 4, "{waits:?}");
    }
}

#[test]
fn a_passive_end_waits_and_an_unreachable_peer_is_tried_ever_less_often() {
    let passive = NeighborConfig { passive: true, ..config(1) };
    let mut pair = Pair::new([config(0), passive], 1);
    pair.run_for(SECOND);
    assert_eq!(pair.states(), [State::Established; 2]);
    let mut alone = Alone::new(config(0));
    alone.on(|neighbor, ctx| neighbor.start(ctx));
    let (mut waits, mut tried) = (Vec::new(), alone.now);
    for _ in 0..12 {
        let id = alone.id;
        alone.on(|neighbor, ctx| neighbor.connect_failed(id, ctx));
        assert_eq!((alone.state(), alone.reason()), (State::Active, Some(DownReason::Unreachable)));
        alone.now = alone.neighbor.next_timeout().unwrap();
        alone.on(|neighbor, ctx| neighbor.handle_timeout(ctx));
        waits.push(alone.now - tried);
        tried = alone.now;
    }
    for (place, wait) in waits.iter().enumerate() {
        let most = (250 * MILLISECOND * 2u32.pow(place as u32)).min(10 * SECOND);
        assert!(*wait <= most && *wait >= most * 3 / 4, "{place}: {wait:?}");
    }
}

#[test]
fn silence_ends_a_session_after_the_hold_time_and_keepalives_prevent_it() {
    let mut alone = Alone::in_state(State::Established);
    let begun = alone.now;
    alone.wait(89 * SECOND);
    assert_eq!(alone.state(), State::Established);
    // RFC 4271 §10: a third of the hold time, up to a quarter earlier.
    let keepalives = alone.sent.iter().filter(|message| message[18] == 4).count();
    assert!((2..=3).contains(&keepalives), "{keepalives}");
    alone.wait(SECOND);
    assert_eq!((alone.now - begun, alone.notified()), (90 * SECOND, Some((4, 0))));
    assert_eq!(alone.reason(), Some(DownReason::HoldTimerExpired(90)));
    // What is tried in vain since does not hide it.
    alone.wait(SECOND);
    let id = alone.id;
    alone.on(|neighbor, ctx| neighbor.connect_failed(id, ctx));
    let status = alone.neighbor.status();
    assert_eq!(status.last_reason.map(|(_, reason)| reason), Some(DownReason::Unreachable));
    assert_eq!(status.last_down, Some((begun + 90 * SECOND, DownReason::HoldTimerExpired(90))));
    // Every message counts: UPDATE and ROUTE-REFRESH as well.
    for heard in [keepalive(), update(&[], &[], &[]), message(5, &[0, 1, 0, 1])] {
        let mut alone = Alone::in_state(State::Established);
        for _ in 0..5 {
            alone.wait(60 * SECOND);
            alone.take(&heard);
        }
        assert_eq!(alone.state(), State::Established);
    }
    // A hold time of nothing is for ever.
    let mut alone = Alone::in_state(State::OpenSent);
    alone.take(&open_with(65010, 0, [10, 0, 0, 2], &[IPV4, AS_65010]));
    alone.take(&keepalive());
    alone.wait(10_000 * SECOND);
    assert_eq!(alone.state(), State::Established);
    assert!(alone.sent.len() <= 1, "{}", alone.sent.len());
}

#[test]
fn a_peer_that_does_not_read_is_given_up() {
    let mut alone = Alone::in_state(State::Established);
    let id = alone.id;
    alone.on(|neighbor, ctx| neighbor.stalled(id, ctx));
    // RFC 9687 §4.3.
    assert_eq!((alone.notified(), alone.reason()), (Some((8, 0)), Some(DownReason::NotReading)));
    assert_eq!((alone.state(), alone.closed.len()), (State::Active, 1));
}

#[test]
fn what_is_wrong_with_an_open_is_named_and_said() {
    let id = [10, 0, 0, 2];
    let cases = [
        (
            open_with(65011, 90, id, &[IPV4]),
            (2, 2),
            DownReason::PeerAs { received: 65011, expected: 65010 },
            "the peer is AS 65011; configured is 65010",
        ),
        (
            open_with(23456, 90, id, &[IPV4, &[65, 4, 0xfa, 0x56, 0xea, 0x01]]),
            (2, 2),
            DownReason::PeerAs { received: 4_200_000_001, expected: 65010 },
            "the peer is AS 4200000001; configured is 65010",
        ),
        (
            open_with(65010, 90, [0; 4], &[IPV4]),
            (2, 3),
            DownReason::PeerIdentifier([0; 4].into()),
            "the peer's BGP identifier is 0.0.0.0",
        ),
        (open_with(65010, 2, id, &[IPV4]), (2, 6), DownReason::PeerHoldTime(2), "the peer asks for a hold time of 2 s"),
    ];
    for (opened, sent, reason, words) in cases {
        let mut alone = Alone::in_state(State::OpenSent);
        alone.take(&opened);
        assert_eq!((alone.notified(), alone.reason()), (Some(sent), Some(reason.clone())));
        assert_eq!(reason.to_string(), words);
        assert!(!reason.hint().is_empty());
        // Whoever is wrong is so again: it is not let in for a while, then it is tried again.
        assert_eq!((alone.state(), alone.on(|neighbor, ctx| neighbor.accepted(ctx))), (State::Idle, None));
        alone.wait(SECOND);
        assert_eq!(alone.state(), State::Connect);
        let told = |alone: &Alone| alone.told.iter().filter(|told| matches!(told, Action::NotUp(_))).count();
        assert_eq!((told(&alone), alone.told.contains(&Action::NotUp(reason.clone()))), (1, true));
        // Tried again, it is not told again.
        let id = alone.id;
        alone.on(|neighbor, ctx| neighbor.connected(id, ctx));
        alone.take(&opened);
        assert_eq!((alone.reason(), told(&alone)), (Some(reason), 1));
    }
    let only_v6 = NeighborConfig { families: Families { ipv4: false, ipv6: true }, ..config(0) };
    let mut alone = Alone::new(only_v6);
    alone.on(|neighbor, ctx| neighbor.start(ctx));
    let id_ = alone.id;
    alone.on(|neighbor, ctx| neighbor.connected(id_, ctx));
    alone.take(&open_with(65010, 90, id, &[IPV4]));
    assert_eq!((alone.notified(), alone.reason()), (Some((2, 7)), Some(DownReason::NoCommonFamily)));
    // In one AS, nobody else has our identifier.
    let mut alone = Alone::new(NeighborConfig { remote_as: 65000, ..config(0) });
    alone.on(|neighbor, ctx| neighbor.start(ctx));
    let id_ = alone.id;
    alone.on(|neighbor, ctx| neighbor.connected(id_, ctx));
    alone.take(&open_with(65000, 90, [10, 0, 0, 1], &[IPV4]));
    assert_eq!(alone.notified(), Some((2, 3)));
    let mut alone = Alone::in_state(State::OpenSent);
    let mut version_three = open();
    version_three[19] = 3;
    alone.take(&version_three);
    let last = alone.sent.last().unwrap();
    assert_eq!(last[19..], [2, 1, 0, 4]);
}

#[test]
fn a_peer_with_two_octets_a_number_is_understood() {
    let mut alone = Alone::in_state(State::OpenSent);
    alone.take(&open_with(65010, 90, [10, 0, 0, 2], &[]));
    alone.take(&keepalive());
    let negotiated = alone.neighbor.status().negotiated.unwrap();
    assert!(!negotiated.four_octet_as && !negotiated.route_refresh);
    // RFC 4760 §8: who says nothing of families speaks IPv4.
    assert_eq!((negotiated.families, negotiated.longest_message), (Families { ipv4: true, ipv6: false }, 4096));
    assert!(!alone.neighbor.ask_refresh(Family::Ipv4));
    alone.take(&update(&[], &[ORIGIN, &[0x40, 2, 4, 2, 1, 0xfd, 0xf2], NEXT_HOP], TEN));
    let [PathAttribute::Origin(_), PathAttribute::AsPath(path)] = &alone.updates()[0].attributes[..] else {
        panic!("{:?}", alone.updates())
    };
    assert_eq!(path.asns().collect::<Vec<_>>(), [65010]);
}

fn prefix(text: &str) -> Prefix {
    let (address, length) = text.split_once('/').unwrap();
    let length = length.parse().unwrap();
    match address.parse().unwrap() {
        std::net::IpAddr::V4(address) => Prefix::V4(bordergate_bgp::Ipv4Prefix::new(address, length)),
        std::net::IpAddr::V6(address) => Prefix::V6(bordergate_bgp::Ipv6Prefix::new(address, length)),
    }
}

#[test]
fn routes_of_both_families_come_and_go() {
    let mut alone = Alone::in_state(State::Established);
    alone.take(&update(&[16, 10, 9], &[ORIGIN, AS_PATH, NEXT_HOP], &[8, 10, 24, 192, 0, 2]));
    let reach = [
        &[0x80, 14, 5 + 16 + 5, 0, 2, 1, 16][..],
        &[0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0],
        &[32, 0x20, 1, 0x0d, 0xb8],
    ]
    .concat();
    alone.take(&update(&[], &[ORIGIN, AS_PATH, &reach], &[]));
    alone.take(&update(&[], &[&[0x80, 15, 8, 0, 2, 1, 32, 0x20, 1, 0x0d, 0xb8]], &[]));
    alone.take(&update(&[], &[], &[]));
    alone.take(&update(&[], &[&[0x80, 15, 3, 0, 2, 1]], &[]));
    let [v4, v6, gone, end_v4, end_v6] = &alone.updates()[..] else { panic!("{:?}", alone.updates()) };
    assert_eq!(v4.withdrawn, [prefix("10.9.0.0/16")]);
    assert_eq!(v4.announced.len(), 1);
    assert_eq!(v4.announced[0].next_hop, config(1).local);
    assert_eq!(v4.announced[0].prefixes, [prefix("10.0.0.0/8"), prefix("192.0.2.0/24")]);
    assert_eq!(v4.attributes.len(), 2);
    assert_eq!(v6.announced[0].next_hop, "2001:db8::2".parse::<std::net::IpAddr>().unwrap());
    assert_eq!(v6.announced[0].prefixes, [prefix("2001:db8::/32")]);
    assert_eq!((gone.withdrawn.as_slice(), gone.end_of_rib), ([prefix("2001:db8::/32")].as_slice(), None));
    assert_eq!((end_v4.end_of_rib, end_v6.end_of_rib), (Some(Family::Ipv4), Some(Family::Ipv6)));
    assert!(alone.updates().iter().all(|update| update.faults.is_empty()));
}

/// RFC 7606 §7: what each malformed attribute does.
#[test]
fn malformed_attributes_withdraw_routes_or_are_left_out_and_the_session_stays() {
    let withdraws: &[(&str, &[&[u8]])] = &[
        ("ORIGIN of 5", &[&[0x40, 1, 1, 5], AS_PATH, NEXT_HOP]),
        ("ORIGIN of two bytes", &[&[0x40, 1, 2, 0, 0], AS_PATH, NEXT_HOP]),
        ("ORIGIN that is optional", &[&[0xc0, 1, 1, 0], AS_PATH, NEXT_HOP]),
        ("no ORIGIN", &[AS_PATH, NEXT_HOP]),
        ("no AS_PATH", &[ORIGIN, NEXT_HOP]),
        ("AS_PATH that ends too early", &[ORIGIN, &[0x40, 2, 6, 2, 2, 0, 0, 0xfd, 0xf2], NEXT_HOP]),
        ("AS_PATH with AS_SET, RFC 9774", &[ORIGIN, &[0x40, 2, 6, 1, 1, 0, 0, 0xfd, 0xf2], NEXT_HOP]),
        ("AS_PATH with AS 0, RFC 7607", &[ORIGIN, &[0x40, 2, 6, 2, 1, 0, 0, 0, 0], NEXT_HOP]),
        ("NEXT_HOP of three bytes", &[ORIGIN, AS_PATH, &[0x40, 3, 3, 169, 254, 9]]),
        ("no NEXT_HOP", &[ORIGIN, AS_PATH]),
        ("NEXT_HOP that is multicast", &[ORIGIN, AS_PATH, &[0x40, 3, 4, 224, 0, 0, 1]]),
        ("MULTI_EXIT_DISC of three bytes", &[ORIGIN, AS_PATH, NEXT_HOP, &[0x80, 4, 3, 0, 0, 1]]),
        ("COMMUNITIES of five bytes", &[ORIGIN, AS_PATH, NEXT_HOP, &[0xc0, 8, 5, 1, 2, 3, 4, 5]]),
        ("extended communities of nine", &[ORIGIN, AS_PATH, NEXT_HOP, &[0xc0, 16, 9, 0, 2, 0, 1, 0, 0, 0, 1, 0]]),
        ("large communities of eleven", &[ORIGIN, AS_PATH, NEXT_HOP, &[0xc0, 32, 11, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0]]),
        ("an attribute longer than the rest", &[ORIGIN, AS_PATH, NEXT_HOP, &[0x80, 4, 40, 0, 0, 1]]),
        ("a well-known attribute that nobody knows", &[ORIGIN, AS_PATH, NEXT_HOP, &[0x40, 99, 1, 0]]),
    ];
    for (name, attributes) in withdraws {
        let mut alone = Alone::in_state(State::Established);
        alone.take(&update(&[16, 10, 9], attributes, TEN));
        assert_eq!((alone.state(), alone.notified()), (State::Established, None), "{name}");
        let update = alone.updates().remove(0);
        assert_eq!((update.withdrawn.len(), update.announced.len()), (2, 0), "{name}: {update:?}");
        assert!(update.withdrawn.contains(&prefix("10.0.0.0/8")) && update.faults.iter().any(|fault| fault.withdraws));
        assert!(update.faults.len() == 1 && !update.faults[0].words.is_empty(), "{name}: {update:?}");
    }
    let left_out: &[(&str, &[u8])] = &[
        ("ATOMIC_AGGREGATE with a byte", &[0x40, 6, 1, 0]),
        ("AGGREGATOR of seven bytes", &[0xc0, 7, 7, 0, 0, 0xfd, 0xf2, 10, 0, 0]),
        ("LOCAL_PREF from another AS", &[0x40, 5, 4, 0, 0, 0, 200]),
        ("a second ORIGIN", &[0x40, 1, 1, 2]),
    ];
    for (name, attribute) in left_out {
        let mut alone = Alone::in_state(State::Established);
        alone.take(&update(&[], &[ORIGIN, AS_PATH, NEXT_HOP, attribute], TEN));
        let update = alone.updates().remove(0);
        assert_eq!((update.announced.len(), update.withdrawn.len()), (1, 0), "{name}: {update:?}");
        assert_eq!(update.attributes.len(), 2, "{name}: {update:?}");
        assert!(update.attributes.contains(&PathAttribute::Origin(bordergate_bgp::Origin::Igp)));
    }
}

#[test]
fn what_leaves_prefixes_unknown_ends_the_session() {
    let cases: &[(&str, Vec<u8>, (u8, u8))] = &[
        ("a prefix of 33 bits", update(&[], &[ORIGIN, AS_PATH, NEXT_HOP], &[33, 10, 0, 0, 0, 0]), (3, 10)),
        ("withdrawn routes longer than the message", message(2, &[0, 9, 8, 10, 0, 0]), (3, 1)),
        ("MP_REACH_NLRI that ends too early", update(&[], &[ORIGIN, AS_PATH, &[0x80, 14, 2, 0, 2]], &[]), (3, 5)),
        ("a message of no known type", message(9, &[]), (1, 3)),
        ("a KEEPALIVE with a body", message(4, &[0]), (1, 2)),
        ("a message that is longer than may be", [&[0xff; 16][..], &[0xff, 0xff, 4]].concat(), (1, 2)),
        ("a message that is shorter than its header", [&[0xff; 16][..], &[0, 18, 4]].concat(), (1, 2)),
    ];
    for (name, bytes, sent) in cases {
        let mut alone = Alone::in_state(State::Established);
        alone.take(bytes);
        assert_eq!((alone.state(), alone.notified()), (State::Idle, Some(*sent)), "{name}");
        let Some(DownReason::Malformed(words)) = alone.reason() else { panic!("{name}: {:?}", alone.reason()) };
        assert!(!words.is_empty());
    }
}

#[test]
fn families_that_were_not_agreed_on_are_ignored() {
    let mut alone = Alone::in_state(State::OpenSent);
    alone.take(&open_with(65010, 90, [10, 0, 0, 2], &[IPV4, REFRESH, AS_65010]));
    alone.take(&keepalive());
    alone.take(&update(&[], &[&[0x80, 15, 8, 0, 2, 1, 32, 0x20, 1, 0x0d, 0xb8]], &[]));
    alone.take(&message(5, &[0, 2, 0, 1]));
    alone.take(&message(5, &[0, 77, 0, 1]));
    assert_eq!(alone.updates(), [Update::default()]);
    assert!(!alone.told.contains(&Action::Refresh(Family::Ipv6)));
    assert_eq!(alone.state(), State::Established);
}

#[test]
fn refreshes_are_passed_on_and_asked_for() {
    let mut alone = Alone::in_state(State::Established);
    for subtype in [0, 1, 2, 9] {
        alone.take(&message(5, &[0, 2, subtype, 1]));
    }
    let told: Vec<_> = alone.told.iter().filter(|told| !matches!(told, Action::Up(_))).collect();
    let v6 = Family::Ipv6;
    assert_eq!(told, [&Action::Refresh(v6), &Action::RefreshBegins(v6), &Action::RefreshEnds(v6)]);
    assert!(alone.on(|neighbor, _| neighbor.ask_refresh(v6)));
    assert_eq!(alone.sent.last().unwrap()[18..], [5, 0, 2, 0, 1]);
}

#[test]
fn an_end_of_our_own_is_said_in_words() {
    let mut pair = Pair::new([config(0), config(1)], 1);
    pair.run_for(SECOND);
    pair.on(0, |neighbor, ctx| neighbor.stop("moving to another site", ctx));
    pair.run_for(SECOND);
    assert_eq!(pair.states()[0], State::Idle);
    let communication = Some("moving to another site".to_owned());
    let notified = DownReason::Notified { code: 6, subcode: 2, hard: false, communication };
    assert_eq!(pair.downs(1), [(notified.clone(), NONE)]);
    let words = "the peer has ended it: Cease, Administrative Shutdown (6/2): moving to another site";
    assert_eq!(notified.to_string(), words);
    assert_eq!(pair.downs(0), [(DownReason::Stopped("moving to another site".to_owned()), NONE)]);
    pair.run_for(60 * SECOND);
    assert_eq!(pair.ends[1].neighbor.status().times_up, 1);
    pair.on(0, |neighbor, ctx| neighbor.start(ctx));
    pair.run_for(SECOND);
    assert_eq!(pair.states(), [State::Established; 2]);
    pair.on(1, |neighbor, ctx| neighbor.reset("", ctx));
    pair.run_for(SECOND);
    assert_eq!((pair.states(), pair.ends[0].neighbor.status().times_up), ([State::Established; 2], 3));
}

#[test]
fn a_way_that_is_lost_ends_the_session_at_once_and_one_that_is_back_begins_it() {
    let mut pair = Pair::new([config(0), config(1)], 1);
    pair.run_for(SECOND);
    pair.reachable = false;
    for end in 0..2 {
        pair.on(end, |neighbor, ctx| neighbor.set_path(false, ctx));
        assert_eq!(pair.downs(end), [(DownReason::PathLost, NONE)]);
    }
    pair.run_for(60 * SECOND);
    assert_eq!(pair.states(), [State::Idle; 2]);
    pair.reachable = true;
    for end in 0..2 {
        pair.on(end, |neighbor, ctx| neighbor.set_path(true, ctx));
    }
    pair.run_for(20 * MILLISECOND);
    assert_eq!(pair.states(), [State::Established; 2]);
}

#[test]
fn too_many_prefixes_end_the_session_until_it_is_let_in_again() {
    let mut pair = Pair::new([config(0), config(1)], 1);
    pair.run_for(SECOND);
    let limit = |neighbor: &mut Neighbor, ctx: &mut Context<'_>| {
        neighbor.exceed_prefix_limit(Family::Ipv6, 100, Some(30 * SECOND), ctx);
    };
    pair.on(0, limit);
    pair.run_for(SECOND);
    let notified = DownReason::Notified { code: 6, subcode: 1, hard: false, communication: None };
    assert_eq!((pair.downs(0), pair.downs(1)), (vec![(DownReason::PrefixLimit(100), NONE)], vec![(notified, NONE)]));
    pair.run_for(27 * SECOND);
    assert_eq!(pair.ends[0].neighbor.status().times_up, 1);
    pair.run_for(14 * SECOND);
    assert_eq!(pair.states(), [State::Established; 2]);
    pair.on(0, |neighbor, ctx| neighbor.exceed_prefix_limit(Family::Ipv4, 7, None, ctx));
    pair.run_for(600 * SECOND);
    assert_eq!(pair.states()[0], State::Idle);
    pair.on(0, |neighbor, ctx| neighbor.start(ctx));
    pair.run_for(SECOND);
    assert_eq!(pair.states(), [State::Established; 2]);
    // RFC 4486 §4: which family, and how many.
    let mut alone = Alone::in_state(State::Established);
    alone.on(|neighbor, ctx| neighbor.exceed_prefix_limit(Family::Ipv6, 100, None, ctx));
    assert_eq!(alone.sent.last().unwrap()[18..], [3, 6, 1, 0, 2, 1, 0, 0, 0, 100]);
}

fn restarting(end: usize, restarting: bool) -> NeighborConfig {
    let restart = GracefulRestart { restart_time: 120, long_lived_stale_time: 0, restarting };
    NeighborConfig { graceful_restart: Some(restart), ..config(end) }
}

#[test]
fn routes_outlive_a_restart_where_both_ends_say_so() {
    for tell in [true, false] {
        let mut pair = Pair::new([restarting(0, false), restarting(1, false)], 1);
        pair.run_for(60 * SECOND);
        pair.restart(1, restarting(1, true), tell);
        pair.run_for(2 * SECOND);
        assert_eq!(pair.states(), [State::Established; 2]);
        // Told or not, the peer is known to have restarted, and nothing waits for a timer.
        let reason = if tell { DownReason::ConnectionClosed } else { DownReason::Restarted };
        assert_eq!(pair.downs(0), [(reason, BOTH)]);
        let status = pair.ends[0].neighbor.status();
        let restart = status.negotiated.unwrap().restart.clone().unwrap();
        assert!(restart.restarting && restart.notification);
        assert_eq!((restart.time, restart.forwarding), (120, BOTH));
    }
    // Without it the peer's new connection is one too many until the old one is known to be dead.
    let mut pair = Pair::new([config(0), config(1)], 1);
    pair.run_for(60 * SECOND);
    pair.restart(1, config(1), false);
    pair.run_for(20 * SECOND);
    assert_eq!(pair.downs(0), []);
    pair.run_for(90 * SECOND);
    assert_eq!(pair.downs(0), [(DownReason::HoldTimerExpired(90), NONE)]);
    assert_eq!(pair.states(), [State::Established; 2]);
}

#[test]
fn a_notification_leaves_routes_but_a_hard_reset_does_not() {
    // RFC 8538: our stop is a Hard Reset towards a peer that knows it.
    let mut pair = Pair::new([restarting(0, false), restarting(1, false)], 1);
    pair.run_for(60 * SECOND);
    pair.on(0, |neighbor, ctx| neighbor.stop("gone", ctx));
    pair.run_for(SECOND);
    let communication = Some("gone".to_owned());
    let hard = DownReason::Notified { code: 6, subcode: 2, hard: true, communication };
    assert_eq!(pair.downs(1), [(hard.clone(), NONE)]);
    assert_eq!(hard.to_string(), "the peer has ended it: Cease, Administrative Shutdown (6/2, hard reset): gone");
    let with_restart = |flags| [64, 10, flags, 120, 0, 1, 1, 0, 0, 2, 1, 0];
    let n = 0x40;
    for (flags, bytes, retain) in [
        (n, notification(6, 4, &[]), BOTH),
        (n, notification(6, 9, &[6, 4]), NONE),
        (n, vec![], BOTH),
        (0, notification(6, 4, &[]), NONE),
        (0, vec![], NONE),
    ] {
        let mut alone = Alone::new(restarting(0, false));
        alone.on(|neighbor, ctx| neighbor.start(ctx));
        let id = alone.id;
        alone.on(|neighbor, ctx| neighbor.connected(id, ctx));
        alone.take(&open_with(65010, 90, [10, 0, 0, 2], &[IPV4, IPV6, AS_65010, &with_restart(flags)]));
        alone.take(&keepalive());
        alone.take(&bytes);
        // Without a NOTIFICATION, ours that the hold time is over.
        alone.wait(if bytes.is_empty() { 90 * SECOND } else { Duration::ZERO });
        let Some(Action::Down { retain: kept, .. }) = alone.told.last() else { panic!("down") };
        assert_eq!(*kept, retain, "{flags} {bytes:?}");
    }
}

#[test]
fn what_cannot_be_configured_is_named() {
    let cases = [
        (
            NeighborConfig { local: "2001:db8::1".parse().unwrap(), ..config(0) },
            "local 2001:db8::1 and remote 169.254.9.2 are of different families",
        ),
        (
            NeighborConfig { remote_as: 0, ..config(0) },
            "remote_as is 0; allowed: 1 to 4294967294, without 23456 and 65535",
        ),
        (NeighborConfig { router_id: [0; 4].into(), ..config(0) }, "router_id is 0.0.0.0; allowed: any other"),
        (NeighborConfig { hold_time: 2, ..config(0) }, "hold_time is 2 s; allowed: 0, or 3 to 65535"),
        (
            NeighborConfig { connect_retry: 500 * MILLISECOND, ..config(0) },
            "connect_retry is 500ms; allowed: 1 s to 300 s",
        ),
        (
            NeighborConfig { families: NONE, ..config(0) },
            "no family is chosen; allowed: IPv4 unicast, IPv6 unicast, or both",
        ),
    ];
    for (config, words) in cases {
        assert_eq!(Neighbor::new(config, Instant::now()).unwrap_err().to_string(), words);
    }
    let long = GracefulRestart { restart_time: 4096, long_lived_stale_time: 0, restarting: false };
    let config_ = NeighborConfig { graceful_restart: Some(long), ..config(0) };
    assert_eq!(Neighbor::new(config_, Instant::now()).unwrap_err(), ConfigError::RestartTime(4096));
}

#[test]
fn another_configuration_begins_anew_only_where_an_open_says_it() {
    let mut pair = Pair::new([config(0), config(1)], 1);
    pair.run_for(60 * SECOND);
    let patient = NeighborConfig { connect_retry: 60 * SECOND, ..config(0) };
    pair.on(0, |neighbor, ctx| neighbor.reconfigure(patient.clone(), ctx)).unwrap();
    pair.run_for(SECOND);
    assert_eq!(pair.downs(0), []);
    let shorter = NeighborConfig { hold_time: 9, ..patient };
    pair.on(0, |neighbor, ctx| neighbor.reconfigure(shorter, ctx)).unwrap();
    pair.run_for(SECOND);
    assert_eq!(pair.downs(0), [(DownReason::ConfigurationChanged, NONE)]);
    let notified = DownReason::Notified { code: 6, subcode: 6, hard: false, communication: None };
    assert_eq!(pair.downs(1), [(notified, NONE)]);
    assert_eq!(pair.ends[1].neighbor.status().negotiated.unwrap().hold_time, 9);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever comes, in whatever pieces, a neighbour waits for later moments only, and comes up again with a peer that behaves.
    #[test]
    fn arbitrary_bytes_end_a_session_at_most(
        state in 3usize..6,
        pieces in proptest::collection::vec((proptest::collection::vec(any::<u8>(), 0..80), 0u8..6, 0u64..100_000), 0..30),
    ) {
        let states = [State::Idle, State::Connect, State::Active, State::OpenSent, State::OpenConfirm, State::Established];
        let mut alone = Alone::in_state(states[state]);
        for (bytes, kind, wait) in pieces {
            alone.wait(Duration::from_millis(wait));
            // Most have a right header, so that what is in them is looked at.
            alone.take(&if kind == 0 { bytes } else { message(kind, &bytes) });
            if let Some(next) = alone.neighbor.next_timeout() {
                prop_assert!(next >= alone.now);
            }
            if alone.state() < State::OpenSent {
                break;
            }
        }
        alone.on(|neighbor, ctx| neighbor.reset("", ctx));
        let id = alone.id;
        alone.on(|neighbor, ctx| neighbor.connected(id, ctx));
        alone.take(&open());
        alone.take(&keepalive());
        prop_assert_eq!(alone.state(), State::Established);
    }

    /// Ends that restart, reset and lose their way at any moment find together again over one connection.
    #[test]
    fn ends_find_together(seed in any::<u64>(), steps in proptest::collection::vec((0u8..8, 0u64..3000), 0..20)) {
        let config = |end| if seed % 2 == 0 { restarting(end, false) } else { config(end) };
        let mut pair = Pair::new([config(0), config(1)], seed);
        for (step, wait) in steps {
            pair.run_for(Duration::from_millis(wait));
            let end = usize::from(step % 2);
            match step / 2 {
                0 => pair.on(end, |neighbor, ctx| neighbor.reset("", ctx)),
                1 => pair.restart(end, config(end), wait % 2 == 0),
                2 => pair.reachable = !pair.reachable,
                _ => {
                    pair.on(end, |neighbor, ctx| neighbor.stop("", ctx));
                    pair.on(end, |neighbor, ctx| neighbor.start(ctx));
                }
            }
        }
        pair.reachable = true;
        pair.run_for(300 * SECOND);
        prop_assert_eq!(pair.states(), [State::Established; 2]);
        prop_assert_eq!([pair.connections(0), pair.connections(1)], [1, 1]);
        let ups = |pair: &Pair| [0, 1].map(|end| pair.ends[end].neighbor.status().times_up);
        let before = ups(&pair);
        pair.run_for(600 * SECOND);
        prop_assert_eq!(ups(&pair), before);
    }
}
