//! The known word that a mistyped one was probably meant to be.

/// The word nearest to `typed`, if it is near enough that a slip of the hand explains the difference.
pub(crate) fn closest<'w>(typed: &str, words: &[&'w str]) -> Option<&'w str> {
    // Longer words are no slip, and measuring them costs time in proportion to their length.
    const LONGEST: usize = 64;
    if typed.chars().count() > LONGEST {
        return None;
    }
    words
        .iter()
        .map(|&word| (distance(typed, word), word))
        .filter(|&(distance, word)| distance <= (word.len() / 3).clamp(1, 3))
        .min()
        .map(|(_, word)| word)
}

/// The least number of letters to insert, delete, replace or swap with their neighbour; hyphens and underscores count
/// as the same.
fn distance(a: &str, b: &str) -> usize {
    let letters = |word: &str| -> Vec<char> { word.chars().map(|c| if c == '-' { '_' } else { c }).collect() };
    let (a, b) = (letters(a), letters(b));
    let mut before: Vec<usize> = Vec::new();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut next = vec![i];
        for j in 1..=b.len() {
            let replaced = row[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut least = replaced.min(row[j] + 1).min(next[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(before[j - 2] + 1);
            }
            next.push(least);
        }
        before = std::mem::replace(&mut row, next);
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::{closest, distance};

    #[test]
    fn distance_counts_edits() {
        for (a, b, edits) in [
            ("", "", 0),
            ("", "abc", 3),
            ("abc", "", 3),
            ("kitten", "sitting", 3),
            ("flaw", "lawn", 2),
            ("asn", "ans", 1),
            ("ca", "abc", 3),
            ("replay-window", "replay_window", 0),
        ] {
            assert_eq!(distance(a, b), edits, "{a} {b}");
        }
    }

    #[test]
    fn only_slips_are_suggested() {
        let words = ["esn", "encryption", "replay_window", "lifetime_seconds"];
        assert_eq!(closest("replay_windw", &words), Some("replay_window"));
        assert_eq!(closest("ens", &words), Some("esn"));
        assert_eq!(closest("esm", &words), Some("esn"));
        assert_eq!(closest("bandwidth", &words), None);
        assert_eq!(closest(&"e".repeat(5000), &words), None);
    }
}
