//! From a peer to a VPC: classify, find the association, open, check, route, deliver.

use std::net::{IpAddr, SocketAddr};

use arrayvec::ArrayVec;
use esp::{Admitted, Opened, Opening, Refusal, Stale};
use port::{BATCH, Transmit};
use tables::{GatewayIndex, Inbound, PortIndex, Route, SaSlot, Snapshot, Traffic, Unresolved};
use wire::ecn::{self, Ecn};
use wire::esp::Encapsulated;
use wire::icmp::Report;
use wire::udp::{Datagram, IKE_PORT, NAT_TRAVERSAL_PORT};
use wire::{Link, LinkHeader, Packet, Protocol, ip, tcp};

use crate::DropReason;
use crate::handle::{Bytes, HostPacket, IkeDatagram};
use crate::outbound::packet;
use crate::stage::{Stage, Stopwatch};
use crate::turn::{Origin, Refused, Turn};

/// An ESP packet whose association is known.
pub(crate) struct Sealed<'a> {
    admitted: Admitted<'a>,
    slot: SaSlot,
    inbound: &'a Inbound,
    /// The port whose frames it is opened into.
    expected: PortIndex,
    /// The outer packet's.
    traffic_class: u8,
}

pub(crate) type Batch<'a> = ArrayVec<Sealed<'a>, BATCH>;

/// Finds the association of every packet received from the WAN. IKE goes to control; what is neither is dropped.
pub(crate) fn classify<'a, 's: 'a, W: Stopwatch>(
    frames: impl Iterator<Item = &'a mut [u8]>,
    turn: &mut Turn<'s, W>,
) -> Batch<'a> {
    let mut batch = Batch::new();
    for frame in frames {
        match content(frame) {
            Ok(Content::Esp { esp, traffic_class }) => match association(esp, traffic_class, turn.snapshot) {
                Ok(sealed) => batch.push(sealed),
                Err((None, reason)) => turn.tally.drop(reason),
                Err((Some(slot), reason)) => turn.tally.drop_of(slot, reason),
            },
            Ok(Content::Ike { outer, datagram, message }) => pass_ike(&outer, &datagram, message, turn),
            Err(reason) => turn.tally.drop(reason),
        }
    }
    batch
}

