//! Packets that go straight on, as most do.

use esp::{Opened, Refusal};
use tables::{GatewayIndex, Inbound, PortIndex, Snapshot, Traffic};
use wire::{Address, Link, Packet, Protocol, ip};

use super::classify::{Association, Batch};
use super::deliver::{may_come, put_behind};
use crate::last::Last;
use crate::recent::Recent;
use crate::segment;
use crate::stage::Stopwatch;
use crate::turn::{OutOf, Turn};

/// Completes the frames of opened packets that go straight on, and says how long these are: to a neighbour behind `port` that is
/// remembered, and nothing is in their way. Returns a bit for each other one, with which nothing was done: it goes the general
/// way, from the beginning. This one is short, for it is what a packet costs.
#[inline(never)]
pub(super) fn deliver_straight<'f, W: Stopwatch>(
    batch: &Batch<'_>,
    opened: u64,
    accepted: &[Result<(), Refusal>],
    (port, frames): (PortIndex, impl Iterator<Item = &'f mut [u8]>),
    lengths: &mut [u16],
    turn: &mut Turn<'_, W>,
) -> u64 {
    let straight = Straight { port, ways: turn.ways, snapshot: turn.snapshot };
    let (mut others, mut last) = (0, Last::new());
    let mut places = accepted.iter().zip(lengths).zip(frames);
    for (Association { inbound, slot }, packets) in batch.runs(port) {
        let overhead = inbound.sa.overhead();
        let (mut count, mut bytes) = (0, 0);
        for esp in packets {
            if opened >> esp.place & 1 == 0 {
                continue;
            }
            let Some(((accepted, length), frame)) = places.next() else { break };
            // RFC 6040 §4.2: only with this bit the outer header's marks can change anything.
            if accepted.is_ok()
                && esp.traffic_class & 1 == 0
                && let Some((opened, framed)) = straight.deliver(inbound, esp.bytes.len() - overhead, frame, &mut last)
            {
                *length = framed as u16;
                count += 1;
                bytes += opened as u64;
            } else {
                others |= 1 << esp.place;
            }
        }
        turn.tally.transmit(count);
        turn.tally.protect(slot, count, bytes);
    }
    others
}

/// What all packets have in common.
struct Straight<'a> {
    port: PortIndex,
    ways: &'a Recent<OutOf>,
    snapshot: &'a Snapshot,
}

impl Straight<'_> {
    /// Of a packet with so many bytes of text in its frame. Returns how many of them are not padding, and how many the frame has in the
    /// end.
    #[inline(always)]
    fn deliver(
        &self,
        inbound: &Inbound,
        text: usize,
        frame: &mut [u8],
        last: &mut Last<(GatewayIndex, Address), ()>,
    ) -> Option<(usize, usize)> {
        let Opened { length, next_header } = Opened::of(frame.get(Link::UNTAGGED..)?.get(..text)?).ok()?;
        let framed = match next_header {
            Protocol::IPV4 => self.deliver_v4(inbound, length, frame, last),
            Protocol::IPV6 => self.deliver_v6(inbound, length, frame, last),
            _ => None,
        };
        Some((length, framed?))
    }

    /// Apart, so that nothing of the loop is in its registers.
    #[inline(never)]
    fn deliver_v4(
        &self,
        inbound: &Inbound,
        length: usize,
        frame: &mut [u8],
        last: &mut Last<(GatewayIndex, Address), ()>,
    ) -> Option<usize> {
        self.deliver_as::<false>(inbound, length, frame, last)
    }

    /// Apart, so that the code for IPv4 has no numbers of 128 bits to carry along.
    #[inline(never)]
    fn deliver_v6(
        &self,
        inbound: &Inbound,
        length: usize,
        frame: &mut [u8],
        last: &mut Last<(GatewayIndex, Address), ()>,
    ) -> Option<usize> {
        self.deliver_as::<true>(inbound, length, frame, last)
    }

    #[inline(always)]
    fn deliver_as<const V6: bool>(
        &self,
        inbound: &Inbound,
        length: usize,
        frame: &mut [u8],
        last: &mut Last<(GatewayIndex, Address), ()>,
    ) -> Option<usize> {
        let content = frame.get(Link::UNTAGGED..)?.get(..length)?;
        let inner = Packet::parse_of::<V6>(content).ok()?;
        if inbound.traffic != Traffic::Free || inner.hops <= 1 || !inbound.selectors.allow_inbound(&inner) {
            return None;
        }
        if inbound.reverse_path {
            let source = (inbound.gateway, inner.source);
            last.find(source, || may_come(self.snapshot, source)).ok()?;
        }
        let way = self.ways.find(inbound.gateway, inner.destination)?;
        if way.port != self.port {
            return None;
        }
        let (length, segment) = (inner.bytes.len(), segment::start(&inner, inbound.segments));
        let packet = &mut frame[Link::UNTAGGED..][..length];
        ip::decrement_hops_of::<V6>(packet);
        segment::hold::<V6>(packet, segment, inbound.segments);
        Some(put_behind(&way.link, frame, length))
    }
}
