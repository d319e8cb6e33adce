//! GHASH, summed unreduced over as many blocks as there are powers of the hash key.
//!
//! It runs in POLYVAL's representation (RFC 8452 appendix A): with byte-reversed blocks and the key multiplied by x once,
//! no product has to be shifted.

use std::arch::x86_64::{_mm_load_si128, _mm_setzero_si128};
use std::ptr;

use zerocopy::transmute;

use super::key::{Key, POWERS, TO_FOLDED};
use super::lanes::{Lanes, MOST_END};

/// The modulus x^128 + x^127 + x^126 + x^121 + 1 without its first and last term, shifted down by 64.
static MODULUS: u128 = 0xc200_0000_0000_0000;
/// Most blocks that are summed at the end of a text: their powers and those of the two blocks around them are kept.
const MOST_LAST: usize = POWERS - 2;

/// Products added up, each lane for itself, nothing reduced.
#[derive(Clone, Copy)]
pub struct Sum<V> {
    low: V,
    middle: V,
    high: V,
}

impl<V: Lanes> Sum<V> {
    #[inline(always)]
    pub unsafe fn zero() -> Self {
        // SAFETY: the trait's contract.
        let zero = unsafe { V::zero() };
        Self { low: zero, middle: zero, high: zero }
    }

    /// Blocks, byte-reversed, each times the power in its lane, by Karatsuba's three products.
    #[inline(always)]
    unsafe fn product(blocks: V, powers: V, folded: V) -> Self {
        // SAFETY: the trait's contract.
        unsafe {
            let halves = blocks.xor(blocks.swapped());
            Self {
                low: blocks.multiply_low(powers),
                middle: halves.multiply_low(folded),
                high: blocks.multiply_high(powers),
            }
        }
    }

    /// The same with powers that are not kept with both halves added.
    #[inline(always)]
    pub unsafe fn folding_product(blocks: V, powers: V) -> Self {
        // SAFETY: the trait's contract.
        unsafe { Self::product(blocks, powers, powers.xor(powers.swapped())) }
    }

    /// `FOLDED` says whether the powers are among those that are kept with both halves added, too.
    #[inline(always)]
    pub unsafe fn text_product<const FOLDED: bool>(text: V, power: *const u128) -> Self {
        // SAFETY: `power` is one that is kept, and behind the first power there is as much as a vector reaches beyond it.
        unsafe {
            let (blocks, powers) = (text.reversed(), V::load_blocks(power));
            if FOLDED {
                Self::product(blocks, powers, V::load_blocks(power.add(TO_FOLDED)))
            } else {
                Self::folding_product(blocks, powers)
            }
        }
    }

    /// The sum over `N` vectors of text, the first block of which has `power` and each one after it one less.
    #[inline(always)]
    pub unsafe fn of_text<const N: usize, const FOLDED: bool>(text: [V; N], power: *const u128) -> Self {
        // SAFETY: as in `text_product`.
        unsafe {
            let mut sum = Self::text_product::<FOLDED>(text[0], power);
            if N.is_multiple_of(2) {
                sum.add_sum(Self::text_product::<FOLDED>(text[1], power.add(V::LANES)));
            }
            let mut i = 2 - N % 2;
            while i < N {
                sum.add_pair::<FOLDED>([text[i], text[i + 1]], power.add(i * V::LANES));
                i += 2;
            }
            sum
        }
    }

    /// Adds two vectors of text, the first block of which has `power`.
    #[inline(always)]
    pub unsafe fn add_pair<const FOLDED: bool>(&mut self, [first, second]: [V; 2], power: *const u128) {
        // SAFETY: as in `text_product`.
        unsafe {
            let a = Self::text_product::<FOLDED>(first, power);
            let b = Self::text_product::<FOLDED>(second, power.add(V::LANES));
            self.add_two(a, b);
        }
    }

    #[inline(always)]
    pub unsafe fn add_two(&mut self, a: Self, b: Self) {
        // SAFETY: the trait's contract.
        unsafe {
            self.low = self.low.xor3(a.low, b.low);
            self.middle = self.middle.xor3(a.middle, b.middle);
            self.high = self.high.xor3(a.high, b.high);
        }
    }

    #[inline(always)]
    pub unsafe fn add_sum(&mut self, other: Self) {
        // SAFETY: the trait's contract.
        unsafe {
            self.low = self.low.xor(other.low);
            self.middle = self.middle.xor(other.middle);
            self.high = self.high.xor(other.high);
        }
    }

    /// Has what was added so far computed here; see [`Lanes::pinned`].
    #[inline(always)]
    pub unsafe fn pin(&mut self) {
        // SAFETY: the trait's contract.
        unsafe {
            self.low = self.low.pinned();
            self.middle = self.middle.pinned();
            self.high = self.high.pinned();
        }
    }

