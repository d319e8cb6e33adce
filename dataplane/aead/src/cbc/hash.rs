//! The hash of HMAC over many packets at once: each lane works through its packet, and takes the next when it has
//! ended.

use std::arch::is_x86_feature_detected;
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::ptr;

use super::hmac::Chaining;
use crate::{Kernel, MOST_TAG};

/// Bytes of the blocks that lanes put together themselves: four for each lane.
const STAGED: usize = 4096;
/// What stands before the text: index and number, and the initialisation vector.
const BEFORE: usize = 24;

/// Which instructions hash.
///
/// What the kernel's name says is the least: the SHA extensions and AVX2 came to processors at other times than AES-NI
/// and VAES, and are used wherever they are.
#[derive(Debug, Clone, Copy)]
pub struct Engine {
    pub(super) avx512: bool,
    pub(super) avx2: bool,
    pub(super) sha: bool,
}

impl Engine {
    /// What a kernel uses on this processor.
    pub fn of(kernel: Kernel) -> Self {
        Self {
            avx512: kernel == Kernel::Vaes512 && kernel.is_available(),
            avx2: is_x86_feature_detected!("avx2"),
            sha: is_x86_feature_detected!("sha")
                && is_x86_feature_detected!("ssse3")
                && is_x86_feature_detected!("sse4.1"),
        }
    }
}

/// A hash with `L` lanes, at most, of a word each.
pub trait Hash<const L: usize> {
    /// 32 or 64 bits.
    type Word: Word;
    /// Bytes of a block: sixteen words.
    const BLOCK: usize;

    /// Takes in the next `count` blocks of each active lane.
    fn compress(engine: Engine, lanes: &mut Lanes<Self::Word, L>, count: usize);

    /// Whether vectors hash so many lanes.
    fn is_by_vectors(engine: Engine, active: usize) -> bool;

    /// Takes in one block of each active lane, of which row `i` holds word `i`, where
    /// [`is_by_vectors`](Self::is_by_vectors).
    fn compress_words(lanes: &mut Lanes<Self::Word, L>, words: &[[Self::Word; L]; 16]);
}

/// A word of a hash.
pub trait Word: Copy + Default {
    /// The lower bits.
    fn truncated(word: u64) -> Self;
    /// Most significant byte first; those of a word of 32 bits are the first four.
    fn bytes(self) -> [u8; 8];
}

impl Word for u32 {
    #[inline]
    fn truncated(word: u64) -> Self {
        word as u32
    }

    #[inline]
    fn bytes(self) -> [u8; 8] {
        (u64::from(self) << 32).to_be_bytes()
    }
}

impl Word for u64 {
    #[inline]
    fn truncated(word: u64) -> Self {
        word
    }

    #[inline]
    fn bytes(self) -> [u8; 8] {
        self.to_be_bytes()
    }
}

/// What the vectors work on.
///
/// Invariant: while `Hash::compress` runs, the pointers of the first `active` lanes, one at least, are readable for the
/// blocks that it is told to take in.
#[repr(C, align(64))]
pub struct Lanes<W, const L: usize> {
    /// Word `i` of every lane's chaining value in row `i`.
    pub(super) states: [[W; L]; 8],
    /// Each lane's next block.
    pub(super) next: [*const u8; L],
    /// Lanes at work, the first ones.
    pub(super) active: usize,
}

impl<W: Word, const L: usize> Lanes<W, L> {
    /// None at work.
    pub(super) fn new() -> Self {
        Self { states: [[W::default(); L]; 8], next: [std::ptr::null(); L], active: 0 }
    }

    /// Lets the idle lanes read what the first one reads: what comes of it is never looked at.
    #[inline]
    pub(super) fn fill_idle(&mut self, active: usize) {
        for lane in active..L {
            self.next[lane] = self.next[0];
        }
    }

    /// A lane's chaining value.
    #[inline]
    pub(super) fn state(&self, lane: usize) -> [W; 8] {
        std::array::from_fn(|i| self.states[i][lane])
    }

