//! What is measured: a suite, a direction, a batch.

use std::fmt;

use ::aead::Suite;

use crate::operation::Operation;

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
