//! Public and private keys of the kinds that certificates have here: RSA, ECDSA over NIST's curves, Ed25519.

use std::fmt;

use ed25519_dalek::pkcs8::DecodePrivateKey;
use p256::ecdsa::signature::hazmat::{PrehashVerifier, RandomizedPrehashSigner};
use p256::ecdsa::signature::{Signer, Verifier};
use rand_core::CryptoRng;
use rsa::pkcs1::{DecodeRsaPrivateKey, DecodeRsaPublicKey};
use rsa::traits::PublicKeyParts;
use rsa::{Pkcs1v15Sign, pss::Pss};
use sha1::Sha1;
use sha2::{Sha256, Sha384, Sha512};
use x509_cert::der::asn1::ObjectIdentifier;
use x509_cert::spki::SubjectPublicKeyInfoOwned;

use super::signature::{self, ECDSA_P256, ECDSA_P384, ECDSA_P521, Hash, HashSet, Method, RSA, Scheme, Signed};
use super::{PemError, RsaPadding, pem};

/// A key that verifies.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum PublicKey {
    Rsa(Box<rsa::PublicKey>),
    P256(p256::ecdsa::VerifyingKey),
    P384(Box<p384::ecdsa::VerifyingKey>),
    P521(Box<p521::ecdsa::VerifyingKey>),
    Ed25519(Box<ed25519_dalek::VerifyingKey>),
}

impl PublicKey {
    /// Reads a certificate's key; `Err` says what cannot be used.
    pub(crate) fn from_info(info: &SubjectPublicKeyInfoOwned) -> Result<Self, String> {
        let bits = info.subject_public_key.raw_bytes();
        let curve = info.algorithm.parameters.as_ref().and_then(|p| p.decode_as::<ObjectIdentifier>().ok());
        let broken = |kind: &str| format!("an {kind} key that is not valid");
        match (info.algorithm.oid, curve) {
            (RSA_ENCRYPTION, _) => {
                // It bounds the modulus and the exponent from above, which bounds what a verification costs.
                let key = rsa::PublicKey::from_pkcs1_der(bits).map_err(|_| broken("RSA"))?;
                let length = key.n().bit_width_vartime();
                if length < LEAST_RSA_BITS {
                    return Err(format!("an RSA key of {length} bits, which is too short"));
                }
                Ok(Self::Rsa(Box::new(key)))
            }
            (EC_PUBLIC_KEY, Some(P256)) => {
                p256::ecdsa::VerifyingKey::from_sec1_bytes(bits).map(Self::P256).map_err(|_| broken("ECDSA"))
            }
            (EC_PUBLIC_KEY, Some(P384)) => p384::ecdsa::VerifyingKey::from_sec1_bytes(bits)
                .map(|key| Self::P384(Box::new(key)))
                .map_err(|_| broken("ECDSA")),
            (EC_PUBLIC_KEY, Some(P521)) => p521::ecdsa::VerifyingKey::from_sec1_bytes(bits)
                .map(|key| Self::P521(Box::new(key)))
                .map_err(|_| broken("ECDSA")),
            (EC_PUBLIC_KEY, _) => Err("an ECDSA key on another curve than P-256, P-384 and P-521".to_owned()),
            (ED25519, _) => <[u8; 32]>::try_from(bits)
                .ok()
                .and_then(|bytes| ed25519_dalek::VerifyingKey::from_bytes(&bytes).ok())
                .map(|key| Self::Ed25519(Box::new(key)))
                .ok_or_else(|| broken("Ed25519")),
            (other, _) => Err(format!("a key for {}", signature::name(other))),
        }
    }

