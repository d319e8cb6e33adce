//! From a VPC to a peer: classify, route, choose the tunnel, number, seal.

use std::mem;

use arrayvec::ArrayVec;
use esp::{OuterHeader, Sealing};
use port::{BATCH, Transmit};
use tables::{
    Attachment, AttachmentIndex, Gateway, GatewayIndex, Outbound, PortIndex, Route, RouteIndex, Seen, Snapshot,
    TunnelIndex, Unresolved, Vlans,
};
use wire::fragment::Split;
use wire::icmp::Report;
use wire::{Address, EtherType, Link, MacAddress, Packet, Protocol, ip, tcp};

use crate::last::Last;
use crate::stage::{Stage, Stopwatch};
use crate::turn::{Leads, Origin, Refused, Turn};
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
    tunnel: TunnelIndex,
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
    room: &'a mut [u8],
    entrance: Entrance<'s>,
    turn: &mut Turn<'s, W>,
) -> Option<&'f mut [u8]> {
    let arrivals = Arrivals::new(turn.snapshot, entrance);
    let before = Before { gateway: Last::new(), route: Last::new(), outbound: Last::new() };
    let mut routing = Routing { batch, room, arrivals, before };
    for frame in frames {
        let taken = if is_v6(frame) { routing.take_v6(frame, turn) } else { routing.take::<false, W>(frame, turn) };
        if let Err(Full(frame)) = taken {
            return Some(frame);
        }
        if routing.batch.is_full() {
            break;
        }
    }
    None
}

/// Nothing was done with this frame, for there is no space for all of its pieces.
struct Full<'f>(&'f mut [u8]);

/// The frames of a batch on their ways, one after the other.
struct Routing<'b, 'a, 's> {
    batch: &'b mut Batch<'a>,
    room: &'a mut [u8],
    arrivals: Arrivals<'s>,
    before: Before<'s>,
}

