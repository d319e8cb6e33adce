//! Packets that go straight on, as most do.

use esp::Opened;
use tables::{GatewayIndex, PortIndex, Traffic};
use wire::{Address, Ipv4Header, Link, Packet, Protocol, ip, tcp};

use super::classify::Sealed;
use crate::last::Last;
use crate::stage::Stopwatch;
use crate::turn::Turn;

/// Completes the frame of an opened packet that goes straight on, and returns its length: of IPv4 without options, to an
/// attachment without a VLAN behind `port` that is remembered, and nothing is in its way. `None` for any other one, with which
/// nothing was done: it goes the general way, from the beginning. This one is short, for it is what a packet costs.
#[inline(always)]
pub(super) fn deliver_straight<W: Stopwatch>(
    sealed: &Sealed<'_>,
    opened: Opened,
    (port, frame): (PortIndex, &mut [u8]),
    last: &Last<(GatewayIndex, Address), ()>,
    turn: &Turn<'_, W>,
) -> Option<usize> {
    let inbound = sealed.inbound;
    // RFC 6040 §4.2: only with this bit the outer header's marks can change anything.
    if opened.next_header != Protocol::IPV4 || inbound.traffic != Traffic::Free || sealed.esp.traffic_class & 1 != 0 {
        return None;
    }
    let (header, packet) = frame.split_first_chunk_mut::<{ Link::UNTAGGED }>()?;
    let inner = Packet::parse_v4(packet.get(..opened.length)?).ok()?;
    let free = inner.header_length == Ipv4Header::LENGTH
        && inner.hops > 1
        && inbound.selectors.allow_v4(inner.destination, inner.source)
        && (!inbound.reverse_path || last.is((inbound.gateway, inner.source)));
    if !free {
        return None;
    }
    let way = turn.ways.find(inbound.gateway, inner.destination)?;
    let link = way.link.untagged().filter(|_| way.port == port)?;
    let clamped = inner.protocol == Protocol::TCP && !inner.fragment && inbound.segments[0] != 0;
    let length = inner.bytes.len();
    *header = *link;
    let packet = packet.get_mut(..length)?;
    ip::decrement_hops_of::<false>(packet);
    if clamped {
        tcp::clamp_mss(&mut packet[Ipv4Header::LENGTH..], inbound.segments[0]);
    }
    Some(Link::UNTAGGED + length)
}
