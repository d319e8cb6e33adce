//! Certificate revocation lists (RFC 5280 §5).

use std::fmt;

use sha2::{Digest, Sha256};
use x509_cert::crl::CertificateList;
use x509_cert::der::Decode;
use x509_cert::der::asn1::ObjectIdentifier;
use x509_cert::spki::AlgorithmIdentifierRef;

use super::signature::{Scheme, signed_part};
use super::{Certificate, PemError, pem};
use crate::distinguished_name::DistinguishedName;

/// What is done about an authority that has no list, or one that is out of date.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RevocationPolicy {
    /// Its certificates are accepted, but for those that a list, old or new, revokes.
    #[default]
    Lenient,
    /// Its certificates are refused.
    Strict,
}

/// Which certificates an authority has revoked.
#[derive(Clone)]
pub struct RevocationList {
    issuer: DistinguishedName,
    scheme: Scheme,
    signed: Vec<u8>,
    signature: Vec<u8>,
    /// Seconds since 1970: when it was made, and when there is a newer one.
    times: (u64, Option<u64>),
    /// Sorted.
    revoked: Vec<Box<[u8]>>,
    /// Of the whole list, to tell lists apart.
    digest: [u8; 32],
}

impl RevocationList {
    /// All lists of a file, in PEM or one in DER. Whether somebody we trust signed them is checked later.
    ///
    /// # Errors
    /// [`PemError`] if there is none, or one that cannot be read or is not a complete list of one authority.
    pub fn all_from_pem(content: &[u8]) -> Result<Vec<Self>, PemError> {
        let values = pem::values(content, "X509 CRL", WHAT)?;
        values.iter().map(|der| Self::from_der(der).ok_or(PemError::Malformed(WHAT))).collect()
    }

    fn from_der(der: &[u8]) -> Option<Self> {
        let list = CertificateList::<x509_cert::certificate::Rfc5280>::from_der(der).ok()?;
        let fields = list.tbs_cert_list;
        if fields.signature != list.signature_algorithm {
            return None;
        }
        // RFC 5280 §5.2: a delta, or a list for some certificates only, says so in a critical extension. Such a list
        // must not be taken for a complete one.
        if fields.crl_extensions.iter().flatten().any(|e| e.critical && !UNDERSTOOD.contains(&e.extn_id)) {
            return None;
        }
        let entries = fields.revoked_certificates.unwrap_or_default();
        // RFC 5280 §5.3.3: an entry of another issuer's certificate is critical.
        if entries.iter().any(|entry| entry.crl_entry_extensions.iter().flatten().any(|e| e.critical)) {
            return None;
        }
        let mut revoked: Vec<Box<[u8]>> = entries.iter().map(|entry| entry.serial_number.as_bytes().into()).collect();
        revoked.sort();
        let seconds = |time: x509_cert::time::Time| time.to_unix_duration().as_secs();
        Some(Self {
            issuer: DistinguishedName::of(&fields.issuer),
            scheme: Scheme::from_identifier(AlgorithmIdentifierRef::from(&list.signature_algorithm)).ok()?,
            signed: signed_part(der)?.to_vec(),
            signature: list.signature.as_bytes()?.to_vec(),
            times: (seconds(fields.this_update), fields.next_update.map(seconds)),
            revoked,
            digest: Sha256::digest(der).into(),
        })
    }

    /// Who it says made it.
    pub(super) fn issuer(&self) -> &DistinguishedName {
        &self.issuer
    }

    pub(super) fn is_signed_by(&self, authority: &Certificate) -> bool {
        let key = authority.public_key();
        authority.may_sign_lists() && key.is_ok_and(|key| key.verify(self.scheme, &[&self.signed], &self.signature))
    }

    pub(super) fn revokes(&self, serial: &[u8]) -> bool {
        self.revoked.binary_search_by(|revoked| revoked.as_ref().cmp(serial)).is_ok()
    }

    /// Whether it has come and no newer one is due. One that does not say when it ends is current for ever.
    pub(super) fn is_current(&self, now: u64) -> bool {
        self.times.0 <= now && self.times.1.is_none_or(|next| now <= next)
    }
}

impl PartialEq for RevocationList {
    fn eq(&self, other: &Self) -> bool {
        self.digest == other.digest
    }
}

impl fmt::Debug for RevocationList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RevocationList({}, {} revoked)", self.issuer, self.revoked.len())
    }
}

const WHAT: &str = "certificate revocation list";

/// The authority's key and the list's number.
const UNDERSTOOD: [ObjectIdentifier; 2] =
    [ObjectIdentifier::new_unwrap("2.5.29.35"), ObjectIdentifier::new_unwrap("2.5.29.20")];
