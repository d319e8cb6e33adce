//! From a VPC to a peer: classify, route, choose the tunnel, number, seal.

use arrayvec::ArrayVec;
use esp::{OuterHeader, Sealing};
use port::{BATCH, Transmit};
use tables::{GatewayIndex, Outbound, PortIndex, Route, RouteIndex, TunnelIndex, Unresolved};
use wire::fragment::Split;
use wire::icmp::Report;
use wire::{EtherType, Link, Packet, Protocol, ip, tcp};

use crate::last::Last;
use crate::stage::{Stage, Stopwatch};
use crate::turn::{Origin, Refused, Turn};
use crate::{DropReason, capture};

/// A packet whose way is known.
pub(crate) struct Routed<'a> {
    inner: &'a [u8],
    outbound: &'a Outbound,
    header: &'a OuterHeader,
}

pub(crate) type Batch<'a> = ArrayVec<Routed<'a>, BATCH>;

/// What is known of a packet whose way is known.
struct Way<'a> {
    outbound: &'a Outbound,
    header: &'a OuterHeader,
    /// Where the packet starts in its frame, and its length.
    start: usize,
    length: usize,
    /// Where TCP starts in the packet, if its segments are to be held to a size; else 0.
    segment: usize,
    /// Whether it fits the way to the peer as it is; else it is to be fragmented.
    fits: bool,
}

/// Finds the way of each frame and takes what has one into the batch, until the frames are at an end, or the batch or `room`,
/// where the pieces of packets stand that are too long, has no space for the next one: that one is returned.
pub(crate) fn route<'a, 'f: 'a, 's: 'a, W: Stopwatch>(
    batch: &mut Batch<'a>,
    frames: &mut impl Iterator<Item = &'f mut [u8]>,
    mut room: &'a mut [u8],
    (gateway, origin): (GatewayIndex, Origin),
    turn: &mut Turn<'s, W>,
) -> Option<&'f mut [u8]> {
    let mut before = Before { route: Last::new(), outbound: Last::new() };
    for frame in frames {
        let way = match way(frame, (gateway, origin), &mut before, turn) {
            Ok(Some(way)) => way,
            Ok(None) => {
                turn.tally.pass();
                continue;
            }
            Err(refused) => {
                let start = Link::parse(frame).map_or(0, |link| link.length);
                turn.refuse(refused, gateway, origin, frame.get(start..).unwrap_or_default());
                continue;
            }
        };
        let Way { outbound, header, start, length, segment, fits } = way;
        if !fits {
            match fragment(batch, &frame[start..start + length], room, &way, turn) {
                Ok(left) => room = left,
                Err(Full) => return Some(frame),
            }
            continue;
        }
        let inner = &mut frame[start..start + length];
        if origin != Origin::Host {
            // The way is known of those alone that have hops left.
            ip::decrement_hops(inner);
        }
        if segment != 0 {
            let limit = outbound.segments[usize::from(inner[0] >> 4 == 6)];
            tcp::clamp_mss(&mut inner[segment..], limit);
        }
        batch.push(Routed { inner, outbound, header });
        if batch.is_full() {
            break;
        }
    }
    None
}

