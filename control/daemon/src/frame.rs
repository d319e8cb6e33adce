//! IKE datagrams as whole frames.

use std::net::{IpAddr, SocketAddr};

use wire::fragment::Split;
use wire::{LinkHeader, Packet, Protocol, checksum, udp};

/// Hops that our datagrams may make.
const HOPS: u8 = 64;
/// Bytes of an IPv4 header without options.
const IPV4: usize = 20;
/// Bytes of an IPv6 header.
const IPV6: usize = 40;
const DONT_FRAGMENT: u8 = 0x40;

/// The frame that carries `payload` in UDP behind `link`, both checksums filled in; `None` where the addresses are of two
/// families, or the payload does not fit a datagram.
pub fn datagram(link: &LinkHeader, source: SocketAddr, destination: SocketAddr, payload: &[u8]) -> Option<Vec<u8>> {
    let length = u16::try_from(udp::HEADER + payload.len()).ok()?;
    let mut frame = link.bytes().to_vec();
    match (source.ip(), destination.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            let [high, low] = length.checked_add(IPV4 as u16)?.to_be_bytes();
            // RFC 6864 §4.1: what is not to be fragmented needs no identification.
            let mut header =
                [0x45, 0, high, low, 0, 0, DONT_FRAGMENT, 0, HOPS, Protocol::UDP.0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
            header[12..16].copy_from_slice(&from.octets());
            header[16..].copy_from_slice(&to.octets());
            let check = checksum::ipv4_header(&header);
            header[10..12].copy_from_slice(&check.to_be_bytes());
            frame.extend(header);
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            let mut header = [0; IPV6];
            header[0] = 0x60;
            header[4..6].copy_from_slice(&length.to_be_bytes());
            (header[6], header[7]) = (Protocol::UDP.0, HOPS);
            header[8..24].copy_from_slice(&from.octets());
            header[24..].copy_from_slice(&to.octets());
            frame.extend(header);
        }
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => return None,
    }
    let mut header = udp::header(source.port(), destination.port(), payload.len() as u16);
    let pseudo_header = checksum::pseudo_header(source.ip(), destination.ip(), Protocol::UDP, length.into());
    let sum = checksum::sum(payload, checksum::sum(&header, pseudo_header));
    // RFC 768: a checksum of zero is sent as all ones, since zero says that there is none.
    let check = match checksum::finish(sum) {
        0 => 0xffff,
        check => check,
    };
    header[6..].copy_from_slice(&check.to_be_bytes());
    frame.extend(header);
    frame.extend(payload);
    Some(frame)
}

/// The frames that carry `payload`, each of at most `mtu` bytes behind `link`: one, or where it is longer, fragments with
/// this identification. A peer that sends long certificates and knows nothing of RFC 7383 leaves no other way.
pub fn datagrams(
    link: &LinkHeader,
    (source, destination): (SocketAddr, SocketAddr),
    payload: &[u8],
    mtu: usize,
    identification: u32,
) -> Option<Vec<Vec<u8>>> {
    let whole = datagram(link, source, destination, payload)?;
    let (head, packet) = whole.split_at_checked(link.bytes().len())?;
    if packet.len() <= mtu {
        return Some(vec![whole]);
    }
    let framed = |fragment: &[u8]| [head, fragment].concat();
    if source.is_ipv4() {
        let mut packet = packet.to_vec();
        let [high, low, ..] = identification.to_be_bytes();
        (packet[4], packet[5], packet[6]) = (high, low, 0);
        let mut header = [0; IPV4];
        header.copy_from_slice(packet.get(..IPV4)?);
        (header[10], header[11]) = (0, 0);
        packet[10..12].copy_from_slice(&checksum::ipv4_header(&header).to_be_bytes());
        let packet = Packet::parse(&packet).ok()?;
        let split = Split::new(&packet, mtu)?;
        let mut buffer = vec![0; mtu];
        let mut fragment = |piece| split.write(piece, &mut buffer).map(|length| framed(&buffer[..length]));
        return split.pieces().map(&mut fragment).collect();
    }
    // RFC 8200 §4.5: all but the last carry a multiple of eight bytes.
    let (header, upper) = packet.split_at_checked(IPV6)?;
    let room = mtu.checked_sub(IPV6 + FRAGMENT_HEADER)? / 8 * 8;
    let parts = upper.chunks(room.max(8)).enumerate();
    let fragment = |(nth, part): (usize, &[u8])| {
        let offset = nth * room.max(8);
        let more = u16::from(offset + part.len() < upper.len());
        let mut fragment = header.to_vec();
        fragment[4..6].copy_from_slice(&((FRAGMENT_HEADER + part.len()) as u16).to_be_bytes());
        fragment[6] = FRAGMENT_PROTOCOL;
        fragment.extend([Protocol::UDP.0, 0]);
        fragment.extend((offset as u16 | more).to_be_bytes());
        fragment.extend(identification.to_be_bytes());
        fragment.extend(part);
        framed(&fragment)
    };
    Some(parts.map(fragment).collect())
}

