//! What stands in front of ESP in a tunnel's packets, prepared when the tunnel is installed.

use std::net::IpAddr;
use std::ops::Range;

use wire::checksum;
use wire::ecn::{self, Ecn};
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
    /// What becomes of the inner packet's ECN field (RFC 6040 §4.1).
    pub ecn: ecn::Mode,
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
        Self { code_point: None, ecn: ecn::Mode::Normal, dont_fragment: DontFragment::Set, hop_limit: 64 }
    }
}

/// Link header, IP header, and UDP header where ESP is encapsulated, filled in as for a packet with nothing behind them and an
/// inner traffic class of zero: what a packet has more is added to that.
#[derive(Debug, Clone)]
pub struct OuterHeader {
    bytes: [u8; Self::LONGEST],
    /// Bytes of all headers.
    length: u8,
    /// Bytes of the link header.
    link: u8,
    version: Version,
    encapsulated: bool,
    /// Of the inner traffic class, what is copied.
    copied_class: u8,
    dont_fragment: DontFragment,
    /// Over an IPv4 header as it stands here, folded.
    sum: u16,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    V4,
    V6,
}

/// Bytes of a cache line.
const LINE: usize = 64;
/// Bytes of the longest IP header, with UDP behind it.
const MOST_IP: usize = Ipv6Header::LENGTH + udp::HEADER;
/// Bits of the traffic class that are the code point.
const CODE_POINT: u8 = 0xfc;

