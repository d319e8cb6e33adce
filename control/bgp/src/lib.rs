//! BGP-4 (RFC 4271) as a plain value: what peers send, time and randomness go in, actions come out.
//!
//! [`Neighbor`] is one configured peer: it says when to open a TCP connection, speaks over whichever connection there is,
//! settles which of two is to stay, and gives what the peer announces as [`Update`]s. It has no clock, no socket and no random
//! source. Given the same calls it does the same things.
//!
//! The states of one connection and the codec are those of `rustbgpd-fsm` and `rustbgpd-wire`. Of them only plain values are
//! seen from outside: prefixes and path attributes.
//!
//! # What is not here yet
//! Routing information bases, policy, and what is sent of them.

#![forbid(unsafe_code)]
#![deny(clippy::indexing_slicing)]
#![cfg_attr(test, allow(clippy::indexing_slicing))]

mod config;
mod connection;
mod family;
mod neighbor;
mod reason;
mod update;

pub use config::{ConfigError, GracefulRestart, NeighborConfig};
pub use connection::ConnectionId;
pub use family::{Families, Family};
pub use neighbor::{Action, Context, Negotiated, Neighbor, NeighborStatus, PeerRestart, State};
pub use rand_core::CryptoRng;
pub use reason::DownReason;
pub use rustbgpd_wire::{
    AsPath, AsPathSegment, ExtendedCommunity, Ipv4Prefix, Ipv6Prefix, LargeCommunity, Origin, PathAttribute, Prefix,
};
pub use update::{Announcement, Fault, Update};
