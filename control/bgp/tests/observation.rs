//! What whoever watches a speaker sees of it: OPENs and UPDATEs as they went over the wire, how sessions end, and, if it begins
//! late, what there is by then.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use bordergate_bgp::{
    Attributes, ConnectionId, Context, Ending, Excess, Families, Family, Filter, GracefulRestart, NeighborConfig,
    NextHops, Observation, PeerConfig, Prefix, PrefixLimit, Session, SourceId, Speaker, SpeakerAction, Worth,
};
use proptest::prelude::*;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

const PEER: SourceId = SourceId(1);
const SECOND: Duration = Duration::from_secs(1);

/// A speaker, and a peer whose every byte is the test's.
struct Watched {
    speaker: Speaker,
    rng: ChaCha8Rng,
    now: Instant,
    session: NeighborConfig,
    routes: PeerConfig,
    /// The connection that it has last wanted.
    connection: ConnectionId,
    sent: Vec<Vec<u8>>,
    seen: Vec<Observation>,
}

impl Watched {
    /// Its session is up; whether it was watched from the beginning.
    fn up(from_the_beginning: bool) -> Self {
        let mut watched = Self::with_limit(from_the_beginning, None);
        watched.establish(&open(&[]));
        watched
    }

    fn with_limit(from_the_beginning: bool, prefix_limit: Option<PrefixLimit>) -> Self {
        let (local, remote) = (Ipv4Addr::new(169, 254, 9, 1), Ipv4Addr::new(169, 254, 9, 2));
        let session = NeighborConfig {
            local: local.into(),
            remote: remote.into(),
            local_as: 65000,
            remote_as: 65010,
            router_id: local,
            hold_time: 90,
            connect_retry: SECOND,
            passive: false,
            families: Families { ipv4: true, ipv6: true },
            graceful_restart: Some(GracefulRestart { restart_time: 60, long_lived_stale_time: 0, restarting: false }),
        };
        let routes = PeerConfig {
            worth: Worth { preference: 140, distance: 150 },
            local_as: 65000,
            remote_as: 65010,
            address: remote.into(),
            next_hop: NextHops { ipv4: Some(local), ipv6: None },
            allow_own_as: 0,
            override_as: false,
            import: Some(Filter::ALL),
            export: Some(Filter::ALL),
            prefix_limit,
            drain: None,
        };
        let now = Instant::now();
        let mut watched = Self {
            speaker: Speaker::new(7, None, now),
            rng: ChaCha8Rng::seed_from_u64(7),
            now,
            session,
            routes,
            connection: ConnectionId(0),
            sent: Vec::new(),
            seen: Vec::new(),
        };
        watched.speaker.observe(from_the_beginning);
        let (session, routes) = (watched.session.clone(), watched.routes.clone());
        watched.call(|speaker, ctx| speaker.configure(PEER, session, routes, ctx).unwrap());
        watched
    }

    fn establish(&mut self, open: &[u8]) {
        let id = self.connection;
        self.call(|speaker, ctx| speaker.connected(PEER, id, ctx));
        self.take(&[open, &message(4, &[])].concat());
    }

