//! The anti-replay window (RFC 4303 §3.4.3) and the inference of extended sequence numbers (RFC 4303 appendix A2).

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Why a sequence number is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stale {
    /// It lies to the left of the window: too old to tell whether it was seen.
    BehindWindow,
    /// It was accepted before.
    Replayed,
    /// No sender uses it: zero, or an extended number before the first.
    Impossible,
}

/// Remembers which of the newest sequence numbers were accepted.
///
/// All workers share one window without a lock. The ring of 64-bit words holds 32 numbers a word: the low half is
/// one bit a number, the high half names the block of numbers that the bits stand for. A word therefore explains
/// itself, and one compare-and-swap both moves it on to a newer block and marks a number in it. A number is accepted
/// by whoever sets its bit, and a word never goes back to an older block: no number is accepted twice, whichever
/// workers race. Numbers of one block are accepted together. Half a number names the block modulo 2^32: only a peer that skips 2^36 numbers at once would be
/// refused for it, and none that counts does. (A shared window with a separate top, as RFC 6479 has it, would need a lock for that.)
#[derive(Debug)]
pub struct ReplayWindow {
    /// A power of two of words, at least one more than the window covers, so that all blocks in the window have a
    /// word each.
    words: Box<[AtomicU64]>,
    /// The greatest number accepted.
    top: AtomicU64,
    size: u32,
    extended: bool,
}

const NUMBERS_PER_WORD: u64 = 32;

impl ReplayWindow {
    /// A window of at least `size` numbers, with extended (64-bit) sequence numbers or without.
    #[must_use]
    pub fn new(size: u32, extended: bool) -> Self {
        let size = size.max(NUMBERS_PER_WORD as u32);
        let words = (u64::from(size).div_ceil(NUMBERS_PER_WORD) + 1).next_power_of_two();
        Self { words: (0..words).map(|_| AtomicU64::new(0)).collect(), top: AtomicU64::new(0), size, extended }
    }

    /// What follows from where the window stands, worked out once for packets that are looked at together.
    #[inline(always)]
    pub fn bounds(&self) -> Bounds {
        let top = self.top.load(Relaxed);
        let left = top.saturating_sub(self.size.into());
        let (lowest, upper) = if self.extended {
            // RFC 4303 A2.2: the window lies within one subspace of 2^32 numbers (case A) or spans two (case B). Its lowest number's
            // upper half is that of all numbers whose lower half is not less; others lie in the next subspace.
            let lowest = (top as u32).wrapping_sub(self.size - 1);
            (lowest, (top >> 32).wrapping_sub(u64::from((top as u32) < self.size - 1)))
        } else {
            (0, 0)
        };
        Bounds { top, left, lowest, upper }
    }

    /// Looks at a number found within bounds: whether it could still be accepted. Seen before the packet is opened, it is no promise.
    ///
    /// # Errors
    /// Why it cannot.
    #[inline(always)]
    pub fn look(&self, number: u64, bounds: &Bounds) -> Result<(), Stale> {
        // Nothing right of the window was seen.
        if number > bounds.top { Ok(()) } else { self.marked(number) }
    }

    #[inline(always)]
    fn marked(&self, number: u64) -> Result<(), Stale> {
        let block = Block::of(number);
        let word = self.word(block).load(Relaxed);
        match free(word, block) & block.bit(number) {
            0 if names(word, block) => Err(Stale::Replayed),
            0 => Err(Stale::BehindWindow),
            _ => Ok(()),
        }
    }

    /// Whether a number could be accepted now.
    ///
    /// # Errors
    /// Why it cannot.
    pub fn check(&self, number: u64) -> Result<(), Stale> {
        self.bounds().hold(number)?;
        self.marked(number)
    }

    /// Accepts those numbers of a block, once each, whose bits are set in `numbers`, after their packets proved authentic.
    /// Returns the bits of those that are accepted: of others another worker came first, or the window has moved on.
    #[inline(always)]
    pub fn accept(&self, block: Block, numbers: u32) -> u32 {
        let word = self.word(block);
        let numbers = numbers & block.above(self.bounds().left);
        let mut before = word.load(Relaxed);
        let accepted = loop {
            let accepted = numbers & free(before, block);
            if accepted == 0 {
                return 0;
            }
            let kept = if names(before, block) { before } else { u64::from(block.0 as u32) << 32 };
            // Relaxed is enough: the decision rests on this one word alone, and no other memory is read by it.
            match word.compare_exchange_weak(before, kept | u64::from(accepted), Relaxed, Relaxed) {
                Ok(_) => break accepted,
                Err(now) => before = now,
            }
        };
        let greatest = block.first() + u64::from(accepted.ilog2());
        // Not one step: two workers that race can leave the lesser number. Then the window is a little wider for a while,
        // and a number may be accepted that was never seen before and is a little too old. None is accepted twice, for
        // that is decided by the words.
        if greatest > self.top.load(Relaxed) {
            self.top.store(greatest, Relaxed);
        }
        accepted
    }

    /// The greatest number accepted, zero before the first.
    #[must_use]
    pub fn top(&self) -> u64 {
        self.top.load(Relaxed)
    }

    /// Has the word brought near in which the number with this low half stands.
    #[inline(always)]
    pub fn prefetch(&self, low: u32) {
        aead::prefetch(self.word(Block::of(low.into())));
    }

    #[inline(always)]
    fn word(&self, block: Block) -> &AtomicU64 {
        &self.words[block.0 as usize & (self.words.len() - 1)]
    }