/// RFC 8200 §4.5: the fragment header's number and length.
const FRAGMENT_PROTOCOL: u8 = 44;
const FRAGMENT_HEADER: usize = 8;

#[cfg(test)]
mod tests {
    use wire::{EtherType, MacAddress};

    use super::*;

    fn frame(source: &str, destination: &str, payload: &[u8]) -> Option<String> {
        let (source, destination): (SocketAddr, SocketAddr) = (source.parse().unwrap(), destination.parse().unwrap());
        let ether_type = EtherType::of(destination.ip());
        let link = LinkHeader::new(MacAddress([2, 0, 0, 0, 0, 2]), MacAddress([2, 0, 0, 0, 0, 1]), None, ether_type);
        let frame = datagram(&link, source, destination, payload)?;
        Some(frame.iter().map(|byte| format!("{byte:02x}")).collect())
    }

    #[test]
    fn frames_are_those_of_scapy() {
        // Ether/IP(src="203.0.113.1", dst="198.51.100.2", id=0, flags="DF")/UDP(sport=500, dport=500)/b"\1\2\3"
        let v4 = frame("203.0.113.1:500", "198.51.100.2:500", &[1, 2, 3]);
        assert_eq!(
            v4.as_deref(),
            Some("02000000000202000000000108004500001f000040004011d496cb007101c633640201f401f4000b91b6010203")
        );
        // Ether/IPv6(src="2001:db8::1", dst="2001:db8::2")/UDP(sport=4500, dport=4500)/b"\xff"
        let v6 = frame("[2001:db8::1]:4500", "[2001:db8::2]:4500", &[0xff]);
        assert_eq!(
            v6.as_deref(),
            Some(
                "02000000000202000000000186dd600000000009114020010db800000000000000000000000120010db8000000000000000000000002119411940009823eff"
            )
        );
    }

    #[test]
    fn a_checksum_of_zero_is_sent_as_ones() {
        // As the first, with a payload for which scapy's checksum comes out as 0xffff.
        let frame = frame("203.0.113.1:500", "198.51.100.2:500", &[0x95, 0xba]);
        assert_eq!(
            frame.as_deref(),
            Some("02000000000202000000000108004500001e000040004011d497cb007101c633640201f401f4000affff95ba")
        );
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        assert_eq!(frame("203.0.113.1:500", "[2001:db8::2]:500", &[]), None);
        assert_eq!(frame("203.0.113.1:500", "198.51.100.2:500", &vec![0; 65508]), None);
        assert!(frame("203.0.113.1:500", "198.51.100.2:500", &vec![0; 65507]).is_some());
    }

    #[test]
    fn long_datagrams_become_fragments_that_scapy_puts_together() {
        let payload: Vec<u8> = (0..100).collect();
        let cut = |source: &str, destination: &str, mtu| {
            let (source, destination): (SocketAddr, SocketAddr) =
                (source.parse().unwrap(), destination.parse().unwrap());
            let ether_type = EtherType::of(destination.ip());
            let link =
                LinkHeader::new(MacAddress([2, 0, 0, 0, 0, 2]), MacAddress([2, 0, 0, 0, 0, 1]), None, ether_type);
            let frames = datagrams(&link, (source, destination), &payload, mtu, 0x1234_5678).unwrap();
            assert!(frames.iter().all(|frame| frame.len() <= 14 + mtu));
            frames
                .iter()
                .map(|frame| frame[14..].iter().map(|byte| format!("{byte:02x}")).collect())
                .collect::<Vec<String>>()
        };
        // scapy: fragment(IP(src="203.0.113.1", dst="198.51.100.2", id=0x1234)/UDP(sport=500, dport=500)/bytes(range(100)), 48)
        assert_eq!(cut("203.0.113.1:500", "198.51.100.2:500", 68), SCAPY_V4);
        // scapy: fragment6(IPv6(src="2001:db8::1", dst="2001:db8::2")/IPv6ExtHdrFragment(id=0x12345678)/UDP(sport=500,
        // dport=500)/bytes(range(100)), 118)
        assert_eq!(cut("[2001:db8::1]:500", "[2001:db8::2]:500", 112), SCAPY_V6);
        assert_eq!(cut("203.0.113.1:500", "198.51.100.2:500", 128).len(), 1);
    }

    const SCAPY_V4: [&str; 3] = [
        "45000044123420004011e23dcb007101c633640201f401f4006cf928000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f2021222324252627",
        "45000044123420064011e237cb007101c633640228292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f404142434445464748494a4b4c4d4e4f5051525354555657",
        "450000201234000c40110256cb007101c633640258595a5b5c5d5e5f60616263",
    ];
    const SCAPY_V6: [&str; 2] = [
        "6000000000482c4020010db800000000000000000000000120010db8000000000000000000000002110000011234567801f401f4006c03ec000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f3031323334353637",
        "6000000000342c4020010db800000000000000000000000120010db8000000000000000000000002110000401234567838393a3b3c3d3e3f404142434445464748494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f60616263",
    ];
}
