//! Address families.

use std::fmt;

use rustbgpd_wire::{Afi, Prefix, Safi};

/// Unicast of one IP version (RFC 4760).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// AFI 1, SAFI 1.
    Ipv4,
    /// AFI 2, SAFI 1.
    Ipv6,
}

impl Family {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Ipv4, Self::Ipv6];

    /// The family a prefix belongs to.
    pub fn of(prefix: &Prefix) -> Self {
        match prefix {
            Prefix::V4(_) => Self::Ipv4,
            Prefix::V6(_) => Self::Ipv6,
        }
    }

    pub(crate) fn code(self) -> (Afi, Safi) {
        match self {
            Self::Ipv4 => (Afi::Ipv4, Safi::Unicast),
            Self::Ipv6 => (Afi::Ipv6, Safi::Unicast),
        }
    }

    pub(crate) fn from_code(code: (Afi, Safi)) -> Option<Self> {
        Self::ALL.into_iter().find(|family| family.code() == code)
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ipv4 => "IPv4 unicast",
            Self::Ipv6 => "IPv6 unicast",
        })
    }
}

/// A set of families.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Families {
    /// IPv4 unicast.
    pub ipv4: bool,
    /// IPv6 unicast.
    pub ipv6: bool,
}

impl Families {
    /// Whether a family is one of them.
    pub fn contains(self, family: Family) -> bool {
        match family {
            Family::Ipv4 => self.ipv4,
            Family::Ipv6 => self.ipv6,
        }
    }

    /// Those that there are.
    pub fn iter(self) -> impl Iterator<Item = Family> {
        Family::ALL.into_iter().filter(move |family| self.contains(*family))
    }
}

impl FromIterator<Family> for Families {
    fn from_iter<I: IntoIterator<Item = Family>>(families: I) -> Self {
        let mut all = Self::default();
        for family in families {
            match family {
                Family::Ipv4 => all.ipv4 = true,
                Family::Ipv6 => all.ipv6 = true,
            }
        }
        all
    }
}
