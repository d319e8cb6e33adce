//! Addresses as numbers.

use core::fmt;
use core::net::IpAddr;

/// An IP address as a number, compared and looked up in registers: `IpAddr` is made of bytes, and what is stored as bytes
/// and read as a word right after stalls the processor. So does a copy of an enum whose variants differ in size, for it goes
/// through memory.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Address {
    /// Zero for IPv4.
    high: u64,
    low: u64,
    is_v6: bool,
}

/// An address as a number, by version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bits {
    /// Of IPv4.
    V4(u32),
    /// Of IPv6.
    V6(u128),
}

impl Address {
    /// An IPv4 address.
    #[must_use]
    #[inline(always)]
    pub const fn v4(bits: u32) -> Self {
        Self { high: 0, low: bits as u64, is_v6: false }
    }

    /// An IPv6 address.
    #[must_use]
    #[inline(always)]
    pub const fn v6(bits: u128) -> Self {
        Self { high: (bits >> 64) as u64, low: bits as u64, is_v6: true }
    }

    /// Whether this is an IPv4 address.
    #[must_use]
    #[inline(always)]
    pub const fn is_ipv4(self) -> bool {
        !self.is_v6
    }

    /// The number, by version.
    #[must_use]
    #[inline(always)]
    pub const fn bits(self) -> Bits {
        if self.is_v6 { Bits::V6((self.high as u128) << 64 | self.low as u128) } else { Bits::V4(self.low as u32) }
    }

    /// The number's upper and lower half; of IPv4 all is in the lower one.
    #[must_use]
    #[inline(always)]
    pub const fn halves(self) -> (u64, u64) {
        (self.high, self.low)
    }
}

impl From<IpAddr> for Address {
    #[inline]
    fn from(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => Self::v4(address.to_bits()),
            IpAddr::V6(address) => Self::v6(address.to_bits()),
        }
    }
}

impl From<Address> for IpAddr {
    #[inline]
    fn from(address: Address) -> Self {
        match address.bits() {
            Bits::V4(bits) => Self::V4(bits.into()),
            Bits::V6(bits) => Self::V6(bits.into()),
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
