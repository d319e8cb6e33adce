//! What we prove ourselves with: a private key, its certificate and those that lead to an authority.

use rand_core::CryptoRng;
use thiserror::Error;

use super::key::PrivateKey;
use super::{Certificate, HashSet, PemError, Signed, pem};
use crate::identity::Identity;

/// The padding of our RSA signatures, where the peer knows RFC 7427. Both are accepted from peers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RsaPadding {
    /// RSASSA-PSS, as RFC 8247 §3.2 asks.
    #[default]
    Pss,
    /// PKCS#1 v1.5, for peers that know no other.
    Pkcs1,
}

/// Our private key and its certificates. The key is wiped when dropped and never formatted.
#[derive(Debug)]
pub struct Credential {
    /// Ours, then those of the intermediate authorities.
    chain: Vec<Certificate>,
    key: PrivateKey,
    padding: RsaPadding,
}

/// Why certificates and a key are of no use.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum CredentialError {
    /// The file with our certificates.
    #[error("the certificate file {0}")]
    Certificates(PemError),
    /// The file with our key.
    #[error("the private key file {0}")]
    PrivateKey(PemError),
    /// A kind of key that cannot be used.
    #[error("the certificate has {0}")]
    UnsupportedKey(String),
    /// The first certificate is another key's.
    #[error("the private key is not that of the first certificate, which is for {0}")]
    Mismatch(String),
    /// More than a message should carry.
    #[error("the certificate file holds more than {MOST_CERTIFICATES} certificates")]
    TooMany,
}

impl Credential {
    /// Reads our certificate, followed by those of intermediate authorities, and the private key, both in PEM.
    ///
    /// # Errors
    /// [`CredentialError`] if one of them cannot be read or they do not go together.
    pub fn from_pem(certificates: &[u8], key: &[u8], padding: RsaPadding) -> Result<Self, CredentialError> {
        let values = pem::values(certificates, "CERTIFICATE", "certificate").map_err(CredentialError::Certificates)?;
        if values.len() > MOST_CERTIFICATES {
            return Err(CredentialError::TooMany);
        }
        let malformed = |_| CredentialError::Certificates(PemError::Malformed("certificate"));
        let chain: Vec<Certificate> =
            values.iter().map(|der| Certificate::from_der(der).map_err(malformed)).collect::<Result<_, _>>()?;
        let Some(own) = chain.first() else {
            return Err(CredentialError::Certificates(PemError::Missing("certificate")));
        };
        let certified = own.public_key().map_err(CredentialError::UnsupportedKey)?;
        let key = PrivateKey::from_pem(key).map_err(CredentialError::PrivateKey)?;
        if certified != key.public() {
            return Err(CredentialError::Mismatch(own.subject().to_string()));
        }
        Ok(Self { chain, key, padding })
    }

    /// Our own certificate's subject, in words.
    pub fn subject(&self) -> String {
        self.own().map_or_else(String::new, |own| own.subject().to_string())
    }

    /// The identities that our certificate can be shown for, in words.
    pub fn identities(&self) -> String {
        self.own().map_or_else(String::new, Certificate::identities)
    }

    /// Whether our certificate is that of `identity`.
    pub fn is_of(&self, identity: &Identity) -> bool {
        self.own().is_some_and(|own| own.is_of(identity))
    }

    /// How we write an identity of ours: a distinguished name as it stands in our certificate, byte for byte,
    /// since peers compare bytes.
    pub(crate) fn written(&self, identity: &Identity) -> Identity {
        match (identity, self.own()) {
            (Identity::DistinguishedName(name), Some(own)) if own.subject().is_either_way(name) => {
                Identity::DistinguishedName(own.subject().clone())
            }
            _ => identity.clone(),
        }
    }

    /// What goes into CERT payloads, ours first.
    pub(crate) fn certificates(&self) -> impl Iterator<Item = &[u8]> {
        // RFC 7296 §3.6: the peer has its root already; a certificate that signed itself is of no use to it.
        let sent = self.chain.iter().enumerate().filter(|(place, c)| *place == 0 || c.subject() != c.issuer());
        sent.map(|(_, certificate)| certificate.der())
    }

    /// Whether the authorities that a CERTREQ payload names have signed what we send; `None` if that cannot be told,
    /// because no certificate of an authority is in our file.
    pub(crate) fn is_asked_for(&self, request: &[u8]) -> Option<bool> {
        let (wanted, _) = request.as_chunks::<20>();
        let authorities = self.chain.get(1..).filter(|authorities| !authorities.is_empty())?;
        let asked = self.chain.iter().any(|certificate| wanted.contains(&certificate.key_hash()));
        let root = authorities.last().is_some_and(|last| last.subject() == last.issuer());
        // The one at the end of our file may be below one that is asked for.
        if asked || root { Some(asked) } else { None }
    }

    /// Signs AUTH's octets for a peer that accepts these hashes, if it has said so.
    ///
    /// # Errors
    /// The kind of our key, of which the peer can verify nothing.
    pub(crate) fn sign(
        &self,
        peer: Option<HashSet>,
        parts: &[&[u8]],
        rng: &mut dyn CryptoRng,
    ) -> Result<Signed, &'static str> {
        let method = self.key.method(peer, self.padding);
        method.and_then(|method| self.key.sign(method, parts, rng)).ok_or_else(|| self.key.public().describe())
    }

    fn own(&self) -> Option<&Certificate> {
        self.chain.first()
    }
}

impl PartialEq for Credential {
    fn eq(&self, other: &Self) -> bool {
        // The first certificate names the key.
        self.chain == other.chain && self.padding == other.padding
    }
}

const MOST_CERTIFICATES: usize = 8;
