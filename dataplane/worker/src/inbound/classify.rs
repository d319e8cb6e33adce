//! What comes from the WAN: ESP of an association, IKE, fragments, and what is for nobody.

use std::net::SocketAddr;
use std::time::Instant;

use arrayvec::ArrayVec;
use port::BATCH;
use tables::{Inbound, PortIndex, SaSlot, Traffic};
use wire::esp::Encapsulated;
use wire::udp::{Datagram, IKE_PORT, NAT_TRAVERSAL_PORT};
use wire::{Malformed, Packet, Protocol, ip};

use crate::DropReason;
use crate::frame::carried;
use crate::handle::{Bytes, IkeDatagram};
use crate::mix::Mix;
use crate::stage::Stopwatch;
use crate::tally::Tally;
use crate::turn::Turn;

/// An association in its place.
#[derive(Clone, Copy)]
pub(super) struct Association<'a> {
    pub(super) inbound: &'a Inbound,
    pub(super) slot: SaSlot,
}

impl Association<'_> {
    /// What [`Esp::text`] goes by.
    #[inline(always)]
    pub(super) fn opening(&self) -> (usize, usize) {
        (self.inbound.content_start(), self.inbound.sa.overhead())
    }
}

/// An ESP packet where it lies.
#[derive(Clone, Copy)]
pub(super) struct Esp<'a> {
    /// From the ESP header on.
    pub(super) bytes: &'a [u8],
    /// The outer packet, to the end of ESP.
    pub(super) outer: &'a [u8],
    /// The outer packet's.
    pub(super) traffic_class: u8,
    /// Its place among those that came.
    pub(super) place: u8,
    spi: u32,
}

impl Esp<'_> {
    /// Whether its bit is set, of those that stand for the packets of the batch.
    #[inline(always)]
    pub(super) fn is_among(&self, bits: u64) -> bool {
        bits >> self.place & 1 != 0
    }

    /// What was opened of it, from `start` in this frame on, where so many of its bytes are no ciphertext: there are as many, or it was
    /// not opened.
    #[inline(always)]
    pub(super) fn text<'f>(&self, frame: &'f [u8], (start, overhead): (usize, usize)) -> &'f [u8] {
        frame.get(start..).and_then(|rest| rest.get(..self.bytes.len() - overhead)).unwrap_or_default()
    }
}

/// ESP packets in runs of one association: as they came, or put in order.
#[derive(Default)]
pub(crate) struct Batch<'a> {
    /// As they came.
    came: ArrayVec<Esp<'a>, BATCH>,
    /// The same in order, if that is another one.
    in_order: ArrayVec<Esp<'a>, BATCH>,
    runs: Runs<'a>,
    mix: Mix,
    /// Whether the tunnel of one of them is limited.
    limited: bool,
}

/// Packets in a row with one index.
struct Run<'a> {
    spi: u32,
    start: usize,
    end: usize,
    /// `None` until it is found, and if there is none.
    association: Option<Association<'a>>,
}

impl<'a> Run<'a> {
    /// Its association, if its packets are expected to leave through this port.
    #[inline(always)]
    fn through(&self, port: PortIndex) -> Option<Association<'a>> {
        self.association.filter(|association| association.inbound.expected == port)
    }
}

/// All packets are in one of them, one run after the other.
type Runs<'a> = ArrayVec<Run<'a>, BATCH>;

/// Adds the next packet to the last run, or begins one with it. Whether it did.
#[inline(always)]
fn extend(runs: &mut Runs<'_>, spi: u32) -> bool {
    let start = match runs.last_mut() {
        Some(run) if run.spi == spi => {
            run.end += 1;
            return false;
        }
        Some(run) => run.end,
        None => 0,
    };
    runs.push(Run { spi, start, end: start + 1, association: None });
    true
}

impl<'a> Batch<'a> {
    /// Adds a packet. Whether a run begins with it, which is not asked where it cannot be foreseen: runs are then made in
    /// [`Batch::put_in_order`].
    #[inline(always)]
    fn push(&mut self, spi: u32, esp: Esp<'a>, foreseen: bool) -> bool {
        let changed = !foreseen && self.came.last().is_none_or(|last| last.spi != spi);
        self.came.push(Esp { place: self.came.len() as u8, spi, ..esp });
        if foreseen {
            let begins = extend(&mut self.runs, spi);
            if begins {
                self.mix.add(SaSlot::of(spi), true);
            }
            return begins;
        }
        self.mix.add(SaSlot::of(spi), changed);
        false
    }

    /// Puts packets of few associations that came mixed in order; whether these are such. From then on all are in runs.
    #[inline(always)]
    fn put_in_order(&mut self, foreseen: bool) -> bool {
        let order = self.mix.order(self.came.iter().map(|esp| SaSlot::of(esp.spi)));
        let mixed = order.is_some();
        if let Some(order) = order {
            order.places().for_each(|place| self.in_order.push(self.came[place]));
        } else if foreseen {
            return false;
        }
        self.runs.clear();
        let packets = if mixed { &self.in_order } else { &self.came };
        packets.iter().for_each(|esp| {
            extend(&mut self.runs, esp.spi);
        });
        mixed
    }

    /// The packets of one of its runs.
    #[inline(always)]
    fn of_run(&self, run: &Run<'_>) -> &[Esp<'a>] {
        let packets = if self.in_order.is_empty() { &self.came } else { &self.in_order };
        packets.get(run.start..run.end).unwrap_or_default()
    }

