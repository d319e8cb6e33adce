//! The worker over memory ports: what passes, and what is dropped for which reason.

mod capture;
#[allow(dead_code, reason = "shared with the other scenes")]
mod house;

use std::time::Duration;

use bordergate_worker::{DropReason, Origin};
use esp::Encapsulation;
use house::{
    House, Plan, VPC, WAN, address, clear, fragment, frame, ipv4, part, rechecked, returning, seal_text, sealed, udp,
};
use port::MemoryOptions;
use proptest::prelude::*;
use tables::{AttachmentIndex, Direction, GatewayIndex, PortIndex, SaSlot, Traffic, Unresolved};
use wire::icmp::Report;

#[test]
fn batches_of_every_size_pass_both_ways() {
    for encapsulation in [None, Some(Encapsulation { source: 4500, destination: 4500 })] {
        for count in [1_usize, 63, 64, 65, 67, 200] {
            let mut house = House::new(Plan { encapsulation, ..Plan::default() });
            let inner: Vec<Vec<u8>> = (0..count).map(|i| clear(28 + i * 7)).collect();
            let frames: Vec<_> = inner.iter().map(|packet| frame(packet)).collect();
            let [wan, vpc, other] = house.pass(VPC, &frames);
            assert_eq!((wan.len(), vpc.len(), other.len()), (count, 0, 0));
            let lengths: Vec<_> = inner
                .iter()
                .map(|packet| house::outer(encapsulation) + house.outbound.sealed_length(packet.len()))
                .collect();
            assert_eq!(wan.iter().map(Vec::len).collect::<Vec<_>>(), lengths);
            assert!(wan.iter().zip(&inner).all(|(frame, inner)| !frame.windows(20).any(|w| w == &inner[..20])));

            let inner: Vec<Vec<u8>> = (0..count).map(|i| returning(28 + i * 7, [10, 1, 0, 2])).collect();
            let frames: Vec<_> = inner
                .iter()
                .zip(1..)
                .map(|(packet, number)| frame(&sealed(&house.outbound, number, packet, 4, encapsulation.is_some())))
                .collect();
            let [wan, vpc, other] = house.pass(WAN, &frames);
            assert_eq!((wan.len(), other.len()), (0, 0));
            assert!(vpc.iter().zip(&inner).all(|(frame, inner)| frame[14..] == routed(inner)));
            assert_eq!(vpc.len(), count);
            assert_eq!(&vpc[0][..14], house::link(address("10.1.0.2")).bytes());
            let counters = house.handle.counters();
            assert_eq!((counters.transmitted, counters.dropped), (2 * count as u64, 0));
            for slot in [SaSlot::of(house::SPI), SaSlot::of(6)] {
                let bytes = (0..count).map(|i| 28 + i as u64 * 7).sum::<u64>();
                let counted = house.handle.sa_counters(slot).unwrap();
                assert_eq!((counted.packets, counted.bytes), (count as u64, bytes));
            }
        }
    }
}

/// A packet from the VPC's host.
fn to(destination: [u8; 4]) -> Vec<u8> {
    ipv4([10, 1, 0, 2], destination, 17, &[0; 8])
}

/// Of many destinations a batch's ways are looked up ahead: what becomes of the packets is the same.
#[test]
fn packets_to_many_destinations_fare_as_each_does_alone() {
    let frames: Vec<_> = (0..512_u32)
        .map(|number| {
            let [.., high, low] = number.to_be_bytes();
            match number % 8 {
                4 => frame(&to([192, 0, high, low])),
                5 => frame(&to([10, 2, 66, low])),
                6 => frame(&to([10, 3, high, low])),
                7 => vec![0; 20],
                _ => frame(&to([10, 2, high, low])),
            }
        })
        .collect();
    let (mut together, mut alone) = (House::new(Plan::default()), House::new(Plan::default()));
    let [sealed, ..] = together.pass(VPC, &frames);
    let each: Vec<_> =
        frames.iter().flat_map(|frame| alone.pass(VPC, std::slice::from_ref(frame))[0].clone()).collect();
    assert_eq!((sealed.len(), together.drops()), (256, alone.drops()));
    assert_eq!(sealed, each);
}

