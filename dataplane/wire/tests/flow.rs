//! Which packets share a flow's hash, and how hashes spread.

use std::net::Ipv4Addr;

use bordergate_wire::{Packet, checksum};

/// Addresses, protocol, fragment field, ports.
type Flow = ([u8; 4], [u8; 4], u8, u16, [u16; 2]);

const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMP: u8 = 1;
const GRE: u8 = 47;
const ESP: u8 = 50;
const MORE_FRAGMENTS: u16 = 0x2000;

const HERE: [u8; 4] = [10, 1, 0, 2];
const THERE: [u8; 4] = [10, 2, 0, 2];

/// The hash of one direction and the symmetric one.
fn hashes((source, destination, protocol, fragment, ports): Flow) -> (u32, u32) {
    let mut bytes = vec![0x45, 0, 0, 28, 0, 0, 0, 0, 64, protocol, 0, 0];
    bytes[6..8].copy_from_slice(&fragment.to_be_bytes());
    bytes.extend([source, destination].concat());
    let checksum = checksum::ipv4_header(&bytes);
    bytes[10..12].copy_from_slice(&checksum.to_be_bytes());
    bytes.extend(ports.map(u16::to_be_bytes).concat());
    bytes.extend([0; 4]);
    let packet = Packet::parse(&bytes).unwrap();
    (packet.flow_hash(), packet.symmetric_flow_hash())
}

fn assert_same(one: Flow, other: Flow) {
    assert_eq!(hashes(one), hashes(other), "{one:?} {other:?}");
}

fn assert_different(one: Flow, other: Flow) {
    let (one, other) = (hashes(one), hashes(other));
    assert!(one.0 != other.0 && one.1 != other.1, "{one:?} {other:?}");
}

#[test]
fn each_protocol_has_its_own_key() {
    for protocol in [TCP, UDP] {
        let flow = (HERE, THERE, protocol, 0, [1, 2]);
        assert_different(flow, (HERE, THERE, protocol, 0, [3, 2]));
        assert_different(flow, (HERE, THERE, protocol, 0, [1, 3]));
        assert_different(flow, ([10, 1, 0, 3], THERE, protocol, 0, [1, 2]));
        assert_different(flow, (HERE, [10, 2, 0, 3], protocol, 0, [1, 2]));
    }
    assert_different((HERE, THERE, TCP, 0, [1, 2]), (HERE, THERE, UDP, 0, [1, 2]));
    assert_same((HERE, THERE, ICMP, 0, [0x0800, 2]), (HERE, THERE, ICMP, 0, [0, 3]));
    assert_different((HERE, THERE, ICMP, 0, [0, 0]), (HERE, THERE, GRE, 0, [0, 0]));
    assert_same((HERE, THERE, ESP, 0, [1, 2]), (HERE, THERE, GRE, 0, [3, 4]));
    assert_different((HERE, THERE, ESP, 0, [1, 2]), ([10, 1, 0, 3], THERE, ESP, 0, [1, 2]));
}

#[test]
fn fragments_go_by_addresses_alone() {
    let last = (HERE, THERE, UDP, 3, [7, 7]);
    assert_same((HERE, THERE, UDP, MORE_FRAGMENTS, [1, 2]), last);
    assert_same((HERE, THERE, ESP, 0, [1, 2]), last);
    assert_same((HERE, THERE, ICMP, MORE_FRAGMENTS, [1, 2]), last);
    assert_different((HERE, THERE, UDP, 0, [7, 7]), last);
}

#[test]
fn both_directions_share_the_symmetric_hash() {
    for protocol in [TCP, UDP, ICMP, ESP] {
        // Between two hosts, and between two ports of one.
        for (to, back) in [([HERE, THERE], [THERE, HERE]), ([THERE, HERE], [HERE, THERE]), ([HERE; 2], [HERE; 2])] {
            let there = hashes((to[0], to[1], protocol, 0, [1, 2]));
            let back = hashes((back[0], back[1], protocol, 0, [2, 1]));
            assert_eq!(there.1, back.1, "{protocol} {to:?}");
        }
    }
    // Ports belong to their addresses.
    assert_ne!(hashes((HERE, THERE, TCP, 0, [1, 2])).1, hashes((HERE, THERE, TCP, 0, [2, 1])).1);
    assert_ne!(hashes((HERE, THERE, TCP, 0, [1, 2])).0, hashes((THERE, HERE, TCP, 0, [2, 1])).0);
}

/// By the highest bits, as a tunnel is chosen: neither near ports nor near addresses crowd in one place.
#[test]
fn flows_spread_evenly() {
    let near_hosts = |n: u32| (Ipv4Addr::from_bits(0x0a01_0000 | n).octets(), THERE, ICMP, 0, [0, 0]);
    let near_ports = |n: u32| (HERE, THERE, TCP, 0, [n as u16, 443]);
    let far_ports = |n: u32| (HERE, THERE, UDP, 0, [(n << 2) as u16, 443]);
    let flows: [&dyn Fn(u32) -> Flow; 3] = [&near_hosts, &near_ports, &far_ports];
    for flow in flows {
        let mut places = [[0; 8]; 2];
        for (one, both) in (0..16_384).map(|n| hashes(flow(n))) {
            places[0][(one >> 29) as usize] += 1;
            places[1][(both >> 29) as usize] += 1;
        }
        assert!(places.iter().flatten().all(|count| (1850..2250).contains(count)), "{places:?}");
    }
}
