//! Outbound sequence numbers (RFC 4303 §2.2, §3.3.3).

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The SA has used up its sequence numbers, or as many as it may: it seals nothing more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exhausted;

/// A counter from which any worker takes numbers, a run of packets at a time.
#[derive(Debug)]
pub struct SequenceCounter {
    next: AtomicU64,
    last: u64,
}

impl SequenceCounter {
    /// Starts at 1 (RFC 4303 §3.3.3); with extended numbers 64 bits long, else 32. Ends after `packets`, if that is sooner
    /// (RFC 4301 §4.4.2.1: a lifetime in packets).
    #[must_use]
    pub fn new(extended: bool, packets: Option<u64>) -> Self {
        // The extended counter stops a little short of 2^64, so that workers that ask at once cannot wrap it.
        let last = if extended { u64::MAX >> 1 } else { u64::from(u32::MAX) };
        Self { next: AtomicU64::new(1), last: packets.map_or(last, |packets| last.min(packets)) }
    }

    /// Takes `count` numbers in a row and returns the first.
    ///
    /// # Errors
    /// [`Exhausted`] when fewer are left.
    #[inline(always)]
    pub fn take(&self, count: u64) -> Result<u64, Exhausted> {
        // The look before the step bounds how far refused requests can push the counter beyond the last number.
        if self.next.load(Relaxed).saturating_add(count) - 1 > self.last {
            return Err(Exhausted);
        }
        let first = self.next.fetch_add(count, Relaxed);
        if first + count - 1 > self.last { Err(Exhausted) } else { Ok(first) }
    }

    /// How many numbers were taken.
    #[must_use]
    pub fn taken(&self) -> u64 {
        (self.next.load(Relaxed) - 1).min(self.last)
    }

    #[cfg(test)]
    pub(crate) fn skip_to(&self, next: u64) {
        self.next.store(next, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_to_wrap() {
        for (extended, last) in [(false, u64::from(u32::MAX)), (true, u64::MAX >> 1)] {
            let counter = SequenceCounter::new(extended, None);
            assert_eq!(counter.take(64), Ok(1));
            assert_eq!(counter.take(1), Ok(65));
            counter.skip_to(last - 1);
            assert_eq!(counter.take(3), Err(Exhausted));
            assert_eq!(counter.take(2), Ok(last - 1));
            assert_eq!(counter.take(1), Err(Exhausted));
            assert_eq!(counter.take(1), Err(Exhausted));
            assert_eq!(counter.taken(), last);
        }
    }

    #[test]
    fn seals_as_many_packets_as_it_may_and_no_more() {
        let counter = SequenceCounter::new(false, Some(100));
        assert_eq!((counter.take(64), counter.take(37)), (Ok(1), Err(Exhausted)), "a run is admitted whole or not");
        assert_eq!((counter.take(36), counter.take(1)), (Ok(65), Err(Exhausted)));
        assert_eq!(counter.taken(), 100);
        // What the numbers' length bounds already, no greater limit moves.
        let counter = SequenceCounter::new(false, Some(1 << 40));
        counter.skip_to(u64::from(u32::MAX));
        assert_eq!((counter.take(1), counter.take(1)), (Ok(u64::from(u32::MAX)), Err(Exhausted)));
    }

    #[test]
    fn workers_never_share_a_number() {
        let counter = SequenceCounter::new(true, None);
        let mut taken: Vec<u64> = std::thread::scope(|scope| {
            let workers: Vec<_> = (1..=4)
                .map(|count| {
                    let counter = &counter;
                    scope.spawn(move || {
                        (0..1000).flat_map(|_| counter.take(count).map(|first| first..first + count).unwrap()).collect()
                    })
                })
                .collect();
            workers.into_iter().flat_map(|worker| -> Vec<u64> { worker.join().unwrap() }).collect()
        });
        taken.sort_unstable();
        assert!(taken.iter().copied().eq(1..=10_000));
    }
}