#[test]
fn an_unexpected_attachment_gets_its_packets_too() {
    let mut house = House::new(Plan::default());
    let packets = [returning(100, [10, 1, 0, 2]), returning(101, [10, 3, 0, 2]), returning(102, [10, 1, 0, 2])];
    let frames: Vec<_> =
        packets.iter().zip(1..).map(|(p, number)| frame(&sealed(&house.outbound, number, p, 4, false))).collect();
    let [_, vpc, other] = house.pass(WAN, &frames);
    assert_eq!(
        vpc.iter().map(|frame| frame[14..].to_vec()).collect::<Vec<_>>(),
        [routed(&packets[0]), routed(&packets[2])]
    );
    assert_eq!(other.iter().map(|frame| frame[14..].to_vec()).collect::<Vec<_>>(), [routed(&packets[1])]);
}

#[test]
fn tagged_frames_are_understood() {
    let mut house = House::new(Plan::default());
    let tagged = |packet: &[u8], tags: &[u8]| [&[0; 12][..], tags, &[8, 0], packet].concat();
    let [wan, ..] = house.pass(VPC, &[tagged(&clear(60), &[0x81, 0, 0xa0, 0])]);
    assert_eq!(wan.len(), 1);
    let packet = returning(60, [10, 1, 0, 2]);
    let esp = sealed(&house.outbound, 1, &packet, 4, false);
    let [_, vpc, _] = house.pass(WAN, &[tagged(&esp, &[0x88, 0xa8, 0, 7, 0x81, 0, 0, 100])]);
    assert_eq!(vpc[0][14..], routed(&packet));
}

#[test]
fn what_follows_a_datagram_in_its_packet_is_not_esp() {
    let encapsulation = Some(Encapsulation { source: 4500, destination: 4500 });
    let mut house = House::new(Plan { encapsulation, ..Plan::default() });
    let whole = sealed(&house.outbound, 1, &returning(60, [10, 1, 0, 2]), 4, true);
    let longer = ipv4([198, 51, 100, 2], [203, 0, 113, 1], 17, &[&whole[20..], &[0xee; 9]].concat());
    let [_, vpc, _] = house.pass(WAN, &[frame(&longer)]);
    assert_eq!((vpc.len(), house.drops()), (1, vec![]));
}

/// Every packet that was sent has a time, and none that was not.
#[test]
fn packets_are_timed_by_their_direction() {
    let mut house = House::new(Plan::default());
    let frames: Vec<_> = (0..70).map(|i| frame(&clear(60 + i))).collect();
    house.pass(VPC, &frames);
    let good = frame(&sealed(&house.outbound, 1, &returning(60, [10, 1, 0, 2]), 4, false));
    house.pass(WAN, &[good.clone(), good, frame(&udp(500, &[9; 40]))]);
    for (direction, packets) in [(Direction::ToPeer, 70), (Direction::FromPeer, 1)] {
        let counts = house.handle.latency(direction);
        assert_eq!(counts.buckets.iter().map(|(_, packets)| packets).sum::<u64>(), packets, "{direction:?}");
        let (longest, _) = *counts.buckets.last().unwrap();
        assert!((1..=longest).contains(&counts.longest), "{counts:?}");
    }
}

#[test]
fn ike_goes_to_control_on_both_ports() {
    let mut house = House::new(Plan::default());
    let message = [9; 40];
    house.pass(WAN, &[frame(&udp(500, &message)), frame(&udp(4500, &[&[0; 4][..], &message].concat()))]);
    for port in [500, 4500] {
        let datagram = house.handle.receive_ike().unwrap();
        assert_eq!(datagram.message(), message);
        assert_eq!(datagram.source, "198.51.100.2:4500".parse().unwrap());
        assert_eq!(datagram.destination, format!("203.0.113.1:{port}").parse().unwrap());
    }
    assert_eq!((house.handle.counters().passed, house.handle.receive_ike().is_none()), (2, true));
}

