//! What the stages of one batch share.

use std::cell::Cell;
use std::time::Instant;

use arrayvec::ArrayVec;
use tables::{
    AttachmentIndex, Direction, GatewayIndex, PortIndex, RateLimit, SaSlot, Seen, Snapshot, TunnelIndex, TunnelLimits,
    Unresolved,
};
use wire::LinkHeader;
use wire::icmp::Report;

use crate::hand_over::HandOver;
use crate::handle::{Bytes, HostPacket, Shared};
use crate::mix::Outlook;
use crate::recent::Recent;
use crate::stage::{Stage, Stopwatch};
use crate::tally::Tally;
use crate::{DropReason, capture};

/// Bytes of a packet that a sender is told about: what an ICMPv6 error quotes, and more than one of ICMP.
const MOST_QUOTED: usize = 1280;

/// What the stages of one batch share.
pub(crate) struct Turn<'a, W> {
    pub(crate) snapshot: &'a Snapshot,
    pub(crate) shared: &'a Shared,
    pub(crate) tally: Tally<'a>,
    /// The time, once somebody has asked for it: one batch is one moment.
    clock: Cell<Option<Instant>>,
    /// What is expected of the next batch of this direction; until it is said, of this one.
    pub(crate) outlook: &'a mut Outlook,
    /// Whether this batch's packets are most likely of so many associations that little of these is cached. Each stage then asks for
    /// what the next one reads: what is asked for in one go is waited for, and beside other work it comes in the meantime.
    pub(crate) scattered: bool,
    /// Ways found lately, of packets from peers.
    pub(crate) ways: &'a mut Recent<OutOf>,
    pub(crate) hand_over: &'a mut HandOver,
    /// The worker's place among all of them.
    pub(crate) worker: usize,
    watch: &'a mut W,
}

/// What a worker keeps from batch to batch.
pub(crate) struct Memory {
    /// By direction.
    outlooks: [Outlook; 2],
    pub(crate) ways: Recent<OutOf>,
    pub(crate) hand_over: HandOver,
    worker: usize,
}

impl Memory {
    /// Of the worker with this place among all of them.
    pub(crate) fn new(worker: usize) -> Self {
        Self { outlooks: Default::default(), ways: Recent::new(), hand_over: HandOver::none(), worker }
    }

    #[inline(always)]
    pub(crate) fn renew(&mut self, version: u64) {
        self.ways.renew(version);
    }
}

/// Out of an attachment's port, behind this link header.
#[derive(Clone)]
pub(crate) struct OutOf {
    pub(crate) port: PortIndex,
    pub(crate) link: LinkHeader,
}

