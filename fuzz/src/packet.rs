//! IP packets with options and extension headers, and what a router changes of them in place.

use wire::udp::Datagram;
use wire::{Packet, Protocol, ip, udp};

use crate::input::{head, with_right_header};

/// Input: whether lengths and checksum are to be made right (lowest bit), a traffic class, and a packet.
pub fn holds(input: &[u8]) {
    let ([right, traffic_class], bytes) = head(input);
    let bytes = if right & 1 != 0 { with_right_header(bytes) } else { bytes.to_vec() };
    let mut changed = bytes.clone();
    let hops = ip::decrement_hops(&mut changed);
    ip::set_traffic_class(&mut changed, traffic_class);
    let Ok(packet) = Packet::parse(&bytes) else { return };
    assert!(bytes.starts_with(packet.bytes) && packet.header_length <= packet.bytes.len());
    assert_eq!(packet.payload().len(), packet.bytes.len() - packet.header_length);
    assert_eq!(Packet::parse(packet.bytes), Ok(packet), "what follows a packet does not change it");
    assert_eq!(packet.source.is_ipv4(), packet.destination.is_ipv4());
    assert_eq!(packet.as_fragment().is_some(), packet.fragment);

    // Whether one more hop is left or not, the header is right: the checksum is read again.
    let after = Packet::parse(&changed).expect("still a packet");
    assert_eq!(hops, packet.hops.checked_sub(1).filter(|left| *left > 0));
    assert_eq!((after.hops, after.traffic_class), (hops.unwrap_or(packet.hops), traffic_class));
    let like_before = Packet { bytes: packet.bytes, hops: packet.hops, traffic_class: packet.traffic_class, ..after };
    assert_eq!(like_before, packet, "nothing else changed");
    assert_eq!(after.payload(), packet.payload());

    flows(&packet);
    if packet.protocol == Protocol::UDP
        && !packet.fragment
        && let Ok(datagram) = Datagram::parse(packet.payload())
    {
        let header = udp::header(datagram.source, datagram.destination, datagram.payload.len() as u16);
        assert_eq!(header[..6], packet.payload()[..6]);
    }
}

/// Both directions of a flow have one symmetric hash.
fn flows(packet: &Packet<'_>) {
    let mut returning = packet.bytes.to_vec();
    // The checksum is the same with words exchanged.
    let (start, length) = if packet.source.is_ipv4() { (12, 4) } else { (8, 16) };
    returning[start..start + 2 * length].rotate_left(length);
    if let (Some(_), Some(_)) = packet.ports() {
        returning[packet.header_length..packet.header_length + 4].rotate_left(2);
    }
    let returning = Packet::parse(&returning).expect("as right as the other");
    assert_eq!((returning.source, returning.destination), (packet.destination, packet.source));
    assert_eq!(returning.symmetric_flow_hash(), packet.symmetric_flow_hash());
    assert_eq!(Packet::parse(packet.bytes).map(|same| same.flow_hash()), Ok(packet.flow_hash()));
}