    fn call<R>(&mut self, call: impl FnOnce(&mut Speaker, &mut Context<'_>) -> R) -> R {
        let result = call(&mut self.speaker, &mut Context { now: self.now, rng: &mut self.rng });
        while let Some((peer, observation)) = self.speaker.poll_observation() {
            assert_eq!(peer, PEER);
            self.seen.push(observation);
        }
        while let Some(action) = self.speaker.poll_action() {
            match action {
                SpeakerAction::Connect { connection, .. } => self.connection = connection,
                SpeakerAction::Transmit { bytes, .. } => {
                    self.speaker.written(PEER, bytes.len());
                    self.sent.push(bytes.to_vec());
                }
                SpeakerAction::Close { .. } | SpeakerAction::Event { .. } => {}
            }
        }
        result
    }

    fn take(&mut self, bytes: &[u8]) {
        let id = self.connection;
        self.call(|speaker, ctx| speaker.received(PEER, id, bytes, ctx));
    }

    /// The peer opens another connection, on which it goes on.
    fn accept(&mut self) {
        let id = self.call(|speaker, ctx| speaker.accepted(PEER, ctx)).expect("it is wanted");
        self.connection = id;
        self.call(|speaker, ctx| speaker.follow(PEER, ctx));
    }

    fn wait(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some(at) = self.speaker.next_timeout().filter(|at| *at <= until) {
            self.now = self.now.max(at);
            self.call(Speaker::handle_timeout);
        }
        self.now = until;
    }

    fn seen(&mut self) -> Vec<Observation> {
        std::mem::take(&mut self.seen)
    }

    /// The UPDATEs that were seen; nothing else was.
    fn updates(&mut self) -> Vec<Vec<u8>> {
        let updates = self.seen().into_iter().map(|observation| match observation {
            Observation::Update(update) => update.to_vec(),
            other => panic!("{other:?}"),
        });
        updates.collect()
    }

    fn session(&self) -> Session {
        assert!(self.speaker.established().eq([PEER]));
        self.speaker.session(PEER).expect("it is up")
    }

    fn dump(&self) -> Vec<Vec<u8>> {
        let mut dump = self.speaker.rib().dump(PEER).expect("it is up");
        let mut messages = Vec::new();
        loop {
            let some = self.speaker.rib().dump_messages(&mut dump, 1);
            if some.is_empty() {
                return messages;
            }
            messages.extend(some.into_iter().map(|message| message.to_vec()));
        }
    }

    /// What the peer has announced, as it came.
    fn adj_rib_in(&self) -> BTreeMap<(Family, String), Attributes> {
        let rib = self.speaker.rib();
        let of = |prefix: &Prefix| rib.candidates(prefix).into_iter().find(|route| route.source == PEER);
        let routes = rib.prefixes().filter_map(|prefix| Some((prefix, of(&prefix)?)));
        routes.map(|(prefix, route)| ((Family::of(&prefix), format!("{prefix:?}")), route.received)).collect()
    }
}

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = (19 + body.len()) as u16;
    [&[0xff; 16][..], &length.to_be_bytes(), &[kind], body].concat()
}

/// AS 65010, 90 seconds, 10.0.0.2; both families, route refresh, four octets, and more capabilities.
fn open(more: &[u8]) -> Vec<u8> {
    let known = [1, 4, 0, 1, 0, 1, 1, 4, 0, 2, 0, 1, 2, 0, 65, 4, 0, 0, 0xfd, 0xf2];
    let capabilities = [&known[..], more].concat();
    let length = capabilities.len() as u8;
    let head = [4, 0xfd, 0xf2, 0, 90, 10, 0, 0, 2, length + 2, 2, length];
    message(1, &[&head[..], &capabilities].concat())
}

/// Takes part in graceful restart, for both families; having restarted, or not.
fn restarts(restarted: bool) -> Vec<u8> {
    let restarted = u8::from(restarted) << 7;
    vec![64, 10, restarted, 60, 0, 1, 1, 0x80, 0, 2, 1, 0x80]
}

fn update(withdrawn: &[u8], attributes: &[u8], announced: &[u8]) -> Vec<u8> {
    let length = |bytes: &[u8]| (bytes.len() as u16).to_be_bytes();
    message(2, &[&length(withdrawn), withdrawn, &length(attributes), attributes, announced].concat())
}

const ORIGIN: [u8; 4] = [0x40, 1, 1, 0];
const PATH: [u8; 9] = [0x40, 2, 6, 2, 1, 0, 0, 0xfd, 0xf2];
const NEXT_HOP: [u8; 7] = [0x40, 3, 4, 169, 254, 9, 2];
const END_OF_RIB: &[u8] = &[0xff; 16];

fn attributes(med: u8) -> Vec<u8> {
    [&ORIGIN[..], &PATH, &NEXT_HOP, &[0x80, 4, 4, 0, 0, 0, med]].concat()
}

/// 10.N.0.0/16.
fn announced(number: u8, med: u8) -> Vec<u8> {
    update(&[], &attributes(med), &[16, 10, number])
}

fn withdrawn(number: u8) -> Vec<u8> {
    update(&[16, 10, number], &[], &[])
}

/// 2001:db8:N::/48, in a way that is not ours: the length of `MP_REACH_NLRI` has one octet.
fn announced6(number: u8) -> Vec<u8> {
    let mut reach = vec![0x80, 14, 28, 0, 2, 1, 16];
    reach.extend([0x20, 1, 0xd, 0xb8, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2]);
    reach.extend([0, 48, 0x20, 1, 0xd, 0xb8, 0, number]);
    update(&[], &[&reach[..], &ORIGIN, &PATH].concat(), &[])
}

