//! What is printed.

use serde::Serialize;

use super::BATCH;
use super::class::Class;
use crate::median::{median, median_ratio, rounded};
use crate::output::Row;
use crate::pipeline::case::Case;

/// One line.
#[derive(Debug, Serialize)]
pub struct Figure {
    bench: &'static str,
    #[serde(rename = "impl")]
    implementation: &'static str,
    suite: String,
    size: usize,
    batch: usize,
    class: &'static str,
    /// Of a bad packet.
    cycles_per_packet: f64,
    /// Of a good one alone.
    good_cycles_per_packet: f64,
    /// Of the first over the second.
    ratio: f64,
    rounds: usize,
}

impl Figure {
    /// The medians of a class's rounds, `good` being those of good packets alone.
    pub fn new(case: &Case, class: Class, bad: &[f64], good: &[f64]) -> Self {
        let of = |value: Option<f64>| rounded(value.unwrap_or(f64::NAN));
        Self {
            bench: "flood",
            implementation: "bordergate",
            suite: case.suite.to_string(),
            size: case.size,
            batch: BATCH,
            class: class.name(),
            cycles_per_packet: of(median(bad.to_vec())),
            good_cycles_per_packet: of(median(good.to_vec())),
            ratio: of(median_ratio(bad, good)),
            rounds: bad.len(),
        }
    }
}

impl Row for Figure {
    fn heading() -> String {
        format!(
            "{:<12} {:>5} {:<22} {:>10} {:>11} {:>6}",
            "suite", "bytes", "class", "cycles/bad", "cycles/good", "ratio"
        )
    }

    fn row(&self) -> String {
        format!(
            "{:<12} {:>5} {:<22} {:>10.1} {:>11.1} {:>6.3}",
            self.suite, self.size, self.class, self.cycles_per_packet, self.good_cycles_per_packet, self.ratio
        )
    }
}
