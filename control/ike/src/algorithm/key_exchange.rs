//! Key exchange methods.

use std::fmt;

/// A key exchange method (transform type 4, and types 6 to 12 of RFC 9370).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum KeGroup {
    /// 1024-bit MODP (RFC 7296 appendix B.2), group 2. Weak: RFC 8247 §2.4 says SHOULD NOT.
    Modp1024,
    /// 1536-bit MODP (RFC 3526 §2), group 5. Weak: RFC 8247 §2.4 says SHOULD NOT.
    Modp1536,
    /// 2048-bit MODP (RFC 3526 §3), group 14.
    Modp2048,
    /// 3072-bit MODP (RFC 3526 §4), group 15.
    Modp3072,
    /// 4096-bit MODP (RFC 3526 §5), group 16.
    Modp4096,
    /// 6144-bit MODP (RFC 3526 §6), group 17.
    Modp6144,
    /// 8192-bit MODP (RFC 3526 §7), group 18.
    Modp8192,
    /// NIST P-256 (RFC 5903), group 19.
    Ecp256,
    /// NIST P-384 (RFC 5903), group 20.
    Ecp384,
    /// NIST P-521 (RFC 5903), group 21.
    Ecp521,
    /// Curve25519 (RFC 8031), group 31.
    X25519,
    /// Curve448 (RFC 8031), group 32.
    X448,
    /// ML-KEM-512 (FIPS 203, draft-ietf-ipsecme-ikev2-mlkem), 35.
    MlKem512,
    /// ML-KEM-768 (FIPS 203, draft-ietf-ipsecme-ikev2-mlkem), 36.
    MlKem768,
    /// ML-KEM-1024 (FIPS 203, draft-ietf-ipsecme-ikev2-mlkem), 37.
    MlKem1024,
}

impl KeGroup {
    /// All, by number.
    pub const ALL: [Self; 15] = [
        Self::Modp1024,
        Self::Modp1536,
        Self::Modp2048,
        Self::Modp3072,
        Self::Modp4096,
        Self::Modp6144,
        Self::Modp8192,
        Self::Ecp256,
        Self::Ecp384,
        Self::Ecp521,
        Self::X25519,
        Self::X448,
        Self::MlKem512,
        Self::MlKem768,
        Self::MlKem1024,
    ];

    /// What a child SA's peer may have without our configuration asking for it, most wanted first: nothing weak, and
    /// nothing that would cost us many milliseconds.
    pub(crate) const UNASKED: [Self; 11] = [
        Self::X25519,
        Self::Ecp256,
        Self::Ecp384,
        Self::Ecp521,
        Self::X448,
        Self::Modp2048,
        Self::Modp3072,
        Self::Modp4096,
        Self::MlKem768,
        Self::MlKem1024,
        Self::MlKem512,
    ];

    /// The IANA transform id.
    pub fn id(self) -> u16 {
        match self {
            Self::Modp1024 => 2,
            Self::Modp1536 => 5,
            Self::Modp2048 => 14,
            Self::Modp3072 => 15,
            Self::Modp4096 => 16,
            Self::Modp6144 => 17,
            Self::Modp8192 => 18,
            Self::Ecp256 => 19,
            Self::Ecp384 => 20,
            Self::Ecp521 => 21,
            Self::X25519 => 31,
            Self::X448 => 32,
            Self::MlKem512 => 35,
            Self::MlKem768 => 36,
            Self::MlKem1024 => 37,
        }
    }

    /// The group with this transform id, if we speak it.
    pub fn from_id(id: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|g| g.id() == id)
    }

    /// Whether it is only there for peers that have nothing better (RFC 8247 §2.4).
    pub fn is_weak(self) -> bool {
        match self {
            Self::Modp1024 | Self::Modp1536 => true,
            Self::Modp2048 | Self::Modp3072 | Self::Modp4096 | Self::Modp6144 | Self::Modp8192 => false,
            Self::Ecp256 | Self::Ecp384 | Self::Ecp521 | Self::X25519 | Self::X448 => false,
            Self::MlKem512 | Self::MlKem768 | Self::MlKem1024 => false,
        }
    }
}

impl fmt::Display for KeGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Modp1024 => "modp1024",
            Self::Modp1536 => "modp1536",
            Self::Modp2048 => "modp2048",
            Self::Modp3072 => "modp3072",
            Self::Modp4096 => "modp4096",
            Self::Modp6144 => "modp6144",
            Self::Modp8192 => "modp8192",
            Self::Ecp256 => "ecp256",
            Self::Ecp384 => "ecp384",
            Self::Ecp521 => "ecp521",
            Self::X25519 => "x25519",
            Self::X448 => "x448",
            Self::MlKem512 => "mlkem512",
            Self::MlKem768 => "mlkem768",
            Self::MlKem1024 => "mlkem1024",
        })
    }
}