impl<'a, W: Stopwatch> Turn<'a, W> {
    /// The turn of a batch of so many packets, which were just received.
    pub(crate) fn new(
        (snapshot, shared): (&'a Snapshot, &'a Shared),
        (memory, direction): (&'a mut Memory, Direction),
        received: usize,
        watch: &'a mut W,
    ) -> Self {
        watch.ended(Stage::Receive);
        let Memory { outlooks, ways, hand_over, worker } = memory;
        let outlook = &mut outlooks[direction as usize];
        let (tally, clock) = (Tally::new(&shared.counters, received), Cell::new(None));
        Self { snapshot, shared, tally, clock, outlook, scattered: false, ways, hand_over, worker: *worker, watch }
    }

    #[inline]
    pub(crate) fn ended(&mut self, stage: Stage) {
        self.watch.ended(stage);
    }

    /// Asks for a neighbour. A full queue holds enough to ask for; the packet's sender will try again.
    #[cold]
    pub(crate) fn ask_for(&self, neighbour: Unresolved) {
        let _ = self.shared.unresolved.push(neighbour);
    }

    /// Tells of a neighbour. What a full queue does not take comes again with its next packet.
    #[cold]
    pub(crate) fn tell_seen(&self, neighbour: Seen) {
        let _ = self.shared.seen.push(neighbour);
    }

    /// When the batch is worked on. The clock is read for the first that asks.
    pub(crate) fn now(&self) -> Instant {
        let now = self.clock.get().unwrap_or_else(Instant::now);
        self.clock.set(Some(now));
        now
    }

    /// Whether a tunnel may carry so many bytes more in one direction.
    #[inline(never)]
    pub(crate) fn admits(&self, tunnel: TunnelIndex, limit: fn(&TunnelLimits) -> &RateLimit, bytes: usize) -> bool {
        let now = self.now();
        self.snapshot.limits.get(tunnel.position()).is_none_or(|limits| limit(limits).admit(bytes, now))
    }

    /// Hands a packet to its gateway's own host.
    #[cold]
    pub(crate) fn pass(&self, gateway: GatewayIndex, packet: &[u8]) -> Result<(), DropReason> {
        let packet = Bytes::try_from(packet).map_err(|_| DropReason::TooLong)?;
        self.shared.to_host.push(HostPacket { gateway, packet }).map_err(|_| DropReason::ControlQueueFull)
    }

    /// Drops a packet that the association in `slot` was to seal.
    #[cold]
    pub(crate) fn drop_unsealed(&mut self, slot: SaSlot, reason: DropReason, inner: &[u8]) {
        self.tally.drop_of(slot, reason);
        if let Some(capture) = &self.snapshot.capture {
            capture::unsealed(capture, slot, inner, reason);
        }
    }

    /// Drops a packet that the association in `slot` was to open.
    #[cold]
    pub(crate) fn drop_unopened(&mut self, slot: SaSlot, reason: DropReason, outer: &[u8]) {
        self.tally.drop_of(slot, reason);
        if let Some(capture) = &self.snapshot.capture {
            capture::unopened(capture, slot, outer, reason);
        }
    }

    /// Drops a packet, and has its sender told if there is something to tell.
    #[cold]
    pub(crate) fn refuse(&mut self, refused: Refused, gateway: GatewayIndex, origin: Origin, packet: &[u8]) {
        match (refused.slot, origin) {
            (Some(slot), Origin::Vpc(_) | Origin::Host) => self.drop_unsealed(slot, refused.reason, packet),
            (Some(slot), Origin::Tunnel(_)) => self.tally.drop_of(slot, refused.reason),
            (None, _) => self.tally.drop(refused.reason),
        }
        if let Some(report) = refused.report {
            let quoted = packet.iter().copied().take(MOST_QUOTED).collect();
            // Errors are limited in rate anyway.
            let _ = self.shared.notices.push(Notice { report, gateway, origin, packet: quoted });
        }
    }
}

/// Why a packet is dropped, and who is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) reason: DropReason,
    /// The association that it was for, where that is known.
    pub(crate) slot: Option<SaSlot>,
    /// What its sender is told.
    pub(crate) report: Option<Report>,
}

impl From<DropReason> for Refused {
    #[inline]
    fn from(reason: DropReason) -> Self {
        Self { reason, slot: None, report: None }
    }
}

impl DropReason {
    #[inline]
    pub(crate) fn of(self, slot: SaSlot) -> Refused {
        Refused { reason: self, slot: Some(slot), report: None }
    }
}

impl Refused {
    #[inline]
    pub(crate) fn told(self, report: Report) -> Self {
        Self { report: Some(report), ..self }
    }
}

/// A packet that was not sent on, and whose sender is to be told why (RFC 1812 §4.3.1, RFC 4443 §3).
#[derive(Debug, Clone)]
pub struct Notice {
    /// What to tell.
    pub report: Report,
    /// The gateway that tells.
    pub gateway: GatewayIndex,
    /// Where the packet came from.
    pub origin: Origin,
    packet: ArrayVec<u8, MOST_QUOTED>,
}

impl Notice {
    /// The packet, or as much of it as an error quotes.
    #[must_use]
    pub fn packet(&self) -> &[u8] {
        &self.packet
    }
}

/// Where a packet came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// From a VPC, through this attachment.
    Vpc(AttachmentIndex),
    /// From a peer, through this tunnel.
    Tunnel(TunnelIndex),
    /// From the gateway's own host.
    Host,
}
