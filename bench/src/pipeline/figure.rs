//! What is printed.

use std::collections::BTreeMap;

use serde::Serialize;
use worker::Stage;

use super::case::{Case, Inner, Kind};
use super::laps::Laps;
use crate::environment::Environment;
use crate::median::{median, rounded};
use crate::output::{Rates, Row};

/// One line.
#[derive(Debug, Serialize)]
pub struct Figure {
    bench: &'static str,
    #[serde(rename = "impl")]
    implementation: &'static str,
    kernel: String,
    suite: String,
    op: String,
    inner: &'static str,
    kind: &'static str,
    size: usize,
    sas: u32,
    routes: u32,
    mix: &'static str,
    batch: usize,
    workers: usize,
    #[serde(flatten)]
    rates: Rates,
    rounds: usize,
    /// Cycles per packet, where stages were looked at.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    stages: BTreeMap<&'static str, f64>,
    /// Cycles over those of VPP, as far as those are known.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    ratio: BTreeMap<&'static str, f64>,
}

impl Figure {
    /// The medians of a case's rounds.
    pub fn new(case: &Case, rounds: &[Laps], with_stages: bool, environment: &Environment) -> Self {
        let per_packet = |cycles: &dyn Fn(&Laps) -> u64| {
            let all = rounds.iter().map(|laps| cycles(laps) as f64 / laps.packets as f64).collect();
            rounded(median(all).unwrap_or(f64::NAN))
        };
        let cycles = per_packet(&|laps| laps.total);
        let stage = |stage: Stage| (stage.name(), per_packet(&|laps| laps.stages[stage as usize]));
        Self {
            bench: "pipeline",
            implementation: "bordergate",
            kernel: ::aead::Kernel::chosen().to_string(),
            suite: case.suite.to_string(),
            op: case.operation.to_string(),
            inner: case.inner.name(),
            kind: case.kind.name(),
            size: case.size,
            sas: case.sas,
            routes: case.routes,
            mix: case.mix.name(),
            batch: case.batch,
            workers: 1,
            rates: Rates::of(cycles, case.mean_size(), environment.cycles_per_nanosecond()),
            rounds: rounds.len(),
            stages: if with_stages { Stage::ALL.into_iter().map(stage).collect() } else { BTreeMap::new() },
            ratio: vpp(case).map(|vpp| ("vpp-26.06", rounded(cycles / vpp))).into_iter().collect(),
        }
    }
}

impl Row for Figure {
    fn heading() -> String {
        format!(
            "{:<12} {:<5} {:<5} {:<12} {:>5} {:>7} {:>8} {:<8} {:>10} {:>8} {:>8}  ratios, stages",
            "suite", "op", "inner", "kind", "bytes", "SAs", "routes", "mix", "cycles/pkt", "Mpps", "Gbit/s"
        )
    }

    fn row(&self) -> String {
        let ratios = self.ratio.iter().map(|(name, value)| format!("{name} {value}"));
        let stages = Stage::ALL
            .iter()
            .filter_map(|stage| self.stages.get(stage.name()).map(|cycles| format!("{} {cycles:.1}", stage.name())));
        format!(
            "{:<12} {:<5} {:<5} {:<12} {:>5} {:>7} {:>8} {:<8} {:>10.1} {:>8.3} {:>8.3}  {}",
            self.suite,
            self.op,
            self.inner,
            self.kind,
            self.size,
            self.sas,
            self.routes,
            self.mix,
            self.rates.cycles_per_packet,
            self.rates.mpps,
            self.rates.gbps,
            ratios.chain(stages).collect::<Vec<_>>().join(", ")
        )
    }
}

/// What VPP 26.06 takes with its VAES engine on this kind of machine, one core, whole path, generator excluded: measured
/// once and written down, not in this run.
fn vpp(case: &Case) -> Option<f64> {
    use ::aead::Suite::{Aes128Gcm16, Aes256Gcm16};

    use crate::operation::Operation::{Open, Seal};
    if case.inner != Inner::V4 || case.kind != Kind::Plain {
        return None;
    }
    let row: [f64; 5] = match (case.suite, case.operation) {
        (Aes128Gcm16, Seal) => [199.0, 246.0, 307.0, 407.0, 463.0],
        (Aes128Gcm16, Open) => [249.0, 292.0, 344.0, 447.0, 518.0],
        (Aes256Gcm16, Seal) => [212.0, 266.0, 338.0, 455.0, 521.0],
        (Aes256Gcm16, Open) => [249.0, 307.0, 356.0, 474.0, 557.0],
        _ => return None,
    };
    let column = [64, 256, 512, 1024, 1400].iter().position(|size| *size == case.size)?;
    row.get(column).copied()
}
