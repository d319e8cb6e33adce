//! Who does the cryptography of a batch.

/// Seals and opens the packets of a batch, each by itself and in any order: what is expensive of ESP, and the only part
/// of it that needs no order.
pub trait Protect {
    /// As [`aead::seal`].
    fn seal(&mut self, batch: &mut [aead::Seal<'_>]);

    /// As [`aead::open`].
    fn open(&mut self, batch: &mut [aead::Open<'_>]);
}

/// Whoever asks does it, and nobody helps.
#[derive(Debug, Clone, Copy, Default)]
pub struct Alone;

impl Protect for Alone {
    #[inline(always)]
    fn seal(&mut self, batch: &mut [aead::Seal<'_>]) {
        aead::seal(batch);
    }

    #[inline(always)]
    fn open(&mut self, batch: &mut [aead::Open<'_>]) {
        aead::open(batch);
    }
}
