//! Suites and expanded keys.

use std::fmt;

use aes_gcm::aead::{AeadInOut, KeyInit, inout::InOutBuf};
use aes_gcm::aes::Aes192;
use aes_gcm::{Aes128Gcm, Aes256Gcm, AesGcm};

use crate::{NONCE, TAG};

/// An ESP transform that encrypts and authenticates, its tag 16 bytes long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Suite {
    /// AES-GCM with a 128-bit key (RFC 4106).
    Aes128Gcm16,
    /// AES-GCM with a 192-bit key (RFC 4106).
    Aes192Gcm16,
    /// AES-GCM with a 256-bit key (RFC 4106).
    Aes256Gcm16,
}

impl Suite {
    /// Bytes of the key, the salt not counted.
    #[must_use]
    pub fn key_length(self) -> usize {
        match self {
            Self::Aes128Gcm16 => 16,
            Self::Aes192Gcm16 => 24,
            Self::Aes256Gcm16 => 32,
        }
    }

    /// The name under which benches and status show it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Aes128Gcm16 => "aes-128-gcm",
            Self::Aes192Gcm16 => "aes-192-gcm",
            Self::Aes256Gcm16 => "aes-256-gcm",
        }
    }
}

impl fmt::Display for Suite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A key of a length that its suite does not take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a key of {length} bytes for {suite}; it takes {}", suite.key_length())]
pub struct KeyLengthError {
    /// The suite.
    pub suite: Suite,
    /// Bytes given.
    pub length: usize,
}

/// An expanded key, zeroised when dropped and never shown.
pub struct Key(Cipher);

// The schedules stand inline: one key is one stretch of memory, read without a pointer to follow.
#[allow(clippy::large_enum_variant)]
enum Cipher {
    Aes128(Aes128Gcm),
    Aes192(AesGcm<Aes192, aes_gcm::aead::consts::U12>),
    Aes256(Aes256Gcm),
}

impl Key {
    /// Expands `key`.
    ///
    /// # Errors
    /// Where `key` is not [`Suite::key_length`] bytes long.
    pub fn new(suite: Suite, key: &[u8]) -> Result<Self, KeyLengthError> {
        let wrong_length = |_| KeyLengthError { suite, length: key.len() };
        Ok(Self(match suite {
            Suite::Aes128Gcm16 => Cipher::Aes128(KeyInit::new_from_slice(key).map_err(wrong_length)?),
            Suite::Aes192Gcm16 => Cipher::Aes192(KeyInit::new_from_slice(key).map_err(wrong_length)?),
            Suite::Aes256Gcm16 => Cipher::Aes256(KeyInit::new_from_slice(key).map_err(wrong_length)?),
        }))
    }

    /// The suite the key is for.
    #[must_use]
    pub fn suite(&self) -> Suite {
        match self.0 {
            Cipher::Aes128(_) => Suite::Aes128Gcm16,
            Cipher::Aes192(_) => Suite::Aes192Gcm16,
            Cipher::Aes256(_) => Suite::Aes256Gcm16,
        }
    }

    pub(crate) fn seal(&self, nonce: &[u8; NONCE], associated_data: &[u8], text: &mut [u8]) -> [u8; TAG] {
        let (nonce, text) = (nonce.into(), InOutBuf::from(text));
        let tag = match &self.0 {
            Cipher::Aes128(cipher) => cipher.encrypt_inout_detached(nonce, associated_data, text),
            Cipher::Aes192(cipher) => cipher.encrypt_inout_detached(nonce, associated_data, text),
            Cipher::Aes256(cipher) => cipher.encrypt_inout_detached(nonce, associated_data, text),
        };
        tag.expect("a packet is far shorter than the 64 GiB that GCM takes").into()
    }

    /// Leaves `text` as it is, still encrypted, where the tag is wrong.
    pub(crate) fn open(&self, nonce: &[u8; NONCE], associated_data: &[u8], text: &mut [u8], tag: &[u8; TAG]) -> bool {
        let (nonce, tag, text) = (nonce.into(), tag.into(), InOutBuf::from(text));
        match &self.0 {
            Cipher::Aes128(cipher) => cipher.decrypt_inout_detached(nonce, associated_data, text, tag),
            Cipher::Aes192(cipher) => cipher.decrypt_inout_detached(nonce, associated_data, text, tag),
            Cipher::Aes256(cipher) => cipher.decrypt_inout_detached(nonce, associated_data, text, tag),
        }
        .is_ok()
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({}, redacted)", self.suite())
    }
}
