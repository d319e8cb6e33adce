//! From a peer to a VPC: classify, find the association, open, check, route, deliver.

use std::net::SocketAddr;
use std::time::Instant;

use arrayvec::ArrayVec;
use esp::{Opened, Opening, Refusal, Stale};
use port::{BATCH, Transmit};
use tables::{GatewayIndex, Inbound, PortIndex, Route, SaSlot, Snapshot, Traffic, Unresolved};
use wire::ecn::{self, Ecn};
use wire::esp::Encapsulated;
use wire::icmp::Report;
use wire::udp::{Datagram, IKE_PORT, NAT_TRAVERSAL_PORT};
use wire::{Address, Link, Malformed, Packet, Protocol, ip, tcp};

use crate::handle::{Bytes, IkeDatagram};
use crate::last::Last;
use crate::outbound::carried;
use crate::stage::{Stage, Stopwatch};
use crate::tally::Tally;
use crate::turn::{Origin, OutOf, Refused, Turn};
use crate::{DropReason, capture};

/// An ESP packet whose association is known.
pub(crate) struct Sealed<'a> {
    inbound: &'a Inbound,
    slot: SaSlot,
    esp: Esp<'a>,
}

/// An ESP packet where it lies.
#[derive(Clone, Copy)]
struct Esp<'a> {
    /// The outer packet, to the end of ESP; and bytes in it in front of ESP.
    outer: &'a [u8],
    before: u16,
    /// The outer packet's.
    traffic_class: u8,
}

impl<'a> Esp<'a> {
    /// From its header on.
    #[inline(always)]
    fn bytes(&self) -> &'a [u8] {
        self.outer.get(usize::from(self.before)..).unwrap_or_default()
    }
}

pub(crate) type Batch<'a> = ArrayVec<Sealed<'a>, BATCH>;

/// Finds the association of every packet received from the WAN. IKE goes to control, fragments to `reassemble`, which gives
/// them their verdicts; what is neither is dropped.
pub(crate) fn classify<'a, 's: 'a, W: Stopwatch>(
    frames: impl Iterator<Item = &'a mut [u8]>,
    turn: &mut Turn<'s, W>,
    mut reassemble: impl FnMut(&Packet<'_>, Instant, &mut Tally<'s>),
) -> Batch<'a> {
    let mut sorting = Sorting { sealed: ArrayVec::new(), before: 0, runs: 0 };
    for frame in frames {
        match carried(frame) {
            Ok((_, packet)) if ip::is_v6(packet) => sorting.take(content_v6(packet), turn, &mut reassemble),
            Ok((_, packet)) => sorting.take(content(Packet::parse_v4(packet)), turn, &mut reassemble),
            Err(reason) => turn.tally.drop(reason),
        }
    }
    let Sorting { sealed, runs, .. } = sorting;
    let mut batch = Batch::new();
    let mut last = Last::new();
    for (spi, esp) in sealed {
        match association(spi, &mut last, turn) {
            Ok((slot, inbound)) => batch.push(Sealed { inbound, slot, esp }),
            Err(reason) => turn.tally.drop(reason),
        }
    }
    if runs > 1 {
        batch.iter().for_each(|sealed| sealed.inbound.sa.prefetch_window(sealed.esp.bytes()));
    }
    batch
}

/// What is not cached of many associations is asked for a link of the chain at a time: the entry, the association with its
/// key, the window's word.
struct Sorting<'a> {
    sealed: ArrayVec<(u32, Esp<'a>), BATCH>,
    /// The index of the packet before, and how often it changed.
    before: u32,
    runs: u32,
}

impl<'a> Sorting<'a> {
    #[inline(always)]
    fn take<'s, W: Stopwatch>(
        &mut self,
        content: Result<Content<'a>, DropReason>,
        turn: &mut Turn<'s, W>,
        reassemble: &mut impl FnMut(&Packet<'_>, Instant, &mut Tally<'s>),
    ) {
        match content {
            Ok(Content::Esp(esp)) => {
                let Some((spi, _)) = wire::esp::header(esp.bytes()) else {
                    return turn.tally.drop(DropReason::MalformedEsp);
                };
                if spi != self.before {
                    turn.snapshot.prefetch_inbound(spi);
                    (self.before, self.runs) = (spi, self.runs + 1);
                }
                self.sealed.push((spi, esp));
            }
            Ok(Content::Ike { outer, datagram, message }) => pass_ike(&outer, &datagram, message, turn),
            Ok(Content::Fragment(outer)) => reassemble(&outer, turn.now(), &mut turn.tally),
            Err(reason) => turn.tally.drop(reason),
        }
    }
}

