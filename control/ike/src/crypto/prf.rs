//! The PRF and prf+ (RFC 7296 §2.13), over HMAC.

use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use sha2::{Sha256, Sha384, Sha512};
use zeroize::Zeroizing;

use crate::algorithm::PrfAlgorithm;

impl PrfAlgorithm {
    /// prf(key, parts one after the other).
    pub(crate) fn compute(self, key: &[u8], parts: &[&[u8]]) -> Zeroizing<Vec<u8>> {
        match self {
            Self::HmacSha1 => hmac::<Hmac<Sha1>>(key, parts),
            Self::HmacSha256 => hmac::<Hmac<Sha256>>(key, parts),
            Self::HmacSha384 => hmac::<Hmac<Sha384>>(key, parts),
            Self::HmacSha512 => hmac::<Hmac<Sha512>>(key, parts),
        }
    }

    /// prf+(key, seed), cut to `length` bytes, which is at most 255 blocks.
    pub(crate) fn expand(self, key: &[u8], seed: &[&[u8]], length: usize) -> Zeroizing<Vec<u8>> {
        let mut out = Zeroizing::new(Vec::with_capacity(length + self.output_bytes()));
        let mut block = Zeroizing::new(Vec::new());
        for counter in 1..=255u8 {
            if out.len() >= length {
                break;
            }
            let mut parts: Vec<&[u8]> = vec![&block];
            parts.extend_from_slice(seed);
            let counter = [counter];
            parts.push(&counter);
            let next = self.compute(key, &parts);
            block = next;
            out.extend_from_slice(&block);
        }
        out.truncate(length);
        out
    }
}

fn hmac<M: Mac + KeyInit>(key: &[u8], parts: &[&[u8]]) -> Zeroizing<Vec<u8>> {
    let mut mac = <M as KeyInit>::new_from_slice(key).expect("HMAC takes keys of any length");
    parts.iter().for_each(|part| mac.update(part));
    Zeroizing::new(mac.finalize().into_bytes().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hex::hex;

    // RFC 2202 §3 (test cases 1, 2 and 6).
    #[test]
    fn rfc2202() {
        let cases: [(&[u8], &[u8], &str); 3] = [
            (&[0x0b; 20], b"Hi There", "b617318655057264e28bc0b6fb378c8ef146be00"),
            (b"Jefe", b"what do ya want for nothing?", "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"),
            (
                &[0xaa; 80],
                b"Test Using Larger Than Block-Size Key - Hash Key First",
                "aa4ae5e15272d00e95705637ce8a3b55ed402112",
            ),
        ];
        for (key, data, expected) in cases {
            assert_eq!(*PrfAlgorithm::HmacSha1.compute(key, &[data]), hex(expected));
        }
    }

    // RFC 4231 §4.2, §4.3 and §4.7 (test cases 1, 2 and 6: a key longer than the block).
    #[test]
    fn rfc4231() {
        let long = [0xaau8; 131];
        let cases: [(&[u8], &[u8], PrfAlgorithm, &str); 7] = [
            (
                &[0x0b; 20],
                b"Hi There",
                PrfAlgorithm::HmacSha256,
                "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
            ),
            (
                &[0x0b; 20],
                b"Hi There",
                PrfAlgorithm::HmacSha384,
                "afd03944d84895626b0825f4ab46907f15f9dadbe4101ec682aa034c7cebc59cfaea9ea9076ede7f4af152e8b2fa9cb6",
            ),
            (
                &[0x0b; 20],
                b"Hi There",
                PrfAlgorithm::HmacSha512,
                "87aa7cdea5ef619d4ff0b4241a1d6cb02379f4e2ce4ec2787ad0b30545e17cdedaa833b7d6b8a702038b274eaea3f4e4be9d914eeb61f1702e696c203a126854",
            ),
            (
                b"Jefe",
                b"what do ya want for nothing?",
                PrfAlgorithm::HmacSha256,
                "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
            ),
            (
                b"Jefe",
                b"what do ya want for nothing?",
                PrfAlgorithm::HmacSha384,
                "af45d2e376484031617f78d2b58a6b1b9c7ef464f5a01b47e42ec3736322445e8e2240ca5e69e2c78b3239ecfab21649",
            ),
            (
                b"Jefe",
                b"what do ya want for nothing?",
                PrfAlgorithm::HmacSha512,
                "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea2505549758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737",
            ),
            (
                &long,
                b"Test Using Larger Than Block-Size Key - Hash Key First",
                PrfAlgorithm::HmacSha256,
                "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
            ),
        ];
        for (key, data, prf, expected) in cases {
            assert_eq!(*prf.compute(key, &[data]), hex(expected), "{prf}");
        }
    }
}