#[test]
fn control_sends_whole_frames() {
    let mut house = House::new(Plan::default());
    house.handle.send_frame(PortIndex(0), &[0xab; 60]).unwrap();
    let [wan, ..] = house.pass(WAN, &[]);
    assert!(wan.is_empty(), "nothing was received, so no turn was taken");
    house.worker.poll();
    assert_eq!(house.worker.ports()[WAN].drain(), [vec![0xab; 60]]);
    assert_eq!(house.handle.counters().originated, 1);
}

/// RFC 791: pieces of at most the tunnel's length, each sealed by itself; what may not be fragmented is reported.
#[test]
fn what_is_too_long_is_fragmented_or_reported() {
    let mut house = House::new(Plan { wan_mtu: 1000, ..Plan::default() });
    let packets: Vec<_> = (0..70).map(|_| clear(1400)).collect();
    let frames: Vec<_> = packets.iter().map(|packet| frame(packet)).collect();
    let [wan, ..] = house.pass(VPC, &frames[..64]);
    assert_eq!((wan.len(), house.handle.counters().split), (128, 64));
    let longest = wan.iter().map(|frame| frame.len() - 14).max().unwrap();
    assert!((990..=1000).contains(&longest), "{longest}");

    house.pass(VPC, &[frame(&whole(clear(1400)))]);
    let notice = house.handle.notice().unwrap();
    let longest = house.outbound.longest_inner(980) as u16;
    assert_eq!((notice.report, notice.origin), (Report::TooBig { mtu: longest }, Origin::Vpc(AttachmentIndex(0))));
    assert_eq!(notice.packet().len(), 1280);
    assert!(house.handle.notice().is_none());
}

/// RFC 9293 §3.7.1: a SYN announces no more than fits, either way.
#[test]
fn segments_are_held_to_what_fits() {
    let mut house = House::new(Plan { segments: Some([1300, 1280]), ..Plan::default() });
    let syn = [&[0, 80, 0, 99, 0, 0, 0, 1, 0, 0, 0, 0, 0x60, 2, 0xff, 0xff, 0, 0, 0, 0, 2, 4, 5, 0xb4][..]].concat();
    let inner = ipv4([10, 2, 0, 2], [10, 1, 0, 2], 6, &syn);
    let [_, vpc, _] = house.pass(WAN, &[frame(&sealed(&house.outbound, 1, &inner, 4, false))]);
    // Untouched, for the house's inbound association names no limit.
    assert_eq!(vpc[0][14 + 42..14 + 44], [5, 0xb4]);
    let inner = ipv4([10, 1, 0, 2], [10, 2, 0, 2], 6, &syn);
    let [wan, ..] = house.pass(VPC, &[frame(&inner)]);
    let back = wan[0].clone();
    let [_, vpc, _] = house.pass(WAN, &[back]);
    assert!(vpc.is_empty(), "its addresses are the other way round: {:?}", house.drops());
}

/// RFC 6040 figure 4: congestion that a router saw on the way is told to the receiver.
#[test]
fn congestion_marks_come_out_of_the_tunnel() {
    let mut house = House::new(Plan::default());
    for (number, outer, inner, expected) in
        [(1, 3, 2, Some(3)), (2, 1, 2, Some(1)), (3, 2, 0, Some(0)), (4, 3, 0, None)]
    {
        let mut packet = returning(60, [10, 1, 0, 2]);
        packet[1] = inner;
        let packet = rechecked(packet);
        let mut esp = sealed(&house.outbound, number, &packet, 4, false);
        esp[1] = outer;
        let [_, vpc, _] = house.pass(WAN, &[frame(&rechecked(esp))]);
        assert_eq!(vpc.first().map(|frame| frame[15]), expected, "outer {outer}, inner {inner}");
    }
}

