//! What can be seen of a tunnel and of the endpoint.

use std::time::Instant;

use crate::algorithm::{EspSuite, IkeSuite};
use crate::reason::DownReason;

/// A tunnel's observed state.
#[derive(Clone, Debug, PartialEq)]
pub struct TunnelStatus {
    /// Where it stands.
    pub state: TunnelState,
    /// Since when.
    pub since: Instant,
    /// Why it is down; while it is up or being set up again, why it was down last.
    pub reason: DownReason,
    /// What the IKE SA uses, while up.
    pub ike: Option<IkeSuite>,
    /// What the child SA uses, while up.
    pub esp: Option<EspSuite>,
    /// Whether a post-quantum key is part of the keys (RFC 8784), while up.
    pub ppk: bool,
    /// Whether ESP goes over UDP, while up.
    pub encapsulated: bool,
    /// Whether the peer uses the second of two pre-shared keys, while up.
    pub uses_next_psk: bool,
    /// Its messages.
    pub counters: TunnelCounters,
}

/// Where a tunnel stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TunnelState {
    /// Not wanted.
    AdminDown,
    /// An attempt of ours is under way, or there is an IKE SA whose child is still to come.
    Connecting,
    /// Waiting: for the peer, or for the next attempt.
    Down,
    /// The child SA is installed.
    Up,
}

/// One tunnel's messages since it was configured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TunnelCounters {
    /// Messages received and taken for this tunnel.
    pub received: u64,
    /// Messages sent, without retransmissions.
    pub sent: u64,
    /// Requests sent again, and answers sent again to requests received again.
    pub retransmitted: u64,
    /// Our attempts begun.
    pub attempts: u64,
    /// SAs that came up.
    pub established: u64,
    /// Our proofs of identity that the peer rejected. While there are two pre-shared keys, each one makes us change
    /// from one to the other.
    pub rejected: u64,
    /// Attempts that failed, whoever began them.
    pub failed: u64,
    /// Messages that did not parse.
    pub malformed: u64,
    /// Messages whose integrity check failed.
    pub bad_integrity: u64,
    /// Messages out of the window, stale, or not expected in this state.
    pub unexpected: u64,
    /// Error notifications without protection, which are remembered but not obeyed.
    pub unprotected_errors: u64,
    /// Claims that the peer has lost an SA, without the token that proves it (RFC 6290).
    pub wrong_tokens: u64,
}

/// Datagrams that belong to no tunnel, by what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EndpointCounters {
    /// No IKE header, or one that contradicts itself.
    pub malformed: u64,
    /// From or to an address no tunnel has.
    pub unknown_peer: u64,
    /// For an IKE SA we do not have.
    pub unknown_spi: u64,
    /// A newer major version than 2.
    pub unsupported_version: u64,
    /// For a tunnel that is administratively down.
    pub admin_down: u64,
    /// No room for another half-open SA.
    pub half_open_limit: u64,
    /// First messages that were answered with a cookie, and nothing kept.
    pub cookies_asked: u64,
    /// First messages ignored because too many came from an address without anybody there authenticating.
    pub handshakes_limited: u64,
    /// Messages without proof that were not answered because too many had been, or the answer would have been longer.
    pub answers_limited: u64,
    /// SAs given up because their tunnel had more than it has a use for.
    pub surplus_sas: u64,
    /// NAT keepalives.
    pub keepalives: u64,
}
