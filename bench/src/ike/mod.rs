//! `ike`: what handshakes and tunnels cost, beside strongSwan as responder.
//!
//! ```text
//! load: initiators, one thread on its core ==veth pair== responder: a process of its own on the other core
//! ```
//! The initiators are Bordergate's, and the same against both responders, which take turns, each time as a new process.
//! What counts is the processor time of the responder's process, as the load has a core for itself and need not be
//! the faster one. The median of the rounds is reported, and ratios are taken within a round.

mod credentials;
mod figure;
mod load;
mod method;
mod node;
mod pair;
mod responder;
mod rounds;
mod server;
mod sockets;
mod strongswan;
mod tunnels;

use anyhow::{Result, ensure};
use clap::Args;

use crate::core;
use crate::environment::Environment;
use crate::namespace::Pair;
use crate::output::Output;
use figure::{Figure, Scale, Subject};
use method::Method;
use responder::Kind;
use rounds::{Plan, SAMPLE, WARMING};

/// How to measure.
#[derive(Args)]
pub struct Arguments {
    /// Print one JSON object per figure instead of tables.
    #[arg(long)]
    json: bool,
    /// Authentication and key exchange, as the figures name them.
    #[arg(long, value_delimiter = ',', default_values_t = Method::ALL)]
    methods: Vec<Method>,
    /// Handshakes of a round.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=10_000), default_value_t = 1000)]
    handshakes: u32,
    /// Rounds in which each responder takes its turn; the median is reported.
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// Tunnels to bring up for time, memory and growth, by the first method.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=15_000), default_value_t = 10_000)]
    tunnels: u32,
    /// Rounds of that; none leaves it out.
    #[arg(long, default_value_t = 3)]
    tunnel_rounds: usize,
    /// Leave strongSwan out.
    #[arg(long)]
    without_strongswan: bool,
    /// The responder's core.
    #[arg(long, default_value_t = 0)]
    core: usize,
    /// The core of the initiators.
    #[arg(long, default_value_t = 1)]
    load_core: usize,
    /// Be the responder of a run for so many `--tunnels`, in the namespace that it was started in.
    #[arg(long, hide = true)]
    serve: Option<Method>,
}

/// Runs the bench and prints its figures.
pub fn run(arguments: &Arguments) -> Result<()> {
    if let Some(method) = arguments.serve {
        return server::serve(method, arguments.tunnels);
    }
    let environment = Environment::read();
    ensure!(arguments.rounds > 0, "--rounds 0: there is no median of nothing");
    ensure!(arguments.tunnels >= 2 * SAMPLE, "--tunnels {}: allowed is {} and more", arguments.tunnels, 2 * SAMPLE);
    ensure!(arguments.core != arguments.load_core, "--core and --load-core are both {}", arguments.core);
    let place = Pair::enter("ike", tunnels::set_up)?;
    core::stay(arguments.load_core)?;
    core::wake();
    let kinds = responder::present(arguments.without_strongswan);
    let plan = Plan { place: &place, kinds: &kinds, core: arguments.core, rounds: arguments.rounds };
    let output = Output::begin::<Figure>(arguments.json);
    for &method in &arguments.methods {
        eprintln!("{method}: {} rounds of {} handshakes", plan.rounds, arguments.handshakes);
        let able = |kind: &&Kind| **kind != Kind::StrongSwan || method.strongswan_proposal().is_some();
        let kinds: Vec<Kind> = kinds.iter().filter(able).copied().collect();
        let plan = Plan { kinds: &kinds, ..plan };
        for figure in handshakes(plan, method, arguments.handshakes)? {
            output.print(&figure);
        }
    }
    if let Some(&method) = arguments.methods.first().filter(|_| arguments.tunnel_rounds > 0) {
        eprintln!("{method}: {} rounds of {} tunnels", arguments.tunnel_rounds, arguments.tunnels);
        let plan = Plan { rounds: arguments.tunnel_rounds, ..plan };
        let (figures, scales) = tunnels_up(plan, method, arguments.tunnels)?;
        figures.iter().for_each(|figure| output.print(figure));
        let output = Output::begin::<Scale>(arguments.json);
        scales.iter().for_each(|scale| output.print(scale));
    }
    output.end("ike", &environment);
    Ok(())
}

/// The rows of one method.
fn handshakes(plan: Plan<'_>, method: Method, handshakes: u32) -> Result<Vec<Figure>> {
    let found = rounds::handshakes(plan, method, handshakes)?;
    let (kind, established) = (Kind::Bordergate, WARMING);
    let subject = Subject { kind, role: "responder", over: "udp", method, established, handshakes };
    let strongswan = found.responders.get(&Kind::StrongSwan);
    let mut figures = Vec::new();
    for (&kind, rounds) in &found.responders {
        figures.push(Figure::new(Subject { kind, ..subject }, rounds, strongswan.filter(|_| kind == Kind::Bordergate)));
    }
    figures.push(Figure::new(Subject { role: "initiator", ..subject }, &found.initiator, None));
    let subject = Subject { over: "memory", established: 0, ..subject };
    figures.push(Figure::new(subject, &found.responder_in_memory, None));
    figures.push(Figure::new(Subject { role: "initiator", ..subject }, &found.initiator_in_memory, None));
    Ok(figures)
}

/// The rows of many tunnels: what a handshake costs by how many are up, and what all take.
fn tunnels_up(plan: Plan<'_>, method: Method, tunnels: u32) -> Result<(Vec<Figure>, Vec<Scale>)> {
    let found = rounds::scale(plan, method, tunnels)?;
    let strongswan = found.get(&Kind::StrongSwan);
    let (mut figures, mut scales) = (Vec::new(), Vec::new());
    for (&kind, rounds) in &found {
        let peer = strongswan.filter(|_| kind == Kind::Bordergate);
        for (&established, costs) in &rounds.costs {
            let subject = Subject { kind, role: "responder", over: "udp", method, established, handshakes: SAMPLE };
            figures.push(Figure::new(subject, costs, peer.and_then(|peer| peer.costs.get(&established))));
        }
        scales.push(Scale::new(kind, method, tunnels, rounds, peer));
    }
    Ok((figures, scales))
}
