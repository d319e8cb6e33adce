//! What is wrong with a resource file, said so that a person can act on it.

use std::fmt;

/// One problem in a resource file: where it is, what was found there, and what is allowed.
///
/// Shown in one line: `static.toml:34: vpn_tunnel "tun-1": replay_window = 32 is out of range; allowed: 64 to 4096`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// The file's name as it was given to the parser.
    pub file: String,
    /// The line, from 1.
    pub line: u32,
    /// The column in characters, from 1.
    pub column: u32,
    /// The object concerned, such as `vpn_tunnel "tun-1"`; empty where it is the file as a whole.
    pub object: String,
    /// The field's full path, such as `vpn_tunnel "tun-1".esp.replay_window`; the object where no field is concerned.
    pub field: String,
    /// The value as it stands in the file; never that of a secret or of a field that is not known.
    pub value: Option<String>,
    /// What is wrong, as the rest of a sentence that begins with the field and its value.
    pub problem: String,
    /// What would be right, where that can be said.
    pub allowed: Option<String>,
}

impl Diagnostic {
    /// The field as it is written on its line: without its object and without the tables around it.
    #[must_use]
    pub fn key(&self) -> &str {
        let path = self.field.strip_prefix(&self.object).unwrap_or(&self.field);
        let path = path.strip_prefix('.').unwrap_or(path);
        ["outer.", "ike.", "esp."].iter().find_map(|table| path.strip_prefix(table)).unwrap_or(path)
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: ", self.file, self.line)?;
        if !self.object.is_empty() {
            write!(f, "{}: ", self.object)?;
        }
        if !self.key().is_empty() {
            write!(f, "{} ", self.key())?;
        }
        if let Some(value) = &self.value {
            write!(f, "= {value} ")?;
        }
        f.write_str(&self.problem)?;
        match &self.allowed {
            Some(allowed) => write!(f, "; allowed: {allowed}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Diagnostic {}

/// Why a checked constructor refused a value. `Display` says what is wrong, as the rest of a sentence that begins
/// with the value.
pub trait Refusal: fmt::Display {
    /// What would have been accepted.
    fn allowed(&self) -> String;
}

/// A number outside the range of its field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutOfRange {
    /// The smallest number allowed.
    pub low: u64,
    /// The largest number allowed.
    pub high: u64,
}

impl OutOfRange {
    pub(crate) fn check<N>(number: i128, low: N, high: N) -> Result<N, Self>
    where
        N: Copy + PartialOrd + TryFrom<i128> + Into<u64>,
    {
        let refused = Self { low: low.into(), high: high.into() };
        N::try_from(number).ok().filter(|n| (low..=high).contains(n)).ok_or(refused)
    }
}

impl fmt::Display for OutOfRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("is out of range")
    }
}

impl Refusal for OutOfRange {
    fn allowed(&self) -> String {
        format!("{} to {}", self.low, self.high)
    }
}