enum Content<'a> {
    Esp { esp: &'a [u8], traffic_class: u8 },
    Ike { outer: Packet<'a>, datagram: Datagram<'a>, message: &'a [u8] },
}

#[inline(always)]
fn content(frame: &[u8]) -> Result<Content<'_>, DropReason> {
    let (_, outer) = packet(frame)?;
    if outer.fragment {
        return Err(DropReason::OuterFragment);
    }
    let traffic_class = outer.traffic_class;
    match outer.protocol {
        Protocol::ESP => return Ok(Content::Esp { esp: outer.payload(), traffic_class }),
        Protocol::UDP => {}
        _ => return Err(DropReason::NotForGateway),
    }
    let datagram = Datagram::parse(outer.payload()).map_err(|_| DropReason::MalformedUdp)?;
    let message = match datagram.destination {
        IKE_PORT => datagram.payload,
        NAT_TRAVERSAL_PORT => match Encapsulated::parse(datagram.payload) {
            Encapsulated::Esp(esp) => return Ok(Content::Esp { esp, traffic_class }),
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
    let source = SocketAddr::new(outer.source, datagram.source);
    let destination = SocketAddr::new(outer.destination, datagram.destination);
    match turn.shared.ike.push(IkeDatagram { source, destination, message }) {
        Ok(()) => turn.tally.pass(),
        Err(_) => turn.tally.drop(DropReason::ControlQueueFull),
    }
}

#[inline(always)]
fn association<'a>(
    esp: &'a [u8],
    traffic_class: u8,
    snapshot: &'a Snapshot,
) -> Result<Sealed<'a>, (Option<SaSlot>, DropReason)> {
    let (spi, _) = wire::esp::header(esp).ok_or((None, DropReason::MalformedEsp))?;
    let (slot, inbound) = snapshot.inbound(spi).ok_or((None, DropReason::UnknownSpi))?;
    let expected = snapshot.attachments.get(inbound.expected.position()).ok_or((Some(slot), DropReason::NoRoute))?.port;
    let admitted = inbound.sa.admit(esp).map_err(|refusal| (Some(slot), refused(refusal)))?;
    Ok(Sealed { admitted, slot, inbound, expected, traffic_class })
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
    let wanted = batch.iter().filter(|sealed| sealed.expected == port).count();
    if wanted == 0 {
        return;
    }
    let reserved = tx.reserve(wanted);
    let room = tx.capacity() - Link::TAGGED;
    let mut opening = Opening::default();
    let mut pushed: ArrayVec<&Sealed<'_>, BATCH> = ArrayVec::new();
    let mut frames = tx.frames().take(reserved);
    for sealed in batch.iter().filter(|sealed| sealed.expected == port) {
        if sealed.admitted.opened_length() > room {
            turn.tally.drop_of(sealed.slot, DropReason::TooLong);
            continue;
        }
        let Some(frame) = frames.next() else {
            turn.tally.drop_of(sealed.slot, DropReason::TransmitRingFull);
            continue;
        };
        opening.push(sealed.admitted, &mut frame[Link::UNTAGGED..]);
        pushed.push(sealed);
    }
    drop(frames);
    turn.ended(Stage::Prepare);
    let results = opening.finish();
    turn.ended(Stage::Protect);

    let mut lengths = [0; BATCH];
    let mut ways = Ways::new(turn.snapshot);
    let mut run = Run::default();
    for (((sealed, result), frame), length) in pushed.iter().zip(results).zip(tx.frames()).zip(&mut lengths) {
        let opened = match result.map_err(refused) {
            Ok(opened) => opened,
            Err(reason) => {
                turn.tally.drop_of(sealed.slot, reason);
                continue;
            }
        };
        run.count(sealed.slot, opened.length, turn);
        match deliver(sealed, opened, frame, &mut ways, turn) {
            Ok((Delivery::To(leaving), framed)) if leaving == port => {
                *length = framed as u16;
                turn.tally.transmit(1);
            }
            Ok((Delivery::To(leaving), framed)) => match elsewhere(leaving, frame.get(..framed).unwrap_or_default()) {
                Ok(()) => turn.tally.transmit(1),
                Err(reason) => turn.tally.drop_of(sealed.slot, reason),
            },
            Ok((Delivery::Passed, _)) => turn.tally.pass(),
            Err(refused) => {
                let packet = frame.get(Link::UNTAGGED..).and_then(|rest| rest.get(..opened.length));
                let origin = Origin::Tunnel(sealed.inbound.tunnel);
                turn.refuse(refused, sealed.inbound.gateway, origin, packet.unwrap_or_default());
            }
        }
    }
    run.finish(turn);
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
    ways: &mut Ways<'_>,
    turn: &mut Turn<'_, W>,
) -> Result<(Delivery, usize), Refused> {
    let Sealed { slot, inbound, traffic_class, .. } = *sealed;
    let length = opened.length;
    match inbound.traffic {
        Traffic::Free => {}
        Traffic::Limited if turn.admits(inbound.tunnel, |limits| &limits.inbound, length) => {}
        Traffic::Limited => return Err(DropReason::RateLimited.of(slot)),
        Traffic::Paused => return Err(DropReason::TunnelPaused.of(slot)),
    }
    let content = frame.get(Link::UNTAGGED..).and_then(|rest| rest.get(..length)).unwrap_or_default();
    let inner = inner(content, opened.next_header).map_err(|reason| reason.of(slot))?;
    if !inbound.selectors.allow_inbound(&inner) {
        return Err(DropReason::OutsideSelectors.of(slot));
    }
    if inbound.reverse_path && !ways.may_come_from(inbound.gateway, inner.source) {
        return Err(DropReason::SpoofedSource.of(slot));
    }
    let length = inner.bytes.len();
    let is_syn = inner.protocol == Protocol::TCP && !inner.fragment && inbound.segments[0] != 0;
    let (header_length, hops, class, is_v6) =
        (inner.header_length, inner.hops, inner.traffic_class, inner.destination.is_ipv6());
    let way = match ways.find(inbound, &inner) {
        Ok(Way::Attachment(way)) => way,
        Ok(Way::Host) => return pass(inbound, inner.bytes, turn).map_err(|reason| reason.of(slot)),
        Err(unfound) => {
            if let Some(neighbour) = unfound.ask_for {
                turn.ask_for(neighbour);
            }
            return Err(Refused { slot: Some(slot), ..unfound.refused });
        }
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
    ip::decrement_hops(packet);
    if is_syn {
        tcp::clamp_mss(&mut packet[header_length..], inbound.segments[usize::from(is_v6)]);
    }
    let link = way.link.bytes();
    if link.len() != Link::UNTAGGED {
        // The packet was opened behind an untagged header.
        frame.copy_within(Link::UNTAGGED..Link::UNTAGGED + length, link.len());
    }
    frame[..link.len()].copy_from_slice(link);
    Ok((Delivery::To(way.port), link.len() + length))
}

/// RFC 4303 §3.4.4.1: what an opened packet carries, its next header and its version being of one mind.
#[inline(always)]
fn inner(content: &[u8], next_header: Protocol) -> Result<Packet<'_>, DropReason> {
    match next_header {
        Protocol::NONE => return Err(DropReason::DummyPacket),
        Protocol::IPV4 | Protocol::IPV6 => {}
        _ => return Err(DropReason::UnexpectedNextHeader),
    }
    let inner = Packet::parse(content).map_err(|_| DropReason::MalformedInner)?;
    if inner.tunnel_protocol() == next_header { Ok(inner) } else { Err(DropReason::MalformedInner) }
}

