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
        (shared, more): (&[u8], &[u8]),
        nonces: (&[u8], &[u8]),
        spis: (u64, u64),
    ) -> Self {
        // RFC 7296 §2.18: SKEYSEED = prf(SK_d (old), g^ir (new) | Ni | Nr), with the old SA's PRF. RFC 9370 §2.2.4: behind
        // it come the shared secrets of the additional key exchanges.
        Self::expand(suite, &old_prf.compute(old_sk_d, &[shared, nonces.0, nonces.1, more]), nonces, spis)
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
/// key exchange, if it had one (RFC 7296 §2.17), and what additional ones shared (RFC 9370 §2.2.4).
pub(crate) fn child_keys(
    prf: PrfAlgorithm,
    sk_d: &[u8],
    (shared, more): (&[u8], &[u8]),
    nonces: (&[u8], &[u8]),
    suite: EspSuite,
) -> (EspKey, EspKey) {
    let cipher = suite.encryption;
    let one = cipher.key_bytes() + cipher.salt_bytes() + suite.integrity.map_or(0, |i| i.key_bytes());
    let material = prf.expand(sk_d, &[shared, nonces.0, nonces.1, more], 2 * one);
    let (first, second) = material.split_at_checked(one).unwrap_or((&material, &[]));
    (EspKey::from_material(first, cipher), EspKey::from_material(second, cipher))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::algorithm::{ADDITIONAL_KEY_EXCHANGES, EspCipher, IkeCipher, Integrity, KeGroup};
    use crate::hex::hex;

    fn ike(encryption: IkeCipher, integrity: Option<Integrity>, prf: PrfAlgorithm) -> IkeSuite {
        let additional = [None; ADDITIONAL_KEY_EXCHANGES];
        IkeSuite { encryption, integrity, prf, key_exchange: KeGroup::Modp2048, additional }
    }

    fn esp(encryption: EspCipher, integrity: Option<Integrity>) -> EspSuite {
        let additional = [None; ADDITIONAL_KEY_EXCHANGES];
        EspSuite { encryption, integrity, key_exchange: None, additional, esn: false }
    }

    fn all(keys: &SaKeys) -> Vec<u8> {
        [&keys.d, &keys.ai, &keys.ar, &keys.ei, &keys.er, &keys.pi, &keys.pr].map(|key| key.to_vec()).concat()
    }

    // NIST's CAVP, IKEv2 with HMAC-SHA1 (SP 800-135 §4.1.2), as libreswan and NSS have it among their tests.
    #[test]
    fn cavp() {
        let nonces = (&hex("32b50d5f4a3763f3")[..], &hex("9206a04b26564cb1")[..]);
        let spis = (0x34c9_e7c1_8886_8785, 0x3ff7_7d76_0d2b_2199);
        let shared = hex("4b2c1f971981a8ad8d0abeafabf38cf75fc8349c148142465ed9c8b516b8be52");
        let new = hex("863f3c9d06efd39d2b907b97f8699e5dd5251ef64a2a176f36ee40c87d4f9330");
        let material = hex(
            "a14293677cc80ff8f9cc0eee30d895da9d8f405666e30ef0dfcb63c634a46002a2a63080e514a062768b76606f9fa5e992204fc5\
             a670bde3f10d6b027113936a5c55b648a194ae587b0088d52204b702c979fa280870d2ed41efa9c549fd11198af1670b143d384b\
             d275c5f594cf266b05ebadca855e4249520a441a81157435a7a56cc4",
        );
        // SK_d, SK_pi and SK_pr of 20 bytes and two AES-128-GCM keys of 20: 100 bytes of the 132.
        let suite = ike(IkeCipher::Aes128Gcm16, None, PrfAlgorithm::HmacSha1);
        let keys = SaKeys::derive(suite, &shared, nonces, spis);
        assert_eq!(all(&keys), material[..100]);
        // With AES-192-CBC and SHA-1, two times 20 and two times 24 more: 148, and the 132 are a prefix.
        let suite = ike(IkeCipher::Aes192Cbc, Some(Integrity::HmacSha1), PrfAlgorithm::HmacSha1);
        assert_eq!(all(&SaKeys::derive(suite, &shared, nonces, spis))[..132], material);

        // SKEYSEED of a rekey; what comes of it is prf+ again, which the first keys have shown.
        let seed = hex("63e81194946ebd05df7df5ebf5d8750056bf1f1d");
        let rekeyed = SaKeys::rekey(suite, PrfAlgorithm::HmacSha1, &keys.d, (&new, &[]), nonces, spis);
        assert_eq!(all(&rekeyed), all(&SaKeys::expand(suite, &seed, nonces, spis)));

        let child = |suite: EspSuite, shared: &[u8]| {
            let (first, second) = child_keys(PrfAlgorithm::HmacSha1, &keys.d, (shared, &[]), nonces, suite);
            let bytes = |key: &EspKey| {
                let salt: &[u8] = if suite.encryption.is_aead() { key.salt() } else { &[] };
                [key.encryption(), key.integrity(), salt].concat()
            };
            assert_eq!(first.key(), [first.encryption(), first.integrity()].concat());
            [bytes(&first), bytes(&second)].concat()
        };
        let without = hex(
            "8059e3ee8810e6c3a91bc8bcd2a7a41151b8d0e6ae239c7b38093ad85ef4c5811a8e7b5d1cdabd9560b2d5e092d1f24e2d4b85ec\
             cdf0ad0dc9abd94b51ee71814ca6dbc8bb51b6309f5b9545c7eb35cf5580b1e521a8fe20754a2d883ba0c2cf285f524aea6545b3\
             3106bc03e614296d319d41d4b50b3f510b1c0a22f3e664994d234cb4",
        );
        let with = hex(
            "bb43244c1860ad65ee1e211ffe8bb3661750c8f89cb9f547df7f4fa61d37301628190e38c66232eab4b3ab14c400a5197dd3730e\
             d4820a8a10394d51e1c0400052f63ebd36b0e7ef53aaed31eba4a5080d7d4b5666023a8bbb5ffb7857240f9a05884d1b7d2f9337\
             08450b7b3288f1fc863ab49fa901227cffc06e27899c7054d56fd74c",
        );
        for (suite, bytes) in [
            (esp(EspCipher::Aes128Gcm16, None), 40),
            (esp(EspCipher::ChaCha20Poly1305, None), 72),
            (esp(EspCipher::Aes256Cbc, Some(Integrity::HmacSha256)), 128),
            (esp(EspCipher::Aes192Cbc, Some(Integrity::HmacSha1)), 88),
        ] {
            assert_eq!(child(suite, &[]), without[..bytes], "{suite}");
            assert_eq!(child(suite, &new), with[..bytes], "{suite}");
        }
    }

    // By Python's hmac, with every PRF and odd lengths: tests/oracle/generate.py.
    #[test]
    fn as_python_derives_them() {
        let lines: Vec<&str> = include_str!("../../tests/vectors/key-derivation.txt").lines().collect();
        assert_eq!(lines.len(), PrfAlgorithm::ALL.len());
        for (line, prf) in lines.into_iter().zip(PrfAlgorithm::ALL) {
            let fields: Vec<Vec<u8>> = line.split(' ').skip(1).map(hex).collect();
            let [ni, nr, spi_i, spi_r, shared, new, first, rekeyed, child] = &fields[..] else { panic!("{line}") };
            let spi = |bytes: &[u8]| u64::from_be_bytes(bytes.try_into().unwrap());
            let (nonces, spis) = ((&ni[..], &nr[..]), (spi(spi_i), spi(spi_r)));
            let suite = ike(IkeCipher::Aes256Cbc, Some(Integrity::HmacSha384), prf);
            let keys = SaKeys::derive(suite, shared, nonces, spis);
            assert_eq!(all(&keys), *first, "{prf}");
            // A rekey may change the PRF; SKEYSEED is still the old one's (RFC 7296 §2.18).
            let later = ike(IkeCipher::ChaCha20Poly1305, None, PrfAlgorithm::HmacSha256);
            assert_eq!(all(&SaKeys::rekey(later, prf, &keys.d, (new, &[]), nonces, spis)), *rekeyed, "{prf}");
            let suite = esp(EspCipher::Aes192Cbc, Some(Integrity::HmacSha512));
            let (to_responder, to_initiator) = child_keys(prf, &keys.d, (new, &[]), nonces, suite);
            assert_eq!([to_responder.key(), to_initiator.key()].concat(), *child, "{prf}");
        }
    }
}
