//! The NIST curves (RFC 5903).

use aws_lc_rs::agreement::{self, Algorithm, ECDH_P256, ECDH_P384, ECDH_P521, PrivateKey, UnparsedPublicKey};
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use super::Shared;
use crate::crypto::Curve;

/// A secret scalar, with its point. AWS-LC wipes all memory that it frees.
pub(crate) struct Scalar(PrivateKey);

impl Scalar {
    /// A number below the group's order, each as likely as any other: what is none is thrown away
    /// (SP 800-56A §5.6.1.2.2).
    pub(super) fn generate(curve: Curve, rng: &mut dyn CryptoRng) -> Self {
        let mut bytes = Zeroizing::new(vec![0; curve.bytes()]);
        loop {
            rng.fill_bytes(&mut bytes);
            if let (Curve::P521, Some(first)) = (curve, bytes.first_mut()) {
                // 521 bits, so that about every number is one.
                *first &= 1;
            }
            if let Some(scalar) = Self::from_bytes(curve, &bytes) {
                return scalar;
            }
        }
    }

    /// `None` for zero, and for what is not below the group's order.
    pub(super) fn from_bytes(curve: Curve, bytes: &[u8]) -> Option<Self> {
        PrivateKey::from_private_key(algorithm(curve), bytes).ok().map(Self)
    }

    /// Our public value. RFC 5903 §7: x and y, without the SEC1 tag byte.
    pub(super) fn public(&self) -> Vec<u8> {
        let point = self.0.compute_public_key();
        // It cannot fail: the point is there already.
        point.map(|point| point.as_ref().iter().skip(1).copied().collect()).unwrap_or_default()
    }

    /// The shared secret, which is x alone (RFC 5903 §7); `None` if the peer's value is no point of the curve.
    pub(super) fn agree(&self, curve: Curve, peer: &[u8]) -> Option<Shared> {
        if peer.len() != 2 * curve.bytes() {
            return None;
        }
        let peer = UnparsedPublicKey::new(algorithm(curve), [&[4u8], peer].concat());
        agreement::agree(&self.0, peer, (), |shared| Ok(Zeroizing::new(shared.to_vec()))).ok()
    }
}

fn algorithm(curve: Curve) -> &'static Algorithm {
    match curve {
        Curve::P256 => &ECDH_P256,
        Curve::P384 => &ECDH_P384,
        Curve::P521 => &ECDH_P521,
    }
}
