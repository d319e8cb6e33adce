//! Link headers: what was read can be written, and is what was there.

use wire::{Link, LinkHeader, MacAddress};

/// Input: a frame.
pub fn holds(frame: &[u8]) {
    let Ok(link) = Link::parse(frame) else { return };
    assert!([Link::UNTAGGED, Link::TAGGED, Link::LONGEST].contains(&link.length) && link.length <= frame.len());
    assert_eq!(link.tag.is_some(), link.length > Link::UNTAGGED);
    let address = |at: usize| MacAddress(frame[at..at + 6].try_into().expect("six bytes"));
    let header = LinkHeader::new(address(0), address(6), link.tag, link.ether_type);
    let written = header.bytes();
    let read = Link::parse(written).expect("what we wrote");
    assert_eq!((read.tag, read.ether_type, read.length), (link.tag, link.ether_type, written.len()));
    // One tag is written as a customer's, whatever it was; then the header is that of the frame.
    if link.length <= Link::TAGGED && frame[12..14] != [0x88, 0xa8] {
        assert_eq!(written, &frame[..link.length]);
    }
    assert_eq!(header.untagged().is_some(), link.tag.is_none());
}