    #[cfg(test)]
    pub(crate) fn skip_to(&self, number: u64) {
        self.top.store(number, Relaxed);
    }
}

/// What a window's place says about numbers.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// The greatest number accepted.
    top: u64,
    /// The greatest number that is too old.
    left: u64,
    /// The upper half of numbers whose lower half is at least `lowest`; that of others is one more.
    lowest: u32,
    upper: u64,
}

impl Bounds {
    /// The whole number behind the lower half that a packet carries.
    ///
    /// # Errors
    /// Where it is none or too old.
    #[inline(always)]
    pub fn infer(&self, lower: u32) -> Result<u64, Stale> {
        let upper = self.upper.wrapping_add(u64::from(lower < self.lowest));
        let number = upper << 32 | u64::from(lower);
        self.hold(number).map(|()| number)
    }

    #[inline(always)]
    fn hold(&self, number: u64) -> Result<(), Stale> {
        // What would lie before the first subspace is less than nothing. So would be a number of 2^63, which no sender gets to.
        if number as i64 > self.left as i64 {
            return Ok(());
        }
        Err(if number as i64 <= 0 { Stale::Impossible } else { Stale::BehindWindow })
    }
}

/// The numbers that share a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Block(u64);

impl Block {
    /// The block of a number.
    #[inline(always)]
    pub fn of(number: u64) -> Self {
        Self(number / NUMBERS_PER_WORD)
    }

    /// The bit of a number of this block.
    #[inline(always)]
    pub fn bit(self, number: u64) -> u32 {
        1 << (number % NUMBERS_PER_WORD)
    }

    fn first(self) -> u64 {
        self.0 * NUMBERS_PER_WORD
    }

    /// The bits of those numbers that are greater than `left`.
    #[inline(always)]
    fn above(self, left: u64) -> u32 {
        let less = (left + 1).saturating_sub(self.first()).min(NUMBERS_PER_WORD);
        u32::MAX.checked_shl(less as u32).unwrap_or(0)
    }
}

/// Whether a word stands for this block.
#[inline(always)]
fn names(word: u64, block: Block) -> bool {
    (word >> 32) as u32 == block.0 as u32
}

/// The bits of a block's numbers that a word does not keep from being accepted: all where it stands for an older block,
/// none where it has moved on to a newer one.
#[inline(always)]
fn free(word: u64, block: Block) -> u32 {
    match (block.0 as u32).wrapping_sub((word >> 32) as u32) as i32 {
        ..0 => 0,
        0 => !(word as u32),
        1.. => u32::MAX,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn commit(window: &ReplayWindow, number: u64) -> Result<(), Stale> {
        window.check(number)?;
        let (block, bit) = (Block::of(number), Block::of(number).bit(number));
        if window.accept(block, bit) == bit { Ok(()) } else { Err(Stale::Replayed) }
    }

    /// The window as RFC 4303 §3.4.3 words it: all accepted numbers, and the greatest.
    #[derive(Default)]
    struct Model {
        accepted: BTreeSet<u64>,
    }

    impl Model {
        fn commit(&mut self, number: u64, size: u64) -> Result<(), Stale> {
            let top = self.accepted.last().copied().unwrap_or(0);
            match number {
                0 => Err(Stale::Impossible),
                _ if number + size <= top => Err(Stale::BehindWindow),
                _ if self.accepted.insert(number) => Ok(()),
                _ => Err(Stale::Replayed),
            }
        }
    }

    proptest! {
        #[test]
        fn agrees_with_the_model(
            size in prop_oneof![Just(64_u32), Just(100), Just(1024), Just(4096)],
            start in prop_oneof![Just(0_u64), Just(u64::from(u32::MAX) - 500), Just(1 << 35)],
            steps in proptest::collection::vec((0_u64..6000, any::<bool>()), 1..600),
        ) {
            let (window, mut model) = (ReplayWindow::new(size, true), Model::default());
            let mut base = start;
            for (step, advance) in steps {
                if advance { base += step / 40 }
                let number = (base + 3000).saturating_sub(step);
                let expected = model.commit(number, u64::from(size));
                if window.check(number).is_ok() {
                    prop_assert_eq!(commit(&window, number), expected, "number {}", number);
                } else {
                    prop_assert_eq!(window.check(number), expected, "number {}", number);
                }
            }
        }

        /// Whatever lies less than 2^31 to either side of the top is inferred from its low half.
        #[test]
        fn extended_numbers_are_inferred(top in 1_u64..1 << 35, offset in -900_i64..0x7fff_ffff) {
            let window = ReplayWindow::new(1024, true);
            commit(&window, top).unwrap();
            let number = top.saturating_add_signed(offset);
            prop_assert_eq!(window.bounds().infer(number as u32), Ok(number));
        }
    }

    #[test]
    fn numbers_before_the_first_are_impossible() {
        let window = ReplayWindow::new(64, true);
        assert_eq!(window.bounds().infer(u32::MAX), Err(Stale::Impossible));
        assert_eq!(window.check(0), Err(Stale::Impossible));
    }

    #[test]
    fn racing_workers_accept_each_number_once() {
        let window = ReplayWindow::new(4096, true);
        let accepted: usize = std::thread::scope(|scope| {
            let workers: Vec<_> = (0..4)
                .map(|_| scope.spawn(|| (1..=4000_u64).filter(|number| commit(&window, *number).is_ok()).count()))
                .collect();
            workers.into_iter().map(|worker| worker.join().unwrap()).sum()
        });
        assert_eq!(accepted, 4000);
    }
}
