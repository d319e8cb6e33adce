//! Opening: from ESP to inner packets.

use std::mem::offset_of;
use std::ptr;

use aead::{Buffers, KeyLengthError, Nonce, Suite};
use arrayvec::ArrayVec;
use wire::{Protocol, Spi};

use crate::replay::{Block, Bounds};
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

    /// Bytes of a packet, from its ESP header to its integrity check value, that are not ciphertext.
    #[must_use]
    #[inline(always)]
    pub fn overhead(&self) -> usize {
        self.transform.shape.around()
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
}

/// Why a packet is not among those that are opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeftOut {
    /// Its shape or its sequence number, [`Refusal::Malformed`] or [`Refusal::Stale`].
    Refused(Refusal),
    /// It has no room in a frame.
    TooLong,
    /// There is no frame left.
    NoFrame,
}

/// The room there is for packets.
#[derive(Debug, Clone, Copy)]
pub struct Room {
    /// How many there is a frame for.
    pub frames: usize,
    /// The least of what a frame has.
    pub bytes: usize,
}

/// A batch of packets being opened, from received frames into transmit frames.
#[derive(Debug, Default)]
pub struct Opening<'a> {
    packets: ArrayVec<aead::Open<'a>, BATCH>,
    numbers: ArrayVec<(&'a ReplayWindow, u64), BATCH>,
}

impl<'a> Opening<'a> {
    /// Adds a packet of an association, from its ESP header on, to be opened to the start of `destination`.
    ///
    /// # Errors
    /// Where nothing can come out of it.
    ///
    /// # Panics
    /// With more than [`BATCH`] packets: the caller's own arithmetic.
    pub fn push(&mut self, sa: &'a InboundSa, esp: &'a [u8], destination: &'a mut [u8]) -> Result<(), LeftOut> {
        let (room, mut left_out) = (Room { frames: 1, bytes: destination.len() }, Ok(()));
        self.extend([((), sa, esp)].into_iter(), room, [destination].into_iter(), |(), why| left_out = Err(why));
        left_out
    }

    /// Adds packets of associations, from their ESP headers on, to be opened to the start of the next of `frames`, of which there are so
    /// many with so many bytes at least. Of those that are not added, `left_out` is told why, under the names that the packets are given.
    /// What packets in a row have in common is looked at once.
    ///
    /// # Panics
    /// With more than [`BATCH`] packets, or fewer frames: the caller's own arithmetic.
    #[inline(never)]
    pub fn extend<T>(
        &mut self,
        packets: impl Iterator<Item = (T, &'a InboundSa, &'a [u8])>,
        Room { frames: mut left, bytes }: Room,
        mut frames: impl Iterator<Item = &'a mut [u8]>,
        mut left_out: impl FnMut(T, LeftOut),
    ) {
        let mut admission: Option<Admission<'_>> = None;
        for (name, sa, esp) in packets {
            let admission = match &mut admission {
                Some(admission) if ptr::eq(sa, admission.sa) => admission,
                admission => admission.insert(Admission::of(sa)),
            };
            let admitted = admission.admit(esp, bytes);
            let admitted = admitted.and_then(|admitted| if left > 0 { Ok(admitted) } else { Err(LeftOut::NoFrame) });
            let Admitted { number, nonce, source, length } = match admitted {
                Ok(admitted) => admitted,
                Err(why) => {
                    left_out(name, why);
                    continue;
                }
            };
            left -= 1;
            let destination = &mut frames.next().expect("a frame")[..length];
            self.numbers.push((&sa.replay, number));
            self.packets.push(aead::Open {
                key: &sa.transform.key,
                nonce,
                associated_data: sa.transform.associated_data(number),
                buffers: Buffers::Apart { source, destination },
                authentic: false,
            });
        }
    }

    /// Opens the batch: one result for each packet that was added, in order.
    pub fn finish(mut self) -> ArrayVec<Result<Opened, Refusal>, BATCH> {
        let accepted = self.finish_by(&mut Alone);
        let packets = self.packets.iter().zip(accepted);
        packets.map(|(packet, accepted)| accepted.and_then(|()| Opened::of(packet.buffers.destination()))).collect()
    }

