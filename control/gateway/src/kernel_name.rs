//! The names of the host's network interfaces and network namespaces.

use std::fmt;
use std::str::FromStr;

use crate::diagnostic::Refusal;
use crate::name::Name;

/// A name the kernel can give to an interface: 1 to 15 bytes (IFNAMSIZ less the closing NUL), no space, `/` or `:`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InterfaceName(String);

/// A name under which `ip netns` can keep a network namespace: 1 to 255 bytes (NAME_MAX), no space or `/`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NamespaceName(String);

impl InterfaceName {
    /// The longest name, in bytes.
    pub const MAX_BYTES: usize = 15;

    /// What the TUN device of a border gateway is called where its file says nothing: `bg-` and as much of the
    /// gateway's name as fits.
    #[must_use]
    pub fn of_gateway(gateway: &Name) -> Self {
        let mut name = format!("bg-{gateway}");
        name.truncate(name.floor_char_boundary(Self::MAX_BYTES));
        Self(name)
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl NamespaceName {
    /// The longest name, in bytes.
    pub const MAX_BYTES: usize = 255;

    /// Where the TUN device of a border gateway is where its file says nothing: `bordergate-` and the gateway's name,
    /// which is never too long.
    #[must_use]
    pub fn of_gateway(gateway: &Name) -> Self {
        Self(format!("bordergate-{gateway}"))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for InterfaceName {
    type Err = KernelNameError;

    fn from_str(text: &str) -> Result<Self, KernelNameError> {
        let refused = |problem| KernelNameError { problem, allowed: "1 to 15 bytes without spaces, / and :" };
        check(text, "/:", Self::MAX_BYTES).map_err(refused)?;
        Ok(Self(text.to_owned()))
    }
}

impl FromStr for NamespaceName {
    type Err = KernelNameError;

    fn from_str(text: &str) -> Result<Self, KernelNameError> {
        let refused = |problem| KernelNameError { problem, allowed: "1 to 255 bytes without spaces and /" };
        check(text, "/", Self::MAX_BYTES).map_err(refused)?;
        Ok(Self(text.to_owned()))
    }
}

fn check(text: &str, reserved: &str, max_bytes: usize) -> Result<(), KernelNameProblem> {
    if text.is_empty() {
        return Err(KernelNameProblem::Empty);
    }
    if let Some(c) = text.chars().find(|&c| c.is_whitespace() || c.is_control() || reserved.contains(c)) {
        return Err(KernelNameProblem::Character(c));
    }
    if text.len() > max_bytes {
        return Err(KernelNameProblem::TooLong);
    }
    if text == "." || text == ".." {
        return Err(KernelNameProblem::Directory);
    }
    Ok(())
}

impl fmt::Display for InterfaceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for NamespaceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a text is not an [`InterfaceName`] or a [`NamespaceName`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KernelNameError {
    /// What is wrong.
    pub problem: KernelNameProblem,
    allowed: &'static str,
}

/// What is wrong with a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KernelNameProblem {
    /// There is no character in it.
    Empty,
    /// It has more bytes than there is room for.
    TooLong,
    /// It contains this character.
    Character(char),
    /// It is `.` or `..`, which the kernel refuses.
    Directory,
}

impl fmt::Display for KernelNameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.problem {
            KernelNameProblem::Empty => f.write_str("is empty"),
            KernelNameProblem::TooLong => f.write_str("is too long"),
            KernelNameProblem::Character(c) => write!(f, "contains {c:?}"),
            KernelNameProblem::Directory => f.write_str("names a directory"),
        }
    }
}

impl Refusal for KernelNameError {
    fn allowed(&self) -> String {
        self.allowed.to_owned()
    }
}
