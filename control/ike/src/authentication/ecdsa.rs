//! ECDSA over NIST's curves (FIPS 186-5 §6).

use aws_lc_rs::digest::Digest;
use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING,
    ECDSA_P384_SHA384_ASN1, ECDSA_P384_SHA384_ASN1_SIGNING, ECDSA_P384_SHA384_FIXED, ECDSA_P384_SHA384_FIXED_SIGNING,
    ECDSA_P521_SHA512_ASN1, ECDSA_P521_SHA512_ASN1_SIGNING, ECDSA_P521_SHA512_FIXED, ECDSA_P521_SHA512_FIXED_SIGNING,
    EcdsaKeyPair, EcdsaSigningAlgorithm, EcdsaVerificationAlgorithm, KeyPair, ParsedPublicKey, VerificationAlgorithm,
};
use x509_cert::der::asn1::ObjectIdentifier;

use super::signature::{ECDSA_P256, ECDSA_P384, ECDSA_P521, Hash};
use crate::crypto::Curve;

/// How r and s are written.
#[derive(Clone, Copy)]
pub(super) enum Form {
    /// One after the other, each of the curve's length (RFC 4754 §7).
    Fixed,
    /// A SEQUENCE of two INTEGERs (RFC 7427 appendix A.3).
    Der,
}

impl Curve {
    /// RFC 5480 §2.1.1.1.
    pub(super) fn from_oid(oid: ObjectIdentifier) -> Option<Self> {
        Self::ALL.into_iter().find(|curve| curve.oid() == oid)
    }

    fn oid(self) -> ObjectIdentifier {
        match self {
            Self::P256 => P256,
            Self::P384 => P384,
            Self::P521 => P521,
        }
    }

    /// The hash that is as strong as the curve.
    pub(super) fn hash(self) -> Hash {
        match self {
            Self::P256 => Hash::Sha256,
            Self::P384 => Hash::Sha384,
            Self::P521 => Hash::Sha512,
        }
    }

    /// AUTH's method for this curve and that hash (RFC 4754 §7).
    pub(super) fn method(self) -> u8 {
        match self {
            Self::P256 => ECDSA_P256,
            Self::P384 => ECDSA_P384,
            Self::P521 => ECDSA_P521,
        }
    }

    fn verifying(self, form: Form) -> &'static EcdsaVerificationAlgorithm {
        match (self, form) {
            (Self::P256, Form::Fixed) => &ECDSA_P256_SHA256_FIXED,
            (Self::P256, Form::Der) => &ECDSA_P256_SHA256_ASN1,
            (Self::P384, Form::Fixed) => &ECDSA_P384_SHA384_FIXED,
            (Self::P384, Form::Der) => &ECDSA_P384_SHA384_ASN1,
            (Self::P521, Form::Fixed) => &ECDSA_P521_SHA512_FIXED,
            (Self::P521, Form::Der) => &ECDSA_P521_SHA512_ASN1,
        }
    }

    fn signing(self, form: Form) -> &'static EcdsaSigningAlgorithm {
        match (self, form) {
            (Self::P256, Form::Fixed) => &ECDSA_P256_SHA256_FIXED_SIGNING,
            (Self::P256, Form::Der) => &ECDSA_P256_SHA256_ASN1_SIGNING,
            (Self::P384, Form::Fixed) => &ECDSA_P384_SHA384_FIXED_SIGNING,
            (Self::P384, Form::Der) => &ECDSA_P384_SHA384_ASN1_SIGNING,
            (Self::P521, Form::Fixed) => &ECDSA_P521_SHA512_FIXED_SIGNING,
            (Self::P521, Form::Der) => &ECDSA_P521_SHA512_ASN1_SIGNING,
        }
    }

    /// The hash of all parts, brought to the length of the curve's own, for AWS-LC does not sign with every hash on every
    /// curve. What is signed stays the same number: FIPS 186-5 §6.4.1 takes the first bits of a hash that is longer than
    /// the curve's order, and zeros in front add nothing to one that is shorter.
    fn digest(self, hash: Hash, parts: &[&[u8]]) -> Option<Digest> {
        let (made, own) = (hash.digest(parts), self.hash());
        let kept = made.as_ref().get(..own.bytes()).unwrap_or(made.as_ref());
        let mut filled = vec![0; own.bytes() - kept.len()];
        filled.extend_from_slice(kept);
        Digest::import_less_safe(&filled, own.algorithm()).ok()
    }
}

/// A point, as a SubjectPublicKeyInfo (RFC 5480 §2) that AWS-LC has written: equal keys are equal bytes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct PublicKey {
    curve: Curve,
    info: Vec<u8>,
}

impl PublicKey {
    /// Reads a point in either form of SEC 1 §2.3.3; `None` if the curve has no such point.
    pub(super) fn from_sec1(curve: Curve, point: &[u8]) -> Option<Self> {
        // AWS-LC would also read hybrid points, and whole SubjectPublicKeyInfos.
        let [2..=4, ..] = point else { return None };
        let parsed = ParsedPublicKey::new(curve.verifying(Form::Der), point).ok()?;
        Some(Self { curve, info: parsed.as_der().ok()?.as_ref().to_vec() })
    }

    pub(super) fn curve(&self) -> Curve {
        self.curve
    }

    /// Whether this key made the signature over all parts, one after the other.
    pub(super) fn verify(&self, form: Form, hash: Hash, parts: &[&[u8]], signature: &[u8]) -> bool {
        let digest = self.curve.digest(hash, parts);
        digest.is_some_and(|d| self.curve.verifying(form).verify_digest_sig(&self.info, &d, signature).is_ok())
    }
}

/// A key that signs. AWS-LC wipes all memory that it frees.
pub(super) struct PrivateKey {
    public: PublicKey,
    /// The same key twice, for it is tied to the form of its signatures.
    fixed: EcdsaKeyPair,
    der: EcdsaKeyPair,
}

impl PrivateKey {
    /// Reads PKCS#8 (RFC 5958), or SEC 1's own structure (RFC 5915), which may leave the curve out.
    pub(super) fn from_der(der: &[u8]) -> Option<Self> {
        Curve::ALL.into_iter().find_map(|curve| {
            let read = |form| EcdsaKeyPair::from_private_key_der(curve.signing(form), der).ok();
            let (fixed, der) = (read(Form::Fixed)?, read(Form::Der)?);
            let public = PublicKey::from_sec1(curve, der.public_key().as_ref())?;
            Some(Self { public, fixed, der })
        })
    }

    pub(super) fn public(&self) -> &PublicKey {
        &self.public
    }

    /// Signs all parts, one after the other, with a nonce from AWS-LC's own generator.
    pub(super) fn sign(&self, form: Form, hash: Hash, parts: &[&[u8]]) -> Option<Vec<u8>> {
        let digest = self.public.curve.digest(hash, parts)?;
        let key = match form {
            Form::Fixed => &self.fixed,
            Form::Der => &self.der,
        };
        key.sign_digest(&digest).ok().map(|signature| signature.as_ref().to_vec())
    }
}

const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
const P521: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.35");
