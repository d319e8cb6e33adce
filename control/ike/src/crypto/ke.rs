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

impl KeSecret {
    /// The responder's whole part: what to answer the initiator's public value with, and the shared secret;
    /// `None` if that value is not valid for the group.
    pub(crate) fn respond(group: KeGroup, peer: &[u8], rng: &mut dyn CryptoRng) -> Option<(Vec<u8>, Shared)> {
        let secret = Self::generate(group, rng);
        let shared = secret.agree(peer)?;
        Some((secret.public(), shared))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hex::hex;

    fn agreed(i: &KeSecret, r: &KeSecret, publics: [&str; 2], shared: &str) {
        assert_eq!(i.public(), hex(publics[0]));
        assert_eq!(r.public(), hex(publics[1]));
        assert_eq!(*i.agree(&hex(publics[1])).unwrap(), hex(shared));
        assert_eq!(*r.agree(&hex(publics[0])).unwrap(), hex(shared));
    }

    // RFC 5903 §8.1.
    #[test]
    fn rfc5903_p256() {
        let secret = |text| KeSecret::Ecp256(p256::SecretKey::from_slice(&hex(text)).unwrap());
        agreed(
            &secret("C88F01F510D9AC3F70A292DAA2316DE544E9AAB8AFE84049C62A9C57862D1433"),
            &secret("C6EF9C5D78AE012A011164ACB397CE2088685D8F06BF9BE0B283AB46476BEE53"),
            [
                "DAD0B65394221CF9B051E1FECA5787D098DFE637FC90B9EF945D0C3772581180
                 5271A0461CDB8252D61F1C456FA3E59AB1F45B33ACCF5F58389E0577B8990BB3",
                "D12DFB5289C8D4F81208B70270398C342296970A0BCCB74C736FC7554494BF63
                 56FBF3CA366CC23E8157854C13C58D6AAC23F046ADA30F8353E74F33039872AB",
            ],
            "D6840F6B42F6EDAFD13116E0E12565202FEF8E9ECE7DCE03812464D04B9442DE",
        );
    }

    // RFC 5903 §8.2.
    #[test]
    fn rfc5903_p384() {
        let secret = |text| KeSecret::Ecp384(p384::SecretKey::from_slice(&hex(text)).unwrap());
        agreed(
            &secret("099F3C7034D4A2C699884D73A375A67F7624EF7C6B3C0F160647B67414DCE655E35B538041E649EE3FAEF896783AB194"),
            &secret("41CB0779B4BDB85D47846725FBEC3C9430FAB46CC8DC5060855CC9BDA0AA2942E0308312916B8ED2960E4BD55A7448FC"),
            [
                "667842D7D180AC2CDE6F74F37551F55755C7645C20EF73E31634FE72B4C55EE6DE3AC808ACB4BDB4C88732AEE95F41AA
                 9482ED1FC0EEB9CAFC4984625CCFC23F65032149E0E144ADA024181535A0F38EEB9FCFF3C2C947DAE69B4C634573A81C",
                "E558DBEF53EECDE3D3FCCFC1AEA08A89A987475D12FD950D83CFA41732BC509D0D1AC43A0336DEF96FDA41D0774A3571
                 DCFBEC7AACF3196472169E838430367F66EEBE3C6E70C416DD5F0C68759DD1FFF83FA40142209DFF5EAAD96DB9E6386C",
            ],
            "11187331C279962D93D604243FD592CB9D0A926F422E47187521287E7156C5C4D603135569B9E9D09CF5D4A270F59746",
        );
    }

    // RFC 7748 §6.1.
    #[test]
    fn rfc7748_x25519() {
        let secret = |text| {
            let bytes = <[u8; 32]>::try_from(hex(text)).unwrap();
            KeSecret::X25519(x25519_dalek::StaticSecret::from(bytes))
        };
        agreed(
            &secret("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a"),
            &secret("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb"),
            [
                "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a",
                "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f",
            ],
            "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742",
        );
    }

    // By Python's pow(): tests/oracle/generate.py.
    #[test]
    fn modp2048_as_python_computes_it() {
        let lines: Vec<&str> = include_str!("../../tests/vectors/modp2048.txt").lines().collect();
        let secret = |text| KeSecret::Modp2048(Box::new(Exponent::new(&hex(text))));
        agreed(&secret(lines[0]), &secret(lines[1]), [lines[2], lines[3]], lines[4]);
    }

    #[test]
    fn values_outside_the_group_are_refused() {
        let mut rng = <rand_chacha::ChaCha8Rng as rand_chacha::rand_core::SeedableRng>::seed_from_u64(1);
        for (group, length) in
            [(KeGroup::X25519, 32), (KeGroup::Ecp256, 64), (KeGroup::Ecp384, 96), (KeGroup::Modp2048, 256)]
        {
            let secret = KeSecret::generate(group, &mut rng);
            assert_eq!(secret.public().len(), length);
            assert!(secret.agree(&vec![0; length]).is_none(), "{group}: zero");
            assert!(secret.agree(&secret.public()[1..]).is_none(), "{group}: short");
            if group != KeGroup::X25519 {
                assert!(secret.agree(&vec![0xff; length]).is_none(), "{group}: all ones");
            }
        }
        let secret = KeSecret::generate(KeGroup::Modp2048, &mut rng);
        let top = MODP2048.wrapping_sub(&U2048::ONE).to_be_bytes();
        assert!(secret.agree(top.as_ref()).is_none(), "p-1");
    }
}
