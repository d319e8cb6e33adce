//! Packets of one size, which are worked on one after the other: short texts of one size share vectors, and of long ones the processor
//! foresees how they end.

use arrayvec::ArrayVec;

use crate::TAG;
use crate::packet::Whole;

/// Sizes that are told apart, by vectors of 64 bytes; all longer texts are of one more.
const SIZES: usize = 64;
/// Sets of positions, none of them empty.
pub type Sets = ArrayVec<u64, SIZES>;
/// Fewer packets are worked on as they stand.
pub const FEW: usize = 8;

/// Sets of those positions that are chosen, one for each size.
#[inline(never)]
pub fn sets<W: Whole>(chosen: u64, packets: &[W]) -> Sets {
    let mut of_sizes = [0_u64; SIZES];
    for (position, packet) in packets.iter().enumerate() {
        let size = size(packet);
        of_sizes[size] |= chosen & 1 << position;
    }
    of_sizes.into_iter().filter(|set| *set != 0).collect()
}

/// One set alone.
pub fn one(set: u64) -> Sets {
    std::iter::once(set).collect()
}

/// Vectors of a text but one, for the last one is never empty.
#[inline(always)]
fn size(packet: &impl Whole) -> usize {
    (packet.length(TAG).saturating_sub(1) / 64).min(SIZES - 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::unsealed;
    use crate::{Key, Suite};

    #[test]
    fn a_set_is_of_one_size_and_each_packet_in_one_set() {
        let key = Key::new(Suite::Aes128Gcm16, &[0; 16]).unwrap();
        // None, and those around the ends of vectors and beyond all sizes.
        let lengths = [0, 1, 64, 65, 1400, 64, 60_000, 9000, 128, 1, 1409, 5000];
        let texts = lengths.map(|length| vec![0; length]);
        let mut sealed = lengths.map(|length| vec![0; length + TAG]);
        let packets = unsealed(&key, &texts, &mut sealed);
        // All but the one of 128 bytes.
        let chosen = !(1 << 8) & ((1 << packets.len()) - 1);
        let sets: Vec<Vec<usize>> = sets(chosen, &packets)
            .into_iter()
            .map(|set| (0..packets.len()).filter(|position| set >> position & 1 != 0).collect())
            .collect();
        assert_eq!(sets, [vec![0, 1, 2, 5, 9], vec![3], vec![4], vec![10], vec![6, 7, 11]]);
    }
}