/// Packets for the gateway itself go to its host.
#[test]
fn the_host_gets_its_packets() {
    let mut house = House::new(Plan::default());
    let packet = returning(60, [10, 0, 0, 1]);
    house.pass(WAN, &[frame(&sealed(&house.outbound, 1, &packet, 4, false))]);
    assert_eq!(house.handle.to_host().unwrap().packet(), packet);
    // From the VPC, too, and with the last hop: the host is no router behind us.
    let packet = last_hop(ipv4([10, 1, 0, 2], [10, 0, 0, 1], 17, &[0; 8]));
    house.pass(VPC, &[frame(&packet)]);
    assert_eq!(house.handle.to_host().unwrap().packet(), packet);
    assert_eq!(house.handle.counters().passed, 2);
}

/// What the host sends goes into a tunnel or out of an attachment, with all its hops, and is counted as originated.
#[test]
fn the_hosts_packets_leave_where_the_routes_lead() {
    let mut house = House::new(Plan::default());
    let gateway = GatewayIndex(0);
    let to_peer = last_hop(ipv4([10, 0, 0, 1], [10, 2, 0, 2], 17, &[1; 8]));
    let to_vpc = last_hop(ipv4([10, 0, 0, 1], [10, 1, 0, 2], 17, &[2; 8]));
    for packet in [&to_peer, &to_vpc] {
        house.handle.from_host(gateway, packet).unwrap();
    }
    assert_eq!(house.worker.poll(), 2);
    let wan = house.worker.ports()[WAN].drain();
    assert_eq!(house.worker.ports()[VPC].drain(), [[house::link(address("10.1.0.2")).bytes(), &to_vpc].concat()]);
    let key = aead::Key::new(aead::Suite::Aes128Gcm16, &[7; 16]).unwrap();
    let padded = [&to_peer[..], &[1, 2, 2, 4]].concat();
    assert_eq!(
        wan.iter().map(|frame| &frame[34..]).collect::<Vec<_>>(),
        [&seal_text(&key, &house.outbound, 1, &padded, false)[20..]]
    );
    house.check_sums();
    let counters = house.handle.counters();
    assert_eq!((counters.originated, counters.received, counters.transmitted), (2, 0, 0));
    assert_eq!(house.handle.sa_counters(SaSlot::of(6)).unwrap().packets, 1);
}

/// A packet of the host that leads nowhere has its reason, and the sums still agree.
#[test]
fn the_hosts_packets_are_dropped_for_a_reason() {
    let unresolved = ipv4([10, 0, 0, 1], [10, 1, 0, 77], 17, &[0; 8]);
    let cases = [
        (DropReason::NoRoute, ipv4([10, 0, 0, 1], [192, 0, 2, 1], 17, &[0; 8])),
        (DropReason::NeighbourUnresolved, unresolved),
        (DropReason::NoKernelRoute, ipv4([10, 0, 0, 1], [10, 1, 9, 9], 17, &[0; 8])),
        (DropReason::Transit, ipv4([10, 0, 0, 1], [10, 0, 0, 1], 17, &[0; 8])),
        (DropReason::MalformedIp, vec![0x45; 9]),
    ];
    for (reason, packet) in cases {
        let mut house = House::new(Plan::default());
        house.handle.from_host(GatewayIndex(0), &packet).unwrap();
        house.worker.poll();
        assert_eq!((house.drops(), house.handle.counters().originated), (vec![(reason, 1)], 0));
        house.check_sums();
        let asked = Unresolved { port: PortIndex(VPC as u32), address: address("10.1.0.77") };
        assert_eq!(house.handle.unresolved(), (reason == DropReason::NeighbourUnresolved).then_some(asked));
    }
}

