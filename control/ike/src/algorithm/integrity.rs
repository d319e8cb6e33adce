//! Integrity algorithms, which go with ciphers that have none of their own.

use std::fmt;

use super::PrfAlgorithm;

/// An integrity algorithm for CBC ciphers (transform type 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Integrity {
    /// HMAC-SHA1-96 (RFC 2404). Weak: RFC 8247 §2.3 has it as MUST-, on its way out.
    HmacSha1,
    /// HMAC-SHA2-256-128 (RFC 4868).
    HmacSha256,
    /// HMAC-SHA2-384-192 (RFC 4868).
    HmacSha384,
    /// HMAC-SHA2-512-256 (RFC 4868).
    HmacSha512,
}

impl Integrity {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::HmacSha1, Self::HmacSha256, Self::HmacSha384, Self::HmacSha512];

    /// The IANA transform id.
    pub fn id(self) -> u16 {
        match self {
            Self::HmacSha1 => 2,
            Self::HmacSha256 => 12,
            Self::HmacSha384 => 13,
            Self::HmacSha512 => 14,
        }
    }

    /// Whether it is only there for peers that have nothing better (RFC 8247 §2.3).
    pub fn is_weak(self) -> bool {
        match self {
            Self::HmacSha1 => true,
            Self::HmacSha256 | Self::HmacSha384 | Self::HmacSha512 => false,
        }
    }

    /// The key's length in bytes: that of the hash (RFC 2404 §3, RFC 4868 §2.1.1).
    pub fn key_bytes(self) -> usize {
        self.hash().output_bytes()
    }

    /// The truncated check value's length in bytes (RFC 2404 §3, RFC 4868 §2.1).
    pub fn icv_bytes(self) -> usize {
        match self {
            Self::HmacSha1 => 12,
            Self::HmacSha256 => 16,
            Self::HmacSha384 => 24,
            Self::HmacSha512 => 32,
        }
    }

    /// The hash under the HMAC.
    pub(crate) fn hash(self) -> PrfAlgorithm {
        match self {
            Self::HmacSha1 => PrfAlgorithm::HmacSha1,
            Self::HmacSha256 => PrfAlgorithm::HmacSha256,
            Self::HmacSha384 => PrfAlgorithm::HmacSha384,
            Self::HmacSha512 => PrfAlgorithm::HmacSha512,
        }
    }
}

impl fmt::Display for Integrity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::HmacSha1 => "sha1",
            Self::HmacSha256 => "sha256",
            Self::HmacSha384 => "sha384",
            Self::HmacSha512 => "sha512",
        })
    }
}
