//! From a peer to a VPC: classify, find the association, open, check, route, deliver.

use std::net::SocketAddr;

use arrayvec::ArrayVec;
use crossbeam_queue::ArrayQueue;
use esp::{Admitted, Opened, Opening, Refusal, Stale};
use port::{BATCH, Receive, Transmit};
use tables::{Inbound, LinkHeader, PortIndex, Route, SaSlot, Snapshot, Unresolved};
use wire::esp::Encapsulated;
use wire::udp::{Datagram, IKE_PORT, NAT_TRAVERSAL_PORT};
use wire::{Link, Packet, Protocol};

use crate::DropReason;
use crate::handle::{Bytes, IkeDatagram};
use crate::outbound::packet;
use crate::tally::Tally;

/// An ESP packet whose association is known.
pub(crate) struct Sealed<'a> {
    admitted: Admitted<'a>,
    slot: SaSlot,
    inbound: &'a Inbound,
    /// The port whose frames it is opened into.
    expected: PortIndex,
}

pub(crate) type Batch<'a> = ArrayVec<Sealed<'a>, BATCH>;

/// Finds the association of every packet received from the WAN. IKE goes to control; what is neither is dropped.
pub(crate) fn classify<'a>(
    rx: &'a impl Receive,
    count: usize,
    snapshot: &'a Snapshot,
    ike: &ArrayQueue<IkeDatagram>,
    tally: &mut Tally<'_>,
) -> Batch<'a> {
    let mut batch = Batch::new();
    for position in 0..count {
        match content(rx.frame(position)) {
            Ok(Content::Esp(esp)) => match association(esp, snapshot) {
                Ok(sealed) => batch.push(sealed),
                Err((None, reason)) => tally.drop(reason),
                Err((Some(slot), reason)) => tally.drop_of(slot, reason),
            },
            Ok(Content::Ike(datagram)) => match ike.push(datagram) {
                Ok(()) => tally.pass(),
                Err(_) => tally.drop(DropReason::ControlQueueFull),
            },
            Err(reason) => tally.drop(reason),
        }
    }
    batch
}

// IKE stands inline and is large: it is rare, and the worker does not allocate for it.
#[allow(clippy::large_enum_variant)]
enum Content<'a> {
    Esp(&'a [u8]),
    Ike(IkeDatagram),
}

fn content(frame: &[u8]) -> Result<Content<'_>, DropReason> {
    let outer = packet(frame)?;
    if outer.fragment {
        return Err(DropReason::OuterFragment);
    }
    match outer.protocol {
        Protocol::ESP => return Ok(Content::Esp(outer.payload())),
        Protocol::UDP => {}
        _ => return Err(DropReason::NotForGateway),
    }
    let datagram = Datagram::parse(outer.payload()).map_err(|_| DropReason::MalformedUdp)?;
    let message = match datagram.destination {
        IKE_PORT => datagram.payload,
        NAT_TRAVERSAL_PORT => match Encapsulated::parse(datagram.payload) {
            Encapsulated::Esp(esp) => return Ok(Content::Esp(esp)),
            Encapsulated::Keepalive => return Err(DropReason::NatKeepalive),
            Encapsulated::Ike(message) => message,
        },
        _ => return Err(DropReason::NotForGateway),
    };
    Ok(Content::Ike(IkeDatagram {
        source: SocketAddr::new(outer.source, datagram.source),
        destination: SocketAddr::new(outer.destination, datagram.destination),
        message: Bytes::try_from(message).map_err(|_| DropReason::IkeTooLong)?,
    }))
}

fn association<'a>(esp: &'a [u8], snapshot: &'a Snapshot) -> Result<Sealed<'a>, (Option<SaSlot>, DropReason)> {
    let (spi, _) = wire::esp::header(esp).ok_or((None, DropReason::MalformedEsp))?;
    let (slot, inbound) = snapshot.inbound(spi).ok_or((None, DropReason::UnknownSpi))?;
    let expected = snapshot.attachments.get(inbound.expected.position()).ok_or((Some(slot), DropReason::NoRoute))?.port;
    let admitted = inbound.sa.admit(esp).map_err(|refusal| (Some(slot), refused(refusal)))?;
    Ok(Sealed { admitted, slot, inbound, expected })
}

