//! Choosing by share.

use rand::RngExt;
use rand_xoshiro::Xoshiro256PlusPlus;

/// One of the values, each as often as the number before it says in proportion to the others.
pub fn chosen<T: Copy>(shares: &[(u32, T)], random: &mut Xoshiro256PlusPlus) -> T {
    let mut left = random.random_range(0..shares.iter().map(|(share, _)| share).sum());
    for (share, value) in shares {
        match left.checked_sub(*share) {
            None => return *value,
            Some(beyond) => left = beyond,
        }
    }
    unreachable!("what was drawn is less than the sum of the shares")
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn each_value_has_its_share() {
        let mut random = Xoshiro256PlusPlus::seed_from_u64(1);
        let drawn: Vec<char> = (0..10_000).map(|_| chosen(&[(3, 'a'), (0, 'b'), (1, 'c')], &mut random)).collect();
        let often = |value| drawn.iter().filter(|drawn| **drawn == value).count();
        assert!((7300..7700).contains(&often('a')), "{}", often('a'));
        assert_eq!((often('b'), often('a') + often('c')), (0, 10_000));
    }
}
