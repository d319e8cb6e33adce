//! Whatever the bytes, nothing panics, and what is changed in place keeps its checksums right.

use std::net::IpAddr;

use bordergate_wire::fragment::Split;
use bordergate_wire::icmp::{Message, Problem, Report};
use bordergate_wire::udp::Datagram;
use bordergate_wire::{Link, Packet, checksum, esp, ip, tcp};
use proptest::prelude::*;

fn try_everything(bytes: &[u8]) {
    let mut buffer = [0; 1500];
    let mut changed = bytes.to_vec();
    ip::decrement_hops(&mut changed);
    ip::set_traffic_class(&mut changed, 0xff);
    tcp::clamp_mss(&mut changed, 0);
    let _ = Link::parse(bytes);
    if let Ok(Some((_, quote))) = Problem::parse_v6(bytes) {
        let _ = (quote.esp(), quote.ports());
    }
    let Ok(packet) = Packet::parse(bytes) else { return };
    let _ = (packet.flow_hash(), packet.symmetric_flow_hash(), packet.as_fragment());
    let _ = (Datagram::parse(packet.payload()), esp::header(packet.payload()));
    for source in [IpAddr::from([203, 0, 113, 1]), IpAddr::from([1; 16])] {
        let _ = Report::TooBig { mtu: 1400 }.write(&packet, source, &mut buffer);
    }
    match Message::parse(&packet) {
        Ok(Message::EchoRequest(request)) => drop(request.reply(&mut buffer)),
        Ok(Message::Error { quote, .. }) => drop((quote.esp(), quote.ports())),
        Ok(Message::Other) | Err(_) => {}
    }
    for mtu in [0, 27, 28, 60, 68, 100] {
        let Some(split) = Split::new(&packet, mtu) else { continue };
        let mut end = 0;
        for piece in split.pieces() {
            assert_eq!(piece.offset, end, "no gap");
            end += piece.length;
            let length = split.write(piece, &mut buffer).unwrap();
            assert!(length <= mtu);
            assert!(Packet::parse(&buffer[..length]).is_ok());
        }
        assert_eq!(end, packet.payload().len());
    }
}

/// A checksum that fits: the parsers then look further.
fn with_checksum(mut bytes: Vec<u8>, field: usize, start: usize) -> Vec<u8> {
    if bytes.len() >= field + 2 {
        bytes[field..field + 2].fill(0);
        let checksum = checksum::finish(checksum::sum(&bytes[start..], 0));
        bytes[field..field + 2].copy_from_slice(&checksum.to_be_bytes());
    }
    bytes
}

prop_compose! {
    /// An IPv4 packet whose header is right but for its options, with ICMP that is right but for what it says.
    fn icmp()(
        words in 5..16_u8,
        body in prop::collection::vec(any::<u8>(), 60..160),
        kind in 0..14_u8,
        flags in any::<u8>(),
    ) -> Vec<u8> {
        let mut bytes = [&[0; 20][..], &body].concat();
        let (start, length) = (usize::from(words) * 4, bytes.len() as u16);
        bytes[0] = 0x40 | words;
        bytes[2..4].copy_from_slice(&length.to_be_bytes());
        bytes[6..8].copy_from_slice(&[if flags < 200 { 0 } else { flags }, 0]);
        (bytes[9], bytes[12], bytes[16], bytes[start]) = (1, 10, 10, kind);
        bytes = with_checksum(bytes, start + 2, start);
        bytes[10..12].fill(0);
        let checksum = checksum::ipv4_header(&bytes[..start]);
        bytes[10..12].copy_from_slice(&checksum.to_be_bytes());
        bytes
    }
}

prop_compose! {
    /// An IPv6 packet with a chain of extension headers, each of which may say to be longer than it is.
    fn chain()(
        kinds in prop::collection::vec(prop::sample::select(vec![0, 43, 44, 58, 60, 6]), 1..12),
        mut body in prop::collection::vec(0..4_u8, 0..160),
    ) -> Vec<u8> {
        for (header, kind) in body.chunks_mut(8).zip(&kinds[1..]) {
            header[0] = *kind;
        }
        let mut bytes = [&[0x60, 0, 0, 0, 0, 0, kinds[0], 64][..], &[0x20; 32], &body].concat();
        bytes[4..6].copy_from_slice(&(body.len() as u16).to_be_bytes());
        bytes
    }
}

proptest! {
    #[test]
    fn bytes(bytes in prop::collection::vec(any::<u8>(), 0..160)) {
        try_everything(&bytes);
    }

    #[test]
    fn chains(bytes in chain()) {
        try_everything(&bytes);
    }

    #[test]
    fn messages(bytes in icmp()) {
        prop_assert!(Packet::parse(&bytes).is_ok());
        try_everything(&bytes);
    }

    /// RFC 1624 §2: an update gives what computing anew gives.
    #[test]
    fn headers_in_place(rest in any::<[u8; 18]>(), hops in 2..=255_u8, class in any::<u8>()) {
        let mut header = [&[0x45, 0][..], &rest].concat();
        header[8] = hops;
        let mut header = with_checksum(header, 10, 0);
        prop_assert_eq!(ip::decrement_hops(&mut header), Some(hops - 1));
        ip::set_traffic_class(&mut header, class);
        prop_assert_eq!([header[1], header[8]], [class, hops - 1]);
        prop_assert_eq!(&with_checksum(header.clone(), 10, 0), &header);
    }

    #[test]
    fn segments_in_place(
        mut segment in prop::collection::vec(any::<u8>(), 60..80),
        nops in 0..30_usize,
        limit in any::<u16>(),
    ) {
        segment[20..60].fill(1);
        segment[20 + nops..22 + nops].copy_from_slice(&[2, 4]);
        (segment[12], segment[13]) = (0xf0, 2);
        let announced = u16::from_be_bytes([segment[22 + nops], segment[23 + nops]]);
        let mut segment = with_checksum(segment, 16, 0);
        prop_assert_eq!(tcp::clamp_mss(&mut segment, limit), announced > limit);
        prop_assert_eq!(&segment[22 + nops..24 + nops], &announced.min(limit).to_be_bytes());
        prop_assert_eq!(&with_checksum(segment.clone(), 16, 0), &segment);
    }
}
