//! What is measured: a suite, a direction, a batch.

use std::fmt;
use std::str::FromStr;

use ::aead::Suite;
use serde::Serialize;

/// One row: every implementation does this, in turns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Case {
    pub suite: Suite,
    pub operation: Operation,
    /// Bytes of plaintext in each packet.
    pub size: usize,
    /// Packets handed over at a time.
    pub batch: usize,
    /// Packet `i` of a batch uses key `i % keys`.
    pub keys: usize,
    /// From a frame to itself, instead of from one frame to another.
    pub in_place: bool,
}

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

impl Case {
    /// Whether what was opened must be put back before it can be opened again. Every implementation does it alike, and
    /// what it takes is measured by itself and subtracted.
    pub fn restores(&self) -> bool {
        self.in_place && self.operation == Operation::Open
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { suite, operation, size, batch, keys, in_place } = self;
        let place = if *in_place { "in place" } else { "apart" };
        write!(f, "{suite} {operation}, {batch} of {size} bytes, {keys} keys, {place}")
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Seal => "seal",
            Self::Open => "open",
        })
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