    /// Packets in a row of one association that are expected to leave through a port.
    #[inline(always)]
    pub(super) fn runs(&self, port: PortIndex) -> impl Iterator<Item = (Association<'a>, &[Esp<'a>])> {
        self.runs.iter().filter_map(move |run| Some((run.through(port)?, self.of_run(run))))
    }

    /// Whether the tunnel of one of them is limited.
    pub(super) fn is_limited(&self) -> bool {
        self.limited
    }

    /// How many packets these are.
    #[inline(always)]
    pub(super) fn count(&self, port: PortIndex) -> usize {
        self.runs.iter().filter(|run| run.through(port).is_some()).map(|run| run.end - run.start).sum()
    }

    /// Each of them.
    #[inline(always)]
    pub(super) fn packets(&self, port: PortIndex) -> impl Iterator<Item = (Association<'a>, &Esp<'a>)> {
        self.runs(port).flat_map(|(association, packets)| packets.iter().map(move |esp| (association, esp)))
    }
}

const _: () = assert!(BATCH <= u64::BITS as usize);

/// Finds the association of every packet received from the WAN, and takes those that have one into the batch. IKE goes to
/// control, fragments to `reassemble`, which gives them their verdicts; what is neither is dropped.
///
/// What is not cached of many associations is asked for a link of the chain at a time: the entry, the association with its
/// key, the window's word.
pub(crate) fn classify<'a, 's: 'a, W: Stopwatch>(
    batch: &mut Batch<'a>,
    frames: impl Iterator<Item = &'a mut [u8]>,
    turn: &mut Turn<'s, W>,
    mut reassemble: impl FnMut(&Packet<'_>, Instant, &mut Tally<'s>),
) {
    for frame in frames {
        match carried(frame) {
            Ok((_, packet)) if ip::is_v6(packet) => take(content_v6(packet), batch, turn, &mut reassemble),
            Ok((_, packet)) => take(content(Packet::parse_v4(packet)), batch, turn, &mut reassemble),
            Err(reason) => turn.tally.drop(reason),
        }
    }
    turn.scattered = batch.mix.is_scattered(turn.snapshot.inbound.slots());
    turn.outlook.mixed = batch.put_in_order(!turn.outlook.mixed);
    let packets = if batch.in_order.is_empty() { &batch.came } else { &batch.in_order };
    for run in &mut batch.runs {
        match association(run.spi, packets.get(run.start), turn) {
            Ok(association) => {
                batch.limited |= association.inbound.traffic == Traffic::Limited;
                run.association = Some(association);
            }
            Err(reason) => (run.start..run.end).for_each(|_| turn.tally.drop(reason)),
        }
    }
    if turn.scattered {
        for run in &batch.runs {
            let Some(Association { inbound, slot }) = run.association else { continue };
            turn.tally.prefetch(slot);
            batch.of_run(run).iter().for_each(|esp| inbound.sa.prefetch_window(esp.bytes));
        }
    }
}

#[inline(always)]
fn take<'a, 's, W: Stopwatch>(
    content: Result<Content<'a>, DropReason>,
    batch: &mut Batch<'a>,
    turn: &mut Turn<'s, W>,
    reassemble: &mut impl FnMut(&Packet<'_>, Instant, &mut Tally<'s>),
) {
    match content {
        Ok(Content::Esp(esp)) => match wire::esp::header(esp.bytes) {
            Some((spi, _)) if batch.push(spi, esp, !turn.outlook.mixed) => turn.snapshot.prefetch_inbound(spi),
            Some(_) => {}
            None => turn.tally.drop(DropReason::MalformedEsp),
        },
        Ok(Content::Ike { outer, datagram, message }) => pass_ike(&outer, &datagram, message, turn),
        Ok(Content::Fragment(outer)) => reassemble(&outer, turn.now(), &mut turn.tally),
        Err(reason) => turn.tally.drop(reason),
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
            return Ok(Content::Esp(Esp {
                bytes: outer.payload(),
                outer: outer.bytes,
                traffic_class,
                place: 0,
                spi: 0,
            }));
        }
        Protocol::UDP => {}
        _ => return Err(DropReason::NotForGateway),
    }
    let datagram = Datagram::parse(outer.payload()).map_err(|_| DropReason::MalformedUdp)?;
    let message = match datagram.destination {
        IKE_PORT => datagram.payload,
        NAT_TRAVERSAL_PORT => match Encapsulated::parse(datagram.payload) {
            Encapsulated::Esp(bytes) => {
                // A packet may be longer than the datagram in it.
                let length = outer.header_length + wire::udp::HEADER + bytes.len();
                let outer = outer.bytes.get(..length).unwrap_or_default();
                return Ok(Content::Esp(Esp { bytes, outer, traffic_class, place: 0, spi: 0 }));
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
    first: Option<&Esp<'_>>,
    turn: &Turn<'a, W>,
) -> Result<Association<'a>, DropReason> {
    let (slot, inbound) = turn.snapshot.inbound(spi).ok_or(DropReason::UnknownSpi)?;
    if turn.scattered
        && let Some(esp) = first
    {
        inbound.sa.prefetch(esp.bytes.len());
    }
    // Control names a port that does not exist where the gateway has no attachment.
    if inbound.expected.position() >= turn.snapshot.ports.len() {
        return Err(DropReason::NoRoute);
    }
    Ok(Association { inbound, slot })
}
