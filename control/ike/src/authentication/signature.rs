//! Signatures over AUTH's octets and over certificates: which algorithm, with which hash, and how the wire says so
//! (RFC 7296 §3.8, RFC 4754, RFC 7427, RFC 8420).

use aws_lc_rs::digest::{self, Digest};
use x509_cert::der::asn1::{AnyRef, ObjectIdentifier};
use x509_cert::der::{Decode, Encode, Reader, SliceReader, Tag, Tagged};
use x509_cert::spki::AlgorithmIdentifierRef;

/// A hash algorithm of signatures, by the strength in which they are preferred.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hash {
    /// For peers that know nothing of RFC 7427 only.
    Sha1,
    Sha256,
    Sha384,
    Sha512,
}

impl Hash {
    /// Those we announce, besides Ed25519's.
    pub(super) const SHA2: [Self; 3] = [Self::Sha256, Self::Sha384, Self::Sha512];

    /// The hash of all parts, one after the other.
    pub(super) fn digest(self, parts: &[&[u8]]) -> Digest {
        let mut hash = digest::Context::new(self.algorithm());
        parts.iter().for_each(|part| hash.update(part));
        hash.finish()
    }

    /// Its length.
    pub(super) fn bytes(self) -> usize {
        self.algorithm().output_len
    }

    pub(super) fn algorithm(self) -> &'static digest::Algorithm {
        match self {
            Self::Sha1 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
            Self::Sha256 => &digest::SHA256,
            Self::Sha384 => &digest::SHA384,
            Self::Sha512 => &digest::SHA512,
        }
    }

    /// RFC 7427 §7, "IKEv2 Hash Algorithms".
    fn number(self) -> u16 {
        match self {
            Self::Sha1 => 1,
            Self::Sha256 => 2,
            Self::Sha384 => 3,
            Self::Sha512 => 4,
        }
    }

    fn oid(self) -> ObjectIdentifier {
        match self {
            Self::Sha1 => SHA1,
            Self::Sha256 => SHA256,
            Self::Sha384 => SHA384,
            Self::Sha512 => SHA512,
        }
    }
}

/// The hash algorithms an end accepts in signatures, as SIGNATURE_HASH_ALGORITHMS tells (RFC 7427 §4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct HashSet(u8);

impl HashSet {
    /// What we accept: SHA-2, and Ed25519's own (RFC 8420).
    pub(crate) fn ours() -> Self {
        Self::from_wire(&[0, 2, 0, 3, 0, 4, 0, 5])
    }

    /// The notification's data, or what we know of it.
    pub(crate) fn from_wire(data: &[u8]) -> Self {
        let (numbers, _) = data.as_chunks::<2>();
        let known = numbers.iter().map(|pair| u16::from_be_bytes(*pair)).filter(|number| (1..8).contains(number));
        Self(known.fold(0, |set, number| set | 1 << number))
    }

    /// The notification's data.
    pub(crate) fn to_wire(self) -> Vec<u8> {
        (1..8u16).filter(|number| self.0 & 1 << number != 0).flat_map(u16::to_be_bytes).collect()
    }

    pub(super) fn has(self, hash: Hash) -> bool {
        self.0 & 1 << hash.number() != 0
    }

    /// RFC 8420 §2: the hash that is none.
    pub(super) fn has_identity(self) -> bool {
        self.0 & 1 << 5 != 0
    }
}

/// A signature algorithm with its parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scheme {
    RsaPkcs1(Hash),
    /// With the salt's length in bytes; MGF1 with the same hash.
    RsaPss(Hash, u8),
    Ecdsa(Hash),
    Ed25519,
}

impl Scheme {
    /// Reads an AlgorithmIdentifier; `Err` names the algorithm that is not known here.
    pub(super) fn from_identifier(identifier: AlgorithmIdentifierRef<'_>) -> Result<Self, String> {
        let AlgorithmIdentifierRef { oid, parameters } = identifier;
        // RFC 4055 §5: NULL, and absent as some write it. RFC 5758 §3.2, RFC 8410 §3: absent.
        let plain = parameters.is_none_or(|p| p.is_null());
        match PLAIN.iter().find(|(known, _)| *known == oid) {
            Some((_, scheme)) if plain => Ok(*scheme),
            None if oid == RSASSA_PSS => parameters.and_then(pss).ok_or_else(|| "RSASSA-PSS".to_owned()),
            Some(_) | None => Err(name(oid)),
        }
    }

