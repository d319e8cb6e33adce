//! ICMP (RFC 792) and ICMPv6 (RFC 4443): what a gateway says to those whose packets it cannot send on, and what it is
//! told itself.

mod echo;
mod quote;
mod report;

use core::net::IpAddr;

use zerocopy::IntoBytes;

pub use self::echo::EchoRequest;
pub use self::quote::Quote;
pub use self::report::{Report, may_report};
use crate::{Ipv4Header, Ipv6Header, Malformed, Packet, Protocol, checksum};

/// Bytes in front of a message's data: type, code, checksum, and a word with a meaning of its own.
pub const HEADER: usize = 8;

mod v4 {
    pub const ECHO_REPLY: u8 = 0;
    pub const UNREACHABLE: u8 = 3;
    pub const SOURCE_QUENCH: u8 = 4;
    pub const REDIRECT: u8 = 5;
    pub const ECHO_REQUEST: u8 = 8;
    pub const TIME_EXCEEDED: u8 = 11;
    pub const PARAMETER_PROBLEM: u8 = 12;
    /// The code of "destination unreachable" for a packet that is too long and must not be fragmented.
    pub const FRAGMENTATION_NEEDED: u8 = 4;
}

mod v6 {
    pub const UNREACHABLE: u8 = 1;
    pub const TOO_BIG: u8 = 2;
    pub const TIME_EXCEEDED: u8 = 3;
    pub const PARAMETER_PROBLEM: u8 = 4;
    /// Types from here on are no errors (RFC 4443 §2.1).
    pub const INFORMATIONAL: u8 = 128;
    pub const ECHO_REQUEST: u8 = 128;
    pub const ECHO_REPLY: u8 = 129;
    pub const REDIRECT: u8 = 137;
}

/// A message received, of either version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Message<'a> {
    /// Somebody asks whether we are there.
    EchoRequest(EchoRequest<'a>),
    /// A packet did not arrive.
    Error {
        /// Why not.
        problem: Problem,
        /// What is left of the packet. Anybody can write one: its source says whether it can have been ours.
        quote: Quote<'a>,
    },
    /// Anything else.
    Other,
}

/// Why a packet did not arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Problem {
    /// Destination unreachable, for whatever reason but its length.
    Unreachable,
    /// Longer than a link on its way carries, in bytes with the IP header: `None` from a router that precedes RFC 1191.
    /// IPv6 links of less than 1280 bytes are not believed in (RFC 8201 §4); of IPv4 any value is passed on.
    TooBig {
        /// The link's MTU.
        mtu: Option<u16>,
    },
    /// No hops left, or not all fragments came in time.
    TimeExceeded,
    /// A header that somebody did not like.
    ParameterProblem,
}

impl<'a> Message<'a> {
    /// Reads the message that a packet carries.
    ///
    /// # Errors
    /// [`Malformed::Icmp`] where it carries none, or not a whole one, or one that contradicts itself.
    pub fn parse(packet: &Packet<'a>) -> Result<Self, Malformed> {
        let message = packet.payload();
        let is_v4 = packet.source.is_ipv4();
        let pseudo_header = match (is_v4, packet.protocol) {
            (true, Protocol::ICMP) => 0,
            // RFC 4443 §2.3.
            (false, Protocol::ICMPV6) => {
                checksum::pseudo_header(packet.source.into(), packet.destination.into(), packet.protocol, message.len())
            }
            (_, _) => return Err(Malformed::Icmp),
        };
        if packet.fragment || checksum::finish(checksum::sum(message, pseudo_header)) != 0 {
            return Err(Malformed::Icmp);
        }
        match message.split_first_chunk::<HEADER>() {
            Some((&[kind, _, _, _, word @ ..], data))
                if kind == if is_v4 { v4::ECHO_REQUEST } else { v6::ECHO_REQUEST } =>
            {
                Ok(Self::EchoRequest(EchoRequest { packet: *packet, word, data }))
            }
            Some(_) | None => match Problem::parse(message, is_v4)? {
                Some((problem, quote)) => Ok(Self::Error { problem, quote }),
                None => Ok(Self::Other),
            },
        }
    }
}

impl Problem {
    /// What an ICMPv6 message tells of, and the packet that it is about; `None` for one that is no error. For messages of
    /// a raw socket (RFC 3542 §3.1): without an IP header, and with a checksum that the kernel has found right.
    ///
    /// # Errors
    /// [`Malformed::Icmp`] for no whole message, or one that contradicts itself.
    pub fn parse_v6(message: &[u8]) -> Result<Option<(Self, Quote<'_>)>, Malformed> {
        Self::parse(message, false)
    }

