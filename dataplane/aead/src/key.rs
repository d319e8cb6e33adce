//! Expanded keys.

use std::{fmt, mem, ptr};

use crate::prefetch::{LINE, prefetch_at};
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
    pub(crate) schedule: Schedule,
}

// What is short, or was made to be few cache lines, stands here itself and is read without a pointer to follow.
#[allow(clippy::large_enum_variant)]
pub(crate) enum Schedule {
    Portable(Purpose, Box<portable::Key>),
    #[cfg(target_arch = "x86_64")]
    Gcm(Purpose, gcm::Key),
    #[cfg(target_arch = "x86_64")]
    Cbc(Purpose, Box<cbc::Key>),
    #[cfg(target_arch = "x86_64")]
    ChaCha(Purpose, chacha::Key),
}

/// What a key is for. In each variant, for there it stands beside the variant's number and takes no cache line of its own.
#[derive(Clone, Copy)]
pub(crate) struct Purpose {
    suite: Suite,
    kernel: Kernel,
}

/// Lines that follow, of which every packet under a key of 128 bits reads.
#[cfg(target_arch = "x86_64")]
const SHORT_LINES: usize = 5;
/// Bytes in front of the kernel's own key.
#[cfg(target_arch = "x86_64")]
const HEAD: usize = 16;
#[cfg(target_arch = "x86_64")]
const _: () = assert!(size_of::<Key>() == HEAD + size_of::<gcm::Key>());

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
            let purpose = Purpose { suite, kernel };
            let schedule = match suite {
                Suite::Aes128Gcm16 | Suite::Aes192Gcm16 | Suite::Aes256Gcm16 => {
                    Some(Schedule::Gcm(purpose, gcm::Key::new(key)))
                }
                // Of 128 bits the portable kernel makes as much.
                Suite::ChaCha20Poly1305 if kernel == Kernel::AesNi => None,
                Suite::ChaCha20Poly1305 => chacha::Key::new(key).map(|key| Schedule::ChaCha(purpose, key)),
                Suite::AesCbc(length, integrity) => {
                    Some(Schedule::Cbc(purpose, Box::new(cbc::Key::new(length, integrity, key))))
                }
            };
            if let Some(schedule) = schedule {
                return Ok(Self { schedule });
            }
        }
        let schedule = portable::Key::new(suite, key).ok_or(wrong_length)?;
        let purpose = Purpose { suite, kernel: Kernel::Portable };
        Ok(Self { schedule: Schedule::Portable(purpose, Box::new(schedule)) })
    }

    /// The suite the key is for.
    #[must_use]
    #[inline]
    pub fn suite(&self) -> Suite {
        self.purpose().suite
    }

    /// The kernel that works with it.
    #[must_use]
    #[inline]
    pub fn kernel(&self) -> Kernel {
        self.purpose().kernel
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
            Schedule::Portable(_, key) => {
                let portable::Key::Cbc(cipher, _) = &**key else { return None };
                cipher.encrypt_block(&mut block);
                Some(block)
            }
            #[cfg(target_arch = "x86_64")]
            Schedule::Cbc(_, key) => Some(key.encrypt_block(block)),
            #[cfg(target_arch = "x86_64")]
            Schedule::Gcm(..) | Schedule::ChaCha(..) => None,
        }
    }

    /// Has what a packet with so many bytes of text reads of the key brought near, but for the line on which it begins, and waits for
    /// none of it.
    #[inline(always)]
    pub fn prefetch(&self, text: usize) {
        #[cfg(target_arch = "x86_64")]
        {
            let short = ptr::from_ref(self).wrapping_byte_add(HEAD + gcm::BEFORE_SHORT);
            for line in 0..SHORT_LINES {
                prefetch_at(short.wrapping_byte_add(LINE * line));
            }
            for line in 1..=gcm::lines_before_short(text) {
                prefetch_at(short.wrapping_byte_sub(LINE * line));
            }
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = text;
    }

    #[inline(always)]
    fn purpose(&self) -> &Purpose {
        match &self.schedule {
            Schedule::Portable(purpose, _) => purpose,
            #[cfg(target_arch = "x86_64")]
            Schedule::Gcm(purpose, _) | Schedule::Cbc(purpose, _) | Schedule::ChaCha(purpose, _) => purpose,
        }
    }

    /// Whether both are of one suite, for one kernel.
    #[inline(always)]
    pub(crate) fn is_of_kind(&self, other: &Self) -> bool {
        let (own, other) = (self.purpose(), other.purpose());
        own.suite == other.suite && own.kernel == other.kernel
    }

    /// Whether one kernel works with both.
    #[inline]
    pub(crate) fn goes_with(&self, other: &Self) -> bool {
        self.kernel() == other.kernel() && mem::discriminant(&self.schedule) == mem::discriminant(&other.schedule)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({}, redacted)", self.suite())
    }
}
