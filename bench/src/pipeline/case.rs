//! What is measured.

use std::fmt;
use std::str::FromStr;

use ::aead::Suite;

use crate::operation::Operation;

/// One row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Case {
    pub suite: Suite,
    pub operation: Operation,
    /// Bytes of the inner packets.
    pub size: usize,
    /// Security associations, each of a tunnel of its own.
    pub sas: u32,
    /// Routes into tunnels: the `i`-th leads into tunnel `i % sas`.
    pub routes: u32,
    pub mix: Mix,
    /// Packets taken from a port at once.
    pub batch: usize,
}

/// How packets are spread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mix {
    /// Each packet for any association, all alike: the worst there is.
    Uniform,
    /// By Zipf's law with exponent 1: the `n`-th association has the `n`-th part of the first's packets.
    Zipf,
}

/// A mix that is none.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("no mix is called {0:?}; allowed: uniform, zipf")]
pub struct MixError(String);

impl Mix {
    /// The name in figures.
    pub fn name(self) -> &'static str {
        match self {
            Self::Uniform => "uniform",
            Self::Zipf => "zipf",
        }
    }
}

impl fmt::Display for Mix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Mix {
    type Err = MixError;

    fn from_str(name: &str) -> Result<Self, MixError> {
        match name {
            "uniform" => Ok(Self::Uniform),
            "zipf" => Ok(Self::Zipf),
            _ => Err(MixError(name.to_owned())),
        }
    }
}
