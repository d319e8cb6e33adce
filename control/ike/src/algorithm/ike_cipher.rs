//! Ciphers of the IKE SA.

use std::fmt;

/// A cipher for the IKE SA (transform type 1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum IkeCipher {
    /// 3DES-CBC (RFC 2451). Weak: 64-bit blocks, and RFC 8247 §2.1 has it as MAY.
    TripleDes,
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
    /// ChaCha20-Poly1305 (RFC 7634).
    ChaCha20Poly1305,
}

impl IkeCipher {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::TripleDes,
        Self::Aes128Cbc,
        Self::Aes192Cbc,
        Self::Aes256Cbc,
        Self::Aes128Gcm16,
        Self::Aes192Gcm16,
        Self::Aes256Gcm16,
        Self::ChaCha20Poly1305,
    ];

    /// Whether the cipher authenticates by itself.
    pub fn is_aead(self) -> bool {
        match self {
            Self::TripleDes | Self::Aes128Cbc | Self::Aes192Cbc | Self::Aes256Cbc => false,
            Self::Aes128Gcm16 | Self::Aes192Gcm16 | Self::Aes256Gcm16 | Self::ChaCha20Poly1305 => true,
        }
    }

    /// Whether it is only there for peers that have nothing better (RFC 8247 §2.1).
    pub fn is_weak(self) -> bool {
        match self {
            Self::TripleDes => true,
            Self::Aes128Cbc | Self::Aes192Cbc | Self::Aes256Cbc => false,
            Self::Aes128Gcm16 | Self::Aes192Gcm16 | Self::Aes256Gcm16 | Self::ChaCha20Poly1305 => false,
        }
    }

    /// The IANA transform id; where it does not say how long the key is, [`IkeCipher::key_bits`] does.
    pub fn id(self) -> u16 {
        match self {
            Self::TripleDes => 3,
            Self::Aes128Cbc | Self::Aes192Cbc | Self::Aes256Cbc => 12,
            Self::Aes128Gcm16 | Self::Aes192Gcm16 | Self::Aes256Gcm16 => 20,
            Self::ChaCha20Poly1305 => 28,
        }
    }

    /// The cipher key's length in bytes, without a salt.
    pub fn key_bytes(self) -> usize {
        match self {
            Self::Aes128Cbc | Self::Aes128Gcm16 => 16,
            Self::TripleDes | Self::Aes192Cbc | Self::Aes192Gcm16 => 24,
            Self::Aes256Cbc | Self::Aes256Gcm16 | Self::ChaCha20Poly1305 => 32,
        }
    }

    /// The key length attribute; ciphers with one key length only have none (RFC 7296 §3.3.5, RFC 7634 §4).
    pub fn key_bits(self) -> Option<u16> {
        match self {
            Self::Aes128Cbc | Self::Aes128Gcm16 => Some(128),
            Self::Aes192Cbc | Self::Aes192Gcm16 => Some(192),
            Self::Aes256Cbc | Self::Aes256Gcm16 => Some(256),
            Self::TripleDes | Self::ChaCha20Poly1305 => None,
        }
    }

    /// How much keying material one direction takes: the key, and the salt of an AEAD (RFC 5282 §7.1, RFC 7634 §2).
    pub(crate) fn material_bytes(self) -> usize {
        self.key_bytes() + if self.is_aead() { 4 } else { 0 }
    }
}

impl fmt::Display for IkeCipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TripleDes => "3des",
            Self::Aes128Cbc => "aes128",
            Self::Aes192Cbc => "aes192",
            Self::Aes256Cbc => "aes256",
            Self::Aes128Gcm16 => "aes128gcm16",
            Self::Aes192Gcm16 => "aes192gcm16",
            Self::Aes256Gcm16 => "aes256gcm16",
            Self::ChaCha20Poly1305 => "chacha20poly1305",
        })
    }
}