impl<'a, 's: 'a> Routing<'_, 'a, 's> {
    /// Takes a frame of IPv6. Apart, so that the code for IPv4 has no numbers of 128 bits to carry along.
    #[inline(never)]
    fn take_v6<'f: 'a, W: Stopwatch>(&mut self, frame: &'f mut [u8], turn: &mut Turn<'s, W>) -> Result<(), Full<'f>> {
        self.take::<true, W>(frame, turn)
    }

    #[inline(always)]
    fn take<'f: 'a, const V6: bool, W: Stopwatch>(
        &mut self,
        frame: &'f mut [u8],
        turn: &mut Turn<'s, W>,
    ) -> Result<(), Full<'f>> {
        let way = match self.way::<V6, W>(frame, turn) {
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
        let Way { tunnel, outbound, header, start, length, segment, fits } = way;
        if !fits {
            return match self.fragment(&frame[start..start + length], &way, turn) {
                true => Ok(()),
                false => Err(Full(frame)),
            };
        }
        if outbound.limited && !turn.admits(tunnel, |limits| &limits.outbound, length) {
            turn.drop_unsealed(outbound.slot, DropReason::RateLimited, &frame[start..start + length]);
            return Ok(());
        }
        let inner = &mut frame[start..start + length];
        if self.arrivals.origin != Origin::Host {
            // The way is known of those alone that have hops left.
            ip::decrement_hops_of::<V6>(inner);
        }
        if segment != 0 {
            tcp::clamp_mss(&mut inner[segment..], outbound.segments[usize::from(V6)]);
        }
        self.batch.push(Routed { inner, outbound, header });
        Ok(())
    }

    /// `None` for a packet that went to the gateway's own host.
    #[inline(always)]
    fn way<const V6: bool, W: Stopwatch>(
        &mut self,
        frame: &[u8],
        turn: &mut Turn<'s, W>,
    ) -> Result<Option<Way<'s>>, Refused> {
        let (link, packet) = carried(frame)?;
        let inner = if V6 { Packet::parse_v6(packet) } else { Packet::parse_v4(packet) };
        let inner = inner.map_err(|_| DropReason::MalformedIp)?;
        self.arrivals.enter(vlan(frame, link), frame, inner.source, turn)?;
        let (gateway, origin, snapshot) = (self.arrivals.gateway, self.arrivals.origin, turn.snapshot);
        let leads = match turn.routes.find(gateway, inner.destination) {
            Some(leads) => Some(*leads),
            None => look_up(gateway, inner.destination, turn),
        };
        let down = Refused::from(DropReason::NoTunnelUp).told(Report::AddressUnreachable);
        let tunnel = match leads {
            Some(Leads::Into(tunnel)) => tunnel,
            Some(Leads::By(found)) => {
                let table = || snapshot.gateways.get(gateway.position()).ok_or(());
                let table = self.before.gateway.find(gateway, table).ok();
                let route = || table.and_then(|table| table.routes.route(found)).ok_or(());
                match self.before.route.find((gateway, found), route).ok() {
                    Some(Route::Tunnels(tunnels)) => {
                        // In a closure it would take the packet's address, and so keep it in memory.
                        let hash = if let Some(gateway) = table { gateway.flow_hash(&inner) } else { 0 };
                        tunnels.tunnel(|| hash).ok_or(down)?
                    }
                    Some(Route::Host) if origin != Origin::Host => {
                        turn.pass(gateway, inner.bytes)?;
                        return Ok(None);
                    }
                    Some(Route::Attachment(_) | Route::Host) => return Err(DropReason::Transit.into()),
                    Some(Route::Blackhole) => return Err(DropReason::Blackhole.into()),
                    Some(Route::Reject) => return Err(Refused::from(DropReason::Rejected).told(Report::Prohibited)),
                    None => return Err(Refused::from(DropReason::NoRoute).told(Report::NoRoute)),
                }
            }
            None => return Err(Refused::from(DropReason::NoRoute).told(Report::NoRoute)),
        };
        if inner.hops <= 1 && origin != Origin::Host {
            return Err(Refused::from(DropReason::HopsExceeded).told(Report::HopsExceeded));
        }
        let worker = turn.worker;
        let mut outbound = self.before.outbound.find(tunnel, || snapshot.outbound(tunnel, worker).ok_or(down))?;
        if !outbound.selectors.allow_outbound(&inner) {
            let outside = DropReason::OutsideSelectors.of(outbound.slot).told(Report::Prohibited);
            outbound = snapshot.further(tunnel, inner, worker).ok_or(outside)?;
        }
        let fits = inner.bytes.len() <= usize::from(outbound.longest);
        if !fits && inner.dont_fragment {
            // RFC 4301 §8.2: what the sender can send, and not what the tunnel makes of it.
            return Err(DropReason::TooLong.of(outbound.slot).told(Report::TooBig { mtu: outbound.longest }));
        }
        let header = match &outbound.header {
            Ok(header) => header,
            Err(address) => {
                turn.ask_for(Unresolved { port: outbound.port, address: *address });
                return Err(DropReason::NeighbourUnresolved.of(outbound.slot));
            }
        };
        let is_tcp = inner.protocol == Protocol::TCP && !inner.fragment && outbound.segments[0] != 0;
        let segment = if is_tcp { inner.header_length } else { 0 };
        Ok(Some(Way { tunnel, outbound, header, start: link.length, length: inner.bytes.len(), segment, fits }))
    }

    /// Takes the pieces of a packet into the batch (RFC 4301 §7.3: fragmented before it is sealed, so that each piece is sealed
    /// and opened by itself). Whether there was space for all of them; else nothing was done.
    #[cold]
    fn fragment<W: Stopwatch>(&mut self, inner: &[u8], way: &Way<'s>, turn: &mut Turn<'s, W>) -> bool {
        let Way { outbound, header, .. } = *way;
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
        if outbound.limited && !turn.admits(way.tunnel, |limits| &limits.outbound, inner.len()) {
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
            self.batch.push(Routed { inner: to, outbound, header });
        }
        turn.tally.split(count);
        true
    }
}

/// Looks up where a destination's route leads, and remembers it.
#[inline(never)]
fn look_up<W: Stopwatch>(gateway: GatewayIndex, destination: Address, turn: &mut Turn<'_, W>) -> Option<Leads> {
    let table = turn.snapshot.gateways.get(gateway.position())?;
    let leads = Leads::of(table, table.routes.find(destination)?);
    turn.routes.remember(gateway, destination, leads);
    Some(leads)
}

/// What the packet before was for.
struct Before<'a> {
    gateway: Last<GatewayIndex, &'a Gateway>,
    route: Last<(GatewayIndex, RouteIndex), &'a Route>,
    outbound: Last<TunnelIndex, &'a Outbound>,
}

/// Bytes of an IPv4 header with all the options it can have.
const MOST_HEADER: usize = 60;
/// Bytes for the pieces of a batch: enough for those of the longest packet.
pub(crate) const MOST_PIECES: usize = 4 * 65536;

