//! Sessions in virtual time: how they come up, what they say when, how they go down.

mod pair;

use std::net::IpAddr;
use std::time::{Duration, Instant};

use bordergate_bfd::{
    Action, Algorithm, Arrival, Authentication, AuthenticationError, ConfigError, Diagnostic, Discard, Distance,
    Endpoint, Key, ParseError, SessionConfig, SessionId, State,
};
use pair::{Change, MILLISECOND, Pair, SESSION, config};
use proptest::prelude::*;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

const SECOND: Duration = Duration::from_secs(1);

fn up() -> Pair {
    let mut pair = Pair::new([config(0), config(1)], 1);
    pair.run_until(5 * SECOND);
    assert_eq!(pair.states(), [State::Up; 2]);
    pair
}

/// A control packet, field by field as RFC 5880 §4.1 draws it.
fn control(state: u8, flags: u8, my: u32, your: u32, min_tx: u32, min_rx: u32) -> Vec<u8> {
    let mut bytes = vec![0x20, state << 6 | flags, 3, 24];
    for word in [my, your, min_tx, min_rx, 0] {
        bytes.extend(word.to_be_bytes());
    }
    bytes
}

/// One end alone, driven by packets made by hand.
struct Alone {
    endpoint: Endpoint,
    rng: ChaCha8Rng,
    now: Instant,
}

const POLL: u8 = 0x20;
const FINAL: u8 = 0x10;
const DEMAND: u8 = 0x02;
const ADMIN_DOWN: u8 = 0;
const DOWN: u8 = 1;
const INIT: u8 = 2;
const UP: u8 = 3;

impl Alone {
    fn new(config: SessionConfig) -> Self {
        let (mut endpoint, mut rng, now) = (Endpoint::new(), ChaCha8Rng::seed_from_u64(9), Instant::now());
        endpoint.configure(SESSION, config, now, &mut rng).unwrap();
        Self { endpoint, rng, now }
    }

    /// In one of the states, the other end having been heard in all but the first two of them.
    fn in_state(state: State) -> Self {
        let mut alone = Self::new(config(0));
        match state {
            State::AdminDown => alone.endpoint.set_admin(SESSION, false, alone.now, &mut alone.rng),
            State::Down => {}
            State::Init => alone.take(DOWN, 0),
            State::Up => alone.take(INIT, 0),
        }
        assert_eq!(alone.state(), state);
        while alone.endpoint.poll_action().is_some() {}
        alone
    }

    fn take(&mut self, state: u8, flags: u8) {
        self.take_with(state, flags, 100_000, 100_000);
    }

    fn take_with(&mut self, state: u8, flags: u8, min_tx: u32, min_rx: u32) {
        let ours = self.endpoint.status(SESSION).unwrap().discriminator;
        let payload = control(state, flags, 77, ours, min_tx, min_rx);
        self.try_take(&payload, 255).unwrap();
    }

    fn try_take(&mut self, payload: &[u8], ttl: u8) -> Result<(), Discard> {
        let SessionConfig { local, remote, .. } = config(0);
        let arrival = Arrival { local, remote, port: 3784, ttl, payload };
        self.endpoint.handle_datagram(arrival, self.now, &mut self.rng)
    }

    fn wait(&mut self, time: Duration) -> Vec<Vec<u8>> {
        let until = self.now + time;
        let mut sent = self.sent();
        while let Some(next) = self.endpoint.next_timeout().filter(|next| *next <= until) {
            self.now = next.max(self.now);
            self.endpoint.handle_timeout(self.now, &mut self.rng);
            sent.extend(self.sent());
        }
        self.now = until;
        sent
    }

    fn sent(&mut self) -> Vec<Vec<u8>> {
        let mut sent = Vec::new();
        while let Some(action) = self.endpoint.poll_action() {
            if let Action::Transmit { payload, .. } = action {
                sent.push(payload);
            }
        }
        sent
    }

    fn state(&self) -> State {
        self.endpoint.status(SESSION).unwrap().state
    }
}

