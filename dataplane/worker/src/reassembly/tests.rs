//! Reassembly against a model that keeps every byte apart, and its limits one by one.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::counters::{Counters, SharedCounters};

/// One IPv4 or IPv6 fragment of ESP.
#[derive(Debug, Clone)]
struct Piece {
    v6: bool,
    source: u8,
    identification: u8,
    offset: usize,
    more: bool,
    payload: Vec<u8>,
}

impl Piece {
    fn packet(&self) -> Vec<u8> {
        let field = (self.offset as u16, u16::from(self.more));
        let mut packet;
        if self.v6 {
            let length = (self.payload.len() + 8) as u16;
            packet = [&[0x60, 0, 0, 0][..], &length.to_be_bytes(), &[44, 64], &[self.source; 16], &[9; 16]].concat();
            packet.extend([50, 0]);
            packet.extend((field.0 | field.1).to_be_bytes());
            packet.extend([0, 0, 0, self.identification]);
        } else {
            let length = (self.payload.len() + 20) as u16;
            packet = [&[0x45, 0][..], &length.to_be_bytes(), &[0, self.identification]].concat();
            packet.extend(((field.0 / 8) | (field.1 << 13)).to_be_bytes());
            packet.extend([64, 50, 0, 0, 192, 0, 2, self.source, 192, 0, 2, 250]);
            let checksum = checksum::ipv4_header(&packet);
            packet[10..12].copy_from_slice(&checksum.to_be_bytes());
        }
        packet.extend(&self.payload);
        packet
    }
}

/// A reassembly with its counters.
struct Bed {
    reassembly: Reassembly,
    counters: SharedCounters,
    now: Instant,
}

impl Bed {
    fn new() -> Self {
        Self { reassembly: Reassembly::new(), counters: SharedCounters::new(0), now: Instant::now() }
    }

    /// Takes one fragment and returns what that completed: source, whether whole, payload.
    fn take(&mut self, piece: &Piece) -> Vec<(u8, u8, Vec<u8>)> {
        let bytes = piece.packet();
        let mut tally = Tally::new(&self.counters, 1);
        self.reassembly.take(&Packet::parse(&bytes).unwrap(), self.now, &mut tally);
        let frames: Vec<Vec<u8>> = self.reassembly.frames().map(|frame| frame.to_vec()).collect();
        self.reassembly.release();
        tally.transmit(frames.len() as u64);
        // Checks that each packet has one verdict.
        tally.finish();
        let whole = frames.iter().map(|frame| {
            let packet = Packet::parse(&frame[14..]).unwrap();
            assert_eq!(packet.bytes.len(), frame.len() - 14);
            assert!(!packet.fragment && packet.protocol == Protocol::ESP);
            let last = packet.source.halves().1 as u8;
            (last, piece.identification, packet.payload().to_vec())
        });
        whole.collect()
    }

    fn expire_after(&mut self, time: Duration) {
        self.now += time;
        let mut tally = Tally::new(&self.counters, 0);
        self.reassembly.expire(self.now, &mut tally);
        tally.finish();
    }

    fn counted(&self) -> Counters {
        self.counters.totals()
    }

    fn dropped(&self, reason: DropReason) -> u64 {
        self.counted().drops[reason as usize]
    }
}

fn piece(source: u8, identification: u8, offset: usize, more: bool) -> Piece {
    Piece { v6: false, source, identification, offset, more, payload: vec![identification; 16] }
}

#[test]
fn a_packet_is_given_up_when_its_time_is_over_and_not_before() {
    let mut bed = Bed::new();
    bed.take(&piece(1, 1, 0, true));
    bed.expire_after(PATIENCE - Duration::from_millis(1));
    assert!(bed.reassembly.is_waiting() && bed.counted().dropped == 0);
    bed.expire_after(Duration::from_millis(1));
    assert!(!bed.reassembly.is_waiting());
    let counted = bed.counted();
    assert_eq!((bed.dropped(DropReason::ReassemblyTimeout), counted.merged, counted.split), (1, 1, 1));
    assert!(bed.take(&piece(1, 1, 16, false)).is_empty(), "what was there before is gone");
}

#[test]
fn each_packet_has_its_own_time() {
    let mut bed = Bed::new();
    let step = PATIENCE / 4;
    for identification in 0..3 {
        bed.take(&piece(1, identification, 0, true));
        bed.expire_after(step);
    }
    let timed_out = |bed: &Bed| bed.dropped(DropReason::ReassemblyTimeout);
    assert_eq!(timed_out(&bed), 0);
    for given_up in 1..=3 {
        bed.expire_after(step - Duration::from_millis(1));
        assert_eq!(timed_out(&bed), given_up - 1);
        bed.expire_after(Duration::from_millis(1));
        assert_eq!(timed_out(&bed), given_up);
    }
    assert!(!bed.reassembly.is_waiting());
}

