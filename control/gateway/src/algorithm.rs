//! The algorithms a tunnel may offer, by the words of the resource file, which are strongSwan's.
//!
//! What RFC 8247 and RFC 8221 forbid has no word: DES, MD5, groups 1 and 22 to 24, and ESP without encryption. 3DES is
//! there for the IKE SA alone, as in the clouds' own lists.

use crate::keyword::keywords;

/// An algorithm that may be one for peers that have nothing better.
pub(crate) trait Strength {
    /// What the RFCs say against it.
    fn weakness(self) -> Option<&'static str>;
}

keywords! {
    /// A key exchange method (RFC 7296 §3.3.2, transform type 4).
    KeyExchange {
        /// Curve25519, group 31 (RFC 8031).
        X25519 = "x25519",
        /// Curve448, group 32 (RFC 8031).
        X448 = "x448",
        /// NIST P-256, group 19 (RFC 5903).
        Ecp256 = "ecp256",
        /// NIST P-384, group 20 (RFC 5903).
        Ecp384 = "ecp384",
        /// NIST P-521, group 21 (RFC 5903).
        Ecp521 = "ecp521",
        /// 1024-bit MODP, group 2 (RFC 7296 appendix B.2).
        Modp1024 = "modp1024",
        /// 1536-bit MODP, group 5 (RFC 3526).
        Modp1536 = "modp1536",
        /// 2048-bit MODP, group 14 (RFC 3526).
        Modp2048 = "modp2048",
        /// 3072-bit MODP, group 15 (RFC 3526).
        Modp3072 = "modp3072",
        /// 4096-bit MODP, group 16 (RFC 3526).
        Modp4096 = "modp4096",
        /// 6144-bit MODP, group 17 (RFC 3526).
        Modp6144 = "modp6144",
        /// 8192-bit MODP, group 18 (RFC 3526).
        Modp8192 = "modp8192",
        /// ML-KEM-512, 35 (FIPS 203, draft-ietf-ipsecme-ikev2-mlkem).
        MlKem512 = "mlkem512",
        /// ML-KEM-768, 36.
        MlKem768 = "mlkem768",
        /// ML-KEM-1024, 37.
        MlKem1024 = "mlkem1024",
    }
}

impl Strength for KeyExchange {
    fn weakness(self) -> Option<&'static str> {
        match self {
            Self::Modp1024 | Self::Modp1536 => Some("RFC 8247 says that it should not be used"),
            Self::X25519
            | Self::X448
            | Self::Ecp256
            | Self::Ecp384
            | Self::Ecp521
            | Self::Modp2048
            | Self::Modp3072
            | Self::Modp4096
            | Self::Modp6144
            | Self::Modp8192
            | Self::MlKem512
            | Self::MlKem768
            | Self::MlKem1024 => None,
        }
    }
}

keywords! {
    /// A cipher of the IKE SA (transform type 1).
    IkeEncryption {
        /// AES-128-GCM with a 16-byte tag (RFC 5282).
        Aes128Gcm16 = "aes128gcm16",
        /// AES-192-GCM with a 16-byte tag (RFC 5282).
        Aes192Gcm16 = "aes192gcm16",
        /// AES-256-GCM with a 16-byte tag (RFC 5282).
        Aes256Gcm16 = "aes256gcm16",
        /// ChaCha20-Poly1305 (RFC 7634).
        ChaCha20Poly1305 = "chacha20poly1305",
        /// AES-128-CBC (RFC 3602).
        Aes128Cbc = "aes128",
        /// AES-192-CBC (RFC 3602).
        Aes192Cbc = "aes192",
        /// AES-256-CBC (RFC 3602).
        Aes256Cbc = "aes256",
        /// 3DES-CBC (RFC 2451).
        TripleDes = "3des",
    }
}

