//! Peers over the loopback interface: real TCP, real time.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, Instant};

use bgp::{
    Attributes, Change, DownReason, Event, Families, GracefulRestart, Ipv6Prefix, NeighborConfig, NextHops, Prefix,
    SelectionId, SourceId, Worth,
};
use bordergate_peering::{GatewayId, GatewaySetup, PeerSetup, Peering, Report};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use socket2::{Socket, Type};
use tcp_protection::Md5Key;

const GATEWAY: GatewayId = GatewayId(1);
const OWN: SourceId = SourceId(0);
const PEER: SourceId = SourceId(1);
const PATIENCE: Duration = Duration::from_secs(30);
const WORTH: Worth = Worth { preference: 140, distance: 150 };
const IPV6: Families = Families { ipv4: false, ipv6: true };

/// One end, and what it has reported.
struct End {
    peering: Peering,
    selections: BTreeMap<SelectionId, Vec<SourceId>>,
    routes: BTreeMap<Prefix, Vec<SourceId>>,
    events: Vec<Event>,
}

/// Where a test has its two ends: each one has addresses of its own.
#[derive(Clone, Copy)]
struct Place(u8);

impl Place {
    fn address(self, end: usize) -> Ipv4Addr {
        Ipv4Addr::new(127, 90, self.0, 1 + end as u8)
    }

    fn setup(self, end: usize) -> PeerSetup {
        let (local, remote) = (self.address(end), self.address(1 - end));
        let numbers = [65000, 65010];
        let session = NeighborConfig {
            local: local.into(),
            remote: remote.into(),
            local_as: numbers[end],
            remote_as: numbers[1 - end],
            router_id: local,
            hold_time: 9,
            connect_retry: Duration::from_secs(1),
            passive: false,
            families: IPV6,
            graceful_restart: None,
        };
        let ipv6 = Some(Ipv6Addr::new(0x2001, 0xdb8, 9, 0, 0, 0, 0, 1 + end as u16));
        PeerSetup::unrestricted(session, WORTH, NextHops { ipv4: None, ipv6 })
    }
}

impl End {
    fn new(seed: u64) -> Self {
        let peering = Peering::start(ChaCha8Rng::seed_from_u64(seed)).unwrap();
        let setup = GatewaySetup {
            open_socket: Box::new(|local, kind| {
                let socket = Socket::new(bordergate_peering::domain(local), kind, None)?;
                // So that what one end does not read the other soon cannot write.
                socket.set_recv_buffer_size(64 * 1024)?;
                socket.set_send_buffer_size(64 * 1024)?;
                Ok(socket)
            }),
            own: vec![(OWN, Worth { preference: 100, distance: 120 })],
            deferral: None,
            port: 11790,
        };
        peering.open(GATEWAY, setup);
        Self { peering, selections: BTreeMap::new(), routes: BTreeMap::new(), events: Vec::new() }
    }

    fn configured(seed: u64, setup: PeerSetup) -> Self {
        let end = Self::new(seed);
        end.peering.configure(GATEWAY, PEER, setup);
        end
    }

    fn originate(&self, numbers: std::ops::Range<u32>) {
        self.peering.with(GATEWAY, move |speaker, _| {
            for number in numbers {
                speaker.originate(OWN, prefix(number), Attributes::originated(Ipv4Addr::UNSPECIFIED.into()));
            }
        });
    }

    fn take(&mut self) {
        while let Some(report) = self.peering.poll_report() {
            match report {
                Report::Routes { gateway, selections, changes } => {
                    assert_eq!(gateway, GATEWAY);
                    for (id, sources) in selections {
                        assert!(self.selections.insert(id, sources).is_none(), "said twice");
                    }
                    for Change { prefix, selection } in changes {
                        match selection {
                            Some(id) => drop(self.routes.insert(prefix, self.selections[&id].clone())),
                            None => drop(self.routes.remove(&prefix)),
                        }
                    }
                }
                Report::Station { .. } => panic!("there is none"),
                Report::Event { peer, event, .. } => {
                    assert_eq!(peer, PEER);
                    self.events.push(event);
                }
            }
        }
    }

    fn ups(&self) -> usize {
        self.events.iter().filter(|event| matches!(event, Event::Up(_))).count()
    }

    fn downs(&self) -> Vec<(DownReason, Families)> {
        let downs = self.events.iter().filter_map(|event| match event {
            Event::Down { reason, retain } => Some((reason.clone(), *retain)),
            _ => None,
        });
        downs.collect()
    }
}

/// Of IPv6, for 127.0.0.0/8 is nobody's next hop.
fn prefix(number: u32) -> Prefix {
    Prefix::V6(Ipv6Prefix::new(Ipv6Addr::from(0x2001_0db8_u128 << 96 | u128::from(number) << 64), 64))
}

