//! How much a tunnel may carry, shared by all workers without a lock.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// What a bucket holds at least: two of the longest frames that a port takes.
const FULL_PACKETS: u64 = 2 * 4096;
/// What it holds otherwise: as much as flows in this time.
const DEPTH: Duration = Duration::from_millis(10);
/// Ticks of the limit's clock in a nanosecond: at 100 Gbit/s a byte takes less than a tenth of one. It runs for nine years.
const TICKS: u64 = 64;

/// A token bucket as the generic cell rate algorithm (ITU-T I.371 annex A) has it: one number, the time at which all that was
/// admitted would have flowed at the limit's rate. On a cache line of its own, since it moves with every packet.
#[derive(Debug)]
#[repr(align(64))]
pub struct RateLimit {
    /// In ticks since `since`.
    flowed: AtomicU64,
    /// How far ahead of the clock that may be, in ticks.
    depth: u64,
    megabits_per_second: u32,
    since: Instant,
}

/// The limits of a tunnel, one for each direction.
#[derive(Debug)]
pub struct TunnelLimits {
    /// Of what goes into the tunnel.
    pub outbound: RateLimit,
    /// Of what comes out of it.
    pub inbound: RateLimit,
}

impl RateLimit {
    /// A limit whose bucket is full. `megabits_per_second` counts 10^6 bits, and is at least 1.
    #[must_use]
    pub fn new(megabits_per_second: u32, now: Instant) -> Self {
        let made = Self { flowed: AtomicU64::new(0), depth: 0, megabits_per_second, since: now };
        let depth = (DEPTH.as_nanos() as u64 * TICKS).max(made.ticks(FULL_PACKETS));
        Self { depth, ..made }
    }

    /// Takes `bytes` out of the bucket, if so many are in it. A worker whose `now` is a little behind the others' is admitted no
    /// more for it.
    #[must_use]
    pub fn admit(&self, bytes: usize, now: Instant) -> bool {
        let now = (now.saturating_duration_since(self.since).as_nanos() as u64).saturating_mul(TICKS);
        let time = self.ticks(bytes as u64);
        let after = |flowed: u64| Some(flowed.max(now).saturating_add(time)).filter(|after| *after - now <= self.depth);
        self.flowed.fetch_update(Relaxed, Relaxed, after).is_ok()
    }

    /// How long so many bytes take at the limit's rate.
    fn ticks(&self, bytes: u64) -> u64 {
        (bytes * 8 * 1000 * TICKS).div_ceil(u64::from(self.megabits_per_second))
    }
}

impl TunnelLimits {
    /// So much in each direction.
    #[must_use]
    pub fn new(megabits_per_second: u32, now: Instant) -> Self {
        Self { outbound: RateLimit::new(megabits_per_second, now), inbound: RateLimit::new(megabits_per_second, now) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A bucket as one draws it: bits that flow in up to a brim.
    struct Bucket {
        bits: f64,
        brim: f64,
        rate: f64,
        at: f64,
    }

    impl Bucket {
        fn new(megabits_per_second: u32) -> Self {
            let rate = f64::from(megabits_per_second) * 1e6;
            let brim = (rate * 0.010).max(2.0 * 4096.0 * 8.0);
            Self { bits: brim, brim, rate, at: 0.0 }
        }

        /// What is in it at a time, in seconds.
        fn level(&mut self, at: f64) -> f64 {
            self.bits = (self.bits + (at - self.at) * self.rate).min(self.brim);
            self.at = at;
            self.bits
        }
    }

    proptest! {
        /// Wherever the model is not within a rounding of the edge, both are of one mind.
        #[test]
        fn it_is_a_bucket(
            rate in prop_oneof![1..=100_000_u32, Just(1), Just(100_000)],
            packets in prop::collection::vec((0..30_000_000_u64, 20..4097_usize), 1..200),
        ) {
            let start = Instant::now();
            let (limit, mut bucket) = (RateLimit::new(rate, start), Bucket::new(rate));
            let mut nanoseconds = 0;
            for (pause, bytes) in packets {
                // Pauses about as long as packets take at the rate, so that the bucket is empty often.
                nanoseconds += pause / u64::from(rate);
                let level = bucket.level(nanoseconds as f64 / 1e9);
                let bits = bytes as f64 * 8.0;
                let admitted = limit.admit(bytes, start + Duration::from_nanos(nanoseconds));
                if (level - bits).abs() > bucket.brim * 1e-3 {
                    prop_assert_eq!(admitted, level >= bits, "{} bits of {} at {}", bits, level, nanoseconds);
                }
                if admitted {
                    bucket.bits -= bits;
                }
            }
        }
    }

    #[test]
    fn the_largest_packets_pass_at_every_rate_two_in_a_row() {
        for rate in [1, 2, 10, 100_000] {
            let now = Instant::now();
            let limit = RateLimit::new(rate, now);
            assert!(limit.admit(4096, now) && limit.admit(4096, now), "{rate} Mbit/s");
            assert!(!(0..100_000).all(|_| limit.admit(4096, now)), "{rate} Mbit/s");
        }
    }

    /// However many ask at once, no more is admitted than one bucket holds and what flows in: 10 ms worth and 30 ms.
    #[test]
    fn many_threads_share_one_bucket() {
        let start = Instant::now();
        let limit = RateLimit::new(1000, start);
        let admitted: u64 = std::thread::scope(|scope| {
            let ask = |thread: u64| {
                let limit = &limit;
                move || {
                    (0..300_000_u64)
                        .filter(|n| limit.admit(500, start + Duration::from_nanos(n * 100 + thread)))
                        .count()
                }
            };
            let threads: Vec<_> = (0..8).map(|thread| scope.spawn(ask(thread))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap() as u64).sum()
        });
        let most = 40_000_000 / 8 / 500;
        assert!(admitted * 500 * 8 <= 40_000_000 + 4000, "{admitted} packets");
        // All of it, for more was asked for at all times.
        assert!(admitted >= most * 99 / 100, "{admitted} of {most} packets");
    }
}
