//! IKEv2 messages on the wire (RFC 7296 §3). Nothing here knows a state or a key.

mod chain;
mod header;
mod notify;
mod payload;
mod proposal;
mod reader;

pub(crate) use chain::{Chain, selectors_body};
pub(crate) use header::{ExchangeType, HEADER_BYTES, Header};
pub(crate) use notify::{Notify, kind as notify_kind, name as notify_name};
pub(crate) use payload::{Delete, Encrypted, Payloads, X509_SIGNATURE};
pub(crate) use proposal::{ADDITIONAL_KE, ENCR, ESN, INTEG, KE, PRF, Proposal, Transform};

use thiserror::Error;

/// Why bytes are not a message.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum ParseError {
    /// Two payloads of a type that may stand only once.
    #[error("payload {0} stands there twice")]
    Duplicate(u8),
    /// A payload holds what its type does not allow.
    #[error("payload {0} holds a value that is not allowed")]
    Illegal(u8),
    /// A length field contradicts what is there.
    #[error("a length field does not match the bytes there are")]
    Length,
    /// More payloads or proposals than any peer has a use for.
    #[error("too many payloads or proposals")]
    TooMany,
    /// The bytes end in the middle of something.
    #[error("the message ends too early")]
    Truncated,
    /// A major version we do not speak.
    #[error("major version {0} is not spoken here")]
    Version(u8),
}

/// Payload types (RFC 7296 §3.2).
pub(crate) mod kind {
    pub(crate) const NONE: u8 = 0;
    pub(crate) const SA: u8 = 33;
    pub(crate) const KE: u8 = 34;
    pub(crate) const ID_I: u8 = 35;
    pub(crate) const ID_R: u8 = 36;
    pub(crate) const CERTIFICATE: u8 = 37;
    pub(crate) const CERTIFICATE_REQUEST: u8 = 38;
    pub(crate) const AUTH: u8 = 39;
    pub(crate) const NONCE: u8 = 40;
    pub(crate) const NOTIFY: u8 = 41;
    pub(crate) const DELETE: u8 = 42;
    pub(crate) const VENDOR_ID: u8 = 43;
    pub(crate) const TS_I: u8 = 44;
    pub(crate) const TS_R: u8 = 45;
    pub(crate) const ENCRYPTED: u8 = 46;
    pub(crate) const CONFIGURATION: u8 = 47;
    pub(crate) const EAP: u8 = 48;
    pub(crate) const ENCRYPTED_FRAGMENT: u8 = 53;
}

/// Protocol ids (RFC 7296 §3.3.1).
pub(crate) mod protocol {
    pub(crate) const NONE: u8 = 0;
    pub(crate) const IKE: u8 = 1;
    pub(crate) const ESP: u8 = 3;
}
