//! The rate and the burst.

use super::*;

#[test]
fn a_burst_passes_and_then_the_rate() {
    let (start, second) = (Instant::now(), Duration::from_secs(1));
    let mut bucket = Allowance::new(second / 4, start);
    let mut taken = |now| (0..100).filter(|_| bucket.take(now)).count();
    assert_eq!(
        [taken(start), taken(start + second / 5), taken(start + second), taken(start + second * 60)],
        [16, 0, 4, 16]
    );
    let mut bucket = Allowance::new(second / 4, start);
    assert!((0..7).all(|_| bucket.take(start)) && !bucket.is_low(start));
    assert!(bucket.take(start) && bucket.is_low(start) && !bucket.is_low(start + second));
    bucket.charge(100, start);
    let paid = start + second / 4 * 16;
    assert!(!bucket.take(paid), "what is owed is bounded");
    assert!(bucket.take(paid + second / 4));
    bucket.give_back(3);
    assert!((0..3).all(|_| bucket.take(paid + second / 4)) && !bucket.take(paid + second / 4));
}
