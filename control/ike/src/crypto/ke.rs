//! Key exchange: one secret, its public value, and what both make with the peer's.

use std::fmt;

use crypto_bigint::modular::{FixedMontyForm, FixedMontyParams};
use crypto_bigint::{Odd, U2048};
use p256::elliptic_curve::Generate;
use p256::elliptic_curve::sec1::ToSec1Point;
use rand_core::CryptoRng;
use zeroize::{Zeroize, Zeroizing};

use crate::algorithm::KeGroup;

/// g^ir, as it enters SKEYSEED.
pub(crate) type Shared = Zeroizing<Vec<u8>>;

/// Our half of a key exchange; wiped when dropped.
pub(crate) enum KeSecret {
    X25519(x25519_dalek::StaticSecret),
    Ecp256(p256::SecretKey),
    Ecp384(p384::SecretKey),
    Modp2048(Box<Exponent>),
}

impl KeSecret {
    /// A fresh secret.
    pub(crate) fn generate(group: KeGroup, rng: &mut dyn CryptoRng) -> Self {
        match group {
            KeGroup::X25519 => Self::X25519(x25519_dalek::StaticSecret::random_from_rng(rng)),
            KeGroup::Ecp256 => Self::Ecp256(p256::SecretKey::generate_from_rng(rng)),
            KeGroup::Ecp384 => Self::Ecp384(p384::SecretKey::generate_from_rng(rng)),
            KeGroup::Modp2048 => {
                let mut bytes = Zeroizing::new([0u8; EXPONENT_BYTES]);
                rng.fill_bytes(bytes.as_mut());
                Self::Modp2048(Box::new(Exponent::new(bytes.as_ref())))
            }
        }
    }

    pub(crate) fn group(&self) -> KeGroup {
        match self {
            Self::X25519(_) => KeGroup::X25519,
            Self::Ecp256(_) => KeGroup::Ecp256,
            Self::Ecp384(_) => KeGroup::Ecp384,
            Self::Modp2048(_) => KeGroup::Modp2048,
        }
    }

    /// The public value as the KE payload carries it.
    pub(crate) fn public(&self) -> Vec<u8> {
        match self {
            Self::X25519(secret) => x25519_dalek::PublicKey::from(secret).as_bytes().to_vec(),
            // RFC 5903 §7: x and y, without the SEC1 tag byte.
            Self::Ecp256(secret) => {
                secret.public_key().to_sec1_point(false).as_bytes().iter().skip(1).copied().collect()
            }
            Self::Ecp384(secret) => {
                secret.public_key().to_sec1_point(false).as_bytes().iter().skip(1).copied().collect()
            }
            Self::Modp2048(exponent) => exponent.raise(&U2048::from_u8(2)).to_vec(),
        }
    }

    /// The shared secret, or `None` if the peer's value is not valid for the group.
    pub(crate) fn agree(&self, peer: &[u8]) -> Option<Shared> {
        match self {
            Self::X25519(secret) => {
                let peer = <[u8; 32]>::try_from(peer).ok()?;
                let shared = secret.diffie_hellman(&peer.into());
                // RFC 7748 §6.1: an all-zero result tells of a point of small order.
                shared.was_contributory().then(|| Zeroizing::new(shared.as_bytes().to_vec()))
            }
            Self::Ecp256(secret) => {
                let peer = p256::PublicKey::from_sec1_bytes(&uncompressed(peer, 64)?).ok()?;
                let shared = secret.diffie_hellman(&peer);
                Some(Zeroizing::new(shared.raw_secret_bytes().to_vec()))
            }
            Self::Ecp384(secret) => {
                let peer = p384::PublicKey::from_sec1_bytes(&uncompressed(peer, 96)?).ok()?;
                let shared = secret.diffie_hellman(&peer);
                Some(Zeroizing::new(shared.raw_secret_bytes().to_vec()))
            }
            Self::Modp2048(exponent) => {
                if peer.len() != MODP_BYTES {
                    return None;
                }
                let peer = U2048::from_be_slice(peer);
                // RFC 6989 §2.1: 1 < value < p-1. The peer's value is public.
                let top = MODP2048.wrapping_sub(&U2048::ONE);
                (peer > U2048::ONE && peer < top).then(|| exponent.raise(&peer))
            }
        }
    }
}

