//! How the two ends of a tunnel prove who they are (RFC 7296 §2.15): by a secret that both know, or by signatures
//! and X.509 certificates (RFC 7427, RFC 4945).

mod certificate;
mod chain;
mod credential;
mod ecdsa;
mod key;
mod names;
mod pem;
mod ppk;
mod psk;
mod revocation;
mod rsa;
mod signature;

use std::sync::Arc;

pub(crate) use certificate::Certificate;
pub use chain::{Authority, Trust, TrustError};
pub use credential::{Credential, CredentialError, RsaPadding};
pub use pem::PemError;
pub use ppk::Ppk;
pub use psk::Psk;
pub use revocation::{RevocationList, RevocationPolicy};
pub(crate) use signature::{HashSet, Signed};

/// How a tunnel's two ends prove who they are; both do it in the same way.
#[derive(Clone, Debug, PartialEq)]
pub enum Authentication {
    /// By a secret that both know.
    Psk {
        /// The secret we prove ourselves with.
        key: Psk,
        /// Another one that the peer may use as well, while one replaces the other. A peer that uses it is answered
        /// with it; and once the peer has rejected one of the two, our next attempt is made with the other.
        next: Option<Psk>,
    },
    /// By signatures whose keys are certified.
    Certificate {
        /// What we sign with, and our certificates.
        local: Arc<Credential>,
        /// Whom the peer's certificate has to come from.
        trust: Arc<Trust>,
    },
}

impl Authentication {
    /// Whether a key is empty.
    pub(crate) fn is_empty(&self) -> bool {
        match self {
            Self::Psk { key, next } => key.is_empty() || next.as_ref().is_some_and(Psk::is_empty),
            Self::Certificate { .. } => false,
        }
    }

    /// What the peer is expected to show, in words.
    pub(crate) fn describe(&self) -> &'static str {
        match self {
            Self::Psk { .. } => "a pre-shared key",
            Self::Certificate { .. } => "a certificate",
        }
    }
}

impl From<Psk> for Authentication {
    fn from(key: Psk) -> Self {
        Self::Psk { key, next: None }
    }
}
