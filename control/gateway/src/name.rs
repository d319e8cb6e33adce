//! The names of objects.

use std::fmt;
use std::str::FromStr;

use crate::diagnostic::Refusal;

/// An object's name: 1 to 32 letters and digits of any script (CJK included), `_` and `-`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(String);

impl Name {
    /// The longest name, in characters.
    pub const MAX_CHARACTERS: usize = 32;

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Name {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        if text.is_empty() {
            return Err(NameError::Empty);
        }
        if let Some(c) = text.chars().find(|&c| !(c.is_alphanumeric() || c == '_' || c == '-')) {
            return Err(NameError::Character(c));
        }
        if text.chars().count() > Self::MAX_CHARACTERS {
            return Err(NameError::TooLong);
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a text is not a [`Name`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameError {
    /// There is no character in it.
    Empty,
    /// It has more than [`Name::MAX_CHARACTERS`] characters.
    TooLong,
    /// It contains this character.
    Character(char),
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("is empty"),
            Self::TooLong => f.write_str("is too long"),
            Self::Character(c) => write!(f, "contains {c:?}"),
        }
    }
}

impl Refusal for NameError {
    fn allowed(&self) -> String {
        "1 to 32 letters, digits, _ and -".to_owned()
    }
}
