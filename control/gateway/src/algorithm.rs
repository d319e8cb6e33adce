//! The algorithms a tunnel may offer, by the words of the resource file.

use crate::keyword::keywords;

keywords! {
    /// A key exchange method of IKE (RFC 7296 §3.3.2, transform type 4).
    KeyExchange {
        /// Curve25519, group 31 (RFC 8031).
        X25519 = "x25519",
        /// NIST P-256, group 19 (RFC 5903).
        Ecp256 = "ecp256",
        /// NIST P-384, group 20 (RFC 5903).
        Ecp384 = "ecp384",
        /// 2048-bit MODP, group 14 (RFC 3526).
        Modp2048 = "modp2048",
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
        /// AES-128-CBC (RFC 3602).
        Aes128Cbc = "aes128",
        /// AES-192-CBC (RFC 3602).
        Aes192Cbc = "aes192",
        /// AES-256-CBC (RFC 3602).
        Aes256Cbc = "aes256",
    }
}

impl IkeEncryption {
    /// Whether the cipher authenticates by itself, so that no integrity algorithm goes with it.
    #[must_use]
    pub fn is_aead(self) -> bool {
        match self {
            Self::Aes128Gcm16 | Self::Aes192Gcm16 | Self::Aes256Gcm16 => true,
            Self::Aes128Cbc | Self::Aes192Cbc | Self::Aes256Cbc => false,
        }
    }
}

keywords! {
    /// An integrity algorithm of the IKE SA (transform type 3): HMAC-SHA2 (RFC 4868), with CBC only.
    Integrity {
        /// HMAC-SHA2-256-128.
        Sha256 = "sha256",
        /// HMAC-SHA2-384-192.
        Sha384 = "sha384",
    }
}

keywords! {
    /// A pseudo-random function of the IKE SA (transform type 2): HMAC-SHA2 (RFC 4868).
    Prf {
        /// PRF-HMAC-SHA2-256.
        Sha256 = "sha256",
        /// PRF-HMAC-SHA2-384.
        Sha384 = "sha384",
        /// PRF-HMAC-SHA2-512.
        Sha512 = "sha512",
    }
}

keywords! {
    /// A cipher of the ESP SAs: AES-GCM with a 16-byte tag (RFC 4106).
    EspEncryption {
        /// AES-128-GCM.
        Aes128Gcm16 = "aes128gcm16",
        /// AES-192-GCM.
        Aes192Gcm16 = "aes192gcm16",
        /// AES-256-GCM.
        Aes256Gcm16 = "aes256gcm16",
    }
}