/// Takes reports until something holds; fails if it does not in time.
fn until(ends: &mut [&mut End], what: &str, holds: impl Fn(&[&mut End]) -> bool) {
    let begun = Instant::now();
    while !holds(ends) {
        assert!(
            begun.elapsed() < PATIENCE,
            "{what}: not within {PATIENCE:?}: {:?}",
            ends.iter().map(|end| end.events.clone()).collect::<Vec<_>>()
        );
        std::thread::sleep(Duration::from_millis(1));
        ends.iter_mut().for_each(|end| end.take());
    }
}

/// For as long as something that must not happen would take.
fn for_a_while(ends: &mut [&mut End]) {
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(2) {
        std::thread::sleep(Duration::from_millis(5));
        ends.iter_mut().for_each(|end| end.take());
    }
}

#[test]
fn routes_of_both_ends_come_and_go_over_signed_segments() {
    let setup = |end| PeerSetup {
        md5_key: Some(Md5Key::new(b"between us").unwrap()),
        least_ttl: Some(255),
        ..Place(1).setup(end)
    };
    let (mut a, mut b) = (End::configured(1, setup(0)), End::configured(2, setup(1)));
    a.originate(0..30_000);
    b.originate(30_000..30_100);
    until(&mut [&mut a, &mut b], "all routes at both ends", |ends| ends.iter().all(|end| end.routes.len() == 30_100));
    assert_eq!((a.ups(), b.ups()), (1, 1));
    assert_eq!((&a.routes[&prefix(30_000)], &b.routes[&prefix(0)]), (&vec![PEER], &vec![PEER]));
    a.peering.with(GATEWAY, |speaker, _| (0..29_000).for_each(|number| speaker.retract(OWN, &prefix(number))));
    until(&mut [&mut a, &mut b], "withdrawn", |ends| ends[1].routes.len() == 1100);
    a.peering.remove(GATEWAY, PEER, "moved away");
    until(&mut [&mut a, &mut b], "gone", |ends| ends[0].routes.len() == 1000 && ends[1].routes.len() == 100);
    let communication = Some("moved away".to_owned());
    let notified = DownReason::Notified { code: 6, subcode: 2, hard: false, communication };
    assert_eq!(b.downs(), [(notified, Families::default())]);
}

#[test]
fn ends_with_different_keys_do_not_meet_until_they_have_the_same() {
    let with = |end, key: &[u8]| PeerSetup { md5_key: Some(Md5Key::new(key).unwrap()), ..Place(2).setup(end) };
    let (mut a, mut b) = (End::configured(1, with(0, b"one")), End::configured(2, with(1, b"two")));
    for_a_while(&mut [&mut a, &mut b]);
    assert_eq!((a.ups(), b.ups()), (0, 0));
    b.peering.configure(GATEWAY, PEER, with(1, b"one"));
    until(&mut [&mut a, &mut b], "up", |ends| ends.iter().all(|end| end.ups() == 1));
    // Nor does one with a key meet one without.
    let (mut c, mut d) =
        (End::configured(3, with_place(3, 0, Some(b"one"))), End::configured(4, with_place(3, 1, None)));
    for_a_while(&mut [&mut c, &mut d]);
    assert_eq!((c.ups(), d.ups()), (0, 0));
}

fn with_place(place: u8, end: usize, key: Option<&[u8]>) -> PeerSetup {
    PeerSetup { md5_key: key.map(|key| Md5Key::new(key).unwrap()), ..Place(place).setup(end) }
}

#[test]
fn last_words_arrive_even_while_the_peer_is_talking() {
    let (mut a, mut b) = (End::configured(1, Place(4).setup(0)), End::configured(2, Place(4).setup(1)));
    b.originate(0..200_000);
    until(&mut [&mut a, &mut b], "some routes", |ends| !ends[0].routes.is_empty());
    // Much of what the peer says is unread when this end says its last.
    a.peering.with(GATEWAY, |speaker, ctx| speaker.stop(PEER, "enough", ctx));
    until(&mut [&mut a, &mut b], "told", |ends| !ends[1].downs().is_empty());
    let communication = Some("enough".to_owned());
    let notified = DownReason::Notified { code: 6, subcode: 2, hard: false, communication };
    assert_eq!(b.downs()[0].0, notified);
    a.peering.with(GATEWAY, |speaker, ctx| speaker.start(PEER, ctx));
    until(&mut [&mut a, &mut b], "all routes after all", |ends| ends[0].routes.len() == 200_000);
    // And even if nothing comes behind them but the end.
    b.peering.with(GATEWAY, |speaker, ctx| speaker.stop(PEER, "good night", ctx));
    drop(b);
    until(&mut [&mut a], "told", |ends| ends[0].downs().len() == 2);
    let communication = Some("good night".to_owned());
    assert_eq!(
        a.downs()[1].0,
        DownReason::Notified { code: 6, subcode: 2, hard: false, communication },
        "{:?}",
        a.downs()
    );
}

