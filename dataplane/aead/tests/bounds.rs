//! No kernel touches a byte outside of its buffers: they stand right before, or right behind, a page that may not be
//! touched, and a touch would end the process.

mod packets;

use std::num::NonZeroUsize;
use std::ops::Range;
use std::ptr::NonNull;

use bordergate_aead::{AssociatedData, Buffers, Key, Open, Seal, Suite};
use nix::sys::mman::{MapFlags, ProtFlags, mmap_anonymous, mprotect, munmap};
use packets::{CANARY, fitting_tail, keys, noise, nonce, tail};

/// No processor has smaller ones, and x86-64 has these.
const PAGE: usize = 4096;
/// Pages for the largest packet.
const PAGES: usize = 3;
/// Bytes in front of a buffer, or behind it, that are looked at.
const AROUND: usize = 128;

/// At which end of its pages a buffer stands.
#[derive(Debug, Clone, Copy)]
enum End {
    /// Right before the page that may not be touched.
    Last,
    /// Right behind the page that may not be touched.
    First,
}

/// Pages between two that may not be touched.
struct Guarded(NonNull<u8>);

impl Guarded {
    fn new() -> Self {
        let length = NonZeroUsize::new((PAGES + 2) * PAGE).unwrap();
        // SAFETY: new pages, at an address of the kernel's choice.
        let mapping = unsafe { mmap_anonymous(None, length, ProtFlags::PROT_NONE, MapFlags::MAP_PRIVATE) }.unwrap();
        // SAFETY: the pages in the middle of the mapping that was just made.
        unsafe {
            let inside = mapping.byte_add(PAGE);
            mprotect(inside, PAGES * PAGE, ProtFlags::PROT_READ | ProtFlags::PROT_WRITE).unwrap();
            Self(inside.cast())
        }
    }

    /// All that may be touched.
    fn bytes(&mut self) -> &mut [u8] {
        // SAFETY: these pages are readable and writable, and `self` is the only way to them.
        unsafe { std::slice::from_raw_parts_mut(self.0.as_ptr(), PAGES * PAGE) }
    }

    /// A buffer of `length` bytes, canaries beside it.
    fn place(&mut self, end: End, length: usize) -> Range<usize> {
        let (inside, around) = match end {
            End::Last => (PAGES * PAGE - length..PAGES * PAGE, PAGES * PAGE - length - AROUND..PAGES * PAGE - length),
            End::First => (0..length, length..length + AROUND),
        };
        self.bytes()[around].fill(CANARY);
        inside
    }

    /// Whether the canaries are as they were.
    fn intact(&mut self, end: End, inside: &Range<usize>) -> bool {
        let around = match end {
            End::Last => inside.start - AROUND..inside.start,
            End::First => inside.end..inside.end + AROUND,
        };
        self.bytes()[around].iter().all(|byte| *byte == CANARY)
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        // SAFETY: the whole mapping, which nothing refers to any more.
        unsafe { munmap(self.0.byte_sub(PAGE).cast(), (PAGES + 2) * PAGE).unwrap() };
    }
}

/// Pages for the packets of a batch.
struct Pages {
    sources: Vec<Guarded>,
    destinations: Vec<Guarded>,
}

/// How the packets of a batch stand.
#[derive(Debug, Clone, Copy)]
struct Standing {
    end: End,
    in_place: bool,
}

/// Runs packets of these lengths through a kernel, one way and back, under keys by turns.
fn run(pages: &mut Pages, keys: &[&Key], lengths: &[usize], standing: Standing) {
    let (suite, kernel) = (keys[0].suite(), keys[0].kernel());
    let by_turns = || keys.iter().copied().cycle();
    let tag = suite.tag_length();
    let nonce = nonce(suite, &[9; 16]);
    let associated_data = AssociatedData::extended([3; 12]);
    let tails: Vec<usize> = lengths.iter().map(|length| fitting_tail(suite, *length, length % 21)).collect();
    let texts: Vec<Vec<u8>> =
        lengths.iter().zip(&tails).map(|(length, tail)| noise(*length as u64, length + tail)).collect();
    let what = |way: &str| format!("{way} {lengths:?} of {suite} on {kernel}, {standing:?}");

    let starts: Vec<&[u8]> = texts.iter().zip(lengths).map(|(text, length)| &text[..*length]).collect();
    let results: Vec<usize> = texts.iter().map(|text| text.len() + tag).collect();
    let mut ends = texts.iter().zip(lengths).map(|(text, length)| tail(&text[*length..]));
    let sealed = pages.through(standing, &starts, &results, &what("sealing"), |buffers| {
        let seal = |(buffers, key)| Seal { key, nonce, associated_data, buffers, tail: ends.next().unwrap() };
        bordergate_aead::seal(&mut buffers.into_iter().zip(by_turns()).map(seal).collect::<Vec<_>>());
    });

    let packets: Vec<&[u8]> = sealed.iter().map(Vec::as_slice).collect();
    let results: Vec<usize> =
        texts.iter().map(|text| if standing.in_place { text.len() + tag } else { text.len() }).collect();
    let opened = pages.through(standing, &packets, &results, &what("opening"), |buffers| {
        let open = |(buffers, key)| Open { key, nonce, associated_data, buffers, authentic: false };
        let mut batch: Vec<_> = buffers.into_iter().zip(by_turns()).map(open).collect();
        bordergate_aead::open(&mut batch);
        assert!(batch.iter().all(|packet| packet.authentic), "{}", what("opening"));
    });
    for (opened, text) in opened.iter().zip(&texts) {
        assert!(opened.starts_with(text), "{}", what("opening"));
    }
}

