//! How many of something may be done within a time.

use std::time::{Duration, Instant};

/// A bucket that holds a burst and is filled at a steady rate.
#[derive(Debug, Clone)]
pub struct TokenBucket {
    interval: Duration,
    /// How long it takes to be filled.
    depth: Duration,
    /// When it is full again.
    full: Instant,
}

impl TokenBucket {
    /// A full bucket of `burst` tokens, of which a new one comes every `interval`.
    pub fn new(burst: u32, interval: Duration, now: Instant) -> Self {
        Self { interval, depth: interval * burst, full: now }
    }

    /// Takes a token; whether there was one.
    pub fn take(&mut self, now: Instant) -> bool {
        let full = self.full.max(now) + self.interval;
        let there = full.duration_since(now) <= self.depth;
        if there {
            self.full = full;
        }
        there
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_and_then_the_rate() {
        let begin = Instant::now();
        let at = |milliseconds| begin + Duration::from_millis(milliseconds);
        let mut bucket = TokenBucket::new(50, Duration::from_millis(10), begin);
        let mut taken = |milliseconds| (0..1000).filter(|_| bucket.take(at(milliseconds))).count();
        assert_eq!([taken(0), taken(9), taken(10), taken(1010)], [50, 0, 1, 50]);
        assert_eq!((1011..2010).map(&mut taken).sum::<usize>(), 99);
        assert_eq!(taken(100_000), 50, "what is not used is not saved up");
    }
}