impl IkeEncryption {
    /// Whether the cipher authenticates by itself, so that no integrity algorithm goes with it.
    #[must_use]
    pub fn is_aead(self) -> bool {
        match self {
            Self::Aes128Gcm16 | Self::Aes192Gcm16 | Self::Aes256Gcm16 | Self::ChaCha20Poly1305 => true,
            Self::Aes128Cbc | Self::Aes192Cbc | Self::Aes256Cbc | Self::TripleDes => false,
        }
    }
}

impl Strength for IkeEncryption {
    fn weakness(self) -> Option<&'static str> {
        match self {
            Self::TripleDes => Some("its blocks of 64 bits repeat early, and it is slow"),
            Self::Aes128Gcm16 | Self::Aes192Gcm16 | Self::Aes256Gcm16 | Self::ChaCha20Poly1305 => None,
            Self::Aes128Cbc | Self::Aes192Cbc | Self::Aes256Cbc => None,
        }
    }
}

keywords! {
    /// An integrity algorithm of the IKE SA or the ESP SAs (transform type 3), with CBC only.
    Integrity {
        /// HMAC-SHA2-256-128 (RFC 4868).
        Sha256 = "sha256",
        /// HMAC-SHA2-384-192 (RFC 4868).
        Sha384 = "sha384",
        /// HMAC-SHA2-512-256 (RFC 4868).
        Sha512 = "sha512",
        /// HMAC-SHA1-96 (RFC 2404).
        Sha1 = "sha1",
    }
}

impl Strength for Integrity {
    fn weakness(self) -> Option<&'static str> {
        match self {
            Self::Sha1 => Some("RFC 8247 and RFC 8221 are about to deprecate it"),
            Self::Sha256 | Self::Sha384 | Self::Sha512 => None,
        }
    }
}

keywords! {
    /// A pseudo-random function of the IKE SA (transform type 2).
    Prf {
        /// PRF-HMAC-SHA2-256 (RFC 4868).
        Sha256 = "sha256",
        /// PRF-HMAC-SHA2-384 (RFC 4868).
        Sha384 = "sha384",
        /// PRF-HMAC-SHA2-512 (RFC 4868).
        Sha512 = "sha512",
        /// PRF-HMAC-SHA1 (RFC 2104).
        Sha1 = "sha1",
    }
}

impl Strength for Prf {
    fn weakness(self) -> Option<&'static str> {
        match self {
            Self::Sha1 => Some("RFC 8247 is about to deprecate it"),
            Self::Sha256 | Self::Sha384 | Self::Sha512 => None,
        }
    }
}

keywords! {
    /// A cipher of the ESP SAs.
    EspEncryption {
        /// AES-128-GCM with a 16-byte tag (RFC 4106).
        Aes128Gcm16 = "aes128gcm16",
        /// AES-192-GCM with a 16-byte tag (RFC 4106).
        Aes192Gcm16 = "aes192gcm16",
        /// AES-256-GCM with a 16-byte tag (RFC 4106).
        Aes256Gcm16 = "aes256gcm16",
        /// ChaCha20-Poly1305 (RFC 7634).
        ChaCha20Poly1305 = "chacha20poly1305",
        /// AES-128-CBC (RFC 3602).
        Aes128Cbc = "aes128",
        /// AES-192-CBC (RFC 3602).
        Aes192Cbc = "aes192",
        /// AES-256-CBC (RFC 3602).
        Aes256Cbc = "aes256",
    }
}

impl EspEncryption {
    /// Whether the cipher authenticates by itself, so that no integrity algorithm goes with it.
    #[must_use]
    pub fn is_aead(self) -> bool {
        match self {
            Self::Aes128Gcm16 | Self::Aes192Gcm16 | Self::Aes256Gcm16 | Self::ChaCha20Poly1305 => true,
            Self::Aes128Cbc | Self::Aes192Cbc | Self::Aes256Cbc => false,
        }
    }
}

impl Strength for EspEncryption {
    fn weakness(self) -> Option<&'static str> {
        None
    }
}