#[test]
fn both_ends_come_up_within_two_packets_of_a_second() {
    for seed in 0..50 {
        let mut pair = Pair::new([config(0), config(1)], seed);
        pair.run_until(2 * SECOND + 10 * MILLISECOND);
        assert_eq!(pair.states(), [State::Up; 2], "seed {seed}");
        assert!(pair.discards.is_empty());
        for end in 0..2 {
            let status = pair.status(end);
            assert_eq!((status.interval, status.detection_time), (Some(50 * MILLISECOND), 150 * MILLISECOND));
            assert_eq!(status.remote_discriminator, pair.status(1 - end).discriminator);
            assert_eq!(status.times_up, 1);
        }
    }
}

#[test]
fn packets_come_at_the_slower_of_both_wishes_less_up_to_a_quarter() {
    let slow = SessionConfig { required_min_rx: 80 * MILLISECOND, desired_min_tx: 20 * MILLISECOND, ..config(1) };
    let mut pair = Pair::new([config(0), slow], 1);
    pair.run_until(65 * SECOND);
    // The first takes a packet every 50 ms, the second every 80.
    for (end, interval) in [(0, 80 * MILLISECOND), (1, 50 * MILLISECOND)] {
        let gaps = pair.gaps(end, 5 * SECOND);
        assert!(gaps.len() > 700, "{}", gaps.len());
        let (least, most) = (*gaps.iter().min().unwrap(), *gaps.iter().max().unwrap());
        assert!(least >= interval * 3 / 4 && most <= interval, "{least:?} {most:?}");
        assert!(least < interval * 78 / 100 && most > interval * 97 / 100, "{least:?} {most:?}");
    }
    // RFC 5880 §6.8.4: three times what the other end takes or sends, the slower.
    assert_eq!([0, 1].map(|end| pair.status(end).detection_time), [150 * MILLISECOND, 240 * MILLISECOND]);
}

#[test]
fn a_multiplier_of_one_leaves_a_tenth_at_least() {
    let one = |end| SessionConfig { detect_multiplier: 1, ..config(end) };
    let mut pair = Pair::new([one(0), one(1)], 1);
    pair.delay = Duration::ZERO;
    pair.run_until(30 * SECOND);
    let most = pair.gaps(0, 5 * SECOND).into_iter().max().unwrap();
    assert!(most <= 45 * MILLISECOND && most > 43 * MILLISECOND, "{most:?}");
    assert_eq!((pair.status(0).times_up, pair.states()), (1, [State::Up; 2]));
}

#[test]
fn down_there_is_one_packet_a_second() {
    let mut pair = Pair::new([config(0), config(1)], 1);
    pair.drop = Box::new(|_, _| true);
    pair.run_until(100 * SECOND);
    let gaps = pair.gaps(0, Duration::ZERO);
    assert!(gaps.iter().all(|gap| (750 * MILLISECOND..=SECOND).contains(gap)), "{gaps:?}");
    assert!((100..=134).contains(&gaps.len()), "{}", gaps.len());
}

#[test]
fn silence_is_noticed_after_the_detection_time_to_the_moment() {
    let mut pair = up();
    let cut = pair.elapsed();
    pair.drop = Box::new(|_, from| from == 0);
    pair.run_for(4 * SECOND);
    let last = pair.ends[0].sent.iter().map(|(at, _)| *at).rfind(|at| *at <= cut).unwrap();
    let noticed = *pair.ends[1].changes.last().unwrap();
    let expected = last + pair.delay + 150 * MILLISECOND;
    assert_eq!(noticed, Change { at: expected, to: State::Down, diagnostic: Diagnostic::DetectionTimeExpired });
    // The end that is still heard says so at once, and the other follows.
    let told = pair.ends[0].changes.iter().find(|change| change.at > cut).unwrap();
    let following = Change { at: expected + pair.delay, to: State::Down, diagnostic: Diagnostic::NeighborSignaledDown };
    assert_eq!(*told, following);
    pair.drop = Box::new(|_, _| false);
    pair.run_for(3 * SECOND);
    assert_eq!(pair.states(), [State::Up; 2]);
}

#[test]
fn one_packet_less_than_the_multiplier_may_be_missing() {
    let mut pair = up();
    let mut number = 0;
    pair.drop = Box::new(move |_, from| {
        number += u32::from(from == 0);
        from == 0 && !number.is_multiple_of(3)
    });
    pair.run_for(60 * SECOND);
    assert_eq!([0, 1].map(|end| pair.status(end).times_up), [1; 2]);
}

