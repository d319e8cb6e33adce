//! The direction of what is measured.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

/// The direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Operation {
    Seal,
    Open,
}

/// A direction that is none.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("no operation is called {0:?}; allowed: seal, open")]
pub struct OperationError(String);

impl Operation {
    /// The name in figures.
    pub fn name(self) -> &'static str {
        match self {
            Self::Seal => "seal",
            Self::Open => "open",
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Operation {
    type Err = OperationError;

    fn from_str(name: &str) -> Result<Self, OperationError> {
        match name {
            "seal" => Ok(Self::Seal),
            "open" => Ok(Self::Open),
            _ => Err(OperationError(name.to_owned())),
        }
    }
}
