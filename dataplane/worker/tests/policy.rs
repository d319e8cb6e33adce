//! What an operator asks of a tunnel or a gateway: limits, pauses, honest sources, the choice of a tunnel.

#[allow(dead_code, reason = "shared with the other scenes")]
mod house;

use bordergate_worker::DropReason;
use house::{House, Plan, VPC, WAN, clear, frame, ipv4, outer, returning, sealed, spi_of};
use tables::{SaSlot, Traffic, TunnelGroup};
use wire::Packet;

/// Two full frames fill the bucket of the slowest limit: five packets of 1400 bytes pass and no more, each way.
#[test]
fn a_limited_tunnel_carries_what_its_bucket_holds_each_way() {
    let mut house = House::new(Plan { traffic: Traffic::Limited, ..Plan::default() });
    let [wan, ..] = house.pass(VPC, &vec![frame(&clear(1400)); 20]);
    assert_eq!((wan.len(), house.drops()), (5, vec![(DropReason::RateLimited, 15)]));
    let packet = returning(1400, [10, 1, 0, 2]);
    let esp: Vec<_> = (1..=20).map(|number| frame(&sealed(&house.outbound, number, &packet, 4, false))).collect();
    let [_, vpc, _] = house.pass(WAN, &esp);
    assert_eq!((vpc.len(), house.drops()), (5, vec![(DropReason::RateLimited, 30)]));
}

/// A run is asked for at once where all of it is admitted; what passes is what passes when each packet is asked for by itself.
#[test]
fn of_a_limited_tunnels_packets_those_pass_that_the_bucket_holds() {
    let sizes = [700, 1400, 60, 1300, 500, 1400, 1400, 1440, 900, 1200, 64, 1400, 80];
    let mut left = 2 * 4096;
    let passing = sizes.map(|size| {
        let passes = size <= left;
        left -= if passes { size } else { 0 };
        passes
    });
    assert_eq!(passing.iter().filter(|passes| !**passes).count(), 3);
    let passing = || sizes.into_iter().zip(passing).filter(|(_, passes)| *passes).map(|(size, _)| size);

    let limited = || House::new(Plan { traffic: Traffic::Limited, ..Plan::default() });
    let mut house = limited();
    let [wan, ..] = house.pass(VPC, &sizes.map(|size| frame(&clear(size))));
    let sealed_lengths = passing().map(|size| outer(None) + house.outbound.sealed_length(size));
    assert!(wan.iter().map(Vec::len).eq(sealed_lengths));
    assert_eq!(house.drops(), [(DropReason::RateLimited, 3)]);

    let mut house = limited();
    let esp = |(number, size)| frame(&sealed(&house.outbound, number, &returning(size, [10, 1, 0, 2]), 4, false));
    let esp: Vec<_> = (1..).zip(sizes).map(esp).collect();
    let [_, vpc, _] = house.pass(WAN, &esp);
    assert!(vpc.iter().map(Vec::len).eq(passing().map(|size| 14 + size)));
    assert_eq!(house.drops(), [(DropReason::RateLimited, 3)]);
}

/// It is dropped once it is authentic, so that the association is alive and its window moves.
#[test]
fn what_a_paused_tunnel_brings_is_authenticated_first() {
    let mut house = House::new(Plan { traffic: Traffic::Paused, ..Plan::default() });
    let esp = frame(&sealed(&house.outbound, 1, &returning(60, [10, 1, 0, 2]), 4, false));
    let [_, vpc, _] = house.pass(WAN, &[esp.clone(), esp]);
    assert!(vpc.is_empty());
    assert_eq!(house.drops(), [(DropReason::Replayed, 1), (DropReason::TunnelPaused, 1)]);
    assert_eq!(house.handle.sa_counters(SaSlot::of(house::SPI)).unwrap().packets, 1);
}

/// RFC 2827, and RFC 3704: nobody speaks in another's name, and no one packet of a run is let through for the one before.
#[test]
fn sources_lie_where_their_packets_come_from() {
    let mut house = House::new(Plan::default());
    let from = |last: u8, second: u8| frame(&ipv4([10, second, 0, last], [10, 2, 0, 2], 17, &[0; 8]));
    let good = [from(2, 1), from(2, 1), from(3, 1)];
    let [wan, ..] = house.pass(VPC, &[&good[..], &[from(2, 2), from(2, 2), from(2, 4), from(2, 1)]].concat());
    assert_eq!((wan.len(), house.drops()), (4, vec![(DropReason::SpoofedSource, 3)]));
    for (number, (source, passes)) in (1..).zip([
        ([10, 2, 0, 2], true),
        ([10, 2, 88, 1], false),
        ([10, 2, 99, 1], false),
        ([10, 2, 66, 1], true),
        ([10, 2, 0, 2], true),
    ]) {
        let inner = ipv4(source, [10, 1, 0, 2], 17, &[0; 8]);
        let [_, vpc, _] = house.pass(WAN, &[frame(&sealed(&house.outbound, number, &inner, 4, false))]);
        assert_eq!(vpc.len(), usize::from(passes), "{source:?}");
    }
    assert_eq!(house.drops(), [(DropReason::SpoofedSource, 5)]);
}

