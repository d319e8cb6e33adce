//! What comes from the WAN: ESP of an association, IKE, fragments, and what is for nobody.

use std::net::SocketAddr;
use std::time::Instant;

use arrayvec::ArrayVec;
use port::BATCH;
use tables::{Inbound, SaSlot};
use wire::esp::Encapsulated;
use wire::udp::{Datagram, IKE_PORT, NAT_TRAVERSAL_PORT};
use wire::{Malformed, Packet, Protocol, ip};

use crate::DropReason;
use crate::frame::carried;
use crate::handle::{Bytes, IkeDatagram};
use crate::last::Last;
use crate::stage::Stopwatch;
use crate::tally::Tally;
use crate::turn::{Turn, are_scattered};

/// An ESP packet whose association is known.
pub(crate) struct Sealed<'a> {
    pub(super) inbound: &'a Inbound,
    pub(super) slot: SaSlot,
    pub(super) esp: Esp<'a>,
}

/// An ESP packet where it lies.
#[derive(Clone, Copy)]
pub(super) struct Esp<'a> {
    /// The outer packet, to the end of ESP; and bytes in it in front of ESP.
    pub(super) outer: &'a [u8],
    before: u16,
    /// The outer packet's.
    pub(super) traffic_class: u8,
}

impl<'a> Esp<'a> {
    /// From its header on.
    #[inline(always)]
    pub(super) fn bytes(&self) -> &'a [u8] {
        self.outer.get(usize::from(self.before)..).unwrap_or_default()
    }
}

pub(crate) type Batch<'a> = ArrayVec<Sealed<'a>, BATCH>;

/// Finds the association of every packet received from the WAN, and takes those that have one into the batch. IKE goes to
/// control, fragments to `reassemble`, which gives them their verdicts; what is neither is dropped.
pub(crate) fn classify<'a, 's: 'a, W: Stopwatch>(
    batch: &mut Batch<'a>,
    frames: impl Iterator<Item = &'a mut [u8]>,
    turn: &mut Turn<'s, W>,
    mut reassemble: impl FnMut(&Packet<'_>, Instant, &mut Tally<'s>),
) {
    let mut sorting = Sorting { sealed: ArrayVec::new(), before: 0, runs: 0 };
    for frame in frames {
        match carried(frame) {
            Ok((_, packet)) if ip::is_v6(packet) => sorting.take(content_v6(packet), turn, &mut reassemble),
            Ok((_, packet)) => sorting.take(content(Packet::parse_v4(packet)), turn, &mut reassemble),
            Err(reason) => turn.tally.drop(reason),
        }
    }
    turn.scattered = are_scattered(sorting.runs, turn.snapshot.inbound.slots());
    let mut last = Last::new();
    for &(spi, esp) in &sorting.sealed {
        match association(spi, &mut last, turn) {
            Ok((slot, inbound)) => batch.push(Sealed { inbound, slot, esp }),
            Err(reason) => turn.tally.drop(reason),
        }
    }
    if turn.scattered {
        batch.iter().for_each(|sealed| sealed.inbound.sa.prefetch_window(sealed.esp.bytes()));
    }
}

/// What is not cached of many associations is asked for a link of the chain at a time: the entry, the association with its
/// key, the window's word.
struct Sorting<'a> {
    sealed: ArrayVec<(u32, Esp<'a>), BATCH>,
    /// The index of the packet before, and how often it changed.
    before: u32,
    runs: usize,
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
        if turn.scattered {
            found.1.sa.prefetch();
        }
        // Control names a port that does not exist where the gateway has no attachment.
        if found.1.expected.position() < turn.snapshot.ports.len() { Ok(found) } else { Err(DropReason::NoRoute) }
    })
}
