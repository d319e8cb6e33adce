//! BGP-4 (RFC 4271) as a plain value: what peers send, time and randomness go in, actions come out.
//!
//! [`Neighbor`] is one configured peer: it says when to open a TCP connection, speaks over whichever connection there is,
//! settles which of two is to stay, and gives what the peer announces as [`Update`]s. It has no clock, no socket and no random
//! source. Given the same calls it does the same things.
//!
//! The states of one connection and the codec are those of `rustbgpd-fsm` and `rustbgpd-wire`. Of them only plain values are
//! seen from outside: prefixes and path attributes.
//!
//! [`Speaker`] is all of it for one border gateway: its neighbours, its routes, and how long what outlives a session stays.
//! What is to be seen of its sessions by a monitoring station is an [`Observation`], and as bytes a [`bmp::Message`].
//! [`Rib`] holds the routes of one border gateway: what each peer announces, what of it [`Filter`]s take, which routes are best,
//! and what each peer is told.

#![forbid(unsafe_code)]
#![deny(clippy::indexing_slicing)]
#![cfg_attr(test, allow(clippy::indexing_slicing))]

mod attributes;
pub mod bmp;
mod config;
mod connection;
mod family;
mod negotiated;
mod neighbor;
mod observation;
mod policy;
mod reason;
mod rib;
mod speaker;
mod update;

pub use attributes::{Attributes, LLGR_STALE, NO_ADVERTISE, NO_EXPORT, NO_EXPORT_SUBCONFED, NO_LLGR};
pub use config::{ConfigError, GracefulRestart, NeighborConfig};
pub use connection::ConnectionId;
pub use family::{Families, Family};
pub use negotiated::{Negotiated, PeerRestart};
pub use neighbor::{Action, Context, Neighbor, NeighborStatus, State};
pub use observation::{Ending, Observation, Opens, Session};
pub use policy::{Change as AttributeChange, Condition, Filter, PrefixRange, Rule, Verdict};
pub use rand_core::CryptoRng;
pub use reason::DownReason;
pub use rib::{
    Candidate, Change, Drain, Dump, Excess, NextHops, Notice, PeerConfig, PrefixLimit, Refusal, RefusedCounters, Rib,
    RibCounters, SelectionId, SourceId, Step, Worth,
};
pub use rustbgpd_wire::{
    AsPath, AsPathSegment, ExtendedCommunity, Ipv4Prefix, Ipv6Prefix, LargeCommunity, Origin, PathAttribute, Prefix,
};
pub use speaker::{Action as SpeakerAction, Event, Speaker};
pub use update::{Announcement, Fault, Update};