/// A packet of the host that is too long for the tunnel becomes several, each originated.
#[test]
fn the_hosts_packets_are_fragmented() {
    let mut house = House::new(Plan { wan_mtu: 1000, ..Plan::default() });
    house.handle.from_host(GatewayIndex(0), &clear(1400)).unwrap();
    house.worker.poll();
    assert_eq!((house.worker.ports()[WAN].drain().len(), house.handle.counters().originated), (2, 2));
    house.check_sums();
}

/// An IPv4 packet as a router sends it on: one hop less.
fn routed(packet: &[u8]) -> Vec<u8> {
    let mut packet = packet.to_vec();
    packet[8] -= 1;
    rechecked(packet)
}

fn last_hop(mut packet: Vec<u8>) -> Vec<u8> {
    packet[8] = 1;
    rechecked(packet)
}

/// Not to be fragmented.
fn whole(mut packet: Vec<u8>) -> Vec<u8> {
    packet[6] |= 0x40;
    rechecked(packet)
}

/// A flood of first messages takes nothing from those of SAs that there are, nor from answers to ours.
#[test]
fn first_ike_messages_have_a_queue_of_their_own() {
    let mut house = House::new(Plan::default());
    let message = |responder: u8, flags: u8| {
        let mut message = [7; 40];
        message[8..16].fill(0);
        message[15] = responder;
        message[19] = flags;
        frame(&udp(500, &message))
    };
    for _ in 0..8 {
        house.pass(WAN, &vec![message(0, 0x08); 64]);
    }
    house.pass(WAN, &[message(1, 0x08), message(0, 0x20), frame(&udp(500, &[7; 12]))]);
    let (ours, first) = (|| house.handle.receive_ike(), || house.handle.receive_first_ike());
    assert_eq!([std::iter::from_fn(ours).count(), std::iter::from_fn(first).count()], [2, 256]);
    assert_eq!(house.drops(), [(DropReason::FirstIkeQueueFull, 8 * 64 - 256 + 1)]);
}

/// Who brings back a cookie has been answered, so is where he says he is: he comes before those of whom that is not known.
#[test]
fn first_ike_messages_with_a_cookie_come_first() {
    let mut house = House::new(Plan::default());
    let message = |following: u8, kind: u16| {
        let mut message = [0; 60];
        (message[16], message[19]) = (following, 0x08);
        message[34..36].copy_from_slice(&kind.to_be_bytes());
        frame(&udp(500, &message))
    };
    for _ in 0..8 {
        house.pass(WAN, &vec![message(33, 16390); 32]);
        house.pass(WAN, &vec![message(41, 16388); 32]);
    }
    house.pass(WAN, &[message(41, 16390)]);
    let first = house.handle.receive_first_ike().unwrap();
    assert_eq!((first.message()[16], &first.message()[34..36]), (41, &16390_u16.to_be_bytes()[..]));
    let second = house.handle.receive_first_ike().unwrap();
    assert_eq!((second.message()[16], std::iter::from_fn(|| house.handle.receive_first_ike()).count()), (33, 255));
}

/// One scene for each reason there is: a new reason without a scene fails here.
#[test]
fn every_reason_is_provoked_and_counted_once() {
    for reason in DropReason::ALL {
        let mut house = House::new(plan(reason));
        scene(reason, &mut house);
        assert_eq!(house.drops(), [(reason, 1)], "{reason}");
        house.check_sums();
    }
}

fn plan(reason: DropReason) -> Plan {
    let ordinary = Plan::default();
    match reason {
        DropReason::NeighbourUnresolved => Plan { resolved: false, ..ordinary },
        DropReason::NoTunnelUp => Plan { tunnel_up: false, ..ordinary },
        DropReason::TooLong => Plan { wan_mtu: 1000, ..ordinary },
        DropReason::SequenceExhausted => Plan { packets: Some(64), ..ordinary },
        DropReason::RateLimited => Plan { traffic: Traffic::Limited, ..ordinary },
        DropReason::TunnelPaused => Plan { traffic: Traffic::Paused, ..ordinary },
        DropReason::TransmitRingFull => {
            Plan { options: MemoryOptions { tx_frames: 3, ..ordinary.options }, ..ordinary }
        }
        DropReason::IkeTooLong => Plan { options: MemoryOptions { frame_size: 9000, ..ordinary.options }, ..ordinary },
        _ => ordinary,
    }
}

