//! ESP in tunnel mode (RFC 4303), raw or in UDP (RFC 3948), over batches: with AES-GCM (RFC 4106), ChaCha20-Poly1305
//! (RFC 7634), or AES-CBC and an HMAC (RFC 3602, RFC 2404, RFC 4868).
//!
//! [`OutboundSa`] and [`InboundSa`] are shared by all workers: whatever changes with a packet is an atomic, so an SA
//! needs no owner and no lock. [`Sealing`] and [`Opening`] collect a batch and run it through `aead` at once, or have it run by
//! whoever they are given to [`Protect`] it. No I/O, no clock, no allocation after an SA was made.
#![forbid(unsafe_code)]

mod inbound;
mod outbound;
mod outer;
mod protect;
mod replay;
mod run;
mod sequence;
mod transform;

pub use inbound::{Inbound, InboundSa, LeftOut, Opened, Opening, Refusal, Room};
pub use outbound::{Outbound, OutboundSa, Sealing};
pub use outer::{DontFragment, Encapsulation, HeaderRules, InnerClass, OuterHeader};
pub use protect::{Alone, Protect};
pub use replay::{ReplayWindow, Stale};
pub use sequence::{Exhausted, SequenceCounter};

/// Most packets of a batch.
pub const BATCH: usize = 64;
/// Packets in a row of one SA for which it pays to take out first what they have in common.
pub const LONG_RUN: usize = 4;
/// Bytes of pad length and next header (RFC 4303 §2).
const TRAILER: usize = 2;
/// Bytes of the salt, the key material behind the key (RFC 4106 §8.1, RFC 7634 §2).
pub const SALT: usize = 4;

#[cfg(test)]
mod tests;
