//! Packets that go straight on, as most do.

use esp::Opened;
use tables::{GatewayIndex, PortIndex, Selectors, Traffic};
use wire::{Address, Link, Packet, Protocol, ip, tcp};

use super::classify::Sealed;
use super::deliver::put_behind;
use crate::last::Last;
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
    let inner = if V6 { Packet::parse_v6(content) } else { Packet::parse_v4(content) }.ok()?;
    let free = (!V6 || ip::is_v6(content))
        && inner.hops > 1
        && (inbound.selectors.allow_at_once(inner.destination, inner.source) || allow(&inbound.selectors, content))
        && (!inbound.reverse_path || last.is((inbound.gateway, inner.source)));
    if !free {
        return None;
    }
    let way = turn.ways.find(inbound.gateway, inner.destination)?;
    if way.port != port {
        return None;
    }
    let is_tcp = inner.protocol == Protocol::TCP && !inner.fragment && inbound.segments[0] != 0;
    let (length, segment) = (inner.bytes.len(), if is_tcp { inner.header_length } else { 0 });
    let packet = &mut frame[Link::UNTAGGED..][..length];
    ip::decrement_hops_of::<V6>(packet);
    if segment != 0 {
        tcp::clamp_mss(&mut packet[segment..], inbound.segments[usize::from(V6)]);
    }
    Some(put_behind(&way.link, frame, length))
}

/// Apart, and the packet read anew: else what was read of it would have to be in memory for every packet.
#[inline(never)]
fn allow(selectors: &Selectors, packet: &[u8]) -> bool {
    Packet::parse(packet).is_ok_and(|packet| selectors.allow_inbound(&packet))
}