    /// Whether this key made the signature over all parts, one after the other.
    pub(crate) fn verify(&self, scheme: Scheme, parts: &[&[u8]], signature: &[u8]) -> bool {
        match (self, scheme) {
            (Self::Rsa(key), Scheme::RsaPkcs1(hash)) => key.verify(pkcs1(hash), &hash.digest(parts), signature).is_ok(),
            (Self::Rsa(key), Scheme::RsaPss(hash, salt)) => {
                let hashed = hash.digest(parts);
                match hash {
                    Hash::Sha1 => false,
                    Hash::Sha256 => key.verify(Pss::<Sha256>::new_with_salt(salt), &hashed, signature).is_ok(),
                    Hash::Sha384 => key.verify(Pss::<Sha384>::new_with_salt(salt), &hashed, signature).is_ok(),
                    Hash::Sha512 => key.verify(Pss::<Sha512>::new_with_salt(salt), &hashed, signature).is_ok(),
                }
            }
            (Self::P256(key), Scheme::Ecdsa(hash)) => p256::ecdsa::Signature::from_der(signature)
                .is_ok_and(|s| key.verify_prehash(&hashed::<32>(hash, parts), &s).is_ok()),
            (Self::P384(key), Scheme::Ecdsa(hash)) => p384::ecdsa::Signature::from_der(signature)
                .is_ok_and(|s| key.verify_prehash(&hashed::<48>(hash, parts), &s).is_ok()),
            (Self::P521(key), Scheme::Ecdsa(hash)) => p521::ecdsa::Signature::from_der(signature)
                .is_ok_and(|s| key.verify_prehash(&hashed::<66>(hash, parts), &s).is_ok()),
            (Self::Ed25519(key), Scheme::Ed25519) => {
                // RFC 8420 §2: it signs the octets themselves.
                ed25519_dalek::Signature::from_slice(signature).is_ok_and(|s| key.verify(&parts.concat(), &s).is_ok())
            }
            (
                Self::Rsa(_) | Self::P256(_) | Self::P384(_) | Self::P521(_) | Self::Ed25519(_),
                Scheme::RsaPkcs1(_) | Scheme::RsaPss(..) | Scheme::Ecdsa(_) | Scheme::Ed25519,
            ) => false,
        }
    }

    /// Whether this key made the AUTH that a peer sent.
    pub(crate) fn verify_auth(&self, signed: &Signed, parts: &[&[u8]]) -> bool {
        match (self, signed.method) {
            (_, Method::Digital(scheme)) => self.verify(scheme, parts, &signed.signature),
            // RFC 7296 §3.8: SHA-1 is what is used unless more is known of the peer, and the signature says which it was.
            (Self::Rsa(_), Method::Classic(RSA)) => [Hash::Sha1, Hash::Sha256, Hash::Sha384, Hash::Sha512]
                .into_iter()
                .any(|hash| self.verify(Scheme::RsaPkcs1(hash), parts, &signed.signature)),
            // RFC 4754 §7: r and s one after the other, each of the curve's length.
            (Self::P256(key), Method::Classic(ECDSA_P256)) => p256::ecdsa::Signature::from_slice(&signed.signature)
                .is_ok_and(|s| key.verify_prehash(&Hash::Sha256.digest(parts), &s).is_ok()),
            (Self::P384(key), Method::Classic(ECDSA_P384)) => p384::ecdsa::Signature::from_slice(&signed.signature)
                .is_ok_and(|s| key.verify_prehash(&Hash::Sha384.digest(parts), &s).is_ok()),
            (Self::P521(key), Method::Classic(ECDSA_P521)) => p521::ecdsa::Signature::from_slice(&signed.signature)
                .is_ok_and(|s| key.verify_prehash(&Hash::Sha512.digest(parts), &s).is_ok()),
            (_, Method::Classic(_)) => false,
        }
    }

    /// The kind of key, in words.
    pub(crate) fn describe(&self) -> &'static str {
        match self {
            Self::Rsa(_) => "RSA",
            Self::P256(_) => "ECDSA P-256",
            Self::P384(_) => "ECDSA P-384",
            Self::P521(_) => "ECDSA P-521",
            Self::Ed25519(_) => "Ed25519",
        }
    }
}

