//! From a VPC to a peer: classify, route, choose the tunnel, number, seal.

mod arrivals;
mod meter;
mod seal;
mod straight;

use std::mem;

use arrayvec::ArrayVec;
use port::BATCH;
use tables::{Outbound, Route, TunnelIndex, Unresolved};
use wire::fragment::Split;
use wire::icmp::Report;
use wire::{Link, Packet, ip};

pub(crate) use self::arrivals::{Arrivals, Entrance};
pub(crate) use self::seal::seal;
use crate::frame::{carried, is_v6, vlan};
use crate::mix::{Mix, Outlook};
use crate::stage::Stopwatch;
use crate::turn::{Origin, Refused, Turn};
use crate::{DropReason, segment};

/// A packet whose way is known.
#[derive(Clone, Copy)]
pub(crate) struct Routed<'a> {
    inner: &'a [u8],
    outbound: &'a Outbound,
    tunnel: TunnelIndex,
    /// Whether the tunnel's limit, if it has one, has admitted it already.
    admitted: bool,
}

pub(crate) type Batch<'a> = ArrayVec<Routed<'a>, BATCH>;

/// What is known of a packet whose way is known.
struct Way<'a> {
    tunnel: TunnelIndex,
    outbound: &'a Outbound,
    /// Where the packet starts in its frame, and its length.
    start: usize,
    length: usize,
    /// Where TCP starts in the packet, if its segments are to be held to a size; else 0.
    segment: usize,
    /// Whether it fits the way to the peer as it is; else it is to be fragmented.
    fits: bool,
}

/// A frame, and the tunnel it is led into if that is known ahead.
pub(crate) type Led<'f> = (&'f mut [u8], Option<TunnelIndex>);

/// A batch as it is to be sealed, and what is left for another one.
pub(crate) struct Filled<'b, 'a, 'f> {
    pub(crate) batch: &'b Batch<'a>,
    /// The frame that there was no space for.
    pub(crate) left: Option<Led<'f>>,
    /// Whether the frames are at an end.
    pub(crate) ended: bool,
}

/// Finds the way of each frame, `first` before the others, and takes what has one into the empty batch, until the frames are at an
/// end, or the batch or `room`, where the pieces of packets stand that are too long, has no space for the next one. Into `in_order`,
/// empty as well, are put packets of few associations that came mixed.
pub(crate) fn route<'b, 'a, 'f: 'a, 's: 'a, W: Stopwatch>(
    (batch, in_order): (&'b mut Batch<'a>, &'b mut Batch<'a>),
    first: Option<Led<'f>>,
    frames: &mut impl Iterator<Item = Led<'f>>,
    room: &'a mut [u8],
    entrance: Entrance<'s>,
    turn: &mut Turn<'s, W>,
) -> Filled<'b, 'a, 'f> {
    let (arrivals, mix) = (Arrivals::new(turn.snapshot, entrance), Mix::default());
    let foreseen = !turn.outlook.mixed;
    let mut routing = Routing { batch, room, arrivals, foreseen, before: None, mix, limited: false };
    let left = routing.take_all(first, frames, turn);
    let Routing { mut batch, arrivals, mix, limited, .. } = routing;
    let ended = left.is_none() && !batch.is_full();
    // An empty batch says nothing of the next one.
    if !batch.is_empty()
        && let Entrance::Vpc(_) = entrance
    {
        let ahead = arrivals.wide || mix.is_scattered(turn.snapshot.tunnels.slots());
        *turn.outlook = Outlook { ahead, mixed: mix.is_mixed() };
    }
    if let Some(order) = mix.order(batch.iter().map(|routed| routed.outbound.slot)) {
        order.places().for_each(|place| in_order.push(batch[place]));
        batch = in_order;
    }
    if limited {
        meter::meter(batch, turn);
    }
    Filled { batch, left, ended }
}

/// Nothing was done with this frame, for there is no space for all of its pieces.
struct Full<'f>(Led<'f>);

/// The frames of a batch on their ways, one after the other.
struct Routing<'b, 'a, 's> {
    batch: &'b mut Batch<'a>,
    room: &'a mut [u8],
    arrivals: Arrivals<'s>,
    /// Whether the processor foresees into which tunnel the next packet goes: mostly that of the one before, or another.
    foreseen: bool,
    /// What the packet before went into.
    before: Option<(TunnelIndex, &'s Outbound)>,
    mix: Mix,
    /// Whether a packet's tunnel is limited.
    limited: bool,
}

