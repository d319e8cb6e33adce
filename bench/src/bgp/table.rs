//! The table that is announced: generated, the same in every run.

use std::collections::HashSet;
use std::net::IpAddr;

use ipnet::IpNet;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

use super::addresses::{FEEDER, FEEDER_V6};
use super::attributes;
use super::family::Family;
use super::feeder::FEEDER_AS;
use super::message::{put_announcement, put_end_of_rib, put_withdrawals};
use super::prefixes::Prefixes;
use super::share::chosen;

const SEED: u64 = 0x5eed;
/// How many prefixes share their attributes, from and to; six and a half on average, as 150 000 sets for a million prefixes are.
const GROUPS: &[(u32, (usize, usize))] = &[(50, (1, 1)), (20, (2, 3)), (20, (4, 15)), (10, (16, 60))];

/// Prefixes of both families with their attributes.
pub struct Table {
    /// In the order in which they are announced.
    groups: Vec<Group>,
}

/// Prefixes of one family with the same attributes: an UPDATE.
struct Group {
    prefixes: Vec<IpNet>,
    /// Without the next hop.
    attributes: Vec<u8>,
}

/// What is withdrawn and announced again, and the messages that do so.
pub struct Change {
    pub prefixes: u64,
    pub withdrawal: Vec<u8>,
    pub announcement: Vec<u8>,
}

impl Table {
    /// One of so many prefixes.
    pub fn generate(ipv4: usize, ipv6: usize) -> Self {
        let mut random = Xoshiro256PlusPlus::seed_from_u64(SEED);
        let mut groups = Vec::new();
        let mut known = HashSet::new();
        for (family, count) in [(Family::Ipv4, ipv4), (Family::Ipv6, ipv6)] {
            let mut source = Prefixes::new(family);
            let mut of_family = Vec::new();
            let mut left = count;
            while left > 0 {
                let (least, most) = chosen(GROUPS, &mut random);
                let prefixes = source.of_one_origin(random.random_range(least..=most).min(left), &mut random);
                left -= prefixes.len();
                let attributes = loop {
                    let attributes = attributes::set(FEEDER_AS, &mut random);
                    if known.insert((family.code(), attributes.clone())) {
                        break attributes;
                    }
                };
                of_family.push(Group { prefixes, attributes });
            }
            of_family.shuffle(&mut random);
            groups.append(&mut of_family);
        }
        Self { groups }
    }

    /// All prefixes.
    pub fn prefixes(&self) -> impl Iterator<Item = &IpNet> {
        self.groups.iter().flat_map(|group| &group.prefixes)
    }

    /// Sets of attributes that differ; as many UPDATEs announce the table.
    pub fn attribute_sets(&self) -> usize {
        self.groups.len()
    }

    /// The messages that announce all, and that this was all.
    pub fn announcement(&self) -> Vec<u8> {
        let mut messages = Vec::new();
        self.groups.iter().for_each(|group| group.announce(&mut messages));
        Family::ALL.into_iter().for_each(|family| put_end_of_rib(family, &mut messages));
        messages
    }

    /// Withdraws groups of so many prefixes in all, and announces them again.
    pub fn change(&self, count: usize) -> Change {
        let mut random = Xoshiro256PlusPlus::seed_from_u64(SEED);
        let mut order: Vec<&Group> = self.groups.iter().collect();
        order.shuffle(&mut random);
        let (mut prefixes, mut announcement) = (Vec::new(), Vec::new());
        for group in order {
            if prefixes.len() + group.prefixes.len() <= count {
                prefixes.extend_from_slice(&group.prefixes);
                group.announce(&mut announcement);
            }
        }
        let mut withdrawal = Vec::new();
        put_withdrawals(&prefixes, &mut withdrawal);
        Change { prefixes: prefixes.len() as u64, withdrawal, announcement }
    }
}

impl Group {
    fn announce(&self, messages: &mut Vec<u8>) {
        let next_hop = match self.prefixes.first().map(Family::of) {
            Some(Family::Ipv4) | None => IpAddr::V4(FEEDER),
            Some(Family::Ipv6) => IpAddr::V6(FEEDER_V6),
        };
        put_announcement(&self.prefixes, &self.attributes, next_hop, messages);
    }
}

#[cfg(test)]
mod tests {
    use super::super::message::{HEADER, Kind};
    use super::*;

    /// Lengths of the messages, all of which are UPDATEs.
    fn lengths(mut messages: &[u8]) -> Vec<usize> {
        let mut lengths = Vec::new();
        while !messages.is_empty() {
            assert_eq!((&messages[..16], messages[18]), (&[0xff; 16][..], Kind::Update.code()));
            let length = usize::from(u16::from_be_bytes([messages[16], messages[17]]));
            lengths.push(length);
            messages = &messages[length..];
        }
        lengths
    }

    #[test]
    fn a_table_has_the_prefixes_that_were_asked_for_in_an_update_for_each_set_of_attributes() {
        let table = Table::generate(20_000, 3000);
        let all: HashSet<&IpNet> = table.prefixes().collect();
        let of = |family| all.iter().filter(|prefix| Family::of(prefix) == family).count();
        assert_eq!([of(Family::Ipv4), of(Family::Ipv6)], [20_000, 3000]);
        let per_set = 23_000.0 / table.attribute_sets() as f64;
        assert!((6.0..7.5).contains(&per_set), "{per_set}");
        let lengths = lengths(&table.announcement());
        assert_eq!(lengths.len(), table.attribute_sets() + 2);
        assert!(lengths.iter().all(|length| (HEADER + 4..=4096).contains(length)));
    }

    #[test]
    fn a_change_has_as_many_prefixes_as_were_asked_for() {
        let table = Table::generate(5000, 1000);
        let change = table.change(500);
        assert_eq!(change.prefixes, 500);
        assert!(lengths(&change.withdrawal).len() <= 3);
        assert!(lengths(&change.announcement).len() > 30);
        // Of more than there are, all.
        assert_eq!(table.change(9000).prefixes, 6000);
    }

    #[test]
    fn every_run_has_the_same_table() {
        assert_eq!(Table::generate(500, 100).announcement(), Table::generate(500, 100).announcement());
    }
}
