//! Packets per second, from counters read once a second.

use std::time::Instant;

use worker::Counters;

use crate::api;

/// The last two readings of each worker.
#[derive(Debug, Default)]
pub struct Rates {
    last: Option<(Instant, Vec<Counters>)>,
    rates: Vec<api::Rates>,
}

impl Rates {
    /// Takes a reading of all workers.
    pub fn sample(&mut self, now: Instant, counters: impl Iterator<Item = Counters>) {
        let counters: Vec<Counters> = counters.collect();
        if let Some((before, last)) = &self.last {
            let seconds = now.duration_since(*before).as_secs_f64();
            if seconds > 0.0 {
                let pair = counters.iter().zip(last);
                self.rates = pair.map(|(now, before)| rates(seconds, now, before)).collect();
            }
        }
        self.last = Some((now, counters));
    }

    /// The rates of a worker; zero before the second reading.
    pub fn of(&self, worker: usize) -> api::Rates {
        self.rates.get(worker).copied().unwrap_or_default()
    }
}

fn rates(seconds: f64, now: &Counters, before: &Counters) -> api::Rates {
    let per_second = |now: u64, before: u64| now.saturating_sub(before) as f64 / seconds;
    api::Rates {
        received_pps: per_second(now.received, before.received),
        transmitted_pps: per_second(now.transmitted, before.transmitted),
        busy_percent: (per_second(now.busy_nanoseconds, before.busy_nanoseconds) / 1e7).min(100.0),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn counters(received: u64, busy_nanoseconds: u64) -> Counters {
        let drops = [0; worker::DropReason::ALL.len()];
        Counters {
            received,
            transmitted: 0,
            passed: 0,
            dropped: 0,
            split: 0,
            merged: 0,
            originated: 0,
            hand_over: worker::HandedOver::default(),
            busy_nanoseconds,
            drops,
        }
    }

    #[test]
    fn over_the_time_between_readings() {
        let (mut rates, start) = (Rates::default(), Instant::now());
        rates.sample(start, [counters(100, 0)].into_iter());
        assert_eq!(rates.of(0), api::Rates::default());
        rates.sample(start + Duration::from_secs(2), [counters(300, 500_000_000)].into_iter());
        assert_eq!((rates.of(0).received_pps, rates.of(0).busy_percent), (100.0, 25.0));
        assert_eq!(rates.of(1), api::Rates::default());
    }
}
