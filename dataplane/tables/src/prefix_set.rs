//! Addresses by prefix, without a route.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::trie::{NONE, Prefix, Trie};

/// The addresses of some prefixes.
#[derive(Default)]
pub struct PrefixSet {
    v4: Trie<4>,
    v6: Trie<16>,
}

impl FromIterator<IpNet> for PrefixSet {
    fn from_iter<I: IntoIterator<Item = IpNet>>(prefixes: I) -> Self {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for prefix in prefixes {
            let length = prefix.prefix_len();
            match prefix.network() {
                IpAddr::V4(address) => v4.push(Prefix { octets: address.octets(), length, number: 0 }),
                IpAddr::V6(address) => v6.push(Prefix { octets: address.octets(), length, number: 0 }),
            }
        }
        let mut made = Self::default();
        made.v4.apply(v4);
        made.v6.apply(v6);
        made
    }
}

impl PrefixSet {
    /// Whether one of the prefixes holds the address.
    #[must_use]
    pub fn holds(&self, address: IpAddr) -> bool {
        let number = match address {
            IpAddr::V4(address) => self.v4.lookup(&address.octets()),
            IpAddr::V6(address) => self.v6.lookup(&address.octets()),
        };
        number != NONE
    }
}

#[cfg(test)]
mod tests {
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
            assert_eq!(set.holds(address.parse().unwrap()), held, "{address}");
        }
        assert!(!PrefixSet::default().holds([10, 1, 0, 1].into()));
    }
}