fn scene(reason: DropReason, house: &mut House) {
    let key = aead::Key::new(aead::Suite::Aes128Gcm16, &[7; 16]).unwrap();
    let good = sealed(&house.outbound, 100, &returning(60, [10, 1, 0, 2]), 4, false);
    let esp = |number, content: &[u8], next_header| sealed(&house.outbound, number, content, next_header, false);
    let changed = |position: usize, value: u8| {
        let mut packet = good.clone();
        packet[position] = value;
        let checksum = wire::checksum::ipv4_header(&[&packet[..10], &[0, 0], &packet[12..20]].concat());
        packet[10..12].copy_from_slice(&checksum.to_be_bytes());
        packet
    };
    let (port, packets): (usize, Vec<Vec<u8>>) = match reason {
        DropReason::MalformedEthernet => {
            house.pass(WAN, &[vec![0; 13]]);
            return;
        }
        DropReason::NotIp => {
            house.pass(VPC, &[[&[0; 12][..], &[0x08, 0x06], &[0; 28]].concat()]);
            return;
        }
        DropReason::MalformedIp => (VPC, vec![[&clear(60)[..30]].concat()]),
        DropReason::MalformedUdp => (WAN, vec![ipv4([1; 4], [2; 4], 17, &[0, 1, 1, 0xf4, 0, 99, 0, 0])]),
        DropReason::MalformedEsp => (WAN, vec![ipv4([1; 4], [2; 4], 50, &good[20..49])]),
        DropReason::MalformedInner => (WAN, vec![esp(1, &returning(60, [10, 1, 0, 2]), 41)]),
        // Beyond what is put together.
        DropReason::OuterFragment => (WAN, vec![changed(6, 0x1f)]),
        DropReason::ReassemblyOverlap => {
            let other = part(&good, 16..48).into_iter().map(|byte| byte ^ 1);
            (WAN, vec![part(&good, 0..32), fragment(&other.skip(20).collect::<Vec<_>>(), 16, true)])
        }
        DropReason::ReassemblyTimeout => {
            house.pass(WAN, &[frame(&part(&good, 0..32))]);
            assert_eq!(house.drops(), []);
            std::thread::sleep(Duration::from_millis(2050));
            (WAN, vec![])
        }
        DropReason::ReassemblyFull => {
            let first = |identification: u8| {
                let mut packet = part(&good, 0..32);
                packet[5] = identification;
                rechecked(packet)
            };
            (WAN, (0..5).map(first).collect())
        }
        DropReason::NotForGateway => (WAN, vec![udp(22, b"hello")]),
        DropReason::IkeTooLong => (WAN, vec![udp(500, &[1; 4097])]),
        DropReason::NatKeepalive => (WAN, vec![udp(4500, &[0xff])]),
        DropReason::UnknownSpi => (WAN, vec![changed(20, 0x55)]),
        DropReason::BehindWindow => {
            (WAN, vec![esp(200, &returning(60, [10, 1, 0, 2]), 4), good.clone(), good.clone()][..2].to_vec())
        }
        DropReason::Replayed => (WAN, vec![good.clone(), good.clone()]),
        DropReason::ImpossibleSequence => (WAN, vec![esp(0, &returning(60, [10, 1, 0, 2]), 4)]),
        DropReason::NotAuthentic => (WAN, vec![changed(40, good[40] ^ 1)]),
        DropReason::BadPadding => (WAN, vec![seal_text(&key, &house.outbound, 1, &[0, 0, 200, 4], false)]),
        DropReason::UnexpectedNextHeader => (WAN, vec![esp(1, &[0; 30], 6)]),
        DropReason::DummyPacket => (WAN, vec![esp(1, &[0; 30], 59)]),
        DropReason::OutsideSelectors => (WAN, vec![esp(1, &ipv4([192, 0, 2, 1], [10, 1, 0, 2], 17, &[0; 8]), 4)]),
        DropReason::NoRoute => (VPC, vec![ipv4([10, 1, 0, 2], [192, 0, 2, 1], 17, &[0; 8])]),
        DropReason::Transit => (VPC, vec![ipv4([10, 1, 0, 2], [10, 3, 0, 2], 17, &[0; 8])]),
        DropReason::NeighbourUnresolved => {
            house.pass(VPC, &[frame(&clear(60))]);
            let asked = Unresolved { port: PortIndex(0), address: address("203.0.113.254") };
            assert_eq!(house.handle.unresolved(), Some(asked));
            return;
        }
        DropReason::NoKernelRoute => (WAN, vec![esp(1, &returning(60, [10, 1, 9, 9]), 4)]),
        DropReason::NoTunnelUp => (VPC, vec![clear(60)]),
        DropReason::TooLong => (VPC, vec![whole(clear(1000))]),
        DropReason::HopsExceeded => (VPC, vec![last_hop(clear(60))]),
        DropReason::CongestionUnknown => (WAN, vec![changed(1, 3)]),
        DropReason::Blackhole => (VPC, vec![ipv4([10, 1, 0, 2], [10, 2, 66, 1], 17, &[0; 8])]),
        DropReason::Rejected => (VPC, vec![ipv4([10, 1, 0, 2], [10, 2, 77, 1], 17, &[0; 8])]),
        DropReason::SequenceExhausted => {
            house.pass(VPC, &vec![frame(&clear(60)); 64]);
            (VPC, vec![clear(60)])
        }
        DropReason::UnknownVlan => {
            house.pass(VPC, &[[&frame(&[])[..12], &[0x81, 0, 0, 100, 8, 0], &clear(60)].concat()]);
            return;
        }
        DropReason::SpoofedSource => (VPC, vec![ipv4([10, 2, 0, 2], [10, 2, 0, 2], 17, &[0; 8])]),
        DropReason::RateLimited => (VPC, vec![clear(1400); 6]),
        DropReason::TunnelPaused => (WAN, vec![esp(1, &returning(60, [10, 1, 0, 2]), 4)]),
        DropReason::TransmitRingFull => (VPC, vec![clear(60); 4]),
        DropReason::ControlQueueFull => {
            for _ in 0..4 {
                house.pass(WAN, &vec![frame(&udp(500, &[1; 40])); 64]);
            }
            (WAN, vec![udp(500, &[1; 40])])
        }
        DropReason::FirstIkeQueueFull => {
            for _ in 0..4 {
                house.pass(WAN, &vec![frame(&udp(500, &[0; 40])); 64]);
            }
            (WAN, vec![udp(500, &[0; 40])])
        }
    };
    let frames: Vec<_> = packets.iter().map(|packet| frame(packet)).collect();
    house.pass(port, &frames);
    house.worker.poll();
}