/// Opens those packets of the batch that are expected to leave through `port` into its frames, and hands over those
/// that do. The others, which stand in the wrong port's frames, are offered to `elsewhere` as whole frames.
pub(crate) fn open<'a>(
    batch: &'a Batch<'a>,
    port: PortIndex,
    tx: &mut impl Transmit,
    snapshot: &Snapshot,
    unresolved: &ArrayQueue<Unresolved>,
    tally: &mut Tally<'_>,
    mut elsewhere: impl FnMut(PortIndex, &[u8]) -> Result<(), DropReason>,
) {
    let wanted = batch.iter().filter(|sealed| sealed.expected == port).count();
    if wanted == 0 {
        return;
    }
    let reserved = tx.reserve(wanted);
    let room = tx.capacity() - Link::UNTAGGED;
    let mut opening = Opening::default();
    let mut pushed: ArrayVec<&Sealed<'_>, BATCH> = ArrayVec::new();
    let mut frames = tx.frames().take(reserved);
    for sealed in batch.iter().filter(|sealed| sealed.expected == port) {
        if sealed.admitted.opened_length() > room {
            tally.drop_of(sealed.slot, DropReason::TooLong);
            continue;
        }
        let Some(frame) = frames.next() else {
            tally.drop_of(sealed.slot, DropReason::TransmitRingFull);
            continue;
        };
        opening.push(sealed.admitted, &mut frame[Link::UNTAGGED..]);
        pushed.push(sealed);
    }
    drop(frames);
    let results: ArrayVec<Result<Opened, Refusal>, BATCH> = opening.finish().collect();

    let mut lengths = [0; BATCH];
    let mut last = None;
    for (((sealed, result), frame), length) in pushed.iter().zip(results).zip(tx.frames()).zip(&mut lengths) {
        let verdict = result.map_err(refused).and_then(|opened| {
            let (header, rest) = frame.split_at_mut(Link::UNTAGGED);
            let inner = inner(rest.get(..opened.length).unwrap_or_default(), opened.next_header)?;
            tally.protect(sealed.slot, 1, inner.bytes.len() as u64);
            if !sealed.inbound.selectors.allow_inbound(&inner) {
                return Err(DropReason::OutsideSelectors);
            }
            let way = (sealed.inbound.gateway, inner.destination);
            // Packets of one flow come in runs, and a run is looked up once.
            let (leaving, link) = match last {
                Some((last, found)) if last == way => found,
                Some(_) | None => deliver(sealed.inbound, &inner, snapshot, unresolved)?,
            };
            last = Some((way, (leaving, link)));
            header.copy_from_slice(&link.0);
            let framed = Link::UNTAGGED + inner.bytes.len();
            if leaving == port {
                *length = framed as u16;
                return Ok(());
            }
            elsewhere(leaving, frame.get(..framed).unwrap_or_default())
        });
        match verdict {
            Ok(()) => tally.transmit(),
            Err(reason) => tally.drop_of(sealed.slot, reason),
        }
    }
    tx.commit(&lengths[..reserved]);
}

/// RFC 4303 §3.4.4.1: what an opened packet carries, its next header and its version being of one mind.
fn inner(content: &[u8], next_header: Protocol) -> Result<Packet<'_>, DropReason> {
    match next_header {
        Protocol::NONE => return Err(DropReason::DummyPacket),
        Protocol::IPV4 | Protocol::IPV6 => {}
        _ => return Err(DropReason::UnexpectedNextHeader),
    }
    let inner = Packet::parse(content).map_err(|_| DropReason::MalformedInner)?;
    if inner.tunnel_protocol() == next_header { Ok(inner) } else { Err(DropReason::MalformedInner) }
}

/// The port through which an inner packet leaves, and its link header.
fn deliver<'a>(
    inbound: &Inbound,
    inner: &Packet<'_>,
    snapshot: &'a Snapshot,
    unresolved: &ArrayQueue<Unresolved>,
) -> Result<(PortIndex, &'a LinkHeader), DropReason> {
    let attachment = match snapshot.route(inbound.gateway, inner.destination) {
        Some(Route::Attachment(index)) => snapshot.attachments.get(index.position()).ok_or(DropReason::NoRoute)?,
        Some(Route::Tunnels(_)) => return Err(DropReason::Transit),
        Some(Route::Blackhole | Route::Reject) | None => return Err(DropReason::NoRoute),
    };
    let link = attachment.link(inner.destination).ok_or(DropReason::NoKernelRoute)?.map_err(|address| {
        // A full queue holds enough to ask for; the packet's sender will try again.
        let _ = unresolved.push(Unresolved { port: attachment.port, address });
        DropReason::NeighbourUnresolved
    })?;
    Ok((attachment.port, link))
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
