//! Monitoring stations over the loopback interface: what they are told, when they come late, do not read, or go.

use std::collections::BTreeSet;
use std::io::Read;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use bgp::{Attributes, Change, Event, Families, Ipv6Prefix, NeighborConfig, NextHops, Prefix, SourceId, Worth};
use bordergate_peering::{GatewayId, GatewaySetup, PeerSetup, Peering, Report, StationEvent, StationId, StationSetup};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use socket2::Socket;

const GATEWAY: GatewayId = GatewayId(1);
const OWN: SourceId = SourceId(0);
const PEER: SourceId = SourceId(1);
const STATION: StationId = StationId(7);
const PATIENCE: Duration = Duration::from_secs(60);
/// Of messages (RFC 7854 §4.1).
const ROUTES: u8 = 0;
const DOWN: u8 = 2;
const UP: u8 = 3;
const INITIATION: u8 = 4;
const TERMINATION: u8 = 5;
/// The common header, and with it that of a peer.
const HEADER: usize = 6;
const PEER_HEADER: usize = 48;

/// One end, and what it has reported.
struct End {
    peering: Peering,
    routes: BTreeSet<Prefix>,
    stations: Vec<StationEvent>,
    downs: usize,
}

/// An end of the pair whose addresses have this third number.
fn address(place: u8, end: usize) -> Ipv4Addr {
    Ipv4Addr::new(127, 91, place, 1 + end as u8)
}

impl End {
    fn new(place: u8, end: usize) -> Self {
        let peering = Peering::start(ChaCha8Rng::seed_from_u64(end as u64)).unwrap();
        let open_socket = |local, kind| Socket::new(bordergate_peering::domain(local), kind, None);
        peering.open(
            GATEWAY,
            GatewaySetup {
                open_socket: Box::new(open_socket),
                own: vec![(OWN, Worth { preference: 100, distance: 120 })],
                deferral: None,
                port: 11790,
            },
        );
        let (local, remote) = (address(place, end), address(place, 1 - end));
        let numbers = [65000, 65010];
        let (local_as, remote_as) = (numbers[end], numbers[1 - end]);
        let session = NeighborConfig {
            local: local.into(),
            remote: remote.into(),
            local_as,
            remote_as,
            router_id: local,
            hold_time: 9,
            connect_retry: Duration::from_secs(1),
            // So that it is known who has which port.
            passive: end == 0,
            families: Families { ipv4: false, ipv6: true },
            graceful_restart: None,
        };
        let ipv6 = Some(Ipv6Addr::new(0x2001, 0xdb8, 9, 0, 0, 0, 0, 1 + end as u16));
        let worth = Worth { preference: 140, distance: 150 };
        let setup = PeerSetup::unrestricted(session, worth, NextHops { ipv4: None, ipv6 });
        peering.configure(GATEWAY, PEER, setup);
        Self { peering, routes: BTreeSet::new(), stations: Vec::new(), downs: 0 }
    }

    /// Routes, each with a path of attributes that is its own.
    fn originate(&self, numbers: std::ops::Range<u32>) {
        self.peering.with(GATEWAY, move |speaker, _| {
            for number in numbers {
                let mut attributes = Attributes::originated(Ipv4Addr::UNSPECIFIED.into());
                attributes.add_community(number);
                speaker.originate(OWN, prefix(number), attributes);
            }
        });
    }

    fn retract(&self, numbers: std::ops::Range<u32>) {
        self.peering.with(GATEWAY, move |speaker, _| numbers.for_each(|number| speaker.retract(OWN, &prefix(number))));
    }

    fn watch(&self, address: SocketAddr) {
        let (name, description) = ("bgw-1".to_owned(), "Bordergate".to_owned());
        self.peering.watch(GATEWAY, STATION, StationSetup { address, local: None, name, description });
    }

    fn take(&mut self) {
        while let Some(report) = self.peering.poll_report() {
            match report {
                Report::Routes { changes, .. } => {
                    for Change { prefix, selection } in changes {
                        match selection {
                            Some(_) => self.routes.insert(prefix),
                            None => self.routes.remove(&prefix),
                        };
                    }
                }
                Report::Event { event, .. } => self.downs += usize::from(matches!(event, Event::Down { .. })),
                Report::Station { gateway, station, event } => {
                    assert_eq!((gateway, station), (GATEWAY, STATION));
                    self.stations.push(event);
                }
            }
        }
    }
}

fn prefix(number: u32) -> Prefix {
    Prefix::V6(Ipv6Prefix::new(Ipv6Addr::from(0x2001_0db8_u128 << 96 | u128::from(number) << 64), 64))
}

/// Where a station listens.
struct Site {
    listener: TcpListener,
    address: SocketAddr,
}