/// RFC 5880 §6.8.6, all of it: the state, what is received in it, the state after it.
#[test]
fn every_state_meets_every_received_state() {
    use State::{AdminDown, Down, Init, Up};
    let table = [
        (AdminDown, [AdminDown, AdminDown, AdminDown, AdminDown]),
        (Down, [Down, Init, Up, Down]),
        (Init, [Down, Init, Up, Up]),
        (Up, [Down, Down, Up, Up]),
    ];
    for (before, after) in table {
        for (received, expected) in [ADMIN_DOWN, DOWN, INIT, UP].into_iter().zip(after) {
            for flags in [0, POLL, FINAL, DEMAND] {
                let mut alone = Alone::in_state(before);
                alone.take(received, flags);
                assert_eq!(alone.state(), expected, "{before:?} {received}");
                let diagnostic = alone.endpoint.status(SESSION).unwrap().diagnostic;
                match (before, expected) {
                    (Init | Up, Down) => assert_eq!(diagnostic, Diagnostic::NeighborSignaledDown),
                    (AdminDown, _) => assert_eq!(diagnostic, Diagnostic::AdministrativelyDown),
                    _ => assert_eq!(diagnostic, Diagnostic::None),
                }
                let mut changes = Vec::new();
                let mut answers = 0;
                while let Some(action) = alone.endpoint.poll_action() {
                    match action {
                        Action::StateChanged { from, to, .. } => changes.push((from, to)),
                        Action::Transmit { payload, .. } => answers += u32::from(payload[1] & FINAL != 0),
                    }
                }
                let expected_changes = if before == expected { vec![] } else { vec![(before, expected)] };
                assert_eq!(changes, expected_changes);
                // A poll is answered at once in all states but the one in which nothing is taken in.
                assert_eq!(answers, u32::from(flags == POLL && before != AdminDown));
            }
        }
    }
}

#[test]
fn every_state_meets_silence_and_the_administrator() {
    use State::{AdminDown, Down, Init, Up};
    for (before, silent) in [(AdminDown, AdminDown), (Down, Down), (Init, Down), (Up, Down)] {
        let mut alone = Alone::in_state(before);
        alone.wait(10 * SECOND);
        assert_eq!(alone.state(), silent);
        let status = alone.endpoint.status(SESSION).unwrap();
        assert_eq!(status.remote_discriminator, 0);
        if before == Init || before == Up {
            assert_eq!(status.diagnostic, Diagnostic::DetectionTimeExpired);
        }
    }
    for before in [AdminDown, Down, Init, Up] {
        let mut alone = Alone::in_state(before);
        alone.endpoint.set_admin(SESSION, false, alone.now, &mut alone.rng);
        assert_eq!(alone.state(), AdminDown);
        let mut alone = Alone::in_state(before);
        alone.endpoint.set_admin(SESSION, true, alone.now, &mut alone.rng);
        assert_eq!(alone.state(), if before == AdminDown { Down } else { before });
    }
}

#[test]
fn an_end_held_down_says_so_and_comes_back() {
    let mut pair = up();
    pair.set_admin(0, false);
    pair.run_for(10 * MILLISECOND);
    assert_eq!(pair.states(), [State::AdminDown, State::Down]);
    let status = pair.status(1);
    assert_eq!(status.diagnostic, Diagnostic::NeighborSignaledDown);
    assert_eq!((status.remote_state, status.remote_diagnostic), (State::AdminDown, Diagnostic::AdministrativelyDown));
    pair.run_for(20 * SECOND);
    assert_eq!(pair.states(), [State::AdminDown, State::Down]);
    pair.set_admin(0, true);
    pair.run_for(3 * SECOND);
    assert_eq!(pair.states(), [State::Up; 2]);
}

#[test]
fn an_end_that_restarts_is_noticed_and_comes_back() {
    let mut pair = up();
    let before = pair.status(0).discriminator;
    let end = &mut pair.ends[0];
    end.endpoint = Endpoint::new();
    end.endpoint.configure(SESSION, config(0), pair.now, &mut end.rng).unwrap();
    pair.run_for(3 * SECOND);
    assert_eq!(pair.states(), [State::Up; 2]);
    assert_ne!(pair.status(0).discriminator, before);
    assert_eq!(pair.status(1).times_up, 2);
}

