//! Ethernet II frames with up to two VLAN tags (IEEE 802.1Q, 802.1ad).

use core::fmt;
use core::net::IpAddr;

use crate::Malformed;

/// A 48-bit Ethernet address.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct MacAddress(pub [u8; 6]);

impl fmt::Display for MacAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for MacAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What follows a link header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EtherType(pub u16);

impl EtherType {
    /// IPv4 (RFC 894).
    pub const IPV4: EtherType = EtherType(0x0800);
    /// IPv6 (RFC 2464).
    pub const IPV6: EtherType = EtherType(0x86dd);
    /// A VLAN tag, IEEE 802.1Q.
    pub const VLAN: EtherType = EtherType(0x8100);
    /// A service tag, IEEE 802.1ad.
    pub const SERVICE_VLAN: EtherType = EtherType(0x88a8);

    /// Of packets to or from this address.
    #[must_use]
    pub fn of(address: IpAddr) -> Self {
        if address.is_ipv4() { Self::IPV4 } else { Self::IPV6 }
    }

    fn is_tag(self) -> bool {
        self == Self::VLAN || self == Self::SERVICE_VLAN
    }
}

/// What a VLAN tag says (IEEE 802.1Q §9.6): priority, drop eligibility and the VLAN's identifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tag(u16);

impl Tag {
    /// The tag of frames of a VLAN; `None` unless `vlan` has 12 bits and `priority` 3.
    #[must_use]
    pub fn new(vlan: u16, priority: u8) -> Option<Self> {
        (vlan < 1 << 12 && priority < 1 << 3).then_some(Self(u16::from(priority) << 13 | vlan))
    }

    /// The VLAN's identifier, 12 bits; 0 for a frame of no VLAN that has only a priority.
    #[must_use]
    pub fn vlan(self) -> u16 {
        self.0 & 0x0fff
    }

    /// The priority, 3 bits.
    #[must_use]
    pub fn priority(self) -> u8 {
        (self.0 >> 13) as u8
    }
}

/// The link layer in front of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link {
    /// The outermost tag, of either kind. Whether another follows it, `length` says.
    pub tag: Option<Tag>,
    /// What the frame carries behind its tags.
    pub ether_type: EtherType,
    /// Bytes of the link header with its tags: where the packet starts.
    pub length: usize,
}

impl Link {
    /// Bytes of an untagged Ethernet header.
    pub const UNTAGGED: usize = 14;
    /// Bytes of an Ethernet header with one tag.
    pub const TAGGED: usize = Self::UNTAGGED + TAG;
    /// Bytes of an Ethernet header with two tags, the longest understood.
    pub const LONGEST: usize = 22;

    /// Reads the header and up to two VLAN tags.
    ///
    /// # Errors
    /// [`Malformed::Ethernet`] where the frame ends within them or a third tag follows.
    #[inline]
    pub fn parse(frame: &[u8]) -> Result<Self, Malformed> {
        let word = |at: usize| frame.get(at..)?.first_chunk().map(|bytes| u16::from_be_bytes(*bytes));
        let (mut length, mut tag) = (Self::UNTAGGED, None);
        loop {
            let ether_type = EtherType(word(length - 2).ok_or(Malformed::Ethernet)?);
            if !ether_type.is_tag() {
                return Ok(Self { tag, ether_type, length });
            }
            if length == Self::LONGEST {
                return Err(Malformed::Ethernet);
            }
            tag = tag.or(word(length).map(Tag));
            length += TAG;
        }
    }

    /// An untagged header, ready to be copied in front of a packet.
    #[must_use]
    pub fn untagged(destination: MacAddress, source: MacAddress, ether_type: EtherType) -> [u8; Self::UNTAGGED] {
        let mut header = [0; Self::UNTAGGED];
        let fields = destination.0.into_iter().chain(source.0).chain(ether_type.0.to_be_bytes());
        header.iter_mut().zip(fields).for_each(|(to, from)| *to = from);
        header
    }
}

/// Bytes of a tag with the type in front of it.
const TAG: usize = 4;

/// An Ethernet header with at most one tag, ready to be copied in front of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinkHeader {
    bytes: [u8; Link::TAGGED],
    length: u8,
}

impl LinkHeader {
    /// The header of frames that carry `ether_type`, in the VLAN of `tag` or in none.
    #[must_use]
    pub fn new(destination: MacAddress, source: MacAddress, tag: Option<Tag>, ether_type: EtherType) -> Self {
        let (first, length) = match tag {
            Some(_) => (EtherType::VLAN, Link::TAGGED as u8),
            None => (ether_type, Link::UNTAGGED as u8),
        };
        let tag = tag.map_or([0; 2], |tag| tag.0.to_be_bytes());
        let mut bytes = [0; Link::TAGGED];
        let behind = tag.into_iter().chain(ether_type.0.to_be_bytes());
        let fields = Link::untagged(destination, source, first).into_iter().chain(behind);
        bytes.iter_mut().zip(fields).for_each(|(to, from)| *to = from);
        Self { bytes, length }
    }

    /// The header's bytes if it has no tag.
    #[must_use]
    #[inline(always)]
    pub fn untagged(&self) -> Option<&[u8; Link::UNTAGGED]> {
        if usize::from(self.length) == Link::UNTAGGED { self.bytes.first_chunk() } else { None }
    }

    /// The header's bytes if it has a tag.
    #[must_use]
    #[inline(always)]
    pub fn tagged(&self) -> Option<&[u8; Link::TAGGED]> {
        if usize::from(self.length) == Link::TAGGED { Some(&self.bytes) } else { None }
    }

    /// The header's bytes: [`Link::UNTAGGED`] or [`Link::TAGGED`].
    #[must_use]
    #[inline]
    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.length)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(types: &[u16]) -> [u8; 40] {
        let mut bytes = [0; 40];
        for (i, value) in types.iter().enumerate() {
            bytes[12 + 4 * i..14 + 4 * i].copy_from_slice(&value.to_be_bytes());
        }
        bytes
    }

    #[test]
    fn tags_are_skipped() {
        let parsed = |types: &[u16]| Link::parse(&frame(types)).map(|link| (link.ether_type.0, link.length));
        assert_eq!(parsed(&[0x0800]), Ok((0x0800, 14)));
        assert_eq!(parsed(&[0x8100, 0x86dd]), Ok((0x86dd, 18)));
        assert_eq!(parsed(&[0x88a8, 0x8100, 0x0800]), Ok((0x0800, 22)));
        assert_eq!(parsed(&[0x88a8, 0x8100, 0x8100, 0x0800]), Err(Malformed::Ethernet));
    }

    #[test]
    fn every_truncation_is_malformed() {
        let bytes = frame(&[0x88a8, 0x8100, 0x0800]);
        for length in 0..22 {
            assert_eq!(Link::parse(&bytes[..length]), Err(Malformed::Ethernet), "{length} bytes");
        }
    }
}
