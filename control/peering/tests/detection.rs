//! BFD over the loopback interface: real UDP, real time.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use bfd::{Diagnostic, Discard, Distance, SessionConfig, SessionId, SessionStatus, State};
use bordergate_peering::{Detection, GatewayId, StateChange};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use socket2::{Domain, Socket, Type};

const GATEWAY: GatewayId = GatewayId(4);
const SESSION: SessionId = SessionId(9);
const PATIENCE: Duration = Duration::from_secs(30);

fn address(place: u8, end: u8) -> IpAddr {
    Ipv4Addr::new(127, 91, place, 1 + end).into()
}

fn config(local: IpAddr, remote: IpAddr) -> SessionConfig {
    SessionConfig {
        local,
        remote,
        distance: Distance::SingleHop,
        desired_min_tx: Duration::from_millis(50),
        required_min_rx: Duration::from_millis(50),
        detect_multiplier: 10,
        passive: false,
        authentication: None,
    }
}

fn end(seed: u64, config: SessionConfig) -> Detection {
    let detection = Detection::start(ChaCha8Rng::seed_from_u64(seed)).unwrap();
    detection.open(GATEWAY, Box::new(|local, kind| Socket::new(bordergate_peering::domain(local), kind, None)));
    detection.configure(GATEWAY, SESSION, config);
    detection
}

fn until(detection: &Detection, state: State) -> StateChange {
    let begun = Instant::now();
    loop {
        if let Some(change) = detection.poll_change().filter(|change| change.to == state) {
            assert_eq!((change.gateway, change.session), (GATEWAY, SESSION));
            return change;
        }
        assert!(begun.elapsed() < PATIENCE, "not {state:?} within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn status(detection: &Detection) -> SessionStatus {
    let (answer, answered) = channel();
    detection.with(GATEWAY, move |endpoint, _, _| answer.send(endpoint.status(SESSION).unwrap()).unwrap());
    answered.recv_timeout(PATIENCE).unwrap()
}

#[test]
fn two_ends_come_up_and_notice_that_one_is_gone() {
    let (a, b) = (address(1, 0), address(1, 1));
    let here = end(1, config(a, b));
    let there = end(2, config(b, a));
    until(&here, State::Up);
    until(&there, State::Up);
    assert_eq!(status(&here).detection_time, Duration::from_millis(500));
    drop(there);
    assert_eq!(until(&here, State::Down).diagnostic, Diagnostic::DetectionTimeExpired);
    let again = end(3, config(b, a));
    until(&here, State::Up);
    // Held down, an end says so.
    until(&again, State::Up);
    again.with(GATEWAY, |endpoint, now, rng| endpoint.set_admin(SESSION, false, now, rng));
    assert_eq!(until(&here, State::Down).diagnostic, Diagnostic::NeighborSignaledDown);
    again.remove(GATEWAY, SESSION);
    again.close(GATEWAY);
}

#[test]
fn how_far_a_packet_has_come_is_looked_at() {
    let (a, b) = (address(2, 0), address(2, 1));
    let here = end(1, config(a, b));
    let stranger = Socket::new(Domain::IPV4, Type::DGRAM, None).unwrap();
    stranger.bind(&SocketAddr::new(b, 0).into()).unwrap();
    // Down, discriminator 7, a second and a second.
    let packet =
        [&[0x20, 0x40, 3, 24, 0, 0, 0, 7, 0, 0, 0, 0][..], &[0, 15, 66, 64], &[0, 15, 66, 64], &[0; 4]].concat();
    for (ttl, state) in [(64, State::Down), (254, State::Down), (255, State::Init)] {
        stranger.set_ttl_v4(ttl).unwrap();
        let before = status(&here);
        stranger.send_to(&packet, &SocketAddr::new(a, 3784).into()).unwrap();
        let begun = Instant::now();
        while status(&here) == before {
            assert!(begun.elapsed() < PATIENCE, "it is taken notice of");
        }
        // Its own packets are counted as well, so another status need not be this packet's yet.
        while ttl < 255 && status(&here).last_discard != Some(Discard::TimeToLive { ttl: ttl as u8, least: 255 }) {
            assert!(begun.elapsed() < PATIENCE, "it is refused for its time to live");
        }
        if ttl == 255 {
            until(&here, State::Init);
        }
        assert_eq!(status(&here).state, state);
    }
}

#[test]
fn over_ipv6_an_end_that_hears_itself_comes_up_with_itself() {
    let own = IpAddr::V6(Ipv6Addr::LOCALHOST);
    let here = end(1, config(own, own));
    until(&here, State::Up);
    let status = status(&here);
    assert_eq!((status.remote_discriminator, status.discarded), (status.discriminator, 0));
}