fn end_of_rib4() -> Vec<u8> {
    [END_OF_RIB, &[0, 23, 2, 0, 0, 0, 0]].concat()
}

fn end_of_rib6() -> Vec<u8> {
    [END_OF_RIB, &[0, 30, 2, 0, 0, 0, 7, 0x90, 15, 0, 3, 0, 2, 1]].concat()
}

#[test]
fn a_session_comes_up_with_both_opens_as_they_were() {
    let mut watched = Watched::up(true);
    let session = watched.session();
    assert_eq!(watched.seen(), [Observation::Up(session.clone())]);
    assert_eq!((session.local, session.remote), (watched.session.local, watched.session.remote));
    assert_eq!((session.connection, session.since), (watched.connection, watched.now));
    assert_eq!((session.negotiated.peer_as, session.negotiated.four_octet_as), (65010, true));
    assert_eq!((&session.opens.sent[..], &session.opens.received[..]), (&watched.sent[0][..], &open(&[])[..]));
    // Whoever comes later is told the same.
    assert_eq!(Watched::up(false).session().opens, session.opens);
    let down = Watched::with_limit(true, None);
    assert_eq!((down.speaker.established().count(), down.speaker.session(PEER)), (0, None));
}

#[test]
fn updates_are_seen_as_they_came_however_they_came() {
    let mut watched = Watched::up(true);
    watched.seen();
    let updates = [announced(1, 1), announced6(2), withdrawn(1), end_of_rib4(), end_of_rib6()];
    let together = [&updates.concat()[..], &message(4, &[])].concat();
    watched.take(&together);
    assert_eq!(watched.updates(), updates);
    for byte in &together {
        watched.take(&[*byte]);
    }
    assert_eq!(watched.updates(), updates);
    watched.speaker.observe(false);
    watched.take(&together);
    assert_eq!(watched.updates(), [[0; 0]; 0]);
}

#[test]
fn what_was_wrong_with_an_update_is_seen_as_it_was_taken() {
    let mut watched = Watched::up(true);
    watched.seen();
    // RFC 7606 §7.1: an ORIGIN that there is none of withdraws.
    let bad = [&[0x40, 1, 1, 9][..], &PATH, &NEXT_HOP].concat();
    watched.take(&update(&[16, 10, 8], &bad, &[16, 10, 1, 16, 10, 2]));
    assert_eq!(watched.updates(), [update(&[16, 10, 8, 16, 10, 1, 16, 10, 2], &[], &[])]);
    // RFC 7606 §7.6: an ATOMIC_AGGREGATE that is too long is left out.
    watched.take(&update(&[], &[&attributes(3)[..], &[0x40, 6, 1, 0]].concat(), &[16, 10, 3]));
    assert_eq!(watched.updates(), [announced(3, 3)]);
    let statistics = watched.speaker.statistics(PEER).unwrap();
    assert_eq!((statistics.withdrawing_updates, statistics.received), (1, vec![(Family::Ipv4, 1), (Family::Ipv6, 0)]));
}

#[test]
fn each_end_is_seen_as_it_was() {
    let ended = |by: &dyn Fn(&mut Watched)| {
        let mut watched = Watched::up(true);
        watched.seen();
        by(&mut watched);
        match &watched.seen()[..] {
            [Observation::Down(ending)] => (ending.clone(), watched.sent.pop().unwrap()),
            other => panic!("{other:?}"),
        }
    };
    let peer = |ctx: &dyn Fn(&mut Speaker, &mut Context<'_>)| {
        ended(&|watched| watched.call(|speaker, context| ctx(speaker, context)))
    };
    // We have ended it, and said so.
    for (ending, code, subcode) in [
        (peer(&|speaker, ctx| speaker.stop(PEER, "good night", ctx)), 6, 2),
        (peer(&|speaker, ctx| speaker.reset(PEER, "", ctx)), 6, 4),
        (peer(&|speaker, ctx| speaker.remove(PEER, "", ctx)), 6, 2),
        (peer(&|speaker, ctx| speaker.set_path(PEER, false, ctx)), 6, 10),
        (ended(&|watched| watched.wait(91 * SECOND)), 4, 0),
        (ended(&|watched| watched.take(&[0; 19])), 1, 1),
        (ended(&|watched| watched.take(&open(&[]))), 5, 3),
        (
            ended(&|watched| {
                let id = watched.connection;
                watched.call(|speaker, ctx| speaker.stalled(PEER, id, ctx));
            }),
            8,
            0,
        ),
        (
            ended(&|watched| {
                let (session, routes) =
                    (NeighborConfig { hold_time: 60, ..watched.session.clone() }, watched.routes.clone());
                watched.call(|speaker, ctx| speaker.configure(PEER, session, routes, ctx).unwrap());
            }),
            6,
            6,
        ),
    ] {
        let (Ending::Notifying(notification), sent) = ending else { panic!("{ending:?}") };
        assert_eq!(notification, sent, "{code}/{subcode}");
        assert_eq!(notification[18..21], [3, code, subcode]);
    }
    // The peer has.
    let notification = message(3, &[6, 2, 4, b'w', b'h', b'y', b'?']);
    let (ending, _) = ended(&|watched| watched.take(&notification));
    assert_eq!(ending, Ending::Notified(notification.into()));
    // Nobody has said anything.
    let (ending, _) = ended(&|watched| {
        let id = watched.connection;
        watched.call(|speaker, ctx| speaker.closed(PEER, id, ctx));
    });
    assert_eq!(ending, Ending::Lost);
}

