//! `churn`: whether a worker pauses while control changes security associations by the hundred thousand.
//!
//! A worker forwards over memory ports on one core. On another, a thread works as control does when tunnels are rekeyed
//! and go up and down: it publishes a snapshot for every change. What a pause has other causes for is told by two
//! companions in the same run: the other core at rest, and the other core doing the same work on tables of its own,
//! which the worker does not read. All three take turns, round by round, so that noise hits all alike.

mod changes;
mod figure;
mod turns;

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use ::aead::Suite;
use anyhow::{Context, Result, ensure};
use clap::Args;

use crate::core;
use crate::environment::Environment;
use crate::operation::Operation;
use crate::output::Output;
use crate::pipeline::case::Case;
use crate::pipeline::world::World;
use changes::{Beside, Changes};
use figure::Figure;
use turns::Turns;

/// Tunnels that traffic goes to: few, so that turns without a pause are short.
const TUNNELS: usize = 64;

/// How to measure.
#[derive(Args)]
pub struct Arguments {
    /// Print one JSON object per figure instead of a table.
    #[arg(long)]
    json: bool,
    /// Security associations in the tables: half of them inbound.
    #[arg(long, value_parser = clap::value_parser!(u32).range(100..=500_000), default_value_t = 100_000)]
    sas: u32,
    /// Bytes of the inner packets.
    #[arg(long, value_parser = clap::value_parser!(u16).range(28..=9000), default_value_t = 64)]
    size: u16,
    /// Packets taken from a port at once.
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..=64), default_value_t = 32)]
    batch: u8,
    /// Seconds of a round.
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
    /// Rounds in which each of the three takes its turn.
    #[arg(long, default_value_t = 9)]
    rounds: usize,
    /// The worker's core.
    #[arg(long, default_value_t = 1)]
    core: usize,
    /// Control's core.
    #[arg(long, default_value_t = 0)]
    control_core: usize,
}

/// Runs the bench and prints its figures.
pub fn run(arguments: &Arguments) -> Result<()> {
    let environment = Environment::read();
    ensure!(arguments.rounds > 0, "--rounds 0: nothing would be measured");
    ensure!(arguments.seconds > 0.0, "--seconds {}: allowed is more than 0", arguments.seconds);
    ensure!(arguments.core != arguments.control_core, "--core and --control-core are both {}", arguments.core);
    let (size, batch) = (usize::from(arguments.size), usize::from(arguments.batch));
    let plain = Case::plain(Suite::Aes128Gcm16, Operation::Seal, size, batch);
    let case = Case { sas: arguments.sas / 2, routes: arguments.sas / 2, ..plain };
    eprintln!("{} associations: building", arguments.sas);
    let (mut world, control) = World::with_control(&case)?;
    let mut changes = Changes::new(case, control)?;
    let tunnels: Vec<_> = world.undivided().filter(|tunnel| changes::is_in_use(*tunnel)).take(TUNNELS).collect();
    core::stay(arguments.core)?;
    core::wake();
    let mut figures =
        Beside::ALL.map(|beside| (beside, Turns::new(environment.cycles_per_nanosecond()), Progress::default()));
    // The first round warms up.
    for round in 0..=arguments.rounds {
        eprintln!("round {round} of {}", arguments.rounds);
        for (beside, turns, progress) in &mut figures {
            let mut turn = Turns::new(environment.cycles_per_nanosecond());
            let done = measure(arguments, *beside, (&mut world, &tunnels), &mut changes, &mut turn)?;
            if round > 0 {
                turns.add(&turn);
                progress.add(&done);
            }
        }
    }
    let output = Output::begin::<Figure>(arguments.json);
    for (beside, turns, progress) in &figures {
        let figure = Figure::new(*beside, &case, turns, progress);
        output.print(&figure);
    }
    output.end("churn", &environment);
    Ok(())
}

/// What the other core got done.
#[derive(Debug, Clone, Copy, Default)]
pub struct Progress {
    /// Changes to the tables.
    pub changes: u64,
    /// Associations that were made.
    pub made: u64,
    pub seconds: f64,
}

impl Progress {
    fn add(&mut self, other: &Self) {
        self.changes += other.changes;
        self.made += other.made;
        self.seconds += other.seconds;
    }
}

/// One round of one of the three.
fn measure(
    arguments: &Arguments,
    beside: Beside,
    (world, tunnels): (&mut World, &[u32]),
    changes: &mut Changes,
    turns: &mut Turns,
) -> Result<Progress> {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let other = scope.spawn(|| {
            core::stay(arguments.control_core)?;
            let began = Instant::now();
            let mut progress = Progress::default();
            while !stop.load(Relaxed) {
                changes.step(beside, &mut progress)?;
            }
            progress.seconds = began.elapsed().as_secs_f64();
            anyhow::Ok(progress)
        });
        let outcome = turns.run(world, Duration::from_secs_f64(arguments.seconds), tunnels);
        stop.store(true, Relaxed);
        let progress = other.join().ok().context("the other core's thread panicked")?;
        outcome.and(progress)
    })
}
