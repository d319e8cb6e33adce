//! The verdicts of one batch, added to the counters at its end.

use tables::SaSlot;

use crate::DropReason;
use crate::counters::SharedCounters;

/// Counts the verdicts of a batch. The totals are written at its end in one go, so that what a reader sees adds up.
pub(crate) struct Tally<'a> {
    counters: &'a SharedCounters,
    received: u64,
    transmitted: u64,
    passed: u64,
    dropped: u64,
    split: u64,
    merged: u64,
}

impl<'a> Tally<'a> {
    pub(crate) fn new(counters: &'a SharedCounters, received: usize) -> Self {
        Self { counters, received: received as u64, transmitted: 0, passed: 0, dropped: 0, split: 0, merged: 0 }
    }

    #[inline]
    pub(crate) fn transmit(&mut self, count: u64) {
        self.transmitted += count;
    }

    /// A packet became `pieces` packets, and each has its own verdict.
    pub(crate) fn split(&mut self, pieces: usize) {
        self.split += pieces as u64 - 1;
    }

    /// A fragment is held, to be part of a larger packet.
    pub(crate) fn merge(&mut self) {
        self.merged += 1;
    }

    /// An incomplete packet is dropped whose fragments have their verdicts: it is one that was not received.
    pub(crate) fn give_up(&mut self, reason: DropReason) {
        self.split += 1;
        self.drop(reason);
    }

    pub(crate) fn pass(&mut self) {
        self.passed += 1;
    }

    /// A packet that no security association is known of.
    pub(crate) fn drop(&mut self, reason: DropReason) {
        self.dropped += 1;
        self.counters.drops.add(reason, 1);
    }

    /// A packet of a security association.
    pub(crate) fn drop_of(&mut self, slot: SaSlot, reason: DropReason) {
        self.drop(reason);
        if let Some(drops) = self.counters.association_drops(slot) {
            drops.add(reason, 1);
        }
    }

    /// Has brought near what [`Tally::protect`] will write.
    #[inline(always)]
    pub(crate) fn prefetch(&self, slot: SaSlot) {
        if let Some(counters) = self.counters.association(slot) {
            aead::prefetch(counters);
        }
    }

    /// Packets that an association sealed or opened.
    pub(crate) fn protect(&mut self, slot: SaSlot, packets: u64, bytes: u64) {
        if let Some(counters) = self.counters.association(slot) {
            counters.packets.add(packets);
            counters.bytes.add(bytes);
        }
    }

    /// As [`Tally::finish`], for what was not received: sent packets are originated, and those dropped make up no balance of
    /// their own.
    pub(crate) fn finish_originated(self) {
        self.counters.originated.add(self.transmitted);
        let received = self.dropped;
        Tally { received, transmitted: 0, split: 0, ..self }.finish();
    }

    pub(crate) fn finish(self) {
        let verdicts = self.transmitted + self.passed + self.dropped + self.merged;
        debug_assert_eq!(self.received + self.split, verdicts, "a packet without one verdict");
        self.counters.received.add(self.received);
        self.counters.transmitted.add(self.transmitted);
        self.counters.passed.add(self.passed);
        self.counters.dropped.add(self.dropped);
        if self.split != 0 {
            self.counters.split.add(self.split);
        }
        if self.merged != 0 {
            self.counters.merged.add(self.merged);
        }
    }
}
