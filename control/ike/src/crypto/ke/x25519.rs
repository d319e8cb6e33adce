//! Curve25519 (RFC 8031).

use aws_lc_rs::agreement::{self, PrivateKey, UnparsedPublicKey, X25519};
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use super::Shared;

/// A secret scalar. AWS-LC wipes all memory that it frees.
pub(crate) struct Scalar(PrivateKey);

impl Scalar {
    pub(super) fn generate(rng: &mut dyn CryptoRng) -> Self {
        let mut bytes = Zeroizing::new([0; 32]);
        loop {
            rng.fill_bytes(bytes.as_mut());
            // RFC 7748 §5: any 32 bytes are one.
            if let Some(scalar) = Self::from_bytes(&bytes) {
                return scalar;
            }
        }
    }

    pub(super) fn from_bytes(bytes: &[u8; 32]) -> Option<Self> {
        PrivateKey::from_private_key(&X25519, bytes).ok().map(Self)
    }

    /// Our public value.
    pub(super) fn public(&self) -> Vec<u8> {
        // It cannot fail: there is one for each scalar.
        self.0.compute_public_key().map(|public| public.as_ref().to_vec()).unwrap_or_default()
    }

    /// The shared secret. `None` if it is all zeros, which tells of a point of small order (RFC 7748 §6.1).
    pub(super) fn agree(&self, peer: &[u8]) -> Option<Shared> {
        let peer = UnparsedPublicKey::new(&X25519, peer);
        agreement::agree(&self.0, peer, (), |shared| Ok(Zeroizing::new(shared.to_vec()))).ok()
    }
}
