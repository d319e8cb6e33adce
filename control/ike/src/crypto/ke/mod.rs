//! Key exchange: one secret, its public value, and what both make with the peer's.

mod ecp;
mod kem;
mod modp;
mod primes;
#[cfg(test)]
mod tests;
mod x25519;

use std::fmt;

use ml_kem::{Generate, MlKem512, MlKem768, MlKem1024, ml_kem_512, ml_kem_768, ml_kem_1024};
use rand_core::CryptoRng;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::Curve;
use crate::algorithm::KeGroup;
use ecp::Scalar;
use modp::{Exponent, Modulus};

/// g^ir, as it enters SKEYSEED.
pub(crate) type Shared = Zeroizing<Vec<u8>>;

/// The initiator's half of a key exchange; wiped when dropped.
pub(crate) enum KeSecret {
    Modp(Modulus, Exponent),
    Ecp(Curve, Scalar),
    X25519(x25519::Scalar),
    X448(x448::StaticSecret),
    MlKem512(Box<ml_kem_512::DecapsulationKey>),
    MlKem768(Box<ml_kem_768::DecapsulationKey>),
    MlKem1024(Box<ml_kem_1024::DecapsulationKey>),
}

impl KeSecret {
    /// A fresh secret.
    pub(crate) fn generate(group: KeGroup, rng: &mut dyn CryptoRng) -> Self {
        let mut modp = |modulus| Self::Modp(modulus, Exponent::generate(rng));
        match group {
            KeGroup::Modp1024 => modp(Modulus::Modp1024),
            KeGroup::Modp1536 => modp(Modulus::Modp1536),
            KeGroup::Modp2048 => modp(Modulus::Modp2048),
            KeGroup::Modp3072 => modp(Modulus::Modp3072),
            KeGroup::Modp4096 => modp(Modulus::Modp4096),
            KeGroup::Modp6144 => modp(Modulus::Modp6144),
            KeGroup::Modp8192 => modp(Modulus::Modp8192),
            KeGroup::Ecp256 => Self::Ecp(Curve::P256, Scalar::generate(Curve::P256, rng)),
            KeGroup::Ecp384 => Self::Ecp(Curve::P384, Scalar::generate(Curve::P384, rng)),
            KeGroup::Ecp521 => Self::Ecp(Curve::P521, Scalar::generate(Curve::P521, rng)),
            KeGroup::X25519 => Self::X25519(x25519::Scalar::generate(rng)),
            KeGroup::X448 => Self::X448(x448::StaticSecret::random_from_rng(rng)),
            KeGroup::MlKem512 => Self::MlKem512(Box::new(Generate::generate_from_rng(rng))),
            KeGroup::MlKem768 => Self::MlKem768(Box::new(Generate::generate_from_rng(rng))),
            KeGroup::MlKem1024 => Self::MlKem1024(Box::new(Generate::generate_from_rng(rng))),
        }
    }

    /// The responder's whole part: what to answer the initiator's public value with, and the shared secret;
    /// `None` if that value is not valid for the group.
    pub(crate) fn respond(group: KeGroup, peer: &[u8], rng: &mut dyn CryptoRng) -> Option<(Vec<u8>, Shared)> {
        match group {
            KeGroup::MlKem512 => kem::encapsulate::<MlKem512>(peer, rng),
            KeGroup::MlKem768 => kem::encapsulate::<MlKem768>(peer, rng),
            KeGroup::MlKem1024 => kem::encapsulate::<MlKem1024>(peer, rng),
            KeGroup::Modp1024
            | KeGroup::Modp1536
            | KeGroup::Modp2048
            | KeGroup::Modp3072
            | KeGroup::Modp4096
            | KeGroup::Modp6144
            | KeGroup::Modp8192
            | KeGroup::Ecp256
            | KeGroup::Ecp384
            | KeGroup::Ecp521
            | KeGroup::X25519
            | KeGroup::X448 => {
                let secret = Self::generate(group, rng);
                let shared = secret.agree(peer)?;
                Some((secret.public(), shared))
            }
        }
    }

    pub(crate) fn group(&self) -> KeGroup {
        match self {
            Self::Modp(Modulus::Modp1024, _) => KeGroup::Modp1024,
            Self::Modp(Modulus::Modp1536, _) => KeGroup::Modp1536,
            Self::Modp(Modulus::Modp2048, _) => KeGroup::Modp2048,
            Self::Modp(Modulus::Modp3072, _) => KeGroup::Modp3072,
            Self::Modp(Modulus::Modp4096, _) => KeGroup::Modp4096,
            Self::Modp(Modulus::Modp6144, _) => KeGroup::Modp6144,
            Self::Modp(Modulus::Modp8192, _) => KeGroup::Modp8192,
            Self::Ecp(Curve::P256, _) => KeGroup::Ecp256,
            Self::Ecp(Curve::P384, _) => KeGroup::Ecp384,
            Self::Ecp(Curve::P521, _) => KeGroup::Ecp521,
            Self::X25519(_) => KeGroup::X25519,
            Self::X448(_) => KeGroup::X448,
            Self::MlKem512(_) => KeGroup::MlKem512,
            Self::MlKem768(_) => KeGroup::MlKem768,
            Self::MlKem1024(_) => KeGroup::MlKem1024,
        }
    }

    /// The public value as the KE payload carries it.
    pub(crate) fn public(&self) -> Vec<u8> {
        match self {
            Self::Modp(modulus, exponent) => exponent.public(*modulus),
            Self::Ecp(_, scalar) => scalar.public(),
            Self::X25519(scalar) => scalar.public(),
            Self::X448(secret) => x448::PublicKey::from(secret).as_bytes().to_vec(),
            Self::MlKem512(secret) => kem::public(secret.as_ref()),
            Self::MlKem768(secret) => kem::public(secret.as_ref()),
            Self::MlKem1024(secret) => kem::public(secret.as_ref()),
        }
    }

    /// The shared secret from the responder's value; `None` if that is not valid for the group.
    pub(crate) fn agree(&self, peer: &[u8]) -> Option<Shared> {
        match self {
            Self::Modp(modulus, exponent) => exponent.agree(*modulus, peer),
            Self::Ecp(curve, scalar) => scalar.agree(*curve, peer),
            Self::X25519(scalar) => scalar.agree(peer),
            Self::X448(secret) => {
                let shared = secret.diffie_hellman(&x448::PublicKey::from_bytes_unchecked(peer)?);
                // RFC 7748 §6.2: an all-zero result tells of a point of small order.
                let zero = bool::from(shared.as_bytes().ct_eq(&[0; 56]));
                (!zero).then(|| Zeroizing::new(shared.as_bytes().to_vec()))
            }
            Self::MlKem512(secret) => kem::decapsulate(secret.as_ref(), peer),
            Self::MlKem768(secret) => kem::decapsulate(secret.as_ref(), peer),
            Self::MlKem1024(secret) => kem::decapsulate(secret.as_ref(), peer),
        }
    }
}

impl fmt::Debug for KeSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeSecret({}, redacted)", self.group())
    }
}
