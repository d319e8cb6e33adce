//! Which routes are taken from a peer or told to it, and what is changed of them.

use std::fmt;
use std::str::FromStr;

use crate::asn::Asn;
use crate::bgp::PrependCount;
use crate::diagnostic::Refusal;
use crate::keyword::keywords;
use crate::name::Name;
use crate::prefix::{Prefix, PrefixError};

/// Rules in order; the first that decides does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteFilter {
    /// Unlike that of any other filter, and of the policies that need none.
    pub name: Name,
    /// The rules.
    pub rules: Vec<FilterRule>,
    /// What becomes of a route on which none of them decides.
    pub otherwise: FilterVerdict,
}

/// What is done with routes for which all its conditions hold; without conditions it is for every route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilterRule {
    /// Its prefix is one of these; empty: any.
    pub prefixes: Vec<PrefixRange>,
    /// Its path has this number.
    pub path_contains: Option<Asn>,
    /// Its path begins with this number, that of the neighbour it comes from.
    pub path_begins: Option<Asn>,
    /// Its path ends with this number, that of its origin.
    pub path_ends: Option<Asn>,
    /// Its path has more numbers than this.
    pub path_longer_than: Option<u8>,
    /// It has this community (RFC 1997).
    pub community: Option<Community>,
    /// It has this large community (RFC 8092).
    pub large_community: Option<LargeCommunity>,
    /// LOCAL_PREF: the higher wins.
    pub set_local_pref: Option<u32>,
    /// MULTI_EXIT_DISC: the lower wins.
    pub set_med: Option<u32>,
    /// How often our number is put in front of its path.
    pub prepend: Option<PrependCount>,
    /// A community that is added.
    pub add_community: Option<Community>,
    /// A community that is removed.
    pub remove_community: Option<Community>,
    /// A large community that is added.
    pub add_large_community: Option<LargeCommunity>,
    /// A large community that is removed.
    pub remove_large_community: Option<LargeCommunity>,
    /// What becomes of it.
    pub action: FilterAction,
}

keywords! {
    /// What becomes of a route on which no rule decides.
    FilterVerdict {
        /// It is taken.
        Accept = "accept",
        /// It is not.
        Reject = "reject",
    }
}

keywords! {
    /// What becomes of a route for which a rule holds.
    FilterAction {
        /// It is taken.
        Accept = "accept",
        /// It is not.
        Reject = "reject",
        /// The rules that follow decide.
        Next = "next",
    }
}

/// A prefix and what lies in it, of lengths between two. Written `10.4.0.0/14 16-24`; without lengths it is that prefix alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PrefixRange {
    /// What all of them lie in.
    pub within: Prefix,
    /// The least length.
    pub at_least: u8,
    /// The greatest length.
    pub at_most: u8,
}

/// Why a text is not a [`PrefixRange`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PrefixRangeError {
    /// The prefix.
    Prefix(PrefixError),
    /// The lengths behind it.
    Lengths(Prefix),
}

impl FromStr for PrefixRange {
    type Err = PrefixRangeError;

    fn from_str(text: &str) -> Result<Self, PrefixRangeError> {
        let (prefix, lengths) = match text.split_once(' ') {
            Some((prefix, lengths)) => (prefix, Some(lengths)),
            None => (text, None),
        };
        let within: Prefix = prefix.parse().map_err(PrefixRangeError::Prefix)?;
        let Some(lengths) = lengths else {
            return Ok(Self { within, at_least: within.length(), at_most: within.length() });
        };
        let number = |text: &str| text.parse::<u8>().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()));
        let (at_least, at_most) = lengths.split_once('-').unwrap_or((lengths, lengths));
        match (number(at_least), number(at_most)) {
            (Some(at_least), Some(at_most))
                if within.length() <= at_least && at_least <= at_most && at_most <= within.bits() =>
            {
                Ok(Self { within, at_least, at_most })
            }
            _ => Err(PrefixRangeError::Lengths(within)),
        }
    }
}

impl fmt::Display for PrefixRangeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Prefix(error) => error.fmt(f),
            Self::Lengths(_) => f.write_str("has lengths that are no range of its own"),
        }
    }
}

impl Refusal for PrefixRangeError {
    fn allowed(&self) -> String {
        match self {
            Self::Prefix(error) => error.allowed(),
            Self::Lengths(prefix) => {
                let (least, most) = (prefix.length(), prefix.bits());
                format!("{prefix} alone, or with a range of lengths, such as {prefix} {least}-{most}")
            }
        }
    }
}

/// A community of 32 bits (RFC 1997), written as two numbers, or by the word of a well-known one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Community(pub u32);

/// Well-known communities: RFC 1997, RFC 8326, RFC 9494.
const WELL_KNOWN: [(&str, u32); 6] = [
    ("graceful-shutdown", 0xffff_0000),
    ("llgr-stale", 0xffff_0006),
    ("no-llgr", 0xffff_0007),
    ("no-export", 0xffff_ff01),
    ("no-advertise", 0xffff_ff02),
    ("no-export-subconfed", 0xffff_ff03),
];

/// A text is not a [`Community`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoCommunity;

impl FromStr for Community {
    type Err = NoCommunity;

    fn from_str(text: &str) -> Result<Self, NoCommunity> {
        if let Some((_, value)) = WELL_KNOWN.iter().find(|(word, _)| *word == text) {
            return Ok(Self(*value));
        }
        let (high, low) = text.split_once(':').ok_or(NoCommunity)?;
        let number = |text: &str| text.parse::<u16>().map_err(|_| NoCommunity);
        Ok(Self(u32::from(number(high)?) << 16 | u32::from(number(low)?)))
    }
}

impl fmt::Display for Community {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match WELL_KNOWN.iter().find(|(_, value)| *value == self.0) {
            Some((word, _)) => f.write_str(word),
            None => write!(f, "{}:{}", self.0 >> 16, self.0 & 0xffff),
        }
    }
}

impl fmt::Display for NoCommunity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("is not a community")
    }
}

impl Refusal for NoCommunity {
    fn allowed(&self) -> String {
        let words: Vec<&str> = WELL_KNOWN.iter().map(|(word, _)| *word).collect();
        format!("two numbers of 0 to 65535, such as 65001:100, or {}", words.join(", "))
    }
}

/// A community of three numbers (RFC 8092).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LargeCommunity(pub u32, pub u32, pub u32);

/// A text is not a [`LargeCommunity`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoLargeCommunity;

impl FromStr for LargeCommunity {
    type Err = NoLargeCommunity;

    fn from_str(text: &str) -> Result<Self, NoLargeCommunity> {
        let numbers: Vec<u32> =
            text.split(':').map(|part| part.parse().map_err(|_| NoLargeCommunity)).collect::<Result<_, _>>()?;
        match numbers[..] {
            [first, second, third] => Ok(Self(first, second, third)),
            _ => Err(NoLargeCommunity),
        }
    }
}

impl fmt::Display for NoLargeCommunity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("is not a large community")
    }
}

impl Refusal for NoLargeCommunity {
    fn allowed(&self) -> String {
        "three numbers of 0 to 4294967295, such as 65001:1:2".to_owned()
    }
}
