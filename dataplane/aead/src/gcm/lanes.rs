//! Vectors of blocks: what the AES-GCM kernels are written over, once for every width.

use std::arch::x86_64::__m128i;

/// A vector of one, two or four blocks of 16 bytes, one in each 128-bit lane.
///
/// # Safety
/// Every function wants the instructions of the kernel that the vector belongs to; pointers as each one says.
pub trait Lanes: Copy {
    /// Blocks in a vector.
    const LANES: usize;
    /// Bytes in a vector.
    const BYTES: usize = 16 * Self::LANES;

    /// All zeros.
    unsafe fn zero() -> Self;
    /// The block at `from` in every lane.
    unsafe fn broadcast(from: *const u128) -> Self;
    /// The first `LANES` of four blocks.
    unsafe fn gather(blocks: [__m128i; 4]) -> Self;
    /// The first `LANES` of the blocks at four pointers.
    unsafe fn gather_from(blocks: [*const u128; 4]) -> Self;
    /// `BYTES` bytes, at any alignment.
    unsafe fn load(from: *const u8) -> Self;
    /// The first `count` bytes, at most `BYTES`, and zeros behind them.
    unsafe fn load_first(from: *const u8, count: usize) -> Self;
    /// `BYTES` bytes, at any alignment.
    unsafe fn store(self, to: *mut u8);
    /// The first `count` bytes, at most `BYTES`.
    unsafe fn store_first(self, to: *mut u8, count: usize);
    /// The first `count` bytes, and zeros behind them.
    unsafe fn first(self, count: usize) -> Self;
    /// The block in one lane.
    unsafe fn lane(self, lane: usize) -> __m128i;
    /// The block in the last lane.
    unsafe fn last_lane(self) -> __m128i;

    unsafe fn xor(self, other: Self) -> Self;
    /// One round of AES on each lane.
    unsafe fn round(self, key: Self) -> Self;
    /// The last round of AES on each lane.
    unsafe fn last_round(self, key: Self) -> Self;
    /// The product of the lower halves of each lane.
    unsafe fn multiply_low(self, other: Self) -> Self;
    /// The product of the upper halves of each lane.
    unsafe fn multiply_high(self, other: Self) -> Self;
    /// The product of this one's lower half of each lane with the other's upper half.
    unsafe fn multiply_low_high(self, other: Self) -> Self;
    /// The halves of each lane, exchanged.
    unsafe fn swapped(self) -> Self;
    /// The lower half of each lane in its upper half, zeros below.
    unsafe fn low_to_high(self) -> Self;
    /// The upper half of each lane in its lower half, zeros above.
    unsafe fn high_to_low(self) -> Self;
    /// The bytes of each lane in reverse.
    unsafe fn reversed(self) -> Self;
    /// The last four bytes of each lane in reverse: a counter in the processor's order, as GCM wants it.
    unsafe fn counter_reversed(self) -> Self;
    /// 32-bit words added.
    unsafe fn add_words(self, other: Self) -> Self;
    /// In lane `i` the sum (exclusive or) over the lanes of the `i`th of the first `LANES` vectors.
    unsafe fn sum_lanes(vectors: [Self; 4]) -> Self;
    /// The sum over the lanes of one vector.
    unsafe fn sum(self) -> __m128i;
    /// A block in the first lane, zeros in the others.
    unsafe fn first_lane(block: __m128i) -> Self;
    /// A bit for each lane that is all zeros.
    unsafe fn zero_lanes(self) -> u32;
}
