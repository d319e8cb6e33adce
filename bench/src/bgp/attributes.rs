//! Path attributes as routes of the Internet have them.

use rand::RngExt;
use rand_xoshiro::Xoshiro256PlusPlus;

use super::message::{put_attribute, put_med};
use super::share::chosen;

/// Of a hundred routes, how many have a path of how many AS numbers; four on average.
const PATH_LENGTHS: &[(u32, usize)] = &[(1, 1), (10, 2), (27, 3), (30, 4), (18, 5), (8, 6), (4, 7), (2, 8)];
const ORIGINS: &[(u32, u8)] = &[(88, 0), (1, 1), (11, 2)];
/// Communities of a route.
const COMMUNITIES: &[(u32, usize)] = &[(25, 0), (15, 1), (15, 2), (12, 3), (10, 5), (10, 8), (8, 12), (5, 20)];
const LARGE_COMMUNITIES: &[(u32, usize)] = &[(88, 0), (6, 1), (4, 3), (2, 6)];
/// Of a hundred routes, how many have MULTI_EXIT_DISC, and how many AGGREGATOR.
const WITH_MED: u32 = 15;
const WITH_AGGREGATOR: u32 = 6;
/// AS numbers that carry others' traffic.
const TRANSIT: u32 = 800;
/// AS numbers of all origins.
const ORIGIN_AS: u32 = 76_000;

/// One set of attributes, encoded, without what carries prefixes or the next hop; the path begins with `first`.
pub fn set(first: u32, random: &mut Xoshiro256PlusPlus) -> Vec<u8> {
    let mut attributes = Vec::with_capacity(96);
    put_attribute(false, 1, &[chosen(ORIGINS, random)], &mut attributes);
    let path = path(first, random);
    let numbers = path.iter().flat_map(|number| number.to_be_bytes());
    // AS_SEQUENCE (RFC 4271 §4.3).
    put_attribute(false, 2, &[2, path.len() as u8].into_iter().chain(numbers).collect::<Vec<_>>(), &mut attributes);
    let often = |of_hundred, random: &mut Xoshiro256PlusPlus| random.random_range(0..100) < of_hundred;
    if often(WITH_MED, random) {
        put_med(random.random_range(0..200), &mut attributes);
    }
    if often(WITH_AGGREGATOR, random) {
        // RFC 6793 §4: of four octets, and an address.
        let origin = path.last().copied().unwrap_or(first);
        put_attribute(true, 7, &[origin.to_be_bytes(), random.random::<[u8; 4]>()].concat(), &mut attributes);
    }
    let communities: Vec<u8> = (0..chosen(COMMUNITIES, random))
        .map(|_| (transit(random) & 0xffff) << 16 | random.random_range(1..3000))
        .flat_map(u32::to_be_bytes)
        .collect();
    if !communities.is_empty() {
        put_attribute(true, 8, &communities, &mut attributes);
    }
    let large: Vec<u8> = (0..chosen(LARGE_COMMUNITIES, random))
        .flat_map(|_| [transit(random), random.random_range(0..10), random.random_range(0..1000)])
        .flat_map(u32::to_be_bytes)
        .collect();
    if !large.is_empty() {
        put_attribute(true, 32, &large, &mut attributes);
    }
    attributes
}

/// Few carry the most of all traffic, and some put themselves in front of the path several times.
fn path(first: u32, random: &mut Xoshiro256PlusPlus) -> Vec<u32> {
    let length = chosen(PATH_LENGTHS, random);
    let mut path = vec![first];
    while path.len() + 1 < length {
        path.push(transit(random));
    }
    if length > 1 {
        let origin = random.random_range(0..ORIGIN_AS);
        // Two octets, then four.
        path.push(if origin < 40_000 { 24_000 + origin } else { 131_072 + 5 * (origin - 40_000) });
        if length > 3 && random.random_range(0..10) == 0 {
            path[length - 2] = path[length - 1];
        }
    }
    path
}

fn transit(random: &mut Xoshiro256PlusPlus) -> u32 {
    let rank: f64 = random.random();
    let number = (rank.powi(4) * f64::from(TRANSIT)) as u32;
    // One of three has four octets.
    if number % 3 == 2 { 196_608 + 7 * number } else { 100 + 11 * number }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use rand::SeedableRng;

    use super::*;

    #[test]
    fn paths_begin_with_the_peer_and_have_four_numbers_on_average() {
        let mut random = Xoshiro256PlusPlus::seed_from_u64(1);
        let paths: Vec<Vec<u32>> = (0..10_000).map(|_| path(65001, &mut random)).collect();
        assert!(paths.iter().all(|path| path[0] == 65001 && (1..=8).contains(&path.len())));
        // Numbers that no path may have, and that of the device under test.
        assert!(paths.iter().flatten().all(|number| ![0, 23456, 65000, 65535].contains(number)));
        let mean = paths.iter().map(Vec::len).sum::<usize>() as f64 / 10_000.0;
        assert!((3.9..4.2).contains(&mean), "{mean}");
    }

    #[test]
    fn nearly_all_sets_differ() {
        let mut random = Xoshiro256PlusPlus::seed_from_u64(1);
        let sets: HashSet<Vec<u8>> = (0..10_000).map(|_| set(65001, &mut random)).collect();
        assert!(sets.len() > 9800, "{}", sets.len());
    }
}
