//! How long packets are with the workers.

use hdrhistogram::Histogram;
use tables::Direction;
use worker::LatencyCounts;

use crate::api::{self, Latency};
use crate::control::Control;

/// Significant digits: more than the workers' buckets have.
const DIGITS: u8 = 3;

impl Control {
    /// By worker and direction, then over all workers.
    pub(crate) fn latencies(&self) -> Vec<Latency> {
        let ways = [(api::Direction::ToPeer, Direction::ToPeer), (api::Direction::FromPeer, Direction::FromPeer)];
        let mut all = [Times::new(), Times::new()];
        let mut latencies = Vec::new();
        for worker in &self.dataplane.workers {
            for ((name, way), all) in ways.into_iter().zip(&mut all) {
                let counts = worker.handle.latency(way);
                all.add(&counts);
                let mut times = Times::new();
                times.add(&counts);
                latencies.push(times.told(Some(worker.core), Some(name)));
            }
        }
        for ((name, _), all) in ways.into_iter().zip(&all) {
            latencies.push(all.told(None, Some(name)));
        }
        let [mut total, from_peer] = all;
        total.merge(&from_peer);
        latencies.push(total.told(None, None));
        latencies
    }
}

/// Times in nanoseconds, by packet.
struct Times {
    histogram: Histogram<u64>,
    longest: u64,
}

impl Times {
    fn new() -> Self {
        Self { histogram: Histogram::new(DIGITS).expect("three digits are allowed"), longest: 0 }
    }

    fn add(&mut self, counts: &LatencyCounts) {
        for (nanoseconds, packets) in &counts.buckets {
            // A histogram that grows takes every value.
            let _ = self.histogram.record_n(*nanoseconds, *packets);
        }
        self.longest = self.longest.max(counts.longest);
    }

    fn merge(&mut self, other: &Self) {
        let _ = self.histogram.add(&other.histogram);
        self.longest = self.longest.max(other.longest);
    }

    fn told(&self, core: Option<usize>, direction: Option<api::Direction>) -> Latency {
        let us = |nanoseconds: u64| nanoseconds.min(self.longest) as f64 / 1e3;
        let at = |quantile: f64| us(self.histogram.value_at_quantile(quantile));
        Latency {
            core,
            direction,
            packets: self.histogram.len(),
            min_us: us(self.histogram.min()),
            p50_us: at(0.5),
            p90_us: at(0.9),
            p99_us: at(0.99),
            p999_us: at(0.999),
            max_us: us(self.longest),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_over_packets_and_totals_over_both_ways() {
        let (mut out, mut into) = (Times::new(), Times::new());
        out.add(&LatencyCounts { buckets: vec![(1_000, 900), (50_000, 99), (2_047_999, 1)], longest: 2_000_000 });
        into.add(&LatencyCounts { buckets: vec![(500, 1_000)], longest: 490 });
        let told = out.told(Some(1), Some(api::Direction::ToPeer));
        assert_eq!((told.packets, told.core), (1000, Some(1)));
        let near = |value: f64, wanted: f64| assert!((value / wanted - 1.0).abs() < 0.002, "{value}, not {wanted}");
        near(told.min_us, 1.0);
        near(told.p50_us, 1.0);
        near(told.p90_us, 1.0);
        near(told.p99_us, 50.0);
        near(told.p999_us, 50.0);
        assert_eq!((told.max_us, into.told(None, None).p50_us), (2000.0, 0.49));
        out.merge(&into);
        let told = out.told(None, None);
        assert_eq!((told.packets, told.max_us), (2000, 2000.0));
        near(told.p50_us, 0.5);
    }

    #[test]
    fn without_packets_all_is_zero() {
        let told = Times::new().told(None, None);
        assert_eq!((told.packets, told.min_us, told.p999_us, told.max_us), (0, 0.0, 0.0, 0.0));
    }
}
