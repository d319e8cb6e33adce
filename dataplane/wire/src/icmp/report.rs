//! Errors about packets that cannot be sent on.

use core::net::IpAddr;

use super::{HEADER, Outgoing, v4, v6};
use crate::{Ipv4Header, Ipv6Header, Packet, Protocol};

/// Why a packet is not sent on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Report {
    /// No route to the destination.
    NoRoute,
    /// There is a route, but the destination or the next hop does not answer.
    AddressUnreachable,
    /// Forbidden by administration.
    Prohibited,
    /// Longer than the way carries, and not to be fragmented (RFC 1191 §4, RFC 4443 §3.2).
    TooBig {
        /// What it carries, in bytes with the IP header.
        mtu: u16,
    },
    /// No hops left.
    HopsExceeded,
}

/// RFC 1812 §4.3.2.3: as much of the packet as fits, the message being at most as long as every host takes.
const LONGEST_V4: usize = 576;
/// RFC 1812 §4.3.2.5: precedence 6, "internetwork control".
const TRAFFIC_CLASS: u8 = 0xc0;

impl Report {
    /// Writes the error about `packet` as an IP packet from `source` to its sender, and returns its length.
    ///
    /// `None` where none may be sent ([`may_report`]), where `source` is of another family, or where the buffer ends
    /// before it: 576 bytes are enough for IPv4, 1280 for IPv6.
    #[must_use]
    pub fn write(self, packet: &Packet<'_>, source: IpAddr, buffer: &mut [u8]) -> Option<usize> {
        if !may_report(self, packet) {
            return None;
        }
        let is_v4 = source.is_ipv4();
        let (kind, code) = if is_v4 { self.v4() } else { self.v6() };
        let room = if is_v4 {
            LONGEST_V4 - Ipv4Header::LENGTH - HEADER
        } else {
            usize::from(Ipv6Header::LEAST_MTU) - Ipv6Header::LENGTH - HEADER
        };
        // RFC 1191 §4 has the MTU in the word's low half, RFC 4443 §3.2 in all of it.
        let word = match self {
            Self::TooBig { mtu } => u32::from(mtu),
            Self::NoRoute | Self::AddressUnreachable | Self::Prohibited | Self::HopsExceeded => 0,
        };
        let error = Outgoing {
            source,
            destination: packet.source.into(),
            traffic_class: TRAFFIC_CLASS,
            identification: None,
            kind,
            code,
            word: word.to_be_bytes(),
            data: packet.bytes.get(..room).unwrap_or(packet.bytes),
        };
        error.write(buffer)
    }

    /// Type and code (RFC 792, RFC 1812 §5.2.7.1).
    fn v4(self) -> (u8, u8) {
        match self {
            Self::NoRoute => (v4::UNREACHABLE, 0),
            Self::AddressUnreachable => (v4::UNREACHABLE, 1),
            Self::Prohibited => (v4::UNREACHABLE, 13),
            Self::TooBig { .. } => (v4::UNREACHABLE, v4::FRAGMENTATION_NEEDED),
            Self::HopsExceeded => (v4::TIME_EXCEEDED, 0),
        }
    }

    /// Type and code (RFC 4443 §3).
    fn v6(self) -> (u8, u8) {
        match self {
            Self::NoRoute => (v6::UNREACHABLE, 0),
            Self::AddressUnreachable => (v6::UNREACHABLE, 3),
            Self::Prohibited => (v6::UNREACHABLE, 1),
            Self::TooBig { .. } => (v6::TOO_BIG, 0),
            Self::HopsExceeded => (v6::TIME_EXCEEDED, 0),
        }
    }
}

/// Whether an error may be sent about a packet at all (RFC 1122 §3.2.2, RFC 1812 §4.3.2.7, RFC 4443 §2.4(e)).
///
/// Two more conditions are the caller's: the packet did not come as a broadcast or multicast frame, and errors are
/// limited in rate (RFC 1812 §4.3.2.8, RFC 4443 §2.4(f)).
#[must_use]
pub fn may_report(report: Report, packet: &Packet<'_>) -> bool {
    let is_v4 = packet.source.is_ipv4();
    let is_first = packet.as_fragment().is_none_or(|fragment| fragment.offset == 0);
    // RFC 1122 §3.2.2. ICMPv6 has no such rule, but of a later fragment's message nobody knows whether it is an error.
    if !is_first && (is_v4 || packet.protocol == Protocol::ICMPV6) {
        return false;
    }
    let is_query = match (packet.protocol, packet.payload().first()) {
        (Protocol::ICMP, Some(kind)) if is_v4 => !matches!(
            *kind,
            v4::UNREACHABLE | v4::SOURCE_QUENCH | v4::REDIRECT | v4::TIME_EXCEEDED | v4::PARAMETER_PROBLEM
        ),
        (Protocol::ICMPV6, Some(kind)) if !is_v4 => *kind >= v6::INFORMATIONAL && *kind != v6::REDIRECT,
        (Protocol::ICMP | Protocol::ICMPV6, None) => false,
        (_, _) => true,
    };
    // RFC 4443 §2.4(e.3): path MTU discovery works for IPv6 multicast, too.
    let to_one = !is_group(packet.destination.into()) || !is_v4 && matches!(report, Report::TooBig { .. });
    is_query && to_one && is_one_host(packet.source.into())
}

/// Whether a destination is more than one host: multicast, or the limited broadcast. Broadcast addresses of single
/// networks are known to their routers alone.
pub(super) fn is_group(destination: IpAddr) -> bool {
    match destination {
        IpAddr::V4(address) => address.is_multicast() || address.is_broadcast(),
        IpAddr::V6(address) => address.is_multicast(),
    }
}

/// Whether a source is one host that can be reached: not this network, loopback, multicast, or class E with broadcast.
pub(super) fn is_one_host(source: IpAddr) -> bool {
    match source {
        IpAddr::V4(address) => !matches!(address.octets(), [0 | 127 | 224.., ..]),
        IpAddr::V6(address) => !address.is_unspecified() && !address.is_loopback() && !address.is_multicast(),
    }
}
