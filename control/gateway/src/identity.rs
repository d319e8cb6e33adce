//! The identities that the ends of a tunnel show each other.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use crate::diagnostic::Refusal;

/// What one end of a tunnel calls itself (RFC 7296 §3.5).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Identity {
    /// ID_IPV4_ADDR.
    Ipv4(Ipv4Addr),
    /// ID_IPV6_ADDR.
    Ipv6(Ipv6Addr),
    /// ID_FQDN: a domain name, without a closing dot.
    Fqdn(String),
    /// ID_RFC822_ADDR: `user@domain`.
    UserFqdn(String),
}

impl From<IpAddr> for Identity {
    fn from(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(v4) => Self::Ipv4(v4),
            IpAddr::V6(v6) => Self::Ipv6(v6),
        }
    }
}

impl FromStr for Identity {
    type Err = IdentityError;

    fn from_str(text: &str) -> Result<Self, IdentityError> {
        if text.is_empty() {
            return Err(IdentityError::Empty);
        }
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(address.into());
        }
        match text.rsplit_once('@') {
            Some(("", domain)) if is_domain(domain) => Err(IdentityError::LeadingAt),
            Some((user, domain)) if is_user(user) && is_domain(domain) => Ok(Self::UserFqdn(text.to_owned())),
            None if is_domain(text) => Ok(Self::Fqdn(text.to_owned())),
            Some(_) | None => Err(IdentityError::Malformed),
        }
    }
}

// RFC 1035 §2.3.4 for the lengths; `_` because peers use such names though hosts may not. A last label of digits
// only is a mistyped address, not a name.
fn is_domain(text: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len()) && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    let numeric = text.rsplit('.').next().is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit()));
    text.len() <= 253 && text.split('.').all(label) && !numeric
}

fn is_user(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic() && b != b'@')
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ipv4(address) => address.fmt(f),
            Self::Ipv6(address) => address.fmt(f),
            Self::Fqdn(text) | Self::UserFqdn(text) => f.write_str(text),
        }
    }
}

/// Why a text is not an [`Identity`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdentityError {
    /// There is no character in it.
    Empty,
    /// It is strongSwan's way to force a name; here a name needs no mark.
    LeadingAt,
    /// It is neither an address nor a name.
    Malformed,
}

impl fmt::Display for IdentityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "is empty",
            Self::LeadingAt => "begins with @: write the name alone",
            Self::Malformed => "is not an identity",
        })
    }
}

impl Refusal for IdentityError {
    fn allowed(&self) -> String {
        "an IPv4 or IPv6 address, a domain name, or user@domain".to_owned()
    }
}