impl<'a, 's: 'a> Routing<'_, 'a, 's> {
    /// Takes frames until the batch or the room is full, or none is left; returns the one that there was no space for.
    #[inline(always)]
    fn take_all<'f: 'a, W: Stopwatch>(
        &mut self,
        first: Option<Led<'f>>,
        frames: &mut impl Iterator<Item = Led<'f>>,
        turn: &mut Turn<'s, W>,
    ) -> Option<Led<'f>> {
        if let Some(led) = first
            && let Err(Full(led)) = self.take(led, turn)
        {
            return Some(led);
        }
        for led in frames {
            if let Err(led) = self.take_straight(led, turn)
                && let Err(Full(led)) = self.take(led, turn)
            {
                return Some(led);
            }
            if self.batch.is_full() {
                break;
            }
        }
        None
    }

    /// Takes a frame, whatever it has in it.
    #[inline(never)]
    fn take<'f: 'a, W: Stopwatch>(&mut self, led: Led<'f>, turn: &mut Turn<'s, W>) -> Result<(), Full<'f>> {
        if is_v6(led.0) { self.take_as::<true, W>(led, turn) } else { self.take_as::<false, W>(led, turn) }
    }

    #[inline(always)]
    fn take_as<'f: 'a, const V6: bool, W: Stopwatch>(
        &mut self,
        (frame, known): Led<'f>,
        turn: &mut Turn<'s, W>,
    ) -> Result<(), Full<'f>> {
        let way = match self.way::<V6, W>(frame, known, turn) {
            Ok(Some(way)) => way,
            Ok(None) => {
                turn.tally.pass();
                return Ok(());
            }
            Err(refused) => {
                let start = Link::parse(frame).map_or(0, |link| link.length);
                let (gateway, origin) = (self.arrivals.gateway, self.arrivals.origin);
                turn.refuse(refused, gateway, origin, frame.get(start..).unwrap_or_default());
                return Ok(());
            }
        };
        let Way { start, length, fits, .. } = way;
        if !fits {
            return match self.fragment(&frame[start..start + length], &way, turn) {
                true => Ok(()),
                false => Err(Full((frame, known))),
            };
        }
        self.push::<V6>(frame, way);
        Ok(())
    }

    /// Takes a packet into the batch that goes on as it is.
    #[inline(always)]
    fn push<const V6: bool>(&mut self, frame: &'a mut [u8], way: Way<'s>) {
        let Way { tunnel, outbound, start, length, segment, .. } = way;
        let inner = &mut frame[start..start + length];
        if self.arrivals.origin != Origin::Host {
            // The way is known of those alone that have hops left.
            ip::decrement_hops_of::<V6>(inner);
        }
        segment::hold::<V6>(inner, segment, outbound.segments);
        self.limited |= outbound.limited;
        self.batch.push(Routed { inner, outbound, tunnel, admitted: false });
    }

    /// `None` for a packet that went to the gateway's own host.
    #[inline(always)]
    fn way<const V6: bool, W: Stopwatch>(
        &mut self,
        frame: &[u8],
        known: Option<TunnelIndex>,
        turn: &mut Turn<'s, W>,
    ) -> Result<Option<Way<'s>>, Refused> {
        let (link, packet) = carried(frame)?;
        let inner = Packet::parse_of::<V6>(packet).map_err(|_| DropReason::MalformedIp)?;
        self.arrivals.enter(vlan(frame, link), frame, inner.source, turn)?;
        let (gateway, origin, snapshot) = (self.arrivals.gateway, self.arrivals.origin, turn.snapshot);
        let down = Refused::from(DropReason::NoTunnelUp).told(Report::AddressUnreachable);
        let tunnel = match known {
            Some(tunnel) => tunnel,
            None => match self.arrivals.table.and_then(|table| table.routes.lookup(inner.destination)) {
                Some(Route::Tunnels(tunnels)) => {
                    tunnels.tunnel(|| self.arrivals.table.map_or(0, |table| table.flow_hash(&inner))).ok_or(down)?
                }
                Some(Route::Host) if origin != Origin::Host => {
                    turn.pass(gateway, inner.bytes)?;
                    return Ok(None);
                }
                Some(Route::Attachment(_) | Route::Host) => return Err(DropReason::Transit.into()),
                Some(Route::Blackhole) => return Err(DropReason::Blackhole.into()),
                Some(Route::Reject) => return Err(Refused::from(DropReason::Rejected).told(Report::Prohibited)),
                None => return Err(Refused::from(DropReason::NoRoute).told(Report::NoRoute)),
            },
        };
        if inner.hops <= 1 && origin != Origin::Host {
            return Err(Refused::from(DropReason::HopsExceeded).told(Report::HopsExceeded));
        }
        let worker = turn.worker;
        let mut outbound = self.outbound(tunnel, turn).ok_or(down)?;
        if !outbound.selectors.allow_outbound(&inner) {
            let outside = DropReason::OutsideSelectors.of(outbound.slot).told(Report::Prohibited);
            outbound = snapshot.further(tunnel, inner, worker).ok_or(outside)?;
        }
        let fits = inner.bytes.len() <= usize::from(outbound.longest);
        if !fits && inner.dont_fragment {
            // RFC 4301 §8.2: what the sender can send, and not what the tunnel makes of it.
            return Err(DropReason::TooLong.of(outbound.slot).told(Report::TooBig { mtu: outbound.longest }));
        }
        if let Err(address) = outbound.header {
            turn.ask_for(Unresolved { port: outbound.port, address });
            return Err(DropReason::NeighbourUnresolved.of(outbound.slot));
        }
        let segment = segment::start(&inner, outbound.segments);
        Ok(Some(Way { tunnel, outbound, start: link.length, length: inner.bytes.len(), segment, fits }))
    }

    /// A tunnel's association.
    #[inline(always)]
    fn outbound<W: Stopwatch>(&mut self, tunnel: TunnelIndex, turn: &Turn<'s, W>) -> Option<&'s Outbound> {
        // Where it is foreseen, the packet need not wait for a look-up.
        if self.foreseen
            && let Some((before, outbound)) = self.before
            && before == tunnel
        {
            return Some(outbound);
        }
        let outbound = turn.snapshot.outbound(tunnel, turn.worker)?;
        self.mix.add(outbound.slot, self.before.is_none_or(|(before, _)| before != tunnel));
        self.before = Some((tunnel, outbound));
        if turn.scattered {
            outbound.sa.prefetch();
            turn.tally.prefetch(outbound.slot);
        }
        Some(outbound)
    }

    /// Takes the pieces of a packet into the batch (RFC 4301 §7.3: fragmented before it is sealed, so that each piece is sealed
    /// and opened by itself). Whether there was space for all of them; else nothing was done.
    #[cold]
    fn fragment<W: Stopwatch>(&mut self, inner: &[u8], way: &Way<'s>, turn: &mut Turn<'s, W>) -> bool {
        let Way { tunnel, outbound, .. } = *way;
        let slot = outbound.slot;
        let split = Packet::parse(inner).ok().and_then(|packet| Split::new(&packet, outbound.longest.into()));
        let Some(split) = split else {
            turn.drop_unsealed(slot, DropReason::TooLong, inner);
            return true;
        };
        let (count, bytes) =
            (split.pieces().count(), split.pieces().map(|piece| piece.length + MOST_HEADER).sum::<usize>());
        if count > BATCH || bytes > MOST_PIECES {
            turn.drop_unsealed(slot, DropReason::TooLong, inner);
            return true;
        }
        if count > self.batch.remaining_capacity() || bytes > self.room.len() {
            return false;
        }
        if outbound.limited && !turn.admits(tunnel, |limits| &limits.outbound, inner.len()) {
            turn.drop_unsealed(slot, DropReason::RateLimited, inner);
            return true;
        }
        for piece in split.pieces() {
            let (to, left) = mem::take(&mut self.room).split_at_mut(piece.length + MOST_HEADER);
            self.room = left;
            let length = split.write(piece, to).unwrap_or(0);
            let to = &mut to[..length];
            if self.arrivals.origin != Origin::Host {
                ip::decrement_hops(to);
            }
            self.batch.push(Routed { inner: to, outbound, tunnel, admitted: true });
        }
        turn.tally.split(count);
        true
    }
}

/// Bytes of an IPv4 header with all the options it can have.
const MOST_HEADER: usize = 60;
/// Bytes for the pieces of a batch: enough for those of the longest packet.
pub(crate) const MOST_PIECES: usize = 4 * 65536;