    /// Opens a batch that stays where it is, the cryptography being done by `protect`. Says of each packet that was added, in order,
    /// whether it is authentic and comes for the first time; what is in it says [`Opened::of`]. Not to be done twice.
    #[inline(always)]
    pub fn finish_by(&mut self, protect: &mut impl Protect) -> ArrayVec<Result<(), Refusal>, BATCH> {
        protect.open(&mut self.packets);
        // RFC 4303 §3.4.3: the window moves only after the integrity check.
        let mut accepted = ArrayVec::new();
        let mut marks = Marks::default();
        for (place, ((window, number), packet)) in self.numbers.iter().zip(&self.packets).enumerate() {
            let block = Block::of(*number);
            if !marks.are_of(window, block) {
                marks.finish(&self.numbers, &mut accepted);
                marks = Marks { of: Some((window, block)), start: place, numbers: 0 };
            }
            let bit = block.bit(*number);
            accepted.push(if !packet.authentic {
                Err(Refusal::NotAuthentic)
            } else if marks.numbers & bit != 0 {
                Err(Refusal::Stale(Stale::Replayed))
            } else {
                marks.numbers |= bit;
                Ok(())
            });
        }
        marks.finish(&self.numbers, &mut accepted);
        accepted
    }
}

/// An SA as it stands when packets in a row of it are looked at.
struct Admission<'a> {
    sa: &'a InboundSa,
    bounds: Bounds,
}

/// A packet that may be opened.
struct Admitted<'a> {
    number: u64,
    nonce: Nonce,
    /// What follows the initialisation vector, and how many bytes of it are text.
    source: &'a [u8],
    length: usize,
}

impl<'a> Admission<'a> {
    #[inline(always)]
    fn of(sa: &'a InboundSa) -> Self {
        Self { sa, bounds: sa.replay.bounds() }
    }

    /// Looks at what can be told of a packet before it is opened into so much room.
    #[inline(always)]
    fn admit<'p>(&self, esp: &'p [u8], room: usize) -> Result<Admitted<'p>, LeftOut> {
        const MALFORMED: LeftOut = LeftOut::Refused(Refusal::Malformed);
        let length = self.sa.transform.shape.opened_length(esp.len()).ok_or(MALFORMED)?;
        if length > room {
            return Err(LeftOut::TooLong);
        }
        let (_, lower) = wire::esp::header(esp).ok_or(MALFORMED)?;
        let text = &esp[wire::esp::HEADER..];
        let (nonce, source) = match self.sa.transform.salt() {
            Some(salt) => text.split_first_chunk().map(|(iv, source)| (Nonce::salted(salt, *iv), source)),
            None => text.split_first_chunk().map(|(iv, source)| (Nonce::block(*iv), source)),
        }
        .ok_or(MALFORMED)?;
        let number = self.bounds.infer(lower).and_then(|number| {
            self.sa.replay.look(number, &self.bounds)?;
            Ok(number)
        });
        let number = number.map_err(|stale| LeftOut::Refused(Refusal::Stale(stale)))?;
        Ok(Admitted { number, nonce, source, length })
    }
}

impl Opened {
    /// Of the text that came out of a packet. RFC 4303 §2.4 to §2.6: padding, its length and the next header stand at the end.
    ///
    /// # Errors
    /// [`Refusal::BadPadding`].
    #[inline(always)]
    pub fn of(text: &[u8]) -> Result<Self, Refusal> {
        let [text @ .., padding, next_header] = text else { return Err(Refusal::BadPadding) };
        let length = text.len().checked_sub(usize::from(*padding)).ok_or(Refusal::BadPadding)?;
        Ok(Self { length, next_header: Protocol(*next_header) })
    }
}

/// The numbers of authentic packets in a row that share a word of one window: they are accepted at once.
#[derive(Default)]
struct Marks<'a> {
    of: Option<(&'a ReplayWindow, Block)>,
    start: usize,
    numbers: u32,
}

impl Marks<'_> {
    #[inline(always)]
    fn are_of(&self, window: &ReplayWindow, block: Block) -> bool {
        self.of.is_some_and(|(own, own_block)| ptr::eq(own, window) && own_block == block)
    }

    /// Moves the window, and corrects the results of those packets that another worker's came before, or that lie behind the window
    /// by now.
    #[inline(always)]
    fn finish(&self, numbers: &[(&ReplayWindow, u64)], results: &mut [Result<(), Refusal>]) {
        let Some((window, block)) = self.of else { return };
        let refused = self.numbers & !window.accept(block, self.numbers);
        if refused != 0 {
            self.refuse(refused, numbers, results);
        }
    }

    #[cold]
    fn refuse(&self, refused: u32, numbers: &[(&ReplayWindow, u64)], results: &mut [Result<(), Refusal>]) {
        for (result, (window, number)) in results.iter_mut().zip(numbers).skip(self.start) {
            let block = Block::of(*number);
            if self.are_of(window, block) && refused & block.bit(*number) != 0 && result.is_ok() {
                *result = Err(Refusal::Stale(window.check(*number).err().unwrap_or(Stale::Replayed)));
            }
        }
    }
}
