//! `failover`: how long it takes until packets leave a tunnel that is lost, and what a planned move costs, between two gateways
//! that speak BGP in two tunnels and watch each by BFD.
//!
//! ```text
//! host == cloud: AS 65000, core 0 == internet: a router == customer: AS 65001, core 1 == host
//!                       tun-1: 203.0.113.1 to 198.51.100.2, tun-2: 203.0.113.2 to 192.0.2.2
//! ```
//! Numbered datagrams of many flows go both ways at a steady rate. The router drops what is between the ends of one tunnel, all at
//! once; the failover of a direction is the time between the last packet that arrived of the flows in that tunnel and the first one
//! that arrived by the other tunnel. Which flows these are is found out by dropping long packets alone, which BFD does not notice.
//!
//! Gateways, load and router share two cores, so that no other work should be about.

mod direction;
mod figure;
mod folder;
mod gateway;
mod load;
mod patience;
mod pulse;
mod reading;
mod round;
mod router;
mod sessions;
mod site;
mod topology;
mod tunnel;

use std::path::PathBuf;

use anyhow::{Result, ensure};
use clap::Args;

use crate::environment::Environment;
use crate::output::Output;
use direction::Direction;
use figure::Figure;
use pulse::{Pulse, STANDSTILL};
use round::{Bed, Measured};
use sessions::Flap;

/// In so many attempts a round has to be undisturbed.
const ATTEMPTS: usize = 8;

/// How to measure.
#[derive(Args)]
pub struct Arguments {
    /// Print one JSON object per figure instead of a table.
    #[arg(long)]
    json: bool,
    /// Rounds, in each of which a tunnel is cut, comes back and is drained; the median is reported, and the worst.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// The daemon. Default: the one beside this program.
    #[arg(long)]
    bordergate: Option<PathBuf>,
    /// What the gateways log, in the words of `bordergate run --log`.
    #[arg(long, default_value = "info")]
    log: String,
    /// Where their logs and resource files go and stay. Default: a folder that is removed unless the run fails.
    #[arg(long)]
    folder: Option<PathBuf>,
}

/// Runs the bench and prints its figures.
pub fn run(arguments: &Arguments) -> Result<()> {
    let environment = Environment::read();
    ensure!(arguments.rounds > 0, "--rounds 0: there is no median of nothing");
    let program = match &arguments.bordergate {
        Some(path) => path.clone(),
        None => std::env::current_exe()?.with_file_name("bordergate"),
    };
    ensure!(program.is_file(), "{} is not there: build it, or name one by --bordergate", program.display());
    let mut bed = Bed::build(&program, &arguments.log, arguments.folder.as_deref())?;
    let found = measure(&mut bed, arguments.rounds).map_err(|error| bed.keep(error))?;
    bed.stop()?;
    let output = Output::begin::<Figure>(arguments.json);
    for direction in Direction::ALL {
        let rounds: Vec<Measured> = found.rounds.iter().map(|round| round[direction.index()]).collect();
        output.print(&Figure::new(direction, &rounds, found.disturbances));
    }
    output.end("failover", &environment);
    Ok(())
}

/// All rounds.
struct Found {
    rounds: Vec<[Measured; 2]>,
    disturbances: Disturbances,
}

/// Why rounds were played again.
#[derive(Debug, Clone, Copy, Default)]
struct Disturbances {
    /// How often a tunnel was lost that nobody had cut, while the machine kept time.
    flaps: u64,
    /// Attempts in which it did not.
    standstills: u64,
}

/// So many rounds in which nothing was lost but what was cut. What holds up the whole machine says nothing of a gateway, so it
/// counts as nothing; what does not is a flap.
fn measure(bed: &mut Bed, rounds: usize) -> Result<Found> {
    let mut found = Found { rounds: Vec::new(), disturbances: Disturbances::default() };
    for number in 1..=rounds {
        let mut attempts = 0;
        let round = loop {
            attempts += 1;
            let pulse = Pulse::start();
            let done = bed.round();
            let longest = pulse.stop();
            let reason = if longest >= STANDSTILL {
                found.disturbances.standstills += 1;
                let error = done.err().map(|error| format!(": {error:#}")).unwrap_or_default();
                format!("the machine stood still for {longest:.0?}{error}")
            } else {
                let error = match done {
                    Ok(round) => break round,
                    Err(error) => error,
                };
                let flap: Flap = error.downcast()?;
                found.disturbances.flaps += flap.count;
                flap.to_string()
            };
            eprintln!("round {number}: once more, for {reason}");
            ensure!(attempts < ATTEMPTS, "round {number} was disturbed in all of {ATTEMPTS} attempts: {reason}");
        };
        tell(number, &round);
        found.rounds.push(round);
    }
    Ok(found)
}

/// So that whoever waits sees something.
fn tell(number: usize, round: &[Measured; 2]) {
    for (direction, way) in Direction::ALL.into_iter().zip(round) {
        eprintln!(
            "round {number}, {}: failover {:.1} ms, {} lost; {} lost in coming back, {} in draining",
            direction.name(),
            way.failover_ms,
            way.lost,
            way.back_lost,
            way.drain_lost
        );
    }
}