    /// Sets a lane's chaining value.
    #[inline]
    pub(super) fn set_state(&mut self, lane: usize, state: [W; 8]) {
        for (row, word) in self.states.iter_mut().zip(state) {
            row[lane] = word;
        }
    }

    /// Takes in blocks by a function for one message.
    pub(super) fn one_by_one<const N: usize, const BLOCK: usize>(
        &mut self,
        count: usize,
        compress: impl Fn(&mut [W; N], &[[u8; BLOCK]]),
    ) {
        for lane in 0..self.active {
            // SAFETY: the pointers of active lanes are readable for `count` blocks.
            let blocks = unsafe { std::slice::from_raw_parts(self.next[lane].cast(), count) };
            let mut state = self.state(lane);
            if let Some(words) = state.first_chunk_mut::<N>() {
                compress(words, blocks);
            }
            self.set_state(lane, state);
        }
    }
}

/// What is authenticated of a packet (RFC 4303 §2.8, §2.2.1).
#[derive(Clone, Copy)]
pub struct Message<'a> {
    /// The key's chaining values.
    pub chaining: &'a Chaining,
    /// Index and lower half of the number.
    pub before: [u8; 8],
    pub iv: [u8; 16],
    /// The ciphertext: readable for `length` bytes, a multiple of 16.
    pub text: *const u8,
    pub length: usize,
    /// The upper half of the number, where it is extended.
    pub after: Option<[u8; 4]>,
}

/// What a lane does when the blocks at hand have been taken in.
#[derive(Clone, Copy)]
enum Then {
    /// The blocks that stand whole in the ciphertext.
    Middle,
    /// What remains of the ciphertext, and the padding.
    End,
    /// The outer hash.
    Outer,
    /// Nothing: the code is there.
    Done,
}

/// What the lanes are at.
struct Work<const L: usize> {
    /// Which of the messages it is.
    number: [usize; L],
    /// Blocks at hand.
    left: [usize; L],
    then: [Then; L],
}

/// Authenticates the messages that `queue` numbers, best the longest first; `message` shows each, and `done` is told
/// each one's code, of which an HMAC's tag is the start.
pub fn run<'a, H: Hash<L>, const L: usize>(
    engine: Engine,
    mut queue: impl Iterator<Item = usize>,
    message: impl Fn(usize) -> Message<'a>,
    mut done: impl FnMut(usize, &[u8; MOST_TAG]),
) {
    let Some(mut next) = queue.next() else { return };
    let mut lanes = Lanes::<H::Word, L>::new();
    let mut work = Work { number: [0; L], left: [0; L], then: [Then::Done; L] };
    let mut staged = Staged(MaybeUninit::uninit());
    let places = Places::<L>(staged.0.as_mut_ptr().cast(), PhantomData);
    let mut waiting = true;
    // The lane takes the next message.
    let mut take = |lanes: &mut Lanes<H::Word, L>, work: &mut Work<L>, lane: usize| {
        let message = message(next);
        lanes.set_state(lane, message.chaining.inner.map(H::Word::truncated));
        (work.left[lane], work.then[lane]) = message.begin(places.at(lane), H::BLOCK);
        lanes.next[lane] = places.start(lane);
        work.number[lane] = next;
        match queue.next() {
            Some(number) => {
                next = number;
                true
            }
            None => false,
        }
    };
    while waiting && lanes.active < L {
        let lane = lanes.active;
        places.clear(lane);
        waiting = take(&mut lanes, &mut work, lane);
        lanes.active += 1;
    }
    while lanes.active > 0 {
        let count = work.left.iter().take(lanes.active).fold(usize::MAX, |least, left| least.min(*left));
        H::compress(engine, &mut lanes, count);
        // Packets of one length come to the outer hash together. The inner ones' words are in rows already.
        if H::is_by_vectors(engine, lanes.active)
            && (0..lanes.active).all(|lane| work.left[lane] == count && matches!(work.then[lane], Then::Outer))
        {
            outer_together::<H, L>(&mut lanes, &mut work, |number| message(number).chaining);
        }
        // Backwards: what takes the place of a lane that has ended was looked at before.
        for lane in (0..lanes.active).rev() {
            work.left[lane] -= count;
            if work.left[lane] > 0 {
                lanes.next[lane] = lanes.next[lane].wrapping_add(count * H::BLOCK);
                continue;
            }
            let message = message(work.number[lane]);
            match work.then[lane] {
                Then::Middle => {
                    (work.left[lane], work.then[lane]) = (message.middle(H::BLOCK), Then::End);
                    lanes.next[lane] = message.text.wrapping_add(H::BLOCK - BEFORE);
                }
                Then::End => {
                    (work.left[lane], work.then[lane]) = (message.end(places.at(lane), H::BLOCK), Then::Outer);
                    lanes.next[lane] = places.start(lane).wrapping_add(H::BLOCK);
                }
                Then::Outer => {
                    outer(places.at(lane), lanes.state(lane), message.chaining.digest, H::BLOCK);
                    (work.left[lane], work.then[lane]) = (1, Then::Done);
                    lanes.set_state(lane, message.chaining.outer.map(H::Word::truncated));
                    lanes.next[lane] = places.start(lane);
                }
                Then::Done => {
                    let mut code = [0; MOST_TAG];
                    write_words(&mut code, lanes.state(lane));
                    done(work.number[lane], &code);
                    if waiting {
                        waiting = take(&mut lanes, &mut work, lane);
                    } else {
                        let last = lanes.active - 1;
                        lanes.active = last;
                        lanes.set_state(lane, lanes.state(last));
                        // Blocks at hand may stand in the last lane's place, which nobody else takes any more.
                        lanes.next[lane] = lanes.next[last];
                        work.number[lane] = work.number[last];
                        work.left[lane] = work.left[last];
                        work.then[lane] = work.then[last];
                    }
                }
            }
        }
    }
}

