//! Ciphers of the IKE SA.

use std::fmt;

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

    /// The key length attribute; ciphers with one key length only have none (RFC 7296 §3.3.5).
    pub fn key_bits(self) -> Option<u16> {
        match self {
            Self::Aes128Cbc | Self::Aes128Gcm16 => Some(128),
            Self::Aes192Cbc | Self::Aes192Gcm16 => Some(192),
            Self::Aes256Cbc | Self::Aes256Gcm16 => Some(256),
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
