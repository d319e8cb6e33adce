//! The addresses that an interface of ours carries.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use crate::diagnostic::Refusal;
use crate::prefix::{Prefix, PrefixError};

/// An address that one host can have, and the length of the prefix it shares with its neighbours: what
/// `ip address add` takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InterfaceAddress {
    address: IpAddr,
    prefix: Prefix,
}

impl InterfaceAddress {
    /// An address in the prefix of `length` bits.
    ///
    /// # Errors
    /// [`InterfaceAddressError`] when the address has fewer bits or is none of a single host.
    pub fn new(address: IpAddr, length: u8) -> Result<Self, InterfaceAddressError> {
        let prefix = match Prefix::new(address, length) {
            Ok(prefix) | Err(PrefixError::HostBits { corrected: prefix }) => prefix,
            Err(error) => return Err(InterfaceAddressError::Prefix(error)),
        };
        if let Some(problem) = not_of_one_host(address) {
            return Err(InterfaceAddressError::NotOfOneHost(problem));
        }
        // RFC 3021: the two addresses of a /31 are both hosts'. RFC 6164: so are those of an IPv6 /127.
        let apart = prefix.bits() - length > 1;
        if apart && address == prefix.address() {
            // RFC 4291 §2.6.1: in IPv6 the first is every router's.
            return Err(InterfaceAddressError::First(prefix));
        }
        if apart && prefix.is_ipv4() && address == prefix.last() {
            // RFC 919 §7: the last is every host's.
            return Err(InterfaceAddressError::Last(prefix));
        }
        Ok(Self { address, prefix })
    }

    /// The address alone.
    #[must_use]
    pub fn address(&self) -> IpAddr {
        self.address
    }

    /// The prefix it lies in.
    #[must_use]
    pub fn prefix(&self) -> Prefix {
        self.prefix
    }
}

/// Why an address can be that of no host or of any, as the rest of a sentence.
pub(crate) fn not_of_one_host(address: IpAddr) -> Option<&'static str> {
    let broadcast = match address {
        IpAddr::V4(v4) => v4.is_broadcast(),
        IpAddr::V6(_) => false,
    };
    if address.is_unspecified() {
        Some("is the unspecified address")
    } else if address.is_loopback() {
        Some("is a loopback address")
    } else if address.is_multicast() {
        Some("is a multicast address")
    } else if broadcast {
        Some("is the broadcast address")
    } else {
        None
    }
}

impl FromStr for InterfaceAddress {
    type Err = InterfaceAddressError;

    fn from_str(text: &str) -> Result<Self, InterfaceAddressError> {
        let (address, length) = Prefix::parts(text).map_err(InterfaceAddressError::Prefix)?;
        Self::new(address, length)
    }
}

impl fmt::Display for InterfaceAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix.length())
    }
}

/// Why a text is not an [`InterfaceAddress`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InterfaceAddressError {
    /// It is not an address with a length.
    Prefix(PrefixError),
    /// The address is of a kind that no single host has, which the text says.
    NotOfOneHost(&'static str),
    /// It is the first of its prefix, which stands for the prefix itself.
    First(Prefix),
    /// It is the last of its prefix, which stands for all hosts in it.
    Last(Prefix),
}

impl fmt::Display for InterfaceAddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // The prefix alone is not what was to be written here.
            Self::Prefix(PrefixError::Malformed) => f.write_str("is not an address with a prefix length"),
            Self::Prefix(error) => error.fmt(f),
            Self::NotOfOneHost(problem) => f.write_str(problem),
            Self::First(prefix) => write!(f, "is the first address of {prefix}"),
            Self::Last(prefix) => write!(f, "is the last address of {prefix}"),
        }
    }
}

impl Refusal for InterfaceAddressError {
    fn allowed(&self) -> String {
        match self {
            Self::Prefix(PrefixError::Length { most }) => PrefixError::Length { most: *most }.allowed(),
            Self::Prefix(_) => "an address and a length, such as 169.254.10.1/30 or 2001:db8::1/126".to_owned(),
            Self::NotOfOneHost(_) => "an address that one host can have".to_owned(),
            Self::First(prefix) | Self::Last(prefix) => format!("an address of a host in {prefix}"),
        }
    }
}