/// A key that signs: wiped when dropped, never formatted.
pub(super) enum PrivateKey {
    Rsa(Box<rsa::PrivateKey>),
    P256(p256::ecdsa::SigningKey),
    P384(Box<p384::ecdsa::SigningKey>),
    P521(Box<p521::ecdsa::SigningKey>),
    Ed25519(Box<ed25519_dalek::SigningKey>),
}

impl PrivateKey {
    /// Reads the first private key of a PEM file: PKCS#8, PKCS#1 or SEC 1.
    pub(super) fn from_pem(content: &[u8]) -> Result<Self, PemError> {
        let blocks = pem::blocks(content)?;
        let (label, der) = blocks
            .iter()
            .find(|(label, _)| label.ends_with("PRIVATE KEY"))
            .ok_or(PemError::Missing("private key in PEM"))?;
        let key = match *label {
            "PRIVATE KEY" => Self::from_pkcs8(der),
            "RSA PRIVATE KEY" => rsa::PrivateKey::from_pkcs1_der(der).ok().map(|key| Self::Rsa(Box::new(key))),
            "EC PRIVATE KEY" => Self::from_sec1(der),
            "ENCRYPTED PRIVATE KEY" => return Err(PemError::Missing("private key without a password")),
            _ => None,
        };
        key.ok_or(PemError::Malformed("private key"))
    }

    fn from_pkcs8(der: &[u8]) -> Option<Self> {
        // Each refuses the others' algorithm identifiers.
        let rsa = || rsa::PrivateKey::from_pkcs8_der(der).ok().map(|key| Self::Rsa(Box::new(key)));
        let p256 = || p256::SecretKey::from_pkcs8_der(der).ok().map(|key| Self::P256(key.into()));
        let p384 = || p384::SecretKey::from_pkcs8_der(der).ok().map(|key| Self::P384(Box::new(key.into())));
        let p521 = || p521::SecretKey::from_pkcs8_der(der).ok().map(|key| Self::P521(Box::new(key.into())));
        let ed = || ed25519_dalek::SigningKey::from_pkcs8_der(der).ok().map(|key| Self::Ed25519(Box::new(key)));
        rsa().or_else(p256).or_else(p384).or_else(p521).or_else(ed)
    }

    fn from_sec1(der: &[u8]) -> Option<Self> {
        let p256 = || p256::SecretKey::from_sec1_der(der).ok().map(|key| Self::P256(key.into()));
        let p384 = || p384::SecretKey::from_sec1_der(der).ok().map(|key| Self::P384(Box::new(key.into())));
        let p521 = || p521::SecretKey::from_sec1_der(der).ok().map(|key| Self::P521(Box::new(key.into())));
        p256().or_else(p384).or_else(p521)
    }

    /// The key that verifies what this one signs.
    pub(super) fn public(&self) -> PublicKey {
        match self {
            Self::Rsa(key) => PublicKey::Rsa(Box::new(key.to_public_key())),
            Self::P256(key) => PublicKey::P256(*key.verifying_key()),
            Self::P384(key) => PublicKey::P384(Box::new(*key.verifying_key())),
            Self::P521(key) => PublicKey::P521(Box::new(*key.verifying_key())),
            Self::Ed25519(key) => PublicKey::Ed25519(Box::new(key.verifying_key())),
        }
    }

