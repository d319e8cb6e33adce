//! Packets that go straight on, as most do.

use esp::Opened;
use tables::{GatewayIndex, PortIndex, Traffic};
use wire::{Address, Link, Packet, Protocol, ip};

use super::classify::Sealed;
use super::deliver::put_behind;
use crate::last::Last;
use crate::segment;
use crate::stage::Stopwatch;
use crate::turn::Turn;

/// Completes the frame of an opened packet that goes straight on, and returns its length: to a neighbour behind `port` that is
/// remembered, and nothing is in its way. `None` for any other one, with which nothing was done: it goes the
/// general way, from the beginning. This one is short, for it is what a packet costs.
#[inline(always)]
pub(super) fn deliver_straight<W: Stopwatch>(
    sealed: &Sealed<'_>,
    opened: Opened,
    to: (PortIndex, &mut [u8]),
    last: &Last<(GatewayIndex, Address), ()>,
    turn: &Turn<'_, W>,
) -> Option<usize> {
    match opened.next_header {
        Protocol::IPV4 => deliver_as::<false, W>(sealed, opened.length, to, last, turn),
        Protocol::IPV6 => deliver_v6(sealed, opened.length, to, last, turn),
        _ => None,
    }
}

/// Apart, so that the code for IPv4 has no numbers of 128 bits to carry along.
#[inline(never)]
fn deliver_v6<W: Stopwatch>(
    sealed: &Sealed<'_>,
    length: usize,
    to: (PortIndex, &mut [u8]),
    last: &Last<(GatewayIndex, Address), ()>,
    turn: &Turn<'_, W>,
) -> Option<usize> {
    deliver_as::<true, W>(sealed, length, to, last, turn)
}

#[inline(always)]
fn deliver_as<const V6: bool, W: Stopwatch>(
    sealed: &Sealed<'_>,
    length: usize,
    (port, frame): (PortIndex, &mut [u8]),
    last: &Last<(GatewayIndex, Address), ()>,
    turn: &Turn<'_, W>,
) -> Option<usize> {
    let inbound = sealed.inbound;
    // RFC 6040 §4.2: only with this bit the outer header's marks can change anything.
    if inbound.traffic != Traffic::Free || sealed.esp.traffic_class & 1 != 0 {
        return None;
    }
    let content = frame.get(Link::UNTAGGED..)?.get(..length)?;
    let inner = Packet::parse_of::<V6>(content).ok()?;
    let free = inner.hops > 1
        && inbound.selectors.allow_inbound(&inner)
        && (!inbound.reverse_path || last.is((inbound.gateway, inner.source)));
    if !free {
        return None;
    }
    let way = turn.ways.find(inbound.gateway, inner.destination)?;
    if way.port != port {
        return None;
    }
    let (length, segment) = (inner.bytes.len(), segment::start(&inner, inbound.segments));
    let packet = &mut frame[Link::UNTAGGED..][..length];
    ip::decrement_hops_of::<V6>(packet);
    segment::hold::<V6>(packet, segment, inbound.segments);
    Some(put_behind(&way.link, frame, length))
}
