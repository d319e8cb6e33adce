//! Exponentiation modulo a prime (RFC 7296 §2.14, RFC 3526), in constant time.

use crypto_bigint::modular::{FixedMontyForm, FixedMontyParams};
use crypto_bigint::{EncodedUint, Encoding, Odd, U512, Uint};
use rand_core::CryptoRng;
use zeroize::{Zeroize, Zeroizing};

use super::{Shared, primes};

/// Which prime.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Modulus {
    Modp1024,
    Modp1536,
    Modp2048,
    Modp3072,
    Modp4096,
    Modp6144,
    Modp8192,
}

/// A secret exponent; wiped when dropped.
pub(crate) struct Exponent(U512);

impl Exponent {
    /// RFC 3526 §8 asks for 480 bits at most; we take 512, as this bounds the work, not the strength.
    pub(super) fn generate(rng: &mut dyn CryptoRng) -> Self {
        let mut bytes = Zeroizing::new([0u8; EXPONENT_BYTES]);
        rng.fill_bytes(bytes.as_mut());
        Self::from_bytes(&bytes)
    }

    pub(super) fn from_bytes(bytes: &[u8; EXPONENT_BYTES]) -> Self {
        Self(U512::from_be_slice(bytes))
    }

    /// Our public value: the generator of all these groups is 2.
    pub(super) fn public(&self, modulus: Modulus) -> Vec<u8> {
        self.raise(modulus, None).map(|value| value.to_vec()).unwrap_or_default()
    }

    /// The shared secret; `None` if the peer's value is none of the group's.
    pub(super) fn agree(&self, modulus: Modulus, peer: &[u8]) -> Option<Shared> {
        self.raise(modulus, Some(peer))
    }

    fn raise(&self, modulus: Modulus, base: Option<&[u8]>) -> Option<Shared> {
        match modulus {
            Modulus::Modp1024 => raise(&primes::MODP1024, base, &self.0),
            Modulus::Modp1536 => raise(&primes::MODP1536, base, &self.0),
            Modulus::Modp2048 => raise(&primes::MODP2048, base, &self.0),
            Modulus::Modp3072 => raise(&primes::MODP3072, base, &self.0),
            Modulus::Modp4096 => raise(&primes::MODP4096, base, &self.0),
            Modulus::Modp6144 => raise(&primes::MODP6144, base, &self.0),
            Modulus::Modp8192 => raise(&primes::MODP8192, base, &self.0),
        }
    }
}

impl Drop for Exponent {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// The base (2 where none is given) to this power, padded to the modulus' length (RFC 7296 §2.14).
fn raise<const N: usize>(modulus: &Odd<Uint<N>>, base: Option<&[u8]>, exponent: &U512) -> Option<Shared>
where
    Uint<N>: Encoding<Repr = EncodedUint<N>>,
{
    let base = match base {
        None => Uint::from_u8(2),
        Some(bytes) => {
            if bytes.len() != Uint::<N>::BYTES {
                return None;
            }
            let value = Uint::from_be_slice(bytes);
            // RFC 6989 §2.1: 1 < value < p-1. The peer's value is public.
            let top = modulus.as_ref().wrapping_sub(&Uint::ONE);
            if value <= Uint::ONE || value >= top {
                return None;
            }
            value
        }
    };
    let params = FixedMontyParams::new_vartime(*modulus);
    let mut power = FixedMontyForm::new(&base, &params).pow_bounded_exp(exponent, EXPONENT_BYTES as u32 * 8).retrieve();
    let mut bytes = power.to_be_bytes();
    power.zeroize();
    let shared = Zeroizing::new(bytes.as_ref().to_vec());
    bytes.as_mut().zeroize();
    Some(shared)
}

const EXPONENT_BYTES: usize = 64;
