//! IPv4 (RFC 791) and IPv6 (RFC 8200).

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use zerocopy::byteorder::network_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::{Malformed, checksum};

/// The number of what follows an IP header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Protocol(pub u8);

impl Protocol {
    /// IPv4 in a tunnel (RFC 2003): the next header of an ESP packet that carries IPv4.
    pub const IPV4: Protocol = Protocol(4);
    /// TCP.
    pub const TCP: Protocol = Protocol(6);
    /// UDP.
    pub const UDP: Protocol = Protocol(17);
    /// IPv6 in a tunnel (RFC 2473): the next header of an ESP packet that carries IPv6.
    pub const IPV6: Protocol = Protocol(41);
    /// ESP (RFC 4303).
    pub const ESP: Protocol = Protocol(50);
    /// No next header (RFC 8200 §4.7): a dummy packet in ESP (RFC 4303 §2.6).
    pub const NONE: Protocol = Protocol(59);
}

/// An IPv4 header without options.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Ipv4Header {
    /// Version 4 and the header's length in 32-bit words.
    pub version_length: u8,
    /// Differentiated services and ECN.
    pub traffic_class: u8,
    /// Bytes of the packet with this header.
    pub total_length: U16,
    /// Identification, for fragments.
    pub identification: U16,
    /// Flags and the fragment's offset in units of 8 bytes.
    pub fragment: U16,
    /// Hops left.
    pub time_to_live: u8,
    /// What follows.
    pub protocol: u8,
    /// Checksum of the header.
    pub checksum: U16,
    /// Source address.
    pub source: [u8; 4],
    /// Destination address.
    pub destination: [u8; 4],
}

impl Ipv4Header {
    /// Bytes of the header without options.
    pub const LENGTH: usize = size_of::<Self>();
    /// "Don't fragment", in [`Ipv4Header::fragment`].
    pub const DONT_FRAGMENT: u16 = 0x4000;
}

/// An IPv6 header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Ipv6Header {
    /// Version 6, traffic class and flow label.
    pub version_class_flow: U32,
    /// Bytes after this header.
    pub payload_length: U16,
    /// What follows.
    pub next_header: u8,
    /// Hops left.
    pub hop_limit: u8,
    /// Source address.
    pub source: [u8; 16],
    /// Destination address.
    pub destination: [u8; 16],
}

impl Ipv6Header {
    /// Bytes of the header.
    pub const LENGTH: usize = size_of::<Self>();
    /// The next-header value of a fragment header.
    pub const FRAGMENT: u8 = 44;
}

/// An IPv4 or IPv6 packet, its bytes trimmed to the length that its header names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packet<'a> {
    /// The whole packet, from its header on; link-layer padding is cut off.
    pub bytes: &'a [u8],
    /// Source address.
    pub source: IpAddr,
    /// Destination address.
    pub destination: IpAddr,
    /// What follows the header. IPv6 extension headers are not walked: theirs is what stands here.
    pub protocol: Protocol,
    /// Whether this is a fragment of a larger packet, the first one included.
    pub fragment: bool,
    /// Bytes of the header with IPv4 options.
    pub header_length: usize,
    /// Differentiated services and ECN.
    pub traffic_class: u8,
}

