//! The flags of `tunnel`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::DEFAULT_SOCKET;

/// What is done with a tunnel.
#[derive(Debug, Clone, Subcommand)]
pub enum Tunnel {
    /// Show the tunnel's last IKE messages, payload by payload.
    ///
    /// They are always recorded, so they are there when something has failed: the last exchanges that
    /// were authentic or ours, and the last of what anybody could have sent from the peer's address.
    /// Messages that recur, such as liveness checks and retransmissions, stand there once with a count.
    /// What was encrypted is shown as it was inside; keys, key exchange values, nonces and
    /// authentication data are never shown nor kept.
    ///
    /// See why a tunnel does not come up:
    ///   bordergate status                       # the reason in one sentence
    ///   bordergate tunnel trace tun-1           # what was said, in full
    /// Watch the next attempt, from its first message on:
    ///   bordergate tunnel trace tun-1 --follow & bordergate tunnel reset tun-1
    /// List the proposals a peer has sent:
    ///   bordergate tunnel trace tun-1 --json |
    ///     jq 'select(.direction == "received") | .payloads[] | select(.name == "SA")'
    #[command(verbatim_doc_comment)]
    Trace(Trace),
    /// Agree on new keys now, without waiting for the lifetime's end. Traffic goes on meanwhile.
    Rekey(Rekey),
    /// Delete the tunnel's SAs, tell the peer, and begin anew as the resource file says. Traffic is interrupted.
    Reset(Reset),
}

/// The flags of `tunnel trace`.
#[derive(Debug, Clone, Args)]
pub struct Trace {
    /// The tunnel's name.
    #[arg(value_name = "NAME")]
    pub name: String,
    /// Go on with what is sent and received from now on, until interrupted.
    #[arg(long)]
    pub follow: bool,
    /// One JSON object a message, each on its line, for programs.
    #[arg(long)]
    pub json: bool,
    /// The socket of the gateway to ask (`run --socket`).
    #[arg(long, value_name = "PATH", default_value = DEFAULT_SOCKET)]
    pub socket: PathBuf,
}

/// The flags of `tunnel rekey`.
#[derive(Debug, Clone, Args)]
pub struct Rekey {
    /// The tunnel's name.
    #[arg(value_name = "NAME")]
    pub name: String,
    /// The IKE SA, which carries IKE's own messages.
    #[arg(long, conflicts_with = "child")]
    pub ike: bool,
    /// The child SAs, which carry traffic. Default.
    #[arg(long)]
    pub child: bool,
    /// The socket of the gateway to ask (`run --socket`).
    #[arg(long, value_name = "PATH", default_value = DEFAULT_SOCKET)]
    pub socket: PathBuf,
}

/// The flags of `tunnel reset`.
#[derive(Debug, Clone, Args)]
pub struct Reset {
    /// The tunnel's name.
    #[arg(value_name = "NAME")]
    pub name: String,
    /// The socket of the gateway to ask (`run --socket`).
    #[arg(long, value_name = "PATH", default_value = DEFAULT_SOCKET)]
    pub socket: PathBuf,
}
