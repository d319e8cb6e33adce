//! `flood`: what packets cost that are dropped, beside those that pass.
//!
//! One worker opens good packets alone, then good ones and bad ones of one class by turns, half and half. What a bad one
//! costs is what a batch takes longer than its good packets do alone. If no class costs more than a good packet, a flood of
//! it takes no more than its share of the core. All classes take turns, round by round.

mod class;
mod figure;

use ::aead::Suite;
use anyhow::{Result, ensure};
use clap::Args;
use quanta::Clock;

use crate::core;
use crate::environment::Environment;
use crate::operation::Operation;
use crate::output::Output;
use crate::pipeline::case::Case;
use crate::pipeline::world::{VPC, World};
use class::{Class, Forger};
use figure::Figure;

/// Batches of a round.
const BATCHES: u64 = 200;
/// Packets of a batch.
const BATCH: usize = 64;

/// How to measure.
#[derive(Args)]
pub struct Arguments {
    /// Print one JSON object per figure instead of a table.
    #[arg(long)]
    json: bool,
    /// Suites, as the figures name them.
    #[arg(long, value_delimiter = ',', value_parser = crate::aead::suite, default_value = "aes-128-gcm")]
    suites: Vec<Suite>,
    /// Bytes of the inner packets, good and bad.
    #[arg(long, value_delimiter = ',', value_parser = clap::value_parser!(u16).range(64..=9000), default_value = "64,1400")]
    sizes: Vec<u16>,
    /// Rounds in which every class takes its turn; the median is reported.
    #[arg(long, default_value_t = 21)]
    rounds: usize,
    /// The core to measure on.
    #[arg(long, default_value_t = 1)]
    core: usize,
}

/// Runs the bench and prints its figures.
pub fn run(arguments: &Arguments) -> Result<()> {
    let environment = Environment::read();
    ensure!(arguments.rounds > 0, "--rounds 0: there is no median of nothing");
    core::stay(arguments.core)?;
    let output = Output::begin::<Figure>(arguments.json);
    core::wake();
    for &suite in &arguments.suites {
        for &size in &arguments.sizes {
            eprintln!("{suite} {size} bytes: {} rounds", arguments.rounds);
            let case = Case::plain(suite, Operation::Open, usize::from(size), BATCH);
            for figure in measure(&case, arguments.rounds)? {
                output.print(&figure);
            }
        }
    }
    output.end("flood", &environment);
    Ok(())
}

fn measure(case: &Case, rounds: usize) -> Result<Vec<Figure>> {
    let mut world = World::build(case)?;
    let mut forger = Forger::new(case);
    let mut good = Vec::new();
    // What is authentic is sealed here as ciphers with a salt have it.
    let classes =
        Class::ALL.into_iter().filter(|class| *class != Class::UnknownNextHeader || case.suite.salt_length() > 0);
    let mut bad: Vec<_> = classes.map(|class| (class, Vec::new())).collect();
    // The first round warms up.
    for round in 0..=rounds {
        // What passes at its best, without anything else in the batch.
        let alone = round_of(&mut world, &mut forger, None)? / BATCH as f64;
        for (class, costs) in &mut bad {
            let mixed = round_of(&mut world, &mut forger, Some(*class))?;
            if round > 0 {
                costs.push((mixed - alone * (BATCH / 2) as f64) / (BATCH / 2) as f64);
            }
        }
        if round > 0 {
            good.push(alone);
        }
    }
    let figure = |(class, costs): &(Class, Vec<f64>)| Figure::new(case, *class, costs, &good);
    Ok(bad.iter().map(figure).collect())
}

/// Cycles of a batch: of good packets, or of as many bad ones of a class between them.
///
/// # Errors
/// Where the good ones did not all pass, or a bad one was dropped for another reason than its class's: no figure is worth
/// anything then.
fn round_of(world: &mut World, forger: &mut Forger, class: Option<Class>) -> Result<f64> {
    let clock = Clock::new();
    let before = world.worker().1.counters();
    let mut cycles = 0;
    for _ in 0..BATCHES {
        for position in 0..BATCH {
            match class {
                Some(class) if position % 2 == 1 => forger.forge(world, class),
                Some(_) | None => forger.pass(world),
            }
        }
        let began = clock.raw();
        world.worker().0.poll();
        cycles += clock.raw().wrapping_sub(began);
        world.worker().0.ports()[VPC].drain_with(|_| {});
    }
    let after = world.worker().1.counters();
    let bad = class.map_or(0, |_| BATCHES * BATCH as u64 / 2);
    let passed = after.transmitted - before.transmitted;
    let reasons = class.map_or(&[][..], Class::reasons);
    let dropped: u64 =
        reasons.iter().map(|reason| after.drops[*reason as usize] - before.drops[*reason as usize]).sum();
    ensure!(
        passed == BATCHES * BATCH as u64 - bad && dropped + (after.merged - before.merged) >= bad,
        "{class:?}: {passed} passed, {dropped} of {bad} were dropped for their reason: {after:?}"
    );
    Ok(cycles as f64 / BATCHES as f64)
}
