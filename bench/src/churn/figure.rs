//! What is printed.

use serde::Serialize;

use super::Progress;
use super::changes::Beside;
use super::turns::Turns;
use crate::median::rounded;
use crate::output::Row;
use crate::pipeline::case::Case;

/// One line.
#[derive(Debug, Serialize)]
pub struct Figure {
    bench: &'static str,
    #[serde(rename = "impl")]
    implementation: &'static str,
    /// What the other core does.
    beside: &'static str,
    sas: u32,
    size: usize,
    batch: usize,
    changes_per_s: f64,
    /// Associations that were made and put in place of others.
    sas_made: u64,
    packets: u64,
    lost: u64,
    mpps: f64,
    turns: u64,
    p50_us: f64,
    p99_us: f64,
    p999_us: f64,
    longest_us: f64,
    /// Turns longer than 50 us.
    pauses: u64,
    pauses_per_s: f64,
    /// Of those: the greater part was in the worker's turn, not in the network's part.
    pauses_in_turn: u64,
    /// Of those: another thread had the core.
    pauses_preempted: u64,
    involuntary_switches: u64,
    stolen_ms: u64,
    seconds: f64,
}

impl Figure {
    pub fn new(beside: Beside, case: &Case, turns: &Turns, progress: &Progress) -> Self {
        let microseconds = |nanoseconds: u64| rounded(nanoseconds as f64 / 1000.0);
        let quantile = |quantile: f64| microseconds(turns.between.value_at_quantile(quantile));
        Self {
            bench: "churn",
            implementation: "bordergate",
            beside: beside.name(),
            sas: case.sas * 2,
            size: case.size,
            batch: case.batch,
            changes_per_s: rounded(progress.changes as f64 / progress.seconds),
            sas_made: progress.made,
            packets: turns.packets,
            lost: turns.lost,
            mpps: rounded(turns.packets as f64 / turns.seconds / 1e6),
            turns: turns.between.len(),
            p50_us: quantile(0.5),
            p99_us: quantile(0.99),
            p999_us: quantile(0.999),
            longest_us: microseconds(turns.between.max()),
            pauses: turns.pauses,
            pauses_per_s: rounded(turns.pauses as f64 / turns.seconds),
            pauses_in_turn: turns.pauses_in_turn,
            pauses_preempted: turns.preempted,
            involuntary_switches: turns.switches,
            stolen_ms: turns.stolen_milliseconds,
            seconds: rounded(turns.seconds),
        }
    }
}

impl Row for Figure {
    fn heading() -> String {
        format!(
            "{:<12} {:>10} {:>8} {:>6} {:>6} {:>7} {:>7} {:>8} {:>10} {:>8} {:>8} {:>8} {:>10} {:>9}",
            "other core",
            "changes/s",
            "SAs made",
            "lost",
            "Mpps",
            "p50 us",
            "p99 us",
            "p99.9 us",
            "longest us",
            ">50 us/s",
            ">50 us",
            "in turn",
            "preempted",
            "stolen ms"
        )
    }

    fn row(&self) -> String {
        format!(
            "{:<12} {:>10.0} {:>8} {:>6} {:>6.3} {:>7.1} {:>7.1} {:>8.1} {:>10.1} {:>8.1} {:>8} {:>8} {:>10} {:>9}",
            self.beside,
            self.changes_per_s,
            self.sas_made,
            self.lost,
            self.mpps,
            self.p50_us,
            self.p99_us,
            self.p999_us,
            self.longest_us,
            self.pauses_per_s,
            self.pauses,
            self.pauses_in_turn,
            self.pauses_preempted,
            self.stolen_ms
        )
    }
}
