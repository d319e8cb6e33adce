//! What a capture sees of the packets that a worker moves, on either side of ESP.

use std::iter;
use std::sync::Arc;

use bordergate_worker::DropReason;
use esp::Encapsulation;
use tables::{Capture, Direction, Record, SaSlot, Side, Wanted};

use crate::house::{House, Plan, SPI, VPC, WAN, clear, frame, ipv4, returning, sealed};

const BOTH: Wanted = Wanted { side: None, host: None, protocols: Vec::new(), port: None, sample: 1, snap_length: 2048 };

/// A house with a capture of its one tunnel.
fn watched(wanted: Wanted, records: usize, plan: Plan) -> (House, Arc<Capture>) {
    let capture = Arc::new(Capture::new(wanted, 1, 16, records));
    capture.assign([(SaSlot::of(SPI), 0), (SaSlot::of(6), 0)]);
    (House::new(Plan { capture: Some(Arc::clone(&capture)), ..plan }), capture)
}

fn records(capture: &Capture) -> impl Iterator<Item = Box<Record>> {
    iter::from_fn(|| capture.receive())
}

type Seen<'a> = (Side, Direction, Option<&'a str>, &'a [u8]);

fn seen(record: &Record) -> Seen<'_> {
    (record.side, record.direction, record.dropped, record.bytes())
}

#[test]
fn both_sides_are_seen_both_ways_under_one_number() {
    for encapsulation in [None, Some(Encapsulation { source: 4500, destination: 4500 })] {
        let (mut house, capture) = watched(BOTH, 512, Plan { encapsulation, ..Plan::default() });
        let packets: Vec<_> = (0..70).map(|i| clear(60 + i)).collect();
        let frames: Vec<_> = packets.iter().map(|packet| frame(packet)).collect();
        let [wan, ..] = house.pass(VPC, &frames);
        let out: Vec<_> = records(&capture).collect();
        assert_eq!(out.len(), 140);
        for ((pair, packet), frame) in out.chunks(2).zip(&packets).zip(&wan) {
            let mut inner = packet.clone();
            inner[8] -= 1;
            // The hop less is made good in the checksum.
            inner[10..12].copy_from_slice(&pair[0].bytes()[10..12]);
            assert_eq!(seen(&pair[0]), (Side::Inner, Direction::ToPeer, None, &inner[..]));
            assert_eq!(seen(&pair[1]), (Side::Outer, Direction::ToPeer, None, &frame[14..]));
            assert_eq!(pair[0].number, pair[1].number);
        }

        let packets: Vec<_> = (0..70).map(|i| returning(60 + i, [10, 1, 0, 2])).collect();
        let esp: Vec<_> = packets
            .iter()
            .zip(1..)
            .map(|(packet, number)| sealed(&house.outbound, number, packet, 4, encapsulation.is_some()))
            .collect();
        house.pass(WAN, &esp.iter().map(|packet| frame(packet)).collect::<Vec<_>>());
        let into: Vec<_> = records(&capture).collect();
        let side = |side| into.iter().filter(move |record| record.side == side).map(|record| seen(record));
        assert!(side(Side::Outer).eq(esp.iter().map(|esp| (Side::Outer, Direction::FromPeer, None, &esp[..]))));
        assert!(side(Side::Inner).eq(packets.iter().map(|p| (Side::Inner, Direction::FromPeer, None, &p[..]))));
        assert_eq!((into.len(), capture.filtered(), capture.missed(0, Side::Outer)), (140, 0, 0));
    }
}

/// The frames of packets that are refused while others are sealed are not mixed up.
#[test]
fn a_frame_is_seen_with_the_packet_that_is_in_it() {
    let (mut house, capture) = watched(BOTH, 64, Plan { wan_mtu: 1000, ..Plan::default() });
    let kept = |mut packet: Vec<u8>| {
        packet[6] |= 0x40;
        let sum = wire::checksum::ipv4_header(&[&packet[..10], &[0, 0], &packet[12..20]].concat());
        packet[10..12].copy_from_slice(&sum.to_be_bytes());
        packet
    };
    let packets =
        [clear(100), kept(clear(1400)), clear(200), ipv4([10, 1, 0, 2], [192, 0, 2, 1], 17, &[0; 8]), clear(300)];
    house.pass(VPC, &packets.map(|packet| frame(&packet)));
    let records: Vec<_> = records(&capture).collect();
    let of = |dropped: bool, side| {
        let chosen = records.iter().filter(move |record| record.dropped.is_some() == dropped && record.side == side);
        chosen.map(|record| record.length).collect::<Vec<_>>()
    };
    assert_eq!(of(false, Side::Inner), [100, 200, 300]);
    let lengths = [100, 200, 300].map(|inner| 20 + house.outbound.sealed_length(inner));
    assert_eq!(of(false, Side::Outer), lengths);
    // What has no route is no tunnel's; what was too long is, and did not get a frame.
    assert_eq!((of(true, Side::Inner), of(true, Side::Outer)), (vec![1400], vec![]));
    assert!(records.iter().any(|record| record.dropped == Some(DropReason::TooLong.name())));
}

