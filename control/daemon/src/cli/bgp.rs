//! The flags of `bgp`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::DEFAULT_SOCKET;

/// What is asked about BGP, or wanted of it.
#[derive(Debug, Clone, Subcommand)]
pub enum Bgp {
    /// All neighbours in a table: state, prefixes, BFD, and why one is not up.
    Summary(Look),
    /// All there is to know about the peer in one tunnel: what was agreed on, prefixes, policies, the last error.
    Neighbor(OfTunnel),
    /// Routes: all there are, with why one is taken and another is not.
    ///
    /// What a peer has told, as it came (Adj-RIB-In):    bordergate bgp rib --in tun-1
    /// What a peer was told (Adj-RIB-Out):               bordergate bgp rib --out tun-1
    /// What traffic takes (Loc-RIB):                     bordergate bgp rib --best
    #[command(verbatim_doc_comment)]
    Rib(Rib),
    /// All routes to one prefix, with the rule that decides between them.
    Explain(Explain),
    /// What has happened to BGP and BFD sessions, with causes, oldest first.
    Events(Events),
    /// Have a tunnel's traffic go through the others, both ways, so that it can be taken down without loss.
    ///
    /// The peer is told of longer AS paths and a higher MED in this tunnel (`drain_prepend`, `drain_med`); what is sent to it
    /// takes other tunnels at once. It lasts until `undrain` or the gateway's end; `weight = 0` in the resource file does the same.
    Drain(OfTunnel),
    /// Have a tunnel take its share again.
    Undrain(OfTunnel),
    /// Ask the peer for all its routes again (RFC 2918). Nothing is interrupted.
    Refresh(OfTunnel),
    /// End the session and begin anew. Its routes are gone until it is up again.
    Reset(OfTunnel),
}

/// Flags that all of them have.
#[derive(Debug, Clone, Args)]
pub struct Look {
    /// One JSON object, for programs, instead of tables.
    #[arg(long)]
    pub json: bool,
    /// The socket of the gateway to ask (`run --socket`).
    #[arg(long, value_name = "PATH", default_value = DEFAULT_SOCKET)]
    pub socket: PathBuf,
}

/// The flags of what is about one tunnel.
#[derive(Debug, Clone, Args)]
pub struct OfTunnel {
    /// The tunnel's name.
    #[arg(value_name = "TUNNEL")]
    pub tunnel: String,
    #[command(flatten)]
    pub look: Look,
}

/// The flags of `bgp rib`.
#[derive(Debug, Clone, Args)]
pub struct Rib {
    /// Of this border gateway. Default: of all.
    #[arg(long, value_name = "NAME")]
    pub gateway: Option<String>,
    /// What the peer in this tunnel has told us.
    #[arg(long = "in", value_name = "TUNNEL", conflicts_with_all = ["told", "best"])]
    pub heard: Option<String>,
    /// What the peer in this tunnel was told.
    #[arg(long = "out", id = "told", value_name = "TUNNEL", conflicts_with = "best")]
    pub told: Option<String>,
    /// What traffic takes.
    #[arg(long)]
    pub best: bool,
    /// So many routes at most.
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    pub limit: usize,
    #[command(flatten)]
    pub look: Look,
}

/// The flags of `bgp explain`.
#[derive(Debug, Clone, Args)]
pub struct Explain {
    /// Such as 10.2.0.0/16; an address alone is explained by the longest prefix that holds it.
    #[arg(value_name = "PREFIX")]
    pub prefix: String,
    /// In this border gateway. Default: in all.
    #[arg(long, value_name = "NAME")]
    pub gateway: Option<String>,
    #[command(flatten)]
    pub look: Look,
}

/// The flags of `bgp events`.
#[derive(Debug, Clone, Args)]
pub struct Events {
    /// Go on with what happens from now on, until interrupted.
    #[arg(long)]
    pub follow: bool,
    #[command(flatten)]
    pub look: Look,
}
