//! IKEv2 (RFC 7296) as a plain value: datagrams, time and randomness go in, actions come out.
//!
//! [`Endpoint`] owns every IKE SA and finds the one a datagram belongs to. Its methods are of four kinds:
//!
//! - **what the caller wants**: [`Endpoint::configure`], [`Endpoint::remove`], [`Endpoint::initiate`],
//!   [`Endpoint::set_admin`], [`Endpoint::terminate`], [`Endpoint::drain`], [`Endpoint::shutdown`];
//! - **what has happened**: [`Endpoint::handle_datagram`], [`Endpoint::handle_timeout`],
//!   [`Endpoint::note_inbound_traffic`];
//! - **what is to be done**: [`Endpoint::poll_action`], until it returns `None`, after each of the above;
//!   then [`Endpoint::next_timeout`] says when to call `handle_timeout`;
//! - **what can be seen**: [`Endpoint::status`], [`Endpoint::counters`], [`Endpoint::trace`].
//!
//! The machine has no clock, no socket and no random source. Given the same calls it does the same things.
//!
//! One thing is an exception: RSA and ECDSA signatures have random numbers in them (salts, nonces, blinding) that AWS-LC
//! takes from a generator of its own. No decision depends on them. Given the same calls, AUTH of an end with such a key
//! has other bytes, and with ECDSA in DER one or two more or fewer of them; all else is the same, key exchange included.
//!
//! # What is not here yet
//! EAP, and windows of more than one request.

#![forbid(unsafe_code)]
#![deny(clippy::indexing_slicing)]
#![cfg_attr(test, allow(clippy::indexing_slicing))]

mod action;
mod admission;
mod algorithm;
mod allowance;
mod authentication;
mod child;
mod config;
mod cookie;
mod crash_secret;
mod crypto;
mod distinguished_name;
mod drain;
mod endpoint;
#[cfg(feature = "fuzz")]
pub mod fuzz;
#[cfg(test)]
mod hex;
mod identity;
mod message;
mod negotiation;
mod reason;
mod sa;
mod selector;
mod status;
mod timing;
mod trace;
mod tunnel;

pub use action::Action;
pub use algorithm::{
    ADDITIONAL_KEY_EXCHANGES, EspCipher, EspSuite, IkeCipher, IkeSuite, Integrity, KeGroup, PrfAlgorithm,
};
pub use authentication::{
    Authentication, Authority, Credential, CredentialError, PemError, Ppk, Psk, RevocationList, RevocationPolicy,
    RsaPadding, Trust, TrustError,
};
pub use child::{ChildSa, EspKey, SpiAllocator, UdpEncapsulation};
pub use config::{
    Admin, ConfigError, EspProposal, IkeProposal, MAX_RESOURCES, MAX_SELECTORS, Retry, Startup, TunnelConfig, TunnelId,
};
pub use distinguished_name::DistinguishedName;
pub use endpoint::{Context, Endpoint};
pub use identity::Identity;
pub use message::ParseError;
pub use rand_core::CryptoRng;
pub use reason::{CertificateFault, DownReason, End, Exchange, Lifetime, Protocol, Violation};
pub use selector::{SelectorError, TrafficSelector};
pub use status::{EndpointCounters, TunnelCounters, TunnelState, TunnelStatus};
pub use trace::{TraceDirection, TraceEntry, TraceHeader, TraceMark, TracePayload};
