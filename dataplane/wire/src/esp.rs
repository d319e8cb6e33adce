//! The ESP header (RFC 4303 §2) and what may share its UDP port (RFC 3948 §2).

use core::fmt;

/// A Security Parameters Index that a peer may use: 0 to 255 are reserved (RFC 4303 §2.1).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Spi(u32);

impl Spi {
    /// The smallest index that is not reserved.
    pub const SMALLEST: u32 = 256;

    /// `None` for a reserved value.
    #[must_use]
    pub fn new(value: u32) -> Option<Self> {
        (value >= Self::SMALLEST).then_some(Self(value))
    }

    /// The index as a number.
    #[must_use]
    #[inline]
    pub fn value(self) -> u32 {
        self.0
    }
}

impl fmt::Display for Spi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

impl fmt::Debug for Spi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Bytes of the ESP header: index and low half of the sequence number.
pub const HEADER: usize = 8;

/// The index and the low half of the sequence number, or `None` where the bytes end before them.
#[must_use]
#[inline]
pub fn header(packet: &[u8]) -> Option<(u32, u32)> {
    let (words, _) = packet.first_chunk::<HEADER>()?.as_chunks::<4>();
    let [index, sequence] = words else { return None };
    Some((u32::from_be_bytes(*index), u32::from_be_bytes(*sequence)))
}

/// What a datagram on port 4500 carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encapsulated<'a> {
    /// RFC 3948 §2.2: four zero bytes, then an IKE message.
    Ike(&'a [u8]),
    /// RFC 3948 §2.3: a single byte 0xff.
    Keepalive,
    /// RFC 3948 §2.1: an ESP packet.
    Esp(&'a [u8]),
}

impl<'a> Encapsulated<'a> {
    /// Tells apart what shares port 4500; whatever is neither keepalive nor IKE is left to ESP to judge.
    #[must_use]
    #[inline]
    pub fn parse(payload: &'a [u8]) -> Self {
        match payload {
            [0xff] => Self::Keepalive,
            [0, 0, 0, 0, message @ ..] => Self::Ike(message),
            packet => Self::Esp(packet),
        }
    }
}