/// RFC 791 §3.2: what arrives in fragments goes where it would have gone whole, in whichever order they come.
#[test]
fn fragments_go_the_way_of_the_whole() {
    for encapsulated in [false, true] {
        let mut house = House::new(Plan::default());
        let inner = returning(1000, [10, 1, 0, 2]);
        for number in 1..=3 {
            let whole = sealed(&house.outbound, number, &inner, 4, encapsulated);
            let mut parts: Vec<_> = [0..400, 400..800, 800..2000].map(|range| frame(&part(&whole, range))).into();
            parts.rotate_left(number as usize);
            parts.insert(1, frame(&sealed(&house.outbound, 10 + number, &inner, 4, encapsulated)));
            let [_, vpc, _] = house.pass(WAN, &parts);
            assert_eq!(vpc.iter().filter(|frame| frame[14..] == routed(&inner)).count(), 2, "{:?}", house.drops());
        }
        let counters = house.handle.counters();
        assert_eq!((counters.received, counters.merged, counters.transmitted, counters.split), (12, 6, 6, 0));
    }
    let mut house = House::new(Plan::default());
    let message: Vec<u8> = (0..=255).cycle().take(3000).collect();
    let whole = udp(500, &message);
    let parts = [0..1400, 1400..2800, 2800..4000].map(|range| frame(&part(&whole, range)));
    house.pass(WAN, &parts);
    assert_eq!(house.handle.receive_ike().unwrap().message(), message);
}