/// `None` for a packet that went to the gateway's own host.
#[inline(always)]
fn way<'a, W: Stopwatch>(
    frame: &[u8],
    (gateway, origin): (GatewayIndex, Origin),
    before: &mut Before<'a>,
    turn: &mut Turn<'a, W>,
) -> Result<Option<Way<'a>>, Refused> {
    let (start, inner) = packet(frame)?;
    let table = turn.snapshot.gateways.get(gateway.position());
    let find = || table.and_then(|table| table.find(inner.destination)).ok_or(());
    let found = turn.routes.find(gateway, inner.destination, find).ok().copied();
    let tunnels = match found
        .and_then(|found| before.route.find(found, || table.and_then(|table| table.route(found)).ok_or(())).ok())
    {
        Some(Route::Tunnels(tunnels)) => tunnels,
        Some(Route::Host) if origin != Origin::Host => {
            turn.pass(gateway, inner.bytes)?;
            return Ok(None);
        }
        Some(Route::Attachment(_) | Route::Host) => return Err(DropReason::Transit.into()),
        Some(Route::Blackhole) => return Err(DropReason::Blackhole.into()),
        Some(Route::Reject) => return Err(Refused::from(DropReason::Rejected).told(Report::Prohibited)),
        None => return Err(Refused::from(DropReason::NoRoute).told(Report::NoRoute)),
    };
    if inner.hops <= 1 && origin != Origin::Host {
        return Err(Refused::from(DropReason::HopsExceeded).told(Report::HopsExceeded));
    }
    let down = Refused::from(DropReason::NoTunnelUp).told(Report::AddressUnreachable);
    let tunnel = tunnels.tunnel(|| inner.flow_hash()).ok_or(down)?;
    let outbound = before.outbound.find(tunnel, || turn.snapshot.tunnels.get(tunnel.position()).ok_or(down))?;
    if !outbound.selectors.allow_outbound(&inner) {
        return Err(DropReason::OutsideSelectors.of(outbound.slot).told(Report::Prohibited));
    }
    let fits = inner.bytes.len() <= usize::from(outbound.longest);
    if !fits && inner.dont_fragment {
        // RFC 4301 §8.2: what the sender can send, and not what the tunnel makes of it.
        return Err(DropReason::TooLong.of(outbound.slot).told(Report::TooBig { mtu: outbound.longest }));
    }
    let header = outbound.header.as_ref().map_err(|address| {
        turn.ask_for(Unresolved { port: outbound.port, address: *address });
        DropReason::NeighbourUnresolved.of(outbound.slot)
    })?;
    let is_tcp = inner.protocol == Protocol::TCP && !inner.fragment && outbound.segments[0] != 0;
    let segment = if is_tcp { inner.header_length } else { 0 };
    Ok(Some(Way { outbound, header, start, length: inner.bytes.len(), segment, fits }))
}

/// What the packet before was for.
struct Before<'a> {
    route: Last<RouteIndex, &'a Route>,
    outbound: Last<TunnelIndex, &'a Outbound>,
}

/// Takes the pieces of a packet into the batch (RFC 4301 §7.3: fragmented before it is sealed, so that each piece is sealed
/// and opened by itself), and returns the room that is left.
#[cold]
fn fragment<'a, 's: 'a, W: Stopwatch>(
    batch: &mut Batch<'a>,
    inner: &[u8],
    mut room: &'a mut [u8],
    way: &Way<'s>,
    turn: &mut Turn<'s, W>,
) -> Result<&'a mut [u8], Full> {
    let Way { outbound, header, .. } = *way;
    let slot = outbound.slot;
    let Some(split) = Packet::parse(inner).ok().and_then(|packet| Split::new(&packet, outbound.longest.into())) else {
        turn.drop_unsealed(slot, DropReason::TooLong, inner);
        return Ok(room);
    };
    let (count, bytes) =
        (split.pieces().count(), split.pieces().map(|piece| piece.length + MOST_HEADER).sum::<usize>());
    if count > BATCH || bytes > MOST_PIECES {
        turn.drop_unsealed(slot, DropReason::TooLong, inner);
        return Ok(room);
    }
    if count > batch.remaining_capacity() || bytes > room.len() {
        return Err(Full);
    }
    for piece in split.pieces() {
        let (to, left) = room.split_at_mut(piece.length + MOST_HEADER);
        room = left;
        let length = split.write(piece, to).unwrap_or(0);
        let to = &mut to[..length];
        ip::decrement_hops(to);
        batch.push(Routed { inner: to, outbound, header });
    }
    turn.tally.split(count);
    Ok(room)
}

/// Nothing was done, for there is no space for all of them.
struct Full;