/// A connection to it, and all the messages that have come.
struct Told {
    stream: TcpStream,
    bytes: Vec<u8>,
    messages: Vec<Vec<u8>>,
}

impl Site {
    fn new(place: u8) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::new(127, 91, place, 9), 0)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        Self { listener, address }
    }

    fn accept(&self, ends: &mut [&mut End]) -> Told {
        let mut accepted = None;
        until(ends, "a connection", |_| {
            accepted = accepted.take().or_else(|| self.listener.accept().ok());
            accepted.is_some()
        });
        let (stream, _) = accepted.unwrap();
        stream.set_nonblocking(true).unwrap();
        Told { stream, bytes: Vec::new(), messages: Vec::new() }
    }
}

impl Told {
    /// Reads what is there; false at the end.
    fn read(&mut self) -> bool {
        let mut piece = vec![0; 1 << 20];
        let open = loop {
            match self.stream.read(&mut piece) {
                Ok(0) => break false,
                Ok(some) => self.bytes.extend_from_slice(&piece[..some]),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => break true,
                Err(error) => panic!("{error}"),
            }
        };
        let mut begin = 0;
        while let Some(head) = self.bytes.get(begin..begin + HEADER) {
            assert_eq!(head[0], 3, "version");
            let length = u32::from_be_bytes(head[1..5].try_into().unwrap()) as usize;
            let Some(message) = self.bytes.get(begin..begin + length) else { break };
            self.messages.push(message.to_vec());
            begin += length;
        }
        self.bytes.drain(..begin);
        open
    }

    fn until(&mut self, ends: &mut [&mut End], what: &str, holds: impl Fn(&Self) -> bool) {
        until(ends, what, |_| {
            let open = self.read();
            let holds = holds(self);
            assert!(open || holds, "{what}: it was closed before, after {:?}", self.kinds());
            holds
        });
    }

    /// The types of the messages, those of several in a row once.
    fn kinds(&self) -> Vec<u8> {
        let mut kinds: Vec<u8> = self.messages.iter().map(|message| message[5]).collect();
        kinds.dedup();
        kinds
    }

    /// What it knows of the peer's routes, by number; whether the last UPDATE of a session was seen.
    fn routes(&self) -> (BTreeSet<u32>, bool) {
        let (mut routes, mut ends) = (BTreeSet::new(), false);
        for message in self.messages.iter().filter(|message| message[5] == ROUTES) {
            let update = &message[PEER_HEADER..];
            assert_eq!((&update[..16], update[18]), (&[0xff; 16][..], 2));
            assert_eq!(usize::from(u16::from_be_bytes([update[16], update[17]])), update.len());
            // No withdrawn routes of IPv4; the first attribute has the prefixes, as this implementation writes it.
            let (kind, length) = (update[24], usize::from(u16::from_be_bytes([update[25], update[26]])));
            let value = &update[27..27 + length];
            let prefixes = match kind {
                14 => &value[3 + 1 + usize::from(value[3]) + 1..],
                15 => &value[3..],
                _ => panic!("{update:?}"),
            };
            ends |= kind == 15 && prefixes.is_empty();
            for prefix in prefixes.chunks(9) {
                assert_eq!(prefix[..5], [64, 0x20, 1, 0xd, 0xb8]);
                let number = u32::from_be_bytes(prefix[5..].try_into().unwrap());
                match kind {
                    14 => routes.insert(number),
                    _ => routes.remove(&number),
                };
            }
        }
        (routes, ends)
    }
}

/// Whether a message says of IPv6 that this was all (RFC 4724 §2).
fn is_end_of_rib(message: &[u8]) -> bool {
    message[PEER_HEADER + 23..].starts_with(&[0x90, 15, 0, 3])
}

/// Takes reports until something holds; fails if it does not in time.
fn until(ends: &mut [&mut End], what: &str, mut holds: impl FnMut(&[&mut End]) -> bool) {
    let begun = Instant::now();
    while !holds(ends) {
        assert!(begun.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(1));
        ends.iter_mut().for_each(|end| end.take());
    }
}