#[test]
fn whoever_does_not_take_reports_holds_up_no_session_and_loses_nothing() {
    let (mut a, mut b) = (End::configured(1, Place(5).setup(0)), End::configured(2, Place(5).setup(1)));
    until(&mut [&mut a, &mut b], "up", |ends| ends.iter().all(|end| end.ups() == 1));
    b.originate(0..400_000);
    // More than a hundred thousand have no place in the queue. The other end has its reports taken.
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(5) {
        std::thread::sleep(Duration::from_millis(1));
        b.take();
    }
    let (answer, answered) = std::sync::mpsc::channel();
    a.peering.with(GATEWAY, move |speaker, _| answer.send(speaker.rib().peer_prefixes(PEER).0).unwrap());
    let [_, read] = answered.recv_timeout(PATIENCE).unwrap();
    assert!((200_000..320_000).contains(&read), "{read}");
    until(&mut [&mut a, &mut b], "all routes", |ends| ends[0].routes.len() == 400_000);
    assert_eq!((a.downs(), b.downs()), (vec![], vec![]));
}

#[test]
fn whoever_does_not_read_is_given_up_after_the_send_hold_time() {
    let impatient = PeerSetup { send_hold: Duration::from_secs(1), ..Place(8).setup(1) };
    let (mut a, mut b) = (End::configured(1, Place(8).setup(0)), End::configured(2, impatient));
    until(&mut [&mut a, &mut b], "up", |ends| ends.iter().all(|end| end.ups() == 1));
    // The first takes no reports, and so in the end reads nothing, but says all the while that it is there.
    b.originate(0..500_000);
    until(&mut [&mut b], "given up", |ends| !ends[0].downs().is_empty());
    assert_eq!(b.downs()[0].0, DownReason::NotReading);
}

#[test]
fn an_end_that_dies_is_noticed_and_its_routes_stay_where_both_say_so() {
    let restart = GracefulRestart { restart_time: 60, long_lived_stale_time: 0, restarting: false };
    let setup = |end| {
        let mut setup = Place(6).setup(end);
        setup.session.graceful_restart = Some(restart);
        setup
    };
    let (mut a, b) = (End::configured(1, setup(0)), End::configured(2, setup(1)));
    b.originate(0..100);
    until(&mut [&mut a], "routes", |ends| ends[0].routes.len() == 100);
    drop(b);
    until(&mut [&mut a], "down", |ends| ends[0].downs().len() == 1);
    assert_eq!((a.downs(), a.routes.len()), (vec![(DownReason::ConnectionClosed, IPV6)], 100));
    let mut again = End::new(3);
    again.originate(0..90);
    let mut restarted = setup(1);
    restarted.session.graceful_restart = Some(GracefulRestart { restarting: true, ..restart });
    again.peering.configure(GATEWAY, PEER, restarted);
    until(&mut [&mut a, &mut again], "what is left", |ends| ends[0].routes.len() == 90);
    again.peering.close(GATEWAY);
    until(&mut [&mut a], "closed", |ends| ends[0].downs().len() == 2);
}

#[test]
fn a_speaker_can_be_asked_and_strangers_are_sent_away() {
    let (mut a, mut b) = (End::configured(1, Place(7).setup(0)), End::configured(2, Place(7).setup(1)));
    b.originate(0..3);
    until(&mut [&mut a, &mut b], "routes", |ends| ends[0].routes.len() == 3);
    let (answer, answered) = std::sync::mpsc::channel();
    a.peering.with(GATEWAY, move |speaker, _| answer.send(speaker.rib().peer_prefixes(PEER)).unwrap());
    assert_eq!(answered.recv_timeout(PATIENCE).unwrap(), ([0, 3], [0, 0]));
    let here = Place(7).address(0);
    let socket = || Socket::new(socket2::Domain::IPV4, Type::STREAM, None).unwrap();
    let address = |address: Ipv4Addr, port| std::net::SocketAddr::new(IpAddr::V4(address), port);
    // From an address that is nobody's the connection is closed, and nothing is said.
    let stranger = socket();
    stranger.bind(&address(Ipv4Addr::new(127, 90, 7, 9), 0).into()).unwrap();
    stranger.connect(&address(here, 11790).into()).unwrap();
    stranger.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut nothing = [std::mem::MaybeUninit::uninit(); 1];
    assert!(matches!(stranger.recv(&mut nothing), Ok(0) | Err(_)));
    // Where nobody is expected any more nothing listens.
    a.peering.remove(GATEWAY, PEER, "");
    let begun = Instant::now();
    while socket().connect(&address(here, 11790).into()).is_ok() {
        assert!(begun.elapsed() < PATIENCE, "it still listens");
    }
}