#[test]
fn intervals_change_without_the_session_going_down() {
    let mut pair = up();
    // Ten times as slow, then ten times as fast as that, in what is sent and in what is taken, at either end.
    let slow = 500 * MILLISECOND;
    for (end, tx, rx) in [(0, slow, slow), (1, slow, slow), (0, 50 * MILLISECOND, slow), (1, slow, 50 * MILLISECOND)] {
        let wanted = SessionConfig { desired_min_tx: tx, required_min_rx: rx, ..config(end) };
        pair.reconfigure(end, wanted);
        pair.run_for(5 * SECOND);
    }
    let both = SessionConfig { desired_min_tx: 50 * MILLISECOND, required_min_rx: 50 * MILLISECOND, ..config(0) };
    pair.reconfigure(0, both);
    let since = pair.elapsed();
    pair.run_for(5 * SECOND);
    assert_eq!([0, 1].map(|end| pair.status(end).times_up), [1; 2]);
    assert_eq!([0, 1].map(|end| pair.status(end).interval), [Some(50 * MILLISECOND), Some(slow)]);
    assert!(pair.gaps(0, since + SECOND).iter().all(|gap| *gap <= 50 * MILLISECOND));
}

#[test]
fn sending_less_often_waits_until_the_other_end_knows() {
    let patient = |end| SessionConfig { detect_multiplier: 10, ..config(end) };
    let mut pair = Pair::new([patient(0), patient(1)], 1);
    pair.run_until(5 * SECOND);
    let since = pair.elapsed();
    pair.drop = Box::new(|_, from| from == 1);
    pair.reconfigure(0, SessionConfig { desired_min_tx: SECOND, ..patient(0) });
    pair.run_for(140 * MILLISECOND);
    // Whoever polls has no answer yet, so the old interval holds; and every packet asks.
    let sent: Vec<_> = pair.ends[0].sent.iter().filter(|(at, _)| *at > since).collect();
    assert!(sent.len() >= 2 && sent.iter().all(|(_, packet)| packet[1] & POLL != 0));
    pair.drop = Box::new(|_, _| false);
    pair.run_for(5 * SECOND);
    assert_eq!((pair.status(0).interval, pair.status(0).times_up), (Some(SECOND), 1));
    let last = &pair.ends[0].sent.last().unwrap().1;
    assert_eq!(last[1] & POLL, 0);
}

#[test]
fn what_has_crossed_a_router_is_refused_unless_it_is_authentic() {
    let mut pair = Pair::new([config(0), config(1)], 1);
    pair.ttl = 254;
    pair.run_until(5 * SECOND);
    assert_eq!(pair.states(), [State::Down; 2]);
    assert_eq!(pair.status(0).last_discard, Some(Discard::TimeToLive { ttl: 254, least: 255 }));
    assert_eq!(pair.status(0).discarded as usize, pair.ends[1].sent.len());
    let authentication = Authentication { algorithm: Algorithm::KeyedSha1, keys: vec![Key::new(1, b"secret")] };
    let with = |end| SessionConfig { authentication: Some(authentication.clone()), ..config(end) };
    let mut pair = Pair::new([with(0), with(1)], 1);
    pair.ttl = 254;
    pair.run_until(5 * SECOND);
    assert_eq!(pair.states(), [State::Up; 2]);
}

#[test]
fn several_hops_have_a_port_and_a_least_time_to_live() {
    let distance = Distance::MultiHop { minimum_ttl: 250 };
    let mut alone = Alone::new(SessionConfig { distance, ..config(0) });
    let SessionConfig { local, remote, .. } = config(0);
    let payload = control(DOWN, 0, 77, 0, 100_000, 100_000);
    let mut take = |port, ttl| {
        let arrival = Arrival { local, remote, port, ttl, payload: &payload };
        alone.endpoint.handle_datagram(arrival, alone.now, &mut alone.rng)
    };
    assert_eq!(take(3784, 255), Err(Discard::NoSession));
    assert_eq!(take(4784, 249), Err(Discard::TimeToLive { ttl: 249, least: 250 }));
    assert_eq!(take(4784, 250), Ok(()));
    assert_eq!(alone.state(), State::Init);
}

