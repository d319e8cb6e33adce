//! `veth`: what ESP costs on top of plain AF_XDP forwarding, on one chain of veth pairs.
//!
//! ```text
//! ends: generator ==near== device under test ==far== ends: sink        (seal; the other way for open)
//! ```
//! One thread, on its own core, generates and drains; the device under test has the other core. The three devices take
//! turns on the same chain, round by round, and the median of the rounds is reported, so that noise hits all alike.

mod chain;
mod device;
mod load;
mod strongswan;
mod traffic;

use std::collections::BTreeMap;

use anyhow::Result;
use clap::Args;
use serde::Serialize;

use crate::environment::Environment;
use crate::median::{median, median_ratio, rounded};
use crate::operation::Operation;
use crate::output::{Output, Row};
use chain::Chain;
use device::{Device, Kind};
use load::{Load, Measured, Pace};
use strongswan::StrongSwan;
use traffic::Traffic;

/// How to measure.
#[derive(Args)]
pub struct Arguments {
    /// Print one JSON object per figure instead of a table.
    #[arg(long)]
    json: bool,
    /// Bytes of the inner packets.
    #[arg(long, value_delimiter = ',', default_value = "64,1400")]
    sizes: Vec<usize>,
    /// Rounds per device; the median is reported.
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// Seconds of full load per round; latency takes as long again.
    #[arg(long, default_value_t = 0.5)]
    seconds: f64,
    /// Leave strongSwan out.
    #[arg(long)]
    without_strongswan: bool,
    /// The core of the device under test.
    #[arg(long, default_value_t = 0)]
    core: usize,
    /// The core that generates and drains.
    #[arg(long, default_value_t = 1)]
    load_core: usize,
}

#[derive(Debug, Serialize)]
struct Figure {
    bench: &'static str,
    #[serde(rename = "impl")]
    implementation: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    suite: Option<&'static str>,
    op: &'static str,
    size: usize,
    mpps: f64,
    gbps: f64,
    busy_cycles_per_packet: f64,
    /// Of the rounds in which nothing was lost; none if something always was.
    latency_mpps: Option<f64>,
    p50_us: Option<f64>,
    p99_us: Option<f64>,
    p999_us: Option<f64>,
    rounds: usize,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    ratio: BTreeMap<&'static str, f64>,
}

/// Runs the bench and prints its figures.
pub fn run(arguments: &Arguments) -> Result<()> {
    let environment = Environment::read();
    let chain = Chain::build()?;
    let strongswan = if arguments.without_strongswan { None } else { Some(StrongSwan::start(&chain)?) };
    let output = Output::begin::<Figure>(arguments.json);
    for &size in &arguments.sizes {
        for operation in [Operation::Seal, Operation::Open] {
            eprintln!("{} {size} bytes: {} rounds", operation.name(), arguments.rounds);
            let rounds = measure(arguments, &chain, strongswan.as_ref(), operation, size)?;
            for figure in figures(&rounds, operation, size, environment.cycles_per_nanosecond()) {
                output.print(&figure);
            }
        }
    }
    output.end("veth", &environment);
    Ok(())
}

/// All rounds of one operation and size, the devices taking turns.
fn measure(
    arguments: &Arguments,
    chain: &Chain,
    strongswan: Option<&StrongSwan>,
    operation: Operation,
    size: usize,
) -> Result<BTreeMap<Kind, Vec<Measured>>> {
    let mut rounds: BTreeMap<Kind, Vec<Measured>> = BTreeMap::new();
    device::pin(arguments.load_core);
    let traffic = Traffic::new(chain, operation, size);
    let mut load = Load::open(chain, operation)?;
    let (core, seconds) = (arguments.core, arguments.seconds);
    for _ in 0..arguments.rounds {
        for kind in Kind::ALL {
            let mut device = match (kind, strongswan, operation) {
                (Kind::Forwarder, ..) => Device::forwarder(chain, operation, core)?,
                (Kind::Bordergate, ..) => Device::bordergate(chain, core)?,
                (Kind::StrongSwan, Some(strongswan), Operation::Seal) => Device::StrongSwan(strongswan),
                (Kind::StrongSwan, ..) => continue,
            };
            let full = device.run(&mut load, &traffic, Pace::Full, seconds);
            // Half of what it can do: queues stay short, and what is measured is the way, not the wait.
            let paced = device.run(&mut load, &traffic, Pace::PerSecond(full.per_second() / 2.0), seconds);
            rounds.entry(kind).or_default().push(full.with_latency(paced));
        }
    }
    Ok(rounds)
}

