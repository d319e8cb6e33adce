//! Packets that are alike: of one length and one suite, all from one place to another or all in place; and mostly under one key.
//!
//! Most batches are of such packets. What follows from their lengths is then found out once, no step asks which packet it is
//! about, and the processor foresees every branch. Four packets go side by side: a lane for each in what is left of their
//! hashes, in the tags, and in single blocks at the ends of their texts. Each group's last steps stand beside the first ones of
//! the next.
//!
//! Under one key (`ONE_KEY`) the blocks of four packets that are not in vectors of text share vectors, a lane for each packet; else
//! those of each packet share one of its own.

mod long;
mod short;

use std::arch::x86_64::{__m128i, _mm_loadu_si128, _mm_setzero_si128, _mm_storeu_si128, _pdep_u64};
use std::ptr;

use zerocopy::transmute;

use super::batch::gcm_key;
use super::counter;
use super::hash::Sum;
use super::key::{Key, POWERS};
use super::lanes::{Lanes, MOST_END};
use super::lanes_512::Quad;
use super::stream::RoundKeys;
use crate::TAG;
use crate::packet::{self, Whole};

/// Packets side by side.
const GROUP: usize = 4;
/// Fewer packets are not worth the beginning and the end.
pub const FEWEST: u32 = 8;

/// What the packets have in common.
struct Common<'a, W, const ONE_KEY: bool> {
    /// One of them.
    model: *const W,
    /// The model's.
    key: &'a Key,
    /// Bytes of a text at its source, and with its tail.
    left: usize,
    length: usize,
    /// Vectors of a text; the last one may be filled in part.
    vectors: usize,
    /// Whether a single block, or a part of one, follows them: a vector for it would be a waste where four can share one.
    block: bool,
    /// Which power of the hash key goes with a text's first block.
    power: usize,
    /// The one key's.
    first: *const u128,
    /// The block of lengths, byte-reversed, in each lane.
    lengths: Quad,
    /// Its product under the one key.
    product: Sum<Quad>,
}

/// Packets side by side, a lane for each.
struct Group<W> {
    packets: [*mut W; GROUP],
    /// Where their texts come from and go to.
    places: [(*const u8, *mut u8); GROUP],
    /// What the tags are under: the nonces' blocks, enciphered.
    masks: Quad,
    /// What single blocks are enciphered with, and then their ciphertext, zeros behind it.
    blocks: Quad,
}

impl<W> Group<W> {
    /// Of no packets yet.
    #[inline(always)]
    unsafe fn empty() -> Self {
        // SAFETY: the trait's contract.
        let zero = unsafe { Quad::zero() };
        let places = [(ptr::null(), ptr::null_mut()); GROUP];
        Self { packets: [ptr::null_mut(); GROUP], places, masks: zero, blocks: zero }
    }
}

/// Seals or opens the packets of a set, run by run of those that are alike, as long as there are such runs. Gives back the
/// others.
///
/// # Safety
/// The instructions of [`Quad`]; at these positions are packets with keys of this module and of one kernel.
#[inline(always)]
pub unsafe fn run_runs<W: Whole>(mut set: u64, packets: *mut W) -> u64 {
    let (mut others, mut passed) = (0, 0);
    // A run leaves fewer than a group of its packets to be passed over.
    while set.count_ones() >= FEWEST && passed < GROUP {
        // SAFETY: the caller's.
        let left = unsafe { run::<W>(set, packets) };
        if left == set {
            others |= set & set.wrapping_neg();
            set &= set - 1;
            passed += 1;
        } else {
            (set, passed) = (left, 0);
        }
    }
    others | set
}

