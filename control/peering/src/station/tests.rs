//! A station's times, which are longer than a test may take.

use std::io::Read;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::Arc;

use bgp::{ConnectionId, Families, Negotiated, Opens};
use mio::Poll;

use super::*;

const SECOND: Duration = Duration::from_secs(1);
const PEER: SourceId = SourceId(1);

fn setup(address: SocketAddr) -> StationSetup {
    StationSetup { address, local: None, name: "bgw-1".to_owned(), description: "Bordergate".to_owned() }
}

/// A session with so much to be said of it that a few fill every buffer.
fn session() -> Session {
    let address = Ipv4Addr::new(169, 254, 9, 2);
    Session {
        local: address.into(),
        remote: address.into(),
        connection: ConnectionId(1),
        since: Instant::now(),
        negotiated: Arc::new(Negotiated {
            peer_as: 65010,
            peer_identifier: address,
            hold_time: 90,
            families: Families { ipv4: true, ipv6: false },
            four_octet_as: true,
            route_refresh: true,
            enhanced_route_refresh: false,
            longest_message: 65535,
            extended_next_hop: false,
            restart: None,
        }),
        opens: Opens { sent: vec![1; 60_000].into(), received: Bytes::new() },
    }
}

fn waiting(station: &Station) -> usize {
    match &station.link {
        Link::Open(open) => open.output.len(),
        Link::Closed(_) | Link::Opening(..) => 0,
    }
}

#[test]
fn a_station_that_takes_nothing_is_given_up_after_a_minute() {
    let (poll, now) = (Poll::new().unwrap(), Instant::now());
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let mut station = Station::new(setup(listener.local_addr().unwrap()), now);
    station.open(poll.registry(), Token(1), now).unwrap();
    let (mut stream, _) = listener.accept().unwrap();
    while !station.opened(std::iter::empty(), now).unwrap() {}
    let speaker = Speaker::new(1, None, now);
    let serve = |station: &mut Station, seconds: u32| {
        station.serve(&speaker, |_, _| Ports::default(), now + seconds * SECOND, Duration::ZERO)
    };
    // Nothing waits, so nothing is to be taken.
    assert_eq!((serve(&mut station, 0), serve(&mut station, 3600)), (Ok(()), Ok(())));
    // More than the kernel takes, less than what may wait.
    for _ in 0..400 {
        station.peer_up(PEER, &session(), Ports::default(), Duration::ZERO);
    }
    assert_eq!((serve(&mut station, 4000), station.deadline()), (Ok(()), now + 4060 * SECOND));
    assert_eq!(serve(&mut station, 4059), Ok(()));
    // What is taken begins it anew.
    let mut some = vec![0; 64 << 10];
    stream.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    let before = waiting(&station);
    while waiting(&station) == before {
        // The kernel may need a moment to move what is under way.
        let _ = stream.read(&mut some);
        station.advance(&mut [0; 1]).unwrap();
        assert_eq!(serve(&mut station, 4059), Ok(()));
    }
    assert_eq!(serve(&mut station, 4118), Ok(()));
    assert_eq!(serve(&mut station, 4119), Err(StationEvent::NotReading));
}

#[test]
fn attempts_become_rare_and_are_so_until_a_connection_lasts() {
    let (poll, mut now) = (Poll::new().unwrap(), Instant::now());
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let mut station = Station::new(setup(listener.local_addr().unwrap()), now);
    assert!(station.is_due(now));
    let unreachable = StationEvent::Unreachable("nobody is there".to_owned());
    for (attempt, seconds) in [1, 2, 4, 8, 16, 32, 64, 120, 120].into_iter().enumerate() {
        assert_eq!(station.fail(&unreachable, poll.registry(), now, 250), attempt == 0, "it is news once");
        assert!(!station.is_due(now + (seconds * SECOND).mul_f64(0.99)) && station.is_due(now + seconds * SECOND));
        assert_eq!(station.deadline(), now + seconds * SECOND);
        now += seconds * SECOND;
    }
    let mut connected = |station: &mut Station, lasts: Duration| {
        station.open(poll.registry(), Token(1), now).unwrap();
        while !station.opened(std::iter::empty(), now).unwrap() {}
        now += lasts;
        assert!(station.fail(&StationEvent::Lost, poll.registry(), now, 0));
        station.deadline() - now
    };
    assert_eq!(connected(&mut station, 299 * SECOND), 90 * SECOND);
    assert_eq!(connected(&mut station, 300 * SECOND), Duration::from_millis(750));
}
