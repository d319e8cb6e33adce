//! Packets that go straight on, as most do.

use esp::{Opened, Refusal};
use tables::{GatewayIndex, Inbound, PortIndex, Snapshot, Traffic};
use wire::{Address, Packet, Protocol, ip};

use super::classify::{Association, Batch};
use super::deliver::{Place, may_come, put_behind};
use super::refused;
use crate::DropReason;
use crate::last::Last;
use crate::recent::Recent;
use crate::segment;
use crate::stage::Stopwatch;
use crate::turn::{OutOf, Turn};

/// Completes the frames of opened packets that go straight on, and says how long these are: to a neighbour behind `port` that is
/// remembered, and nothing is in their way; where their tunnel has a limit, it has admitted them. What is no IP packet is dropped.
/// Returns a bit for each other one, with which nothing was done: it goes the general way, from the beginning. This one is short, for it
/// is what a packet costs.
#[inline(never)]
pub(super) fn deliver_straight<'p, W: Stopwatch>(
    batch: &Batch<'_>,
    (opened, admitted): (u64, u64),
    accepted: &[Result<(), Refusal>],
    port: PortIndex,
    places: impl Iterator<Item = Place<'p>>,
    turn: &mut Turn<'_, W>,
) -> u64 {
    let straight = Straight { port, ways: turn.ways, snapshot: turn.snapshot };
    let (mut others, mut last) = (0, Last::new());
    let mut places = accepted.iter().zip(places);
    for (association, packets) in batch.runs(port) {
        let (Association { inbound, slot }, opening) = (association, association.opening());
        let (mut count, mut bytes) = (0, 0);
        let free = inbound.traffic == Traffic::Free;
        for esp in packets {
            if !esp.is_among(opened) {
                continue;
            }
            let Some((accepted, Place { frame, length, dropped })) = places.next() else { break };
            let text = esp.text(frame, opening);
            let opened = match accepted.and_then(|()| Opened::of(text)) {
                Ok(opened) => opened,
                Err(refusal) => {
                    turn.tally.drop_of(slot, refused(refusal));
                    continue;
                }
            };
            // RFC 6040 §4.2: only with this bit the outer header's marks can change anything.
            let marked = esp.traffic_class & 1 != 0;
            let framed = match opened.next_header {
                Protocol::IPV4 | Protocol::IPV6 if !free && !esp.is_among(admitted) => None,
                Protocol::IPV4 if !marked => straight.deliver::<false>(inbound, opened.length, frame, &mut last),
                Protocol::IPV6 if !marked => straight.deliver::<true>(inbound, opened.length, frame, &mut last),
                Protocol::IPV4 | Protocol::IPV6 => None,
                other => {
                    let reason = if other == Protocol::NONE {
                        DropReason::DummyPacket
                    } else {
                        DropReason::UnexpectedNextHeader
                    };
                    turn.tally.protect(slot, 1, opened.length as u64);
                    turn.tally.drop_of(slot, reason);
                    *dropped = Some(reason);
                    continue;
                }
            };
            if let Some(framed) = framed {
                *length = framed as u16;
                count += 1;
                bytes += opened.length as u64;
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
    /// Apart, so that nothing of the loop is in its registers, and the code for IPv4 has no numbers of 128 bits to carry along.
    #[inline(never)]
    fn deliver<const V6: bool>(
        &self,
        inbound: &Inbound,
        length: usize,
        frame: &mut [u8],
        last: &mut Last<(GatewayIndex, Address), ()>,
    ) -> Option<usize> {
        let start = inbound.content_start();
        let content = frame.get(start..)?.get(..length)?;
        let inner = Packet::parse_of::<V6>(content).ok()?;
        if inner.hops <= 1 || !inbound.selectors.allow_inbound(&inner) {
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
        let packet = &mut frame[start..][..length];
        ip::decrement_hops_of::<V6>(packet);
        segment::hold::<V6>(packet, segment, inbound.segments);
        Some(put_behind(&way.link, frame, (start, length)))
    }
}