/// Seals or opens the packets of a set that are like its first one, four by four up to the first one that is not, if there
/// seem to be enough of them. Gives back the others.
///
/// # Safety
/// The instructions of [`Quad`]; at these positions, at least [`FEWEST`], are packets, the first one's key is of this module and its
/// kernel.
#[inline(always)]
pub unsafe fn run<W: Whole>(set: u64, packets: *mut W) -> u64 {
    // SAFETY: the caller's; what is like a packet has a key as that one has.
    unsafe {
        let at = |set: u64| packets.add(set.trailing_zeros() as usize);
        let (model, last_of_group) = (at(set), at(_pdep_u64(1 << (GROUP - 1), set)));
        let last_of_few = at(_pdep_u64(1 << (FEWEST - 1), set));
        if !is_like::<W, false>(&*last_of_few, &*model) {
            return set;
        }
        let [first, fourth, last] = [model, last_of_group, last_of_few].map(|packet| ptr::from_ref((*packet).key()));
        let is_long = (*model).length(TAG) > short::MOST * Quad::BYTES;
        if fourth != last || first != last && !is_long {
            return run_under::<W, false>(set, packets, model);
        }
        if first == last {
            return run_under::<W, true>(set, packets, model);
        }
        // Less than a group seems to be left of a run where the next one begins, under one key: it is found when they are passed over.
        // Of long texts that is worth it.
        set
    }
}

/// The same under one key, or under as many as there are.
#[inline(always)]
unsafe fn run_under<W: Whole, const ONE_KEY: bool>(set: u64, packets: *mut W, model: *mut W) -> u64 {
    // SAFETY: the caller's.
    unsafe {
        match gcm_key(&*model).rounds() {
            10 => run_with::<W, ONE_KEY, 11>(set, packets, model),
            12 => run_with::<W, ONE_KEY, 13>(set, packets, model),
            _ => run_with::<W, ONE_KEY, 15>(set, packets, model),
        }
    }
}

/// The same with `KEYS` round keys.
#[inline(always)]
unsafe fn run_with<W: Whole, const ONE_KEY: bool, const KEYS: usize>(set: u64, packets: *mut W, model: *mut W) -> u64 {
    // SAFETY: the caller's; as many vectors as are said.
    unsafe {
        let Some(common) = Common::<W, ONE_KEY>::of(model) else { return set };
        match common.vectors {
            1 => short::run::<W, ONE_KEY, KEYS, 1>(&common, set, packets),
            2 => short::run::<W, ONE_KEY, KEYS, 2>(&common, set, packets),
            3 => short::run::<W, ONE_KEY, KEYS, 3>(&common, set, packets),
            vectors => match long::last(vectors) {
                3 => long::run::<W, ONE_KEY, KEYS, 3>(&common, set, packets),
                4 => long::run::<W, ONE_KEY, KEYS, 4>(&common, set, packets),
                5 => long::run::<W, ONE_KEY, KEYS, 5>(&common, set, packets),
                6 => long::run::<W, ONE_KEY, KEYS, 6>(&common, set, packets),
                7 => long::run::<W, ONE_KEY, KEYS, 7>(&common, set, packets),
                _ => long::run::<W, ONE_KEY, KEYS, 8>(&common, set, packets),
            },
        }
    }
}

/// Whether a packet is like the model, with its key or with another one of the same kind.
#[inline(always)]
fn is_like<W: Whole, const ONE_KEY: bool>(packet: &W, model: &W) -> bool {
    let has_key = if ONE_KEY { ptr::eq(packet.key(), model.key()) } else { packet.key().is_of_kind(model.key()) };
    has_key && packet.is_shaped_like(model)
}

impl<'a, W: Whole, const ONE_KEY: bool> Common<'a, W, ONE_KEY> {
    /// Of packets that are like this one; `None` where there is no text, or one too long to be summed at once.
    ///
    /// # Panics
    /// Where its buffers are not as long as it says.
    #[inline(always)]
    unsafe fn of(model: *mut W) -> Option<Self> {
        // SAFETY: the caller's of `run`.
        unsafe {
            let left = (*model).place(TAG).length;
            let length = left + (*model).tail().length;
            let blocks = length.div_ceil(16);
            // Beside the text's blocks, that of the associated data and that of the lengths.
            if length == 0 || blocks + 2 > POWERS {
                return None;
            }
            let key = gcm_key(&*model);
            let (whole, rest) = (length / Quad::BYTES, length % Quad::BYTES);
            let block = whole > 0 && (1..=16).contains(&rest);
            let vectors = whole + usize::from(rest != 0 && !block);
            // One for each block of text and one for that of the lengths.
            let (power, first) = (blocks + 1, key.power(blocks + 1));
            // SP 800-38D §7.1: the lengths in bits, that of the text first, as what is hashed has its bytes reversed.
            let bits: u128 = transmute!([length as u64, (*model).data().length as u64]);
            let lengths = Quad::broadcast(&bits).bits_of_bytes();
            let mut product = Sum::zero();
            if ONE_KEY {
                product.add_lanes(lengths, [key.power(1); 4]);
            }
            Some(Self { model, key, left, length, vectors, block, power, first, lengths, product })
        }
    }