    /// The AlgorithmIdentifier as RFC 7427 appendix A writes it.
    fn to_identifier(self) -> Vec<u8> {
        if let Self::RsaPss(hash, salt) = self {
            return pss_identifier(hash, salt);
        }
        let oid = PLAIN.iter().find(|(_, scheme)| *scheme == self).map_or(ED25519, |(oid, _)| *oid);
        let parameters = matches!(self, Self::RsaPkcs1(_)).then_some(AnyRef::NULL);
        // It cannot fail: an OID and NULL are short.
        AlgorithmIdentifierRef { oid, parameters }.to_der().unwrap_or_default()
    }
}

/// How AUTH was or is made: the method's number and, for method 14, the algorithm (RFC 7296 §3.8, RFC 7427 §3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    /// 1, 9, 10 or 11: the key and the number say all.
    Classic(u8),
    /// 14: the data begins with the algorithm.
    Digital(Scheme),
}

/// A signature as it stands in AUTH.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Signed {
    pub(crate) method: Method,
    pub(crate) signature: Vec<u8>,
}

impl Signed {
    /// Reads AUTH's method and data; `Err` names what is not known here.
    pub(crate) fn from_wire(method: u8, data: &[u8]) -> Result<Self, String> {
        match method {
            RSA | ECDSA_P256 | ECDSA_P384 | ECDSA_P521 => {
                Ok(Self { method: Method::Classic(method), signature: data.to_vec() })
            }
            DIGITAL_SIGNATURE => {
                let broken = || "an algorithm that cannot be read".to_owned();
                let (length, rest) = data.split_first().ok_or_else(broken)?;
                let (identifier, signature) = rest.split_at_checked(usize::from(*length)).ok_or_else(broken)?;
                let identifier = AlgorithmIdentifierRef::from_der(identifier).map_err(|_| broken())?;
                let scheme = Scheme::from_identifier(identifier)?;
                Ok(Self { method: Method::Digital(scheme), signature: signature.to_vec() })
            }
            other => Err(format!("method {other}")),
        }
    }

    /// AUTH's method and data.
    pub(crate) fn to_wire(&self) -> (u8, Vec<u8>) {
        match self.method {
            Method::Classic(number) => (number, self.signature.clone()),
            Method::Digital(scheme) => {
                let identifier = scheme.to_identifier();
                let mut data = vec![identifier.len() as u8];
                data.extend_from_slice(&identifier);
                data.extend_from_slice(&self.signature);
                (DIGITAL_SIGNATURE, data)
            }
        }
    }
}

/// RFC 4055 §3.1: the hash, MGF1 with the same one, the salt's length; NULL behind a hash may be there or not. What is
/// left out means SHA-1, which is not accepted.
fn pss(parameters: AnyRef<'_>) -> Option<Scheme> {
    const FORMS: [(bool, bool); 4] = [(true, true), (false, false), (true, false), (false, true)];
    let forms = Hash::SHA2.into_iter().flat_map(|hash| FORMS.map(|form| (hash, form)));
    forms.filter(|_| parameters.tag() == Tag::Sequence).find_map(|(hash, nulls)| {
        let salt = match parameters.value().strip_prefix(pss_hashes(hash, nulls).as_slice())? {
            [] => 20,
            [0xa2, length, salt @ ..] if usize::from(*length) == salt.len() => u8::from_der(salt).ok()?,
            _ => return None,
        };
        Some(Scheme::RsaPss(hash, salt))
    })
}

/// RFC 7427 appendix A.4.3.
fn pss_identifier(hash: Hash, salt: u8) -> Vec<u8> {
    let salt = wrap(0xa2, &salt.to_der().unwrap_or_default());
    let parameters = wrap(0x30, &[pss_hashes(hash, (true, true)), salt].concat());
    wrap(0x30, &[RSASSA_PSS.to_der().unwrap_or_default(), parameters].concat())
}

/// The hash and MGF1 with the same hash, each with NULL behind it or not.
fn pss_hashes(hash: Hash, nulls: (bool, bool)) -> Vec<u8> {
    let identifier = |null: bool| {
        let parameters = null.then_some(AnyRef::NULL);
        AlgorithmIdentifierRef { oid: hash.oid(), parameters }.to_der().unwrap_or_default()
    };
    let mask = wrap(0x30, &[MGF1.to_der().unwrap_or_default(), identifier(nulls.1)].concat());
    [wrap(0xa0, &identifier(nulls.0)), wrap(0xa1, &mask)].concat()
}

/// One DER value of less than 128 bytes.
fn wrap(tag: u8, value: &[u8]) -> Vec<u8> {
    [&[tag, value.len() as u8], value].concat()
}

/// What was signed of `SEQUENCE { what was signed, algorithm, signature }` (RFC 5280 §4.1.1), byte for byte.
pub(super) fn signed_part(der: &[u8]) -> Option<&[u8]> {
    let mut reader = SliceReader::new(der).ok()?;
    x509_cert::der::Header::decode(&mut reader).ok()?;
    reader.tlv_bytes().ok()
}

