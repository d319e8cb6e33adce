//! Autonomous system numbers.

use std::fmt;

use crate::diagnostic::OutOfRange;

/// The number of an autonomous system, private and of 16 bits (RFC 6996).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Asn(u32);

impl Asn {
    /// What a border gateway has where its file says nothing.
    pub const GATEWAY_DEFAULT: Self = Self(65000);

    /// The number of a border gateway: 64512 to 65534.
    ///
    /// # Errors
    /// [`OutOfRange`] for any other number.
    pub fn of_gateway(number: i128) -> Result<Self, OutOfRange> {
        OutOfRange::check(number, 64512, 65534).map(Self)
    }

    /// The number of a customer gateway: 65001 to 65499.
    ///
    /// # Errors
    /// [`OutOfRange`] for any other number.
    pub fn of_customer(number: i128) -> Result<Self, OutOfRange> {
        OutOfRange::check(number, 65001, 65499).map(Self)
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