#[test]
fn a_station_is_told_of_a_session_from_its_beginning_to_its_end() {
    let site = Site::new(1);
    let mut a = End::new(1, 0);
    a.watch(site.address);
    let mut told = site.accept(&mut [&mut a]);
    told.until(&mut [&mut a], "the first message", |told| !told.messages.is_empty());
    assert_eq!(told.messages[0][HEADER..], *b"\0\x01\0\x0aBordergate\0\x02\0\x05bgw-1");
    let mut b = End::new(1, 1);
    b.originate(0..100);
    told.until(&mut [&mut a, &mut b], "all routes", |told| told.routes() == ((0..100).collect(), true));
    assert_eq!((told.kinds(), &a.stations), (vec![INITIATION, UP, ROUTES], &vec![StationEvent::Connected]));
    let up = told.messages[1].clone();
    // No flags; the peer's address, number and name; a time of this century.
    assert_eq!(up[HEADER..HEADER + 10], [0; 10]);
    assert_eq!(up[16..32], [&[0; 12][..], &address(1, 1).octets()].concat());
    assert_eq!(up[32..40], [&65010_u32.to_be_bytes()[..], &address(1, 1).octets()].concat());
    assert!(u32::from_be_bytes(up[40..44].try_into().unwrap()) > 1_700_000_000);
    // Our address, the ports, and two OPENs.
    let body = &up[PEER_HEADER..];
    assert_eq!(body[..16], [&[0; 12][..], &address(1, 0).octets()].concat());
    assert_eq!(u16::from_be_bytes([body[16], body[17]]), 11790);
    assert!(u16::from_be_bytes([body[18], body[19]]) > 1024);
    let opens = &body[20..];
    let first = usize::from(u16::from_be_bytes([opens[16], opens[17]]));
    // OPEN, version 4, the AS number.
    assert_eq!(opens[18..22], [1, 4, 0xfd, 0xe8]);
    assert_eq!(opens[first + 18..first + 22], [1, 4, 0xfd, 0xf2]);
    assert_eq!(first + usize::from(u16::from_be_bytes([opens[first + 16], opens[first + 17]])), opens.len());

    b.retract(0..10);
    told.until(&mut [&mut a, &mut b], "withdrawn", |told| told.routes().0 == (10..100).collect());
    b.peering.remove(GATEWAY, PEER, "moved away");
    told.until(&mut [&mut a, &mut b], "down", |told| told.kinds().contains(&DOWN));
    let down = told.messages.last().unwrap();
    assert_eq!(down[HEADER..40], up[HEADER..40], "the same peer");
    // The peer has ended it, with this NOTIFICATION: Cease, Administrative Shutdown.
    assert_eq!((down[PEER_HEADER], &down[PEER_HEADER + 19..PEER_HEADER + 22]), (3, &[3, 6, 2][..]));
    assert!(down.ends_with(b"moved away"));
    a.peering.unwatch(GATEWAY, STATION);
    told.until(&mut [&mut a, &mut b], "the last message", |told| told.kinds().ends_with(&[DOWN, TERMINATION]));
    assert_eq!(told.messages.last().unwrap()[HEADER..], [0, 1, 0, 2, 0, 4]);
    while told.read() {
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(a.stations, [StationEvent::Connected]);
}

#[test]
fn a_station_that_comes_late_is_told_what_there_is_and_what_comes() {
    let site = Site::new(2);
    let (mut a, mut b) = (End::new(2, 0), End::new(2, 1));
    b.originate(0..30_000);
    until(&mut [&mut a, &mut b], "all routes", |ends| ends[0].routes.len() == 30_000);
    a.watch(site.address);
    let mut told = site.accept(&mut [&mut a]);
    // While it is told.
    b.retract(0..1000);
    b.originate(30_000..31_000);
    told.until(&mut [&mut a, &mut b], "all routes", |told| told.routes() == ((1000..31_000).collect(), true));
    assert_eq!(told.kinds(), [INITIATION, UP, ROUTES]);

    // A station that closes its connection is found again, and told everything again.
    drop(told);
    let mut again = site.accept(&mut [&mut a, &mut b]);
    again.until(&mut [&mut a, &mut b], "all routes", |told| told.routes() == ((1000..31_000).collect(), true));
    assert_eq!(a.stations, [StationEvent::Connected, StationEvent::Lost, StationEvent::Connected]);
    // With another name, it is another connection; and when we end, it is told so.
    let (name, description) = ("bgw-2".to_owned(), "Bordergate".to_owned());
    let setup = StationSetup { address: site.address, local: Some([127, 91, 2, 8].into()), name, description };
    a.peering.watch(GATEWAY, STATION, setup.clone());
    again.until(&mut [&mut a, &mut b], "the last message", |told| told.kinds().ends_with(&[TERMINATION]));
    let mut renamed = site.accept(&mut [&mut a, &mut b]);
    assert_eq!(renamed.stream.peer_addr().unwrap().ip(), IpAddr::from([127, 91, 2, 8]));
    renamed.until(&mut [&mut a, &mut b], "all routes", |told| told.routes().0.len() == 30_000);
    assert!(renamed.messages[0].ends_with(b"bgw-2"));
    // The same again changes nothing.
    a.peering.watch(GATEWAY, STATION, setup);
    b.originate(31_000..31_001);
    renamed.until(&mut [&mut a, &mut b], "one more", |told| told.routes().0.len() == 30_001);
    drop(a);
    renamed.until(&mut [&mut b], "the last message", |told| told.kinds().ends_with(&[TERMINATION]));
    assert_eq!(renamed.messages.last().unwrap()[HEADER..], [0, 1, 0, 2, 0, 0]);
}

#[test]
fn a_station_that_does_not_read_is_given_up_and_holds_up_nobody() {
    const MANY: u32 = 400_000;
    let site = Site::new(3);
    let (mut a, mut b) = (End::new(3, 0), End::new(3, 1));
    a.watch(site.address);
    let idle = site.accept(&mut [&mut a, &mut b]);
    until(&mut [&mut a, &mut b], "connected", |ends| ends[0].stations == [StationEvent::Connected]);
    // More than what may wait for a station: a message for each.
    b.originate(0..MANY);
    until(&mut [&mut a, &mut b], "all routes", |ends| ends[0].routes.len() == MANY as usize);
    assert_eq!((a.downs, b.downs), (0, 0));
    assert_eq!(a.stations[..2], [StationEvent::Connected, StationEvent::NotReading]);
    let mut told = site.accept(&mut [&mut a, &mut b]);
    told.until(&mut [&mut a, &mut b], "some routes", |told| told.messages.len() > 1000);
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(1) {
        std::thread::sleep(Duration::from_millis(1));
        a.take();
    }
    // One that is slow is not given up: what there is already waits for it to read.
    assert_eq!(a.stations[2..], [StationEvent::Connected]);
    told.until(&mut [&mut a, &mut b], "the end", |told| {
        told.messages.last().is_some_and(|message| is_end_of_rib(message))
    });
    assert_eq!(told.routes(), ((0..MANY).collect(), true));
    assert_eq!((a.downs, b.downs), (0, 0));
    drop(idle);
}

#[test]
fn a_session_that_ends_while_its_routes_are_told_begins_anew() {
    const MANY: u32 = 100_000;
    let site = Site::new(5);
    let (mut a, mut b) = (End::new(5, 0), End::new(5, 1));
    b.originate(0..MANY);
    until(&mut [&mut a, &mut b], "all routes", |ends| ends[0].routes.len() == MANY as usize);
    a.watch(site.address);
    let mut told = site.accept(&mut [&mut a, &mut b]);
    // It does not read, so some of them wait.
    until(&mut [&mut a, &mut b], "connected", |ends| !ends[0].stations.is_empty());
    b.peering.with(GATEWAY, |speaker, ctx| speaker.reset(PEER, "", ctx));
    until(&mut [&mut a, &mut b], "down", |ends| ends[0].downs == 1);
    until(&mut [&mut a, &mut b], "all routes again", |ends| ends[0].routes.len() == MANY as usize);
    told.until(&mut [&mut a, &mut b], "all routes", |told| {
        told.kinds() == [INITIATION, UP, ROUTES, DOWN, UP, ROUTES]
            && told.messages.last().is_some_and(|message| is_end_of_rib(message))
    });
    let end = told.messages.iter().position(|message| message[5] == DOWN).unwrap();
    let after = told.messages.split_off(end);
    let (some, all) = (told.routes(), Told { messages: after, ..told }.routes());
    assert!(some.0.len() < MANY as usize && !some.1, "not all of them, and no End-of-RIB");
    assert_eq!(all, ((0..MANY).collect(), true));
    assert_eq!(a.stations, [StationEvent::Connected]);
}

#[test]
fn that_a_station_cannot_be_reached_is_said_once() {
    let site = Site::new(4);
    let address = site.address;
    drop(site);
    let mut a = End::new(4, 0);
    a.watch(address);
    until(&mut [&mut a], "refused", |ends| !ends[0].stations.is_empty());
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(4) {
        std::thread::sleep(Duration::from_millis(5));
        a.take();
    }
    assert!(
        matches!(&a.stations[..], [StationEvent::Unreachable(words)] if words.contains("refused")),
        "{:?}",
        a.stations
    );
    let listener = TcpListener::bind(address).unwrap();
    listener.set_nonblocking(true).unwrap();
    let mut told = Site { listener, address }.accept(&mut [&mut a]);
    told.until(&mut [&mut a], "the first message", |told| told.kinds() == [INITIATION]);
    assert_eq!(a.stations[1..], [StationEvent::Connected]);
    // A gateway that speaks no longer says nothing any more.
    a.peering.close(GATEWAY);
    told.until(&mut [&mut a], "the last message", |told| told.kinds() == [INITIATION, TERMINATION]);
}
