//! The Internet checksum (RFC 1071) and its incremental update (RFC 1624).

use core::net::IpAddr;

use crate::Protocol;

/// The ones' complement sum of `bytes` added to `sum`, folded by [`finish`]; chain calls only over even lengths.
#[must_use]
pub fn sum(bytes: &[u8], sum: u32) -> u32 {
    // RFC 1071 §2(C): twice as wide words have the same sum once it is folded.
    let (words, rest) = bytes.as_chunks::<4>();
    let mut last = [0; 4];
    last.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
    let words = words.iter().chain([&last]).map(|word| u64::from(u32::from_be_bytes(*word)));
    let total = words.sum::<u64>() + u64::from(sum);
    u32::from(fold(total))
}

/// The checksum field's value for a folded or unfolded `sum`.
#[must_use]
#[inline(always)]
pub fn finish(sum: u32) -> u16 {
    // Beside the sum of its halves stands the same sum, which carries into it.
    !(sum.wrapping_add(sum.rotate_left(16)) >> 16) as u16
}

/// Whether the checksum of an IPv4 header without options is right.
#[must_use]
#[inline(always)]
pub fn ipv4_holds(header: &[u8; 20]) -> bool {
    // RFC 1071 §2: the sum is the same in any byte order, up to its own, and over words of any width once it is folded.
    let (octets, rest) = header.as_chunks::<8>();
    let [first, second] = [0, 1].map(|word| octets.get(word).map_or(0, |octets| u64::from_ne_bytes(*octets)));
    let third = rest.first_chunk().map_or(0, |octets| u32::from_ne_bytes(*octets));
    let (total, carried) = first.overflowing_add(second);
    let (total, again) = total.overflowing_add(u64::from(third) + u64::from(carried));
    let total = total + u64::from(again);
    finish((total.wrapping_add(total.rotate_left(32)) >> 32) as u32) == 0
}

/// The checksum of an IPv4 header: zero for a header whose checksum field is right.
#[must_use]
pub fn ipv4_header(header: &[u8]) -> u16 {
    finish(sum(header, 0))
}

/// The sum of the pseudo-header over which TCP, UDP (RFC 9293 §3.1) and ICMPv6 (RFC 8200 §8.1) compute theirs, for a
/// message of `length` bytes.
#[must_use]
pub fn pseudo_header(source: IpAddr, destination: IpAddr, protocol: Protocol, length: usize) -> u32 {
    let address = |total, address| match address {
        IpAddr::V4(address) => sum(&address.octets(), total),
        IpAddr::V6(address) => sum(&address.octets(), total),
    };
    address(address(u32::from(protocol.0) + length as u32, source), destination)
}

/// The checksum field's value where one 16-bit word under it changes (RFC 1624 §3, equation 3). For a word at an odd
/// offset, both values with their bytes swapped (RFC 1071 §2(B)).
#[must_use]
#[inline(always)]
pub fn update(checksum: u16, before: u16, after: u16) -> u16 {
    finish(u32::from(!checksum) + u32::from(!before) + u32::from(after))
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

    /// The worked example of RFC 1624 §4, where the older equation of RFC 1141 gave 0xffff.
    #[test]
    fn rfc_1624_example() {
        assert_eq!(update(0xdd2f, 0x5555, 0x3285), 0x0000);
    }

    /// Words that carry at every place where the sum is folded, and such as do not.
    #[test]
    fn a_header_of_twenty_bytes_is_summed_as_any_other() {
        let words = [0_u16, 1, 0x7fff, 0x8000, 0xfffe, 0xffff, 0x1234, 0xedcb];
        let mut picked = (0_u64..200_000).map(|n| words[(n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 61) as usize]);
        let mut right = 0;
        while let Some(first) = picked.next() {
            let mut header = [0; 20];
            header.as_chunks_mut::<2>().0.iter_mut().for_each(|to| *to = picked.next().unwrap_or(first).to_ne_bytes());
            header[..2].copy_from_slice(&first.to_ne_bytes());
            assert_eq!(ipv4_holds(&header), ipv4_header(&header) == 0, "{header:x?}");
            header[10..12].fill(0);
            let checksum = ipv4_header(&header).to_be_bytes();
            header[10..12].copy_from_slice(&checksum);
            right += usize::from(ipv4_holds(&header));
            let total: u64 = header.as_chunks::<2>().0.iter().map(|word| u64::from(u16::from_be_bytes(*word))).sum();
            assert_eq!(total == 0, !ipv4_holds(&header), "{header:x?}");
            assert!(total == 0 || total.is_multiple_of(0xffff), "{header:x?}");
        }
        assert!(right > 15_000, "{right}");
    }

    #[test]
    fn odd_length_is_padded_with_zero() {
        assert_eq!(sum(&[0x12, 0x34, 0x56], 0), sum(&[0x12, 0x34, 0x56, 0x00], 0));
    }
}