#[test]
fn a_packet_that_is_whole_stays_until_it_is_released() {
    let Bed { mut reassembly, counters, now } = Bed::new();
    let fragments = [(7, 0, true), (7, 16, false), (8, 0, true), (9, 0, true), (9, 16, false)];
    for (identification, offset, more) in fragments {
        let bytes = piece(1, identification, offset, more).packet();
        let mut tally = Tally::new(&counters, 1);
        reassembly.take(&Packet::parse(&bytes).unwrap(), now, &mut tally);
        tally.transmit(u64::from(!more));
        tally.finish();
    }
    let payloads = |reassembly: &mut Reassembly| -> Vec<Vec<u8>> {
        reassembly.frames().map(|frame| Packet::parse(&frame[14..]).unwrap().payload().to_vec()).collect()
    };
    assert_eq!(payloads(&mut reassembly), [vec![7; 32], vec![9; 32]]);
    reassembly.release();
    assert!(payloads(&mut reassembly).is_empty() && reassembly.is_waiting() && !reassembly.has_whole());
}

#[test]
fn a_crowd_of_one_source_takes_nothing_from_another_that_is_older() {
    let mut bed = Bed::new();
    bed.take(&piece(2, 1, 0, true));
    for identification in 0..20 {
        bed.now += Duration::from_millis(1);
        bed.take(&piece(1, identification, 0, true));
    }
    assert_eq!(bed.take(&piece(2, 1, 16, false)).len(), 1);
}

#[test]
fn an_overlap_drops_the_packet_and_what_follows_of_it() {
    let mut bed = Bed::new();
    let other = Piece { payload: vec![9; 16], ..piece(1, 1, 8, true) };
    bed.take(&piece(1, 1, 0, true));
    bed.take(&other);
    bed.take(&piece(1, 1, 16, false));
    bed.expire_after(PATIENCE);
    let counted = bed.counted();
    assert_eq!((bed.dropped(DropReason::ReassemblyOverlap), counted.dropped, counted.split), (2, 2, 0));
}

#[test]
fn a_source_evicts_its_own_oldest_and_a_crowd_the_oldest_of_all() {
    let mut bed = Bed::new();
    for identification in 0..=4 {
        bed.take(&piece(1, identification, 0, true));
        bed.now += Duration::from_millis(1);
    }
    assert_eq!(bed.dropped(DropReason::ReassemblyFull), 1);
    assert!(bed.take(&piece(1, 0, 16, false)).is_empty(), "the oldest is gone, and so is now the next");
    assert_eq!(bed.take(&piece(1, 4, 16, false)).len(), 1);
    assert_eq!(bed.dropped(DropReason::ReassemblyFull), 2);
    for source in 2..=14 {
        bed.take(&piece(source, 0, 0, true));
        bed.now += Duration::from_millis(1);
    }
    assert_eq!(bed.dropped(DropReason::ReassemblyFull), 2, "there are three of the first source, and thirteen others");
    bed.take(&piece(15, 0, 0, true));
    assert_eq!(bed.dropped(DropReason::ReassemblyFull), 3);
    assert!(bed.take(&piece(1, 2, 16, false)).is_empty(), "it was the oldest");
}

#[test]
fn a_mark_on_one_fragment_marks_the_packet() {
    let mut bed = Bed::new();
    for (offset, class, more) in [(0, 2, true), (16, 3, false)] {
        let mut bytes = piece(1, 1, offset, more).packet();
        (bytes[1], bytes[10], bytes[11]) = (class, 0, 0);
        let checksum = checksum::ipv4_header(&bytes[..20]);
        bytes[10..12].copy_from_slice(&checksum.to_be_bytes());
        let mut tally = Tally::new(&bed.counters, 1);
        bed.reassembly.take(&Packet::parse(&bytes).unwrap(), bed.now, &mut tally);
        tally.transmit(u64::from(offset == 16));
        tally.finish();
    }
    let frame = bed.reassembly.frames().next().unwrap();
    assert_eq!(Packet::parse(&frame[14..]).unwrap().traffic_class, 3);
}

/// What the fragments of one packet have brought, a byte at a time.
#[derive(Default)]
struct Model {
    bytes: BTreeMap<usize, u8>,
    end: Option<usize>,
    spoiled: bool,
}

#[derive(Debug, PartialEq)]
enum Verdict {
    Unfit,
    Overlap,
    Merged,
    Whole(Vec<u8>),
}

impl Model {
    fn take(&mut self, piece: &Piece) -> Verdict {
        let Piece { offset, more, ref payload, .. } = *piece;
        if payload.is_empty() || (more && payload.len() % 8 != 0) || offset + payload.len() > LONGEST {
            return Verdict::Unfit;
        }
        let end = offset + payload.len();
        let there = (offset..end).filter(|at| self.bytes.contains_key(at)).count();
        let same = (offset..end).zip(payload).all(|(at, byte)| self.bytes.get(&at) == Some(byte));
        let behind = self.bytes.keys().next_back().is_some_and(|last| *last >= end);
        let ends = match (self.end, more) {
            (Some(known), true) => end < known,
            (Some(known), false) => end == known,
            (None, true) => true,
            (None, false) => !behind && there == 0,
        };
        self.spoiled |= !ends || (there != 0 && !same);
        if self.spoiled {
            return Verdict::Overlap;
        }
        self.bytes.extend((offset..end).zip(payload.iter().copied()));
        self.end = if more { self.end } else { Some(end) };
        if there == 0 && self.end == Some(self.bytes.len()) {
            return Verdict::Whole(std::mem::take(self).bytes.into_values().collect());
        }
        Verdict::Merged
    }
}

