//! Suites and expanded keys.

use std::fmt;

#[cfg(target_arch = "x86_64")]
use crate::vaes;
use crate::{NONCE, TAG, portable};

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

/// Which instructions do the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kernel {
    /// The `aes-gcm` crate, on every processor.
    Portable,
    /// 256-bit vectors: AVX2 with VAES and VPCLMULQDQ (AMD since Zen 3, Intel since Ice Lake).
    Vaes256,
}

impl Kernel {
    /// All, slowest first.
    pub const ALL: [Kernel; 2] = [Kernel::Portable, Kernel::Vaes256];

    /// The fastest one that this processor has the instructions for.
    #[must_use]
    pub fn best() -> Self {
        Self::ALL.into_iter().rfind(|kernel| kernel.available()).unwrap_or(Self::Portable)
    }

    /// Whether this processor has the instructions for it.
    #[must_use]
    pub fn available(self) -> bool {
        match self {
            Self::Portable => true,
            #[cfg(target_arch = "x86_64")]
            Self::Vaes256 => vaes::available(),
            #[cfg(not(target_arch = "x86_64"))]
            Self::Vaes256 => false,
        }
    }

    /// The name under which benches and status show it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Portable => "portable",
            Self::Vaes256 => "vaes256",
        }
    }
}

/// An expanded key, zeroised when dropped and never shown.
pub struct Key {
    suite: Suite,
    schedule: Schedule,
}

// Inline: one key is one stretch of memory, read without a pointer to follow.
#[allow(clippy::large_enum_variant)]
enum Schedule {
    Portable(portable::Key),
    #[cfg(target_arch = "x86_64")]
    Vaes(vaes::Key),
}

impl Key {
    /// Expands `key` for the best kernel there is.
    ///
    /// # Errors
    /// Where `key` is not [`Suite::key_length`] bytes long.
    pub fn new(suite: Suite, key: &[u8]) -> Result<Self, KeyLengthError> {
        Self::for_kernel(Kernel::best(), suite, key)
    }

    /// Expands `key` for one kernel, or for the portable one where this processor lacks it: for tests and benches.
    ///
    /// # Errors
    /// Where `key` is not [`Suite::key_length`] bytes long.
    pub fn for_kernel(kernel: Kernel, suite: Suite, key: &[u8]) -> Result<Self, KeyLengthError> {
        let wrong_length = KeyLengthError { suite, length: key.len() };
        if key.len() != suite.key_length() {
            return Err(wrong_length);
        }
        #[cfg(target_arch = "x86_64")]
        if kernel == Kernel::Vaes256
            && let Some(schedule) = vaes::Key::new(key)
        {
            return Ok(Self { suite, schedule: Schedule::Vaes(schedule) });
        }
        let _ = kernel;
        let schedule = portable::Key::new(suite, key).ok_or(wrong_length)?;
        Ok(Self { suite, schedule: Schedule::Portable(schedule) })
    }

    /// The suite the key is for.
    #[must_use]
    pub fn suite(&self) -> Suite {
        self.suite
    }

    pub(crate) fn seal(&self, nonce: &[u8; NONCE], data: &[u8], source: &[u8], tail: &[u8], destination: &mut [u8]) {
        match &self.schedule {
            Schedule::Portable(key) => key.seal(nonce, data, source, tail, destination),
            #[cfg(target_arch = "x86_64")]
            Schedule::Vaes(key) => key.seal(nonce, data, source, tail, destination),
        }
    }

    pub(crate) fn open(
        &self,
        nonce: &[u8; NONCE],
        data: &[u8],
        source: &[u8],
        tag: &[u8; TAG],
        destination: &mut [u8],
    ) -> bool {
        match &self.schedule {
            Schedule::Portable(key) => key.open(nonce, data, source, tag, destination),
            #[cfg(target_arch = "x86_64")]
            Schedule::Vaes(key) => key.open(nonce, data, source, tag, destination),
        }
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({}, redacted)", self.suite())
    }
}
