//! IKE datagrams as whole frames.

use std::net::{IpAddr, SocketAddr};

use wire::{LinkHeader, Protocol, checksum, udp};

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
}
