//! Packets made by scapy, and what it makes of them (tests/make_vectors.py): parsed, changed and answered alike.

use std::net::IpAddr;

use bordergate_wire::ethernet::{EtherType, Link, LinkHeader, MacAddress, Tag};
use bordergate_wire::fragment::Split;
use bordergate_wire::icmp::{Message, Problem, Report};
use bordergate_wire::{Malformed, Packet, Protocol, ip, tcp};

/// The arguments of all cases of one kind, of which there must be some.
fn cases<const N: usize>(kind: &str) -> Vec<[&'static str; N]> {
    let lines = include_str!("packets.txt").lines().filter_map(|line| line.strip_prefix(kind)?.strip_prefix(' '));
    let cases: Vec<_> = lines.map(|line| line.split(' ').collect::<Vec<_>>().try_into().unwrap()).collect();
    assert!(!cases.is_empty(), "{kind}");
    cases
}

fn bytes(hexadecimal: &str) -> Vec<u8> {
    hexadecimal
        .as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

fn maybe<T>(field: &str, read: impl Fn(&str) -> T) -> Option<T> {
    (field != "-").then(|| read(field))
}

fn number<T: std::str::FromStr<Err = std::num::ParseIntError>>(field: &str) -> T {
    field.parse().unwrap()
}

fn pair<T: std::str::FromStr<Err = std::num::ParseIntError>>(field: &str) -> (T, T) {
    let (one, other) = field.split_once('/').unwrap();
    (number(one), number(other))
}

#[test]
fn packets_are_parsed() {
    for [text, protocol, headers, class, hops, dont_fragment, fragment, ports] in cases("packet") {
        let bytes = bytes(text);
        let padded = [&bytes[..], &[0; 7]].concat();
        let packet = Packet::parse(&padded).unwrap();
        assert_eq!(packet.bytes, bytes, "{text}");
        assert_eq!(packet.protocol, Protocol(number(protocol)), "{text}");
        assert_eq!(packet.header_length, number::<usize>(headers), "{text}");
        assert_eq!(packet.payload(), &bytes[packet.header_length..], "{text}");
        assert_eq!(packet.traffic_class, number::<u8>(class), "{text}");
        assert_eq!(packet.hops, number::<u8>(hops), "{text}");
        assert_eq!(u8::from(packet.dont_fragment), number::<u8>(dont_fragment), "{text}");
        let found = packet.as_fragment().map(|f| format!("{}/{}/{}", f.identification, f.offset, u8::from(f.more)));
        assert_eq!(found, maybe(fragment, str::to_owned), "{text}");
        assert_eq!(packet.fragment, found.is_some(), "{text}");
        let (source, destination) = packet.ports();
        assert_eq!(source.zip(destination), maybe(ports, pair), "{text}");
        for length in 0..bytes.len() {
            assert_eq!(Packet::parse(&bytes[..length]), Err(Malformed::Ip), "{length} bytes of {text}");
        }
    }
    for [text] in cases("malformed") {
        assert_eq!(Packet::parse(&bytes(text)), Err(Malformed::Ip), "{text}");
    }
}

#[test]
fn a_hop_is_taken_off() {
    for [before, after] in cases("hops") {
        let mut packet = bytes(before);
        let left = ip::decrement_hops(&mut packet);
        assert_eq!(left, maybe(after, |after| Packet::parse(&bytes(after)).unwrap().hops), "{before}");
        assert_eq!(packet, maybe(after, bytes).unwrap_or(bytes(before)), "{before}");
    }
}

#[test]
fn traffic_classes_are_changed() {
    for [class, before, after] in cases("class") {
        let mut packet = bytes(before);
        ip::set_traffic_class(&mut packet, number(class));
        assert_eq!(packet, bytes(after), "{before}");
    }
}

#[test]
fn segment_sizes_are_clamped() {
    for [limit, before, after] in cases("mss") {
        let mut packet = bytes(before);
        let start = Packet::parse(&packet).unwrap().header_length;
        assert_eq!(tcp::clamp_mss(&mut packet[start..], number(limit)), after != "-", "{before}");
        assert_eq!(packet, maybe(after, bytes).unwrap_or(bytes(before)), "{before}");
    }
}

#[test]
fn errors_are_reported() {
    for [kind, mtu, about, expected] in cases("report") {
        let report = match kind {
            "no_route" => Report::NoRoute,
            "address_unreachable" => Report::AddressUnreachable,
            "prohibited" => Report::Prohibited,
            "too_big" => Report::TooBig { mtu: number(mtu) },
            "hops_exceeded" => Report::HopsExceeded,
            _ => panic!("{kind}"),
        };
        let about = bytes(about);
        let packet = Packet::parse(&about).unwrap();
        let source = if packet.source.is_ipv4() { "203.0.113.1" } else { "2001:db8::1" };
        let answer = |buffer: &mut [u8]| report.write(&packet, source.parse().unwrap(), buffer);
        assert_written(answer, maybe(expected, bytes), &format!("{kind} {packet:?}"));
    }
}

#[test]
fn echoes_are_answered() {
    for [request, reply] in cases("echo") {
        let bytes_of_request = bytes(request);
        let Ok(Message::EchoRequest(echo)) = Message::parse(&Packet::parse(&bytes_of_request).unwrap()) else {
            panic!("{request}")
        };
        assert_written(|buffer| echo.reply(buffer), maybe(reply, bytes), request);
    }
}

/// What is written is what is expected and nothing behind it; and a buffer too small by one byte is none.
fn assert_written(write: impl Fn(&mut [u8]) -> Option<usize>, expected: Option<Vec<u8>>, case: &str) {
    let mut buffer = [0xee; 2048];
    let written = write(&mut buffer);
    assert_eq!(written.map(|length| buffer[..length].to_vec()), expected, "{case}");
    if let Some(length) = written {
        assert!(buffer[length..].iter().all(|byte| *byte == 0xee), "{case}");
        assert_eq!(write(&mut buffer[..length - 1]), None, "{case}");
    }
}

#[test]
fn errors_are_read() {
    for [packet, why, mtu, source, destination, length, protocol, esp, ports] in cases("error") {
        let bytes = bytes(packet);
        let expected = match why {
            "too_big" => Problem::TooBig { mtu: maybe(mtu, number) },
            "unreachable" => Problem::Unreachable,
            "time_exceeded" => Problem::TimeExceeded,
            "parameter_problem" => Problem::ParameterProblem,
            _ => panic!("{why}"),
        };
        let whole = Packet::parse(&bytes).unwrap();
        let Ok(Message::Error { problem, quote }) = Message::parse(&whole) else { panic!("{packet}") };
        if !whole.source.is_ipv4() {
            assert_eq!(Problem::parse_v6(whole.payload()), Ok(Some((problem, quote))), "{packet}");
        }
        assert_eq!(quote.length, number::<usize>(length), "{packet}");
        assert_eq!(problem, expected, "{packet}");
        let addresses = [source, destination].map(|address| address.parse::<IpAddr>().unwrap());
        assert_eq!([quote.source, quote.destination], addresses, "{packet}");
        assert_eq!(quote.protocol, Protocol(number(protocol)), "{packet}");
        assert_eq!(quote.esp(), maybe(esp, pair), "{packet}");
        assert_eq!(quote.ports(), maybe(ports, pair), "{packet}");
    }
}

#[test]
fn other_messages_are_told_apart() {
    for [packet] in cases("other") {
        assert_eq!(Message::parse(&Packet::parse(&bytes(packet)).unwrap()), Ok(Message::Other), "{packet}");
    }
    for [packet] in cases("not_icmp") {
        assert_eq!(Message::parse(&Packet::parse(&bytes(packet)).unwrap()), Err(Malformed::Icmp), "{packet}");
    }
}

#[test]
fn packets_are_fragmented() {
    for [mtu, packet, fragments] in cases("fragments") {
        let bytes_of_packet = bytes(packet);
        let split = Split::new(&Packet::parse(&bytes_of_packet).unwrap(), number(mtu));
        assert_eq!(split.is_some(), fragments != "-", "{packet}");
        let Some(split) = split else { continue };
        let mut pieces = split.pieces();
        for expected in fragments.split(',') {
            let piece = pieces.next().unwrap();
            assert_written(|buffer| split.write(piece, buffer), Some(bytes(expected)), packet);
            let expected = bytes(expected);
            let parsed = Packet::parse(&expected).unwrap();
            assert_eq!(parsed.payload().len(), piece.length);
            assert_eq!(parsed.as_fragment().is_some_and(|fragment| fragment.more), piece.more);
        }
        assert_eq!(pieces.next(), None, "{packet}");
    }
}

#[test]
fn frames_are_told_apart_by_vlan() {
    for [frame, ether_type, length, vlan, priority] in cases("frame") {
        let link = Link::parse(&bytes(frame)).unwrap();
        let tag = maybe(vlan, |vlan| Tag::new(number(vlan), number(priority)).unwrap());
        // Drop eligibility is read over.
        assert_eq!(link.tag.map(|tag| (tag.vlan(), tag.priority())), tag.map(|tag| (tag.vlan(), tag.priority())));
        assert_eq!((link.ether_type, link.length), (EtherType(number(ether_type)), number(length)), "{frame}");
    }
    for [vlan, priority, expected] in cases("header") {
        let tag = maybe(vlan, |vlan| Tag::new(number(vlan), number(priority)).unwrap());
        let [to, from] = [1, 2].map(|last| MacAddress([2, 0, 0, 0, 0, last]));
        assert_eq!(LinkHeader::new(to, from, tag, EtherType::IPV4).bytes(), bytes(expected));
    }
    assert_eq!((Tag::new(4096, 0), Tag::new(0, 8)), (None, None));
}
