//! What becomes of a packet that was opened.

use esp::Opened;
use tables::{GatewayIndex, PortIndex, Route, Snapshot, Traffic, Unresolved};
use wire::ecn::{self, Ecn};
use wire::icmp::Report;
use wire::{Address, LinkHeader, Packet, Protocol, ip};

use super::classify::{Association, Batch, Esp};
use crate::last::Last;
use crate::stage::Stopwatch;
use crate::turn::{Origin, OutOf, Refused, Turn};
use crate::{DropReason, segment};

/// Where a packet was opened to, and what is to be said of it.
pub(super) struct Place<'p> {
    /// It stands behind room for a link header.
    pub(super) frame: &'p mut [u8],
    /// Bytes of the frame that are sent.
    pub(super) length: &'p mut u16,
    /// Why it is dropped although it was accepted.
    pub(super) dropped: &'p mut Option<DropReason>,
}

impl<'p> Place<'p> {
    #[inline(always)]
    pub(super) fn of(((frame, length), dropped): ((&'p mut [u8], &'p mut u16), &'p mut Option<DropReason>)) -> Self {
        Self { frame, length, dropped }
    }
}

/// Gives IP packets their verdicts that do not go straight on through `port`, in whose frames they stand: of those that were opened
/// these others; limits have admitted some of them. There is a place for each that was opened.
#[inline(never)]
pub(super) fn deliver_others<'p, W: Stopwatch>(
    batch: &Batch<'_>,
    (opened, admitted, others): (u64, u64, u64),
    port: PortIndex,
    mut places: impl Iterator<Item = Place<'p>>,
    turn: &mut Turn<'_, W>,
    mut elsewhere: impl FnMut(PortIndex, &[u8]) -> Result<(), DropReason>,
) {
    let mut last = Last::new();
    for (association, packets) in batch.runs(port) {
        let Association { inbound, slot } = association;
        for esp in packets.iter().filter(|esp| esp.is_among(opened)) {
            let Some(Place { frame, length, dropped }) = places.next() else { return };
            if !esp.is_among(others) {
                continue;
            }
            // What is refused here was dropped before, and is not among these.
            let Ok(opened) = Opened::of(esp.text(frame, association.opening())) else { continue };
            turn.tally.protect(slot, 1, opened.length as u64);
            match deliver(association, (esp, esp.is_among(admitted)), opened, frame, &mut last, turn) {
                Ok((Delivery::To(leaving), framed)) if leaving == port => {
                    *length = framed as u16;
                    turn.tally.transmit(1);
                }
                Ok((Delivery::To(leaving), framed)) => {
                    match elsewhere(leaving, frame.get(..framed).unwrap_or_default()) {
                        Ok(()) => turn.tally.transmit(1),
                        Err(reason) => {
                            *dropped = Some(reason);
                            turn.tally.drop_of(slot, reason);
                        }
                    }
                }
                Ok((Delivery::Passed, _)) => turn.tally.pass(),
                Err(refused) => {
                    *dropped = Some(refused.reason);
                    let packet = frame.get(inbound.content_start()..).and_then(|rest| rest.get(..opened.length));
                    turn.refuse(refused, inbound.gateway, Origin::Tunnel(inbound.tunnel), packet.unwrap_or_default());
                }
            }
        }
    }
}

/// Where an opened packet goes.
enum Delivery {
    /// Out of this port: its frame is complete.
    To(PortIndex),
    /// To control.
    Passed,
}

/// Checks an opened packet and completes its frame, whose length is returned.
#[inline(never)]
fn deliver<W: Stopwatch>(
    association: Association<'_>,
    (esp, admitted): (&Esp<'_>, bool),
    opened: Opened,
    frame: &mut [u8],
    last: &mut Last<(GatewayIndex, Address), ()>,
    turn: &mut Turn<'_, W>,
) -> Result<(Delivery, usize), Refused> {
    if opened.next_header == Protocol::IPV6 {
        deliver_as::<true, W>(association, (esp, admitted), opened.length, frame, last, turn)
    } else {
        deliver_as::<false, W>(association, (esp, admitted), opened.length, frame, last, turn)
    }
}

#[inline(always)]
fn deliver_as<const V6: bool, W: Stopwatch>(
    association: Association<'_>,
    (esp, admitted): (&Esp<'_>, bool),
    length: usize,
    frame: &mut [u8],
    last: &mut Last<(GatewayIndex, Address), ()>,
    turn: &mut Turn<'_, W>,
) -> Result<(Delivery, usize), Refused> {
    let (Association { inbound, slot }, traffic_class) = (association, esp.traffic_class);
    match inbound.traffic {
        Traffic::Free => {}
        Traffic::Limited if admitted || turn.admits(inbound.tunnel, |limits| &limits.inbound, length) => {}
        Traffic::Limited => return Err(DropReason::RateLimited.of(slot)),
        Traffic::Paused => return Err(DropReason::TunnelPaused.of(slot)),
    }
    let start = inbound.content_start();
    let content = frame.get(start..).and_then(|rest| rest.get(..length)).unwrap_or_default();
    // RFC 4303 §3.4.4.1: next header and version are of one mind.
    let inner = Packet::parse_of::<V6>(content).map_err(|_| DropReason::MalformedInner.of(slot))?;
    if !inbound.selectors.allow_inbound(&inner) {
        return Err(DropReason::OutsideSelectors.of(slot));
    }
    if inbound.reverse_path {
        let source = (inbound.gateway, inner.source);
        last.find(source, || may_come(turn.snapshot, source)).map_err(|reason| reason.of(slot))?;
    }
    let length = inner.bytes.len();
    let segment = segment::start(&inner, inbound.segments);
    let (hops, class) = (inner.hops, inner.traffic_class);
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
    let (_, packet) = frame.split_at_mut(start);
    let packet = &mut packet[..length];
    // RFC 6040 §4.2: only these two of the four change anything.
    if traffic_class & 1 != 0 {
        let marked = ecn::decapsulate(Ecn::of(traffic_class), Ecn::of(class));
        let marked = marked.map_err(|_| DropReason::CongestionUnknown.of(slot))?;
        ip::set_traffic_class(packet, marked.on(class));
    }
    ip::decrement_hops_of::<V6>(packet);
    segment::hold::<V6>(packet, segment, inbound.segments);
    Ok((Delivery::To(way.port), put_behind(&way.link, frame, (start, length))))
}

/// Puts a link header in front of the packet of so many bytes that was opened to `start`, and returns the frame's length. Where another
/// header was expected, the packet is moved.
#[inline(always)]
pub(super) fn put_behind(link: &LinkHeader, frame: &mut [u8], (start, length): (usize, usize)) -> usize {
    let front = link.bytes().len();
    if front != start {
        frame.copy_within(start..start + length, front);
    }
    // By sizes that are known, for which no function is called.
    if let Some(link) = link.untagged() {
        *frame.first_chunk_mut().expect("room for a link header") = *link;
    } else if let Some(link) = link.tagged() {
        *frame.first_chunk_mut().expect("room for a link header") = *link;
    }
    front + length
}

/// A packet out of a tunnel may come from where the gateway's routes do not lead to our own side.
pub(super) fn may_come(snapshot: &Snapshot, (gateway, source): (GatewayIndex, Address)) -> Result<(), DropReason> {
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
