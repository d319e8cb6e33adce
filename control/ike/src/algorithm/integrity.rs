//! Integrity algorithms, which go with ciphers that have none of their own.

use std::fmt;

use super::PrfAlgorithm;

/// An integrity algorithm for CBC ciphers (transform type 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Integrity {
    /// HMAC-SHA2-256-128 (RFC 4868).
    HmacSha256,
    /// HMAC-SHA2-384-192 (RFC 4868).
    HmacSha384,
}

impl Integrity {
    pub(crate) const ALL: [Self; 2] = [Self::HmacSha256, Self::HmacSha384];

    /// The IANA transform id.
    pub fn id(self) -> u16 {
        match self {
            Self::HmacSha256 => 12,
            Self::HmacSha384 => 13,
        }
    }

    /// The key's length in bytes.
    pub fn key_bytes(self) -> usize {
        match self {
            Self::HmacSha256 => 32,
            Self::HmacSha384 => 48,
        }
    }

    /// The truncated check value's length in bytes.
    pub fn icv_bytes(self) -> usize {
        self.key_bytes() / 2
    }

    /// The hash under the HMAC.
    pub(crate) fn hash(self) -> PrfAlgorithm {
        match self {
            Self::HmacSha256 => PrfAlgorithm::HmacSha256,
            Self::HmacSha384 => PrfAlgorithm::HmacSha384,
        }
    }
}

impl fmt::Display for Integrity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::HmacSha256 => "sha256",
            Self::HmacSha384 => "sha384",
        })
    }
}