impl Message<'_> {
    /// Puts the first blocks together: how many there are, and what follows.
    #[inline(always)]
    fn begin(&self, staged: &mut [u8], block: usize) -> (usize, Then) {
        staged[..8].copy_from_slice(&self.before);
        staged[8..BEFORE].copy_from_slice(&self.iv);
        let filled = BEFORE + self.length;
        if filled < 2 * block {
            self.copy_text(0, &mut staged[BEFORE..filled]);
            (self.pad(staged, filled, block), Then::Outer)
        } else {
            self.copy_text(0, &mut staged[BEFORE..block]);
            (1, Then::Middle)
        }
    }

    /// Blocks that stand whole in the ciphertext: one at least, where there is a middle.
    #[inline(always)]
    fn middle(&self, block: usize) -> usize {
        (BEFORE + self.length) / block - 1
    }

    /// Puts the last blocks together, from the second block of the place on: how many there are.
    #[inline(always)]
    fn end(&self, staged: &mut [u8], block: usize) -> usize {
        let filled = (BEFORE + self.length) % block;
        // As many bytes as a block has, whatever is wanted of them: a copy of a fixed length. Those in front of the
        // second block are not looked at. Where there is an end, the text is longer than a block.
        self.copy_text(self.length - block, &mut staged[filled..][..block]);
        self.pad(&mut staged[block..], filled, block)
    }

    /// Copies ciphertext from `offset` on.
    #[inline(always)]
    fn copy_text(&self, offset: usize, to: &mut [u8]) {
        assert!(offset <= self.length && to.len() <= self.length - offset);
        // SAFETY: `text` is readable for `length` bytes, and what is staged is ours alone.
        unsafe { ptr::copy_nonoverlapping(self.text.add(offset), to.as_mut_ptr(), to.len()) };
    }

    /// FIPS 180-4 §5.1: the upper half of the number, a bit, zeros, and the count of bits, behind what is filled, 8
    /// bytes more than a multiple of 16. How many blocks there are.
    #[inline(always)]
    fn pad(&self, staged: &mut [u8], filled: usize, block: usize) -> usize {
        let mut bit = [0x80, 0, 0, 0, 0, 0, 0, 0];
        let mut length = block + BEFORE + self.length;
        if let Some(after) = self.after {
            bit = [after[0], after[1], after[2], after[3], 0x80, 0, 0, 0];
            length += after.len();
        }
        let end = (filled + 8 + block / 8).next_multiple_of(block);
        staged[filled..][..8].copy_from_slice(&bit);
        // A block of zeros is more than enough, and a fixed length.
        staged[filled + 8..][..block].fill(0);
        staged[end - 8..][..8].copy_from_slice(&(8 * length as u64).to_be_bytes());
        end / block
    }
}

