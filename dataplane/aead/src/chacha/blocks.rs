//! ChaCha20 (RFC 8439 §2.3, §2.4), a set of blocks at a time, whichever packets they belong to.

use arrayvec::ArrayVec;

use super::Key;
use super::words::Words;
use crate::Packet;

/// Bytes of a block of keystream.
pub const BLOCK: usize = 64;
/// RFC 8439 §2.3: "expand 32-byte k".
pub const CONSTANTS: [u32; 4] = [0x6170_7865, 0x3320_646e, 0x7962_2d32, 0x6b20_6574];

/// A block of text that does not all come from one place, or is not whole.
pub struct Part {
    pub source: *const u8,
    pub destination: *mut u8,
    /// Bytes to read at `source`.
    pub from_source: usize,
    /// Bytes of text, at most a block.
    pub length: usize,
    /// Where the block's first byte would be, were it of the tail: readable from `from_source` to `length`.
    pub tail: *const u8,
}

/// Keystream of a whole set, a block for each lane.
#[repr(align(64))]
pub struct Keystream<const LANES: usize>(pub [[u8; BLOCK]; LANES]);

/// Blocks whose keystream is made together, one in each lane, and where it goes.
pub struct Set<const LANES: usize> {
    /// First those of authentication keys, then those of text.
    runs: ArrayVec<Run, LANES>,
    /// How many make authentication keys.
    keys: usize,
    /// Lanes in use.
    count: usize,
    /// The first block of text that is in no set yet: packet and block.
    next: (usize, usize),
}

/// Successive blocks of one packet, in successive lanes.
#[derive(Clone, Copy)]
struct Run {
    packet: usize,
    /// Of the first.
    counter: usize,
    lane: usize,
    count: usize,
}

