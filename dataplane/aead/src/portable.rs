//! AES-GCM by the `aes-gcm` crate: for every processor, and the oracle of the other kernels.

use aes_gcm::aead::{AeadInOut, KeyInit, inout::InOutBuf};
use aes_gcm::aes::Aes192;
use aes_gcm::{Aes128Gcm, Aes256Gcm, AesGcm};

use crate::{NONCE, Suite, TAG};

/// An expanded key, wiped when dropped.
// The schedules stand inline: one key is one stretch of memory, read without a pointer to follow.
#[allow(clippy::large_enum_variant)]
pub enum Key {
    Aes128(Aes128Gcm),
    Aes192(AesGcm<Aes192, aes_gcm::aead::consts::U12>),
    Aes256(Aes256Gcm),
}

impl Key {
    /// `None` where `key` is not as long as the suite wants it.
    pub fn new(suite: Suite, key: &[u8]) -> Option<Self> {
        Some(match suite {
            Suite::Aes128Gcm16 => Self::Aes128(KeyInit::new_from_slice(key).ok()?),
            Suite::Aes192Gcm16 => Self::Aes192(KeyInit::new_from_slice(key).ok()?),
            Suite::Aes256Gcm16 => Self::Aes256(KeyInit::new_from_slice(key).ok()?),
        })
    }

    /// Seals `source` followed by `tail` into `destination` and its tag behind it.
    pub fn seal(&self, nonce: &[u8; NONCE], data: &[u8], source: &[u8], tail: &[u8], destination: &mut [u8]) {
        let (text, made) = destination.split_at_mut(source.len() + tail.len());
        let (start, end) = text.split_at_mut(source.len());
        start.copy_from_slice(source);
        end.copy_from_slice(tail);
        let (nonce, text) = (nonce.into(), InOutBuf::from(text));
        let tag = match self {
            Self::Aes128(cipher) => cipher.encrypt_inout_detached(nonce, data, text),
            Self::Aes192(cipher) => cipher.encrypt_inout_detached(nonce, data, text),
            Self::Aes256(cipher) => cipher.encrypt_inout_detached(nonce, data, text),
        };
        made.copy_from_slice(&tag.expect("a packet is far shorter than the 64 GiB that GCM takes"));
    }

    /// Opens `source` into `destination`; where the tag is wrong, says so and leaves the ciphertext.
    #[must_use]
    pub fn open(
        &self,
        nonce: &[u8; NONCE],
        data: &[u8],
        source: &[u8],
        tag: &[u8; TAG],
        destination: &mut [u8],
    ) -> bool {
        destination.copy_from_slice(source);
        let (nonce, tag, text) = (nonce.into(), tag.into(), InOutBuf::from(destination));
        match self {
            Self::Aes128(cipher) => cipher.decrypt_inout_detached(nonce, data, text, tag),
            Self::Aes192(cipher) => cipher.decrypt_inout_detached(nonce, data, text, tag),
            Self::Aes256(cipher) => cipher.decrypt_inout_detached(nonce, data, text, tag),
        }
        .is_ok()
    }
}