/// Where frames come in.
#[derive(Clone, Copy)]
pub(crate) enum Entrance<'a> {
    /// Through a port towards VPCs.
    Vpc(&'a Vlans),
    /// From this gateway's own host.
    Host(GatewayIndex),
}

/// Where the frames of a batch come in, one after the other.
struct Arrivals<'a> {
    snapshot: &'a Snapshot,
    entrance: Entrance<'a>,
    gateway: GatewayIndex,
    /// Of the last frame.
    vlan: u16,
    /// Its attachment, if there is one of its VLAN.
    attachment: Option<&'a Attachment>,
    origin: Origin,
    /// Whether there is something to see to in the sources of the attachment's packets, and the last one that was seen to.
    screens: bool,
    screened: Option<Address>,
}

impl<'a> Arrivals<'a> {
    fn new(snapshot: &'a Snapshot, entrance: Entrance<'a>) -> Self {
        let (origin, gateway) = (Origin::Host, GatewayIndex(u32::MAX));
        let (vlan, attachment, screens, screened) = (Vlans::UNTAGGED, None, false, None);
        let mut arrivals = Self { snapshot, entrance, gateway, vlan, attachment, origin, screens, screened };
        arrivals.change(vlan);
        arrivals
    }

    /// Turns to the attachment of a frame's VLAN, and sees to its source.
    #[inline(always)]
    fn enter<W: Stopwatch>(
        &mut self,
        vlan: u16,
        frame: &[u8],
        source: Address,
        turn: &Turn<'_, W>,
    ) -> Result<(), DropReason> {
        if vlan != self.vlan {
            self.change(vlan);
        }
        if self.screens && self.screened != Some(source) { self.screen(frame, source, turn) } else { Ok(()) }
    }

    #[inline(never)]
    fn change(&mut self, vlan: u16) {
        (self.vlan, self.screened) = (vlan, None);
        match self.entrance {
            Entrance::Vpc(vlans) => {
                let index = vlans.attachment(vlan);
                self.attachment = index.and_then(|index| self.snapshot.attachments.get(index.position()));
                self.origin = Origin::Vpc(index.unwrap_or(AttachmentIndex(u32::MAX)));
                // Before a frame has an attachment it has no gateway, and there is nobody to tell.
                self.gateway = self.attachment.map_or(GatewayIndex(u32::MAX), |attachment| attachment.gateway);
                self.screens = self.attachment.is_none_or(|from| from.sources.is_some() || from.learns);
            }
            Entrance::Host(gateway) => self.gateway = gateway,
        }
    }

    #[inline(never)]
    fn screen<W: Stopwatch>(&mut self, frame: &[u8], source: Address, turn: &Turn<'_, W>) -> Result<(), DropReason> {
        let attachment = self.attachment.ok_or(DropReason::UnknownVlan)?;
        if attachment.sources.as_ref().is_some_and(|sources| !sources.holds(source)) {
            return Err(DropReason::SpoofedSource);
        }
        if attachment.learns {
            self.learn(attachment, frame, source, turn);
        }
        self.screened = Some(source);
        Ok(())
    }

    fn learn<W: Stopwatch>(&self, attachment: &Attachment, frame: &[u8], source: Address, turn: &Turn<'_, W>) {
        let (Origin::Vpc(index), Some(mac)) = (self.origin, frame[6..].first_chunk()) else { return };
        let new = match attachment.link(source) {
            Some(Ok(known)) => known.bytes()[..6] != *mac,
            Some(Err(_)) => true,
            None => false,
        };
        let group = mac[0] & 1 != 0;
        if new && !group {
            turn.tell_seen(Seen { attachment: index, address: source.into(), mac: MacAddress(*mac) });
        }
    }
}

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

/// The link header of a frame and the IP packet behind it.
#[inline(always)]
pub(crate) fn packet(frame: &[u8]) -> Result<(Link, Packet<'_>), DropReason> {
    let (link, packet) = carried(frame)?;
    Packet::parse(packet).map(|packet| (link, packet)).map_err(|_| DropReason::MalformedIp)
}

/// Whether a frame has an IPv6 packet, as far as a look at its version tells.
#[inline(always)]
fn is_v6(frame: &[u8]) -> bool {
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
    sealing.finish_by(&mut turn.hand_over.protect(turn.shared));
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