/// Hands a packet to the gateway's own host.
#[cold]
fn pass<W: Stopwatch>(
    inbound: &Inbound,
    packet: &[u8],
    turn: &mut Turn<'_, W>,
) -> Result<(Delivery, usize), DropReason> {
    let packet = Bytes::try_from(packet).map_err(|_| DropReason::TooLong)?;
    let packet = HostPacket { gateway: inbound.gateway, packet };
    turn.shared.to_host.push(packet).map_err(|_| DropReason::ControlQueueFull)?;
    Ok((Delivery::Passed, 0))
}

/// Where inner packets go.
#[derive(Clone, Copy)]
enum Way<'a> {
    Attachment(OutOf<'a>),
    Host,
}

/// Out of an attachment's port.
#[derive(Clone, Copy)]
struct OutOf<'a> {
    port: PortIndex,
    link: &'a LinkHeader,
}

/// Why there is no way, and what to ask the kernel for so that there is one.
struct Unfound {
    refused: Refused,
    ask_for: Option<Unresolved>,
}

impl Unfound {
    fn because(refused: Refused) -> Self {
        Self { refused, ask_for: None }
    }
}

/// The ways of a batch: packets of one flow come in runs, and a run is looked up once.
struct Ways<'a> {
    snapshot: &'a Snapshot,
    last: Option<((GatewayIndex, IpAddr), Way<'a>)>,
    /// The last source that may come out of a gateway's tunnels.
    source: Option<(GatewayIndex, IpAddr)>,
}

impl<'a> Ways<'a> {
    fn new(snapshot: &'a Snapshot) -> Self {
        Self { snapshot, last: None, source: None }
    }

    #[inline(always)]
    fn find(&mut self, inbound: &Inbound, inner: &Packet<'_>) -> Result<Way<'a>, Unfound> {
        let key = (inbound.gateway, inner.destination);
        if let Some((last, way)) = self.last
            && last == key
        {
            return Ok(way);
        }
        let way = self.look_up(inbound, inner)?;
        self.last = Some((key, way));
        Ok(way)
    }

    /// Whether the gateway's routes do not lead to the source on our own side.
    #[inline(always)]
    fn may_come_from(&mut self, gateway: GatewayIndex, source: IpAddr) -> bool {
        if self.source == Some((gateway, source)) {
            return true;
        }
        let may = match self.snapshot.route(gateway, source) {
            Some(Route::Attachment(_) | Route::Host) => false,
            Some(Route::Tunnels(_) | Route::Blackhole | Route::Reject) | None => true,
        };
        if may {
            self.source = Some((gateway, source));
        }
        may
    }

    #[inline(always)]
    fn look_up(&self, inbound: &Inbound, inner: &Packet<'_>) -> Result<Way<'a>, Unfound> {
        let no_route = || Unfound::because(Refused::from(DropReason::NoRoute).told(Report::NoRoute));
        let attachment = match self.snapshot.route(inbound.gateway, inner.destination) {
            Some(Route::Attachment(index)) => self.snapshot.attachments.get(index.position()).ok_or_else(no_route)?,
            Some(Route::Host) => return Ok(Way::Host),
            Some(Route::Tunnels(_)) => return Err(Unfound::because(DropReason::Transit.into())),
            Some(Route::Blackhole) => return Err(Unfound::because(DropReason::Blackhole.into())),
            Some(Route::Reject) => {
                return Err(Unfound::because(Refused::from(DropReason::Rejected).told(Report::Prohibited)));
            }
            None => return Err(no_route()),
        };
        match attachment.link(inner.destination) {
            Some(Ok(link)) => Ok(Way::Attachment(OutOf { port: attachment.port, link })),
            Some(Err(address)) => Err(Unfound {
                refused: DropReason::NeighbourUnresolved.into(),
                // Where the kernel knows no neighbours, its question would go to another network.
                ask_for: (!attachment.learns).then_some(Unresolved { port: attachment.port, address }),
            }),
            None => Err(Unfound::because(Refused::from(DropReason::NoKernelRoute).told(Report::NoRoute))),
        }
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
