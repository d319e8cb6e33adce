//! Packets in a row of one SA, of the commonest kind.

use aead::{AssociatedData, Buffers, Key, Nonce, Seal};
use wire::Spi;

use crate::SALT;
use crate::outer::{InnerClass, OuterHeader, PlainHeader};
use crate::transform::{Shape, Transform, header_of};

/// What packets in a row have in common, taken out of SA and header once for all of them: the compiler would have it read again for
/// each, for all it knows of what is written in between.
pub struct Run<'a> {
    key: &'a Key,
    salt: [u8; SALT],
    spi: Spi,
    extended: bool,
    shape: Shape,
    header: PlainHeader,
}

impl<'a> Run<'a> {
    /// `None` where initialisation vectors do not stand behind a salt, or the headers are none of [`OuterHeader::plain`].
    #[inline(always)]
    pub fn of(transform: &'a Transform, header: &OuterHeader) -> Option<Self> {
        let (salt, header) = (transform.salt()?, header.plain()?);
        let (key, shape, spi, extended) = (&transform.key, transform.shape, transform.spi(), transform.extended());
        Some(Self { key, salt, spi, extended, shape, header })
    }

    /// Writes the headers of the packet that carries `inner` to the start of `frame`. Returns what is to be done by the cipher,
    /// and the frame's length.
    ///
    /// # Panics
    /// Where `frame` is too short, or `inner` no IP packet: the caller's own arithmetic.
    #[inline(always)]
    pub fn begin(&self, sequence: u64, inner: &'a [u8], frame: &'a mut [u8]) -> (Seal<'a>, usize) {
        let payload = self.shape.sealed_length(inner.len());
        let length = self.header.length + payload;
        let frame = &mut frame[..length];
        let class = InnerClass::of(inner);
        self.header.write(frame, payload, class);
        let esp = frame[self.header.length..].split_first_chunk_mut();
        let (front, destination): (&mut [u8; 16], _) = esp.expect("room for header and initialisation vector");
        front[..8].copy_from_slice(&header_of(self.spi, sequence));
        // RFC 4106 §3.1: any value that does not repeat will do, and the sequence number does not.
        front[8..].copy_from_slice(&sequence.to_be_bytes());
        let seal = Seal {
            key: self.key,
            nonce: Nonce::salted(self.salt, sequence.to_be_bytes()),
            associated_data: AssociatedData::of(self.spi.value(), sequence, self.extended),
            buffers: Buffers::Apart { source: inner, destination },
            tail: self.shape.tail(inner.len(), class.is_v6),
        };
        (seal, length)
    }
}
