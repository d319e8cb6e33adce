//! Vectors of blocks: what the AES-GCM kernels are written over, once for every width.

use std::arch::x86_64::__m128i;

use crate::{MOST_TAIL, Tail};

/// Most vectors into which a tail reaches, whatever their width: [`Lanes::END`].
pub const MOST_END: usize = 3;

/// A vector of one, two or four blocks of 16 bytes, one in each 128-bit lane.
///
/// # Safety
/// Every function wants the instructions of the kernel that the vector belongs to, and pointers that are valid for
/// what its words say is read or written.
pub trait Lanes: Copy {
    /// Blocks in a vector.
    const LANES: usize;
    /// Bytes in a vector.
    const BYTES: usize = 16 * Self::LANES;
    /// Whether there are so few registers that a text is rather loaded again when it is hashed.
    const RELOADS: bool;
    /// Vectors into which a tail reaches at most: all before them are whole without it.
    const END: usize = 1 + MOST_TAIL.div_ceil(Self::BYTES);

    /// All zeros.
    unsafe fn zero() -> Self;
    /// A block in every lane.
    unsafe fn broadcast(from: *const u128) -> Self;
    /// The same, of a block at any alignment.
    unsafe fn broadcast_bytes(from: &[u8; 16]) -> Self;
    /// The first `LANES` of four blocks.
    unsafe fn gather(blocks: [__m128i; 4]) -> Self;
    /// A block in the first lane; the others are nobody's.
    unsafe fn of_block(block: __m128i) -> Self;
    /// `BYTES` bytes, at any alignment.
    unsafe fn load(from: *const u8) -> Self;
    /// Blocks that follow each other in memory.
    unsafe fn load_blocks(from: *const u128) -> Self;
    /// The last `count` vectors of a text, at most `END`: `left` bytes and those of the tail, zeros behind them.
    unsafe fn load_end(from: *const u8, left: usize, tail: Option<&Tail>, count: usize) -> [Self; MOST_END];
    /// `BYTES` bytes, at any alignment.
    unsafe fn store(self, to: *mut u8);
    /// The first `count` bytes, at most `BYTES`.
    unsafe fn store_first(self, to: *mut u8, count: usize);
    /// The first `count` bytes, at most `BYTES`, and zeros behind them.
    unsafe fn first(self, count: usize) -> Self;
    /// The block in a lane.
    unsafe fn lanes(self) -> [__m128i; 4];

    /// The same; but the compiler computes what it is pinned after and before in the order in which it is written. It
    /// would otherwise gather what belongs together, and take apart what was to stand side by side.
    unsafe fn pinned(self) -> Self;

    /// The sum, which is exclusive or.
    unsafe fn xor(self, other: Self) -> Self;
    /// The sum of three.
    unsafe fn xor3(self, second: Self, third: Self) -> Self;
    /// One round of AES on each lane.
    unsafe fn round(self, key: Self) -> Self;
    /// The last round of AES on each lane.
    unsafe fn last_round(self, key: Self) -> Self;
    /// The product of the lower halves of each lane.
    unsafe fn multiply_low(self, other: Self) -> Self;
    /// The product of the upper halves of each lane.
    unsafe fn multiply_high(self, other: Self) -> Self;
    /// The halves of each lane, exchanged.
    unsafe fn swapped(self) -> Self;
    /// The bytes of each lane in reverse.
    unsafe fn reversed(self) -> Self;
    /// Each 64-bit number of bytes as one of bits.
    unsafe fn bits_of_bytes(self) -> Self;
    /// In lane `i` the sum over the lanes of the `i`th of the first `LANES` vectors.
    unsafe fn sum_lanes(vectors: [Self; 4]) -> Self;
    /// Bit `i` says whether lane `i` is all zeros.
    unsafe fn zero_lanes(self) -> u32;
}
