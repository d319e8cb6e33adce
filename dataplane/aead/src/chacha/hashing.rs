//! Poly1305 of long packets in small steps, which ChaCha20's rounds have room for.

use std::arch::x86_64::{__m512i, _mm512_loadu_si512, _mm512_or_si512, _mm512_unpackhi_epi64, _mm512_unpacklo_epi64};

use super::poly1305::{self, BLOCK, Message};
use super::residues::{Factor44, Product44, Radix44, Residues};
use super::words::transposed_lanes;
use super::{Key, Packet, blocks};
use crate::{PIECE, TAG};

/// Packets that are authenticated side by side.
pub const LANES: usize = 8;
/// Blocks of each of them that a step takes.
const BLOCKS: usize = 4;

/// A vector where it can be loaded at once.
#[repr(align(64))]
#[derive(Clone, Copy)]
struct Row([u64; 8]);

/// Blocks that are not all text of whole blocks, put together.
#[derive(Clone, Copy)]
struct Edge {
    rows: [Row; LANES],
    texts: [*const u8; LANES],
    ones: [Row; BLOCKS],
}

/// Authentication of a batch of packets, a group of them after the other.
pub struct Hashing<'a, 'b> {
    packets: &'a [Packet<'b, Key>],
    keys: *const [u8; blocks::BLOCK],
    sealing: bool,
    /// Groups that have their keys and their ciphertext.
    pub ready: usize,
    /// Groups that have their tags.
    done: usize,
    pub tags: [[u8; TAG]; PIECE],

    messages: [Option<Message<'a>>; LANES],
    /// Blocks of zeros before the message, so that all end together.
    leads: [isize; LANES],
    texts: [*const u8; LANES],
    /// Where there is text in whole blocks in every lane.
    inside: std::ops::Range<isize>,
    at: isize,
    end: isize,
    edges: [Edge; 2],
    step: Step,
    /// The last step's, not reduced yet.
    pub product: Product44,
}

/// Where a step's blocks are.
pub struct Place {
    /// Among the edges, or else in the text.
    edge: Option<usize>,
    /// From there on.
    offset: isize,
}

/// The same, as a step takes it.
pub struct Blocks<'a> {
    /// For each lane.
    texts: &'a [*const u8; LANES],
    /// From there on.
    offset: isize,
    /// 2^128 as the highest limb has it, where there is a block.
    ones: &'a [Row; BLOCKS],
}

/// Where there is a block everywhere.
static ONES: [Row; BLOCKS] = [Row([1 << 40; 8]); BLOCKS];

/// What a step needs.
pub struct Step {
    columns: [__m512i; LANES],
    powers: [Factor44; BLOCKS],
    sum: Radix44,
}

impl Step {
    /// One of 160 parts, an instruction or a few each, as many as ten rounds have quarters of quarter rounds: 32 to turn the
    /// text of all lanes, and 32 for each block, the last one first. Many are empty.
    ///
    /// # Safety
    /// Wants the instructions of the kernel.
    #[inline(always)]
    pub unsafe fn part(&mut self, part: usize, place: &Blocks<'_>, product: &mut Product44, limbs: &mut [__m512i; 4]) {
        // SAFETY: rows are readable; the caller vouches for the instructions.
        unsafe {
            let row = |i: usize| _mm512_loadu_si512(place.texts[i].wrapping_offset(place.offset).cast());
            match part {
                0..4 => limbs[part] = _mm512_unpacklo_epi64(row(2 * part), row(2 * part + 1)),
                8..12 => limbs[part - 8] = _mm512_unpackhi_epi64(row(2 * part - 16), row(2 * part - 15)),
                4 | 12 => {
                    let columns = transposed_lanes(*limbs);
                    for (i, column) in columns.into_iter().enumerate() {
                        self.columns[2 * i + part / 8] = column;
                    }
                }
                20 => {
                    self.sum = Radix44::reduced(*product);
                    *product = Product44::zero();
                }
                32.. => {
                    let (turn, part) = (part / 32 - 1, part % 32);
                    let block = BLOCKS - 1 - turn;
                    if part == 0 {
                        [limbs[0], limbs[1], limbs[2]] = self.block(place, block);
                    } else if (4..31).contains(&part) && part % 3 != 0 {
                        let i = (part - 4) / 3 * 2 + (part - 4) % 3;
                        product.add_product(i / 6, i % 6, limbs[i / 6], &self.powers[turn]);
                    }
                }
                _ => {}
            }
        }
    }

