//! Suites: what they are called and how long their parts are.

use std::fmt;

use crate::TAG;

/// An ESP transform, or a pair of them, that encrypts and authenticates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Suite {
    /// AES-GCM with a 128-bit key and a 16-byte tag (RFC 4106).
    Aes128Gcm16,
    /// AES-GCM with a 192-bit key and a 16-byte tag (RFC 4106).
    Aes192Gcm16,
    /// AES-GCM with a 256-bit key and a 16-byte tag (RFC 4106).
    Aes256Gcm16,
    /// ChaCha20-Poly1305 (RFC 7634).
    ChaCha20Poly1305,
    /// AES-CBC (RFC 3602), and over it an HMAC.
    AesCbc(AesKey, Integrity),
}

/// How long an AES key is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AesKey {
    /// 128 bits.
    Aes128,
    /// 192 bits.
    Aes192,
    /// 256 bits.
    Aes256,
}

/// An integrity transform beside a cipher that has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Integrity {
    /// HMAC-SHA1-96 (RFC 2404).
    HmacSha1,
    /// HMAC-SHA-256-128 (RFC 4868).
    HmacSha256,
    /// HMAC-SHA-384-192 (RFC 4868).
    HmacSha384,
    /// HMAC-SHA-512-256 (RFC 4868).
    HmacSha512,
}

impl AesKey {
    /// Bytes of the key.
    #[must_use]
    pub const fn length(self) -> usize {
        match self {
            Self::Aes128 => 16,
            Self::Aes192 => 24,
            Self::Aes256 => 32,
        }
    }
}

impl Integrity {
    /// All, the shortest tag first.
    pub const ALL: [Integrity; 4] = [Self::HmacSha1, Self::HmacSha256, Self::HmacSha384, Self::HmacSha512];

    /// Bytes of the key (RFC 2404 §3, RFC 4868 §2.1.1).
    #[must_use]
    pub const fn key_length(self) -> usize {
        match self {
            Self::HmacSha1 => 20,
            Self::HmacSha256 => 32,
            Self::HmacSha384 => 48,
            Self::HmacSha512 => 64,
        }
    }

    /// Bytes of the truncated tag (RFC 2404 §3, RFC 4868 §2.1).
    #[must_use]
    pub const fn tag_length(self) -> usize {
        match self {
            Self::HmacSha1 => 12,
            Self::HmacSha256 => 16,
            Self::HmacSha384 => 24,
            Self::HmacSha512 => 32,
        }
    }
}

impl Suite {
    /// All of them.
    pub const ALL: [Suite; 16] = {
        let mut all = [Self::Aes128Gcm16; 16];
        all[1] = Self::Aes192Gcm16;
        all[2] = Self::Aes256Gcm16;
        all[3] = Self::ChaCha20Poly1305;
        let keys = [AesKey::Aes128, AesKey::Aes192, AesKey::Aes256];
        let mut i = 0;
        while i < 12 {
            all[4 + i] = Self::AesCbc(keys[i / 4], Integrity::ALL[i % 4]);
            i += 1;
        }
        all
    };

    /// Bytes of the keys, the salt not counted: that of the cipher, and that of its integrity transform behind it
    /// (RFC 7296 §2.17).
    #[must_use]
    pub const fn key_length(self) -> usize {
        match self {
            Self::Aes128Gcm16 => 16,
            Self::Aes192Gcm16 => 24,
            Self::Aes256Gcm16 | Self::ChaCha20Poly1305 => 32,
            Self::AesCbc(key, integrity) => key.length() + integrity.key_length(),
        }
    }

    /// Bytes of key material behind the key that start every nonce (RFC 4106 §8.1, RFC 7634 §2); CBC has none.
    #[must_use]
    pub const fn salt_length(self) -> usize {
        match self {
            Self::Aes128Gcm16 | Self::Aes192Gcm16 | Self::Aes256Gcm16 | Self::ChaCha20Poly1305 => 4,
            Self::AesCbc(..) => 0,
        }
    }

    /// Bytes of the initialisation vector that a packet carries.
    #[must_use]
    pub const fn iv_length(self) -> usize {
        match self {
            Self::Aes128Gcm16 | Self::Aes192Gcm16 | Self::Aes256Gcm16 | Self::ChaCha20Poly1305 => 8,
            Self::AesCbc(..) => 16,
        }
    }

    /// Bytes of the integrity check value.
    #[must_use]
    pub const fn tag_length(self) -> usize {
        match self {
            Self::Aes128Gcm16 | Self::Aes192Gcm16 | Self::Aes256Gcm16 | Self::ChaCha20Poly1305 => TAG,
            Self::AesCbc(_, integrity) => integrity.tag_length(),
        }
    }

    /// What the length of the plaintext is a multiple of: RFC 4303 §2.4, and the block of CBC.
    #[must_use]
    pub const fn alignment(self) -> usize {
        match self {
            Self::Aes128Gcm16 | Self::Aes192Gcm16 | Self::Aes256Gcm16 | Self::ChaCha20Poly1305 => 4,
            Self::AesCbc(..) => 16,
        }
    }

    /// The name under which benches and status show it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Aes128Gcm16 => "aes-128-gcm",
            Self::Aes192Gcm16 => "aes-192-gcm",
            Self::Aes256Gcm16 => "aes-256-gcm",
            Self::ChaCha20Poly1305 => "chacha20-poly1305",
            Self::AesCbc(AesKey::Aes128, Integrity::HmacSha1) => "aes-128-cbc+sha1-96",
            Self::AesCbc(AesKey::Aes128, Integrity::HmacSha256) => "aes-128-cbc+sha256-128",
            Self::AesCbc(AesKey::Aes128, Integrity::HmacSha384) => "aes-128-cbc+sha384-192",
            Self::AesCbc(AesKey::Aes128, Integrity::HmacSha512) => "aes-128-cbc+sha512-256",
            Self::AesCbc(AesKey::Aes192, Integrity::HmacSha1) => "aes-192-cbc+sha1-96",
            Self::AesCbc(AesKey::Aes192, Integrity::HmacSha256) => "aes-192-cbc+sha256-128",
            Self::AesCbc(AesKey::Aes192, Integrity::HmacSha384) => "aes-192-cbc+sha384-192",
            Self::AesCbc(AesKey::Aes192, Integrity::HmacSha512) => "aes-192-cbc+sha512-256",
            Self::AesCbc(AesKey::Aes256, Integrity::HmacSha1) => "aes-256-cbc+sha1-96",
            Self::AesCbc(AesKey::Aes256, Integrity::HmacSha256) => "aes-256-cbc+sha256-128",
            Self::AesCbc(AesKey::Aes256, Integrity::HmacSha384) => "aes-256-cbc+sha384-192",
            Self::AesCbc(AesKey::Aes256, Integrity::HmacSha512) => "aes-256-cbc+sha512-256",
        }
    }
}

impl fmt::Display for Suite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