    /// Adds to each lane a block of its own, byte-reversed, times a power of its own.
    #[inline(always)]
    pub unsafe fn add_lanes(&mut self, blocks: V, powers: [*const u128; 4]) {
        // SAFETY: the trait's contract; these are powers that are kept.
        unsafe {
            let mut gathered = [_mm_setzero_si128(); 4];
            for (block, power) in gathered.iter_mut().zip(powers) {
                *block = _mm_load_si128(power.cast());
            }
            self.add_sum(Self::folding_product(blocks, V::gather(gathered)));
        }
    }

    /// Each of the first `LANES` sums with its own lanes added up, one in a lane.
    #[inline(always)]
    pub unsafe fn sum_lanes(sums: [Self; 4]) -> Self {
        // SAFETY: the trait's contract.
        unsafe {
            let [a, b, c, d] = sums;
            Self {
                low: V::sum_lanes([a.low, b.low, c.low, d.low]),
                middle: V::sum_lanes([a.middle, b.middle, c.middle, d.middle]),
                high: V::sum_lanes([a.high, b.high, c.high, d.high]),
            }
        }
    }

    /// Montgomery's reduction of each lane. The modulus ends in 1, so its multiple by the lowest 64 bits cancels these;
    /// twice, and the sum is divided by x^128.
    #[inline(always)]
    pub unsafe fn reduced(self) -> V {
        // SAFETY: the trait's contract.
        unsafe {
            let modulus = V::broadcast(&MODULUS);
            let middle = self.middle.xor3(self.low, self.high);
            let once = middle.xor3(self.low.multiply_low(modulus), self.low.swapped());
            self.high.xor3(once.multiply_low(modulus), once.swapped())
        }
    }
}

/// The power that goes with associated data before a short text of so many bytes; see [`Hash`].
#[inline(always)]
pub fn short_front_power(key: &Key, length: usize) -> *const u128 {
    // One for each block, one for the block itself and one for the length block behind the text.
    let blocks = (length + 15) & !15;
    key.low_power(2).wrapping_byte_sub(blocks)
}

/// The hash of a text under way, which is taken in chunks of `N` vectors until at most [`MOST_END`] and a chunk are left.
pub struct Hash<'a, V, const N: usize> {
    key: &'a Key,
    sum: Sum<V>,
    /// Of the next block.
    power: *const u128,
    /// Blocks of this segment not yet added, and one for the length block if it is the last.
    due: usize,
    /// Blocks behind the present segment.
    left: usize,
    front: Front,
}

/// A block still to be added to a text's sum: the associated data, one block before the text, or the hash of all segments but
/// the last.
#[derive(Clone, Copy)]
pub struct Front {
    pub block: [u8; 16],
    /// The power of the hash key by which it is multiplied.
    pub power: *const u128,
}

/// The last vectors of a text that is sealed, left to be hashed while the next packet's text is enciphered: by themselves
/// they would wait for what has just been enciphered, and nothing would go on beside them.
pub struct Unhashed<V> {
    /// How many there are, at most [`Unhashed::MOST`]; none if nothing is left.
    count: usize,
    /// The last one, zeros behind its end. Those before it are read where they were written to.
    last: V,
    /// Where the last one begins.
    at: *const u8,
    /// The power of its first block.
    power: *const u128,
    /// The text's sum so far, and where it goes when it is complete.
    sum: Sum<V>,
    to: *mut Sum<V>,
}

impl<V: Lanes> Unhashed<V> {
    /// Steps in which it is all hashed.
    pub const STEPS: usize = 4;
    /// Most vectors that these steps take.
    const MOST: usize = 2 * Self::STEPS - 1;

    #[inline(always)]
    pub unsafe fn nothing() -> Self {
        // SAFETY: the trait's contract.
        let (last, sum) = unsafe { (V::zero(), Sum::zero()) };
        Self { count: 0, last, at: ptr::null(), power: ptr::null(), sum, to: ptr::null_mut() }
    }

    /// Hashes what is left, with nothing beside it.
    #[inline(always)]
    pub unsafe fn catch_up(&mut self) {
        if self.count == 0 {
            return;
        }
        // SAFETY: the trait's contract.
        unsafe {
            for step in 0..Self::STEPS {
                self.step(step);
            }
            self.done();
        }
    }

    /// One step, which adds two vectors at most.
    #[inline(always)]
    pub unsafe fn step(&mut self, step: usize) {
        // SAFETY: as in `Hash::add_pair`; vectors before the last one stand where they were written to.
        unsafe {
            // The vector so many before the last one, and its power.
            let at = |before: usize| V::load(self.at.wrapping_sub(before * V::BYTES));
            let power = |before: usize| self.power.wrapping_sub(before * V::LANES);
            match step {
                0 if self.count == 1 => self.sum.add_sum(Sum::text_product::<true>(self.last, self.power)),
                0 if self.count > 1 => self.sum.add_pair::<true>([at(1), self.last], power(1)),
                1 | 2 if self.count > 2 * step + 1 => {
                    let before = 2 * step + 1;
                    self.sum.add_pair::<true>([at(before), at(before - 1)], power(before));
                }
                3 if self.count > 1 && !self.count.is_multiple_of(2) => {
                    let before = self.count - 1;
                    self.sum.add_sum(Sum::text_product::<true>(at(before), power(before)));
                }
                _ => return,
            }
            self.sum.pin();
        }
    }

