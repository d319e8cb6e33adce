//! Autonomous system numbers.

use std::fmt;

use crate::diagnostic::OutOfRange;

/// The number of an autonomous system, of 16 or 32 bits (RFC 6793): 1 to 4294967294, without 23456, which stands for numbers
/// that do not fit 16 bits, and 65535, which is reserved (RFC 7300).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Asn(u32);

impl Asn {
    /// What a border gateway has where its file says nothing.
    pub const GATEWAY_DEFAULT: Self = Self(65000);

    /// What is allowed.
    pub(crate) const ALLOWED: &str = "1 to 4294967294, without 23456 and 65535";

    /// The system of this number.
    ///
    /// # Errors
    /// [`OutOfRange`] for any other number than those above.
    pub fn from_number(number: i128) -> Result<Self, OutOfRange> {
        match OutOfRange::check(number, 1, u32::MAX - 1)? {
            23_456 => OutOfRange::check(number, 23_457, u32::MAX - 1).map(Self),
            65_535 => OutOfRange::check(number, 65_536, u32::MAX - 1).map(Self),
            number => Ok(Self(number)),
        }
    }

    /// The number itself.
    #[must_use]
    pub fn number(self) -> u32 {
        self.0
    }
}

impl fmt::Display for Asn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
