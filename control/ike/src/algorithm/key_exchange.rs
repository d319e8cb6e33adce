//! Key exchange methods.

use std::fmt;

/// A Diffie-Hellman group (transform type 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum KeGroup {
    /// 2048-bit MODP (RFC 3526 §3), group 14.
    Modp2048,
    /// NIST P-256 (RFC 5903), group 19.
    Ecp256,
    /// NIST P-384 (RFC 5903), group 20.
    Ecp384,
    /// Curve25519 (RFC 8031), group 31.
    X25519,
}

impl KeGroup {
    /// What a child SA's peer may have without our configuration asking for it, most wanted first.
    pub(crate) const UNASKED: [Self; 4] = [Self::X25519, Self::Ecp256, Self::Ecp384, Self::Modp2048];

    /// The IANA transform id.
    pub fn id(self) -> u16 {
        match self {
            Self::Modp2048 => 14,
            Self::Ecp256 => 19,
            Self::Ecp384 => 20,
            Self::X25519 => 31,
        }
    }

    /// The group with this transform id, if we speak it.
    pub fn from_id(id: u16) -> Option<Self> {
        [Self::Modp2048, Self::Ecp256, Self::Ecp384, Self::X25519].into_iter().find(|g| g.id() == id)
    }
}

impl fmt::Display for KeGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Modp2048 => "modp2048",
            Self::Ecp256 => "ecp256",
            Self::Ecp384 => "ecp384",
            Self::X25519 => "x25519",
        })
    }
}
