//! What a worker counts, and control reads.
//!
//! Each counter has one writer, its worker, so counting is a load and a store and never a locked instruction.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use tables::SaSlot;
use zerocopy::FromZeros;

use crate::DropReason;

/// A worker's totals since it started, at one moment.
///
/// Between two batches `received + split == transmitted + passed + dropped + merged`, and `dropped` is the sum of `drops`.
///
/// `split` and `merged` are where packets come to be and cease to be. A fragment that is held is merged at once. What
/// becomes of its packet is a verdict of its own:
/// - the fragment that completes the packet is not merged, but has the verdict of the whole: of n fragments, n - 1 are merged;
/// - the fragment that overlaps is dropped, and so are those that follow it;
/// - a packet that is given up with nothing arriving, for its time or its room is over, comes to be, incomplete, and is
///   dropped: one in `split`, one in `drops`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counters {
    /// Packets taken from ports, and packets of a gateway's own host that were dropped.
    pub received: u64,
    /// Packets of those that were handed to a port to be sent.
    pub transmitted: u64,
    /// Packets of those that went to control.
    pub passed: u64,
    /// Packets of those that were dropped.
    pub dropped: u64,
    /// Packets that came to be without being received: when others were fragmented, the pieces but for the first of each; and
    /// incomplete ones that were given up.
    pub split: u64,
    /// Fragments that were held, to be part of a larger packet.
    pub merged: u64,
    /// Frames sent for control, and packets of a gateway's own host: what was sent and not received here.
    pub originated: u64,
    /// What others did for this worker, and it for them.
    pub hand_over: HandedOver,
    /// Nanoseconds spent in turns of the loop that found something to do.
    pub busy_nanoseconds: u64,
    /// Drops by reason, by position in [`DropReason::ALL`].
    pub drops: [u64; DropReason::ALL.len()],
}

/// Packets whose cryptography workers with nothing else to do are to do for others, at one moment. They are received,
/// delivered and counted by the worker that owns them, all the same.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HandedOver {
    /// Done by others.
    pub handed_over: u64,
    /// Done for others.
    pub helped: u64,
    /// Overflow: offered to others, and done by this worker because they came to no more.
    pub taken_back: u64,
    /// Worth offering, but no other worker had nothing to do.
    pub unhelped: u64,
}

/// Totals of one security association since its slot was first used: keep a baseline from its installation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SaCounters {
    /// Packets sealed, or opened and found authentic.
    pub packets: u64,
    /// Bytes of the inner packets.
    pub bytes: u64,
    /// Drops by reason, by position in [`DropReason::ALL`].
    pub drops: [u64; DropReason::ALL.len()],
}

/// One writer, many readers.
#[derive(Debug, Default, FromZeros)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    #[inline]
    pub(crate) fn add(&self, count: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(count), Relaxed);
    }

    /// Makes it this count, if it is less.
    #[inline]
    pub(crate) fn raise(&self, count: u64) {
        if self.value() < count {
            self.0.store(count, Relaxed);
        }
    }

    pub(crate) fn value(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

#[derive(Debug, FromZeros)]
pub(crate) struct Drops([Counter; DropReason::ALL.len()]);

impl Drops {
    pub(crate) fn add(&self, reason: DropReason, count: u64) {
        self.0[reason as usize].add(count);
    }

    fn values(&self) -> [u64; DropReason::ALL.len()] {
        std::array::from_fn(|position| self.0[position].value())
    }
}

/// A worker's counters where both sides see them.
#[derive(Debug)]
pub(crate) struct SharedCounters {
    pub(crate) received: Counter,
    pub(crate) transmitted: Counter,
    pub(crate) passed: Counter,
    pub(crate) dropped: Counter,
    pub(crate) split: Counter,
    pub(crate) merged: Counter,
    pub(crate) originated: Counter,
    pub(crate) hand_over: HandOverCounters,
    pub(crate) busy_nanoseconds: Counter,
    pub(crate) drops: Drops,
    /// By slot: what moves with every run of packets stands apart from what hardly ever moves.
    associations: Box<[AssociationCounters]>,
    association_drops: Box<[Drops]>,
}

#[derive(Debug, Default)]
pub(crate) struct HandOverCounters {
    pub(crate) handed_over: Counter,
    pub(crate) helped: Counter,
    pub(crate) taken_back: Counter,
    pub(crate) unhelped: Counter,
}

impl HandOverCounters {
    fn values(&self) -> HandedOver {
        HandedOver {
            handed_over: self.handed_over.value(),
            helped: self.helped.value(),
            taken_back: self.taken_back.value(),
            unhelped: self.unhelped.value(),
        }
    }
}

#[derive(Debug, FromZeros)]
pub(crate) struct AssociationCounters {
    pub(crate) packets: Counter,
    pub(crate) bytes: Counter,
}

/// Memory that nobody has written yet takes no room: of a million slots those cost that are used.
fn zeroed<T: FromZeros>(slots: u32) -> Box<[T]> {
    <[T]>::new_box_zeroed_with_elems(slots as usize).expect("memory for the counters")
}

impl SharedCounters {
    pub(crate) fn new(slots: u32) -> Self {
        Self {
            received: Counter::default(),
            transmitted: Counter::default(),
            passed: Counter::default(),
            dropped: Counter::default(),
            split: Counter::default(),
            merged: Counter::default(),
            originated: Counter::default(),
            hand_over: HandOverCounters::default(),
            busy_nanoseconds: Counter::default(),
            drops: Drops::new_zeroed(),
            associations: zeroed(slots),
            association_drops: zeroed(slots),
        }
    }

    #[inline]
    pub(crate) fn association(&self, slot: SaSlot) -> Option<&AssociationCounters> {
        self.associations.get(slot.position())
    }

    pub(crate) fn association_drops(&self, slot: SaSlot) -> Option<&Drops> {
        self.association_drops.get(slot.position())
    }

    pub(crate) fn totals(&self) -> Counters {
        Counters {
            received: self.received.value(),
            transmitted: self.transmitted.value(),
            passed: self.passed.value(),
            dropped: self.dropped.value(),
            split: self.split.value(),
            merged: self.merged.value(),
            originated: self.originated.value(),
            hand_over: self.hand_over.values(),
            busy_nanoseconds: self.busy_nanoseconds.value(),
            drops: self.drops.values(),
        }
    }

    pub(crate) fn association_totals(&self, slot: SaSlot) -> Option<SaCounters> {
        let (counters, drops) = (self.association(slot)?, self.association_drops(slot)?);
        Some(SaCounters { packets: counters.packets.value(), bytes: counters.bytes.value(), drops: drops.values() })
    }
}
