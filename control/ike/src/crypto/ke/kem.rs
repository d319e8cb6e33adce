//! ML-KEM (FIPS 203) as a key exchange: the initiator sends its encapsulation key, the responder a ciphertext
//! (draft-ietf-ipsecme-ikev2-mlkem §2).

use ml_kem::kem::{Decapsulate, Decapsulator, Encapsulate, Kem, KeyExport, TryKeyInit};
use rand_core::CryptoRng;
use zeroize::{Zeroize, Zeroizing};

use super::Shared;

/// The initiator's value: its encapsulation key.
pub(super) fn public<D>(secret: &D) -> Vec<u8>
where
    D: Decapsulator,
    <D::Kem as Kem>::EncapsulationKey: KeyExport,
{
    secret.encapsulation_key().to_bytes().to_vec()
}

/// The initiator's shared secret; `None` if the ciphertext has another length. FIPS 203 §6.3: a ciphertext that is
/// wrong otherwise gives a secret that nobody else has, so that AUTH fails.
pub(super) fn decapsulate<D: Decapsulate>(secret: &D, ciphertext: &[u8]) -> Option<Shared> {
    let mut shared = secret.decapsulate_slice(ciphertext).ok()?;
    let copy = Zeroizing::new(shared.to_vec());
    shared.as_mut_slice().zeroize();
    Some(copy)
}

/// The responder's answer and shared secret; `None` if the encapsulation key does not pass the checks of FIPS 203 §7.2.
pub(super) fn encapsulate<K: Kem>(key: &[u8], rng: &mut dyn CryptoRng) -> Option<(Vec<u8>, Shared)> {
    let key = K::EncapsulationKey::new_from_slice(key).ok()?;
    let (ciphertext, mut shared) = key.encapsulate_with_rng(rng);
    let copy = Zeroizing::new(shared.to_vec());
    shared.as_mut_slice().zeroize();
    Some((ciphertext.to_vec(), copy))
}
