//! Public and private keys of the kinds that certificates have here: RSA, ECDSA over NIST's curves, Ed25519.

#[cfg(test)]
mod tests;

use std::fmt;

use ed25519_dalek::pkcs8::DecodePrivateKey;
use ed25519_dalek::{Signer, Verifier};
use rand_core::CryptoRng;
use x509_cert::der::asn1::ObjectIdentifier;
use x509_cert::spki::SubjectPublicKeyInfoOwned;

use super::ecdsa::Form;
use super::signature::{self, Hash, HashSet, Method, RSA, Scheme, Signed};
use super::{PemError, RsaPadding, ecdsa, pem, rsa};
use crate::crypto::Curve;

/// A key that verifies.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum PublicKey {
    Rsa(rsa::PublicKey),
    Ecdsa(ecdsa::PublicKey),
    Ed25519(Box<ed25519_dalek::VerifyingKey>),
}

impl PublicKey {
    /// Reads a certificate's key; `Err` says what cannot be used.
    pub(crate) fn from_info(info: &SubjectPublicKeyInfoOwned) -> Result<Self, String> {
        let bits = info.subject_public_key.raw_bytes();
        let parameters = info.algorithm.parameters.as_ref();
        match info.algorithm.oid {
            RSA_ENCRYPTION => rsa::PublicKey::from_der(bits).map(Self::Rsa),
            EC_PUBLIC_KEY => {
                let curve = parameters.and_then(|p| p.decode_as().ok()).and_then(Curve::from_oid);
                let curve = curve.ok_or("an ECDSA key on another curve than P-256, P-384 and P-521")?;
                let key = ecdsa::PublicKey::from_sec1(curve, bits).ok_or("an ECDSA key that is not valid")?;
                Ok(Self::Ecdsa(key))
            }
            ED25519 => <[u8; 32]>::try_from(bits)
                .ok()
                .and_then(|bytes| ed25519_dalek::VerifyingKey::from_bytes(&bytes).ok())
                .map(|key| Self::Ed25519(Box::new(key)))
                .ok_or_else(|| "an Ed25519 key that is not valid".to_owned()),
            other => Err(format!("a key for {}", signature::name(other))),
        }
    }

    /// Whether this key made the signature over all parts, one after the other.
    pub(crate) fn verify(&self, scheme: Scheme, parts: &[&[u8]], signature: &[u8]) -> bool {
        match (self, scheme) {
            (Self::Rsa(key), scheme) => key.verify(scheme, parts, signature),
            (Self::Ecdsa(key), Scheme::Ecdsa(hash)) => key.verify(Form::Der, hash, parts, signature),
            (Self::Ed25519(key), Scheme::Ed25519) => {
                // RFC 8420 §2: it signs the octets themselves.
                ed25519_dalek::Signature::from_slice(signature).is_ok_and(|s| key.verify(&parts.concat(), &s).is_ok())
            }
            (
                Self::Ecdsa(_) | Self::Ed25519(_),
                Scheme::RsaPkcs1(_) | Scheme::RsaPss(..) | Scheme::Ecdsa(_) | Scheme::Ed25519,
            ) => false,
        }
    }

    /// Whether this key made the AUTH that a peer sent.
    pub(crate) fn verify_auth(&self, signed: &Signed, parts: &[&[u8]]) -> bool {
        match (self, signed.method) {
            (_, Method::Digital(scheme)) => self.verify(scheme, parts, &signed.signature),
            // RFC 7296 §3.8: SHA-1 is what is used unless more is known of the peer, and the signature says which it was.
            (Self::Rsa(key), Method::Classic(RSA)) => [Hash::Sha1, Hash::Sha256, Hash::Sha384, Hash::Sha512]
                .into_iter()
                .any(|hash| key.verify(Scheme::RsaPkcs1(hash), parts, &signed.signature)),
            (Self::Ecdsa(key), Method::Classic(method)) if method == key.curve().method() => {
                key.verify(Form::Fixed, key.curve().hash(), parts, &signed.signature)
            }
            (_, Method::Classic(_)) => false,
        }
    }