#[test]
fn every_algorithm_brings_sessions_up_and_refuses_what_is_sent_again() {
    use Algorithm::{KeyedMd5, KeyedSha1, MeticulousKeyedMd5, MeticulousKeyedSha1, SimplePassword};
    for algorithm in [SimplePassword, KeyedMd5, MeticulousKeyedMd5, KeyedSha1, MeticulousKeyedSha1] {
        let authentication = Authentication { algorithm, keys: vec![Key::new(1, b"secret")] };
        let with = |end| SessionConfig { authentication: Some(authentication.clone()), ..config(end) };
        let mut pair = Pair::new([with(0), with(1)], 3);
        pair.run_until(5 * SECOND);
        assert_eq!(pair.states(), [State::Up; 2], "{algorithm:?}");
        assert!(pair.discards.is_empty());
        let old = pair.ends[0].sent[1].1.clone();
        pair.deliver(1, &old);
        match algorithm {
            SimplePassword => assert_eq!(pair.discards, []),
            _ => assert!(matches!(pair.discards[..], [Discard::Authentication(AuthenticationError::Sequence { .. })])),
        }
        // An end that restarts begins with another number, which is believed after a silence only.
        let end = &mut pair.ends[0];
        end.endpoint = Endpoint::new();
        end.endpoint.configure(SESSION, with(0), pair.now, &mut end.rng).unwrap();
        pair.run_for(5 * SECOND);
        assert_eq!(pair.states(), [State::Up; 2], "{algorithm:?} after a restart");
    }
}

#[test]
fn keys_are_replaced_one_end_at_a_time() {
    let keys = |keys: &[Key]| {
        let authentication = Authentication { algorithm: Algorithm::MeticulousKeyedSha1, keys: keys.to_vec() };
        move |end| SessionConfig { authentication: Some(authentication.clone()), ..config(end) }
    };
    let (old, new) = (Key::new(1, b"old"), Key::new(2, b"new"));
    let before = keys(std::slice::from_ref(&old));
    let mut pair = Pair::new([before(0), before(1)], 1);
    pair.run_until(5 * SECOND);
    let both = keys(&[old.clone(), new.clone()]);
    let rather = keys(&[new.clone(), old]);
    let after = keys(&[new]);
    for (end, config) in [(0, both(0)), (1, both(1)), (0, rather(0)), (1, rather(1)), (0, after(0)), (1, after(1))] {
        pair.reconfigure(end, config);
        pair.run_for(SECOND);
    }
    assert_eq!((pair.status(0).times_up, pair.status(1).times_up), (1, 1));
    assert!(pair.discards.is_empty());
    // Keys that do not meet end it, and both ends can say why.
    pair.reconfigure(0, keys(&[Key::new(2, b"other")])(0));
    pair.run_for(SECOND);
    assert_eq!(pair.states(), [State::Down; 2]);
    let mismatch = Some(Discard::Authentication(AuthenticationError::Mismatch(2)));
    assert_eq!([0, 1].map(|end| pair.status(end).last_discard), [mismatch; 2]);
}

#[test]
fn a_passive_end_waits_to_be_spoken_to() {
    let passive = |end| SessionConfig { passive: true, ..config(end) };
    let mut pair = Pair::new([passive(0), passive(1)], 1);
    pair.run_until(60 * SECOND);
    assert!(pair.ends.iter().all(|end| end.sent.is_empty()));
    let mut pair = Pair::new([passive(0), config(1)], 1);
    pair.run_until(5 * SECOND);
    assert_eq!(pair.states(), [State::Up; 2]);
    // When the other end is gone it is silent again.
    let gone = pair.elapsed();
    pair.drop = Box::new(|_, from| from == 1);
    pair.run_for(20 * SECOND);
    assert!(pair.ends[0].sent.iter().all(|(at, _)| *at <= gone + SECOND));
}

