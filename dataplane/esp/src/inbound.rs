//! Opening: from ESP to inner packets.

use std::mem::offset_of;

use aead::{Buffers, KeyLengthError, Suite};
use arrayvec::ArrayVec;
use wire::{Protocol, Spi};

use crate::replay::Block;
use crate::transform::{KEY, Transform};
use crate::{Alone, BATCH, Protect, ReplayWindow, SALT, Stale};

/// What an inbound SA is made of. Its key is not to be shown, so it has no `Debug`.
pub struct Inbound<'a> {
    /// The index that we chose.
    pub spi: Spi,
    /// The transform.
    pub suite: Suite,
    /// The key, [`Suite::key_length`] bytes.
    pub key: &'a [u8],
    /// The nonce's fixed part (RFC 4106 §4, RFC 7634 §2); CBC has none and looks at nothing here.
    pub salt: [u8; SALT],
    /// Whether sequence numbers are 64 bits long.
    pub extended: bool,
    /// How many sequence numbers the replay window covers at least.
    pub replay_window: u32,
}

/// An SA that opens. Workers share it.
///
/// All that moves with its packets, or is small, shares one cache line with the key's head; but for the window's words.
#[derive(Debug)]
#[repr(C, align(64))]
pub struct InboundSa {
    replay: ReplayWindow,
    transform: Transform,
}

const _: () = assert!(offset_of!(InboundSa, transform) + offset_of!(Transform, key) == KEY);

/// Why a packet is not opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Too short, or not aligned as RFC 4303 §2.4 or the cipher wants it.
    Malformed,
    /// Its sequence number was not accepted.
    Stale(Stale),
    /// The integrity check failed: forged, damaged or under another key.
    NotAuthentic,
    /// Authentic, but the padding length does not fit: the peer's mistake.
    BadPadding,
}

/// A packet that was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Opened {
    /// Bytes of what it carried, from the start of the destination.
    pub length: usize,
    /// What it carried.
    pub next_header: Protocol,
}

impl InboundSa {
    /// Expands the key; no number was seen yet.
    ///
    /// # Errors
    /// Where the key's length is not the suite's.
    pub fn new(parts: Inbound<'_>) -> Result<Self, KeyLengthError> {
        Ok(Self {
            transform: Transform::new(parts.suite, parts.key, parts.salt, parts.spi, parts.extended)?,
            replay: ReplayWindow::new(parts.replay_window, parts.extended),
        })
    }

    /// The index that we chose.
    #[must_use]
    pub fn spi(&self) -> Spi {
        self.transform.spi()
    }

    /// Has what is read of it for a packet of 64 bytes brought near, and waits for none of it.
    #[inline(always)]
    pub fn prefetch(&self) {
        aead::prefetch(&self.replay);
        self.transform.key.prefetch();
    }

    /// Of the replay window, the word in which the number of an ESP packet stands: to be asked for when the SA is near.
    #[inline(always)]
    pub fn prefetch_window(&self, esp: &[u8]) {
        if let Some((_, low)) = wire::esp::header(esp) {
            self.replay.prefetch(low);
        }
    }

    #[cfg(test)]
    pub(crate) fn skip_to(&self, number: u64) {
        self.replay.skip_to(number);
    }

    /// Looks at what can be told of an ESP packet before it is opened: its shape and its sequence number.
    ///
    /// # Errors
    /// [`Refusal::Malformed`] or [`Refusal::Stale`].
    #[inline(always)]
    pub fn admit<'a>(&'a self, esp: &'a [u8]) -> Result<Admitted<'a>, Refusal> {
        let (_, low) = wire::esp::header(esp).ok_or(Refusal::Malformed)?;
        let text = &esp[wire::esp::HEADER..];
        let (_, source) = self.transform.read_iv(text).ok_or(Refusal::Malformed)?;
        let length = self.transform.opened_length(source).ok_or(Refusal::Malformed)?;
        let number = self.replay.infer(low).map_err(Refusal::Stale)?;
        self.replay.check(number).map_err(Refusal::Stale)?;
        Ok(Admitted { sa: self, number, text, length })
    }
}

/// A packet worth opening.
#[derive(Debug, Clone, Copy)]
pub struct Admitted<'a> {
    sa: &'a InboundSa,
    number: u64,
    /// From the initialisation vector on.
    text: &'a [u8],
    length: usize,
}

impl Admitted<'_> {
    /// Bytes that its content takes in the destination, padding included.
    #[must_use]
    pub fn opened_length(&self) -> usize {
        self.length
    }
}

