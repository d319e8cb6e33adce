//! `handover`: one association whose packets all arrive at one worker, alone and with a second worker that has nothing else
//! to do, from memory to memory.
//!
//! As in `pipeline`, what is counted are the turns of the worker that has the packets, and it takes turns, round by round,
//! with one that has nobody to help it. Packets of 160 flows are numbered; a run in which one is lost, damaged or out of
//! order fails.

mod figure;
mod order;

use std::thread;

use ::aead::Suite;
use anyhow::{Context, Result, ensure};
use clap::Args;

use crate::core;
use crate::environment::Environment;
use crate::operation::Operation;
use crate::output::Output;
use crate::pipeline::case::Case;
use crate::pipeline::laps::Laps;
use crate::pipeline::world::{World, receiving};
use figure::{Figure, Rounds, figures};
use order::Order;

/// Batches of a round.
const BATCHES: usize = 200;
/// Batches in which the second worker has to begin to help; it does not where that does not pay.
const BEGINNING: usize = 400;

/// How to measure.
#[derive(Args)]
pub struct Arguments {
    /// Print one JSON object per figure instead of a table.
    #[arg(long)]
    json: bool,
    /// Suites, as the figures name them.
    #[arg(long, value_delimiter = ',', value_parser = crate::aead::suite, default_value = "aes-128-gcm,chacha20-poly1305,aes-256-cbc+sha256-128")]
    suites: Vec<Suite>,
    /// Directions.
    #[arg(long, value_delimiter = ',', default_value = "seal,open")]
    ops: Vec<Operation>,
    /// Bytes of the inner packets.
    #[arg(long, value_delimiter = ',', value_parser = clap::value_parser!(u16).range(28..=9000), default_value = "64,512,1400")]
    sizes: Vec<u16>,
    /// Packets taken from a port at once.
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..=64), default_value_t = 64)]
    batch: u8,
    /// Rounds in which each number of workers takes its turn; the median is reported.
    #[arg(long, default_value_t = 21)]
    rounds: usize,
    /// The core of the worker that has the packets, and that of the second worker.
    #[arg(long, value_delimiter = ',', num_args = 2, default_value = "1,0")]
    cores: Vec<usize>,
}

/// Runs the bench and prints its figures.
pub fn run(arguments: &Arguments) -> Result<()> {
    let environment = Environment::read();
    ensure!(arguments.rounds > 0, "--rounds 0: there is no median of nothing");
    let &[own, other] = &arguments.cores[..] else { anyhow::bail!("--cores takes two cores, such as 1,0") };
    ensure!(own != other, "--cores {own},{other}: the workers need a core each");
    core::stay(own)?;
    let output = Output::begin::<Figure>(arguments.json);
    core::wake();
    for &suite in &arguments.suites {
        for &operation in &arguments.ops {
            for &size in &arguments.sizes {
                eprintln!("{suite} {operation} {size} bytes: {} rounds", arguments.rounds);
                let (size, batch) = (usize::from(size), usize::from(arguments.batch));
                let case = Case::plain(suite, operation, size, batch);
                for figure in figures(&case, &measure(&case, arguments.rounds, other)?, &environment) {
                    output.print(&figure);
                }
            }
        }
    }
    output.end("handover", &environment);
    Ok(())
}

fn measure(case: &Case, rounds: usize, core: usize) -> Result<[Rounds; 2]> {
    let (mut alone, mut home, mut helper) = (World::build(case)?, World::build(case)?, World::build(case)?);
    for (world, member) in [&mut home, &mut helper].into_iter().zip(port::team(2)) {
        world.worker().0.join(member);
    }
    let mut measured = [Rounds::default(), Rounds::default()];
    let mut orders = [Order::default(), Order::default()];
    // The first round warms up.
    for round in 0..=rounds {
        let [one, two] = &mut orders;
        let laps = alone.round(BATCHES, false, |frame| one.look(case.operation, frame))?;
        let (helped, handed_over, taken_back) =
            helped(&mut home, &mut helper, core, |frame| two.look(case.operation, frame))?;
        if round > 0 {
            measured[0].push(laps, 0, 0);
            measured[1].push(helped, handed_over, taken_back);
        }
    }
    if case.operation == Operation::Seal {
        // In a round of its own, for it takes long.
        let (peer, mut inside) = (receiving(case, 0)?, Order::default());
        helped(&mut home, &mut helper, core, |frame| inside.look_inside(&peer, frame))?;
        inside.verdict()?;
    }
    orders.iter().try_for_each(Order::verdict)?;
    Ok(measured)
}

/// A round with help, and how many packets were handed over and taken back.
fn helped(home: &mut World, helper: &mut World, core: usize, mut look: impl FnMut(&[u8])) -> Result<(Laps, u64, u64)> {
    let (worker, handle) = helper.worker();
    thread::scope(|scope| {
        let helping = scope.spawn(move || {
            core::stay(core)?;
            worker.run();
            anyhow::Ok(())
        });
        let mut round = || {
            let count = |home: &mut World| home.worker().1.counters().hand_over;
            let start = count(home);
            for _ in 0..BEGINNING {
                home.round(1, false, &mut look)?;
                if count(home).handed_over > start.handed_over {
                    break;
                }
            }
            let before = count(home);
            let laps = home.round(BATCHES, false, &mut look)?;
            let after = count(home);
            Ok((laps, after.handed_over - before.handed_over, after.taken_back - before.taken_back))
        };
        let result = round();
        handle.stop();
        helping.join().ok().context("the second worker panicked")??;
        result
    })
}