impl<'a> Packet<'a> {
    /// Reads either version, told apart by the first four bits.
    ///
    /// # Errors
    /// [`Malformed::Ip`] for another version, a length that the bytes do not hold, or a wrong IPv4 header checksum.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        match bytes.first().map(|byte| byte >> 4) {
            Some(4) => Self::parse_v4(bytes),
            Some(6) => Self::parse_v6(bytes),
            Some(_) | None => Err(Malformed::Ip),
        }
    }

    /// What follows the header.
    #[must_use]
    pub fn payload(&self) -> &'a [u8] {
        self.bytes.get(self.header_length..).unwrap_or_default()
    }

    /// The next-header value under which a tunnel carries this packet.
    #[must_use]
    pub fn tunnel_protocol(&self) -> Protocol {
        match self.destination {
            IpAddr::V4(_) => Protocol::IPV4,
            IpAddr::V6(_) => Protocol::IPV6,
        }
    }

    /// Source and destination port of TCP and UDP. Fragments are said to have none: only the first one holds them.
    #[must_use]
    pub fn ports(&self) -> (Option<u16>, Option<u16>) {
        match self.ports_word() {
            Some([a, b, c, d]) => (Some(u16::from_be_bytes([*a, *b])), Some(u16::from_be_bytes([*c, *d]))),
            None => (None, None),
        }
    }

    /// A number equal for all packets of one flow: addresses and protocol, and the ports of TCP and UDP. Fragments are
    /// hashed by their addresses alone, so that all pieces of a packet go the same way.
    #[must_use]
    pub fn flow_hash(&self) -> u32 {
        let ports = self.ports_word().map_or(0, |ports| u32::from_be_bytes(*ports));
        let fold = |address: IpAddr| match address {
            IpAddr::V4(address) => u64::from(address.to_bits()),
            IpAddr::V6(address) => (address.to_bits() >> 64) as u64 ^ (address.to_bits() as u64).rotate_left(32),
        };
        // The multiplier is 2^64 divided by the golden ratio (Fibonacci hashing): it spreads near addresses far apart.
        let mix = |state: u64, value: u64| (state ^ value).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
        let addresses = mix(mix(0, fold(self.source)), fold(self.destination));
        (mix(addresses, u64::from(ports) << 8 | u64::from(self.protocol.0)) >> 32) as u32
    }

    fn ports_word(&self) -> Option<&'a [u8; 4]> {
        let has_ports = matches!(self.protocol, Protocol::TCP | Protocol::UDP) && !self.fragment;
        if has_ports { self.payload().first_chunk() } else { None }
    }

    fn parse_v4(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let (header, _) = Ipv4Header::ref_from_prefix(bytes).map_err(|_| Malformed::Ip)?;
        let header_length = usize::from(header.version_length & 0x0f) * 4;
        let total_length = usize::from(header.total_length.get());
        if header_length < Ipv4Header::LENGTH || total_length < header_length {
            return Err(Malformed::Ip);
        }
        let packet = bytes.get(..total_length).ok_or(Malformed::Ip)?;
        if checksum::ipv4_header(packet.get(..header_length).ok_or(Malformed::Ip)?) != 0 {
            return Err(Malformed::Ip);
        }
        Ok(Self {
            bytes: packet,
            source: IpAddr::V4(Ipv4Addr::from(header.source)),
            destination: IpAddr::V4(Ipv4Addr::from(header.destination)),
            protocol: Protocol(header.protocol),
            fragment: header.fragment.get() & 0x3fff != 0,
            header_length,
            traffic_class: header.traffic_class,
        })
    }

    fn parse_v6(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let (header, _) = Ipv6Header::ref_from_prefix(bytes).map_err(|_| Malformed::Ip)?;
        let total_length = Ipv6Header::LENGTH + usize::from(header.payload_length.get());
        Ok(Self {
            bytes: bytes.get(..total_length).ok_or(Malformed::Ip)?,
            source: IpAddr::V6(Ipv6Addr::from(header.source)),
            destination: IpAddr::V6(Ipv6Addr::from(header.destination)),
            protocol: Protocol(header.next_header),
            fragment: header.next_header == Ipv6Header::FRAGMENT,
            header_length: Ipv6Header::LENGTH,
            traffic_class: (header.version_class_flow.get() >> 20) as u8,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// scapy: `IP(src="10.1.0.2", dst="10.2.0.2", id=1) / ICMP()`.
    const ECHO: [u8; 28] = [
        0x45, 0x00, 0x00, 0x1c, 0x00, 0x01, 0x00, 0x00, 0x40, 0x01, 0x66, 0xda, 0x0a, 0x01, 0x00, 0x02, 0x0a, 0x02,
        0x00, 0x02, 0x08, 0x00, 0xf7, 0xff, 0x00, 0x00, 0x00, 0x00,
    ];

    #[test]
    fn trims_link_padding() {
        let mut frame = [0; 46];
        frame[..28].copy_from_slice(&ECHO);
        let packet = Packet::parse(&frame).unwrap();
        assert_eq!(packet.bytes, ECHO);
        assert_eq!(packet.source, IpAddr::from([10, 1, 0, 2]));
        assert_eq!(packet.payload().len(), 8);
    }

    #[test]
    fn rejects_each_wrong_header_field() {
        for (byte, value) in [(0, 0x55), (0, 0x44), (0, 0x46), (2, 0xff), (3, 19), (10, 0)] {
            let mut packet = ECHO;
            packet[byte] = value;
            assert_eq!(Packet::parse(&packet), Err(Malformed::Ip), "byte {byte} = {value:#x}");
        }
        for length in 0..ECHO.len() {
            assert_eq!(Packet::parse(&ECHO[..length]), Err(Malformed::Ip), "{length} bytes");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..128)) {
            if let Ok(packet) = Packet::parse(&bytes) {
                let _ = packet.flow_hash();
                let _ = crate::udp::Datagram::parse(packet.payload());
                let _ = crate::esp::header(packet.payload());
            }
            let _ = crate::Link::parse(&bytes);
        }
    }
}
