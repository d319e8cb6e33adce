//! How long packets are with a worker: counted by one, read by another while that goes on.

use tables::Direction;
use zerocopy::FromZeros;

use crate::counters::Counter;

/// Buckets of every power of two: a bucket's bounds are 3 % apart at most.
const PARTS: u64 = 32;
/// Nanoseconds that are told apart from more: half a minute.
const MOST: u64 = (1 << 35) - 1;
const BUCKETS: usize = bucket(MOST) + 1;

/// A worker's packets by how long they took, in buckets as an HDR histogram has them.
///
/// The time of a packet is that of the turn it was sent in: from when the worker began to look into its ports to when it has
/// handed all over and woken the kernel.
#[derive(Debug, FromZeros)]
pub(crate) struct Latencies([Latency; 2]);

#[derive(Debug, FromZeros)]
struct Latency {
    buckets: [Counter; BUCKETS],
    longest: Counter,
}

impl Latencies {
    pub(crate) fn new() -> Box<Self> {
        Self::new_box_zeroed().expect("memory for the latencies")
    }

    /// Counts packets that took so many nanoseconds.
    #[inline]
    pub(crate) fn count(&self, direction: Direction, packets: u64, nanoseconds: u64) {
        if packets > 0 {
            let latency = &self.0[direction as usize];
            latency.buckets[bucket(nanoseconds.min(MOST))].add(packets);
            latency.longest.raise(nanoseconds);
        }
    }

    pub(crate) fn counts(&self, direction: Direction) -> LatencyCounts {
        let latency = &self.0[direction as usize];
        let counted = latency.buckets.iter().map(Counter::value).enumerate().filter(|(_, packets)| *packets > 0);
        LatencyCounts {
            buckets: counted.map(|(bucket, packets)| (longest(bucket), packets)).collect(),
            longest: latency.longest.value(),
        }
    }
}

/// A worker's packets of one direction since it started, by how long they took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LatencyCounts {
    /// Packets that took at most so many nanoseconds, and more than those before.
    pub buckets: Vec<(u64, u64)>,
    /// The longest time, in nanoseconds.
    pub longest: u64,
}

const fn bucket(nanoseconds: u64) -> usize {
    let shift = (nanoseconds | PARTS).ilog2() - PARTS.ilog2();
    (shift as u64 * PARTS + (nanoseconds >> shift)) as usize
}

/// The longest time in a bucket.
fn longest(bucket: usize) -> u64 {
    let shift = (bucket as u64 / PARTS).saturating_sub(1);
    ((bucket as u64 - shift * PARTS + 1) << shift) - 1
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn buckets_follow_each_other_without_a_gap() {
        let mut next = 0;
        for number in 0..BUCKETS {
            assert_eq!(bucket(next), number, "{next} ns");
            assert_eq!(bucket(longest(number)), number);
            next = longest(number) + 1;
        }
        assert_eq!(next - 1, MOST);
    }

    #[test]
    fn directions_are_counted_apart_and_the_longest_is_exact() {
        let latencies = Latencies::new();
        latencies.count(Direction::ToPeer, 64, 1_000_003);
        latencies.count(Direction::ToPeer, 3, 7);
        latencies.count(Direction::ToPeer, 0, u64::MAX);
        latencies.count(Direction::FromPeer, 1, u64::MAX);
        let to_peer = latencies.counts(Direction::ToPeer);
        assert_eq!((to_peer.buckets[0], to_peer.longest), ((7, 3), 1_000_003));
        assert_eq!(to_peer.buckets[1].1, 64);
        let from_peer = latencies.counts(Direction::FromPeer);
        assert_eq!((from_peer.buckets, from_peer.longest), (vec![(MOST, 1)], u64::MAX));
    }

    proptest! {
        #[test]
        fn a_bucket_is_off_by_a_thirty_second_at_most(nanoseconds in 0..=MOST) {
            let told = longest(bucket(nanoseconds));
            prop_assert!(told >= nanoseconds && told - nanoseconds <= nanoseconds / 32);
        }
    }
}
