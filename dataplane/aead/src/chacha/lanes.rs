//! Which block of which long packet a lane makes the keystream of, and where it goes.

use std::arch::x86_64::{__m512i, _mm512_loadu_si512, _mm512_storeu_si512};

use arrayvec::ArrayVec;

use super::blocks::{BLOCK, CONSTANTS, Keystream, Part};
use super::words::{Words, blocks_of_quarters, quarters};
use super::{Key, Packet};

const LANES: usize = 16;

/// What a block is enciphered with that is wanted as it is.
static ZEROS: Keystream<1> = Keystream([[0; BLOCK]]);

/// A set of blocks: first those of the authentication keys of all packets, then those of all text.
pub struct Lanes {
    sources: [*const u8; LANES],
    destinations: [*mut u8; LANES],
    runs: ArrayVec<Run, LANES>,
    /// The words that the rounds start from.
    pub start: [__m512i; 16],
    /// Whose words stand in every lane.
    key: *const Key,
    /// Blocks that are not whole, or not from one place: packet, lane, bytes in front.
    parts: ArrayVec<(usize, usize, usize), LANES>,
    /// Where their keystream is put, and what no one wants.
    aside: Keystream<LANES>,
    /// Authentication keys there are, this set's included.
    keys: usize,
    /// The first block of text that is in no set yet: packet and block.
    next: (usize, usize),
}

/// Successive blocks of one packet, in successive lanes.
#[derive(Clone, Copy)]
struct Run {
    packet: usize,
    counter: usize,
    lane: usize,
}

impl Lanes {
    /// # Safety
    /// Wants AVX-512.
    #[inline(always)]
    pub unsafe fn new() -> Self {
        // SAFETY: the caller vouches for the instructions.
        let mut start = unsafe { [__m512i::splat(0); 16] };
        for (word, constant) in start.iter_mut().zip(CONSTANTS) {
            // SAFETY: the same.
            *word = unsafe { __m512i::splat(constant) };
        }
        Self {
            sources: [ZEROS.0[0].as_ptr(); LANES],
            destinations: [std::ptr::null_mut(); LANES],
            runs: ArrayVec::new(),
            start,
            key: std::ptr::null(),
            parts: ArrayVec::new(),
            aside: Keystream([[0; BLOCK]; LANES]),
            keys: 0,
            next: (0, 0),
        }
    }

    /// Authentication keys that there are once this set has been enciphered.
    pub fn keys(&self) -> usize {
        self.keys
    }

    /// Packets of whose text some has been enciphered once this set has been.
    pub fn begun(&self) -> usize {
        self.next.0 + usize::from(self.next.1 > 0)
    }

    /// Packets all of whose text has been enciphered once this set has been.
    pub fn complete(&self) -> usize {
        self.next.0
    }