/// RFC 7296 §2.9: peers that take one pair of networks an association get one for each.
#[test]
fn of_several_associations_a_packet_takes_the_one_whose_selectors_hold_it() {
    let mut house = House::new(Plan { divided: true, ..Plan::default() });
    let from = |last: u8| frame(&ipv4([10, 1, 0, last], [10, 2, 0, 2], 17, &[0; 8]));
    let [wan, ..] = house.pass(VPC, &[from(2), from(200), from(3), from(201), from(202)]);
    assert_eq!(wan.len(), 5);
    let sent = [6, 7, 8].map(|slot| house.handle.sa_counters(SaSlot::of(slot)).unwrap().packets);
    assert_eq!((sent, house.drops()), ([2, 3, 0], vec![]));
    let outside = frame(&ipv4([10, 1, 1, 0], [10, 2, 0, 2], 17, &[0; 8]));
    let [wan, ..] = house.pass(VPC, &[outside]);
    assert_eq!((wan.len(), house.drops()), (0, vec![(DropReason::OutsideSelectors, 1)]));
}

/// RFC 9611: of the associations with the same selectors each worker has its own, or shares one with another worker.
#[test]
fn each_worker_seals_with_an_association_of_its_own() {
    let from = |last: u8| frame(&ipv4([10, 1, 0, last], [10, 2, 0, 2], 17, &[0; 8]));
    for place in 0..4 {
        for alike in 1..=3 {
            for divided in [false, true] {
                let mut house = House::new(Plan { place, alike, divided, ..Plan::default() });
                let [wan, ..] = house.pass(VPC, &[from(2), from(200), from(3)]);
                let own = place as u32 % u32::from(alike);
                let sealed_with = |frame: &Vec<u8>| u32::from_be_bytes(frame[outer(None)..][..4].try_into().unwrap());
                assert!(wan.iter().map(sealed_with).eq([spi_of(own); 3]), "worker {place} of {alike}");
                // Those for the other network, too, are counted apart.
                let slots = if divided { [(6, 2), (7, 1)] } else { [(6, 3), (7, 0)] };
                for (slot, packets) in slots {
                    let counted = house.handle.sa_counters(SaSlot::of(slot + 3 * own)).unwrap().packets;
                    assert_eq!(counted, packets, "worker {place} of {alike}, divided: {divided}");
                }
                assert_eq!(house.drops(), []);
            }
        }
    }
}

/// By one hash or by the other, as the gateway has it: of two tunnels only the first is up.
#[test]
fn the_gateway_says_what_a_tunnel_is_chosen_by() {
    // The source is the greater of the two as the hash folds them, or both hashes would be one.
    let packet = |port| {
        let source = [0x20, 1, 0x0d, 0xb8, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0];
        let destination = [0x20, 1, 0x0d, 0xb8, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2];
        [&[0x60, 0, 0, 0, 0, 8, 17, 64][..], &source, &destination, &[9, port, 0, 9, 0, 8, 0, 0]].concat()
    };
    let packets: Vec<_> = (0..64).map(packet).collect();
    let group = TunnelGroup::new(&house::PAIR);
    let chosen = |hash: fn(&Packet<'_>) -> u32| -> Vec<bool> {
        packets
            .iter()
            .map(|packet| group.tunnel(|| hash(&Packet::parse(packet).unwrap())) == Some(house::PAIR[0].0))
            .collect()
    };
    let (directed, symmetric) = (chosen(|packet| packet.flow_hash()), chosen(|packet| packet.symmetric_flow_hash()));
    assert_ne!(directed, symmetric);
    for (flag, expected) in [(false, directed), (true, symmetric)] {
        let mut house = House::new(Plan { symmetric: Some(flag), ..Plan::default() });
        let passed: Vec<_> = packets.iter().map(|packet| house.pass(VPC, &[frame(packet)])[WAN].len() == 1).collect();
        assert_eq!(passed, expected, "symmetric: {flag}");
    }
}
