//! What stands in front of ESP in a tunnel's packets, prepared when the tunnel is installed.

use std::net::IpAddr;

use wire::checksum;
use wire::ip::{Ipv4Header, Ipv6Header, Protocol};
use wire::{Link, udp};
use zerocopy::IntoBytes;

/// The UDP ports that carry ESP (RFC 3948).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Encapsulation {
    /// Our port.
    pub source: u16,
    /// The peer's port.
    pub destination: u16,
}

/// How the outer header follows from the inner one (RFC 4301 §5.1.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeaderRules {
    /// The differentiated services code point of all packets; `None` copies the inner packet's (RFC 2983).
    pub code_point: Option<u8>,
    /// Copies the inner packet's ECN field (RFC 6040 §4.1, normal mode); else there is none (compatibility mode).
    pub ecn: bool,
    /// IPv4's "don't fragment".
    pub dont_fragment: DontFragment,
    /// Time to live or hop limit.
    pub hop_limit: u8,
}

/// What becomes of IPv4's "don't fragment" (RFC 4301 §8.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DontFragment {
    /// As on the inner packet; set for IPv6, whose packets routers do not fragment either.
    Copy,
    /// Set.
    Set,
    /// Not set.
    Clear,
}

impl Default for HeaderRules {
    fn default() -> Self {
        Self { code_point: None, ecn: true, dont_fragment: DontFragment::Set, hop_limit: 64 }
    }
}

/// Link header, IP header, and UDP header where ESP is encapsulated, with everything filled in that does not change with the
/// packet.
#[derive(Debug, Clone)]
pub struct OuterHeader {
    bytes: [u8; Self::LONGEST],
    /// Bytes of all headers.
    length: u8,
    /// Bytes of the link header.
    link: u8,
    version: Version,
    encapsulated: bool,
    /// Of the inner traffic class, what is copied, and what is put beside it.
    copied_class: u8,
    fixed_class: u8,
    dont_fragment: DontFragment,
    /// Over all of an IPv4 header that does not change with the packet, folded.
    sum: u16,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    V4,
    V6,
}

/// Bytes of a cache line.
const LINE: usize = 64;
/// Bits of the traffic class that are the code point.
const CODE_POINT: u8 = 0xfc;
/// And the ECN field.
const ECN: u8 = 0x03;

impl OuterHeader {
    /// Bytes of the longest: both VLAN tags, IPv6, UDP.
    pub const LONGEST: usize = Link::LONGEST + Ipv6Header::LENGTH + udp::HEADER;

    /// From `source` to `destination`, behind the bytes of a link header; `None` where the addresses are not of one family,
    /// or the link header is too long.
    #[must_use]
    pub fn new(
        link: &[u8],
        source: IpAddr,
        destination: IpAddr,
        encapsulation: Option<Encapsulation>,
        rules: HeaderRules,
    ) -> Option<Self> {
        let protocol = if encapsulation.is_some() { Protocol::UDP } else { Protocol::ESP };
        let mut bytes = [0; Self::LONGEST];
        if link.len() > Link::LONGEST {
            return None;
        }
        bytes[..link.len()].copy_from_slice(link);
        let ip = &mut bytes[link.len()..];
        let (ip_length, version, sum) = match (source, destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                let header = Ipv4Header {
                    version_length: 0x45,
                    traffic_class: 0,
                    total_length: 0.into(),
                    identification: 0.into(),
                    fragment: 0.into(),
                    time_to_live: rules.hop_limit,
                    protocol: protocol.0,
                    checksum: 0.into(),
                    source: source.octets(),
                    destination: destination.octets(),
                };
                ip[..Ipv4Header::LENGTH].copy_from_slice(header.as_bytes());
                (Ipv4Header::LENGTH, Version::V4, !checksum::ipv4_header(header.as_bytes()))
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                let header = Ipv6Header {
                    version_class_flow: (6 << 28).into(),
                    payload_length: 0.into(),
                    next_header: protocol.0,
                    hop_limit: rules.hop_limit,
                    source: source.octets(),
                    destination: destination.octets(),
                };
                ip[..Ipv6Header::LENGTH].copy_from_slice(header.as_bytes());
                (Ipv6Header::LENGTH, Version::V6, 0)
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => return None,
        };
        let mut length = link.len() + ip_length;
        if let Some(ports) = encapsulation {
            let header = udp::header(ports.source, ports.destination, 0);
            bytes[length..length + udp::HEADER].copy_from_slice(&header);
            length += udp::HEADER;
        }
        Some(Self {
            bytes,
            length: length as u8,
            link: link.len() as u8,
            version,
            encapsulated: encapsulation.is_some(),
            copied_class: rules.code_point.map_or(CODE_POINT, |_| 0) | if rules.ecn { ECN } else { 0 },
            fixed_class: rules.code_point.map_or(0, |code_point| code_point << 2),
            dont_fragment: rules.dont_fragment,
            sum,
        })
    }