#[test]
fn a_limit_ends_a_session_behind_the_update_that_exceeds_it() {
    let limit = PrefixLimit { most: 1, excess: Excess::Restart(60 * SECOND) };
    let mut watched = Watched::with_limit(true, Some(limit));
    watched.establish(&open(&[]));
    watched.seen();
    watched.take(&[announced(1, 1), announced(2, 2)].concat());
    let seen = watched.seen();
    let [Observation::Update(first), Observation::Update(second), Observation::Down(Ending::Notifying(cease))] =
        &seen[..]
    else {
        panic!("{seen:?}")
    };
    assert_eq!((&first[..], &second[..]), (&announced(1, 1)[..], &announced(2, 2)[..]));
    assert_eq!(cease[18..21], [3, 6, 1]);
}

#[test]
fn a_peer_that_restarts_goes_down_and_comes_up() {
    let mut watched = Watched::with_limit(true, None);
    watched.establish(&open(&restarts(false)));
    watched.take(&[announced(1, 1), announced(2, 1)].concat());
    watched.seen();
    watched.accept();
    watched.take(&[open(&restarts(true)), message(4, &[]), announced(1, 9)].concat());
    let session = watched.session();
    assert_eq!(session.opens.received, open(&restarts(true)));
    assert_eq!(
        watched.seen(),
        [Observation::Down(Ending::Silent(17)), Observation::Up(session), Observation::Update(announced(1, 9).into()),]
    );
    // The other route is still used, but not of this session: whoever comes now is not told of it.
    assert_eq!(watched.adj_rib_in().len(), 2);
    assert_eq!(watched.dump(), [announced(1, 9), end_of_rib4(), end_of_rib6()]);
    watched.take(&end_of_rib4());
    assert_eq!(watched.adj_rib_in().len(), 1);
    assert_eq!(watched.updates(), [end_of_rib4(), withdrawn(2)]);
}

#[test]
fn what_is_not_announced_again_after_a_refresh_is_withdrawn() {
    let mut watched = Watched::with_limit(true, None);
    watched.establish(&open(&[70, 0]));
    watched.take(&[announced(1, 1), announced(2, 1), announced(3, 1)].concat());
    watched.seen();
    let mark = |subtype| message(5, &[0, 1, subtype, 1]);
    watched.take(&[mark(1), announced(2, 1), mark(2)].concat());
    let mut updates = watched.updates();
    // In which order the other two go is not said.
    let gone = updates.split_off(1);
    assert_eq!(updates, [announced(2, 1)]);
    let one_or_the_other = [[16, 10, 1, 16, 10, 3], [16, 10, 3, 16, 10, 1]].map(|prefixes| update(&prefixes, &[], &[]));
    assert!(gone.len() == 1 && one_or_the_other.contains(&gone[0]), "{gone:?}");
    assert_eq!(watched.dump(), [announced(2, 1), end_of_rib4(), end_of_rib6()]);
}