    /// How we sign for a peer: by RFC 7427 with a hash it has announced, else by the method it must have.
    /// `None` if it can verify nothing that this key makes.
    pub(super) fn method(&self, peer: Option<HashSet>, padding: RsaPadding) -> Option<Method> {
        let Some(peer) = peer else {
            return match self {
                Self::Rsa(_) => Some(Method::Classic(RSA)),
                Self::P256(_) => Some(Method::Classic(ECDSA_P256)),
                Self::P384(_) => Some(Method::Classic(ECDSA_P384)),
                Self::P521(_) => Some(Method::Classic(ECDSA_P521)),
                // RFC 8420 §2 knows it with method 14 alone.
                Self::Ed25519(_) => None,
            };
        };
        // The hash that fits the key, else the next stronger one, else whatever there is.
        let choose = |fitting: Hash| {
            let stronger = Hash::SHA2.into_iter().skip_while(|hash| *hash != fitting);
            stronger.chain(Hash::SHA2).find(|hash| peer.has(*hash))
        };
        let scheme = match self {
            Self::Rsa(_) => match padding {
                RsaPadding::Pss => choose(Hash::Sha256).map(|hash| Scheme::RsaPss(hash, hash.digest(&[]).len())),
                RsaPadding::Pkcs1 => choose(Hash::Sha256).map(Scheme::RsaPkcs1),
            },
            Self::P256(_) => choose(Hash::Sha256).map(Scheme::Ecdsa),
            Self::P384(_) => choose(Hash::Sha384).map(Scheme::Ecdsa),
            Self::P521(_) => choose(Hash::Sha512).map(Scheme::Ecdsa),
            Self::Ed25519(_) => peer.has_identity().then_some(Scheme::Ed25519),
        };
        scheme.map(Method::Digital)
    }

    /// Signs all parts, one after the other. `None` if the key cannot, as an RSA key does whose parts contradict.
    pub(super) fn sign(&self, method: Method, parts: &[&[u8]], rng: &mut dyn CryptoRng) -> Option<Signed> {
        let signature = match (self, method) {
            (Self::Rsa(key), Method::Classic(_)) => {
                key.sign_with_rng(rng, pkcs1(Hash::Sha1), &Hash::Sha1.digest(parts)).ok()
            }
            (Self::Rsa(key), Method::Digital(Scheme::RsaPkcs1(hash))) => {
                key.sign_with_rng(rng, pkcs1(hash), &hash.digest(parts)).ok()
            }
            (Self::Rsa(key), Method::Digital(Scheme::RsaPss(hash, salt))) => {
                let hashed = hash.digest(parts);
                match hash {
                    Hash::Sha1 => None,
                    Hash::Sha256 => key.sign_with_rng(rng, Pss::<Sha256>::new_with_salt(salt), &hashed).ok(),
                    Hash::Sha384 => key.sign_with_rng(rng, Pss::<Sha384>::new_with_salt(salt), &hashed).ok(),
                    Hash::Sha512 => key.sign_with_rng(rng, Pss::<Sha512>::new_with_salt(salt), &hashed).ok(),
                }
            }
            (Self::P256(key), method) => {
                let (hash, der) = ecdsa(method, Hash::Sha256)?;
                let made: Option<p256::ecdsa::Signature> =
                    key.sign_prehash_with_rng(rng, &hashed::<32>(hash, parts)).ok();
                made.map(|s| if der { s.to_der().as_bytes().to_vec() } else { s.to_bytes().to_vec() })
            }
            (Self::P384(key), method) => {
                let (hash, der) = ecdsa(method, Hash::Sha384)?;
                let made: Option<p384::ecdsa::Signature> =
                    key.sign_prehash_with_rng(rng, &hashed::<48>(hash, parts)).ok();
                made.map(|s| if der { s.to_der().as_bytes().to_vec() } else { s.to_bytes().to_vec() })
            }
            (Self::P521(key), method) => {
                let (hash, der) = ecdsa(method, Hash::Sha512)?;
                let made: Option<p521::ecdsa::Signature> =
                    key.sign_prehash_with_rng(rng, &hashed::<66>(hash, parts)).ok();
                made.map(|s| if der { s.to_der().as_bytes().to_vec() } else { s.to_bytes().to_vec() })
            }
            (Self::Ed25519(key), Method::Digital(Scheme::Ed25519)) => Some(key.sign(&parts.concat()).to_vec()),
            (Self::Rsa(_) | Self::Ed25519(_), Method::Classic(_) | Method::Digital(_)) => None,
        };
        signature.map(|signature| Signed { method, signature })
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivateKey(redacted)")
    }
}

