//! A tunnel's traffic, summed over its SAs and over all workers.

use tables::SaSlot;
use worker::{DropReason, Handle};

use crate::api::TunnelCounters;
use crate::associations::Slots;

/// Totals of both directions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Traffic {
    pub packets_in: u64,
    pub bytes_in: u64,
    pub packets_out: u64,
    pub bytes_out: u64,
    pub drops: [u64; DropReason::ALL.len()],
}

impl Traffic {
    /// Nothing yet.
    pub const NONE: Self =
        Self { packets_in: 0, bytes_in: 0, packets_out: 0, bytes_out: 0, drops: [0; DropReason::ALL.len()] };

    /// What the workers have counted in a child's slots, whoever had them.
    pub fn of<'a>(handles: impl Iterator<Item = &'a Handle> + Clone, slots: Slots) -> Self {
        let mut traffic = Self::NONE;
        let counted = |slot: SaSlot| handles.clone().filter_map(move |handle| handle.sa_counters(slot));
        for counters in counted(slots.inbound) {
            traffic.packets_in += counters.packets;
            traffic.bytes_in += counters.bytes;
            traffic.add_drops(&counters.drops);
        }
        for counters in counted(slots.outbound) {
            traffic.packets_out += counters.packets;
            traffic.bytes_out += counters.bytes;
            traffic.add_drops(&counters.drops);
        }
        traffic
    }

    /// Adds what came since `baseline`.
    pub fn add_since(&mut self, now: &Self, baseline: &Self) {
        self.packets_in += now.packets_in.wrapping_sub(baseline.packets_in);
        self.bytes_in += now.bytes_in.wrapping_sub(baseline.bytes_in);
        self.packets_out += now.packets_out.wrapping_sub(baseline.packets_out);
        self.bytes_out += now.bytes_out.wrapping_sub(baseline.bytes_out);
        for ((sum, now), baseline) in self.drops.iter_mut().zip(now.drops).zip(baseline.drops) {
            *sum += now.wrapping_sub(baseline);
        }
    }

    /// As the API shows it.
    pub fn counters(&self) -> TunnelCounters {
        TunnelCounters {
            packets_in: self.packets_in,
            bytes_in: self.bytes_in,
            packets_out: self.packets_out,
            bytes_out: self.bytes_out,
            drops: named(&self.drops),
        }
    }

    fn add_drops(&mut self, drops: &[u64; DropReason::ALL.len()]) {
        self.drops.iter_mut().zip(drops).for_each(|(sum, count)| *sum += count);
    }
}

/// Those reasons that have occurred, by name.
pub fn named(drops: &[u64; DropReason::ALL.len()]) -> std::collections::BTreeMap<String, u64> {
    let counted = DropReason::ALL.iter().zip(drops).filter(|(_, count)| **count > 0);
    counted.map(|(reason, count)| (reason.name().to_owned(), *count)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_came_since_the_baseline_counts() {
        let mut drops = [0; DropReason::ALL.len()];
        drops[DropReason::Replayed as usize] = 3;
        let baseline = Traffic { packets_in: 10, bytes_in: 1000, ..Traffic::NONE };
        let now = Traffic { packets_in: 12, bytes_in: 1100, packets_out: 1, bytes_out: 60, drops };
        let mut sum = Traffic::NONE;
        sum.add_since(&now, &baseline);
        sum.add_since(&now, &baseline);
        let counters = sum.counters();
        assert_eq!((counters.packets_in, counters.bytes_in, counters.packets_out), (4, 200, 2));
        assert_eq!(counters.drops.into_iter().collect::<Vec<_>>(), [("replayed".to_owned(), 6)]);
    }
}