    /// After the last step.
    #[inline(always)]
    pub unsafe fn done(&mut self) {
        if self.count != 0 {
            // SAFETY: what is left of a text is hashed before its group is finished.
            unsafe { self.to.write(self.sum) };
            self.count = 0;
        }
    }
}

impl<'a, V: Lanes, const N: usize> Hash<'a, V, N> {
    /// Blocks of a text that are summed before the sum is reduced, where there are more than [`MOST_LAST`]: the whole chunks
    /// that such a text has at least.
    const SEGMENT: usize = ((MOST_LAST + 1).div_ceil(V::LANES) - MOST_END) / N * N * V::LANES;

    /// Of a text of so many blocks behind one of associated data.
    #[inline(always)]
    pub unsafe fn new(key: &'a Key, data: &[u8; 16], blocks: usize) -> Self {
        // SAFETY: the trait's contract.
        let sum = unsafe { Sum::zero() };
        let front = Front { block: *data, power: ptr::null() };
        let mut hash = Self { key, sum, power: ptr::null(), due: 0, left: blocks, front };
        hash.begin(1);
        hash
    }

    /// Starts a segment, so many blocks before whose first one `front` stands.
    #[inline(always)]
    fn begin(&mut self, before: usize) {
        if self.left > MOST_LAST {
            (self.due, self.left) = (Self::SEGMENT, self.left - Self::SEGMENT);
        } else {
            // The length block comes behind the text.
            (self.due, self.left) = (self.left + 1, 0);
        }
        self.power = self.key.power(self.due);
        self.front.power = self.key.power(self.due + before);
    }

    /// Adds two vectors of text.
    #[inline(always)]
    pub unsafe fn add_pair(&mut self, pair: [V; 2]) {
        // SAFETY: a segment has no more blocks than there are powers.
        unsafe { self.sum.add_pair::<true>(pair, self.power) };
        self.power = self.power.wrapping_add(2 * V::LANES);
        self.due = self.due.wrapping_sub(2 * V::LANES);
    }

    /// See [`Sum::pin`].
    #[inline(always)]
    pub unsafe fn pin(&mut self) {
        // SAFETY: the trait's contract.
        unsafe { self.sum.pin() }
    }

    /// Adds a vector of text, the text's last one with zeros behind its end.
    #[inline(always)]
    pub unsafe fn add(&mut self, text: V) {
        // SAFETY: as in `add_pair`.
        unsafe { self.sum.add_sum(Sum::text_product::<true>(text, self.power)) };
        self.power = self.power.wrapping_add(V::LANES);
        self.due = self.due.wrapping_sub(V::LANES);
    }

    /// Adds the last vectors of the text, the last one with zeros behind its end.
    #[inline(always)]
    pub unsafe fn add_last<const M: usize>(&mut self, text: [V; M]) {
        // SAFETY: as in `add_pair`.
        unsafe { self.sum.add_sum(Sum::of_text::<M, true>(text, self.power)) };
    }

    /// Leaves the last `M` vectors to be hashed later: `last` stands at `at`, with zeros behind its end, those before it in
    /// front of it. The sum goes to `to`.
    #[inline(always)]
    pub fn leave<const M: usize>(self, last: V, at: *const u8, to: *mut Sum<V>) -> (Front, Unhashed<V>) {
        const { assert!(M <= Unhashed::<V>::MOST) };
        let power = self.power.wrapping_add((M - 1) * V::LANES);
        (self.front, Unhashed { count: M, last, at, power, sum: self.sum, to })
    }

    /// The sum, when all is added.
    #[inline(always)]
    pub fn finish(self) -> (Front, Sum<V>) {
        (self.front, self.sum)
    }

    /// Between chunks: where a segment is over that is not the last, reduces its sum.
    #[inline(always)]
    pub unsafe fn turn(&mut self) {
        if self.due != 0 {
            return;
        }
        // SAFETY: the trait's contract; the front's power is one that is kept.
        unsafe {
            let mut sum = Sum::sum_lanes([self.sum; 4]);
            sum.add_lanes(V::broadcast_bytes(&self.front.block).reversed(), [self.front.power; 4]);
            let [front, ..] = sum.reduced().reversed().lanes();
            self.front.block = transmute!(front);
            self.sum = Sum::zero();
        }
        self.begin(0);
    }
}
