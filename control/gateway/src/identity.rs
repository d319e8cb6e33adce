//! The identities that the ends of a tunnel show each other.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use crate::diagnostic::Refusal;
use crate::distinguished_name::{DistinguishedName, DistinguishedNameError};

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
    /// ID_DER_ASN1_DN: a certificate's subject, such as `CN=gw.example, O=Example`.
    DistinguishedName(DistinguishedName),
    /// ID_KEY_ID: bytes that both ends know, written as text behind `keyid:` or in hexadecimal behind `keyid:0x`.
    KeyId(Vec<u8>),
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
        if let Some(bytes) = text.strip_prefix(KEY_ID) {
            return key_id(bytes).map(Self::KeyId).ok_or(IdentityError::KeyId);
        }
        if text.contains('=') {
            return text.parse().map(Self::DistinguishedName).map_err(IdentityError::DistinguishedName);
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

fn key_id(text: &str) -> Option<Vec<u8>> {
    let bytes = match text.strip_prefix("0x") {
        None if text.bytes().all(|b| b.is_ascii_graphic()) => text.as_bytes().to_vec(),
        None => return None,
        Some(digits) if !digits.len().is_multiple_of(2) || !digits.is_ascii() => return None,
        Some(digits) => {
            let pairs = digits.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap_or_default());
            let byte =
                |pair: &str| pair.bytes().all(|b| b.is_ascii_hexdigit()).then(|| u8::from_str_radix(pair, 16).ok());
            pairs.map(|pair| byte(pair).flatten()).collect::<Option<_>>()?
        }
    };
    (1..=LONGEST_KEY_ID).contains(&bytes.len()).then_some(bytes)
}

const KEY_ID: &str = "keyid:";
const LONGEST_KEY_ID: usize = 128;

fn is_user(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic() && b != b'@')
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ipv4(address) => address.fmt(f),
            Self::Ipv6(address) => address.fmt(f),
            Self::Fqdn(text) | Self::UserFqdn(text) => f.write_str(text),
            Self::DistinguishedName(name) => name.fmt(f),
            Self::KeyId(bytes) => match std::str::from_utf8(bytes) {
                Ok(text) if text.bytes().all(|b| b.is_ascii_graphic()) && !text.starts_with("0x") => {
                    write!(f, "{KEY_ID}{text}")
                }
                Ok(_) | Err(_) => {
                    write!(f, "{KEY_ID}0x")?;
                    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
                }
            },
        }
    }
}

/// Why a text is not an [`Identity`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdentityError {
    /// There is no character in it.
    Empty,
    /// It contains `=`, as distinguished names do, and is none.
    DistinguishedName(DistinguishedNameError),
    /// What follows `keyid:` is neither text without spaces nor hexadecimal, or not of 1 to 128 bytes.
    KeyId,
    /// It is strongSwan's way to force a name; here a name needs no mark.
    LeadingAt,
    /// It is neither an address nor a name.
    Malformed,
}

impl fmt::Display for IdentityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::DistinguishedName(error) => return error.fmt(f),
            Self::Empty => "is empty",
            Self::KeyId => "is not a key-ID",
            Self::LeadingAt => "begins with @: write the name alone",
            Self::Malformed => "is not an identity",
        })
    }
}

impl Refusal for IdentityError {
    fn allowed(&self) -> String {
        match self {
            Self::DistinguishedName(error) => error.allowed(),
            Self::KeyId => "keyid: and 1 to 128 characters of ASCII without spaces, or 0x and hexadecimal".to_owned(),
            Self::Empty | Self::LeadingAt | Self::Malformed => {
                "an IPv4 or IPv6 address, a domain name, user@domain, a distinguished name (CN=...), or keyid:..."
                    .to_owned()
            }
        }
    }
}
