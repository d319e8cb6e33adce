//! What is read of a frame first.

use tables::Vlans;
use wire::{EtherType, Link, Packet, ip};

use crate::DropReason;

/// The VLAN of a frame, by a single tag of IEEE 802.1Q. One that no attachment has for frames of a provider's VLAN, or of a VLAN
/// within another (IEEE 802.1ad): these are other networks, whatever numbers they have.
#[inline(always)]
pub(crate) fn vlan(frame: &[u8], link: Link) -> u16 {
    match link.tag {
        None => Vlans::UNTAGGED,
        Some(tag) if link.length == Link::TAGGED && frame[12..14] == EtherType::VLAN.0.to_be_bytes() => tag.vlan(),
        Some(_) => u16::MAX,
    }
}

/// The VLAN of a frame that has a single tag of IEEE 802.1Q or none, and where its packet of this version starts; `None` for others.
#[inline(always)]
pub(crate) fn of<const V6: bool>(frame: &[u8]) -> Option<(u16, usize)> {
    let header = frame.first_chunk::<{ Link::TAGGED }>()?;
    let word = |at: usize| EtherType(u16::from_be_bytes([header[at], header[at + 1]]));
    let wanted = if V6 { EtherType::IPV6 } else { EtherType::IPV4 };
    match word(Link::UNTAGGED - 2) {
        found if found == wanted => Some((Vlans::UNTAGGED, Link::UNTAGGED)),
        EtherType::VLAN if word(Link::TAGGED - 2) == wanted => Some((word(Link::UNTAGGED).0 & 0x0fff, Link::TAGGED)),
        _ => None,
    }
}

/// The link header of a frame and the IP packet behind it.
#[inline(always)]
pub(crate) fn packet(frame: &[u8]) -> Result<(Link, Packet<'_>), DropReason> {
    let (link, packet) = carried(frame)?;
    Packet::parse(packet).map(|packet| (link, packet)).map_err(|_| DropReason::MalformedIp)
}

/// Whether a frame has an IPv6 packet, as far as a look at its version tells.
#[inline(always)]
pub(crate) fn is_v6(frame: &[u8]) -> bool {
    carried(frame).is_ok_and(|(_, packet)| ip::is_v6(packet))
}

/// The link header of a frame and what is said to be an IP packet behind it.
#[inline(always)]
pub(crate) fn carried(frame: &[u8]) -> Result<(Link, &[u8]), DropReason> {
    let link = Link::parse(frame).map_err(|_| DropReason::MalformedEthernet)?;
    if link.ether_type != EtherType::IPV4 && link.ether_type != EtherType::IPV6 {
        return Err(DropReason::NotIp);
    }
    Ok((link, frame.get(link.length..).unwrap_or_default()))
}
