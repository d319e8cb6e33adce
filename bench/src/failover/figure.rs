//! What is printed.

use serde::Serialize;

use super::Disturbances;
use super::direction::Direction;
use super::load::{FLOWS, RATE};
use super::round::Measured;
use super::site::{BFD_INTERVAL_MS, BFD_MULTIPLIER};
use crate::median::{median, rounded};
use crate::output::Row;

/// What one direction showed in all rounds.
#[derive(Debug, Serialize)]
pub struct Figure {
    bench: &'static str,
    #[serde(rename = "impl")]
    implementation: &'static str,
    bfd_interval_ms: u32,
    bfd_multiplier: u32,
    direction: &'static str,
    flows: usize,
    packets_per_s: u32,
    /// How long none of the flows in the lost tunnel arrived.
    failover_ms: f64,
    failover_worst_ms: f64,
    /// Packets meanwhile.
    lost: usize,
    lost_worst: usize,
    /// While the tunnel came back, in all rounds together.
    back_lost: usize,
    /// From before a tunnel was drained until it was used again, in all rounds together.
    drain_lost: usize,
    /// How often BFD lost a tunnel that was not cut; such rounds were played again.
    flaps: u64,
    /// How often a round was played again because the machine stood still.
    standstills: u64,
    rounds: usize,
}

impl Figure {
    /// The medians and sums of a direction's rounds.
    pub fn new(direction: Direction, rounds: &[Measured], disturbances: Disturbances) -> Self {
        let failover: Vec<f64> = rounds.iter().map(|round| round.failover_ms).collect();
        let lost = rounds.iter().map(|round| round.lost as f64).collect();
        let worst = failover.iter().copied().fold(f64::NAN, f64::max);
        Self {
            bench: "failover",
            implementation: "bordergate",
            bfd_interval_ms: BFD_INTERVAL_MS,
            bfd_multiplier: BFD_MULTIPLIER,
            direction: direction.name(),
            flows: FLOWS,
            packets_per_s: RATE,
            failover_worst_ms: rounded(worst),
            lost_worst: rounds.iter().map(|round| round.lost).max().unwrap_or_default(),
            failover_ms: rounded(median(failover).unwrap_or(f64::NAN)),
            lost: median(lost).unwrap_or_default() as usize,
            back_lost: rounds.iter().map(|round| round.back_lost).sum(),
            drain_lost: rounds.iter().map(|round| round.drain_lost).sum(),
            flaps: disturbances.flaps,
            standstills: disturbances.standstills,
            rounds: rounds.len(),
        }
    }
}

impl Row for Figure {
    fn heading() -> String {
        format!(
            "{:<12} {:>9} {:>11} {:>9} {:>6} {:>9} {:>10} {:>11} {:>5} {:>11} {:>6}",
            "direction",
            "BFD",
            "failover ms",
            "worst ms",
            "lost",
            "most lost",
            "back: lost",
            "drain: lost",
            "flaps",
            "standstills",
            "rounds"
        )
    }

    fn row(&self) -> String {
        format!(
            "{:<12} {:>9} {:>11.1} {:>9.1} {:>6} {:>9} {:>10} {:>11} {:>5} {:>11} {:>6}",
            self.direction,
            format!("{} ms x {}", self.bfd_interval_ms, self.bfd_multiplier),
            self.failover_ms,
            self.failover_worst_ms,
            self.lost,
            self.lost_worst,
            self.back_lost,
            self.drain_lost,
            self.flaps,
            self.standstills,
            self.rounds
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_lost_once_shows() {
        let round = |failover_ms, lost, drain_lost| Measured { failover_ms, lost, back_lost: 0, drain_lost };
        let rounds = [round(25.0, 50, 0), round(28.0, 56, 1), round(41.0, 80, 0)];
        let figure = Figure::new(Direction::ToCloud, &rounds, Disturbances { flaps: 2, standstills: 0 });
        assert_eq!((figure.failover_ms, figure.failover_worst_ms), (28.0, 41.0));
        assert_eq!((figure.lost, figure.lost_worst, figure.drain_lost, figure.rounds), (56, 80, 1, 3));
        assert_eq!(figure.flaps, 2);
    }
}
