//! Post-quantum pre-shared keys (RFC 8784).

use std::fmt;
use std::str::FromStr;

use crate::diagnostic::Refusal;
use crate::psk::PskSource;

/// A key that is mixed into a tunnel's keys, so that breaking its key exchange later on is not enough to read what was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostQuantumKey {
    /// By which name both ends know it.
    pub id: PpkId,
    /// The key itself.
    pub key: PskSource,
    /// Whether a peer without it is refused.
    pub required: bool,
}

/// The name of a post-quantum key: 1 to 64 letters, digits and punctuation of ASCII.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PpkId(String);

impl PpkId {
    /// The longest name, in bytes.
    pub const MAX_BYTES: usize = 64;

    /// As it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for PpkId {
    type Err = PpkIdError;

    fn from_str(text: &str) -> Result<Self, PpkIdError> {
        let fits = (1..=Self::MAX_BYTES).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
        fits.then(|| Self(text.to_owned())).ok_or(PpkIdError)
    }
}

/// A text is not a [`PpkId`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PpkIdError;

impl fmt::Display for PpkIdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("is not a name for a key")
    }
}

impl Refusal for PpkIdError {
    fn allowed(&self) -> String {
        "1 to 64 letters, digits and punctuation of ASCII".to_owned()
    }
}