    /// A block of each lane, the first with the sum before it.
    #[inline(always)]
    unsafe fn block(&self, place: &Blocks<'_>, block: usize) -> [__m512i; 3] {
        // SAFETY: the caller vouches for the instructions.
        unsafe {
            let [a, b, c] = Radix44::of_words(self.columns[2 * block], self.columns[2 * block + 1]).limbs();
            let ones = Radix44::load(place.ones[block].0.as_ptr());
            let own = Radix44::from_limbs([a, b, _mm512_or_si512(c, ones)]);
            if block == 0 { own.add(self.sum).limbs() } else { own.limbs() }
        }
    }

    /// All parts, with nothing between them.
    ///
    /// # Safety
    /// Wants the instructions of the kernel.
    #[inline(always)]
    unsafe fn whole(&mut self, place: &Blocks<'_>, product: Product44) -> Product44 {
        // SAFETY: texts are readable; the caller vouches for the instructions.
        unsafe {
            let mut rows = [Radix44::splat(0); LANES];
            for (row, text) in rows.iter_mut().zip(place.texts) {
                *row = _mm512_loadu_si512(text.wrapping_offset(place.offset).cast());
            }
            self.columns = Radix44::transposed(rows);
            self.sum = Radix44::reduced(product);
            let mut product = Product44::zero();
            for turn in 0..BLOCKS {
                let own = Radix44::from_limbs(self.block(place, BLOCKS - 1 - turn));
                product = own.multiply_add(&self.powers[turn], product);
            }
            product
        }
    }
}