#[test]
fn an_end_in_demand_mode_gets_what_it_asks_for() {
    let mut alone = Alone::in_state(State::Up);
    alone.take(UP, FINAL);
    assert!(alone.wait(200 * MILLISECOND).len() >= 2);
    alone.take(UP, DEMAND);
    assert_eq!(alone.wait(250 * MILLISECOND), Vec::<Vec<u8>>::new());
    alone.take(UP, DEMAND | POLL);
    let answers = alone.wait(120 * MILLISECOND);
    assert_eq!(answers.len(), 1);
    assert_eq!(answers[0][1] & (FINAL | POLL), FINAL);
    // A poll of ours is sent all the same.
    let wanted = SessionConfig { desired_min_tx: 60 * MILLISECOND, ..config(0) };
    alone.endpoint.configure(SESSION, wanted, alone.now, &mut alone.rng).unwrap();
    let asking = alone.wait(150 * MILLISECOND);
    assert!(!asking.is_empty() && asking.iter().all(|packet| packet[1] & POLL != 0));
}

#[test]
fn an_end_that_takes_no_packets_is_sent_none_but_news() {
    let mut alone = Alone::in_state(State::Up);
    alone.take_with(UP, FINAL, 100_000, 0);
    alone.wait(Duration::ZERO);
    assert_eq!(alone.wait(250 * MILLISECOND), Vec::<Vec<u8>>::new());
    let news = alone.wait(51 * MILLISECOND);
    assert_eq!((alone.state(), news.len()), (State::Down, 1));
    // What it wanted is forgotten with it, or it would never be found again.
    assert!(alone.wait(5 * SECOND).len() >= 5);
}

#[test]
fn a_session_is_found_by_its_discriminator_and_kept_to_its_addresses() {
    let mut alone = Alone::in_state(State::Up);
    let ours = alone.endpoint.status(SESSION).unwrap().discriminator;
    let unknown = control(UP, 0, 77, ours.wrapping_add(1), 100_000, 100_000);
    assert_eq!(alone.try_take(&unknown, 255), Err(Discard::NoSession));
    let local = config(0).local;
    let foreign: IpAddr = "10.9.0.3".parse().unwrap();
    let payload = control(ADMIN_DOWN, 0, 77, ours, 100_000, 100_000);
    let arrival = Arrival { local, remote: foreign, port: 3784, ttl: 255, payload: &payload };
    let refused = alone.endpoint.handle_datagram(arrival, alone.now, &mut alone.rng);
    assert_eq!(refused, Err(Discard::Addresses(SESSION)));
    assert_eq!(alone.state(), State::Up);
}

#[test]
fn what_is_no_control_packet_is_named() {
    let mut alone = Alone::in_state(State::Up);
    let ours = alone.endpoint.status(SESSION).unwrap().discriminator;
    let good = control(UP, 0, 77, ours, 100_000, 100_000);
    let changed = |at: usize, byte: u8| {
        let mut bytes = good.clone();
        bytes[at] = byte;
        bytes
    };
    let mut longer = good.clone();
    longer.extend([0; 8]);
    let cases = [
        (good[..23].to_vec(), ParseError::Short { have: 23, need: 24 }),
        (changed(3, 25), ParseError::Short { have: 24, need: 25 }),
        (changed(0, 0x40), ParseError::Version(2)),
        (changed(3, 23), ParseError::Length(23)),
        (changed(2, 0), ParseError::Multiplier),
        (changed(1, 0xc1), ParseError::Multipoint),
        (changed(1, 0xc4), ParseError::Length(24)),
        (control(UP, 0, 0, ours, 1, 1), ParseError::MyDiscriminator),
        (control(UP, 0, 77, 0, 1, 1), ParseError::YourDiscriminator(State::Up)),
        (control(INIT, 0, 77, 0, 1, 1), ParseError::YourDiscriminator(State::Init)),
    ];
    for (payload, error) in cases {
        assert_eq!(alone.try_take(&payload, 255), Err(Discard::Malformed(error)));
    }
    // What lies behind the packet is not its own.
    assert_eq!(alone.try_take(&longer, 255), Ok(()));
    let mut authenticated = changed(1, 0xc4);
    authenticated[3] = 28;
    authenticated.extend([1, 4, 1, b'x']);
    let presence = AuthenticationError::Presence { received: true };
    assert_eq!(alone.try_take(&authenticated, 255), Err(Discard::Authentication(presence)));
    authenticated[25] = 3;
    let section = ParseError::Authentication { kind: 1, length: 3 };
    assert_eq!(alone.try_take(&authenticated, 255), Err(Discard::Malformed(section)));
}