/// The hash of an ECDSA signature, and whether it is written in DER (RFC 7427) or as r and s (RFC 4754).
fn ecdsa(method: Method, classic: Hash) -> Option<(Hash, bool)> {
    match method {
        Method::Classic(_) => Some((classic, false)),
        Method::Digital(Scheme::Ecdsa(hash)) => Some((hash, true)),
        Method::Digital(Scheme::RsaPkcs1(_) | Scheme::RsaPss(..) | Scheme::Ed25519) => None,
    }
}

/// The hash, filled up with zeros in front to the length of the curve's numbers: that is the same number, and no
/// curve's implementation then takes it for too short (P-521 with SHA-256).
fn hashed<const FIELD: usize>(hash: Hash, parts: &[&[u8]]) -> Vec<u8> {
    let hashed = hash.digest(parts);
    let mut filled = vec![0; FIELD.saturating_sub(hashed.len())];
    filled.extend_from_slice(&hashed);
    filled
}

fn pkcs1(hash: Hash) -> Pkcs1v15Sign {
    match hash {
        Hash::Sha1 => Pkcs1v15Sign::new::<Sha1>(),
        Hash::Sha256 => Pkcs1v15Sign::new::<Sha256>(),
        Hash::Sha384 => Pkcs1v15Sign::new::<Sha384>(),
        Hash::Sha512 => Pkcs1v15Sign::new::<Sha512>(),
    }
}

/// NIST SP 800-131A: less gives less than 112 bits of security.
const LEAST_RSA_BITS: u32 = 2048;

const RSA_ENCRYPTION: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
const P521: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.35");
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");

#[cfg(test)]
mod tests {
    use super::super::Certificate;
    use super::*;
    use crate::hex::hex;

    fn public(name: &str) -> PublicKey {
        let file: &[u8] = match name {
            "rsa" => include_bytes!("../../tests/certificates/rsa.pem"),
            "p256" => include_bytes!("../../tests/certificates/p256.pem"),
            "p384" => include_bytes!("../../tests/certificates/p384.pem"),
            "p521" => include_bytes!("../../tests/certificates/p521.pem"),
            "ed25519" => include_bytes!("../../tests/certificates/ed25519.pem"),
            other => panic!("{other}"),
        };
        let der = pem::values(file, "CERTIFICATE", "certificate").unwrap().remove(0);
        Certificate::from_der(&der).unwrap().public_key().unwrap()
    }

    // pyca/cryptography: tests/certificates/generate.py, signatures().
    #[test]
    fn signatures_of_another_implementation_verify() {
        let lines = include_str!("../../tests/certificates/signatures.txt");
        let mut seen = 0;
        for line in lines.lines() {
            let mut fields = line.split(' ');
            let (name, method) = (fields.next().unwrap(), fields.next().unwrap().parse().unwrap());
            let data = hex(fields.next().unwrap());
            let key = public(name);
            let signed = Signed::from_wire(method, &data).unwrap_or_else(|algorithm| panic!("{line}: {algorithm}"));
            assert!(key.verify_auth(&signed, &[b"what is ", b"signed"]), "{line}");
            assert!(!key.verify_auth(&signed, &[b"what was signed"]), "{line}");
            let mut changed = signed.clone();
            changed.signature[7] ^= 0x10;
            assert!(!key.verify_auth(&changed, &[b"what is signed"]), "{line}");
            assert!(!public("p384").verify_auth(&signed, &[b"what is signed"]) || name == "p384", "{line}");
            seen += 1;
        }
        assert_eq!(seen, 4 + 3 * 5 + 3 * 4 + 1);
    }
}