fn pieces() -> impl Strategy<Value = Piece> {
    let place = (0_usize..12, prop_oneof![4 => (1_usize..5).prop_map(|units| units * 8), 1 => 0_usize..40]);
    (
        any::<bool>(),
        1_u8..3,
        0_u8..2,
        place,
        any::<bool>(),
        prop_oneof![3 => Just(None), 1 => any::<u8>().prop_map(Some)],
    )
        .prop_map(|(v6, source, identification, (unit, length), more, other)| {
            // Mostly what stands there in any fragment, so that repeated parts are equal.
            let payload = (0..length).map(|at| other.unwrap_or((unit * 8 + at) as u8)).collect();
            Piece { v6, source, identification, offset: unit * 8, more: more || unit == 0, payload }
        })
}

proptest! {
    /// Any fragments of several packets in any order: each has the verdict that the model says.
    #[test]
    fn any_fragments_have_the_models_verdicts(pieces in proptest::collection::vec(pieces(), 1..60)) {
        let mut bed = Bed::new();
        let mut models: BTreeMap<(bool, u8, u8), Model> = BTreeMap::new();
        for piece in &pieces {
            let before = bed.counted();
            let whole = bed.take(piece);
            let model = models.entry((piece.v6, piece.source, piece.identification)).or_default();
            let now = bed.counted();
            let dropped = |reason| now.drops[reason as usize] - before.drops[reason as usize];
            let verdict = match whole.first() {
                Some((_, _, payload)) => Verdict::Whole(payload.clone()),
                None if dropped(DropReason::OuterFragment) == 1 => Verdict::Unfit,
                None if dropped(DropReason::ReassemblyOverlap) == 1 => Verdict::Overlap,
                None => Verdict::Merged,
            };
            prop_assert_eq!(verdict, model.take(piece));
            prop_assert_eq!(now.split, 0);
        }
    }

    /// Packets in pieces of any size, in any order and some of them twice, come out as they were, each once.
    #[test]
    fn whole_packets_come_out_of_shuffled_fragments(
        lengths in proptest::collection::vec((any::<bool>(), 1_usize..3000, 1_usize..40), 1..8),
        order in any::<[u64; 4]>(),
    ) {
        let mut bed = Bed::new();
        let mut fragments = Vec::new();
        let mut sent = BTreeMap::new();
        for (source, (v6, length, units)) in (1..).zip(lengths) {
            let payload: Vec<u8> = (0..length).map(|at| (at * 7 + at / 251) as u8).collect();
            for (number, part) in payload.chunks(units * 8).enumerate() {
                let offset = number * units * 8;
                let more = offset + part.len() < length;
                if offset != 0 || more {
                    let payload = part.to_vec();
                    fragments.push(Piece { v6, source, identification: 7, offset, more, payload });
                    sent.insert(source, length);
                }
            }
        }
        fragments.sort_by_key(|piece| {
            let key = [u64::from(piece.source), piece.offset as u64];
            key.iter().zip(order).fold(order[2], |sum, (key, factor)| (sum ^ key).wrapping_mul(factor | 1).rotate_left(23))
        });
        let mut arrived = BTreeMap::new();
        for piece in &fragments {
            let whole = bed.take(piece);
            if whole.is_empty() {
                prop_assert!(bed.take(piece).is_empty(), "a copy changes nothing");
            }
            for (source, _, payload) in whole {
                prop_assert!(payload.iter().enumerate().all(|(at, byte)| *byte == (at * 7 + at / 251) as u8));
                prop_assert!(arrived.insert(source, payload.len()).is_none());
            }
        }
        prop_assert_eq!(sent, arrived);
        prop_assert!(!bed.reassembly.is_waiting());
    }

    /// Arbitrary packets never panic.
    #[test]
    fn arbitrary_packets_are_survived(packets in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 20..120), 1..30)) {
        let mut bed = Bed::new();
        for mut bytes in packets {
            let v6 = bytes[0] & 1 != 0;
            bytes[0] = if v6 { 0x60 } else { 0x45 };
            if v6 {
                bytes[6] = 44;
                let length = bytes.len().saturating_sub(40) as u16;
                bytes[4..6].copy_from_slice(&length.to_be_bytes());
            } else {
                let length = bytes.len() as u16;
                bytes[2..4].copy_from_slice(&length.to_be_bytes());
                (bytes[9], bytes[10], bytes[11]) = (17, 0, 0);
                let checksum = checksum::ipv4_header(&bytes[..20]);
                bytes[10..12].copy_from_slice(&checksum.to_be_bytes());
            }
            let Ok(packet) = Packet::parse(&bytes) else { continue };
            let mut tally = Tally::new(&bed.counters, 1);
            bed.reassembly.take(&packet, bed.now, &mut tally);
            let whole = bed.reassembly.frames().count();
            tally.transmit(whole as u64);
            bed.reassembly.release();
            tally.finish();
        }
    }
}
