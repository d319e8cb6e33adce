//! ESP of every suite: what was sealed opens, and what was changed on its way does not.

use std::net::IpAddr;

use aead::Suite;
use esp::{Inbound, InboundSa, LeftOut, Opened, Opening, Outbound, OutboundSa, OuterHeader, Refusal, Sealing};
use wire::{Packet, Spi};

use crate::input::{head, with_right_header};

/// Input: a suite, a place, what its byte is changed by, and an IP packet to be sealed.
pub fn holds(input: &[u8]) {
    let ([suite, high, low, change], bytes) = head(input);
    let suite = Suite::ALL[usize::from(suite) % Suite::ALL.len()];
    let inbound = inbound(suite);
    // Bytes of a stranger.
    assert!(matches!(open(&inbound, bytes), Err(Refusal::Malformed | Refusal::NotAuthentic | Refusal::Stale(_))));

    let bytes = with_right_header(bytes);
    let Ok(inner) = Packet::parse(&bytes) else { return };
    let mut sealed = seal(suite, &inner);
    assert_eq!(wire::esp::header(&sealed), Some((SPI, 1)));
    let place = usize::from(u16::from_be_bytes([high, low])) % sealed.len();
    sealed[place] ^= change;
    let (opened, text) = match open(&inbound, &sealed) {
        Ok(opened) => opened,
        // The index led here before; everything behind it is authenticated.
        Err(refusal) => return assert!(change != 0 && place >= 4, "{refusal:?}"),
    };
    assert!(change == 0 || place < 4, "a changed packet was opened");
    assert_eq!((opened.next_header, &text[..opened.length]), (inner.tunnel_protocol(), inner.bytes));
    assert!(matches!(open(&inbound, &sealed), Err(Refusal::Stale(_))), "a packet is opened once");
}

const SPI: u32 = 0x1230_0005;

fn key(suite: Suite) -> Vec<u8> {
    vec![7; suite.key_length()]
}

fn inbound(suite: Suite) -> InboundSa {
    let (spi, key) = (Spi::new(SPI).expect("not reserved"), key(suite));
    let parts = Inbound { spi, suite, key: &key, salt: [1, 2, 3, 4], extended: true, replay_window: 64 };
    InboundSa::new(parts).expect("a key of the suite's length")
}

/// From the ESP header on.
fn seal(suite: Suite, inner: &Packet<'_>) -> Vec<u8> {
    let (spi, key) = (Spi::new(SPI).expect("not reserved"), key(suite));
    let parts = Outbound { spi, suite, key: &key, salt: [1, 2, 3, 4], extended: true, packets: None };
    let sa = OutboundSa::new(parts).expect("a key of the suite's length");
    let ends = [IpAddr::from([203, 0, 113, 1]), IpAddr::from([198, 51, 100, 2])];
    let outer = OuterHeader::new(&[0; 14], ends[0], ends[1], None, esp::HeaderRules::default()).expect("one family");
    let mut frame = vec![0; outer.length() + sa.sealed_length(inner.bytes.len()) + OuterHeader::LONGEST];
    let mut sealing = Sealing::default();
    let number = sa.take_sequence(1).expect("the first");
    let length = sealing.push(&sa, &outer, number, inner.bytes, &mut frame);
    sealing.finish();
    frame.truncate(length);
    frame.split_off(outer.length())
}

fn open(sa: &InboundSa, esp: &[u8]) -> Result<(Opened, Vec<u8>), Refusal> {
    // Not a byte more than the ciphertext has.
    let mut text = vec![0; esp.len().saturating_sub(sa.overhead())];
    let mut opening = Opening::default();
    match opening.push(sa, esp, &mut text) {
        Ok(()) => {}
        Err(LeftOut::Refused(refusal)) => return Err(refusal),
        Err(left_out) => unreachable!("{left_out:?}"),
    }
    let opened = opening.finish()[0]?;
    assert!(opened.length <= text.len());
    Ok((opened, text))
}