/// Bytes of an IPv4 header with all the options it can have.
const MOST_HEADER: usize = 60;
/// Bytes for the pieces of a batch: enough for those of the longest packet.
pub(crate) const MOST_PIECES: usize = 4 * 65536;

/// The IP packet in a frame, and where it starts.
#[inline(always)]
pub(crate) fn packet(frame: &[u8]) -> Result<(usize, Packet<'_>), DropReason> {
    let link = Link::parse(frame).map_err(|_| DropReason::MalformedEthernet)?;
    if link.ether_type != EtherType::IPV4 && link.ether_type != EtherType::IPV6 {
        return Err(DropReason::NotIp);
    }
    let packet = frame.get(link.length..).unwrap_or_default();
    Packet::parse(packet).map(|packet| (link.length, packet)).map_err(|_| DropReason::MalformedIp)
}

/// Seals those packets of the batch that leave through `port` into its frames, and hands them over.
pub(crate) fn seal<W: Stopwatch>(batch: &Batch<'_>, port: PortIndex, tx: &mut impl Transmit, turn: &mut Turn<'_, W>) {
    let wanted = batch.iter().filter(|routed| routed.outbound.port == port).count();
    if wanted == 0 {
        return;
    }
    let reserved = tx.reserve(wanted);
    let capacity = tx.capacity();
    let mut lengths = [0; BATCH];
    let mut sealing = Sealing::default();
    let mut frames = tx.frames().zip(&mut lengths).take(reserved);
    let runs = batch.chunk_by(|one, next| std::ptr::eq(one.outbound, next.outbound));
    for run in runs.filter(|run| run[0].outbound.port == port) {
        let outbound = run[0].outbound;
        // Numbers are taken once for the run. Those of packets that then find no frame are left out, which is allowed.
        let Ok(first) = outbound.sa.take_sequence(run.len()) else {
            let exhausted = DropReason::SequenceExhausted;
            run.iter().for_each(|routed| turn.drop_unsealed(outbound.slot, exhausted, routed.inner));
            continue;
        };
        let (mut packets, mut bytes) = (0, 0);
        for (routed, number) in run.iter().zip(first..) {
            let length = routed.header.length() + outbound.sa.sealed_length(routed.inner.len());
            if length > capacity {
                turn.drop_unsealed(outbound.slot, DropReason::TooLong, routed.inner);
                continue;
            }
            let Some((frame, sent)) = frames.next() else {
                turn.drop_unsealed(outbound.slot, DropReason::TransmitRingFull, routed.inner);
                continue;
            };
            *sent = sealing.push(&outbound.sa, routed.header, number, routed.inner, frame) as u16;
            (packets, bytes) = (packets + 1, bytes + routed.inner.len() as u64);
        }
        turn.tally.transmit(packets);
        turn.tally.protect(outbound.slot, packets, bytes);
    }
    drop(frames);
    turn.ended(Stage::Prepare);
    let captured = turn.snapshot.capture.as_ref().map(|_| placed(batch, &sealing));
    sealing.finish();
    turn.ended(Stage::Protect);
    if let (Some(capture), Some(placed)) = (&turn.snapshot.capture, captured) {
        let frames = tx.frames().zip(lengths).map(|(frame, length)| &frame[..length.into()]);
        let packets = placed.into_iter().zip(frames);
        capture::sealed(capture, packets.map(|(routed, frame)| (routed.outbound.slot, routed.inner, frame)));
    }
    tx.commit(&lengths[..reserved]);
}

/// Those of the batch that are being sealed, in the order of their frames.
#[cold]
fn placed<'b, 'a>(batch: &'b Batch<'a>, sealing: &Sealing<'_>) -> ArrayVec<&'b Routed<'a>, BATCH> {
    let mut rest = batch.iter();
    sealing.inner().filter_map(|inner| rest.find(|routed| std::ptr::eq(routed.inner, inner))).collect()
}
