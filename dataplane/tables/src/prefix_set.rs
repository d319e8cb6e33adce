//! Addresses by prefix, without a route.

use ipnet::IpNet;
use wire::Address;

use crate::trie::{NONE, Tries};

/// The addresses of some prefixes.
#[derive(Default)]
pub struct PrefixSet(Tries);

impl FromIterator<IpNet> for PrefixSet {
    fn from_iter<I: IntoIterator<Item = IpNet>>(prefixes: I) -> Self {
        let mut tries = Tries::default();
        tries.apply(prefixes.into_iter().map(|prefix| (prefix, 0)));
        Self(tries)
    }
}

impl PrefixSet {
    /// Whether one of the prefixes holds the address.
    #[must_use]
    pub fn holds(&self, address: Address) -> bool {
        self.0.lookup(address) != NONE
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    #[test]
    fn both_families_and_their_edges() {
        let set: PrefixSet = ["10.1.0.0/16", "10.1.2.0/24", "192.0.2.7/32", "2001:db8::/48"]
            .map(|text| text.parse().unwrap())
            .into_iter()
            .collect();
        for (address, held) in [
            ("10.1.0.0", true),
            ("10.1.2.3", true),
            ("10.1.255.255", true),
            ("10.2.0.0", false),
            ("10.0.255.255", false),
            ("192.0.2.7", true),
            ("192.0.2.8", false),
            ("2001:db8:0:ffff::1", true),
            ("2001:db8:1::", false),
            ("::ffff:10.1.0.1", false),
        ] {
            assert_eq!(set.holds(address.parse::<IpAddr>().unwrap().into()), held, "{address}");
        }
        assert!(!PrefixSet::default().holds(IpAddr::from([10, 1, 0, 1]).into()));
    }
}
