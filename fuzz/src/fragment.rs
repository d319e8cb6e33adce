//! Splitting: the fragments, put together again, are the packet.

use wire::Packet;
use wire::fragment::{Fragment, Split};

use crate::input::{head, with_right_header};

/// Input: the greatest length of a fragment, and a packet, whose header is made right.
pub fn holds(input: &[u8]) {
    let ([high, low], bytes) = head(input);
    let mtu = usize::from(u16::from_be_bytes([high, low]));
    let bytes = with_right_header(bytes);
    let Ok(packet) = Packet::parse(&bytes) else { return };
    let Some(split) = Split::new(&packet, mtu) else { return };
    let whole = packet.as_fragment().unwrap_or(Fragment { identification: 0, offset: 0, more: false });
    let (mut payload, mut buffer) = (Vec::<u8>::new(), vec![0; mtu]);
    let mut pieces = split.pieces().peekable();
    while let Some(piece) = pieces.next() {
        let length = split.write(piece, &mut buffer).expect("room for the longest fragment");
        let fragment = Packet::parse(&buffer[..length]).expect("a right header");
        assert_eq!((piece.offset, piece.length), (payload.len(), fragment.payload().len()));
        assert_eq!(
            (fragment.source, fragment.destination, fragment.protocol, fragment.hops, fragment.traffic_class),
            (packet.source, packet.destination, packet.protocol, packet.hops, packet.traffic_class)
        );
        let last = pieces.peek().is_none();
        if let Some(part) = fragment.as_fragment() {
            assert_eq!((part.offset, part.more), (whole.offset + piece.offset, whole.more || !last));
        } else {
            assert!(last && piece.offset == 0 && whole.offset == 0);
        }
        if piece.offset == 0 {
            assert_eq!(fragment.header_length, packet.header_length, "all options stand in the first");
        }
        assert!(last || piece.length > 0 && piece.length.is_multiple_of(8));
        payload.extend(fragment.payload());
    }
    assert_eq!(payload, packet.payload());
}
