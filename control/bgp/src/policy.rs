//! Which routes are taken and given, and what is changed of them.

use std::borrow::Cow;

use rustbgpd_wire::{LargeCommunity, Prefix};

use crate::attributes::Attributes;
use crate::family::Family;

/// Rules in order; the first that decides does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    /// The rules.
    pub rules: Vec<Rule>,
    /// What becomes of a route that none of them decides on.
    pub otherwise: Verdict,
}

/// What is done with routes for which all conditions hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// All of them have to hold; with none it is for every route.
    pub conditions: Vec<Condition>,
    /// What is changed, in order.
    pub changes: Vec<Change>,
    /// `None` leaves it to the rules that follow.
    pub verdict: Option<Verdict>,
}

/// Whether a route is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is.
    Accept,
    /// It is not.
    Reject,
}

/// Something that holds of a route or does not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// It is of this family.
    Family(Family),
    /// Its prefix lies in one of these ranges.
    Prefix(Vec<PrefixRange>),
    /// Its path has this AS number.
    PathContains(u32),
    /// Its path begins with this AS number, that of the neighbour it comes from.
    PathBegins(u32),
    /// Its path ends with this AS number, that of its origin.
    PathEnds(u32),
    /// Its path has more AS numbers than this.
    PathLongerThan(u32),
    /// It has this community.
    Community(u32),
    /// It has this large community.
    LargeCommunity(LargeCommunity),
}

/// A prefix and what lies in it, of lengths between two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PrefixRange {
    /// What all of them lie in.
    pub within: Prefix,
    /// The least length.
    pub at_least: u8,
    /// The greatest length.
    pub at_most: u8,
}

/// What is changed of a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// LOCAL_PREF: the higher wins.
    LocalPref(u32),
    /// MULTI_EXIT_DISC: the lower wins, at a peer that has several ways to us; `None` removes it.
    Med(Option<u32>),
    /// This AS number is put in front of the path, so many times.
    Prepend(u32, u8),
    /// A community is added.
    AddCommunity(u32),
    /// A community is removed.
    RemoveCommunity(u32),
    /// A large community is added.
    AddLargeCommunity(LargeCommunity),
    /// A large community is removed.
    RemoveLargeCommunity(LargeCommunity),
}

impl Filter {
    /// Takes every route as it is: a policy, and to be seen as one (RFC 8212).
    pub const ALL: Self = Self { rules: Vec::new(), otherwise: Verdict::Accept };
    /// Takes none.
    pub const NONE: Self = Self { rules: Vec::new(), otherwise: Verdict::Reject };

    /// The route as it is taken; `Err` says which rule refuses it, the first being 0, or `None` if it was decided on by none.
    pub fn apply<'a>(&self, prefix: &Prefix, attributes: &'a Attributes) -> Result<Cow<'a, Attributes>, Option<usize>> {
        let mut attributes = Cow::Borrowed(attributes);
        for (place, rule) in self.rules.iter().enumerate() {
            if !rule.conditions.iter().all(|condition| condition.holds(prefix, &attributes)) {
                continue;
            }
            if !rule.changes.is_empty() {
                let attributes = attributes.to_mut();
                rule.changes.iter().for_each(|change| change.make(attributes));
            }
            match rule.verdict {
                Some(Verdict::Accept) => return Ok(attributes),
                Some(Verdict::Reject) => return Err(Some(place)),
                None => {}
            }
        }
        match self.otherwise {
            Verdict::Accept => Ok(attributes),
            Verdict::Reject => Err(None),
        }
    }

    /// Whether the same attributes may fare differently with another prefix.
    pub(crate) fn looks_at_prefixes(&self) -> bool {
        let mut conditions = self.rules.iter().flat_map(|rule| &rule.conditions);
        conditions.any(|condition| matches!(condition, Condition::Prefix(_) | Condition::Family(_)))
    }
}

impl Condition {
    fn holds(&self, prefix: &Prefix, attributes: &Attributes) -> bool {
        match self {
            Self::Family(family) => Family::of(prefix) == *family,
            Self::Prefix(ranges) => ranges.iter().any(|range| range.contains(prefix)),
            Self::PathContains(number) => attributes.as_numbers().any(|known| known == *number),
            Self::PathBegins(number) => attributes.as_numbers().next() == Some(*number),
            Self::PathEnds(number) => attributes.as_path().and_then(rustbgpd_wire::AsPath::origin_asn) == Some(*number),
            Self::PathLongerThan(most) => attributes.as_path().is_some_and(|path| path.len() > *most as usize),
            Self::Community(community) => attributes.communities().contains(community),
            Self::LargeCommunity(community) => attributes.large_communities().contains(community),
        }
    }
}

impl PrefixRange {
    /// Whether a prefix is one of the range.
    pub fn contains(&self, prefix: &Prefix) -> bool {
        let within = match (self.within, prefix) {
            (Prefix::V4(range), Prefix::V4(prefix)) => {
                let differs = u32::from(range.addr) ^ u32::from(prefix.addr);
                prefix.len >= range.len && differs.checked_shr(32 - u32::from(range.len)).unwrap_or(0) == 0
            }
            (Prefix::V6(range), Prefix::V6(prefix)) => {
                let differs = u128::from(range.addr) ^ u128::from(prefix.addr);
                prefix.len >= range.len && differs.checked_shr(128 - u32::from(range.len)).unwrap_or(0) == 0
            }
            (Prefix::V4(_), Prefix::V6(_)) | (Prefix::V6(_), Prefix::V4(_)) => false,
        };
        within && (self.at_least..=self.at_most).contains(&prefix.prefix_len())
    }
}

