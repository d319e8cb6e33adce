//! How the two ends of a tunnel prove who they are.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use zeroize::Zeroizing;

use crate::keyword::keywords;
use crate::psk::{Psk, PskSource};

/// By what the two ends of a tunnel know each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Authentication {
    /// A secret that both know.
    Psk {
        /// The one we prove ourselves with.
        key: PskSource,
        /// A second one that the peer may use as well, while one replaces the other.
        next: Option<PskSource>,
    },
    /// Signatures with keys that are certified.
    Certificate(CertificateFiles),
}

impl Authentication {
    /// The pre-shared key we prove ourselves with; `None` with certificates, and while its file was not read.
    #[must_use]
    pub fn psk(&self) -> Option<&Psk> {
        match self {
            Self::Psk { key, .. } => key.psk(),
            Self::Certificate(_) => None,
        }
    }
}

/// The files of a tunnel that authenticates by certificates.
#[derive(Debug, Clone)]
pub struct CertificateFiles {
    /// Our certificate, then those of intermediate authorities.
    pub certificate: PathBuf,
    /// Our private key.
    pub private_key: PathBuf,
    /// The authorities that the peer's certificate may come from, at least one file.
    pub authorities: Vec<PathBuf>,
    /// Lists of the certificates that they have revoked.
    pub revocation_lists: Vec<PathBuf>,
    /// What is done where there is no current list.
    pub revocation: Revocation,
    /// How we sign with an RSA key.
    pub rsa_padding: RsaPadding,
    /// What the files hold, once [`Resources::supply_certificates`](crate::Resources::supply_certificates) was called.
    pub content: Option<Arc<CertificateContent>>,
}

impl CertificateFiles {
    /// Every file, in the order of the fields.
    pub fn paths(&self) -> impl Iterator<Item = (CertificateFile, &Path)> {
        let own = [
            (CertificateFile::Certificate, self.certificate.as_path()),
            (CertificateFile::PrivateKey, self.private_key.as_path()),
        ];
        let authorities = self.authorities.iter().enumerate();
        let lists = self.revocation_lists.iter().enumerate();
        own.into_iter()
            .chain(authorities.map(|(nth, path)| (CertificateFile::Authority(nth), path.as_path())))
            .chain(lists.map(|(nth, path)| (CertificateFile::RevocationList(nth), path.as_path())))
    }
}

/// Moving files changes nothing while they hold the same.
impl PartialEq for CertificateFiles {
    fn eq(&self, other: &Self) -> bool {
        let paths = || {
            (&self.certificate, &self.private_key, &self.authorities, &self.revocation_lists)
                == (&other.certificate, &other.private_key, &other.authorities, &other.revocation_lists)
        };
        (self.content.is_some() || paths())
            && self.content == other.content
            && (self.revocation, self.rsa_padding) == (other.revocation, other.rsa_padding)
    }
}

impl Eq for CertificateFiles {}

/// One of the files of [`CertificateFiles`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CertificateFile {
    /// `certificate_file`.
    Certificate,
    /// `private_key_file`.
    PrivateKey,
    /// One of `ca_files`, by its place in the list.
    Authority(usize),
    /// One of `crl_files`, by its place in the list.
    RevocationList(usize),
}

/// What the files of [`CertificateFiles`] hold, as it stands there.
#[derive(Clone, PartialEq, Eq)]
pub struct CertificateContent {
    /// Of `certificate_file`.
    pub certificate: Vec<u8>,
    /// Of `private_key_file`: wiped when dropped, redacted in `Debug`.
    pub private_key: Zeroizing<Vec<u8>>,
    /// Of each of `ca_files`.
    pub authorities: Vec<Vec<u8>>,
    /// Of each of `crl_files`.
    pub revocation_lists: Vec<Vec<u8>>,
}

impl fmt::Debug for CertificateContent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CertificateContent(redacted)")
    }
}

keywords! {
    /// What is done about certificates of an authority that has no list of revoked ones, or one that is out of date.
    Revocation {
        /// They are accepted, but for those that a list, old or new, names.
        Lenient = "lenient",
        /// They are refused.
        Strict = "strict",
    }
}

keywords! {
    /// The padding of our RSA signatures, where the peer knows RFC 7427.
    RsaPadding {
        /// RSASSA-PSS.
        Pss = "pss",
        /// PKCS#1 v1.5, for peers that know no other.
        Pkcs1 = "pkcs1",
    }
}
