//! What is printed.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::environment::Environment;
use crate::median::{median, median_ratio, rounded};
use crate::output::{Rates, Row};
use crate::pipeline::case::Case;
use crate::pipeline::laps::Laps;

/// One line.
#[derive(Debug, Serialize)]
pub struct Figure {
    bench: &'static str,
    #[serde(rename = "impl")]
    implementation: &'static str,
    kernel: String,
    suite: String,
    op: String,
    size: usize,
    workers: usize,
    #[serde(flatten)]
    rates: Rates,
    rounds: usize,
    /// Of the packets, how many the second worker sealed or opened.
    handed_over: f64,
    /// Of the packets, how many were offered to it and taken back.
    taken_back: f64,
    /// The rate over that of one worker.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    ratio: BTreeMap<&'static str, f64>,
}

/// The rounds of a case with so many workers.
#[derive(Debug, Default)]
pub struct Rounds {
    cycles: Vec<f64>,
    packets: u64,
    handed_over: u64,
    taken_back: u64,
}

impl Rounds {
    /// Adds a round, in which so many packets were handed over and taken back.
    pub fn push(&mut self, laps: Laps, handed_over: u64, taken_back: u64) {
        self.cycles.push(laps.total as f64 / laps.packets as f64);
        self.packets += laps.packets;
        self.handed_over += handed_over;
        self.taken_back += taken_back;
    }
}

/// The medians with one worker, and with two.
pub fn figures(case: &Case, [one, two]: &[Rounds; 2], environment: &Environment) -> [Figure; 2] {
    let figure = |workers, rounds: &Rounds, ratio| {
        let cycles = median(rounds.cycles.clone()).unwrap_or(f64::NAN);
        let part = |count: u64| rounded(count as f64 / rounds.packets as f64);
        Figure {
            bench: "handover",
            implementation: "bordergate",
            kernel: ::aead::Kernel::chosen().to_string(),
            suite: case.suite.to_string(),
            op: case.operation.to_string(),
            size: case.size,
            workers,
            rates: Rates::of(cycles, case.size, environment.cycles_per_nanosecond()),
            rounds: rounds.cycles.len(),
            handed_over: part(rounds.handed_over),
            taken_back: part(rounds.taken_back),
            ratio,
        }
    };
    let ratio = median_ratio(&one.cycles, &two.cycles).map(|ratio| ("one-worker", rounded(ratio)));
    [figure(1, one, BTreeMap::new()), figure(2, two, ratio.into_iter().collect())]
}

impl Figure {}

impl Row for Figure {
    fn heading() -> String {
        format!(
            "{:<22} {:<5} {:>5} {:>7} {:>10} {:>8} {:>8} {:>11} {:>10}  ratio",
            "suite", "op", "bytes", "workers", "cycles/pkt", "Mpps", "Gbit/s", "handed over", "taken back"
        )
    }

    fn row(&self) -> String {
        format!(
            "{:<22} {:<5} {:>5} {:>7} {:>10.1} {:>8.3} {:>8.3} {:>11.3} {:>10.3}  {}",
            self.suite,
            self.op,
            self.size,
            self.workers,
            self.rates.cycles_per_packet,
            self.rates.mpps,
            self.rates.gbps,
            self.handed_over,
            self.taken_back,
            self.ratio.values().map(f64::to_string).collect::<String>()
        )
    }
}
