//! IPv4 (RFC 791) and IPv6 (RFC 8200).

mod address;
pub(crate) mod extension;
mod flow;
mod packet;

use zerocopy::byteorder::network_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

pub use self::address::{Address, Bits};
pub use self::packet::Packet;
use crate::checksum;

/// The number of what follows an IP header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Protocol(pub u8);

impl Protocol {
    /// ICMP (RFC 792).
    pub const ICMP: Protocol = Protocol(1);
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
    /// ICMPv6 (RFC 4443).
    pub const ICMPV6: Protocol = Protocol(58);
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
    /// "More fragments", in [`Ipv4Header::fragment`].
    pub const MORE_FRAGMENTS: u16 = 0x2000;
    /// The offset in units of 8 bytes, in [`Ipv4Header::fragment`].
    pub const FRAGMENT_OFFSET: u16 = 0x1fff;
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
    /// The smallest length that every IPv6 link carries (RFC 8200 §5).
    pub const LEAST_MTU: u16 = 1280;

    /// Differentiated services and ECN.
    #[must_use]
    pub fn traffic_class(&self) -> u8 {
        (self.version_class_flow.get() >> 20) as u8
    }
}

/// Whether this says of itself that it is IPv6.
#[must_use]
#[inline(always)]
pub fn is_v6(packet: &[u8]) -> bool {
    packet.first().is_some_and(|byte| byte >> 4 == 6)
}

/// The destination of what is said to be an IPv4 or an IPv6 packet, before anything of it is checked; `None` where it is too short
/// to have one.
#[must_use]
#[inline(always)]
pub fn destination_of<const V6: bool>(packet: &[u8]) -> Option<Address> {
    Some(if V6 {
        Address::v6(u128::from_be_bytes(*packet.get(24..)?.first_chunk()?))
    } else {
        Address::v4(u32::from_be_bytes(*packet.get(16..)?.first_chunk()?))
    })
}

/// Takes one hop off an IPv4 or IPv6 packet, in place, and returns how many are left.
///
/// `None`, and the packet as it was, where none would be left: it must not go on (RFC 1812 §5.3.1, RFC 8200 §3). So too
/// for bytes that are no packet.
#[inline(always)]
pub fn decrement_hops(packet: &mut [u8]) -> Option<u8> {
    match packet.first()? >> 4 {
        4 => decrement_hops_of::<false>(packet),
        6 => decrement_hops_of::<true>(packet),
        _ => None,
    }
}

/// [`decrement_hops`] of a packet whose version is known.
#[inline(always)]
pub fn decrement_hops_of<const V6: bool>(packet: &mut [u8]) -> Option<u8> {
    let less = |hops: u8| hops.checked_sub(1).filter(|left| *left != 0);
    if V6 {
        let (header, _) = Ipv6Header::mut_from_prefix(packet).ok()?;
        header.hop_limit = less(header.hop_limit)?;
        return Some(header.hop_limit);
    }
    let (header, _) = Ipv4Header::mut_from_prefix(packet).ok()?;
    let left = less(header.time_to_live)?;
    header.time_to_live = left;
    // RFC 1624 §3 for a word that gets smaller by 0x100.
    let (sum, carried) = header.checksum.get().overflowing_add(0x100);
    header.checksum = (sum + u16::from(carried)).into();
    Some(left)
}

/// Gives an IPv4 or IPv6 packet other differentiated services and ECN bits, in place; bytes that are no packet stay as
/// they are.
pub fn set_traffic_class(packet: &mut [u8], traffic_class: u8) {
    match packet.first().map(|byte| byte >> 4) {
        Some(4) => {
            let Ok((header, _)) = Ipv4Header::mut_from_prefix(packet) else { return };
            let [before, after] =
                [header.traffic_class, traffic_class].map(|class| u16::from_be_bytes([header.version_length, class]));
            header.traffic_class = traffic_class;
            header.checksum = checksum::update(header.checksum.get(), before, after).into();
        }
        Some(6) => {
            let Ok((header, _)) = Ipv6Header::mut_from_prefix(packet) else { return };
            let others = header.version_class_flow.get() & 0xf00f_ffff;
            header.version_class_flow = (others | u32::from(traffic_class) << 20).into();
        }
        Some(_) | None => {}
    }
}