/// An algorithm that we do not know, as far as it has a name.
pub(super) fn name(oid: ObjectIdentifier) -> String {
    let known = NAMES.iter().find(|(known, _)| *known == oid).map(|(_, name)| *name);
    known.map_or_else(|| oid.to_string(), str::to_owned)
}

/// RFC 7296 §3.8: RSA Digital Signature.
pub(super) const RSA: u8 = 1;
/// RFC 4754 §7.
pub(super) const ECDSA_P256: u8 = 9;
pub(super) const ECDSA_P384: u8 = 10;
pub(super) const ECDSA_P521: u8 = 11;
/// RFC 7427 §3.
const DIGITAL_SIGNATURE: u8 = 14;

const SHA1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.14.3.2.26");
const SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.1");
const SHA384: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.2");
const SHA512: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.3");
const MGF1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.8");
const RSASSA_PSS: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.10");
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");

/// RFC 4055 §5, RFC 5758 §3.2, RFC 8410 §3: algorithms whose identifier says all.
const PLAIN: [(ObjectIdentifier, Scheme); 7] = [
    (ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.11"), Scheme::RsaPkcs1(Hash::Sha256)),
    (ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.12"), Scheme::RsaPkcs1(Hash::Sha384)),
    (ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.13"), Scheme::RsaPkcs1(Hash::Sha512)),
    (ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.2"), Scheme::Ecdsa(Hash::Sha256)),
    (ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.3"), Scheme::Ecdsa(Hash::Sha384)),
    (ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.4"), Scheme::Ecdsa(Hash::Sha512)),
    (ED25519, Scheme::Ed25519),
];

const NAMES: [(ObjectIdentifier, &str); 6] = [
    (ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.4"), "RSA with MD5"),
    (ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.5"), "RSA with SHA-1"),
    (ObjectIdentifier::new_unwrap("1.2.840.10045.4.1"), "ECDSA with SHA-1"),
    (ObjectIdentifier::new_unwrap("1.2.840.10040.4.1"), "DSA"),
    (ObjectIdentifier::new_unwrap("1.3.101.113"), "Ed448"),
    (ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1"), "RSA"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hex::hex;

    // RFC 7427 appendix A: the binary objects as they are printed there.
    #[test]
    fn identifiers_are_those_of_rfc_7427() {
        let cases = [
            ("300d06092a864886f70d01010b0500", Scheme::RsaPkcs1(Hash::Sha256)),
            ("300d06092a864886f70d01010c0500", Scheme::RsaPkcs1(Hash::Sha384)),
            ("300d06092a864886f70d01010d0500", Scheme::RsaPkcs1(Hash::Sha512)),
            ("300a06082a8648ce3d040302", Scheme::Ecdsa(Hash::Sha256)),
            ("300a06082a8648ce3d040303", Scheme::Ecdsa(Hash::Sha384)),
            ("300a06082a8648ce3d040304", Scheme::Ecdsa(Hash::Sha512)),
            // A.4.3: RSASSA-PSS with SHA-256, the salt as long as the hash.
            (
                "304106092a864886f70d01010a3034a00f300d06096086480165030402010500a11c301a06092a864886f70d010108300d06096086480165030402010500a203020120",
                Scheme::RsaPss(Hash::Sha256, 32),
            ),
            // RFC 8420 §2, from RFC 8410 §3.
            ("300506032b6570", Scheme::Ed25519),
        ];
        for (text, scheme) in cases {
            let der = hex(text);
            assert_eq!(scheme.to_identifier(), der, "{scheme:?}");
            assert_eq!(Scheme::from_identifier(AlgorithmIdentifierRef::from_der(&der).unwrap()), Ok(scheme));
        }
        // A.1.1, A.3.1 and A.4.2: SHA-1 is not accepted.
        for text in ["300d06092a864886f70d0101050500", "300906072a8648ce3d0401", "300d06092a864886f70d01010a3000"] {
            let der = hex(text);
            assert!(Scheme::from_identifier(AlgorithmIdentifierRef::from_der(&der).unwrap()).is_err(), "{text}");
        }
    }

    #[test]
    fn hash_algorithms_are_two_bytes_each() {
        assert_eq!(HashSet::ours().to_wire(), [0, 2, 0, 3, 0, 4, 0, 5]);
        let some = HashSet::from_wire(&[0, 1, 0, 4, 1, 2, 0, 99, 7]);
        assert!(some.has(Hash::Sha1) && some.has(Hash::Sha512) && !some.has(Hash::Sha256) && !some.has_identity());
    }
}