    /// Takes what comes next; `false` where there is nothing. No text comes before all keys have been made, unless `mixed`.
    #[inline(always)]
    pub fn fill(&mut self, packets: &[Packet<'_, Key>], keys: *mut [u8; BLOCK], mixed: bool) -> bool {
        self.runs.clear();
        self.parts.clear();
        let mut lane = 0;
        while lane < LANES && self.keys < packets.len() {
            // RFC 8439 §2.6: the block of counter 0.
            self.runs.push(Run { packet: self.keys, counter: 0, lane });
            self.sources[lane] = ZEROS.0[0].as_ptr();
            self.destinations[lane] = keys.wrapping_add(self.keys).cast();
            self.keys += 1;
            lane += 1;
        }
        while lane < LANES && (mixed || self.runs.first().is_none_or(|run| run.counter > 0)) {
            let (index, block) = self.next;
            let Some(packet) = packets.get(index) else { break };
            let left = packet.text_length().div_ceil(BLOCK) - block;
            let count = left.min(LANES - lane);
            if count > 0 {
                // RFC 8439 §2.8: text is enciphered from counter 1 on.
                self.runs.push(Run { packet: index, counter: block + 1, lane });
            }
            let whole = (packet.length / BLOCK).saturating_sub(block).min(count);
            let (mut source, mut destination) =
                (packet.source.wrapping_add(block * BLOCK), packet.destination.wrapping_add(block * BLOCK));
            for lane in lane..lane + whole {
                self.sources[lane] = source;
                self.destinations[lane] = destination;
                (source, destination) = (source.wrapping_add(BLOCK), destination.wrapping_add(BLOCK));
            }
            for i in whole..count {
                self.parts.push((index, lane + i, (block + i) * BLOCK));
                self.put_aside(lane + i);
            }
            lane += count;
            self.next = if count == left { (index + 1, 0) } else { (index, block + count) };
        }
        let any = lane > 0;
        for lane in lane..LANES {
            self.put_aside(lane);
        }
        any
    }

    #[inline(always)]
    fn put_aside(&mut self, lane: usize) {
        self.sources[lane] = ZEROS.0[0].as_ptr();
        self.destinations[lane] = self.aside.0[lane].as_mut_ptr();
    }

    /// Puts keys, counters and nonces into their lanes.
    ///
    /// # Safety
    /// Wants AVX-512; `packets` are those that the set was filled from.
    #[inline(always)]
    pub unsafe fn begin(&mut self, packets: &[Packet<'_, Key>]) {
        // SAFETY: the caller vouches for the instructions.
        unsafe {
            // Mostly all packets of a batch have the same key.
            if !self.runs.iter().all(|run| std::ptr::eq(packets[run.packet].key, self.key)) {
                self.begin_keys(packets);
            }
            let [.., mut counters, a, b, c] = self.start;
            let mut nonces = [a, b, c];
            counters = counters.xor(counters);
            for run in &self.runs {
                // Into the run's lanes and all behind, which belong to the runs that follow.
                // RFC 8439 §2.3: the counter goes up by one from lane to lane.
                counters = counters.with_lanes_from(run.lane, (run.counter as u32).wrapping_sub(run.lane as u32));
                for (word, nonce) in nonces.iter_mut().zip(packets[run.packet].nonce.as_chunks().0) {
                    *word = word.with_lanes_from(run.lane, u32::from_le_bytes(*nonce));
                }
            }
            self.start[12] = counters.add(__m512i::numbers());
            [self.start[13], self.start[14], self.start[15]] = nonces;
        }
    }

    #[inline(never)]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512ifma,avx512vbmi,bmi2")]
    unsafe fn begin_keys(&mut self, packets: &[Packet<'_, Key>]) {
        for run in &self.runs {
            let key = packets[run.packet].key;
            for (word, key) in self.start[4..12].iter_mut().zip(key.0) {
                // SAFETY: the caller vouches for the instructions.
                *word = unsafe { word.with_lanes_from(run.lane, key) };
            }
            self.key = if run.lane == 0 || std::ptr::eq(key, self.key) { key } else { std::ptr::null() };
        }
    }

    /// Enciphers the set's blocks with the keystream that stands in `words`.
    ///
    /// # Safety
    /// Wants the instructions of the kernel; `packets` and `keys` are those that the set was filled from.
    #[inline(always)]
    pub unsafe fn encipher(&self, packets: &[Packet<'_, Key>], words: [__m512i; 16]) {
        // SAFETY: by the packet's invariants whole blocks are readable and writable where the lanes point, as are keys,
        // zeros and what is put aside; the caller vouches for the instructions.
        unsafe {
            let quarters = quarters(&words);
            for i in 0..4 {
                for (lane, block) in (i..).step_by(4).zip(blocks_of_quarters(&quarters, i)) {
                    let text = _mm512_loadu_si512(self.sources[lane].cast());
                    _mm512_storeu_si512(self.destinations[lane].cast(), text.xor(block));
                }
            }
            for &(packet, lane, at) in &self.parts {
                let packet = &packets[packet];
                let block = &*self.destinations[lane].cast::<[u8; BLOCK]>().cast_const();
                __m512i::encipher_part(
                    block,
                    &Part {
                        source: packet.source.wrapping_add(at),
                        destination: packet.destination.wrapping_add(at),
                        from_source: packet.length.saturating_sub(at),
                        length: (packet.text_length() - at).min(BLOCK),
                        tail: packet.tail.bytes.as_ptr().wrapping_add(at).wrapping_sub(packet.length),
                    },
                );
            }
        }
    }
}
