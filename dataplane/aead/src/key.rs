//! Expanded keys.

use std::fmt;

#[cfg(target_arch = "x86_64")]
use crate::chacha;
use crate::{Kernel, Suite, portable};

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
        if suite == Suite::ChaCha20Poly1305
            && matches!(kernel, Kernel::Vaes256 | Kernel::Vaes512)
            && kernel.is_available()
        {
            let schedule = Schedule::ChaCha(chacha::Key::new(key).ok_or(wrong_length)?);
            return Ok(Self { suite, kernel, schedule });
        }
        let _ = kernel;
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

    /// Bytes of the suite's tag.
    #[inline]
    pub(crate) fn tag_length(&self) -> usize {
        self.suite.tag_length()
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({}, redacted)", self.suite())
    }
}