/// A batch of packets being opened, from received frames into transmit frames.
#[derive(Debug, Default)]
pub struct Opening<'a> {
    packets: ArrayVec<aead::Open<'a>, BATCH>,
    numbers: ArrayVec<(&'a ReplayWindow, u64), BATCH>,
}

impl<'a> Opening<'a> {
    /// Adds a packet, to be opened to the start of `destination`.
    ///
    /// # Panics
    /// Where `destination` is shorter than [`Admitted::opened_length`], or with more than [`BATCH`] packets: the
    /// caller's own arithmetic.
    #[inline(always)]
    pub fn push(&mut self, admitted: Admitted<'a>, destination: &'a mut [u8]) {
        let Admitted { sa, number, text, length } = admitted;
        let (nonce, source) = sa.transform.read_iv(text).expect("an initialisation vector");
        self.packets.push(aead::Open {
            key: &sa.transform.key,
            nonce,
            associated_data: sa.transform.associated_data(number),
            buffers: Buffers::Apart { source, destination: &mut destination[..length] },
            authentic: false,
        });
        self.numbers.push((&sa.replay, number));
    }

    /// Opens the batch: one result for each packet that was pushed, in order.
    #[inline(always)]
    pub fn finish(mut self) -> ArrayVec<Result<Opened, Refusal>, BATCH> {
        self.finish_by(&mut Alone)
    }

    /// [`Opening::finish`] of a batch that stays where it is, the cryptography being done by `protect`. Not to be done twice.
    #[inline(always)]
    pub fn finish_by(&mut self, protect: &mut impl Protect) -> ArrayVec<Result<Opened, Refusal>, BATCH> {
        protect.open(&mut self.packets);
        let mut results = ArrayVec::new();
        let mut run = Run::default();
        for ((position, packet), (replay, number)) in self.packets.iter().enumerate().zip(&self.numbers) {
            // RFC 4303 §3.4.3: the window moves only after the integrity check.
            let accepted = if packet.authentic {
                let block = Block::of(*number);
                if !run.is_of(replay, block) {
                    run.finish(&self.numbers, &mut results);
                    run = Run { of: Some((replay, block)), start: position, numbers: 0 };
                }
                run.take(replay, *number, block.bit(*number)).map_err(Refusal::Stale)
            } else {
                Err(Refusal::NotAuthentic)
            };
            results.push(accepted.and_then(|()| content(packet.buffers.destination())));
        }
        run.finish(&self.numbers, &mut results);
        results
    }
}

/// RFC 4303 §2.4 to §2.6: what stands before padding, its length and the next header.
#[inline(always)]
fn content(text: &[u8]) -> Result<Opened, Refusal> {
    let [text @ .., padding, next_header] = text else { return Err(Refusal::BadPadding) };
    let length = text.len().checked_sub(usize::from(*padding)).ok_or(Refusal::BadPadding)?;
    Ok(Opened { length, next_header: Protocol(*next_header) })
}

/// Packets in a row whose numbers share a word of one window: they are accepted at once.
#[derive(Default)]
struct Run<'a> {
    of: Option<(&'a ReplayWindow, Block)>,
    start: usize,
    numbers: u32,
}

impl Run<'_> {
    #[inline(always)]
    fn is_of(&self, window: &ReplayWindow, block: Block) -> bool {
        self.of.is_some_and(|(own, own_block)| std::ptr::eq(own, window) && own_block == block)
    }

    #[inline(always)]
    fn take(&mut self, window: &ReplayWindow, number: u64, bit: u32) -> Result<(), Stale> {
        window.in_range(number)?;
        if self.numbers & bit != 0 {
            return Err(Stale::Replayed);
        }
        self.numbers |= bit;
        Ok(())
    }

    /// Moves the window, and corrects the results of those packets that another worker's came before.
    #[inline(always)]
    fn finish(&self, numbers: &[(&ReplayWindow, u64)], results: &mut [Result<Opened, Refusal>]) {
        let Some((window, block)) = self.of else { return };
        let refused = self.numbers & !window.accept(block, self.numbers);
        if refused != 0 {
            self.refuse(refused, numbers, results);
        }
    }

    #[cold]
    fn refuse(&self, refused: u32, numbers: &[(&ReplayWindow, u64)], results: &mut [Result<Opened, Refusal>]) {
        for (result, (window, number)) in results.iter_mut().zip(numbers).skip(self.start) {
            let block = Block::of(*number);
            if self.is_of(window, block) && refused & block.bit(*number) != 0 && result.is_ok() {
                let stale = window.check(*number).err().unwrap_or(Stale::Replayed);
                *result = Err(Refusal::Stale(stale));
            }
        }
    }
}
