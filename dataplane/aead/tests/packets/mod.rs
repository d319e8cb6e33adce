//! What the tests of the interface share: keys for every kernel, and packets that own their bytes.
// Each test uses a part of it.
#![allow(dead_code)]

use std::ops::Range;

use bordergate_aead::{AssociatedData, Buffers, Kernel, Key, MOST_TAIL, Nonce, Open, Seal, Suite, Tail};

/// What is around a packet and must stay.
pub const CANARY: u8 = 0xa5;
/// How many such bytes are at each end.
const AROUND: usize = 64;

/// The key for every kernel that has something for the suite on this processor, the portable one first.
pub fn keys(suite: Suite, bytes: &[u8]) -> Vec<Key> {
    let mut keys: Vec<Key> = Vec::new();
    for kernel in Kernel::available() {
        let key = Key::for_kernel(kernel, suite, bytes).unwrap();
        if keys.iter().all(|other| other.kernel() != key.kernel()) {
            keys.push(key);
        }
    }
    keys
}

/// Bytes without a pattern, the same ones at every run.
pub fn noise(seed: u64, length: usize) -> Vec<u8> {
    // SplitMix64.
    let mut state = seed.wrapping_mul(0x2545_f491_4f6c_dd1d);
    let words = std::iter::repeat_with(|| {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = state;
        word = (word ^ word >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ word >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (word ^ word >> 31).to_le_bytes()
    });
    words.flatten().take(length).collect()
}

/// Bytes of a tail that makes `length` bytes whole for the suite, `wanted` if it can be.
pub fn fitting_tail(suite: Suite, length: usize, wanted: usize) -> usize {
    match suite {
        Suite::AesCbc(..) => length.next_multiple_of(16) - length,
        _ => wanted,
    }
}

/// The end of a text as a tail.
pub fn tail(bytes: &[u8]) -> Tail {
    // What is behind the length is nobody's: it must not matter.
    let mut tail = [0xee; MOST_TAIL];
    tail[..bytes.len()].copy_from_slice(bytes);
    Tail::new(tail, bytes.len())
}

/// The first bytes of `bytes` as the suite wants its nonce.
pub fn nonce(suite: Suite, bytes: &[u8; 16]) -> Nonce {
    match suite {
        Suite::AesCbc(..) => Nonce::block(*bytes),
        _ => Nonce::counter(*bytes.first_chunk().unwrap()),
    }
}

/// Where a packet stands in memory.
#[derive(Debug, Clone, Copy)]
pub struct Placement {
    pub in_place: bool,
    pub source: usize,
    pub destination: usize,
}

/// Room for one packet, with canaries around it.
pub struct Frame {
    source: Vec<u8>,
    destination: Vec<u8>,
    from: Range<usize>,
    to: Range<usize>,
    in_place: bool,
}

impl Frame {
    /// With `text` where it is to be taken from, and room for `result` bytes where they are to go. In place, the room is
    /// as long as the longer of the two.
    pub fn new(place: Placement, text: &[u8], result: usize) -> Self {
        let room = if place.in_place { result.max(text.len()) } else { result };
        let mut frame = Self {
            source: vec![CANARY; AROUND + place.source + text.len() + AROUND],
            destination: vec![CANARY; AROUND + place.destination + room + AROUND],
            from: AROUND + place.source..AROUND + place.source + text.len(),
            to: AROUND + place.destination..AROUND + place.destination + room,
            in_place: place.in_place,
        };
        if place.in_place {
            frame.destination[frame.to.start..][..text.len()].copy_from_slice(text);
        }
        frame.source[frame.from.clone()].copy_from_slice(text);
        frame
    }

    pub fn buffers(&mut self) -> Buffers<'_> {
        let destination = &mut self.destination[self.to.clone()];
        if self.in_place {
            Buffers::InPlace(destination)
        } else {
            Buffers::Apart { source: &self.source[self.from.clone()], destination }
        }
    }

    /// What stands in the room now.
    ///
    /// # Panics
    /// Where something around it was touched.
    pub fn result(&self) -> &[u8] {
        let around = |bytes: &[u8], inside: &Range<usize>| {
            bytes[..inside.start].iter().chain(&bytes[inside.end..]).all(|byte| *byte == CANARY)
        };
        assert!(around(&self.destination, &self.to), "touched something around the destination");
        assert!(around(&self.source, &self.from), "touched something around the source");
        &self.destination[self.to.clone()]
    }
}

/// How often a packet stands in a batch, and whether it is there under two keys by turns: alone, and as often as packets are that are
/// worked on as alike, with one behind them.
const TIMES: [(usize, bool); 3] = [(1, false), (9, false), (9, true)];

/// The keys of such a batch, of two that are the same.
fn by_turns([key, twin]: [&Key; 2], (times, by_turns): (usize, bool)) -> impl Iterator<Item = &Key> {
    (0..times).map(move |position| if by_turns && position % 2 == 1 { twin } else { key })
}

/// Text sealed under a key, in batches of one packet and of several of the same. The key is given twice, for it can stand in two places.
pub fn sealed(
    keys: [&Key; 2],
    nonce: Nonce,
    data: AssociatedData,
    text: &[u8],
    tail: Tail,
    place: Placement,
) -> Vec<u8> {
    let [alone, others @ ..] = TIMES.map(|times| {
        let new = || Frame::new(place, text, text.len() + tail.len() + keys[0].suite().tag_length());
        let mut frames: Vec<Frame> = std::iter::repeat_with(new).take(times.0).collect();
        let packets = frames.iter_mut().zip(by_turns(keys, times)).map(|(frame, key)| Seal {
            key,
            nonce,
            associated_data: data,
            buffers: frame.buffers(),
            tail,
        });
        bordergate_aead::seal(&mut packets.collect::<Vec<_>>());
        frames.iter().map(|frame| frame.result().to_vec()).collect::<Vec<_>>()
    });
    assert!(others.iter().flatten().all(|packet| *packet == alone[0]), "sealed otherwise among others of its like");
    alone.into_iter().next().unwrap()
}

/// What one packet opens to, alone and among several of the same; `None` where it is not authentic. The key is given twice, as above.
///
/// # Panics
/// Where it is not authentic and something is left of it.
pub fn opened(keys: [&Key; 2], nonce: Nonce, data: AssociatedData, packet: &[u8], place: Placement) -> Option<Vec<u8>> {
    let length = packet.len() - keys[0].suite().tag_length();
    let [alone, others @ ..] = TIMES.map(|times| {
        let new = || Frame::new(place, packet, length);
        let mut frames: Vec<Frame> = std::iter::repeat_with(new).take(times.0).collect();
        let packets = frames.iter_mut().zip(by_turns(keys, times)).map(|(frame, key)| Open {
            key,
            nonce,
            associated_data: data,
            buffers: frame.buffers(),
            authentic: false,
        });
        let mut batch: Vec<_> = packets.collect();
        bordergate_aead::open(&mut batch);
        let verdicts: Vec<bool> = batch.iter().map(|packet| packet.authentic).collect();
        let texts = frames.iter().zip(verdicts).map(|(frame, authentic)| {
            let text = &frame.result()[..length];
            assert!(
                authentic || text.iter().all(|byte| *byte == 0),
                "something is left of a packet that is not authentic"
            );
            authentic.then(|| text.to_vec())
        });
        texts.collect::<Vec<_>>()
    });
    assert!(others.iter().flatten().all(|text| *text == alone[0]), "opened otherwise among others of its like");
    alone.into_iter().next().unwrap()
}