impl Pages {
    /// Does `work` on buffers that begin with `inputs` and have room for `results`, and returns what is there afterwards.
    fn through(
        &mut self,
        standing: Standing,
        inputs: &[&[u8]],
        results: &[usize],
        what: &str,
        work: impl FnOnce(Vec<Buffers<'_>>),
    ) -> Vec<Vec<u8>> {
        let mut places = Vec::new();
        let mut buffers = Vec::new();
        let guarded = self.sources.iter_mut().zip(&mut self.destinations);
        for ((input, result), (source, destination)) in inputs.iter().zip(results).zip(guarded) {
            let to = destination.place(standing.end, *result);
            let from = source.place(standing.end, input.len());
            source.bytes()[from.clone()].copy_from_slice(input);
            let written = &mut destination.bytes()[to.clone()];
            buffers.push(if standing.in_place {
                written[..input.len()].copy_from_slice(input);
                Buffers::InPlace(written)
            } else {
                Buffers::Apart { source: &source.bytes()[from.clone()], destination: written }
            });
            places.push((from, to));
        }
        work(buffers);
        let guarded = self.sources.iter_mut().zip(&mut self.destinations);
        let results = inputs.iter().zip(places).zip(guarded).map(|((input, (from, to)), (source, destination))| {
            assert!(source.intact(standing.end, &from), "touched something around the source: {what}");
            assert!(destination.intact(standing.end, &to), "touched something around the destination: {what}");
            assert!(source.bytes()[from] == **input, "touched the source: {what}");
            destination.bytes()[to].to_vec()
        });
        results.collect()
    }
}

#[test]
fn nothing_outside_is_touched() {
    // Batches of all sizes that kernels tell apart; a packet of any length comes to stand at any place in them.
    const BATCHES: [usize; 7] = [1, 2, 3, 4, 7, 16, 33];
    let guarded = || (0..33).map(|_| Guarded::new()).collect();
    let mut pages = Pages { sources: guarded(), destinations: guarded() };
    let lengths: Vec<usize> = (0..=1100).chain([1408, 1472, 1500, 2047, 4096, 8999, 9216]).collect();
    for suite in Suite::ALL {
        for key in keys(suite, &noise(5, suite.key_length())) {
            for end in [End::Last, End::First] {
                for in_place in [false, true] {
                    let mut left = &lengths[..];
                    for size in BATCHES.iter().cycle() {
                        let (batch, rest) = left.split_at(*size.min(&left.len()));
                        run(&mut pages, &[&key], batch, Standing { end, in_place });
                        left = rest;
                        if left.is_empty() {
                            break;
                        }
                    }
                }
            }
        }
    }
}

/// The same lengths at each of the first places of a batch, among packets of another length.
#[test]
fn nothing_outside_is_touched_at_any_place_of_a_batch() {
    let guarded = || (0..5).map(|_| Guarded::new()).collect();
    let mut pages = Pages { sources: guarded(), destinations: guarded() };
    for suite in Suite::ALL {
        for key in keys(suite, &noise(6, suite.key_length())) {
            for end in [End::Last, End::First] {
                for length in (0..=80).chain([127, 129, 255, 257, 511, 513, 767, 769, 1023, 1025]) {
                    for position in 0..5 {
                        let mut lengths = [150; 5];
                        lengths[position] = length;
                        run(&mut pages, &[&key], &lengths, Standing { end, in_place: position % 2 == 0 });
                    }
                }
            }
        }
    }
}

/// Packets of one length, many enough to be worked on as such.
#[test]
fn nothing_outside_is_touched_by_packets_that_are_alike() {
    let guarded = || (0..8).map(|_| Guarded::new()).collect();
    let mut pages = Pages { sources: guarded(), destinations: guarded() };
    for suite in [Suite::Aes128Gcm16, Suite::Aes256Gcm16] {
        let (keys, others) = (keys(suite, &noise(8, suite.key_length())), keys(suite, &noise(9, suite.key_length())));
        for (key, other) in keys.iter().zip(&others) {
            for keys in [&[key][..], &[key, other]] {
                for end in [End::Last, End::First] {
                    for length in (0..=600).chain((601..1700).step_by(7)) {
                        run(&mut pages, keys, &[length; 8], Standing { end, in_place: length % 4 < 2 });
                    }
                }
            }
        }
    }
}
