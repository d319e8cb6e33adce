//! Sums and their updates, against sums word by word.

use wire::checksum;

use crate::input::head;

/// Input: the place of a word, its new value, and bytes.
pub fn holds(input: &[u8]) {
    let ([place, high, low], bytes) = head(input);
    let expected = word_by_word(bytes);
    assert_eq!(checksum::finish(checksum::sum(bytes, 0)), expected);
    let (front, back) = bytes.split_at(bytes.len() / 4 * 2);
    assert_eq!(checksum::finish(checksum::sum(back, checksum::sum(front, 0))), expected, "in two parts");
    if let Some(header) = bytes.first_chunk::<20>() {
        assert_eq!(checksum::ipv4_holds(header), word_by_word(header) == 0);
        assert_eq!(checksum::ipv4_header(header), word_by_word(header));
    }

    let mut changed = bytes.to_vec();
    let Some(word) = changed.as_chunks_mut::<2>().0.get_mut(usize::from(place)) else { return };
    let before = u16::from_be_bytes(*word);
    *word = [high, low];
    let updated = checksum::update(expected, before, u16::from_be_bytes([high, low]));
    // RFC 1624 §3: all zero bytes have no representation of their own in an update.
    assert!(updated == word_by_word(&changed) || (updated == 0 && changed.iter().all(|byte| *byte == 0)));
}

/// RFC 1071 §1, as it reads.
fn word_by_word(bytes: &[u8]) -> u16 {
    let words = bytes.chunks(2).map(|word| u16::from_be_bytes([word[0], word.get(1).copied().unwrap_or(0)]));
    !words.fold(0, |sum: u16, word| {
        let (sum, carry) = sum.overflowing_add(word);
        sum + u16::from(carry)
    })
}
