//! The algorithms we speak: their IANA numbers, key lengths and names.

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

/// A cipher for the IKE SA (transform type 1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum IkeCipher {
    /// AES-128-CBC (RFC 3602).
    Aes128Cbc,
    /// AES-192-CBC (RFC 3602).
    Aes192Cbc,
    /// AES-256-CBC (RFC 3602).
    Aes256Cbc,
    /// AES-128-GCM with a 16-byte tag (RFC 5282).
    Aes128Gcm16,
    /// AES-192-GCM with a 16-byte tag (RFC 5282).
    Aes192Gcm16,
    /// AES-256-GCM with a 16-byte tag (RFC 5282).
    Aes256Gcm16,
}

impl IkeCipher {
    pub(crate) const ALL: [Self; 6] =
        [Self::Aes128Cbc, Self::Aes192Cbc, Self::Aes256Cbc, Self::Aes128Gcm16, Self::Aes192Gcm16, Self::Aes256Gcm16];

    /// Whether the cipher authenticates by itself.
    pub fn is_aead(self) -> bool {
        match self {
            Self::Aes128Cbc | Self::Aes192Cbc | Self::Aes256Cbc => false,
            Self::Aes128Gcm16 | Self::Aes192Gcm16 | Self::Aes256Gcm16 => true,
        }
    }

    /// The IANA transform id; the key length is an attribute of its own.
    pub fn id(self) -> u16 {
        if self.is_aead() { 20 } else { 12 }
    }

    /// The AES key's length in bytes, without a salt.
    pub fn key_bytes(self) -> usize {
        match self {
            Self::Aes128Cbc | Self::Aes128Gcm16 => 16,
            Self::Aes192Cbc | Self::Aes192Gcm16 => 24,
            Self::Aes256Cbc | Self::Aes256Gcm16 => 32,
        }
    }

    /// How much keying material one direction takes: the key, and the salt of an AEAD (RFC 5282 §7.1).
    pub(crate) fn material_bytes(self) -> usize {
        self.key_bytes() + if self.is_aead() { 4 } else { 0 }
    }
}

impl fmt::Display for IkeCipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Aes128Cbc => "aes128",
            Self::Aes192Cbc => "aes192",
            Self::Aes256Cbc => "aes256",
            Self::Aes128Gcm16 => "aes128gcm16",
            Self::Aes192Gcm16 => "aes192gcm16",
            Self::Aes256Gcm16 => "aes256gcm16",
        })
    }
}

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

/// A pseudo-random function (transform type 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PrfAlgorithm {
    /// PRF_HMAC_SHA2_256 (RFC 4868).
    HmacSha256,
    /// PRF_HMAC_SHA2_384 (RFC 4868).
    HmacSha384,
    /// PRF_HMAC_SHA2_512 (RFC 4868).
    HmacSha512,
}

impl PrfAlgorithm {
    pub(crate) const ALL: [Self; 3] = [Self::HmacSha256, Self::HmacSha384, Self::HmacSha512];

    /// The IANA transform id.
    pub fn id(self) -> u16 {
        match self {
            Self::HmacSha256 => 5,
            Self::HmacSha384 => 6,
            Self::HmacSha512 => 7,
        }
    }

    /// The output's length in bytes, which is also the preferred key's.
    pub fn output_bytes(self) -> usize {
        match self {
            Self::HmacSha256 => 32,
            Self::HmacSha384 => 48,
            Self::HmacSha512 => 64,
        }
    }
}

impl fmt::Display for PrfAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::HmacSha256 => "prfsha256",
            Self::HmacSha384 => "prfsha384",
            Self::HmacSha512 => "prfsha512",
        })
    }
}

/// A cipher for the child SA (transform type 1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum EspCipher {
    /// AES-128-GCM with a 16-byte tag (RFC 4106).
    Aes128Gcm16,
    /// AES-192-GCM with a 16-byte tag (RFC 4106).
    Aes192Gcm16,
    /// AES-256-GCM with a 16-byte tag (RFC 4106).
    Aes256Gcm16,
}

impl EspCipher {
    /// The IANA transform id; the key length is an attribute of its own.
    pub fn id(self) -> u16 {
        20
    }

    /// The AES key's length in bytes, without the salt.
    pub fn key_bytes(self) -> usize {
        match self {
            Self::Aes128Gcm16 => 16,
            Self::Aes192Gcm16 => 24,
            Self::Aes256Gcm16 => 32,
        }
    }
}

impl fmt::Display for EspCipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Aes128Gcm16 => "aes128gcm16",
            Self::Aes192Gcm16 => "aes192gcm16",
            Self::Aes256Gcm16 => "aes256gcm16",
        })
    }
}

/// What an IKE SA agreed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IkeSuite {
    /// The cipher.
    pub encryption: IkeCipher,
    /// The integrity algorithm; `None` with an AEAD.
    pub integrity: Option<Integrity>,
    /// The pseudo-random function.
    pub prf: PrfAlgorithm,
    /// The group.
    pub key_exchange: KeGroup,
}

impl fmt::Display for IkeSuite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.encryption)?;
        if let Some(integrity) = self.integrity {
            write!(f, "-{integrity}")?;
        }
        write!(f, "-{}-{}", self.prf, self.key_exchange)
    }
}

/// What a child SA agreed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EspSuite {
    /// The cipher.
    pub encryption: EspCipher,
    /// Extended sequence numbers.
    pub esn: bool,
}

impl fmt::Display for EspSuite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.encryption, if self.esn { "esn" } else { "noesn" })
    }
}