    /// The kind of key, in words.
    pub(crate) fn describe(&self) -> &'static str {
        match self {
            Self::Rsa(_) => "RSA",
            Self::Ecdsa(key) => match key.curve() {
                Curve::P256 => "ECDSA P-256",
                Curve::P384 => "ECDSA P-384",
                Curve::P521 => "ECDSA P-521",
            },
            Self::Ed25519(_) => "Ed25519",
        }
    }
}

/// A key that signs: wiped when dropped, never formatted.
pub(super) enum PrivateKey {
    Rsa(Box<rsa::PrivateKey>),
    Ecdsa(Box<ecdsa::PrivateKey>),
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
            "RSA PRIVATE KEY" => rsa::PrivateKey::from_pkcs1(der).map(|key| Self::Rsa(Box::new(key))),
            "EC PRIVATE KEY" => ecdsa::PrivateKey::from_der(der).map(|key| Self::Ecdsa(Box::new(key))),
            "ENCRYPTED PRIVATE KEY" => return Err(PemError::Missing("private key without a password")),
            _ => None,
        };
        key.ok_or(PemError::Malformed("private key"))
    }

    fn from_pkcs8(der: &[u8]) -> Option<Self> {
        // Each refuses the others' algorithm identifiers.
        let rsa = || rsa::PrivateKey::from_pkcs8(der).map(|key| Self::Rsa(Box::new(key)));
        let ecdsa = || ecdsa::PrivateKey::from_der(der).map(|key| Self::Ecdsa(Box::new(key)));
        let ed = || ed25519_dalek::SigningKey::from_pkcs8_der(der).ok().map(|key| Self::Ed25519(Box::new(key)));
        rsa().or_else(ecdsa).or_else(ed)
    }

    /// The key that verifies what this one signs.
    pub(super) fn public(&self) -> PublicKey {
        match self {
            Self::Rsa(key) => PublicKey::Rsa(key.public()),
            Self::Ecdsa(key) => PublicKey::Ecdsa(key.public().clone()),
            Self::Ed25519(key) => PublicKey::Ed25519(Box::new(key.verifying_key())),
        }
    }

    /// How we sign for a peer: by RFC 7427 with a hash it has announced, else by the method it must have.
    /// `None` if it can verify nothing that this key makes.
    pub(super) fn method(&self, peer: Option<HashSet>, padding: RsaPadding) -> Option<Method> {
        let Some(peer) = peer else {
            return match self {
                Self::Rsa(_) => Some(Method::Classic(RSA)),
                Self::Ecdsa(key) => Some(Method::Classic(key.public().curve().method())),
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
                RsaPadding::Pss => choose(Hash::Sha256).map(|hash| Scheme::RsaPss(hash, hash.bytes() as u8)),
                RsaPadding::Pkcs1 => choose(Hash::Sha256).map(Scheme::RsaPkcs1),
            },
            Self::Ecdsa(key) => choose(key.public().curve().hash()).map(Scheme::Ecdsa),
            Self::Ed25519(_) => peer.has_identity().then_some(Scheme::Ed25519),
        };
        scheme.map(Method::Digital)
    }

    /// Signs all parts, one after the other. `None` if the key cannot, as an RSA key does whose parts contradict.
    pub(super) fn sign(&self, method: Method, parts: &[&[u8]], rng: &mut dyn CryptoRng) -> Option<Signed> {
        let signature = match (self, method) {
            (Self::Rsa(key), Method::Classic(_)) => key.sign_sha1(parts, rng),
            (Self::Rsa(key), Method::Digital(scheme)) => key.sign(scheme, parts),
            (Self::Ecdsa(key), Method::Classic(_)) => key.sign(Form::Fixed, key.public().curve().hash(), parts),
            (Self::Ecdsa(key), Method::Digital(Scheme::Ecdsa(hash))) => key.sign(Form::Der, hash, parts),
            (Self::Ed25519(key), Method::Digital(Scheme::Ed25519)) => Some(key.sign(&parts.concat()).to_vec()),
            (Self::Ecdsa(_) | Self::Ed25519(_), Method::Classic(_) | Method::Digital(_)) => None,
        };
        signature.map(|signature| Signed { method, signature })
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivateKey(redacted)")
    }
}

const RSA_ENCRYPTION: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
