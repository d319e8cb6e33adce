//! TCP (RFC 9293), as far as a router that carries it through a tunnel looks at it.

use crate::checksum;

/// Bytes of a header without options.
pub const HEADER: usize = 20;

const FLAGS_END: usize = 14;
const CHECKSUM: usize = 16;
const SYN: u8 = 0x02;

const END_OF_OPTIONS: u8 = 0;
const NO_OPERATION: u8 = 1;
const MAXIMUM_SEGMENT_SIZE: u8 = 2;
const MAXIMUM_SEGMENT_SIZE_LENGTH: u8 = 4;

/// Lowers the maximum segment size that a SYN segment announces (RFC 9293 §3.7.1) to `limit`, with the checksum, and says
/// whether it did.
///
/// Everything else stays as it is: a smaller value, a segment without SYN or without the option, options that do not
/// fit their lengths. `segment` is the payload of a TCP packet that is not a fragment.
pub fn clamp_mss(segment: &mut [u8], limit: u16) -> bool {
    let Some(position) = mss_position(segment) else { return false };
    let Some(value) = word(segment, position) else { return false };
    let announced = u16::from_be_bytes(*value);
    if announced <= limit {
        return false;
    }
    *value = limit.to_be_bytes();
    let [before, after] =
        [announced, limit].map(|value| if position.is_multiple_of(2) { value } else { value.swap_bytes() });
    if let Some(field) = word(segment, CHECKSUM) {
        *field = checksum::update(u16::from_be_bytes(*field), before, after).to_be_bytes();
    }
    true
}

fn word(segment: &mut [u8], position: usize) -> Option<&mut [u8; 2]> {
    segment.get_mut(position..)?.first_chunk_mut()
}

/// Where a SYN segment's maximum segment size stands. Of two the last: it is the one that receivers go by.
fn mss_position(segment: &[u8]) -> Option<usize> {
    let [.., data_offset, flags] = segment.first_chunk::<FLAGS_END>()?;
    if flags & SYN == 0 {
        return None;
    }
    let mut rest = segment.get(HEADER..usize::from(data_offset >> 4) * 4)?;
    let (mut position, mut found) = (HEADER, None);
    loop {
        let length = match rest {
            [] | [END_OF_OPTIONS, ..] => return found,
            [NO_OPERATION, ..] => 1,
            [MAXIMUM_SEGMENT_SIZE, MAXIMUM_SEGMENT_SIZE_LENGTH, ..] => {
                found = Some(position + 2);
                MAXIMUM_SEGMENT_SIZE_LENGTH
            }
            [MAXIMUM_SEGMENT_SIZE, ..] | [_] | [_, 0 | 1, ..] => return None,
            [_, length, ..] => *length,
        };
        rest = rest.get(usize::from(length)..)?;
        position += usize::from(length);
    }
}
