//! Prefixes as the Internet's table has them: how many of which length, and where they lie.
//!
//! One origin's prefixes mostly lie beside each other. Those of IPv6 are in the blocks that the registries give out of, few as
//! these are; those of IPv4 are spread over all of it.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use rand::RngExt;
use rand_xoshiro::Xoshiro256PlusPlus;

use super::family::Family;
use super::share::chosen;

/// Of a thousand prefixes, how many have which length.
const LENGTHS_V4: &[(u32, u8)] = &[
    (603, 24),
    (95, 23),
    (112, 22),
    (49, 21),
    (45, 20),
    (26, 19),
    (14, 18),
    (9, 17),
    (14, 16),
    (2, 15),
    (2, 14),
    (1, 13),
    (1, 12),
    (1, 11),
    (26, 24),
];
const LENGTHS_V6: &[(u32, u8)] = &[
    (476, 48),
    (130, 32),
    (95, 44),
    (88, 40),
    (58, 36),
    (45, 46),
    (30, 47),
    (25, 45),
    (25, 29),
    (20, 33),
    (20, 42),
    (15, 34),
    (15, 38),
    (8, 28),
];
/// First sixteen bits, from and to, of the blocks of each registry.
const BLOCKS_V6: &[(u32, (u16, u16))] = &[
    (38, (0x2a00, 0x2a14)),
    (23, (0x2400, 0x240f)),
    (15, (0x2600, 0x2607)),
    (11, (0x2001, 0x2001)),
    (9, (0x2800, 0x2806)),
    (4, (0x2c0f, 0x2c0f)),
];
/// Of ten prefixes of one origin, how many follow the one before.
const BESIDE: u32 = 7;

/// Gives prefixes, none twice.
pub struct Prefixes {
    family: Family,
    given: HashSet<IpNet>,
}

impl Prefixes {
    /// None was given yet.
    pub fn new(family: Family) -> Self {
        Self { family, given: HashSet::new() }
    }

    /// So many prefixes of one origin.
    pub fn of_one_origin(&mut self, count: usize, random: &mut Xoshiro256PlusPlus) -> Vec<IpNet> {
        let mut prefixes: Vec<IpNet> = Vec::with_capacity(count);
        while prefixes.len() < count {
            let length = chosen(
                match self.family {
                    Family::Ipv4 => LENGTHS_V4,
                    Family::Ipv6 => LENGTHS_V6,
                },
                random,
            );
            let beside = prefixes.last().filter(|_| random.random_range(0..10) < BESIDE);
            let address = match (self.family, beside) {
                (_, Some(before)) => bits(&before.broadcast()).wrapping_add(1),
                (Family::Ipv4, None) => random.random::<u32>().into(),
                (Family::Ipv6, None) => {
                    let (first, last) = chosen(BLOCKS_V6, random);
                    u128::from(random.random_range(first..=last)) << 112 | random.random::<u128>() >> 16
                }
            };
            let prefix = prefix(self.family, address, length);
            if is_public(&prefix) && self.given.insert(prefix) {
                prefixes.push(prefix);
            }
        }
        prefixes
    }
}

fn bits(address: &IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u32::from(*address).into(),
        IpAddr::V6(address) => (*address).into(),
    }
}

/// The prefix of this length that holds the address.
fn prefix(family: Family, address: u128, length: u8) -> IpNet {
    let prefix = match family {
        Family::Ipv4 => Ipv4Net::new(Ipv4Addr::from(address as u32), length).map(IpNet::from),
        Family::Ipv6 => Ipv6Net::new(Ipv6Addr::from(address), length).map(IpNet::from),
    };
    prefix.expect("a length of the family").trunc()
}

/// Whether it may be in the Internet's table: some devices refuse what must not. Neighbours of a prefix may lie outside.
fn is_public(prefix: &IpNet) -> bool {
    match prefix {
        IpNet::V4(prefix) => {
            let [first, second, ..] = prefix.addr().octets();
            let special = prefix.prefix_len() < 16 && [100, 169, 172, 192, 198].contains(&first);
            !special
                && match (first, second) {
                    (0 | 10 | 127 | 224..=255, _) | (169, 254) | (172, 16..=31) | (192, 0 | 168) | (198, 18 | 19) => {
                        false
                    }
                    (100, second) => !(64..128).contains(&second),
                    _ => true,
                }
        }
        IpNet::V6(prefix) => {
            let [first, second, ..] = prefix.addr().segments();
            let of_registry = BLOCKS_V6.iter().any(|(_, (from, to))| (*from..=*to).contains(&first));
            // Documentation (RFC 3849), and Teredo.
            of_registry && !(first == 0x2001 && (second == 0xdb8 || second == 0))
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn prefixes_are_public_different_and_of_the_lengths_that_the_internet_has() {
        for (family, most_often, of_all) in [(Family::Ipv4, 24, 0.59..0.67), (Family::Ipv6, 48, 0.43..0.52)] {
            let mut random = Xoshiro256PlusPlus::seed_from_u64(1);
            let mut source = Prefixes::new(family);
            let prefixes: Vec<IpNet> = (0..2000).flat_map(|_| source.of_one_origin(5, &mut random)).collect();
            assert_eq!(prefixes.iter().collect::<HashSet<_>>().len(), 10_000);
            assert!(prefixes.iter().all(|prefix| Family::of(prefix) == family && *prefix == prefix.trunc()));
            let share = prefixes.iter().filter(|prefix| prefix.prefix_len() == most_often).count() as f64 / 10_000.0;
            assert!(of_all.contains(&share), "{share}");
        }
        for special in
            ["10.0.0.0/8", "100.64.0.0/24", "172.16.0.0/12", "192.168.1.0/24", "224.0.0.0/24", "2001:db8::/48"]
        {
            assert!(!is_public(&special.parse().unwrap()), "{special}");
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_prefixes() {
        let of = |seed| Prefixes::new(Family::Ipv4).of_one_origin(50, &mut Xoshiro256PlusPlus::seed_from_u64(seed));
        assert_eq!(of(1), of(1));
        assert_ne!(of(1), of(2));
    }
}
