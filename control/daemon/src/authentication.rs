//! How a tunnel authenticates, from the resource model's terms to IKE's.

use std::sync::Arc;

use gateway::VpnTunnel;
use gateway::{
    Authentication, CertificateContent, CertificateFile, CertificateFiles, Identity, PostQuantumKey, Revocation,
    RsaPadding,
};
use ike::{Authority, Credential, CredentialError, Psk, RevocationList, RevocationPolicy, Trust, TrustError};

use crate::negotiation;

/// The authentication as IKE takes it; `None` while one of its files was not read.
pub fn of(tunnel: &VpnTunnel) -> Option<ike::Authentication> {
    match &tunnel.authentication {
        Authentication::Psk { key, next } => {
            let next = match next {
                Some(next) => Some(Psk::new(next.psk()?.secret())),
                None => None,
            };
            Some(ike::Authentication::Psk { key: Psk::new(key.psk()?.secret()), next })
        }
        // It was made from the same bytes when the files were read, and was good.
        Authentication::Certificate(files) => certificate(files, files.content.as_ref()?).ok(),
    }
}

/// A post-quantum key as IKE takes it; `None` while its file was not read.
pub fn ppk(ppk: &PostQuantumKey) -> Option<ike::Ppk> {
    let key = Psk::new(ppk.key.psk()?.secret());
    Some(ike::Ppk { id: ppk.id.as_str().to_owned(), key, required: ppk.required })
}

/// How the peer of a tunnel that is up proved who it is, in one word.
pub fn word(tunnel: &VpnTunnel, uses_next_psk: bool) -> &'static str {
    match &tunnel.authentication {
        Authentication::Psk { .. } if uses_next_psk => "psk_next",
        Authentication::Psk { .. } => "psk",
        Authentication::Certificate(_) => "certificate",
    }
}

/// Checks what certificate files hold: each by itself, and whether they go together and with the tunnel's `local_id`.
///
/// # Errors
/// The file at fault, and a problem that continues a sentence that begins with it.
pub fn check(files: &CertificateFiles, content: &CertificateContent, local_id: &Identity) -> Result<(), Wrong> {
    let ike::Authentication::Certificate { local, .. } = certificate(files, content)? else { return Ok(()) };
    if local.is_of(&negotiation::identity(local_id)) {
        return Ok(());
    }
    let problem = format!("is not for local_id {local_id}: it is for {}", local.identities());
    Err((CertificateFile::Certificate, problem))
}

/// A file, and what is wrong with it.
pub type Wrong = (CertificateFile, String);

fn certificate(files: &CertificateFiles, content: &CertificateContent) -> Result<ike::Authentication, Wrong> {
    let padding = match files.rsa_padding {
        RsaPadding::Pss => ike::RsaPadding::Pss,
        RsaPadding::Pkcs1 => ike::RsaPadding::Pkcs1,
    };
    let local =
        Credential::from_pem(&content.certificate, &content.private_key, padding).map_err(|error| match error {
            CredentialError::Certificates(error) => (CertificateFile::Certificate, error.to_string()),
            CredentialError::PrivateKey(error) => (CertificateFile::PrivateKey, error.to_string()),
            CredentialError::UnsupportedKey(key) => (CertificateFile::Certificate, format!("is for {key}")),
            CredentialError::Mismatch(subject) => {
                (CertificateFile::PrivateKey, format!("is not the key of the certificate, which is for {subject}"))
            }
            CredentialError::TooMany => (CertificateFile::Certificate, "holds too many certificates".to_owned()),
        })?;
    let mut authorities = Vec::new();
    for (nth, bytes) in content.authorities.iter().enumerate() {
        let read = Authority::all_from_pem(bytes);
        authorities.extend(read.map_err(|error| (CertificateFile::Authority(nth), error.to_string()))?);
    }
    let mut lists = Vec::new();
    for (nth, bytes) in content.revocation_lists.iter().enumerate() {
        let read = RevocationList::all_from_pem(bytes);
        let read = read.map_err(|error| (CertificateFile::RevocationList(nth), error.to_string()))?;
        lists.extend(read.into_iter().map(|list| (nth, list)));
    }
    let policy = match files.revocation {
        Revocation::Lenient => RevocationPolicy::Lenient,
        Revocation::Strict => RevocationPolicy::Strict,
    };
    let places: Vec<usize> = lists.iter().map(|(nth, _)| *nth).collect();
    let lists = lists.into_iter().map(|(_, list)| list).collect();
    let trust = Trust::new(authorities, lists, policy).map_err(|error| match error {
        TrustError::NoAuthority => (CertificateFile::Authority(0), "holds no certificate".to_owned()),
        TrustError::ForgedList { nth, .. } => {
            (CertificateFile::RevocationList(places.get(nth).copied().unwrap_or(0)), error.to_string())
        }
    })?;
    Ok(ike::Authentication::Certificate { local: Arc::new(local), trust: Arc::new(trust) })
}