#[test]
fn what_is_dropped_is_seen_with_its_reason() {
    let (mut house, capture) = watched(BOTH, 64, Plan::default());
    let good = sealed(&house.outbound, 1, &returning(60, [10, 1, 0, 2]), 4, false);
    let mut forged = sealed(&house.outbound, 2, &returning(60, [10, 1, 0, 2]), 4, false);
    *forged.last_mut().unwrap() ^= 1;
    let outside = ipv4([10, 9, 0, 2], [10, 1, 0, 2], 17, &[0; 40]);
    let outside = sealed(&house.outbound, 3, &outside, 4, false);
    house.pass(WAN, &[good.clone(), forged, outside].map(|packet| frame(&packet)));
    house.pass(WAN, &[frame(&good)]);
    let records: Vec<_> = records(&capture).collect();
    let told: Vec<_> = records.iter().map(|record| (record.side, record.dropped)).collect();
    let (inner, outer) = (Side::Inner, Side::Outer);
    let expected = [
        (outer, None),
        (outer, Some("not_authentic")),
        (outer, None),
        (inner, None),
        (inner, Some("outside_selectors")),
        (outer, Some("replayed")),
    ];
    assert_eq!(told, expected);
    assert_eq!(house.handle.counters().dropped, 3);
}

#[test]
fn conditions_are_about_the_inner_packet_on_either_side() {
    let host = Some("10.2.0.9/32".parse().unwrap());
    let (mut house, capture) = watched(Wanted { host, ..BOTH }, 64, Plan::default());
    let other = ipv4([10, 1, 0, 2], [10, 2, 0, 9], 17, &[0; 40]);
    house.pass(VPC, &[frame(&clear(60)), frame(&other), frame(&clear(80))]);
    let mut forged = sealed(&house.outbound, 1, &returning(60, [10, 1, 0, 2]), 4, false);
    *forged.last_mut().unwrap() ^= 1;
    house.pass(WAN, &[frame(&forged)]);
    let sides: Vec<_> = records(&capture).map(|record| (record.side, record.direction)).collect();
    assert_eq!(sides, [(Side::Inner, Direction::ToPeer), (Side::Outer, Direction::ToPeer)]);
    assert_eq!(capture.filtered(), 3);
}

/// A queue that is full costs the capture packets, and the traffic none.
#[test]
fn a_full_queue_is_counted_and_delays_nothing() {
    let (mut house, capture) = watched(BOTH, 10, Plan::default());
    let frames: Vec<_> = (0..64).map(|i| frame(&clear(60 + i))).collect();
    let [wan, ..] = house.pass(VPC, &frames);
    assert_eq!((wan.len(), records(&capture).count()), (64, 10));
    assert_eq!(capture.missed(0, Side::Inner) + capture.missed(0, Side::Outer), 2 * 64 - 10);
}

#[test]
fn the_poll_loop_allocates_and_frees_nothing_for_a_capture() {
    let (mut house, capture) = watched(BOTH, 8, Plan::default());
    let good = frame(&sealed(&house.outbound, 1, &returning(600, [10, 1, 0, 2]), 4, false));
    let unrouted = frame(&ipv4([10, 1, 0, 2], [192, 0, 2, 1], 17, &[0; 8]));
    let (mut total, mut seen) = (allocation_counter::AllocationInfo::default(), 0);
    for turn in 0..100 {
        for (port, frame) in [(VPC, &frame(&clear(1400))), (VPC, &unrouted), (WAN, &good), (WAN, &good)] {
            house.worker.ports()[port].inject(frame).unwrap();
        }
        total += allocation_counter::measure(|| {
            house.worker.poll();
        });
        house.worker.ports().iter_mut().for_each(|port| drop(port.drain()));
        // Full most of the time, empty now and then.
        if turn % 10 == 9 {
            for record in records(&capture) {
                seen += 1;
                capture.give_back(record);
            }
        }
    }
    assert_eq!((total.count_total, total.bytes_current, seen), (0, 0, 80));
    assert!(capture.missed(0, Side::Outer) > 0);
}