#[test]
fn what_cannot_be_configured_is_named() {
    let (mut endpoint, mut rng, now) = (Endpoint::new(), ChaCha8Rng::seed_from_u64(1), Instant::now());
    let with = |algorithm, keys| Some(Authentication { algorithm, keys });
    let v6 = "2001:db8::1".parse().unwrap();
    let long = Key::new(4, &[1; 17]);
    let md5 = Algorithm::KeyedMd5;
    let cases = [
        (SessionConfig { local: v6, ..config(0) }, "local 2001:db8::1 and remote 10.9.0.2 are of different families"),
        (
            SessionConfig { desired_min_tx: 9 * MILLISECOND, ..config(0) },
            "desired_min_tx is 9ms; allowed: 10 ms to 60 s",
        ),
        (SessionConfig { required_min_rx: 61 * SECOND, ..config(0) }, "required_min_rx is 61s; allowed: 10 ms to 60 s"),
        (SessionConfig { detect_multiplier: 0, ..config(0) }, "detect_multiplier is 0; allowed: 1 to 255"),
        (
            SessionConfig { authentication: with(md5, vec![]), ..config(0) },
            "authentication has no key; allowed: one or more",
        ),
        (
            SessionConfig { authentication: with(md5, vec![Key::new(4, b"a"), Key::new(4, b"b")]), ..config(0) },
            "key 4 is there twice",
        ),
        (
            SessionConfig { authentication: with(md5, vec![long]), ..config(0) },
            "the secret of key 4 has 17 bytes; allowed with KeyedMd5: 1 to 16",
        ),
    ];
    for (config, words) in cases {
        let error = endpoint.configure(SESSION, config, now, &mut rng).unwrap_err();
        assert_eq!(error.to_string(), words);
        assert_eq!(endpoint.status(SESSION), None);
    }
    endpoint.configure(SESSION, config(0), now, &mut rng).unwrap();
    let taken = endpoint.configure(SessionId(2), config(0), now, &mut rng);
    assert_eq!(taken, Err(ConfigError::AddressesTaken(SESSION)));
    endpoint.remove(SESSION);
    assert_eq!(endpoint.next_timeout(), None);
    assert_eq!(endpoint.configure(SessionId(2), config(0), now, &mut rng), Ok(()));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever comes, an end only ever waits for a later moment and answers a datagram with one packet at most.
    #[test]
    fn arbitrary_datagrams_change_nothing_that_they_may_not(
        datagrams in proptest::collection::vec((proptest::collection::vec(any::<u8>(), 0..60), 0u64..400), 0..60),
        state in 0usize..4,
    ) {
        let mut alone = Alone::in_state([State::AdminDown, State::Down, State::Init, State::Up][state]);
        let ours = alone.endpoint.status(SESSION).unwrap().discriminator;
        for (mut bytes, wait) in datagrams {
            // Every other one names the session, so that it is looked at.
            if bytes.len() >= 24 && bytes[0] & 1 == 0 {
                bytes[0] = 0x20 | bytes[0] & 0x1f;
                bytes[3] = bytes[3].min(bytes.len() as u8);
                bytes[8..12].copy_from_slice(&ours.to_be_bytes());
            }
            alone.wait(Duration::from_millis(wait));
            let _ = alone.try_take(&bytes, 255);
            prop_assert!(alone.sent().len() <= 1);
            if let Some(next) = alone.endpoint.next_timeout() {
                prop_assert!(next >= alone.now);
            }
        }
    }

    /// Loss, for as long as it lasts, is all that keeps two ends from agreeing.
    #[test]
    fn ends_agree_once_the_network_is_well(seed in any::<u64>(), loss in 0u64..100, delay in 0u64..40) {
        let mut pair = Pair::new([config(0), config(1)], seed % 1_000_000);
        pair.delay = Duration::from_millis(delay);
        let mut random = seed;
        pair.drop = Box::new(move |_, _| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (random >> 33) % 100 < loss
        });
        pair.run_until(20 * SECOND);
        pair.drop = Box::new(|_, _| false);
        pair.run_for(6 * SECOND);
        prop_assert_eq!(pair.states(), [State::Up; 2]);
        let before = [0, 1].map(|end| pair.status(end).times_up);
        pair.run_for(60 * SECOND);
        prop_assert_eq!([0, 1].map(|end| pair.status(end).times_up), before);
    }
}