#[test]
fn what_there_is_is_told_in_as_few_messages_as_hold_it() {
    let mut watched = Watched::up(false);
    assert_eq!(watched.dump(), [end_of_rib4(), end_of_rib6()]);
    for number in [3, 1, 2] {
        watched.take(&announced(number, number / 3));
    }
    watched.take(&announced6(5));
    let dump = watched.dump();
    let first = update(&[], &attributes(0), &[16, 10, 1, 16, 10, 2]);
    assert_eq!(dump[..3], [first, announced(3, 1), end_of_rib4()]);
    assert_eq!((dump.len(), &dump[4]), (5, &end_of_rib6()));
    assert_eq!(mirror(&dump), watched.adj_rib_in());
    let many: Vec<u8> = (0..200).flat_map(|number| [24, 10, 200, number]).collect();
    for start in 0..20 {
        let prefixes: Vec<u8> = many.chunks(4).flat_map(|prefix| [24, 10, start, prefix[3]]).collect();
        watched.take(&update(&[], &attributes(7), &prefixes));
    }
    let dump = watched.dump();
    assert!(dump.iter().all(|message| message.len() <= 4096) && dump.len() < 20, "{}", dump.len());
    assert_eq!(mirror(&dump), watched.adj_rib_in());
    let id = watched.connection;
    watched.call(|speaker, ctx| speaker.closed(PEER, id, ctx));
    assert!(watched.speaker.rib().dump(PEER).is_none() && watched.speaker.statistics(PEER).is_none());
}

#[test]
fn statistics_say_what_was_refused_and_what_is_there() {
    let mut watched = Watched::up(true);
    let own = [&ORIGIN[..], &[0x40, 2, 10, 2, 2, 0, 0, 0xfd, 0xf2, 0, 0, 0xfd, 0xe8], &NEXT_HOP].concat();
    watched.take(&update(&[], &own, &[16, 10, 1, 16, 10, 2]));
    let foreign = [&ORIGIN[..], &PATH, &[0x40, 3, 4, 169, 254, 9, 77]].concat();
    watched.take(&update(&[], &foreign, &[16, 10, 3, 16, 10, 4, 16, 10, 5]));
    watched.take(&[announced(6, 1), announced6(1)].concat());
    let statistics = watched.speaker.statistics(PEER).unwrap();
    assert_eq!((statistics.looped_updates, statistics.refused_prefixes), (1, 3));
    // What is refused is there before any policy.
    assert_eq!(statistics.received, [(Family::Ipv4, 6), (Family::Ipv6, 1)]);
    assert_eq!(statistics.told, [(Family::Ipv4, 0), (Family::Ipv6, 0)]);
}

/// What somebody knows of the peer who was told these UPDATEs and nothing else.
fn mirror(updates: &[Vec<u8>]) -> BTreeMap<(Family, String), Attributes> {
    let mut mirror = Watched::up(false);
    mirror.take(&updates.concat());
    mirror.adj_rib_in()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whenever somebody begins to watch, and however much the peer says while it is told what there is: in the end it knows what
    /// there is.
    #[test]
    fn whoever_begins_to_watch_ends_up_with_what_there_is(
        before in prop::collection::vec((any::<bool>(), 0..40_u8, 0..3_u8), 0..80),
        during in prop::collection::vec((any::<bool>(), 0..40_u8, 0..3_u8), 0..80),
        more in 0..3000_u32,
    ) {
        let say = |watched: &mut Watched, (comes, number, med): (bool, u8, u8)| match (comes, number % 4) {
            (true, 0) => watched.take(&announced6(number)),
            (true, _) => watched.take(&announced(number, med)),
            (false, _) => watched.take(&withdrawn(number)),
        };
        let mut watched = Watched::up(false);
        // Enough for several rounds.
        for number in 0..more {
            let [_, _, high, low] = number.to_be_bytes();
            watched.take(&update(&[], &attributes(low % 16), &[24, 172, high, low]));
        }
        before.into_iter().for_each(|event| say(&mut watched, event));
        watched.speaker.observe(true);
        let mut dump = watched.speaker.rib().dump(PEER).unwrap();
        let mut told: Vec<Vec<u8>> = Vec::new();
        for event in during {
            told.extend(watched.speaker.rib().dump_messages(&mut dump, 1).iter().map(|message| message.to_vec()));
            say(&mut watched, event);
            told.extend(watched.updates());
        }
        loop {
            let some = watched.speaker.rib().dump_messages(&mut dump, 4096);
            if some.is_empty() {
                break;
            }
            told.extend(some.iter().map(|message| message.to_vec()));
        }
        prop_assert_eq!(mirror(&told), watched.adj_rib_in());
    }
}