impl Change {
    fn make(&self, attributes: &mut Attributes) {
        match self {
            Self::LocalPref(preference) => attributes.set_local_pref(Some(*preference)),
            Self::Med(med) => attributes.set_med(*med),
            Self::Prepend(number, times) => attributes.prepend(*number, usize::from(*times)),
            Self::AddCommunity(community) => attributes.add_community(*community),
            Self::RemoveCommunity(community) => attributes.retain_communities(|known| known != *community),
            Self::AddLargeCommunity(community) => attributes.add_large_community(*community),
            Self::RemoveLargeCommunity(community) => attributes.retain_large_communities(|known| known != *community),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use rustbgpd_wire::{AsPath, AsPathSegment, Ipv4Prefix, Ipv6Prefix, PathAttribute};

    use super::*;

    fn v4(address: [u8; 4], length: u8) -> Prefix {
        Prefix::V4(Ipv4Prefix::new(Ipv4Addr::from(address), length))
    }

    fn v6(address: &str, length: u8) -> Prefix {
        Prefix::V6(Ipv6Prefix::new(address.parse::<Ipv6Addr>().unwrap(), length))
    }

    fn route(path: &[u32], communities: &[u32]) -> Attributes {
        let path = AsPath { segments: vec![AsPathSegment::AsSequence(path.to_vec())] };
        let list = vec![PathAttribute::AsPath(path), PathAttribute::Communities(communities.to_vec())];
        Attributes::new([169, 254, 9, 2].into(), None, list)
    }

    #[test]
    fn ranges_hold_what_lies_in_them() {
        let range = PrefixRange { within: v4([10, 0, 0, 0], 8), at_least: 16, at_most: 24 };
        for (prefix, inside) in [
            (v4([10, 1, 0, 0], 16), true),
            (v4([10, 255, 255, 0], 24), true),
            (v4([10, 0, 0, 0], 8), false),
            (v4([10, 1, 1, 128], 25), false),
            (v4([11, 0, 0, 0], 16), false),
            (v6("a00::", 16), false),
        ] {
            assert_eq!(range.contains(&prefix), inside, "{prefix:?}");
        }
        let any = PrefixRange { within: v4([0, 0, 0, 0], 0), at_least: 0, at_most: 32 };
        assert!(any.contains(&v4([0, 0, 0, 0], 0)) && any.contains(&v4([255, 255, 255, 255], 32)));
        let one = PrefixRange { within: v4([192, 0, 2, 1], 32), at_least: 32, at_most: 32 };
        assert!(one.contains(&v4([192, 0, 2, 1], 32)) && !one.contains(&v4([192, 0, 2, 0], 32)));
        let six = PrefixRange { within: v6("2001:db8::", 32), at_least: 48, at_most: 64 };
        assert!(six.contains(&v6("2001:db8:1::", 48)) && !six.contains(&v6("2001:db9:1::", 48)));
    }

    #[test]
    fn the_first_rule_that_decides_does_and_those_before_it_change() {
        let rule = |conditions, changes, verdict| Rule { conditions, changes, verdict };
        let filter = Filter {
            rules: vec![
                rule(vec![Condition::Community(1)], vec![Change::LocalPref(300), Change::RemoveCommunity(1)], None),
                rule(vec![Condition::PathContains(64999)], vec![], Some(Verdict::Reject)),
                rule(
                    vec![Condition::PathBegins(65010), Condition::PathEnds(65011)],
                    vec![Change::Med(Some(5))],
                    Some(Verdict::Accept),
                ),
                rule(vec![Condition::PathLongerThan(2)], vec![], Some(Verdict::Reject)),
            ],
            otherwise: Verdict::Reject,
        };
        let prefix = v4([10, 0, 0, 0], 8);
        let accepted = route(&[65010, 65012, 65011], &[1, 2]);
        let taken = filter.apply(&prefix, &accepted).unwrap();
        assert_eq!((taken.local_pref(), taken.med(), taken.communities()), (Some(300), Some(5), &[2][..]));
        assert_eq!(filter.apply(&prefix, &route(&[65010, 64999, 65011], &[1])), Err(Some(1)));
        assert_eq!(filter.apply(&prefix, &route(&[65010, 65012, 65013], &[])), Err(Some(3)));
        assert_eq!(filter.apply(&prefix, &route(&[65010], &[])), Err(None));
        assert_eq!(Filter::NONE.apply(&prefix, &accepted), Err(None));
        assert!(matches!(Filter::ALL.apply(&prefix, &accepted), Ok(Cow::Borrowed(same)) if *same == accepted));
    }

    #[test]
    fn every_change_is_made() {
        let large = LargeCommunity { global_admin: 1, local_data1: 2, local_data2: 3 };
        let make = |change: Change| {
            let mut attributes = route(&[65010], &[1]);
            change.make(&mut attributes);
            attributes
        };
        assert_eq!(make(Change::Prepend(65000, 2)).as_numbers().collect::<Vec<_>>(), [65000, 65000, 65010]);
        assert_eq!(make(Change::AddCommunity(9)).communities(), [1, 9]);
        assert_eq!(make(Change::RemoveCommunity(1)).communities(), [0; 0]);
        let mut with = make(Change::AddLargeCommunity(large));
        assert_eq!(with.large_communities(), [large]);
        Change::RemoveLargeCommunity(large).make(&mut with);
        assert_eq!(with, route(&[65010], &[1]));
        let mut with = make(Change::Med(Some(1)));
        Change::Med(None).make(&mut with);
        assert_eq!(with, route(&[65010], &[1]));
    }
}
