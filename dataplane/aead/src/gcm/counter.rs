//! Counter blocks (SP 800-38D §6.5), ready to be added to a nonce.

use super::lanes::Lanes;
use crate::MOST_TEXT;

/// Blocks with what makes a counter of 1 another one, all else zeros: first that of a text's first block, which is 2, as 1
/// is the tag's; a few more than the longest text has, for vectors that reach beyond its end.
static COUNTERS: Counters = Counters({
    let mut blocks = [0; MOST_TEXT / 16 + 8];
    let mut counter = 0;
    while counter < blocks.len() {
        blocks[counter] = ((counter as u128 + 2) ^ 1).to_be();
        counter += 1;
    }
    blocks
});

#[repr(align(64))]
struct Counters([u128; MOST_TEXT / 16 + 8]);

/// What makes a counter of 1 that of a text's block at this position.
#[inline(always)]
pub fn of_block(position: usize) -> &'static u128 {
    &COUNTERS.0[position]
}

/// A packet's next counter blocks, the first round key added to them already.
pub struct Counter<V> {
    base: V,
    next: *const u128,
}

impl<V: Lanes> Counter<V> {
    /// Of a nonce, which has the counter 1 at its end.
    #[inline(always)]
    pub unsafe fn new(nonce: &[u8; 16], first_round_key: V) -> Self {
        // SAFETY: the trait's contract.
        let base = unsafe { V::broadcast_bytes(nonce).xor(first_round_key) };
        Self { base, next: COUNTERS.0.as_ptr() }
    }

    /// The next `N` vectors. Rather than counted, they are read: one instruction instead of three.
    #[inline(always)]
    pub unsafe fn next<const N: usize>(&mut self) -> [V; N] {
        // SAFETY: the longest text ends before the table does, even where its last vector reaches beyond its end.
        unsafe {
            let mut states = [self.base; N];
            for state in &mut states {
                *state = state.xor(V::load_blocks(self.next));
                self.next = self.next.wrapping_add(V::LANES);
            }
            states
        }
    }
}
