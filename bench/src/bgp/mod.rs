//! `bgp`: how long it takes to receive a full table, to choose routes and to bring them to the workers, what that takes of memory,
//! and what a change of it takes, beside BIRD and FRR.
//!
//! ```text
//! feeder: AS 65001, a thread of this process ==veth pair== AS 65000, the device under test: a process of its own
//! ```
//! All devices hear the same bytes, take all of it and tell nothing; they take turns, each time as a new process, and share the cores
//! with the feeder and whoever looks how far they are. Ours is done when a worker sees the routes; of the peers, which have no workers
//! and are kept from the kernel's table, when they have chosen.

mod addresses;
mod attributes;
mod bird;
mod bordergate;
mod device;
mod family;
mod feeder;
mod figure;
mod folder;
mod frr;
mod message;
mod prefixes;
mod rounds;
mod server;
mod share;
mod table;

use anyhow::{Result, ensure};
use clap::Args;

use crate::environment::Environment;
use crate::namespace::Pair;
use crate::output::Output;
use device::{Kind, Peer};
use figure::Figure;
use rounds::Load;
use table::Table;

/// How to measure.
#[derive(Args)]
pub struct Arguments {
    /// Print one JSON object per figure instead of a table.
    #[arg(long)]
    json: bool,
    /// Prefixes of IPv4.
    #[arg(long, default_value_t = 1_000_000)]
    ipv4: usize,
    /// Prefixes of IPv6.
    #[arg(long, default_value_t = 200_000)]
    ipv6: usize,
    /// Prefixes of those that are withdrawn and announced again.
    #[arg(long, default_value_t = 10_000)]
    changed: usize,
    /// Rounds in which each device takes its turn; the median is reported.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Whom to compare with; no name for nobody.
    #[arg(long, value_delimiter = ',', num_args = 0.., default_values_t = Peer::ALL)]
    peers: Vec<Peer>,
    /// Be the device of a run, in the namespace that it was started in.
    #[arg(long, hide = true)]
    serve: bool,
}

/// Runs the bench and prints its figures.
pub fn run(arguments: &Arguments) -> Result<()> {
    let Arguments { ipv4, ipv6, changed, rounds, .. } = *arguments;
    if arguments.serve {
        return server::serve(ipv4, ipv6);
    }
    let environment = Environment::read();
    ensure!(rounds > 0, "--rounds 0: there is no median of nothing");
    ensure!(changed > 0, "--changed 0: allowed is 1 and more");
    ensure!(ipv4 + ipv6 >= changed, "--changed {changed}: there are but {} prefixes", ipv4 + ipv6);
    // Prefixes are drawn until one is new, so there has to be room for many more.
    ensure!(
        ipv4 <= 3_000_000 && ipv6 <= 3_000_000,
        "--ipv4 {ipv4}, --ipv6 {ipv6}: allowed are 3000000 of each, and less"
    );
    let kinds = device::present(&arguments.peers);
    let table = Table::generate(ipv4, ipv6);
    let load = Load { prefixes: [ipv4, ipv6], announcement: table.announcement(), change: table.change(changed) };
    let sets = table.attribute_sets();
    drop(table);
    eprintln!("{} prefixes in {sets} UPDATEs, {} bytes: {rounds} rounds", ipv4 + ipv6, load.announcement.len());
    let place = Pair::enter("bgp", addresses::set_up)?;
    let found = rounds::measure(&load, &kinds, &place, rounds)?;
    let peers: Vec<_> =
        found.iter().filter(|(kind, _)| **kind != Kind::Bordergate).map(|(kind, of)| (*kind, of)).collect();
    let output = Output::begin::<Figure>(arguments.json);
    for (&kind, rounds) in &found {
        let others = if kind == Kind::Bordergate { &peers[..] } else { &[] };
        output.print(&Figure::new(kind, &load, sets, rounds, others));
    }
    output.end("bgp", &environment);
    Ok(())
}
