//! Expanded keys.

use std::{fmt, mem};

use crate::{Kernel, Suite, portable};
#[cfg(target_arch = "x86_64")]
use crate::{cbc, chacha, gcm};

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
pub struct Key {
    suite: Suite,
    kernel: Kernel,
    pub(crate) schedule: Schedule,
}

// Inline: one key is one stretch of memory, read without a pointer to follow.
#[allow(clippy::large_enum_variant)]
pub(crate) enum Schedule {
    Portable(portable::Key),
    #[cfg(target_arch = "x86_64")]
    Gcm(gcm::Key),
    #[cfg(target_arch = "x86_64")]
    Cbc(cbc::Key),
    #[cfg(target_arch = "x86_64")]
    ChaCha(chacha::Key),
}

impl Key {
    /// Expands `key`, [`Suite::key_length`] bytes, for the kernel that is [`Kernel::chosen`].
    ///
    /// # Errors
    /// Where `key` has another length.
    pub fn new(suite: Suite, key: &[u8]) -> Result<Self, KeyLengthError> {
        Self::for_kernel(Kernel::chosen(), suite, key)
    }

    /// Expands `key` for one kernel: for tests and benches. Where the kernel has nothing for the suite, or the processor
    /// lacks its instructions, a slower one takes its place: see [`Key::kernel`].
    ///
    /// # Errors
    /// Where `key` is not [`Suite::key_length`] bytes long.
    pub fn for_kernel(kernel: Kernel, suite: Suite, key: &[u8]) -> Result<Self, KeyLengthError> {
        let wrong_length = KeyLengthError { suite, length: key.len() };
        if key.len() != suite.key_length() {
            return Err(wrong_length);
        }
        #[cfg(target_arch = "x86_64")]
        if let Some(kernel) = Kernel::available().rfind(|available| *available <= kernel)
            && kernel >= Kernel::AesNi
        {
            let schedule = match suite {
                Suite::Aes128Gcm16 | Suite::Aes192Gcm16 | Suite::Aes256Gcm16 => Some(Schedule::Gcm(gcm::Key::new(key))),
                // Of 128 bits the portable kernel makes as much.
                Suite::ChaCha20Poly1305 if kernel == Kernel::AesNi => None,
                Suite::ChaCha20Poly1305 => chacha::Key::new(key).map(Schedule::ChaCha),
                Suite::AesCbc(length, integrity) => Some(Schedule::Cbc(cbc::Key::new(length, integrity, key))),
            };
            if let Some(schedule) = schedule {
                return Ok(Self { suite, kernel, schedule });
            }
        }
        let schedule = portable::Key::new(suite, key).ok_or(wrong_length)?;
        Ok(Self { suite, kernel: Kernel::Portable, schedule: Schedule::Portable(schedule) })
    }

    /// The suite the key is for.
    #[must_use]
    pub fn suite(&self) -> Suite {
        self.suite
    }

    /// The kernel that works with it.
    #[must_use]
    pub fn kernel(&self) -> Kernel {
        self.kernel
    }

    /// Of CBC: an initialisation vector that nobody foresees, from a number that is never used twice with the key, such as
    /// the packet's. The number's block, enciphered under the key (NIST SP 800-38A appendix C, RFC 3602 §3).
    ///
    /// `None` for other suites, which want none.
    #[must_use]
    pub fn initialisation_vector(&self, number: u64) -> Option<[u8; 16]> {
        let mut block = [0; 16];
        block[8..].copy_from_slice(&number.to_be_bytes());
        match &self.schedule {
            Schedule::Portable(portable::Key::Cbc(cipher, _)) => {
                cipher.encrypt_block(&mut block);
                Some(block)
            }
            #[cfg(target_arch = "x86_64")]
            Schedule::Cbc(key) => Some(key.encrypt_block(block)),
            Schedule::Portable(_) => None,
            #[cfg(target_arch = "x86_64")]
            Schedule::Gcm(_) | Schedule::ChaCha(_) => None,
        }
    }

    /// Whether one kernel works with both.
    #[inline]
    pub(crate) fn goes_with(&self, other: &Self) -> bool {
        self.kernel == other.kernel && mem::discriminant(&self.schedule) == mem::discriminant(&other.schedule)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({}, redacted)", self.suite())
    }
}