impl<const LANES: usize> Set<LANES> {
    /// The authentication keys of `packets`, as many as lanes at most, and as much text as fits behind them.
    #[inline(always)]
    pub fn new(packets: &[Packet<'_, Key>]) -> Self {
        let mut set = Self { runs: ArrayVec::new(), keys: packets.len(), count: packets.len(), next: (0, 0) };
        for lane in 0..packets.len() {
            // RFC 8439 §2.6: the block of counter 0.
            set.runs.push(Run { packet: lane, counter: 0, lane, count: 1 });
        }
        set.fill(packets);
        set
    }

    /// The text that follows; `false` where there is no more.
    #[inline(always)]
    pub fn advance(&mut self, packets: &[Packet<'_, Key>]) -> bool {
        self.runs.clear();
        (self.keys, self.count) = (0, 0);
        self.fill(packets);
        self.count > 0
    }

    #[inline(always)]
    fn fill(&mut self, packets: &[Packet<'_, Key>]) {
        while self.count < LANES {
            let (packet, block) = self.next;
            let Some(text) = packets.get(packet).map(Packet::text_length) else { break };
            let left = text.div_ceil(BLOCK) - block;
            let count = left.min(LANES - self.count);
            if count > 0 {
                // RFC 8439 §2.8: text is enciphered from counter 1 on.
                self.runs.push(Run { packet, counter: block + 1, lane: self.count, count });
                self.count += count;
            }
            self.next = if count == left { (packet + 1, 0) } else { (packet, block + count) };
        }
    }

    /// Makes the keystream.
    ///
    /// # Safety
    /// Wants the instructions of `W`.
    #[inline(always)]
    pub unsafe fn keystream<W: Words<LANES>>(&self, packets: &[Packet<'_, Key>], keystream: &mut Keystream<LANES>) {
        // SAFETY: there is room for as many blocks as lanes; the caller vouches for the instructions.
        unsafe {
            let mut start = [W::splat(0); 16];
            for (word, constant) in start.iter_mut().zip(CONSTANTS) {
                *word = W::splat(constant);
            }
            let mut last = packets[self.runs[0].packet].key;
            for (word, key) in start[4..12].iter_mut().zip(last.0) {
                *word = W::splat(key);
            }
            for run in &self.runs {
                // Into the run's lanes and all behind, which belong to the runs that follow.
                let Packet { key, nonce, .. } = &packets[run.packet];
                if !std::ptr::eq(*key, last) {
                    last = key;
                    for (word, key) in start[4..12].iter_mut().zip(key.0) {
                        *word = word.with_lanes_from(run.lane, key);
                    }
                }
                // RFC 8439 §2.3: the counter goes up by one from lane to lane.
                start[12] = start[12].with_lanes_from(run.lane, (run.counter as u32).wrapping_sub(run.lane as u32));
                for (word, nonce) in start[13..16].iter_mut().zip(nonce.as_chunks().0) {
                    *word = word.with_lanes_from(run.lane, u32::from_le_bytes(*nonce));
                }
            }
            start[12] = start[12].add(W::numbers());

            let (mut words, turns) = (start, W::turns());
            for _ in 0..10 {
                // RFC 8439 §2.3: columns, then diagonals.
                quarter_rounds(&mut words, &turns, [0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11], [12, 13, 14, 15]);
                quarter_rounds(&mut words, &turns, [0, 1, 2, 3], [5, 6, 7, 4], [10, 11, 8, 9], [15, 12, 13, 14]);
            }
            for (word, start) in words.iter_mut().zip(start) {
                *word = word.add(start);
            }
            W::store_blocks(words, keystream.0.as_mut_ptr());
        }
    }

    /// Enciphers the set's text.
    ///
    /// # Safety
    /// Wants the instructions of `W`; `packets` are those that the set was filled from.
    #[inline(always)]
    pub unsafe fn encipher<W: Words<LANES>>(&self, packets: &[Packet<'_, Key>], keystream: &Keystream<LANES>) {
        for run in &self.runs[self.keys..] {
            let packet = &packets[run.packet];
            let blocks = &keystream.0[run.lane..][..run.count];
            for (at, block) in ((run.counter - 1) * BLOCK..).step_by(BLOCK).zip(blocks) {
                let (source, destination) = (packet.source.wrapping_add(at), packet.destination.wrapping_add(at));
                // SAFETY: by the packet's invariants all but the tail is readable at `source`, everything is writable at
                // `destination`, and the one is the other or elsewhere; the caller vouches for the instructions.
                unsafe {
                    if at + BLOCK <= packet.length {
                        W::encipher(block, source, destination);
                    } else {
                        W::encipher_part(
                            block,
                            &Part {
                                source,
                                destination,
                                from_source: packet.length.saturating_sub(at),
                                length: (packet.text_length() - at).min(BLOCK),
                                tail: packet.tail.bytes.as_ptr().wrapping_add(at).wrapping_sub(packet.length),
                            },
                        );
                    }
                }
            }
        }
    }
}

/// Four of RFC 8439 §2.1, some of them side by side: each is a chain in which every operation waits for the one before.
///
/// # Safety
/// Wants the instructions of `W`.
#[inline(always)]
unsafe fn quarter_rounds<W: Words<LANES>, const LANES: usize>(
    words: &mut [W; 16],
    turns: &W::Turns,
    a: [usize; 4],
    b: [usize; 4],
    c: [usize; 4],
    d: [usize; 4],
) {
    macro_rules! each {
        ($from:ident, $x:ident += $y:ident, $z:ident ^ $rotated:ident) => {
            for i in $from..$from + W::SIDE_BY_SIDE {
                words[$x[i]] = words[$x[i]].add(words[$y[i]]);
                words[$z[i]] = words[$z[i]].xor(words[$x[i]]).$rotated(turns);
            }
        };
    }
    // SAFETY: the caller vouches for the instructions.
    unsafe {
        for from in (0..4).step_by(W::SIDE_BY_SIDE) {
            each!(from, a += b, d ^ rotated_16);
            each!(from, c += d, b ^ rotated_12);
            each!(from, a += b, d ^ rotated_8);
            each!(from, c += d, b ^ rotated_7);
        }
    }
}
