//! What is asked of one tunnel: its last IKE messages, to rekey, to begin anew.

use serde::{Deserialize, Serialize};

/// Which messages are wanted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trace {
    /// The tunnel's name.
    pub tunnel: String,
    /// Only messages behind the one with this number; 0 for all that are kept.
    pub after: u64,
}

/// One IKE message, without anything secret.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Counts the tunnel's messages, from 1.
    pub number: u64,
    /// RFC 3339, in UTC.
    pub time: String,
    /// `received` or `sent`.
    pub direction: String,
    /// Our address and port.
    pub local: String,
    /// The peer's address and port.
    pub remote: String,
    /// Hexadecimal.
    pub initiator_spi: String,
    /// Hexadecimal; zeros in the first message.
    pub responder_spi: String,
    /// The major version of IKE.
    pub version: u8,
    /// Such as `IKE_AUTH`.
    pub exchange: String,
    /// `request` or `response`.
    pub kind: String,
    pub message_id: u32,
    /// Of the IKE message.
    pub bytes: u32,
    /// `clear`, `protected`, `not_opened`, `retransmission`, `unexpected`, `malformed`, `too_many` or `other_version`.
    pub outcome: String,
    /// Messages like it that came before and are not listed.
    pub earlier: u32,
    /// In their order; those behind `SK` were inside it.
    pub payloads: Vec<Payload>,
}

/// One payload.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payload {
    /// As RFC 7296 writes it, such as `SA`, `KE` or `N`.
    pub name: String,
    /// What it holds, in words.
    pub text: String,
}

/// Which SA is to be rekeyed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rekey {
    /// The tunnel's name.
    pub tunnel: String,
    pub sa: Sa,
}

/// An SA of a tunnel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sa {
    /// Those that carry traffic.
    Child,
    /// The one that carries IKE's own messages.
    Ike,
}

/// Which tunnel is to begin anew.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reset {
    /// The tunnel's name.
    pub tunnel: String,
}
