//! Addresses by prefix, without a route.

use arrayvec::ArrayVec;
use ipnet::IpNet;
use wire::Address;

use crate::trie::{NONE, Tries};

/// The addresses of some prefixes. Mostly there are a few, which are compared one by one: that is shorter than a look-up.
#[derive(Default)]
pub struct PrefixSet {
    few: ArrayVec<Masked, FEW>,
    /// All of them, where they are more.
    all: Option<Box<Tries>>,
}

/// Prefixes that are compared one by one.
const FEW: usize = 4;

/// A prefix as what is to be found in an address behind a mask.
struct Masked {
    is_ipv4: bool,
    halves: (u64, u64),
    masks: (u64, u64),
}

impl Masked {
    #[inline(always)]
    fn holds(&self, address: Address) -> bool {
        let (high, low) = address.halves();
        let differs = (high ^ self.halves.0) & self.masks.0 | (low ^ self.halves.1) & self.masks.1;
        differs == 0 && address.is_ipv4() == self.is_ipv4
    }
}

impl From<IpNet> for Masked {
    fn from(prefix: IpNet) -> Self {
        let (address, mask) = (Address::from(prefix.network()), Address::from(prefix.netmask()));
        Self { is_ipv4: address.is_ipv4(), halves: address.halves(), masks: mask.halves() }
    }
}

impl FromIterator<IpNet> for PrefixSet {
    fn from_iter<I: IntoIterator<Item = IpNet>>(prefixes: I) -> Self {
        let prefixes: Vec<_> = prefixes.into_iter().collect();
        let few = prefixes.iter().take(FEW).copied().map(Masked::from).collect();
        let all = (prefixes.len() > FEW).then(|| {
            let mut all = Tries::default();
            all.apply(prefixes.into_iter().map(|prefix| (prefix, 0)));
            Box::new(all)
        });
        Self { few, all }
    }
}

impl PrefixSet {
    /// Whether one of the prefixes holds the address.
    #[must_use]
    #[inline(always)]
    pub fn holds(&self, address: Address) -> bool {
        self.few.iter().any(|prefix| prefix.holds(address))
            || self.all.as_deref().is_some_and(|all| Self::are_held(all, address))
    }

    #[inline(never)]
    fn are_held(all: &Tries, address: Address) -> bool {
        all.lookup(address) != NONE
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    #[test]
    fn both_families_and_their_edges() {
        let few = ["10.1.0.0/16", "10.1.2.0/24", "192.0.2.7/32", "2001:db8::/48"];
        let more = few.into_iter().chain(["203.0.113.0/24", "2001:db8:ffff::/48", "198.51.100.0/25"]);
        let sets: [PrefixSet; 2] = [
            few.into_iter().map(|text| text.parse().unwrap()).collect(),
            // The others first, so that those of the table stand among all.
            more.rev().map(|text| text.parse().unwrap()).collect(),
        ];
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
            for set in &sets {
                assert_eq!(set.holds(address.parse::<IpAddr>().unwrap().into()), held, "{address}");
            }
        }
        let everything: PrefixSet = ["0.0.0.0/0", "::/0"].map(|text| text.parse().unwrap()).into_iter().collect();
        assert!(
            ["0.0.0.0", "255.255.255.255", "::", "ffff::"]
                .into_iter()
                .all(|address| { everything.holds(address.parse::<IpAddr>().unwrap().into()) })
        );
        assert!(!PrefixSet::default().holds(IpAddr::from([10, 1, 0, 1]).into()));
    }
}
