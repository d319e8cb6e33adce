//! One X.509 certificate (RFC 5280 §4), and what it may be used for.

use std::fmt;

use sha1::{Digest, Sha1};
use x509_cert::der::asn1::ObjectIdentifier;
use x509_cert::der::oid::AssociatedOid;
use x509_cert::der::{Decode, Encode};
use x509_cert::ext::pkix::name::GeneralNames;
use x509_cert::ext::pkix::{BasicConstraints, KeyUsage, SubjectAltName};
use x509_cert::spki::AlgorithmIdentifierRef;
use x509_cert::time::Time;

use super::key::PublicKey;
use super::signature::{Scheme, name, signed_part};
use crate::distinguished_name::DistinguishedName;
use crate::reason::CertificateFault;

/// A certificate: its DER, and what was read from it.
#[derive(Clone)]
pub(crate) struct Certificate {
    der: Vec<u8>,
    read: x509_cert::Certificate,
    subject: DistinguishedName,
    issuer: DistinguishedName,
    alternative_names: GeneralNames,
    constraints: Option<BasicConstraints>,
    usage: Option<KeyUsage>,
}

impl Certificate {
    /// Reads a certificate's DER.
    ///
    /// # Errors
    /// [`CertificateFault::Malformed`] for what is none, is longer than 16 KiB, or has extensions that contradict.
    pub(crate) fn from_der(der: &[u8]) -> Result<Self, CertificateFault> {
        if der.len() > LONGEST {
            return Err(CertificateFault::Malformed);
        }
        let malformed = |_| CertificateFault::Malformed;
        let read = x509_cert::Certificate::from_der(der).map_err(malformed)?;
        let fields = read.tbs_certificate();
        // RFC 5280 §4.1.1.2: the algorithm stands there twice; only one of the two is signed.
        if fields.signature() != read.signature_algorithm() {
            return Err(CertificateFault::Malformed);
        }
        let alternative_names = fields.get_extension::<SubjectAltName>().map_err(malformed)?;
        let constraints = fields.get_extension::<BasicConstraints>().map_err(malformed)?;
        let usage = fields.get_extension::<KeyUsage>().map_err(malformed)?;
        Ok(Self {
            der: der.to_vec(),
            subject: DistinguishedName::of(fields.subject()),
            issuer: DistinguishedName::of(fields.issuer()),
            alternative_names: alternative_names.map(|(_, names)| names.0).unwrap_or_default(),
            constraints: constraints.map(|(_, constraints)| constraints),
            usage: usage.map(|(_, usage)| usage),
            read,
        })
    }

    pub(crate) fn der(&self) -> &[u8] {
        &self.der
    }

    pub(crate) fn subject(&self) -> &DistinguishedName {
        &self.subject
    }

    pub(crate) fn issuer(&self) -> &DistinguishedName {
        &self.issuer
    }

    pub(super) fn alternative_names(&self) -> &GeneralNames {
        &self.alternative_names
    }

    /// The serial number's bytes, which with the issuer's name tell this certificate from all others.
    pub(super) fn serial(&self) -> &[u8] {
        self.read.tbs_certificate().serial_number().as_bytes()
    }

    /// The first and the last second of its life, since 1970.
    pub(super) fn validity(&self) -> (Time, Time) {
        let validity = self.read.tbs_certificate().validity();
        (validity.not_before, validity.not_after)
    }

    pub(crate) fn public_key(&self) -> Result<PublicKey, String> {
        PublicKey::from_info(self.read.tbs_certificate().subject_public_key_info())
    }

    /// What a CERTREQ payload calls it (RFC 7296 §3.7): the SHA-1 hash of its public key's info.
    pub(super) fn key_hash(&self) -> [u8; 20] {
        let info = self.read.tbs_certificate().subject_public_key_info().to_der();
        Sha1::digest(info.unwrap_or_default()).into()
    }

    /// Whether `issuer` signed this certificate.
    pub(super) fn check_signature(&self, issuer: &PublicKey) -> Result<(), CertificateFault> {
        let algorithm = AlgorithmIdentifierRef::from(self.read.signature_algorithm());
        let scheme = Scheme::from_identifier(algorithm).map_err(CertificateFault::Algorithm)?;
        let (Some(signed), Some(signature)) = (signed_part(&self.der), self.read.signature().as_bytes()) else {
            return Err(CertificateFault::Malformed);
        };
        if issuer.verify(scheme, &[signed], signature) { Ok(()) } else { Err(CertificateFault::Signature) }
    }

    /// RFC 5280 §6.1.4 (k) to (n): whether it may sign certificates that have `below` others between them and the
    /// end of the chain.
    pub(super) fn check_authority(&self, below: usize) -> Result<(), CertificateFault> {
        let constraints = self.constraints.as_ref().filter(|constraints| constraints.ca);
        let Some(constraints) = constraints else { return Err(CertificateFault::NoAuthority) };
        if constraints.path_len_constraint.is_some_and(|most| below > usize::from(most)) {
            return Err(CertificateFault::PathLength);
        }
        if self.usage.as_ref().is_some_and(|usage| !usage.key_cert_sign()) {
            return Err(CertificateFault::KeyUsage);
        }
        Ok(())
    }

    /// RFC 4945 §5.1.3.2: whether it may sign IKE_AUTH.
    pub(super) fn check_end(&self) -> Result<(), CertificateFault> {
        let signs = |usage: &KeyUsage| usage.digital_signature() || usage.non_repudiation();
        if self.usage.as_ref().is_none_or(signs) { Ok(()) } else { Err(CertificateFault::KeyUsage) }
    }

    /// Whether it may sign revocation lists (RFC 5280 §4.2.1.3).
    pub(super) fn may_sign_lists(&self) -> bool {
        self.usage.as_ref().is_none_or(|usage| usage.crl_sign())
    }

    /// RFC 5280 §4.2: what is critical and not understood makes a certificate useless.
    pub(super) fn check_extensions(&self) -> Result<(), CertificateFault> {
        let extensions = self.read.tbs_certificate().extensions().map_or(&[][..], Vec::as_slice);
        match extensions.iter().find(|e| e.critical && !UNDERSTOOD.contains(&e.extn_id)) {
            Some(extension) => Err(CertificateFault::Extension(name(extension.extn_id))),
            None => Ok(()),
        }
    }
}

impl PartialEq for Certificate {
    fn eq(&self, other: &Self) -> bool {
        self.der == other.der
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Certificate({})", self.subject)
    }
}

/// What decides here, and what decides nothing for us: extended key usage (RFC 4945 §5.1.3.12 has it ignored) and
/// certificate policies, of which none is asked for.
const UNDERSTOOD: [ObjectIdentifier; 5] = [
    BasicConstraints::OID,
    KeyUsage::OID,
    SubjectAltName::OID,
    ObjectIdentifier::new_unwrap("2.5.29.37"),
    ObjectIdentifier::new_unwrap("2.5.29.32"),
];

const LONGEST: usize = 16 << 10;