/// An opened packet whose neighbour is unknown is not sent, and the kernel is asked about the right one.
#[test]
fn unresolved_neighbours_of_the_vpc_are_asked_for() {
    let mut house = House::new(Plan { resolved: false, ..Plan::default() });
    let packet = sealed(&house.outbound, 1, &returning(60, [10, 1, 0, 77]), 4, false);
    let [_, vpc, other] = house.pass(WAN, &[frame(&packet)]);
    assert!(vpc.is_empty() && other.is_empty());
    let asked = Unresolved { port: PortIndex(VPC as u32), address: address("10.1.0.77") };
    assert_eq!(house.handle.unresolved(), Some(asked));
    assert_eq!(house.drops(), [(DropReason::NeighbourUnresolved, 1)]);
}

#[test]
fn the_poll_loop_allocates_nothing() {
    let mut house = House::new(Plan::default());
    let whole = sealed(&house.outbound, 1, &returning(600, [10, 1, 0, 2]), 4, false);
    let good = frame(&whole);
    let frames = [
        (VPC, frame(&clear(64))),
        (VPC, frame(&clear(1400))),
        (VPC, frame(&ipv4([10, 1, 0, 2], [192, 0, 2, 1], 17, &[0; 8]))),
        (WAN, good.clone()),
        (WAN, good),
        (WAN, frame(&part(&whole, 0..96))),
        (WAN, frame(&part(&whole, 96..2000))),
        (WAN, frame(&part(&whole, 0..96))),
        (WAN, frame(&udp(500, &[1; 200]))),
        (WAN, vec![0; 20]),
    ];
    let mut allocated = allocation_counter::AllocationInfo::default();
    for round in 0..100 {
        // More destinations than are looked up one by one.
        for host in 0..20 {
            house.worker.ports()[VPC].inject(&frame(&to([10, 2, round, host]))).unwrap();
        }
        for (port, frame) in &frames {
            house.worker.ports()[*port].inject(frame).unwrap();
        }
        for packet in [clear(600), ipv4([10, 0, 0, 1], [10, 1, 0, 2], 17, &[0; 8])] {
            house.handle.from_host(GatewayIndex(0), &packet).unwrap();
        }
        allocated += allocation_counter::measure(|| {
            house.worker.poll();
        });
        for port in house.worker.ports() {
            port.drain();
        }
        while house.handle.receive_ike().is_some() || house.handle.receive_first_ike().is_some() {}
    }
    assert_eq!((allocated.count_total, house.handle.counters().received), (0, 3000));
}

proptest! {
    /// Whatever arrives, wherever: nothing panics, and every packet has one verdict.
    #[test]
    fn arbitrary_frames_are_accounted_for(
        frames in proptest::collection::vec((0_usize..3, proptest::collection::vec(any::<u8>(), 0..200)), 1..40),
        flips in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
    ) {
        let mut house = House::new(Plan::default());
        for (port, bytes) in &frames {
            house.pass(*port, &[bytes.clone(), frame(bytes)]);
        }
        for (port, mut bytes) in [
            (VPC, frame(&clear(100))),
            (WAN, frame(&sealed(&house.outbound, 1, &returning(60, [10, 1, 0, 2]), 4, true))),
        ] {
            for (position, value) in &flips {
                let position = position.index(bytes.len());
                bytes[position] = *value;
            }
            house.pass(port, &[bytes]);
        }
    }
}
