//! Address prefixes.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::str::FromStr;

use crate::diagnostic::Refusal;

/// An IPv4 or IPv6 prefix whose host bits are zero. Ordered by address (IPv4 first), then by length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Prefix {
    address: IpAddr,
    length: u8,
}

impl Prefix {
    /// All of IPv4.
    pub const ALL_IPV4: Self = Self { address: IpAddr::V4(Ipv4Addr::UNSPECIFIED), length: 0 };

    /// The prefix of `length` bits that begins with `address`.
    ///
    /// # Errors
    /// [`PrefixError::Length`] when the address has fewer bits, [`PrefixError::HostBits`] (with the prefix that was
    /// probably meant) when bits beyond the length are set.
    pub fn new(address: IpAddr, length: u8) -> Result<Self, PrefixError> {
        if length > width(address) {
            return Err(PrefixError::Length { most: width(address) });
        }
        let prefix = Self { address: masked(address, length), length };
        if prefix.address == address { Ok(prefix) } else { Err(PrefixError::HostBits { corrected: prefix }) }
    }

    /// The first address.
    #[must_use]
    pub fn address(&self) -> IpAddr {
        self.address
    }

    /// The number of leading bits that are fixed.
    #[must_use]
    pub fn length(&self) -> u8 {
        self.length
    }

    /// The last address.
    pub(crate) fn last(&self) -> IpAddr {
        match self.address {
            IpAddr::V4(v4) => IpAddr::V4((u32::from(v4) | !mask4(self.length)).into()),
            IpAddr::V6(v6) => IpAddr::V6((u128::from(v6) | !mask6(self.length)).into()),
        }
    }

    /// The number of bits of an address of its family.
    pub(crate) fn bits(&self) -> u8 {
        width(self.address)
    }

    /// Whether this is a prefix of IPv4.
    #[must_use]
    pub fn is_ipv4(&self) -> bool {
        self.address.is_ipv4()
    }

    /// Whether the address lies in the prefix.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        self.is_ipv4() == address.is_ipv4() && masked(address, self.length) == self.address
    }

    /// Whether every address of `other` lies in this prefix.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        self.length <= other.length && self.contains(other.address)
    }

    /// Whether the two have an address in common.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        self.covers(other) || other.covers(self)
    }
}

fn width(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

fn masked(address: IpAddr, length: u8) -> IpAddr {
    match address {
        IpAddr::V4(v4) => IpAddr::V4((u32::from(v4) & mask4(length)).into()),
        IpAddr::V6(v6) => IpAddr::V6((u128::from(v6) & mask6(length)).into()),
    }
}

fn mask4(length: u8) -> u32 {
    u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0)
}

fn mask6(length: u8) -> u128 {
    u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0)
}

impl FromStr for Prefix {
    type Err = PrefixError;

    fn from_str(text: &str) -> Result<Self, PrefixError> {
        let (address, length) = Self::parts(text)?;
        Self::new(address, length)
    }
}

impl Prefix {
    /// An address and a length, whatever they say of each other.
    pub(crate) fn parts(text: &str) -> Result<(IpAddr, u8), PrefixError> {
        let Some((address, length)) = text.split_once('/') else {
            return Err(match text.parse::<IpAddr>() {
                Ok(address) => PrefixError::NoLength { meant: Self { address, length: width(address) } },
                Err(_) => PrefixError::Malformed,
            });
        };
        let address: IpAddr = address.parse().map_err(|_| PrefixError::Malformed)?;
        // `u8::from_str` would take a leading plus.
        if length.is_empty() || !length.bytes().all(|b| b.is_ascii_digit()) {
            return Err(PrefixError::Malformed);
        }
        let length = length.parse().map_err(|_| PrefixError::Length { most: width(address) })?;
        Ok((address, length))
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.length)
    }
}

/// Why a text is not a [`Prefix`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PrefixError {
    /// It is not an address, a slash and a length.
    Malformed,
    /// It is an address alone.
    NoLength {
        /// The address as a prefix of one.
        meant: Prefix,
    },
    /// The length is more than the address has bits.
    Length {
        /// The longest length for this family.
        most: u8,
    },
    /// Bits beyond the length are set.
    HostBits {
        /// The same prefix with those bits cleared.
        corrected: Prefix,
    },
}

impl fmt::Display for PrefixError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed => f.write_str("is not a prefix"),
            Self::NoLength { .. } => f.write_str("has no length"),
            Self::Length { .. } => f.write_str("has too long a length"),
            Self::HostBits { .. } => f.write_str("has host bits set"),
        }
    }
}

impl Refusal for PrefixError {
    fn allowed(&self) -> String {
        match self {
            Self::Malformed => "an address and a length, such as 10.1.0.0/16 or 2001:db8::/32".to_owned(),
            Self::NoLength { meant } => format!("an address and a length, such as {meant}"),
            Self::Length { most } => format!("a length of 0 to {most}"),
            Self::HostBits { corrected } => corrected.to_string(),
        }
    }
}