impl fmt::Debug for KeSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeSecret({}, redacted)", self.group())
    }
}

/// A secret exponent for MODP-2048.
pub(crate) struct Exponent(U2048);

impl Exponent {
    /// RFC 3526 §8 asks for 320 bits at most; we take 512, as this bounds the work, not the strength.
    fn new(bytes: &[u8]) -> Self {
        let mut wide = Zeroizing::new([0u8; MODP_BYTES]);
        for (to, from) in wide.iter_mut().rev().zip(bytes.iter().rev()) {
            *to = *from;
        }
        Self(U2048::from_be_slice(wide.as_ref()))
    }

    /// base to this power, modulo p, in constant time; padded to the modulus' length (RFC 7296 §2.14).
    fn raise(&self, base: &U2048) -> Shared {
        let params = FixedMontyParams::new_vartime(MODP2048_ODD);
        let mut power =
            FixedMontyForm::new(base, &params).pow_bounded_exp(&self.0, (EXPONENT_BYTES * 8) as u32).retrieve();
        let bytes = Zeroizing::new(power.to_be_bytes().as_ref().to_vec());
        power.zeroize();
        bytes
    }
}

impl Drop for Exponent {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// The SEC1 form of a point given as x and y.
fn uncompressed(point: &[u8], length: usize) -> Option<Vec<u8>> {
    (point.len() == length).then(|| [&[4u8], point].concat())
}

const MODP_BYTES: usize = 256;
const EXPONENT_BYTES: usize = 64;

/// RFC 3526 §3.
const MODP2048: U2048 = U2048::from_be_hex(
    "FFFFFFFFFFFFFFFFC90FDAA22168C234C4C6628B80DC1CD129024E088A67CC74\
     020BBEA63B139B22514A08798E3404DDEF9519B3CD3A431B302B0A6DF25F1437\
     4FE1356D6D51C245E485B576625E7EC6F44C42E9A637ED6B0BFF5CB6F406B7ED\
     EE386BFB5A899FA5AE9F24117C4B1FE649286651ECE45B3DC2007CB8A163BF05\
     98DA48361C55D39A69163FA8FD24CF5F83655D23DCA3AD961C62F356208552BB\
     9ED529077096966D670C354E4ABC9804F1746C08CA18217C32905E462E36CE3B\
     E39E772C180E86039B2783A2EC07A28FB5C55DF06F4C52C9DE2BCBF695581718\
     3995497CEA956AE515D2261898FA051015728E5A8AACAA68FFFFFFFFFFFFFFFF",
);
const MODP2048_ODD: Odd<U2048> = Odd::<U2048>::from_be_hex(
    "FFFFFFFFFFFFFFFFC90FDAA22168C234C4C6628B80DC1CD129024E088A67CC74\
     020BBEA63B139B22514A08798E3404DDEF9519B3CD3A431B302B0A6DF25F1437\
     4FE1356D6D51C245E485B576625E7EC6F44C42E9A637ED6B0BFF5CB6F406B7ED\
     EE386BFB5A899FA5AE9F24117C4B1FE649286651ECE45B3DC2007CB8A163BF05\
     98DA48361C55D39A69163FA8FD24CF5F83655D23DCA3AD961C62F356208552BB\
     9ED529077096966D670C354E4ABC9804F1746C08CA18217C32905E462E36CE3B\
     E39E772C180E86039B2783A2EC07A28FB5C55DF06F4C52C9DE2BCBF695581718\
     3995497CEA956AE515D2261898FA051015728E5A8AACAA68FFFFFFFFFFFFFFFF",
);
