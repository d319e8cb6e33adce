//! RSA signatures, PKCS#1 v1.5 and PSS (RFC 8017 §8).

use ::rsa::Pkcs1v15Sign;
use ::rsa::pkcs1::DecodeRsaPrivateKey;
use ::rsa::pkcs8::DecodePrivateKey;
use aws_lc_rs::signature::{
    KeyPair, RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384,
    RSA_PKCS1_2048_8192_SHA512, RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RSA_PSS_2048_8192_SHA256,
    RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512, RSA_PSS_SHA256, RSA_PSS_SHA384, RSA_PSS_SHA512, RsaEncoding,
    RsaKeyPair, RsaParameters, RsaPssSaltLength, VerificationAlgorithm,
};
use rand_core::CryptoRng;
use sha1::Sha1;

use super::signature::{Hash, Scheme};

/// An RSAPublicKey (RFC 8017 appendix A.1.1) in DER, which has one way to write it: equal keys are equal bytes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct PublicKey(Vec<u8>);

impl PublicKey {
    /// Reads an RSAPublicKey; `Err` says what cannot be used.
    pub(super) fn from_der(der: &[u8]) -> Result<Self, String> {
        // AWS-LC refuses exponents of more than 33 bits; with the modulus that bounds what a verification costs.
        let bits = RsaParameters::public_modulus_len(der).map_err(|_| "an RSA key that is not valid".to_owned())?;
        match bits {
            ..LEAST_BITS => Err(format!("an RSA key of {bits} bits, which is too short")),
            LEAST_BITS..=MOST_BITS => Ok(Self(der.to_vec())),
            _ => Err(format!("an RSA key of {bits} bits, which is too long")),
        }
    }

    /// Whether this key made the signature over all parts, one after the other.
    pub(super) fn verify(&self, scheme: Scheme, parts: &[&[u8]], signature: &[u8]) -> bool {
        let salted = |parameters: RsaParameters, salt: u8| {
            parameters.with_pss_salt_length(RsaPssSaltLength::Custom(salt.into()))
        };
        let (hash, parameters) = match scheme {
            Scheme::RsaPkcs1(hash @ Hash::Sha1) => (hash, RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY),
            Scheme::RsaPkcs1(hash @ Hash::Sha256) => (hash, RSA_PKCS1_2048_8192_SHA256),
            Scheme::RsaPkcs1(hash @ Hash::Sha384) => (hash, RSA_PKCS1_2048_8192_SHA384),
            Scheme::RsaPkcs1(hash @ Hash::Sha512) => (hash, RSA_PKCS1_2048_8192_SHA512),
            Scheme::RsaPss(hash @ Hash::Sha256, salt) => (hash, salted(RSA_PSS_2048_8192_SHA256, salt)),
            Scheme::RsaPss(hash @ Hash::Sha384, salt) => (hash, salted(RSA_PSS_2048_8192_SHA384, salt)),
            Scheme::RsaPss(hash @ Hash::Sha512, salt) => (hash, salted(RSA_PSS_2048_8192_SHA512, salt)),
            Scheme::RsaPss(Hash::Sha1, _) | Scheme::Ecdsa(_) | Scheme::Ed25519 => return false,
        };
        parameters.verify_digest_sig(&self.0, &hash.digest(parts), signature).is_ok()
    }
}

/// A key that signs; wiped when dropped.
pub(super) struct PrivateKey {
    key: RsaKeyPair,
    /// The same key, for what AWS-LC verifies and does not make.
    sha1: ::rsa::PrivateKey,
}

impl PrivateKey {
    /// Reads PKCS#8 (RFC 5958).
    pub(super) fn from_pkcs8(der: &[u8]) -> Option<Self> {
        Some(Self { key: RsaKeyPair::from_pkcs8(der).ok()?, sha1: ::rsa::PrivateKey::from_pkcs8_der(der).ok()? })
    }

    /// Reads an RSAPrivateKey (RFC 8017 appendix A.1.2).
    pub(super) fn from_pkcs1(der: &[u8]) -> Option<Self> {
        Some(Self { key: RsaKeyPair::from_der(der).ok()?, sha1: ::rsa::PrivateKey::from_pkcs1_der(der).ok()? })
    }

    pub(super) fn public(&self) -> PublicKey {
        PublicKey(self.key.public_key().as_ref().to_vec())
    }

    /// Signs all parts, one after the other. Blinding and salt come from AWS-LC's own generator.
    pub(super) fn sign(&self, scheme: Scheme, parts: &[&[u8]]) -> Option<Vec<u8>> {
        let (hash, encoding): (_, &'static dyn RsaEncoding) = match scheme {
            Scheme::RsaPkcs1(hash @ Hash::Sha256) => (hash, &RSA_PKCS1_SHA256),
            Scheme::RsaPkcs1(hash @ Hash::Sha384) => (hash, &RSA_PKCS1_SHA384),
            Scheme::RsaPkcs1(hash @ Hash::Sha512) => (hash, &RSA_PKCS1_SHA512),
            // The salt is as long as the hash (RFC 8017 §9.1); we make no other.
            Scheme::RsaPss(hash, salt) if usize::from(salt) != hash.bytes() => return None,
            Scheme::RsaPss(hash @ Hash::Sha256, _) => (hash, &RSA_PSS_SHA256),
            Scheme::RsaPss(hash @ Hash::Sha384, _) => (hash, &RSA_PSS_SHA384),
            Scheme::RsaPss(hash @ Hash::Sha512, _) => (hash, &RSA_PSS_SHA512),
            Scheme::RsaPkcs1(Hash::Sha1) | Scheme::RsaPss(Hash::Sha1, _) | Scheme::Ecdsa(_) | Scheme::Ed25519 => {
                return None;
            }
        };
        let mut signature = vec![0; self.key.public_modulus_len()];
        self.key.sign_digest(encoding, &hash.digest(parts), &mut signature).ok()?;
        Some(signature)
    }

    /// Signs as of old, with PKCS#1 v1.5 and SHA-1 (RFC 7296 §3.8), blinded by `rng`.
    pub(super) fn sign_sha1(&self, parts: &[&[u8]], rng: &mut dyn CryptoRng) -> Option<Vec<u8>> {
        let hashed = Hash::Sha1.digest(parts);
        self.sha1.sign_with_rng(rng, Pkcs1v15Sign::new::<Sha1>(), hashed.as_ref()).ok()
    }
}

/// NIST SP 800-131A: less gives less than 112 bits of security.
const LEAST_BITS: u32 = 2048;
const MOST_BITS: u32 = 8192;