impl<'a, 'b> Hashing<'a, 'b> {
    /// # Safety
    /// Wants the instructions of the kernel.
    #[inline(always)]
    pub unsafe fn new(packets: &'a [Packet<'b, Key>], keys: *const [u8; blocks::BLOCK], sealing: bool) -> Self {
        // SAFETY: the caller vouches for the instructions.
        unsafe {
            let zero = Radix44::splat(0);
            let sum = Radix44::from_limbs([zero; 3]);
            Self {
                packets,
                keys,
                sealing,
                ready: 0,
                done: 0,
                tags: [[0; TAG]; PIECE],
                messages: [None; LANES],
                leads: [0; LANES],
                texts: [std::ptr::null(); LANES],
                inside: 0..0,
                at: 0,
                end: 0,
                edges: [Edge {
                    rows: [Row([0; 8]); LANES],
                    texts: [std::ptr::null(); LANES],
                    ones: [Row([0; 8]); BLOCKS],
                }; 2],
                step: Step { columns: [zero; LANES], powers: [sum.factor(); BLOCKS], sum },
                product: Product44::zero(),
            }
        }
    }

    /// Ends a group that has no steps left, and begins another one where there is one before group `groups`.
    ///
    /// # Safety
    /// Wants the instructions of the kernel; keys and ciphertext of `ready` groups are there.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512ifma,avx512vbmi,bmi2")]
    pub unsafe fn begin(&mut self, groups: usize) {
        // SAFETY: the caller vouches for keys and ciphertext.
        unsafe {
            if self.end > 0 && self.at == self.end {
                self.end_group();
            }
            if self.end == 0 && self.done < groups {
                self.begin_group();
            }
        }
    }

    /// Authenticates all before group `groups`.
    ///
    /// # Safety
    /// Wants the instructions of the kernel; keys and ciphertext of these groups are there.
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512ifma,avx512vbmi,bmi2")]
    pub unsafe fn finish(&mut self, groups: usize) {
        // SAFETY: the caller vouches for keys and ciphertext.
        unsafe {
            while self.done < groups {
                self.begin(groups);
                let mut product = self.product;
                while let Some(place) = self.next(0) {
                    let (step, blocks) = self.step(&place);
                    product = step.whole(&blocks, product);
                }
                self.product = product;
                if self.end > 0 && self.at == self.end {
                    self.end_group();
                }
            }
        }
    }

    /// Where the next step of the group finds its blocks, perhaps in the place `edge`; `None` where there is none.
    ///
    /// # Safety
    /// Wants the instructions of the kernel.
    #[inline(always)]
    pub unsafe fn next(&mut self, edge: usize) -> Option<Place> {
        let at = self.at;
        if at == self.end {
            return None;
        }
        self.at += BLOCKS as isize;
        Some(if at >= self.inside.start && self.at <= self.inside.end {
            Place { edge: None, offset: at * BLOCK as isize }
        } else {
            // SAFETY: the caller vouches for the instructions.
            unsafe { self.edge(edge, at) };
            Place { edge: Some(edge), offset: 0 }
        })
    }

    /// A step with its blocks.
    #[inline(always)]
    pub fn step(&mut self, place: &Place) -> (&mut Step, Blocks<'_>) {
        let Place { edge, offset } = *place;
        let (texts, ones) = match edge {
            None => (&self.texts, &ONES),
            Some(edge) => (&self.edges[edge].texts, &self.edges[edge].ones),
        };
        (&mut self.step, Blocks { texts, offset, ones })
    }

    #[inline(never)]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512ifma,avx512vbmi,bmi2")]
    unsafe fn edge(&mut self, edge: usize, at: isize) {
        let Edge { rows, texts, ones } = &mut self.edges[edge];
        for (lane, message) in self.messages.iter().enumerate() {
            let Some(message) = message else { continue };
            let index = at - self.leads[lane];
            // SAFETY: the caller vouches for the instructions.
            unsafe { Radix44::store(Radix44::window(message, index), rows[lane].0.as_mut_ptr()) };
            texts[lane] = rows[lane].0.as_ptr().cast();
            for (block, ones) in ones.iter_mut().enumerate() {
                ones.0[lane] = u64::from(index + block as isize >= message.first) << 40;
            }
        }
    }

    #[inline(always)]
    unsafe fn begin_group(&mut self) {
        let from = self.done * LANES;
        let last = self.packets.len() - 1;
        // SAFETY: the caller vouches for keys and instructions.
        unsafe {
            let messages: [Message<'a>; LANES] = {
                let own = |lane: usize| {
                    let index = (from + lane).min(last);
                    let packet = &self.packets[index];
                    let text = if self.sealing { packet.destination.cast_const() } else { packet.source };
                    Message::new(packet, text, &*self.keys.add(index))
                };
                [own(0), own(1), own(2), own(3), own(4), own(5), own(6), own(7)]
            };
            let most = messages.iter().map(Message::blocks).max().unwrap_or(0);
            self.at = 0;
            self.end = most.next_multiple_of(BLOCKS) as isize;
            self.inside = 0..self.end;
            for (lane, message) in messages.iter().enumerate() {
                let lead = self.end - message.blocks() as isize;
                self.leads[lane] = lead;
                self.texts[lane] = message.text.wrapping_offset(-(lead + 1) * BLOCK as isize);
                self.inside = self.inside.start.max(lead + 1)..self.inside.end.min(lead + message.inside);
                self.messages[lane] = Some(*message);
            }
            let [a, b, c, d, e, f, g, h] = &messages;
            let r = poly1305::multipliers::<Radix44, LANES, 3>(&[a, b, c, d, e, f, g, h]);
            let r_2 = Radix44::reduced(r.multiply(&r.factor()));
            let r_3 = Radix44::reduced(r.multiply(&r_2.factor()));
            let r_4 = Radix44::reduced(r_2.multiply(&r_2.factor()));
            self.step.powers = [r.factor(), r_2.factor(), r_3.factor(), r_4.factor()];
            self.product = Product44::zero();
        }
    }

    #[inline(always)]
    unsafe fn end_group(&mut self) {
        // SAFETY: the caller vouches for the instructions.
        let limbs = unsafe { poly1305::stored::<Radix44, LANES, 3>(Radix44::reduced(self.product)) };
        let from = self.done * LANES;
        for (lane, (tag, message)) in self.tags[from..].iter_mut().zip(&self.messages).enumerate() {
            let Some(message) = message else { continue };
            *tag = poly1305::finished([limbs[0][lane], limbs[1][lane], limbs[2][lane]], Radix44::BITS, message.key);
        }
        self.done += 1;
        self.end = 0;
        self.at = 0;
    }
}