    fn parse(message: &[u8], is_v4: bool) -> Result<Option<(Self, Quote<'_>)>, Malformed> {
        let (header, body) = message.split_first_chunk::<HEADER>().ok_or(Malformed::Icmp)?;
        let [kind, code, _, _, word @ ..] = *header;
        let [_, _, high, low] = word;
        let problem = match (is_v4, kind) {
            (true, v4::UNREACHABLE) if code == v4::FRAGMENTATION_NEEDED => {
                Self::TooBig { mtu: Some(u16::from_be_bytes([high, low])).filter(|mtu| *mtu != 0) }
            }
            (false, v6::TOO_BIG) => {
                // No packet is longer than 16 bits say.
                let mtu = u16::try_from(u32::from_be_bytes(word)).unwrap_or(u16::MAX);
                // RFC 8201 §4: a smaller one is not even a reason to send fragments.
                let believed = mtu >= Ipv6Header::LEAST_MTU;
                Self::TooBig { mtu: Some(believed.then_some(mtu).ok_or(Malformed::Icmp)?) }
            }
            (true, v4::UNREACHABLE) | (false, v6::UNREACHABLE) => Self::Unreachable,
            (true, v4::TIME_EXCEEDED) | (false, v6::TIME_EXCEEDED) => Self::TimeExceeded,
            (true, v4::PARAMETER_PROBLEM) | (false, v6::PARAMETER_PROBLEM) => Self::ParameterProblem,
            (_, _) => return Ok(None),
        };
        let quote = Quote::parse(body).filter(|quote| quote.source.is_ipv4() == is_v4).ok_or(Malformed::Icmp)?;
        Ok(Some((problem, quote)))
    }
}

/// A message to be sent.
struct Outgoing<'a> {
    source: IpAddr,
    destination: IpAddr,
    traffic_class: u8,
    /// `None` for one that routers must not fragment (RFC 6864 §4.1); of no meaning in IPv6.
    identification: Option<u16>,
    kind: u8,
    code: u8,
    word: [u8; 4],
    data: &'a [u8],
}

impl Outgoing<'_> {
    const HOPS: u8 = 64;

    /// Writes the packet and returns its length; `None` where the buffer ends before it or its addresses are of two
    /// families.
    fn write(&self, buffer: &mut [u8]) -> Option<usize> {
        let length = HEADER + self.data.len();
        let [a, b, c, d] = self.word;
        let mut header = [self.kind, self.code, 0, 0, a, b, c, d];
        let (ip, pseudo_header) = match (self.source, self.destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                let flags = if self.identification.is_none() { Ipv4Header::DONT_FRAGMENT } else { 0 };
                let mut header = Ipv4Header {
                    version_length: 0x45,
                    traffic_class: self.traffic_class,
                    total_length: u16::try_from(Ipv4Header::LENGTH + length).ok()?.into(),
                    identification: self.identification.unwrap_or(0).into(),
                    fragment: flags.into(),
                    time_to_live: Self::HOPS,
                    protocol: Protocol::ICMP.0,
                    checksum: 0.into(),
                    source: source.octets(),
                    destination: destination.octets(),
                };
                header.checksum = checksum::ipv4_header(header.as_bytes()).into();
                header.write_to_prefix(buffer).ok()?;
                (Ipv4Header::LENGTH, 0)
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                let header = Ipv6Header {
                    version_class_flow: (6 << 28 | u32::from(self.traffic_class) << 20).into(),
                    payload_length: u16::try_from(length).ok()?.into(),
                    next_header: Protocol::ICMPV6.0,
                    hop_limit: Self::HOPS,
                    source: source.octets(),
                    destination: destination.octets(),
                };
                header.write_to_prefix(buffer).ok()?;
                let sum = checksum::pseudo_header(self.source, self.destination, Protocol::ICMPV6, length);
                (Ipv6Header::LENGTH, sum)
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => return None,
        };
        let sum = checksum::sum(self.data, checksum::sum(&header, pseudo_header));
        let [high, low] = checksum::finish(sum).to_be_bytes();
        header = [self.kind, self.code, high, low, a, b, c, d];
        let (to_header, to_data) = buffer.get_mut(ip..ip + length)?.split_first_chunk_mut::<HEADER>()?;
        *to_header = header;
        to_data.copy_from_slice(self.data);
        Some(ip + length)
    }
}
