//! GHASH, summed unreduced over as many blocks as there are powers of the hash key.
//!
//! It runs in POLYVAL's representation (RFC 8452 appendix A): with byte-reversed blocks and the key multiplied by x once,
//! no product has to be shifted.

use std::arch::x86_64::{_mm_load_si128, _mm_setzero_si128};
use std::ptr;

use zerocopy::transmute;

use super::key::{Key, POWERS, TO_FOLDED};
use super::lanes::Lanes;

/// The modulus x^128 + x^127 + x^126 + x^121 + 1 without its first and last term, shifted down by 64.
static MODULUS: u128 = 0xc200_0000_0000_0000;
/// Blocks of a text that are summed before the sum is reduced, where there are more than [`MOST_LAST`].
const SEGMENT: usize = 96;
/// Most blocks that are summed at the end of a text: their powers and those of the two blocks around them are kept.
const MOST_LAST: usize = POWERS - 2;
/// What is not in chunks of whole vectors is less than 16 blocks and a tail; all before it must still make a segment,
/// and a segment whole chunks.
const _: () = assert!(SEGMENT + 6 <= POWERS && SEGMENT.is_multiple_of(32));

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

    /// `FOLDED` says whether the powers are among those that are kept with both halves added, too.
    #[inline(always)]
    unsafe fn text_product<const FOLDED: bool>(text: V, power: *const u128) -> Self {
        // SAFETY: `power` is one that is kept, and behind the first power there is as much as a vector reaches beyond it.
        unsafe {
            let powers = V::load_blocks(power);
            let folded = if FOLDED { V::load_blocks(power.add(TO_FOLDED)) } else { powers.xor(powers.swapped()) };
            Self::product(text.reversed(), powers, folded)
        }
    }

    /// Adds blocks, byte-reversed, each times the power in its lane.
    #[inline(always)]
    pub unsafe fn add(&mut self, blocks: V, powers: V, folded: V) {
        // SAFETY: the trait's contract.
        unsafe {
            self.add_sum(Self::product(blocks, powers, folded));
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

    /// Adds to each lane a block of its own, byte-reversed, times a power of its own.
    #[inline(always)]
    pub unsafe fn add_lanes(&mut self, blocks: V, powers: [*const u128; 4]) {
        // SAFETY: the trait's contract; these are powers that are kept.
        unsafe {
            let mut gathered = [_mm_setzero_si128(); 4];
            for (block, power) in gathered.iter_mut().zip(powers) {
                *block = _mm_load_si128(power.cast());
            }
            let powers = V::gather(gathered);
            self.add(blocks, powers, powers.xor(powers.swapped()));
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

/// The hash of a text under way.
pub struct Hash<'a, V> {
    key: &'a Key,
    sum: Sum<V>,
    /// Of the next block.
    power: *const u128,
    /// Blocks of this segment not yet added, and one for the length block if it is the last.
    due: usize,
    /// Blocks behind the present segment.
    left: usize,
    /// A block to be added besides: the associated data, one block before the text, or the hash of the
    /// segments so far.
    front: [u8; 16],
    front_power: *const u128,
}

/// The hash of a text, the associated data and the lengths not yet in it.
#[derive(Clone, Copy)]
pub struct Unfinished<V> {
    pub sum: Sum<V>,
    /// A block still to be added, times this power of the hash key.
    pub front: [u8; 16],
    pub front_power: *const u128,
}

impl<'a, V: Lanes> Hash<'a, V> {
    /// Of a text of so many blocks behind one of associated data.
    #[inline(always)]
    pub unsafe fn new(key: &'a Key, data: &[u8; 16], blocks: usize) -> Self {
        // SAFETY: the trait's contract.
        let sum = unsafe { Sum::zero() };
        let mut hash =
            Self { key, sum, power: ptr::null(), due: 0, left: blocks, front: *data, front_power: ptr::null() };
        hash.begin(1);
        hash
    }

    /// Starts a segment, so many blocks before whose first one `front` stands.
    #[inline(always)]
    fn begin(&mut self, before: usize) {
        if self.left > MOST_LAST {
            (self.due, self.left) = (SEGMENT, self.left - SEGMENT);
        } else {
            // The length block comes behind the text.
            (self.due, self.left) = (self.left + 1, 0);
        }
        self.power = self.key.power(self.due);
        self.front_power = self.key.power(self.due + before);
    }

    /// Adds two vectors of text.
    #[inline(always)]
    pub unsafe fn add_pair(&mut self, pair: [V; 2]) {
        // SAFETY: a segment has no more blocks than there are powers.
        unsafe { self.sum.add_pair::<true>(pair, self.power) };
        self.power = self.power.wrapping_add(2 * V::LANES);
        self.due = self.due.wrapping_sub(2 * V::LANES);
    }

    /// Has what was added so far computed here; see [`Lanes::pinned`].
    #[inline(always)]
    pub unsafe fn pin(&mut self) {
        // SAFETY: the trait's contract.
        unsafe {
            self.sum.low = self.sum.low.pinned();
            self.sum.middle = self.sum.middle.pinned();
            self.sum.high = self.sum.high.pinned();
        }
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
    pub unsafe fn finish<const N: usize>(mut self, text: [V; N]) -> Unfinished<V> {
        // SAFETY: as in `add_pair`.
        unsafe { self.sum.add_sum(Sum::of_text::<N, true>(text, self.power)) };
        Unfinished { sum: self.sum, front: self.front, front_power: self.front_power }
    }

    /// That of no text.
    #[inline(always)]
    pub fn finish_empty(self) -> Unfinished<V> {
        Unfinished { sum: self.sum, front: self.front, front_power: self.front_power }
    }

    /// Between chunks: where a segment is over that is not the last, reduces its sum.
    #[inline(always)]
    pub unsafe fn turn(&mut self) {
        if self.due != 0 {
            return;
        }
        // SAFETY: the trait's contract; `front_power` is a power that is kept.
        unsafe {
            let mut sum = Sum::sum_lanes([self.sum; 4]);
            sum.add_lanes(V::broadcast_bytes(&self.front).reversed(), [self.front_power; 4]);
            let [front, ..] = sum.reduced().reversed().lanes();
            self.front = transmute!(front);
            self.sum = Sum::zero();
        }
        self.begin(0);
    }
}
