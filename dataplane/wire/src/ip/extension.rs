//! IPv6 extension headers (RFC 8200 §4).

use super::{Ipv6Header, Protocol};
use crate::Fragment;

const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const DESTINATION_OPTIONS: u8 = 60;

/// Bytes that every header has at least; lengths are counted in so many.
const UNIT: usize = 8;
/// As many headers as a packet has that uses each as often as RFC 8200 §4.1 has in mind, and some more.
const MOST: usize = 8;

/// What follows an IPv6 header and its extension headers.
pub(crate) struct Upper {
    pub protocol: Protocol,
    /// Bytes in front of it.
    pub offset: usize,
    /// Which piece it is, if only one: the last header in front of it says so.
    pub fragment: Option<Fragment>,
}

impl Upper {
    /// Walks the headers behind an IPv6 header whose next header is `protocol`; `None` where `packet` ends within them.
    ///
    /// The walk stops at AH, at what is no extension header, at a fragment's data (only the first piece has the
    /// headers that would follow, and all are to look alike), and after [`MOST`] headers.
    pub fn find(packet: &[u8], protocol: u8) -> Option<Self> {
        let mut upper = Self { protocol: Protocol(protocol), offset: Ipv6Header::LENGTH, fragment: None };
        for _ in 0..MOST {
            let kind = upper.protocol.0;
            if !matches!(kind, HOP_BY_HOP | ROUTING | FRAGMENT | DESTINATION_OPTIONS) {
                break;
            }
            let header = packet.get(upper.offset..)?.first_chunk::<UNIT>()?;
            let [next, length, ..] = *header;
            upper.protocol = Protocol(next);
            if kind == FRAGMENT {
                upper.offset += UNIT;
                upper.fragment = piece(*header);
                if upper.fragment.is_some() {
                    break;
                }
            } else {
                upper.offset += UNIT * (1 + usize::from(length));
            }
        }
        (upper.offset <= packet.len()).then_some(upper)
    }
}

/// What a fragment header says; `None` for one around a whole packet (RFC 8200 §4.5).
fn piece(header: [u8; UNIT]) -> Option<Fragment> {
    let [_, _, high, low, identification @ ..] = header;
    // The offset in units of 8 bytes stands above three other bits, the lowest being "more fragments".
    let [offset, more] = [!7, 1].map(|mask| u16::from_be_bytes([high, low]) & mask);
    let identification = u32::from_be_bytes(identification);
    (offset | more != 0).then(|| Fragment { identification, offset: usize::from(offset), more: more != 0 })
}
