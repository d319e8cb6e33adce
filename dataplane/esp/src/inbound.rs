//! Opening: from ESP to inner packets.

use aead::{Key, KeyLengthError, Suite};
use arrayvec::ArrayVec;
use wire::{Protocol, Spi};
use zeroize::Zeroizing;

use crate::outbound::{associated_data, nonce};
use crate::{ALIGNMENT, BATCH, IV, ReplayWindow, SALT, Stale, TRAILER};

/// What an inbound SA is made of.
#[derive(Debug)]
pub struct Inbound<'a> {
    /// The index that we chose.
    pub spi: Spi,
    /// The transform.
    pub suite: Suite,
    /// The key, [`Suite::key_length`] bytes.
    pub key: &'a [u8],
    /// The nonce's fixed part (RFC 4106 §4).
    pub salt: [u8; SALT],
    /// Whether sequence numbers are 64 bits long.
    pub extended: bool,
    /// How many sequence numbers the replay window covers at least.
    pub replay_window: u32,
}

/// An SA that opens. Workers share it.
#[derive(Debug)]
pub struct InboundSa {
    spi: Spi,
    salt: Zeroizing<[u8; SALT]>,
    extended: bool,
    replay: ReplayWindow,
    key: Key,
}

/// Why a packet is not opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Too short, or not aligned as RFC 4303 §2.4 wants it.
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
            key: Key::new(parts.suite, parts.key)?,
            spi: parts.spi,
            salt: Zeroizing::new(parts.salt),
            extended: parts.extended,
            replay: ReplayWindow::new(parts.replay_window, parts.extended),
        })
    }

    /// The index that we chose.
    #[must_use]
    pub fn spi(&self) -> Spi {
        self.spi
    }

    #[cfg(test)]
    pub(crate) fn skip_to(&self, number: u64) {
        self.replay.skip_to(number);
    }

    /// Bytes that the content of an ESP packet of `length` bytes takes in its destination, padding included; `None`
    /// for a length that no ESP packet of this SA has.
    #[must_use]
    pub fn opened_length(&self, length: usize) -> Option<usize> {
        let text = length.checked_sub(wire::esp::HEADER + IV + aead::TAG)?;
        (text >= TRAILER && text.is_multiple_of(ALIGNMENT)).then_some(text)
    }
}

/// A batch of packets being opened, from received frames into transmit frames.
#[derive(Debug, Default)]
pub struct Opening<'a> {
    packets: ArrayVec<aead::Open<'a>, BATCH>,
    numbers: ArrayVec<(&'a ReplayWindow, u64), BATCH>,
}

impl<'a> Opening<'a> {
    /// Adds the ESP packet `esp`, to be opened to the start of `destination`; a refused one is not part of the batch.
    ///
    /// # Errors
    /// [`Refusal::Malformed`] or [`Refusal::Stale`]: what can be told before opening.
    ///
    /// # Panics
    /// Where `destination` is shorter than [`InboundSa::opened_length`], or with more than [`BATCH`] packets: the
    /// caller's own arithmetic.
    pub fn push(&mut self, sa: &'a InboundSa, esp: &'a [u8], destination: &'a mut [u8]) -> Result<(), Refusal> {
        let text = sa.opened_length(esp.len()).ok_or(Refusal::Malformed)?;
        let (index, low) = wire::esp::header(esp).ok_or(Refusal::Malformed)?;
        let (iv, source) = esp[wire::esp::HEADER..].split_first_chunk::<IV>().ok_or(Refusal::Malformed)?;
        let number = sa.replay.infer(low).map_err(Refusal::Stale)?;
        sa.replay.check(number).map_err(Refusal::Stale)?;
        self.packets.push(aead::Open {
            key: &sa.key,
            nonce: nonce(*sa.salt, *iv),
            associated_data: associated_data(index.to_be_bytes(), number, sa.extended),
            source,
            destination: &mut destination[..text],
            authentic: false,
        });
        self.numbers.push((&sa.replay, number));
        Ok(())
    }

    /// Opens the batch: one result for each packet that was pushed, in order.
    pub fn finish(mut self) -> impl Iterator<Item = Result<Opened, Refusal>> {
        aead::open(&mut self.packets);
        self.packets.into_iter().zip(self.numbers).map(|(packet, (replay, number))| {
            if !packet.authentic {
                return Err(Refusal::NotAuthentic);
            }
            // RFC 4303 §3.4.3: the window moves only after the integrity check.
            replay.commit(number).map_err(Refusal::Stale)?;
            let [text @ .., padding, next_header] = &*packet.destination else { return Err(Refusal::BadPadding) };
            let length = text.len().checked_sub(usize::from(*padding)).ok_or(Refusal::BadPadding)?;
            Ok(Opened { length, next_header: Protocol(*next_header) })
        })
    }
}
