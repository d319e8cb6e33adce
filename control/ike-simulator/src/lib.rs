//! Pairs and meshes of IKEv2 endpoints under virtual time, with everything that can go wrong between
//! them: loss, duplication, reordering, delay, damage, partitions, NATs that forget, crashes, operators.
//!
//! One number, the seed, decides a whole run: what the tunnels are like, what goes wrong and when, and every random byte
//! that an endpoint asks for. So a run that fails is replayed exactly, with every event in words.
//!
//! A run has two parts. First things go wrong, for one to four minutes. Then everything is mended, and tunnels have to
//! come up within [`Plan::recovery`], and to be exactly as configured some time later. What has to hold at all times
//! and in the end are the [`Violation`]s. In 40 of 100 runs nothing but IKE messages is disturbed; there no packet may be
//! lost and no tunnel may go down.

#![forbid(unsafe_code)]
#![deny(clippy::indexing_slicing)]

mod dataplane;
mod dice;
mod hunt;
mod inspection;
mod journal;
mod network;
mod node;
mod plan;
mod sabotage;
mod statistics;
mod traffic;
mod trouble;
mod violation;
mod world;

use std::time::{Duration, Instant};

pub use hunt::{Failure, hunt};
pub use journal::Journal;
pub use plan::{Plan, Weather};
pub use sabotage::Sabotage;
pub use statistics::Statistics;
pub use violation::Violation;

/// How a run ended.
#[derive(Debug)]
pub struct Outcome {
    /// What it was made of.
    pub statistics: Statistics,
    /// The rule it broke, and when, if it broke one.
    pub violation: Option<(Duration, Violation)>,
    /// What happened, as far as it was to be noted.
    pub journal: Journal,
}

/// Runs one seed. The same seed gives the same run whatever `start` is.
pub fn simulate(seed: u64, start: Instant, journal: Journal) -> Outcome {
    run(seed, start, journal, None)
}

/// Runs one seed with something broken on purpose.
pub fn simulate_sabotaged(seed: u64, start: Instant, journal: Journal, sabotage: Sabotage) -> Outcome {
    run(seed, start, journal, Some(sabotage))
}

fn run(seed: u64, start: Instant, journal: Journal, sabotage: Option<Sabotage>) -> Outcome {
    let mut world = world::World::new(seed, start, journal, sabotage);
    let violation = world.run().err().map(|v| (world.now.saturating_duration_since(start), v));
    world.statistics.runs = 1;
    Outcome { statistics: world.statistics, violation, journal: world.journal }
}