    /// Bytes of all headers, the link's included.
    #[must_use]
    #[inline(always)]
    pub fn length(&self) -> usize {
        usize::from(self.length)
    }

    /// Bytes of the link header.
    #[must_use]
    #[inline(always)]
    pub fn link_length(&self) -> usize {
        usize::from(self.link)
    }

    /// Writes the headers of a packet with `payload` bytes behind them, to the start of `frame`; the bytes up to
    /// [`OuterHeader::LONGEST`] are written over.
    ///
    /// # Panics
    /// Where `frame` is shorter than that: the caller's own arithmetic.
    #[inline(always)]
    pub fn write(&self, frame: &mut [u8], payload: usize, inner: InnerClass, sequence: u64) {
        let frame = frame.first_chunk_mut::<{ Self::LONGEST }>().expect("room for the headers");
        // A line at once; most headers are no longer.
        frame[..LINE].copy_from_slice(&self.bytes[..LINE]);
        if usize::from(self.length) > LINE {
            frame[LINE..].copy_from_slice(&self.bytes[LINE..]);
        }
        let class = inner.traffic_class & self.copied_class | self.fixed_class;
        let ip = &mut frame[usize::from(self.link)..];
        let payload = payload as u16;
        let udp = match self.version {
            Version::V4 => {
                let total = u16::from(self.length - self.link) + payload;
                let dont_fragment = match self.dont_fragment {
                    DontFragment::Copy => inner.dont_fragment,
                    DontFragment::Set => true,
                    DontFragment::Clear => false,
                };
                // RFC 6864 §4: an identification is for packets that may be fragmented; those of ESP differ by their number.
                let (identification, flags) =
                    if dont_fragment { (0, Ipv4Header::DONT_FRAGMENT) } else { (sequence as u16, 0) };
                let words = [0x4500 | u16::from(class), total, identification, flags];
                let sum =
                    words[1..].iter().fold(u32::from(self.sum) + u32::from(class), |sum, word| sum + u32::from(*word));
                let start = words.iter().fold(0, |start, word| start << 16 | u64::from(*word));
                ip[..8].copy_from_slice(&start.to_be_bytes());
                ip[10..12].copy_from_slice(&checksum::finish(sum).to_be_bytes());
                Ipv4Header::LENGTH
            }
            Version::V6 => {
                let start = 0x6000_u16 | u16::from(class) << 4;
                ip[..2].copy_from_slice(&start.to_be_bytes());
                let length = u16::from(self.length - self.link) - Ipv6Header::LENGTH as u16 + payload;
                ip[4..6].copy_from_slice(&length.to_be_bytes());
                Ipv6Header::LENGTH
            }
        };
        if self.encapsulated {
            ip[udp + 4..udp + 6].copy_from_slice(&(udp::HEADER as u16 + payload).to_be_bytes());
        }
    }
}

/// What the outer header follows from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InnerClass {
    /// What the packet is as the content of a tunnel.
    pub protocol: Protocol,
    /// Differentiated services and ECN.
    pub traffic_class: u8,
    /// Whether routers may not fragment the packet.
    pub dont_fragment: bool,
}

impl InnerClass {
    /// Of an IP packet.
    ///
    /// # Panics
    /// Where that is no IP packet, or shorter than 8 bytes: what is sealed was parsed before.
    #[must_use]
    #[inline(always)]
    pub fn of(packet: &[u8]) -> Self {
        let start = packet.first_chunk::<8>().expect("a whole header");
        if start[0] >> 4 == 4 {
            Self { protocol: Protocol::IPV4, traffic_class: start[1], dont_fragment: start[6] & 0x40 != 0 }
        } else {
            Self { protocol: Protocol::IPV6, traffic_class: start[0] << 4 | start[1] >> 4, dont_fragment: true }
        }
    }
}
