//! `pipeline`: the whole way of a packet through a worker, from one memory port to another, in cycles per packet.
//!
//! What is counted is the worker's turn: receive, classify, look up, replay, seal or open, inner checks, headers, transmit.
//! Filling the receiving port before a turn and emptying the transmitting one after it is the network's part, and is not.
//! All cases of one suite, direction and size take turns, round by round, so that noise hits all alike.

pub mod case;
mod figure;
pub mod laps;
mod traffic;
pub mod world;

use ::aead::Suite;
use anyhow::{Result, ensure};
use clap::Args;

use crate::core;
use crate::environment::Environment;
use crate::operation::Operation;
use crate::output::Output;
use case::{Case, Inner, Kind, Mix};
use figure::Figure;
use world::World;

/// Batches of a round.
const BATCHES: usize = 200;

/// How to measure.
#[derive(Args)]
pub struct Arguments {
    /// Print one JSON object per figure instead of a table.
    #[arg(long)]
    json: bool,
    /// Suites, as the figures name them.
    #[arg(long, value_delimiter = ',', value_parser = crate::aead::suite, default_value = "aes-128-gcm,aes-256-gcm")]
    suites: Vec<Suite>,
    /// Directions.
    #[arg(long, value_delimiter = ',', default_value = "seal,open")]
    ops: Vec<Operation>,
    /// The version of the inner packets.
    #[arg(long, default_value = "ipv4")]
    inner: Inner,
    /// What is special about the tunnels or the VPC.
    #[arg(long, value_delimiter = ',', default_value = "plain")]
    kind: Vec<Kind>,
    /// Bytes of the inner packets.
    #[arg(long, value_delimiter = ',', value_parser = clap::value_parser!(u16).range(28..=9000), default_value = "64,256,512,1024,1400")]
    sizes: Vec<u16>,
    /// Security associations, each of a tunnel of its own.
    #[arg(long, value_delimiter = ',', value_parser = clap::value_parser!(u32).range(1..=1_000_000), default_value = "1")]
    sas: Vec<u32>,
    /// Routes into tunnels; there are at least as many as associations.
    #[arg(long, value_delimiter = ',', value_parser = clap::value_parser!(u32).range(1..=4_000_000), default_value = "10")]
    routes: Vec<u32>,
    /// How packets are spread over associations and routes.
    #[arg(long, value_delimiter = ',', default_value = "uniform")]
    mix: Vec<Mix>,
    /// Packets taken from a port at once.
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..=64), default_value_t = 64)]
    batch: u8,
    /// Say which stage takes how much; looking at the clock in between costs a little itself.
    #[arg(long)]
    stages: bool,
    /// Rounds in which every case takes its turn; the median is reported.
    #[arg(long, default_value_t = 21)]
    rounds: usize,
    /// The core to measure on.
    #[arg(long, default_value_t = 1)]
    core: usize,
}

/// Runs the bench and prints its figures.
pub fn run(arguments: &Arguments) -> Result<()> {
    let environment = Environment::read();
    let least = arguments.inner.headers();
    let short = arguments.sizes.iter().find(|size| usize::from(**size) < least);
    ensure!(
        short.is_none(),
        "--sizes {}: packets of {} have {least} bytes at least",
        short.unwrap_or(&0),
        arguments.inner.name()
    );
    ensure!(arguments.rounds > 0, "--rounds 0: there is no median of nothing");
    core::stay(arguments.core)?;
    let output = Output::begin::<Figure>(arguments.json);
    core::wake();
    for &suite in &arguments.suites {
        for &operation in &arguments.ops {
            for &size in &arguments.sizes {
                eprintln!("{suite} {operation} {size} bytes: {} rounds", arguments.rounds);
                let cases = cases(arguments, suite, operation, size);
                for figure in measure(arguments, &cases, &environment)? {
                    output.print(&figure);
                }
            }
        }
    }
    output.end("pipeline", &environment);
    Ok(())
}

/// The cases that take turns: one after the other is varied, against the first of each.
fn cases(arguments: &Arguments, suite: Suite, operation: Operation, size: u16) -> Vec<Case> {
    let &Arguments { inner, ref kind, ref sas, ref routes, ref mix, batch, .. } = arguments;
    let (size, batch) = (usize::from(size), usize::from(batch));
    let mut cases = Vec::new();
    for &mix in mix {
        for &kind in kind {
            for &sas in sas {
                for &routes in routes {
                    let routes = routes.max(sas);
                    cases.push(Case { suite, operation, inner, kind, size, sas, routes, mix, batch });
                }
            }
        }
    }
    cases.dedup();
    cases
}

fn measure(arguments: &Arguments, cases: &[Case], environment: &Environment) -> Result<Vec<Figure>> {
    let mut worlds = Vec::new();
    for case in cases {
        worlds.push(World::build(case)?);
    }
    let mut rounds = vec![Vec::new(); cases.len()];
    // The first round warms up.
    for round in 0..=arguments.rounds {
        for (world, rounds) in worlds.iter_mut().zip(&mut rounds) {
            let laps = world.round(BATCHES, arguments.stages, |_| {})?;
            if round > 0 {
                rounds.push(laps);
            }
        }
    }
    Ok(cases
        .iter()
        .zip(&rounds)
        .map(|(case, rounds)| Figure::new(case, rounds, arguments.stages, environment))
        .collect())
}