fn figures(
    rounds: &BTreeMap<Kind, Vec<Measured>>,
    operation: Operation,
    size: usize,
    cycles_per_nanosecond: f64,
) -> Vec<Figure> {
    let values = |kind: Kind, value: &dyn Fn(&Measured) -> f64| -> Option<Vec<f64>> {
        rounds.get(&kind).map(|rounds| rounds.iter().map(value).collect())
    };
    let median_of = |kind: Kind, value: &dyn Fn(&Measured) -> f64| median(values(kind, value)?);
    let cycles = |round: &Measured| round.busy_nanoseconds_per_packet() * cycles_per_nanosecond;
    let ratio_to = |other: Kind, value: &dyn Fn(&Measured) -> f64| {
        median_ratio(&values(Kind::Bordergate, value)?, &values(other, value)?).map(rounded)
    };
    let figure = |kind: Kind| {
        let per_second = median_of(kind, &Measured::per_second)?;
        let whole = |value: &dyn Fn(&Measured) -> Option<f64>| {
            median(rounds.get(&kind)?.iter().filter_map(value).collect()).map(rounded)
        };
        let latency = |quantile| whole(&|round| round.latency_microseconds(quantile));
        let ratio = if kind == Kind::Bordergate {
            [
                ("forwarder", ratio_to(Kind::Forwarder, &Measured::per_second)),
                ("forwarder_cycles", ratio_to(Kind::Forwarder, &cycles)),
                ("strongswan", ratio_to(Kind::StrongSwan, &Measured::per_second)),
            ]
            .into_iter()
            .filter_map(|(name, ratio)| Some((name, ratio?)))
            .collect()
        } else {
            BTreeMap::new()
        };
        Some(Figure {
            bench: "veth",
            implementation: kind.name(),
            suite: (kind != Kind::Forwarder).then_some("aes-128-gcm"),
            op: operation.name(),
            size,
            mpps: rounded(per_second / 1e6),
            gbps: rounded(per_second * size as f64 * 8.0 / 1e9),
            busy_cycles_per_packet: median_of(kind, &cycles)?.round(),
            latency_mpps: whole(&|round| Some(round.latency_per_second()? / 1e6)),
            p50_us: latency(0.5),
            p99_us: latency(0.99),
            p999_us: latency(0.999),
            rounds: rounds.get(&kind)?.len(),
            ratio,
        })
    };
    Kind::ALL.into_iter().filter_map(figure).collect()
}

impl Row for Figure {
    fn heading() -> String {
        format!(
            "{:<12} {:<5} {:>5} {:>8} {:>8} {:>12} {:>8} {:>8} {:>8}  ratios",
            "device", "op", "bytes", "Mpps", "Gbit/s", "busy cyc/pkt", "p50 us", "p99 us", "p99.9 us"
        )
    }

    fn row(&self) -> String {
        let ratios: Vec<_> = self.ratio.iter().map(|(name, value)| format!("{name} {value}")).collect();
        let latency = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.1}"));
        format!(
            "{:<12} {:<5} {:>5} {:>8.3} {:>8.3} {:>12} {:>8} {:>8} {:>8}  {}",
            self.implementation,
            self.op,
            self.size,
            self.mpps,
            self.gbps,
            self.busy_cycles_per_packet,
            latency(self.p50_us),
            latency(self.p99_us),
            latency(self.p999_us),
            ratios.join(", ")
        )
    }
}
