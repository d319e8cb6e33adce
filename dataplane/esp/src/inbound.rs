//! Opening: from ESP to inner packets.

use std::mem::offset_of;
use std::ptr;

use aead::{AssociatedData, Buffers, KeyLengthError, Nonce, Suite};
use arrayvec::ArrayVec;
use wire::{Protocol, Spi};

use crate::replay::{Block, Bounds};
use crate::transform::{KEY, Shape, Transform};
use crate::{Alone, BATCH, LONG_RUN, Protect, ReplayWindow, SALT, Stale};

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

    /// Has what is read of it to open an ESP packet of so many bytes brought near, and waits for none of it.
    #[inline(always)]
    pub fn prefetch(&self, esp: usize) {
        // What stands around the text with most suites: with which one here is not known before it is near.
        const AROUND: usize = wire::esp::HEADER + 8 + aead::TAG;
        aead::prefetch(&self.replay);
        self.transform.key.prefetch(esp.saturating_sub(AROUND));
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
#[derive(Debug)]
pub struct Room<F> {
    /// Frames, as many as are counted or more.
    pub frames: F,
    /// How many of them may be taken.
    pub count: usize,
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
        let (bytes, mut left_out) = (destination.len(), Ok(()));
        let mut room = Room { frames: [destination].into_iter(), count: 1, bytes };
        self.push_run(sa, [((), esp)].into_iter(), &mut room, &mut |(), why| left_out = Err(why));
        left_out
    }

    /// Adds packets in a row of one association, from their ESP headers on, to be opened to the start of the next frames. Of those that
    /// are not added, `left_out` is told why, under the names that the packets are given.
    ///
    /// # Panics
    /// With more than [`BATCH`] packets, or fewer frames than are counted: the caller's own arithmetic.
    #[inline(always)]
    pub fn push_run<T>(
        &mut self,
        sa: &'a InboundSa,
        packets: impl ExactSizeIterator<Item = (T, &'a [u8])>,
        room: &mut Room<impl Iterator<Item = &'a mut [u8]>>,
        left_out: &mut impl FnMut(T, LeftOut),
    ) {
        if packets.len() >= LONG_RUN {
            return self.push_long_run(sa, packets, room, left_out);
        }
        let bounds = sa.replay.bounds();
        for (name, esp) in packets {
            let transform = &sa.transform;
            let admitted = match transform.salt() {
                Some(salt) => admit(esp, transform.shape, &sa.replay, &bounds, |iv| Nonce::salted(salt, *iv), room),
                None => admit(esp, transform.shape, &sa.replay, &bounds, |iv| Nonce::block(*iv), room),
            };
            match admitted {
                Ok(Admitted { number, nonce, buffers }) => {
                    self.numbers.push((&sa.replay, number));
                    let (key, associated_data) = (&transform.key, transform.associated_data(number));
                    self.packets.push(aead::Open { key, nonce, associated_data, buffers, authentic: false });
                }
                Err(why) => left_out(name, why),
            }
        }
    }

    #[inline(never)]
    fn push_long_run<T>(
        &mut self,
        sa: &'a InboundSa,
        packets: impl Iterator<Item = (T, &'a [u8])>,
        room: &mut Room<impl Iterator<Item = &'a mut [u8]>>,
        left_out: &mut impl FnMut(T, LeftOut),
    ) {
        match sa.transform.salt() {
            Some(salt) => self.extend(sa, packets, |iv| Nonce::salted(salt, *iv), room, left_out),
            None => self.extend(sa, packets, |iv| Nonce::block(*iv), room, left_out),
        }
    }

    /// What the packets have in common is taken out once: the compiler would have it read again for each, for all it knows of what is
    /// written in between.
    #[inline(always)]
    fn extend<T, const IV: usize>(
        &mut self,
        sa: &'a InboundSa,
        packets: impl Iterator<Item = (T, &'a [u8])>,
        nonce: impl Fn(&[u8; IV]) -> Nonce,
        room: &mut Room<impl Iterator<Item = &'a mut [u8]>>,
        left_out: &mut impl FnMut(T, LeftOut),
    ) {
        let InboundSa { replay, transform: Transform { key, shape, .. } } = sa;
        let (spi, extended, bounds) = (sa.transform.spi().value(), sa.transform.extended(), replay.bounds());
        let Self { packets: opened, numbers } = self;
        opened.extend(packets.filter_map(|(name, esp)| {
            let Admitted { number, nonce, buffers } = match admit(esp, *shape, replay, &bounds, &nonce, room) {
                Ok(admitted) => admitted,
                Err(why) => {
                    left_out(name, why);
                    return None;
                }
            };
            numbers.push((replay, number));
            let associated_data = AssociatedData::of(spi, number, extended);
            Some(aead::Open { key, nonce, associated_data, buffers, authentic: false })
        }));
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

/// A packet that may be opened.
struct Admitted<'a> {
    number: u64,
    nonce: Nonce,
    buffers: Buffers<'a>,
}

/// Looks at what can be told of a packet before it is opened, and takes a frame for it if there is nothing wrong.
#[inline(always)]
fn admit<'a, const IV: usize>(
    esp: &'a [u8],
    shape: Shape,
    replay: &ReplayWindow,
    bounds: &Bounds,
    nonce: impl Fn(&[u8; IV]) -> Nonce,
    room: &mut Room<impl Iterator<Item = &'a mut [u8]>>,
) -> Result<Admitted<'a>, LeftOut> {
    const MALFORMED: LeftOut = LeftOut::Refused(Refusal::Malformed);
    // Said at once, so that what follows need not be asked again.
    if esp.len() < wire::esp::HEADER + IV {
        return Err(MALFORMED);
    }
    let length = shape.opened_length(esp.len()).ok_or(MALFORMED)?;
    if length > room.bytes {
        return Err(LeftOut::TooLong);
    }
    let (_, lower) = wire::esp::header(esp).ok_or(MALFORMED)?;
    let (iv, source) = esp[wire::esp::HEADER..].split_first_chunk().ok_or(MALFORMED)?;
    let stale = |why| LeftOut::Refused(Refusal::Stale(why));
    let number = bounds.infer(lower).map_err(stale)?;
    replay.look(number, bounds).map_err(stale)?;
    if room.count == 0 {
        return Err(LeftOut::NoFrame);
    }
    room.count -= 1;
    let destination = &mut room.frames.next().expect("as many frames as are counted")[..length];
    Ok(Admitted { number, nonce: nonce(iv), buffers: Buffers::Apart { source, destination } })
}

impl Opened {
    /// Whether an IP packet was carried.
    #[must_use]
    #[inline(always)]
    pub fn is_ip(&self) -> bool {
        matches!(self.next_header, Protocol::IPV4 | Protocol::IPV6)
    }

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
