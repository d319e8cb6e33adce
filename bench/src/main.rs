//! `bordergate-bench`: one subcommand per question, one JSON object per figure.
#![forbid(unsafe_code)]

mod aead;
mod bgp;
mod churn;
mod core;
mod environment;
mod failover;
mod flood;
mod handover;
mod ike;
mod median;
mod namespace;
mod operation;
mod output;
mod pipeline;
mod process;
mod veth;

use clap::{Parser, Subcommand};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Measures Bordergate against its peers, in one run and by ratio.
#[derive(Parser)]
#[command(version, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    question: Question,
}

#[derive(Subcommand)]
enum Question {
    /// How close does Bordergate come to plain AF_XDP forwarding on the same veth chain, and how far beyond
    /// strongSwan's userspace ESP? Needs root, and strongSwan for its figures.
    Veth(veth::Arguments),
    /// How many cycles does sealing and opening a packet take, beside the libraries that others use? Needs Intel's
    /// library (Debian's libipsec-mb1) for its figures.
    Aead(aead::Arguments),
    /// How many cycles does a packet's whole way through a worker take, from memory to memory, with how many security
    /// associations and routes?
    Pipeline(pipeline::Arguments),
    /// Does a worker pause while control replaces a hundred thousand security associations?
    Churn(churn::Arguments),
    /// What does a packet cost that is dropped, beside one that passes?
    Flood(flood::Arguments),
    /// How much faster is one security association, all of whose packets arrive at one worker, when a second worker has
    /// nothing else to do? Fails where packets are lost or change places.
    Handover(handover::Arguments),
    /// What do IKE's handshakes and tunnels cost, in processor time and memory, and what do they cost strongSwan under the
    /// same load? Needs root, and strongSwan for its figures.
    Ike(ike::Arguments),
    /// How long does it take to receive a million prefixes, to choose routes and to publish them to the workers, and in how much
    /// memory? Needs root, and BIRD and FRR for their figures.
    Bgp(bgp::Arguments),
    /// How long after a tunnel is lost do packets take another one, with BFD at 10 ms x 3, and how many are lost when a tunnel is
    /// drained? Needs root, nftables and ethtool.
    Failover(failover::Arguments),
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().question {
        Question::Veth(arguments) => veth::run(&arguments),
        Question::Aead(arguments) => aead::run(&arguments),
        Question::Pipeline(arguments) => pipeline::run(&arguments),
        Question::Churn(arguments) => churn::run(&arguments),
        Question::Flood(arguments) => flood::run(&arguments),
        Question::Handover(arguments) => handover::run(&arguments),
        Question::Ike(arguments) => ike::run(&arguments),
        Question::Bgp(arguments) => bgp::run(&arguments),
        Question::Failover(arguments) => failover::run(&arguments),
    }
}
