//! Messages against the layouts of RFC 7854, octet by octet.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Instant;

use super::*;
use crate::connection::ConnectionId;
use crate::family::Families;
use crate::negotiated::Negotiated;
use crate::observation::Opens;

const AT: Duration = Duration::new(0x6553_f100, 0x000f_4240 * 1000 - 1000);

fn session(remote: &str, four_octet_as: bool) -> Session {
    let negotiated = Negotiated {
        peer_as: 4_200_000_001,
        peer_identifier: Ipv4Addr::new(10, 0, 0, 2),
        hold_time: 90,
        families: Families { ipv4: true, ipv6: true },
        four_octet_as,
        route_refresh: true,
        enhanced_route_refresh: true,
        longest_message: 4096,
        extended_next_hop: false,
        restart: None,
    };
    Session {
        local: if remote.contains(':') { "fd00::1".parse().unwrap() } else { Ipv4Addr::new(169, 254, 9, 1).into() },
        remote: remote.parse().unwrap(),
        connection: ConnectionId(1),
        since: Instant::now(),
        negotiated: Arc::new(negotiated),
        opens: Opens { sent: Bytes::from_static(b"<our OPEN>"), received: Bytes::from_static(b"<its OPEN>") },
    }
}

/// Version 3, a length, a type.
fn head(length: u8, kind: u8) -> Vec<u8> {
    vec![3, 0, 0, 0, length, kind]
}

/// The header of RFC 7854 §4.2, octet by octet.
fn peer_head(flags: u8, address: [u8; 16]) -> Vec<u8> {
    let mut head = vec![0, flags, 0, 0, 0, 0, 0, 0, 0, 0];
    head.extend(address);
    head.extend([0xfa, 0x56, 0xea, 0x01, 10, 0, 0, 2, 0x65, 0x53, 0xf1, 0x00, 0x00, 0x0f, 0x42, 0x3f]);
    head
}

const PEER4: [u8; 16] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 169, 254, 9, 2];
const PEER6: [u8; 16] = [0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2];

#[test]
fn the_first_and_the_last_message() {
    let first = Message::Initiation { name: "bgw-1", description: "Bordergate" }.encode();
    assert_eq!(first, [&head(29, 4)[..], b"\0\x01\0\x0aBordergate\0\x02\0\x05bgw-1"].concat());
    for (reason, code) in [(Termination::Closed, 0), (Termination::ClosedForGood, 4)] {
        let last = Message::Termination(reason).encode();
        assert_eq!(last, [&head(12, 5)[..], &[0, 1, 0, 2, 0, code]].concat());
    }
    // What would not fit is cut.
    let long = "n".repeat(70_000);
    let first = Message::Initiation { name: &long, description: "" }.encode();
    assert_eq!(first.len(), 6 + 4 + 4 + 65_535);
}

#[test]
fn a_session_comes_up_with_both_opens() {
    let (ports, local) = (Ports { local: 179, remote: 0xabcd }, [169, 254, 9, 1]);
    let up = Message::PeerUp { session: &session("169.254.9.2", true), ports, at: AT }.encode();
    let mut expected = [head(88, 3), peer_head(0, PEER4), vec![0; 12]].concat();
    expected.extend(local);
    expected.extend([0, 179, 0xab, 0xcd]);
    expected.extend(b"<our OPEN><its OPEN>");
    assert_eq!(up, expected);
    let up = Message::PeerUp { session: &session("fd00::2", true), ports, at: AT }.encode();
    let local = [0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
    let expected = [head(88, 3), peer_head(0x80, PEER6), local.to_vec(), vec![0, 179, 0xab, 0xcd]].concat();
    assert_eq!(up, [&expected[..], b"<our OPEN><its OPEN>"].concat());
}

#[test]
fn routes_are_as_they_came_and_the_flags_say_how() {
    for (remote, four_octet_as, flags, address) in [
        ("169.254.9.2", true, 0, PEER4),
        ("169.254.9.2", false, 0x20, PEER4),
        ("fd00::2", true, 0x80, PEER6),
        ("fd00::2", false, 0xa0, PEER6),
    ] {
        let session = session(remote, four_octet_as);
        let routes = Message::RouteMonitoring { session: &session, update: b"<UPDATE>", at: Some(AT) }.encode();
        assert_eq!(routes, [&head(56, 0)[..], &peer_head(flags, address), b"<UPDATE>"].concat());
    }
    let session = session("169.254.9.2", true);
    let routes = Message::RouteMonitoring { session: &session, update: b"<UPDATE>", at: None }.encode();
    assert_eq!(routes[40..48], [0; 8], "the time is not known");
}

#[test]
fn a_session_ends_in_four_ways() {
    let session = session("169.254.9.2", true);
    let notification = Bytes::from_static(b"<NOTIFICATION>");
    for (ending, data) in [
        (Ending::Notifying(notification.clone()), &b"\x01<NOTIFICATION>"[..]),
        (Ending::Silent(17), &[2, 0, 17]),
        (Ending::Notified(notification), b"\x03<NOTIFICATION>"),
        (Ending::Lost, &[4]),
    ] {
        let down = Message::PeerDown { session: &session, ending: &ending, at: AT }.encode();
        let length = 48 + data.len() as u8;
        assert_eq!(down, [&head(length, 2)[..], &peer_head(0, PEER4), data].concat());
    }
}

#[test]
fn statistics_are_counted_and_have_their_types() {
    let statistics = Statistics {
        refused_prefixes: 1,
        looped_updates: 2,
        withdrawing_updates: 3,
        received: vec![(Family::Ipv4, 5), (Family::Ipv6, 6)],
        told: vec![(Family::Ipv4, 7)],
    };
    let report = Message::Statistics { session: &session("169.254.9.2", true), statistics: &statistics, at: AT };
    let counter = |kind, value| vec![0, kind, 0, 4, 0, 0, 0, value];
    let gauge = |kind, value| vec![0, kind, 0, 8, 0, 0, 0, 0, 0, 0, 0, value];
    let of_family = |kind, afi, value| vec![0, kind, 0, 11, 0, afi, 1, 0, 0, 0, 0, 0, 0, 0, value];
    let values = [
        counter(0, 1),
        counter(4, 2),
        gauge(7, 11),
        counter(11, 3),
        gauge(15, 7),
        of_family(9, 1, 5),
        of_family(9, 2, 6),
        of_family(17, 1, 7),
    ];
    let values = [&[0, 0, 0, 8][..], &values.concat()].concat();
    let length = 48 + values.len() as u8;
    assert_eq!(report.encode(), [head(length, 1), peer_head(0, PEER4), values].concat());
}
