//! Packets of several tunnels, mixed, fare as each does alone, and those of one tunnel stay as they came.

#[allow(dead_code, reason = "shared with the other scenes")]
mod house;

use bordergate_worker::DropReason;
use house::{House, Plan, VPC, WAN, frame, ipv4, sealed, slots_of_tunnel};
use proptest::prelude::*;

const TUNNELS: u8 = 4;

/// What is to be seen of a house: frames by tunnel, drops, and what each association has counted.
type Seen = (Vec<Vec<Vec<u8>>>, Vec<(DropReason, u64)>, Vec<[u64; 2]>);

/// Passes frames, in batches of these lengths over and over; `tunnel_of` tells whose a frame is that came out.
fn seen(port: usize, frames: &[Vec<u8>], batches: &[usize], tunnel_of: fn(&[u8]) -> Option<u8>) -> Seen {
    let mut house = House::new(Plan { tunnels: TUNNELS, ..Plan::default() });
    let mut out = vec![Vec::new(); TUNNELS.into()];
    let (mut rest, mut lengths) = (frames, batches.iter().cycle());
    while !rest.is_empty() {
        let (batch, others) = rest.split_at((*lengths.next().unwrap()).min(rest.len()));
        rest = others;
        for frame in house.pass(port, batch).into_iter().flatten() {
            out[usize::from(tunnel_of(&frame).expect("of a tunnel"))].push(frame);
        }
    }
    let counted = (0..TUNNELS).flat_map(slots_of_tunnel).map(|slot| house.handle.sa_counters(slot).unwrap());
    let counted = counted.map(|counters| [counters.packets, counters.bytes]).collect();
    (out, house.drops(), counted)
}

/// By the index in a sealed packet.
fn sealed_by(frame: &[u8]) -> Option<u8> {
    let spi = u32::from_be_bytes(frame[house::outer(None)..].first_chunk().copied()?);
    (0..TUNNELS).find(|number| slots_of_tunnel(*number)[1] == tables::SaSlot::of(spi))
}

/// By the last octet of the source in an opened packet.
fn opened_by(frame: &[u8]) -> Option<u8> {
    frame.get(14 + 15).copied()
}

/// A packet into a tunnel, and `mark` in it.
fn into_tunnel(number: u8, mark: u16, size: usize) -> Vec<u8> {
    let network = if number == 0 { 0 } else { 100 + number };
    ipv4([10, 1, 0, 2], [10, 2, network, 2], 17, &[&mark.to_be_bytes()[..], &vec![0x5a; size]].concat())
}

/// A packet out of it.
fn out_of_tunnel(number: u8, mark: u16, size: usize) -> Vec<u8> {
    ipv4([10, 2, 0, number], [10, 1, 0, 2], 17, &[&mark.to_be_bytes()[..], &vec![0xa5; size]].concat())
}

/// What becomes of a packet from a peer on its way.
#[derive(Debug, Clone, Copy)]
enum Fate {
    Whole,
    Tampered,
    Repeated,
}

/// Tunnels one after the other: mixed at random, a few or all of them, or each for a while.
fn tunnels() -> impl Strategy<Value = Vec<u8>> {
    let stretch = prop_oneof![
        prop::collection::vec(0..TUNNELS, 1..100),
        prop::collection::vec(0..2_u8, 1..100),
        (0..TUNNELS, 1..80_usize).prop_map(|(number, count)| vec![number; count]),
    ];
    prop::collection::vec(stretch, 1..5).prop_map(|stretches| stretches.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn mixed_packets_are_sealed_as_each_is_alone(
        tunnels in tunnels(),
        sizes in prop::collection::vec(10..200_usize, 1..9),
        batches in prop::collection::vec(prop_oneof![Just(64_usize), 1..=64_usize], 1..4),
    ) {
        let packets = tunnels.iter().zip(0..).zip(sizes.iter().cycle());
        let frames: Vec<_> = packets.map(|((number, mark), size)| frame(&into_tunnel(*number, mark, *size))).collect();
        let together = seen(VPC, &frames, &batches, sealed_by);
        prop_assert_eq!(together.0.iter().map(Vec::len).sum::<usize>(), frames.len());
        prop_assert_eq!(together, seen(VPC, &frames, &[1], sealed_by));
    }

    #[test]
    fn mixed_packets_are_opened_as_each_is_alone(
        tunnels in tunnels(),
        fates in prop::collection::vec(
            prop_oneof![8 => Just(Fate::Whole), 1 => Just(Fate::Tampered), 1 => Just(Fate::Repeated)], 1..40),
        batches in prop::collection::vec(prop_oneof![Just(64_usize), 1..=64_usize], 1..4),
    ) {
        let house = House::new(Plan { tunnels: TUNNELS, ..Plan::default() });
        let mut numbers = [0; TUNNELS as usize];
        let packets = tunnels.iter().zip(0_u16..).zip(fates.iter().cycle());
        let frames: Vec<_> = packets.flat_map(|((tunnel, mark), fate)| {
            numbers[usize::from(*tunnel)] += 1;
            let sa = &house.tunnels[usize::from(*tunnel)];
            let mut packet = sealed(sa, numbers[usize::from(*tunnel)], &out_of_tunnel(*tunnel, mark, 30), 4, false);
            match fate {
                Fate::Whole => vec![frame(&packet)],
                Fate::Tampered => {
                    *packet.last_mut().unwrap() ^= 1;
                    vec![frame(&packet)]
                }
                Fate::Repeated => vec![frame(&packet), frame(&packet)],
            }
        }).collect();
        let together = seen(WAN, &frames, &batches, opened_by);
        prop_assert_eq!(together, seen(WAN, &frames, &[1], opened_by));
    }
}
