//! A packet of either version, read once.

use zerocopy::FromBytes;

use super::extension::Upper;
use super::{Address, Ipv4Header, Ipv6Header, Protocol};
use crate::{Malformed, checksum};

/// An IPv4 or IPv6 packet, its bytes trimmed to the length that its header names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packet<'a> {
    /// The whole packet, from its header on; link-layer padding is cut off.
    pub bytes: &'a [u8],
    /// Source address.
    pub source: Address,
    /// Destination address.
    pub destination: Address,
    /// What follows the headers: the upper-layer protocol. Of an IPv6 packet, what follows the extension headers of
    /// RFC 8200 §4 as far as they are walked: up to AH, eight of them at most; and of an IPv6 fragment what the fragment
    /// header names, which may be another extension header.
    pub protocol: Protocol,
    /// Whether this is a fragment of a larger packet, the first one included: [`Packet::as_fragment`] says which.
    pub fragment: bool,
    /// Whether routers must not fragment it: as IPv4's flag says (RFC 791 §3.1), and always for IPv6 (RFC 8200 §5).
    pub dont_fragment: bool,
    /// Bytes of the headers: IPv4 with options, IPv6 with the extension headers in front of [`Packet::protocol`].
    pub header_length: usize,
    /// Differentiated services and ECN.
    pub traffic_class: u8,
    /// Hops left: time to live or hop limit.
    pub hops: u8,
}

impl<'a> Packet<'a> {
    /// Reads either version, told apart by the first four bits.
    ///
    /// # Errors
    /// [`Malformed::Ip`] for another version, a length that the bytes do not hold, extension headers that the packet
    /// does not hold, or a wrong IPv4 header checksum.
    #[inline(always)]
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        match bytes.first().map(|byte| byte >> 4) {
            Some(4) => Self::parse_v4(bytes),
            Some(6) => Self::parse_v6(bytes),
            Some(_) | None => Err(Malformed::Ip),
        }
    }

    /// What follows all headers that were read.
    #[must_use]
    #[inline(always)]
    pub fn payload(&self) -> &'a [u8] {
        self.bytes.get(self.header_length..).unwrap_or_default()
    }

    /// The next-header value under which a tunnel carries this packet.
    #[must_use]
    #[inline(always)]
    pub fn tunnel_protocol(&self) -> Protocol {
        if self.destination.is_ipv4() { Protocol::IPV4 } else { Protocol::IPV6 }
    }

    /// Source and destination port of TCP and UDP. Fragments are said to have none: only the first one holds them.
    #[must_use]
    #[inline(always)]
    pub fn ports(&self) -> (Option<u16>, Option<u16>) {
        match self.ports_word() {
            Some([a, b, c, d]) => (Some(u16::from_be_bytes([*a, *b])), Some(u16::from_be_bytes([*c, *d]))),
            None => (None, None),
        }
    }

    #[inline(always)]
    pub(super) fn ports_word(&self) -> Option<&'a [u8; 4]> {
        let has_ports = matches!(self.protocol, Protocol::TCP | Protocol::UDP) && !self.fragment;
        if has_ports { self.payload().first_chunk() } else { None }
    }

    /// [`Packet::parse`] of one version, and of no other.
    ///
    /// # Errors
    /// As [`Packet::parse`].
    #[inline(always)]
    pub fn parse_of<const V6: bool>(bytes: &'a [u8]) -> Result<Self, Malformed> {
        if V6 { Self::parse_v6(bytes) } else { Self::parse_v4(bytes) }
    }

    /// Reads IPv4.
    ///
    /// # Errors
    /// As [`Packet::parse`].
    #[inline(always)]
    pub fn parse_v4(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let start = bytes.first_chunk::<{ Ipv4Header::LENGTH }>().ok_or(Malformed::Ip)?;
        let header: &Ipv4Header = zerocopy::transmute_ref!(start);
        let packet = bytes.get(..usize::from(header.total_length.get())).ok_or(Malformed::Ip)?;
        let header_length = match header.version_length {
            0x45 if packet.len() >= Ipv4Header::LENGTH && checksum::ipv4_holds(start) => Ipv4Header::LENGTH,
            0x46..=0x4f => Self::options(packet)?,
            _ => return Err(Malformed::Ip),
        };
        let fragment = header.fragment.get();
        Ok(Self {
            bytes: packet,
            source: Address::v4(u32::from_be_bytes(header.source)),
            destination: Address::v4(u32::from_be_bytes(header.destination)),
            protocol: Protocol(header.protocol),
            fragment: fragment & (Ipv4Header::MORE_FRAGMENTS | Ipv4Header::FRAGMENT_OFFSET) != 0,
            dont_fragment: fragment & Ipv4Header::DONT_FRAGMENT != 0,
            header_length,
            traffic_class: header.traffic_class,
            hops: header.time_to_live,
        })
    }

    /// Bytes of an IPv4 header with options.
    #[cold]
    fn options(packet: &[u8]) -> Result<usize, Malformed> {
        let length = packet.first().map_or(0, |byte| usize::from(byte & 0x0f) * 4);
        let header = packet.get(..length).filter(|header| header.len() > Ipv4Header::LENGTH).ok_or(Malformed::Ip)?;
        if checksum::ipv4_header(header) == 0 { Ok(length) } else { Err(Malformed::Ip) }
    }

    /// Reads IPv6.
    ///
    /// # Errors
    /// As [`Packet::parse`].
    #[inline(always)]
    pub fn parse_v6(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let (header, _) = Ipv6Header::ref_from_prefix(bytes).map_err(|_| Malformed::Ip)?;
        if !super::is_v6(bytes) {
            return Err(Malformed::Ip);
        }
        let total_length = Ipv6Header::LENGTH + usize::from(header.payload_length.get());
        let packet = bytes.get(..total_length).ok_or(Malformed::Ip)?;
        let upper = Upper::find(packet, header.next_header).ok_or(Malformed::Ip)?;
        Ok(Self {
            bytes: packet,
            source: Address::v6(u128::from_be_bytes(header.source)),
            destination: Address::v6(u128::from_be_bytes(header.destination)),
            protocol: upper.protocol,
            fragment: upper.fragment.is_some(),
            dont_fragment: true,
            header_length: upper.offset,
            traffic_class: header.traffic_class(),
            hops: header.hop_limit,
        })
    }
}

#[cfg(test)]
mod tests {
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
        assert_eq!(packet.source, Address::v4(0x0a01_0002));
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
}