    /// Takes the next four packets out of the set, if they are like the others.
    #[inline(always)]
    unsafe fn take_in(&self, set: &mut u64, packets: *mut W, group: &mut Group<W>) -> bool {
        let mut left = *set;
        if left.count_ones() < GROUP as u32 {
            return false;
        }
        for lane in 0..GROUP {
            // SAFETY: the caller's of `run`.
            unsafe {
                let packet = packets.add(left.trailing_zeros() as usize);
                left &= left - 1;
                if !is_like::<W, ONE_KEY>(&*packet, &*self.model) {
                    return false;
                }
                group.packets[lane] = packet;
                group.places[lane] = (*packet).addresses();
            }
        }
        *set = left;
        true
    }

    /// The key of the packet in a lane.
    #[inline(always)]
    unsafe fn key(&self, group: &Group<W>, lane: usize) -> &'a Key {
        // SAFETY: the group is taken in.
        if ONE_KEY { self.key } else { unsafe { gcm_key(&*group.packets[lane]) } }
    }

    /// The keys of a group.
    #[inline(always)]
    unsafe fn keys(&self, group: &Group<W>) -> [&'a Key; GROUP] {
        let mut keys = [self.key; GROUP];
        for (lane, key) in keys.iter_mut().enumerate() {
            // SAFETY: the caller's.
            *key = unsafe { self.key(group, lane) };
        }
        keys
    }

    /// The power of a key's hash key that goes with the first block of a text, of a short one if there are many keys: then it is
    /// one of those that stand near the round keys.
    #[inline(always)]
    fn power(&self, key: &Key) -> *const u128 {
        if ONE_KEY { self.first } else { key.low_power(self.power) }
    }

    /// Whether the vectors of a text are whole, all from its source.
    #[inline(always)]
    fn is_plain(&self) -> bool {
        self.vectors * Quad::BYTES <= self.left
    }

    /// Whether a text ends with a whole vector.
    #[inline(always)]
    fn is_whole(&self) -> bool {
        self.length.is_multiple_of(Quad::BYTES)
    }

    /// The last `M` vectors of a text, which begin at `source`.
    #[inline(always)]
    unsafe fn load_last<const M: usize>(&self, packet: *const W, source: *const u8) -> [Quad; M] {
        if self.is_plain() {
            // SAFETY: the caller's.
            return unsafe { self.load_plain(source) };
        }
        let vectors = M + usize::from(self.block);
        let end = vectors.min(Quad::END);
        let whole = vectors - end;
        let left = self.left - (self.vectors - M + whole) * Quad::BYTES;
        // SAFETY: the packet's invariants.
        unsafe {
            let tail = W::SEAL.then_some((*packet).tail());
            let ends = Quad::load_end(source.add(whole * Quad::BYTES), left, tail, end);
            let mut texts = [Quad::zero(); M];
            for (i, text) in texts.iter_mut().enumerate() {
                *text = if i < whole { Quad::load(source.add(i * Quad::BYTES)) } else { ends[(i - whole) % MOST_END] };
            }
            texts
        }
    }

    /// `M` whole vectors.
    #[inline(always)]
    unsafe fn load_plain<const M: usize>(&self, source: *const u8) -> [Quad; M] {
        // SAFETY: the caller's.
        unsafe {
            let mut texts = [Quad::zero(); M];
            for (i, text) in texts.iter_mut().enumerate() {
                *text = Quad::load(source.add(i * Quad::BYTES));
            }
            texts
        }
    }

    /// Enciphers or deciphers the last `M` vectors of a text, which go to `destination`; `WHOLE` says that all are. What is returned
    /// is to be hashed.
    #[inline(always)]
    unsafe fn put_last<const M: usize, const WHOLE: bool>(
        &self,
        texts: [Quad; M],
        stream: [Quad; M],
        destination: *mut u8,
    ) -> [Quad; M] {
        let mut hashed = texts;
        // SAFETY: the packet's invariants.
        unsafe {
            for i in 0..M {
                let text = texts[i].xor(stream[i]);
                let to = destination.add(i * Quad::BYTES);
                if W::SEAL {
                    hashed[i] = text;
                }
                if !WHOLE && i + 1 == M && !self.block && !self.is_whole() {
                    let left = self.length % Quad::BYTES;
                    text.store_first(to, left);
                    if W::SEAL {
                        hashed[i] = text.first(left);
                    }
                } else {
                    text.store(to);
                }
            }
        }
        hashed
    }

    /// Enciphers or deciphers the single blocks behind the vectors.
    #[inline(always)]
    unsafe fn put_blocks(&self, group: &mut Group<W>) {
        let at = self.vectors * Quad::BYTES;
        let rest = self.length - at;
        // SAFETY: the packets' invariants: behind a text there is a tag, and in a tail as much as a block.
        unsafe {
            let mut sources = [_mm_setzero_si128(); GROUP];
            for (lane, block) in sources.iter_mut().enumerate() {
                let source = group.places[lane].0.wrapping_add(at);
                let tail = (*group.packets[lane]).tail();
                *block = if !W::SEAL {
                    _mm_loadu_si128(source.cast())
                } else if self.left == at {
                    _mm_loadu_si128(tail.bytes.as_ptr().cast())
                } else {
                    // With the vector before it, into which a tail may reach, and no further.
                    const { assert!(Quad::END == 2) };
                    let before = at - Quad::BYTES;
                    let [_, block, ..] =
                        Quad::load_end(source.wrapping_sub(Quad::BYTES), self.left - before, Some(tail), 2);
                    block.lanes()[0]
                };
            }
            let sources = Quad::gather(sources);
            let texts = sources.xor(group.blocks);
            for (text, (_, destination)) in texts.lanes().into_iter().zip(group.places) {
                let to = destination.add(at);
                if W::SEAL {
                    // The tag will stand where it reaches beyond the text.
                    _mm_storeu_si128(to.cast(), text);
                } else {
                    Quad::of_block(text).store_first(to, rest);
                }
            }
            group.blocks = (if W::SEAL { texts } else { sources }).first_of_each(rest);
        }
    }

    /// Under one key, the blocks from which the tags' masks come, and those with which single blocks are enciphered, the first round
    /// key added.
    #[inline(always)]
    unsafe fn masks<const KEYS: usize>(&self, keys: RoundKeys<'_, Quad, KEYS>, group: &Group<W>) -> [Quad; 2] {
        // SAFETY: the caller's of `run`.
        unsafe {
            let nonces = group.packets.map(|packet| _mm_loadu_si128((*packet).nonce().as_ptr().cast()));
            let masks = Quad::gather(nonces).xor(keys.at(0));
            [masks, masks.xor(Quad::broadcast(counter::of_block(self.vectors * Quad::LANES)))]
        }
    }

    /// The same of one packet: first what its single block is enciphered with, then the mask.
    #[inline(always)]
    unsafe fn pair<const KEYS: usize>(&self, keys: RoundKeys<'_, Quad, KEYS>, packet: *mut W) -> Quad {
        // SAFETY: the caller's of `run`.
        unsafe {
            let nonce = Quad::broadcast_bytes((*packet).nonce());
            let block = Quad::broadcast(counter::of_block(self.vectors * Quad::LANES));
            nonce.xor3(keys.at(0), block.first(size_of::<__m128i>()))
        }
    }

    /// The last step: hashes brought to their end, and tags written or checked. The sum is that of the texts' vectors, one in a
    /// lane; `DATA` says whether the associated data is still to be added.
    #[inline(always)]
    unsafe fn finish<const DATA: bool>(&self, group: &Group<W>, mut sum: Sum<Quad>) {
        // SAFETY: the caller's of `run`; tags stand behind the texts.
        unsafe {
            let keys = self.keys(group);
            if ONE_KEY {
                sum.add_sum(self.product);
            } else {
                sum.add_lanes(self.lengths, keys.map(|key| key.low_power(1)));
            }
            if DATA {
                let data = group.packets.map(|packet| _mm_loadu_si128((*packet).data().block.as_ptr().cast()));
                sum.add_lanes(Quad::gather(data).reversed(), keys.map(|key| self.power(key).wrapping_sub(1)));
            }
            if self.block {
                sum.add_lanes(group.blocks.reversed(), keys.map(|key| key.low_power(2)));
            }
            let tags = sum.reduced().reversed().xor(group.masks);
            let places = group.places.iter();
            if W::SEAL {
                for (tag, (_, destination)) in tags.lanes().into_iter().zip(places) {
                    _mm_storeu_si128(destination.add(self.length).cast(), tag);
                }
            } else {
                let sent: [__m128i; GROUP] =
                    group.places.map(|(source, _)| _mm_loadu_si128(source.add(self.length).cast()));
                // One comparison of whole tags: its time does not depend on where they differ.
                let equal = tags.xor(Quad::gather(sent)).zero_lanes();
                for (lane, (_, destination)) in places.enumerate() {
                    let verdict = (*group.packets[lane]).verdict();
                    packet::settle(verdict, *destination, self.length, equal & 1 << lane != 0);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gcm::run_alike;
    use crate::tests::unsealed;
    use crate::{Kernel, Key, Suite};

    /// How many of packets of these lengths are left, the others being alike.
    fn left(lengths: &[usize]) -> usize {
        left_under(lengths, |_| 0)
    }

    /// The same under several keys: which packet has which is said.
    fn left_under(lengths: &[usize], key: impl Fn(usize) -> usize) -> usize {
        let keys = [0, 1, 2].map(|byte| Key::for_kernel(Kernel::Vaes512, Suite::Aes128Gcm16, &[byte; 16]).unwrap());
        if keys[0].kernel() != Kernel::Vaes512 {
            println!("SKIP: this processor has no VAES with AVX-512");
            return usize::MAX;
        }
        let texts: Vec<_> = lengths.iter().map(|length| vec![0; *length]).collect();
        let mut sealed: Vec<_> = lengths.iter().map(|length| vec![0; length + TAG]).collect();
        let mut packets = unsealed(&keys[0], &texts, &mut sealed);
        for (position, packet) in packets.iter_mut().enumerate() {
            packet.key = &keys[key(position)];
        }
        let set = u64::MAX >> (64 - packets.len());
        // SAFETY: there are as many packets, under keys for this kernel.
        unsafe { run_alike(Kernel::Vaes512, set, &mut packets) }.count_ones() as usize
    }

    #[test]
    fn packets_that_are_alike_but_for_their_keys_are_taken_by_fours() {
        for (length, expected) in [(1, 3), (100, 3), (400, 3), (1633, 27), (0, 27)] {
            assert!([expected, usize::MAX].contains(&left_under(&[length; 27], |position| position % 3)), "{length}");
        }
        // Two are left of a run, and behind them there is one under one key: of long texts they are to be passed over.
        for (length, expected) in [(100, 0), (400, 12)] {
            assert!([expected, usize::MAX].contains(&left_under(&[length; 12], |position| usize::from(position > 1))));
        }
    }

    #[test]
    fn runs_of_packets_that_are_alike_are_taken_by_fours() {
        // Of any length that is summed at once; not one without a text.
        for (length, expected) in [(1, 0), (64, 0), (68, 0), (400, 0), (1404, 0), (1632, 0), (1633, 8), (0, 8)] {
            assert!([expected, usize::MAX].contains(&left(&[length; 8])), "{length}");
        }
        let mut lengths = [100; 27];
        assert!([3, usize::MAX].contains(&left(&lengths)));
        // Up to one that is not like the others.
        lengths[18] = 101;
        assert!([27 - 16, usize::MAX].contains(&left(&lengths)));
        // Not where they are few.
        lengths[7] = 99;
        assert!([27, usize::MAX].contains(&left(&lengths)));
    }
}
