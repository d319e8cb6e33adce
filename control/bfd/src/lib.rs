//! Bidirectional forwarding detection (RFC 5880, over one hop as in RFC 5881 or several as in RFC 5883) as a plain value:
//! datagrams, time and randomness go in, actions come out.
//!
//! Asynchronous mode. An end that asks for demand mode is not sent what it does not want; the echo function is off.
//!
//! [`Endpoint`] owns the sessions of one routing instance; it has no clock, no socket and no random source. Given the same calls
//! it does the same things.

#![forbid(unsafe_code)]
#![deny(clippy::indexing_slicing)]
#![cfg_attr(test, allow(clippy::indexing_slicing))]

mod authentication;
mod config;
mod endpoint;
mod packet;
mod session;

pub use authentication::{Algorithm, Authentication, AuthenticationError, Key};
pub use config::{ConfigError, Distance, INTERVALS, SessionConfig, SessionId};
pub use endpoint::{Action, Arrival, Discard, Endpoint, SessionStatus};
pub use packet::{Diagnostic, ParseError, State};
pub use rand_core::CryptoRng;
