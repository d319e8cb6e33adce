//! The names of the host's network interfaces.

use std::fmt;
use std::str::FromStr;

use crate::diagnostic::Refusal;

/// A name the kernel can give to an interface: 1 to 15 bytes (IFNAMSIZ less the closing NUL), no space, `/` or `:`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InterfaceName(String);

impl InterfaceName {
    /// The longest name, in bytes.
    pub const MAX_BYTES: usize = 15;

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for InterfaceName {
    type Err = InterfaceNameError;

    fn from_str(text: &str) -> Result<Self, InterfaceNameError> {
        if text.is_empty() {
            return Err(InterfaceNameError::Empty);
        }
        if let Some(c) = text.chars().find(|&c| c.is_whitespace() || c.is_control() || c == '/' || c == ':') {
            return Err(InterfaceNameError::Character(c));
        }
        if text.len() > Self::MAX_BYTES {
            return Err(InterfaceNameError::TooLong);
        }
        if text == "." || text == ".." {
            return Err(InterfaceNameError::Directory);
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for InterfaceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a text is not an [`InterfaceName`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InterfaceNameError {
    /// There is no character in it.
    Empty,
    /// It has more than [`InterfaceName::MAX_BYTES`] bytes.
    TooLong,
    /// It contains this character.
    Character(char),
    /// It is `.` or `..`, which the kernel refuses.
    Directory,
}

impl fmt::Display for InterfaceNameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("is empty"),
            Self::TooLong => f.write_str("is too long"),
            Self::Character(c) => write!(f, "contains {c:?}"),
            Self::Directory => f.write_str("is not an interface name"),
        }
    }
}

impl Refusal for InterfaceNameError {
    fn allowed(&self) -> String {
        "1 to 15 bytes without spaces, / and :".to_owned()
    }
}
