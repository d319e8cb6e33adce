//! What is derived from the shared secret (RFC 7296 §2.14, §2.15, §2.17).

use std::fmt;

use zeroize::Zeroizing;

use crate::algorithm::{EspSuite, IkeSuite, PrfAlgorithm};
use crate::child::EspKey;

/// The seven keys of an IKE SA.
pub(crate) struct SaKeys {
    pub(crate) d: Zeroizing<Vec<u8>>,
    pub(crate) ai: Zeroizing<Vec<u8>>,
    pub(crate) ar: Zeroizing<Vec<u8>>,
    pub(crate) ei: Zeroizing<Vec<u8>>,
    pub(crate) er: Zeroizing<Vec<u8>>,
    pub(crate) pi: Zeroizing<Vec<u8>>,
    pub(crate) pr: Zeroizing<Vec<u8>>,
}

impl SaKeys {
    /// The first keys: from g^ir, the nonces and the SPIs.
    pub(crate) fn derive(suite: IkeSuite, shared: &[u8], nonces: (&[u8], &[u8]), spis: (u64, u64)) -> Self {
        // RFC 7296 §2.14: SKEYSEED = prf(Ni | Nr, g^ir).
        let nonce_key = Zeroizing::new([nonces.0, nonces.1].concat());
        Self::expand(suite, &suite.prf.compute(&nonce_key, &[shared]), nonces, spis)
    }

    /// The keys of an IKE SA that follows another one, whose PRF and SK_d these are; the nonces and SPIs
    /// are those of the new one. RFC 9370 §2.2.2 derives by the same formula after each additional key exchange.
    pub(crate) fn rekey(
        suite: IkeSuite,
        old_prf: PrfAlgorithm,
        old_sk_d: &[u8],
        shared: &[u8],
        nonces: (&[u8], &[u8]),
        spis: (u64, u64),
    ) -> Self {
        // RFC 7296 §2.18: SKEYSEED = prf(SK_d (old), g^ir (new) | Ni | Nr), with the old SA's PRF.
        Self::expand(suite, &old_prf.compute(old_sk_d, &[shared, nonces.0, nonces.1]), nonces, spis)
    }

    /// RFC 7296 §2.14: {SK_d | SK_ai | SK_ar | SK_ei | SK_er | SK_pi | SK_pr} = prf+(SKEYSEED, Ni | Nr | SPIi | SPIr).
    fn expand(suite: IkeSuite, seed: &[u8], nonces: (&[u8], &[u8]), spis: (u64, u64)) -> Self {
        let prf = suite.prf;
        let (d, a, e) =
            (prf.output_bytes(), suite.integrity.map_or(0, |i| i.key_bytes()), suite.encryption.material_bytes());
        let (spi_i, spi_r) = (spis.0.to_be_bytes(), spis.1.to_be_bytes());
        let material = prf.expand(seed, &[nonces.0, nonces.1, &spi_i, &spi_r], 3 * d + 2 * a + 2 * e);
        let mut rest: &[u8] = &material;
        let mut cut = |length: usize| {
            let (head, tail) = rest.split_at_checked(length).unwrap_or((rest, &[]));
            rest = tail;
            Zeroizing::new(head.to_vec())
        };
        Self { d: cut(d), ai: cut(a), ar: cut(a), ei: cut(e), er: cut(e), pi: cut(d), pr: cut(d) }
    }
}

impl fmt::Debug for SaKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SaKeys(redacted)")
    }
}

/// The AUTH data for a pre-shared key (RFC 7296 §2.15): `message` is the signer's first message,
/// `nonce` the other end's, `sk_p` and `id_body` the signer's, `intermediate` what RFC 9242 adds.
pub(crate) fn auth_proof(
    prf: PrfAlgorithm,
    psk: &[u8],
    message: &[u8],
    nonce: &[u8],
    sk_p: &[u8],
    id_body: &[u8],
    intermediate: &[u8],
) -> Zeroizing<Vec<u8>> {
    let key = prf.compute(psk, &[b"Key Pad for IKEv2"]);
    let id = prf.compute(sk_p, &[id_body]);
    prf.compute(&key, &[message, nonce, &id, intermediate])
}

/// The child SA's keys: initiator to responder, then responder to initiator. `shared` is g^ir of the child's own
/// key exchange, if it had one (RFC 7296 §2.17).
pub(crate) fn child_keys(
    prf: PrfAlgorithm,
    sk_d: &[u8],
    shared: Option<&[u8]>,
    nonces: (&[u8], &[u8]),
    suite: EspSuite,
) -> (EspKey, EspKey) {
    let cipher = suite.encryption;
    let one = cipher.key_bytes() + cipher.salt_bytes() + suite.integrity.map_or(0, |i| i.key_bytes());
    let material = prf.expand(sk_d, &[shared.unwrap_or_default(), nonces.0, nonces.1], 2 * one);
    let (first, second) = material.split_at_checked(one).unwrap_or((&material, &[]));
    (EspKey::from_material(first, cipher), EspKey::from_material(second, cipher))
}
