//! The Internet checksum (RFC 1071).

/// The ones' complement sum of `bytes` added to `sum`, folded by [`finish`]; chain calls only over even lengths.
#[must_use]
pub fn sum(bytes: &[u8], sum: u32) -> u32 {
    let (words, rest) = bytes.as_chunks::<2>();
    let total = words.iter().fold(u64::from(sum), |total, word| total + u64::from(u16::from_be_bytes(*word)))
        + rest.first().map_or(0, |last| u64::from(*last) << 8);
    u32::from(fold(total))
}

/// The checksum field's value for a folded or unfolded `sum`.
#[must_use]
pub fn finish(sum: u32) -> u16 {
    !fold(u64::from(sum))
}

/// The checksum of an IPv4 header: zero for a header whose checksum field is right.
#[must_use]
pub fn ipv4_header(header: &[u8]) -> u16 {
    finish(sum(header, 0))
}

fn fold(mut total: u64) -> u16 {
    while total > 0xffff {
        total = (total >> 16) + (total & 0xffff);
    }
    total as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The worked example of RFC 1071 §3.
    #[test]
    fn rfc_1071_example() {
        let bytes = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];
        assert_eq!(finish(sum(&bytes, 0)), !0xddf2);
    }

    #[test]
    fn odd_length_is_padded_with_zero() {
        assert_eq!(sum(&[0x12, 0x34, 0x56], 0), sum(&[0x12, 0x34, 0x56, 0x00], 0));
    }
}
