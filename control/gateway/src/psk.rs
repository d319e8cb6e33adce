//! Pre-shared keys.

use std::fmt;
use std::path::PathBuf;

use zeroize::Zeroizing;

use crate::diagnostic::Refusal;

/// A pre-shared key: 1 to 128 letters, digits and punctuation of ASCII, and no `0x` or `0s` at its start.
///
/// These are the keys that every peer reads as the same bytes: no spaces or other scripts (their encoding differs),
/// and nothing that strongSwan takes for hexadecimal (`0x`) or base64 (`0s`). Wiped on drop, redacted in `Debug`,
/// compared in constant time for keys of one length.
#[derive(Clone)]
pub struct Psk(Zeroizing<Vec<u8>>);

impl Psk {
    /// The longest key, in bytes.
    pub const MAX_BYTES: usize = 128;

    /// The key written as this text.
    ///
    /// # Errors
    /// A [`PskError`] that names the broken rule and nothing of the key.
    pub fn new(text: &[u8]) -> Result<Self, PskError> {
        if text.is_empty() {
            return Err(PskError::Empty);
        }
        if text.len() > Self::MAX_BYTES {
            return Err(PskError::TooLong);
        }
        if !text.iter().all(u8::is_ascii_graphic) {
            return Err(PskError::Character);
        }
        // Both cases: strongSwan compares without regard to case in some of its readers.
        if text[0] == b'0' && matches!(text.get(1), Some(b'x' | b'X' | b's' | b'S')) {
            return Err(PskError::Encoded);
        }
        Ok(Self(Zeroizing::new(text.to_vec())))
    }

    /// The key in a file's content: as [`Psk::new`], less the one line end that editors put after the last line.
    ///
    /// # Errors
    /// As [`Psk::new`].
    pub fn from_file_content(content: &[u8]) -> Result<Self, PskError> {
        let text = content.strip_suffix(b"\n").unwrap_or(content);
        Self::new(text.strip_suffix(b"\r").unwrap_or(text))
    }

    /// The bytes that go into the AUTH payload (RFC 7296 §2.15).
    #[must_use]
    pub fn secret(&self) -> &[u8] {
        &self.0
    }
}

impl PartialEq for Psk {
    fn eq(&self, other: &Self) -> bool {
        let difference = self.0.iter().zip(other.0.iter()).fold(0, |sum, (a, b)| sum | (a ^ b));
        self.0.len() == other.0.len() && std::hint::black_box(difference) == 0
    }
}

impl Eq for Psk {}

impl fmt::Debug for Psk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Psk(redacted)")
    }
}

/// Where a tunnel's pre-shared key comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PskSource {
    /// It stands in the resource file.
    Inline(Psk),
    /// It stands in a file of its own, which this crate does not read.
    File {
        /// Where that file is.
        path: PathBuf,
        /// The key, once [`Resources::supply_psk`](crate::Resources::supply_psk) was given the content.
        psk: Option<Psk>,
    },
}

impl PskSource {
    /// The key; `None` while the content of its file has not been supplied.
    #[must_use]
    pub fn psk(&self) -> Option<&Psk> {
        match self {
            Self::Inline(psk) => Some(psk),
            Self::File { psk, .. } => psk.as_ref(),
        }
    }
}

/// Why a text is not a [`Psk`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PskError {
    /// There is no byte in it.
    Empty,
    /// It has more than [`Psk::MAX_BYTES`] bytes.
    TooLong,
    /// It contains something else than letters, digits and punctuation of ASCII.
    Character,
    /// It begins with `0x` or `0s`.
    Encoded,
}

impl fmt::Display for PskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "is empty",
            Self::TooLong => "is too long",
            Self::Character => "contains a space or a character outside ASCII",
            Self::Encoded => "begins with 0x or 0s, which peers read as hexadecimal or base64",
        })
    }
}

impl Refusal for PskError {
    fn allowed(&self) -> String {
        "1 to 128 letters, digits and punctuation of ASCII, not beginning with 0x or 0s".to_owned()
    }
}