impl OuterHeader {
    /// Bytes of the longest: both VLAN tags, IPv6, UDP.
    pub const LONGEST: usize = Link::LONGEST + MOST_IP;

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
        let fixed_class = rules.code_point.map_or(0, |code_point| code_point << 2);
        let mut bytes = [0; Self::LONGEST];
        if link.len() > Link::LONGEST {
            return None;
        }
        let udp_length = if encapsulation.is_some() { udp::HEADER as u16 } else { 0 };
        bytes[..link.len()].copy_from_slice(link);
        let ip = &mut bytes[link.len()..];
        let (ip_length, version, sum) = match (source, destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                let set = rules.dont_fragment == DontFragment::Set;
                let header = Ipv4Header {
                    version_length: 0x45,
                    traffic_class: fixed_class,
                    total_length: (Ipv4Header::LENGTH as u16 + udp_length).into(),
                    identification: 0.into(),
                    fragment: if set { Ipv4Header::DONT_FRAGMENT } else { 0 }.into(),
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
                    version_class_flow: (6 << 28 | u32::from(fixed_class) << 20).into(),
                    payload_length: udp_length.into(),
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
            // A mode lets all values through or none, so what becomes of the one with all bits set tells which bits are copied.
            copied_class: ecn::encapsulate(rules.ecn, Ecn::Ce).on(rules.code_point.map_or(CODE_POINT, |_| 0)),
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
        let class = inner.traffic_class & self.copied_class;
        // One look at whether there is as much, instead of one at each field.
        let link = usize::from(self.link);
        let ip = frame[link..].first_chunk_mut::<MOST_IP>().expect("room for IP and UDP");
        let prepared = self.bytes[link..].first_chunk::<MOST_IP>().expect("IP and UDP");
        let payload = payload as u16;
        let udp = match self.version {
            Version::V4 => {
                let [a, b, c, d, e, f, g, h, ..] = *prepared;
                let (mut start, mut sum) = (u64::from_be_bytes([a, b, c, d, e, f, g, h]), u32::from(self.sum));
                if self.dont_fragment != DontFragment::Set {
                    // RFC 6864 §4: an identification is for packets that may be fragmented; those of ESP differ by their number.
                    let copied = self.dont_fragment == DontFragment::Copy && inner.dont_fragment;
                    let (identification, flags) =
                        if copied { (0, Ipv4Header::DONT_FRAGMENT) } else { (sequence as u16, 0) };
                    start += u64::from(identification) << 16 | u64::from(flags);
                    sum += u32::from(identification) + u32::from(flags);
                }
                write_v4(ip, (start, sum), class, payload);
                Ipv4Header::LENGTH
            }
            Version::V6 => {
                add(ip, prepared, 0, u16::from(class) << 4);
                add(ip, prepared, 4, payload);
                Ipv6Header::LENGTH
            }
        };
        if self.encapsulated {
            add(ip, prepared, udp + 4, payload);
        }
    }
}

/// A prepared header of the commonest kind, as it stands: of IPv4, with "don't fragment" set, and no longer than a cache line.
pub struct PlainHeader {
    line: [u8; LINE],
    /// Bytes of all headers.
    pub length: usize,
    /// Bytes of the link header.
    link: usize,
    /// The first eight bytes of the IP header.
    start: u64,
    sum: u32,
    copied_class: u8,
    /// UDP's length, where ESP is encapsulated.
    udp_length: Option<u16>,
}

/// Where UDP's length stands behind it.
const UDP_LENGTH: Range<usize> = Ipv4Header::LENGTH + 4..Ipv4Header::LENGTH + 6;

impl OuterHeader {
    /// The header, if it is of the commonest kind.
    #[inline(always)]
    pub(crate) fn plain(&self) -> Option<PlainHeader> {
        let (length, link) = (self.length(), self.link_length());
        let ip = self.bytes.get(link..)?.first_chunk::<MOST_IP>()?;
        let udp_length =
            self.encapsulated.then(|| u16::from_be_bytes([ip[UDP_LENGTH.start], ip[UDP_LENGTH.start + 1]]));
        let plain = self.version == Version::V4 && self.dont_fragment == DontFragment::Set && length <= LINE;
        plain.then_some(PlainHeader {
            line: *self.bytes.first_chunk()?,
            length,
            link,
            start: u64::from_be_bytes(*ip.first_chunk()?),
            sum: self.sum.into(),
            copied_class: self.copied_class,
            udp_length,
        })
    }
}

impl PlainHeader {
    /// As [`OuterHeader::write`].
    #[inline(always)]
    pub fn write(&self, frame: &mut [u8], payload: usize, inner: InnerClass) {
        let frame = frame.first_chunk_mut::<LINE>().expect("room for the headers");
        *frame = self.line;
        let ip = frame[self.link..].first_chunk_mut::<{ UDP_LENGTH.end }>().expect("room for IP and UDP");
        let (class, payload) = (inner.traffic_class & self.copied_class, payload as u16);
        write_v4(ip, (self.start, self.sum), class, payload);
        if let Some(length) = self.udp_length {
            ip[UDP_LENGTH].copy_from_slice(&(length + payload).to_be_bytes());
        }
    }
}

/// Writes what a packet changes of a prepared IPv4 header: its traffic class and its length are added to the first eight bytes and to
/// the sum, so as they are without it.
#[inline(always)]
fn write_v4<const N: usize>(ip: &mut [u8; N], (start, sum): (u64, u32), class: u8, payload: u16) {
    // No field has so much that it would be carried into the next one.
    let start = start + (u64::from(class) << 48 | u64::from(payload) << 32);
    ip[..8].copy_from_slice(&start.to_be_bytes());
    let sum = sum + u32::from(class) + u32::from(payload);
    ip[10..12].copy_from_slice(&checksum::finish(sum).to_be_bytes());
}

/// Adds to a word of the prepared header.
#[inline(always)]
fn add(ip: &mut [u8; MOST_IP], prepared: &[u8; MOST_IP], at: usize, more: u16) {
    let word = u16::from_be_bytes([prepared[at], prepared[at + 1]]) + more;
    ip[at..at + 2].copy_from_slice(&word.to_be_bytes());
}

/// What the outer header follows from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InnerClass {
    /// Whether the packet is of IPv6; else it is of IPv4.
    pub is_v6: bool,
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
        let start = u64::from_be_bytes(*packet.first_chunk().expect("a whole header"));
        let is_v6 = start >> 60 != 4;
        let traffic_class = if is_v6 { start >> 52 } else { start >> 48 } as u8;
        Self { is_v6, traffic_class, dont_fragment: is_v6 || start & u64::from(Ipv4Header::DONT_FRAGMENT) != 0 }
    }
}
