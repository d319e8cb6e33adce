//! A line of the result.

use std::collections::BTreeMap;

use serde::Serialize;

use super::case::Case;
use super::rounds::Measured;
use crate::median::{median, median_ratio, rounded};
use crate::operation::Operation;
use crate::output::{Rates, Row};

/// What one implementation took in one case.
#[derive(Debug, Serialize)]
pub struct Figure {
    bench: &'static str,
    #[serde(rename = "impl")]
    implementation: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    kernel: Option<&'static str>,
    suite: &'static str,
    op: Operation,
    size: usize,
    batch: usize,
    keys: usize,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    in_place: bool,
    #[serde(flatten)]
    rates: Rates,
    rounds: usize,
    /// Own cycles by the peer's: below 1 is faster than the peer.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    ratio: BTreeMap<&'static str, f64>,
}

impl Figure {
    /// Figures of all implementations, those of Bordergate with their ratios to the peers.
    pub fn all(case: &Case, measured: &[Measured], cycles_per_nanosecond: f64) -> Vec<Self> {
        measured.iter().filter_map(|one| Self::new(case, one, measured, cycles_per_nanosecond)).collect()
    }

    fn new(case: &Case, measured: &Measured, all: &[Measured], cycles_per_nanosecond: f64) -> Option<Self> {
        let cycles = median(measured.rounds.clone())? * cycles_per_nanosecond;
        let peers = all.iter().filter(|peer| measured.kernel.is_some() && peer.kernel.is_none());
        let ratio = peers
            .filter_map(|peer| Some((peer.implementation, rounded(median_ratio(&measured.rounds, &peer.rounds)?))));
        Some(Self {
            bench: "aead",
            implementation: measured.implementation,
            kernel: measured.kernel.map(::aead::Kernel::name),
            suite: case.suite.name(),
            op: case.operation,
            size: case.size,
            batch: case.batch,
            keys: case.keys,
            in_place: case.in_place,
            rates: Rates::of(cycles, case.size, cycles_per_nanosecond),
            rounds: measured.rounds.len(),
            ratio: ratio.collect(),
        })
    }
}

impl Row for Figure {
    fn heading() -> String {
        format!(
            "{:<22} {:<4} {:>5} {:>5} {:>4}  {:<16} {:<8} {:>10} {:>9} {:>9}  own cycles by peer's",
            "suite", "op", "bytes", "batch", "keys", "implementation", "kernel", "cycles/pkt", "Mpps", "Gbit/s"
        )
    }

    fn row(&self) -> String {
        let ratios: Vec<_> = self.ratio.iter().map(|(name, value)| format!("{name} {value}")).collect();
        let row = format!(
            "{:<22} {:<4} {:>5} {:>5} {:>4}  {:<16} {:<8} {:>10.1} {:>9.3} {:>9.3}  {}",
            self.suite,
            self.op.to_string(),
            self.size,
            self.batch,
            self.keys,
            self.implementation,
            self.kernel.unwrap_or_default(),
            self.rates.cycles_per_packet,
            self.rates.mpps,
            self.rates.gbps,
            ratios.join(", ")
        );
        row.trim_end().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use ::aead::{Kernel, Suite};

    use super::*;

    #[test]
    fn a_line_has_its_rates_and_the_ratio_to_every_peer() {
        let case = Case {
            suite: Suite::Aes128Gcm16,
            operation: Operation::Seal,
            size: 64,
            batch: 64,
            keys: 1,
            in_place: false,
        };
        let measured = [
            Measured { implementation: "bordergate", kernel: Some(Kernel::Vaes256), rounds: vec![20.0, 25.0, 90.0] },
            Measured { implementation: "bordergate", kernel: Some(Kernel::Portable), rounds: vec![80.0; 3] },
            Measured { implementation: "ring", kernel: None, rounds: vec![40.0, 100.0, 180.0] },
        ];
        let lines: Vec<_> = Figure::all(&case, &measured, 2.0).iter().map(Figure::json).collect();
        assert_eq!(
            lines,
            [
                r#"{"bench":"aead","impl":"bordergate","kernel":"vaes256","suite":"aes-128-gcm","op":"seal","size":64,"batch":64,"keys":1,"cycles_per_packet":50.0,"mpps":40.0,"gbps":20.48,"rounds":3,"ratio":{"ring":0.5}}"#,
                r#"{"bench":"aead","impl":"bordergate","kernel":"portable","suite":"aes-128-gcm","op":"seal","size":64,"batch":64,"keys":1,"cycles_per_packet":160.0,"mpps":12.5,"gbps":6.4,"rounds":3,"ratio":{"ring":0.8}}"#,
                r#"{"bench":"aead","impl":"ring","suite":"aes-128-gcm","op":"seal","size":64,"batch":64,"keys":1,"cycles_per_packet":200.0,"mpps":10.0,"gbps":5.12,"rounds":3}"#,
            ]
        );
    }
}
