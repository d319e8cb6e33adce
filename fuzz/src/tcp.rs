//! The maximum segment size: what is lowered, and that nothing else is.

use wire::tcp;

use crate::input::{head, set_checksum};

const CHECKSUM: usize = 16;

/// Input: the limit, and a segment, whose checksum is made right.
pub fn holds(input: &[u8]) {
    let ([high, low], segment) = head(input);
    let limit = u16::from_be_bytes([high, low]);
    let mut before = segment.to_vec();
    let has_checksum = before.len() >= CHECKSUM + 2;
    if has_checksum {
        set_checksum(&mut before, CHECKSUM, 0);
    }
    let mut after = before.clone();
    if !tcp::clamp_mss(&mut after, limit) {
        assert_eq!(after, before, "left alone");
        return;
    }
    assert!(has_checksum && before[13] & 2 != 0, "a SYN");
    assert_eq!(wire::checksum::finish(wire::checksum::sum(&after, 0)), 0, "the checksum is right");
    let options = usize::from(before[12] >> 4) * 4;
    let announced = |segment: &[u8], at: usize| u16::from_be_bytes([segment[at + 2], segment[at + 3]]);
    let lowered = (tcp::HEADER..options - 3).filter(|at| {
        let mut same = after.clone();
        same[CHECKSUM..CHECKSUM + 2].copy_from_slice(&before[CHECKSUM..CHECKSUM + 2]);
        same[at + 2..at + 4].copy_from_slice(&before[at + 2..at + 4]);
        before[*at..].starts_with(&[2, 4])
            && announced(&before, *at) > limit
            && announced(&after, *at) == limit
            && same == before
    });
    assert!(lowered.count() >= 1, "one option, its checksum, and nothing else");
    assert!(!tcp::clamp_mss(&mut after, limit), "once is enough");
}