enum Content<'a> {
    Esp(Esp<'a>),
    Ike { outer: Packet<'a>, datagram: Datagram<'a>, message: &'a [u8] },
    Fragment(Packet<'a>),
}

/// Apart, so that the code for IPv4 has no numbers of 128 bits to carry along.
#[inline(never)]
fn content_v6(packet: &[u8]) -> Result<Content<'_>, DropReason> {
    content(Packet::parse_v6(packet))
}

#[inline(always)]
fn content(outer: Result<Packet<'_>, Malformed>) -> Result<Content<'_>, DropReason> {
    let outer = outer.map_err(|_| DropReason::MalformedIp)?;
    if outer.fragment {
        return Ok(Content::Fragment(outer));
    }
    let traffic_class = outer.traffic_class;
    match outer.protocol {
        Protocol::ESP => {
            let before = outer.header_length as u16;
            return Ok(Content::Esp(Esp { outer: outer.bytes, before, traffic_class }));
        }
        Protocol::UDP => {}
        _ => return Err(DropReason::NotForGateway),
    }
    let datagram = Datagram::parse(outer.payload()).map_err(|_| DropReason::MalformedUdp)?;
    let message = match datagram.destination {
        IKE_PORT => datagram.payload,
        NAT_TRAVERSAL_PORT => match Encapsulated::parse(datagram.payload) {
            Encapsulated::Esp(esp) => {
                let before = outer.header_length + wire::udp::HEADER;
                // A packet may be longer than the datagram in it.
                let outer = outer.bytes.get(..before + esp.len()).unwrap_or_default();
                return Ok(Content::Esp(Esp { outer, before: before as u16, traffic_class }));
            }
            Encapsulated::Keepalive => return Err(DropReason::NatKeepalive),
            Encapsulated::Ike(message) => message,
        },
        _ => return Err(DropReason::NotForGateway),
    };
    Ok(Content::Ike { outer, datagram, message })
}

#[cold]
fn pass_ike<W: Stopwatch>(outer: &Packet<'_>, datagram: &Datagram<'_>, message: &[u8], turn: &mut Turn<'_, W>) {
    let Ok(message) = Bytes::try_from(message) else { return turn.tally.drop(DropReason::IkeTooLong) };
    let source = SocketAddr::new(outer.source.into(), datagram.source);
    let destination = SocketAddr::new(outer.destination.into(), datagram.destination);
    let (queue, full) = if !is_first(&message) {
        (&turn.shared.ike, DropReason::ControlQueueFull)
    } else if has_cookie(&message) {
        (&turn.shared.cookie_ike, DropReason::FirstIkeQueueFull)
    } else {
        (&turn.shared.first_ike, DropReason::FirstIkeQueueFull)
    };
    match queue.push(IkeDatagram { source, destination, message }) {
        Ok(()) => turn.tally.pass(),
        Err(_) => turn.tally.drop(full),
    }
}

/// Whether an IKE message asks for a new IKE SA. RFC 7296 §3.1: the responder's SPI, behind the initiator's, is zero in the
/// first message, and in answers to it that keep nothing; bit 5 of the flags tells an answer.
fn is_first(message: &[u8]) -> bool {
    let names_ours = message.get(8..16).is_some_and(|spi| spi.iter().any(|byte| *byte != 0));
    let answers = message.get(19).is_some_and(|flags| flags & 0x20 != 0);
    !names_ours && !answers
}

/// Whether a first IKE message brings back a cookie, right or wrong. RFC 7296 §2.6: it is the first payload, §3.10: a
/// notification (41) of the type 16390, which stands behind two headers and two octets.
fn has_cookie(message: &[u8]) -> bool {
    message.get(16) == Some(&41) && message.get(34..36) == Some(&16390_u16.to_be_bytes())
}

#[inline(always)]
fn association<'a, W: Stopwatch>(
    spi: u32,
    last: &mut Last<u32, (SaSlot, &'a Inbound)>,
    turn: &Turn<'a, W>,
) -> Result<(SaSlot, &'a Inbound), DropReason> {
    last.find(spi, || {
        let found = turn.snapshot.inbound(spi).ok_or(DropReason::UnknownSpi)?;
        found.1.sa.prefetch();
        turn.tally.prefetch(found.0);
        // Control names a port that does not exist where the gateway has no attachment.
        if found.1.expected.position() < turn.snapshot.ports.len() { Ok(found) } else { Err(DropReason::NoRoute) }
    })
}

/// Opens those packets of the batch that are expected to leave through `port` into its frames, and hands over those
/// that do. The others, which stand in the wrong port's frames, are offered to `elsewhere` as whole frames.
pub(crate) fn open<W: Stopwatch>(
    batch: &Batch<'_>,
    port: PortIndex,
    tx: &mut impl Transmit,
    turn: &mut Turn<'_, W>,
    mut elsewhere: impl FnMut(PortIndex, &[u8]) -> Result<(), DropReason>,
) {
    let wanted = batch.iter().filter(|sealed| sealed.inbound.expected == port).count();
    if wanted == 0 {
        return;
    }
    let reserved = tx.reserve(wanted);
    let room = tx.capacity() - Link::TAGGED;
    let mut opening = Opening::default();
    let mut pushed: ArrayVec<&Sealed<'_>, BATCH> = ArrayVec::new();
    let mut frames = tx.frames().take(reserved);
    for sealed in batch.iter().filter(|sealed| sealed.inbound.expected == port) {
        let admitted = match sealed.inbound.sa.admit(sealed.esp.bytes()) {
            Ok(admitted) => admitted,
            Err(refusal) => {
                turn.drop_unopened(sealed.slot, refused(refusal), sealed.esp.outer);
                continue;
            }
        };
        if admitted.opened_length() > room {
            turn.drop_unopened(sealed.slot, DropReason::TooLong, sealed.esp.outer);
            continue;
        }
        let Some(frame) = frames.next() else {
            turn.drop_unopened(sealed.slot, DropReason::TransmitRingFull, sealed.esp.outer);
            continue;
        };
        opening.push(admitted, &mut frame[Link::UNTAGGED..]);
        pushed.push(sealed);
    }
    drop(frames);
    turn.ended(Stage::Prepare);
    let results = opening.finish_by(&mut turn.hand_over.protect(turn.shared));
    turn.ended(Stage::Protect);

    let captured = turn.snapshot.capture.as_deref().map(|capture| {
        let packets = pushed.iter().zip(&results).zip(tx.frames());
        let packets = packets.map(|((sealed, result), frame)| {
            let inner = result.map(|opened| &frame[Link::UNTAGGED..][..opened.length]);
            (sealed.slot, sealed.esp.outer, inner.map_err(refused))
        });
        capture::Opened::new(capture, packets)
    });
    let mut dropped = [None; BATCH];

    let mut lengths = [0; BATCH];
    let mut run = Run::default();
    let mut last = Last::new();
    for (position, (((sealed, result), frame), length)) in
        pushed.iter().zip(results).zip(tx.frames()).zip(&mut lengths).enumerate()
    {
        let opened = match result.map_err(refused) {
            Ok(opened) => opened,
            Err(reason) => {
                turn.tally.drop_of(sealed.slot, reason);
                continue;
            }
        };
        run.count(sealed.slot, opened.length, turn);
        match deliver(sealed, opened, frame, &mut last, turn) {
            Ok((Delivery::To(leaving), framed)) if leaving == port => {
                *length = framed as u16;
                turn.tally.transmit(1);
            }
            Ok((Delivery::To(leaving), framed)) => match elsewhere(leaving, frame.get(..framed).unwrap_or_default()) {
                Ok(()) => turn.tally.transmit(1),
                Err(reason) => {
                    dropped[position] = Some(reason);
                    turn.tally.drop_of(sealed.slot, reason);
                }
            },
            Ok((Delivery::Passed, _)) => turn.tally.pass(),
            Err(refused) => {
                dropped[position] = Some(refused.reason);
                let packet = frame.get(Link::UNTAGGED..).and_then(|rest| rest.get(..opened.length));
                let origin = Origin::Tunnel(sealed.inbound.tunnel);
                turn.refuse(refused, sealed.inbound.gateway, origin, packet.unwrap_or_default());
            }
        }
    }
    run.finish(turn);
    if let Some(opened) = captured {
        opened.finish(&dropped);
    }
    turn.ended(Stage::Deliver);
    tx.commit(&lengths[..reserved]);
}

/// Where an opened packet goes.
enum Delivery {
    /// Out of this port: its frame is complete.
    To(PortIndex),
    /// To control.
    Passed,
}

/// Checks an opened packet and completes its frame, whose length is returned.
#[inline(always)]
fn deliver<W: Stopwatch>(
    sealed: &Sealed<'_>,
    opened: Opened,
    frame: &mut [u8],
    last: &mut Last<(GatewayIndex, Address), ()>,
    turn: &mut Turn<'_, W>,
) -> Result<(Delivery, usize), Refused> {
    match opened.next_header {
        Protocol::IPV4 => deliver_as::<false, W>(sealed, opened.length, frame, last, turn),
        Protocol::IPV6 => deliver_v6(sealed, opened.length, frame, last, turn),
        Protocol::NONE => Err(DropReason::DummyPacket.of(sealed.slot)),
        _ => Err(DropReason::UnexpectedNextHeader.of(sealed.slot)),
    }
}

/// Apart, so that the code for IPv4 has no numbers of 128 bits to carry along.
#[inline(never)]
fn deliver_v6<W: Stopwatch>(
    sealed: &Sealed<'_>,
    length: usize,
    frame: &mut [u8],
    last: &mut Last<(GatewayIndex, Address), ()>,
    turn: &mut Turn<'_, W>,
) -> Result<(Delivery, usize), Refused> {
    deliver_as::<true, W>(sealed, length, frame, last, turn)
}

#[inline(always)]
fn deliver_as<const V6: bool, W: Stopwatch>(
    sealed: &Sealed<'_>,
    length: usize,
    frame: &mut [u8],
    last: &mut Last<(GatewayIndex, Address), ()>,
    turn: &mut Turn<'_, W>,
) -> Result<(Delivery, usize), Refused> {
    let Sealed { slot, inbound, esp: Esp { traffic_class, .. } } = *sealed;
    match inbound.traffic {
        Traffic::Free => {}
        Traffic::Limited if turn.admits(inbound.tunnel, |limits| &limits.inbound, length) => {}
        Traffic::Limited => return Err(DropReason::RateLimited.of(slot)),
        Traffic::Paused => return Err(DropReason::TunnelPaused.of(slot)),
    }
    let content = frame.get(Link::UNTAGGED..).and_then(|rest| rest.get(..length)).unwrap_or_default();
    // RFC 4303 §3.4.4.1: next header and version are of one mind.
    let inner = match V6 {
        true if ip::is_v6(content) => Packet::parse_v6(content),
        true => Err(Malformed::Ip),
        false => Packet::parse_v4(content),
    };
    let inner = inner.map_err(|_| DropReason::MalformedInner.of(slot))?;
    if !inbound.selectors.allow_inbound(&inner) {
        return Err(DropReason::OutsideSelectors.of(slot));
    }
    if inbound.reverse_path {
        let source = (inbound.gateway, inner.source);
        last.find(source, || may_come(turn.snapshot, source)).map_err(|reason| reason.of(slot))?;
    }
    let length = inner.bytes.len();
    let is_syn = inner.protocol == Protocol::TCP && !inner.fragment && inbound.segments[0] != 0;
    let (header_length, hops, class) = (inner.header_length, inner.hops, inner.traffic_class);
    let (gateway, destination, snapshot) = (inbound.gateway, inner.destination, turn.snapshot);
    let way = match turn.ways.find(gateway, destination) {
        Some(way) => way,
        None => match look_up(gateway, destination, snapshot) {
            Ok(way) => turn.ways.remember(gateway, destination, way),
            Err(Elsewhere::Host) => {
                turn.pass(gateway, inner.bytes).map_err(|reason| reason.of(slot))?;
                return Ok((Delivery::Passed, 0));
            }
            Err(Elsewhere::Unresolved(neighbour)) => {
                if let Some(neighbour) = neighbour {
                    turn.ask_for(neighbour);
                }
                return Err(DropReason::NeighbourUnresolved.of(slot));
            }
            Err(Elsewhere::Nowhere(refused)) => return Err(Refused { slot: Some(slot), ..refused }),
        },
    };
    if hops <= 1 {
        return Err(DropReason::HopsExceeded.of(slot).told(Report::HopsExceeded));
    }
    let (_, packet) = frame.split_at_mut(Link::UNTAGGED);
    let packet = &mut packet[..length];
    // RFC 6040 §4.2: only these two of the four change anything.
    if traffic_class & 1 != 0 {
        let marked = ecn::decapsulate(Ecn::of(traffic_class), Ecn::of(class));
        let marked = marked.map_err(|_| DropReason::CongestionUnknown.of(slot))?;
        ip::set_traffic_class(packet, marked.on(class));
    }
    ip::decrement_hops_of::<V6>(packet);
    if is_syn {
        tcp::clamp_mss(&mut packet[header_length..], inbound.segments[usize::from(V6)]);
    }
    let port = way.port;
    let framed = match way.link.untagged() {
        Some(link) => {
            *frame.first_chunk_mut().expect("room for a link header") = *link;
            Link::UNTAGGED + length
        }
        None => {
            // The packet was opened behind an untagged header.
            frame.copy_within(Link::UNTAGGED..Link::UNTAGGED + length, Link::TAGGED);
            frame[..Link::TAGGED].copy_from_slice(way.link.bytes());
            Link::TAGGED + length
        }
    };
    Ok((Delivery::To(port), framed))
}

/// A packet out of a tunnel may come from where the gateway's routes do not lead to our own side.
fn may_come(snapshot: &Snapshot, (gateway, source): (GatewayIndex, Address)) -> Result<(), DropReason> {
    match snapshot.route(gateway, source) {
        Some(Route::Attachment(_) | Route::Host) => Err(DropReason::SpoofedSource),
        Some(Route::Tunnels(_) | Route::Blackhole | Route::Reject) | None => Ok(()),
    }
}

/// Where an inner packet goes that goes out of no port.
enum Elsewhere {
    Host,
    Nowhere(Refused),
    /// To a neighbour that is not known, and for which the kernel is to be asked where it can tell.
    Unresolved(Option<Unresolved>),
}

/// The way of inner packets to a destination.
#[inline(never)]
fn look_up(gateway: GatewayIndex, destination: Address, snapshot: &Snapshot) -> Result<OutOf, Elsewhere> {
    let nowhere = |reason: DropReason| Elsewhere::Nowhere(reason.into());
    let told = |reason: DropReason, report| Elsewhere::Nowhere(Refused::from(reason).told(report));
    let no_route = || told(DropReason::NoRoute, Report::NoRoute);
    let attachment = match snapshot.route(gateway, destination) {
        Some(Route::Attachment(index)) => snapshot.attachments.get(index.position()).ok_or_else(no_route)?,
        Some(Route::Host) => return Err(Elsewhere::Host),
        Some(Route::Tunnels(_)) => return Err(nowhere(DropReason::Transit)),
        Some(Route::Blackhole) => return Err(nowhere(DropReason::Blackhole)),
        Some(Route::Reject) => return Err(told(DropReason::Rejected, Report::Prohibited)),
        None => return Err(no_route()),
    };
    let port = attachment.port;
    match attachment.link(destination) {
        Some(Ok(link)) => Ok(OutOf { port, link: *link }),
        // Where the kernel knows no neighbours, its question would go to another network.
        Some(Err(address)) => Err(Elsewhere::Unresolved((!attachment.learns).then_some(Unresolved { port, address }))),
        None => Err(told(DropReason::NoKernelRoute, Report::NoRoute)),
    }
}

/// Packets in a row of one association, counted at once.
#[derive(Default)]
struct Run {
    slot: Option<SaSlot>,
    packets: u64,
    bytes: u64,
}

impl Run {
    #[inline(always)]
    fn count<W: Stopwatch>(&mut self, slot: SaSlot, bytes: usize, turn: &mut Turn<'_, W>) {
        if self.slot != Some(slot) {
            self.finish(turn);
            *self = Self { slot: Some(slot), packets: 0, bytes: 0 };
        }
        self.packets += 1;
        self.bytes += bytes as u64;
    }

    #[inline(always)]
    fn finish<W: Stopwatch>(&self, turn: &mut Turn<'_, W>) {
        if let Some(slot) = self.slot {
            turn.tally.protect(slot, self.packets, self.bytes);
        }
    }
}

fn refused(refusal: Refusal) -> DropReason {
    match refusal {
        Refusal::Malformed => DropReason::MalformedEsp,
        Refusal::Stale(Stale::BehindWindow) => DropReason::BehindWindow,
        Refusal::Stale(Stale::Replayed) => DropReason::Replayed,
        Refusal::Stale(Stale::Impossible) => DropReason::ImpossibleSequence,
        Refusal::NotAuthentic => DropReason::NotAuthentic,
        Refusal::BadPadding => DropReason::BadPadding,
    }
}
