//! Addresses as numbers.

use core::fmt;
use core::net::IpAddr;

/// An IP address as a number, compared and looked up in registers: `IpAddr` is made of bytes, and what is stored as bytes
/// and read as a word right after stalls the processor.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub enum Address {
    /// IPv4.
    V4(u32),
    /// IPv6.
    V6(u128),
}

impl Address {
    /// Whether this is an IPv4 address.
    #[must_use]
    #[inline]
    pub fn is_ipv4(self) -> bool {
        matches!(self, Self::V4(_))
    }
}

impl From<IpAddr> for Address {
    #[inline]
    fn from(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => Self::V4(address.to_bits()),
            IpAddr::V6(address) => Self::V6(address.to_bits()),
        }
    }
}

impl From<Address> for IpAddr {
    #[inline]
    fn from(address: Address) -> Self {
        match address {
            Address::V4(bits) => Self::V4(bits.into()),
            Address::V6(bits) => Self::V6(bits.into()),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        IpAddr::from(*self).fmt(f)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