/// The outer hash of all lanes at once, where their digests are of one length: SHA-384 and SHA-512 share lanes.
#[inline]
fn outer_together<'a, H: Hash<L>, const L: usize>(
    lanes: &mut Lanes<H::Word, L>,
    work: &mut Work<L>,
    chaining: impl Fn(usize) -> &'a Chaining,
) {
    let digest = chaining(work.number[0]).digest;
    if (1..lanes.active).any(|lane| chaining(work.number[lane]).digest != digest) {
        return;
    }
    // RFC 2104 §2, FIPS 180-4 §5.1: the digest, a bit, zeros, and the count of bits.
    let mut words = [[H::Word::default(); L]; 16];
    let length = digest / size_of::<H::Word>();
    words[..length].copy_from_slice(&lanes.states[..length]);
    words[length] = [H::Word::truncated(1 << (8 * size_of::<H::Word>() - 1)); L];
    words[15] = [H::Word::truncated(8 * (H::BLOCK + digest) as u64); L];
    for lane in 0..lanes.active {
        lanes.set_state(lane, chaining(work.number[lane]).outer.map(H::Word::truncated));
        work.then[lane] = Then::Done;
    }
    H::compress_words(lanes, &words);
}

/// Puts the block of the outer hash together: the inner one's `digest` bytes, padded (RFC 2104 §2, FIPS 180-4 §5.1).
#[inline(always)]
fn outer<W: Word>(staged: &mut [u8], inner: [W; 8], digest: usize, block: usize) {
    staged[..block].fill(0);
    write_words(&mut staged[..block / 2], inner);
    // SHA-1 and SHA-384 have less words than there are.
    if digest < block / 2 {
        staged[digest..block / 2].fill(0);
    }
    staged[digest] = 0x80;
    staged[block - 8..block].copy_from_slice(&(8 * (block + digest) as u64).to_be_bytes());
}

/// As many words as there is room for.
#[inline(always)]
fn write_words<W: Word>(to: &mut [u8], words: [W; 8]) {
    for (bytes, word) in to.chunks_exact_mut(size_of::<W>()).zip(words) {
        bytes.copy_from_slice(&word.bytes()[..size_of::<W>()]);
    }
}

/// Blocks that lanes put together themselves.
#[repr(C, align(64))]
struct Staged(MaybeUninit<[u8; STAGED]>);

/// A piece of [`Staged`] for each of `L` lanes. Only pointers: the lanes keep some while others are written through.
struct Places<'a, const L: usize>(*mut u8, PhantomData<&'a mut Staged>);

impl<const L: usize> Places<'_, L> {
    #[inline]
    fn start(&self, place: usize) -> *const u8 {
        self.0.wrapping_add(STAGED / L * place)
    }

    /// Makes a place ready: those of lanes that never come to work stay as they are.
    #[inline]
    fn clear(&self, place: usize) {
        assert!(place < L);
        // SAFETY: within the piece, one of `L`.
        unsafe { ptr::write_bytes(self.0.add(STAGED / L * place), 0, STAGED / L) };
    }

    /// A place that was made ready.
    #[allow(clippy::mut_from_ref)]
    #[inline]
    fn at(&self, place: usize) -> &mut [u8] {
        assert!(place < L);
        // SAFETY: within the piece, one of `L`, and cleared before; the caller drops it before another is made.
        unsafe { std::slice::from_raw_parts_mut(self.0.add(STAGED / L * place), STAGED / L) }
    }
}
