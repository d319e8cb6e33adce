//! The fields of a `[[vpn_tunnel]]` table that say how the two ends prove who they are.

use std::path::PathBuf;

use toml::de::DeValue;

use crate::authentication::{Revocation, RsaPadding};
use crate::draft::{AuthenticationDraft, CertificateDraft, KeyDraft, PpkDraft};
use crate::ppk::PpkId;
use crate::psk::Psk;
use crate::report::{At, Complaint};
use crate::scalar;
use crate::section::{Found, Section};

/// Either a pre-shared key, perhaps with its successor, or certificates.
pub(super) fn authentication(section: &mut Section<'_, '_>) -> Option<AuthenticationDraft> {
    let key = key(section, "psk", "psk_file");
    let next = key_next(section);
    let certificate = section.field("certificate_file", path);
    let private_key = section.field("private_key_file", path);
    let authorities = section.list("ca_files", path);
    let revocation_lists = section.list("crl_files", path);
    let revocation = section.field("crl", scalar::word::<Revocation>);
    let rsa_padding = section.field("rsa_padding", scalar::word::<RsaPadding>);

    let given = [
        ("certificate_file", place(&certificate)),
        ("private_key_file", place(&private_key)),
        ("ca_files", place(&authorities)),
        ("crl_files", place(&revocation_lists)),
        ("crl", place(&revocation)),
        ("rsa_padding", place(&rsa_padding)),
    ];
    let first = given.into_iter().find(|(_, place)| *place != Place::Absent);
    match (&key, first) {
        (Found::Absent, None) => {
            section.missing("psk", "psk, psk_file, or certificate_file with private_key_file and ca_files");
            return None;
        }
        (Found::Absent, Some(_)) => {}
        (Found::Good(_) | Found::Bad, Some((field, Place::At(offset)))) => {
            let complaint = Complaint::new("is given beside psk").allowed("a pre-shared key or certificates, not both");
            section.error(field, offset, complaint);
            return None;
        }
        (Found::Good(_) | Found::Bad, None | Some((_, Place::Absent | Place::Bad))) => {
            return Some(AuthenticationDraft::Psk { key: key.good()?, next: next.optional_at()? });
        }
    }
    if let Found::Good(At { offset, .. }) = &next {
        let complaint = Complaint::new("is given without psk").allowed("psk and psk_next, or certificates");
        section.error("psk_next", *offset, complaint);
        return None;
    }
    let needed = "certificate_file, private_key_file and ca_files together";
    for (field, place) in given.into_iter().take(3) {
        if place == Place::Absent {
            section.missing(field, needed);
        }
    }
    Some(AuthenticationDraft::Certificate(Box::new(CertificateDraft {
        certificate: certificate.good()?,
        private_key: private_key.good()?,
        authorities: authorities.good()?.value,
        revocation_lists: revocation_lists.optional()?.unwrap_or_default(),
        revocation: revocation.optional()?.unwrap_or(Revocation::Lenient),
        rsa_padding: rsa_padding.optional()?.unwrap_or(RsaPadding::Pss),
    })))
}

/// A post-quantum key, with the name that both ends know it by.
pub(super) fn ppk(section: &mut Section<'_, '_>) -> Found<PpkDraft> {
    let key = key(section, "ppk", "ppk_file");
    let id = section.field("ppk_id", scalar::text::<PpkId>);
    let required = section.field("ppk_required", scalar::boolean);
    let needed = "ppk or ppk_file together with ppk_id";
    let (key, id) = match (key, id) {
        (Found::Absent, Found::Absent) => {
            if let Found::Good(At { offset, .. }) = required {
                section.error("ppk_required", offset, Complaint::new("is given without ppk").allowed(needed));
                return Found::Bad;
            }
            return Found::Absent;
        }
        (Found::Good(key), Found::Good(id)) => (key, id.value),
        (Found::Absent, Found::Good(_) | Found::Bad) => {
            section.missing("ppk", needed);
            return Found::Bad;
        }
        (Found::Good(_), Found::Absent) => {
            section.missing("ppk_id", needed);
            return Found::Bad;
        }
        (Found::Bad, _) | (Found::Good(_), Found::Bad) => return Found::Bad,
    };
    let required = match required {
        Found::Bad => return Found::Bad,
        Found::Absent => true,
        Found::Good(required) => required.value,
    };
    let offset = key.offset;
    Found::Good(At { value: PpkDraft { id, key, required }, offset })
}

/// Whether and where a field stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Absent,
    Bad,
    At(usize),
}

fn place<T>(found: &Found<T>) -> Place {
    match found {
        Found::Absent => Place::Absent,
        Found::Bad => Place::Bad,
        Found::Good(value) => Place::At(value.offset),
    }
}

fn key_next(section: &mut Section<'_, '_>) -> Found<KeyDraft> {
    key(section, "psk_next", "psk_next_file")
}

/// A key that stands in one field, or in the file that the other one names.
pub(super) fn key(section: &mut Section<'_, '_>, inline: &'static str, file: &'static str) -> Found<KeyDraft> {
    let psk = section.secret(inline, |text| Psk::new(text.as_bytes()).map_err(|e| Complaint::refused(&e)));
    let found = section.field(file, path);
    match (psk, found) {
        (Found::Absent, Found::Absent) => Found::Absent,
        (Found::Good(_) | Found::Bad, Found::Good(At { offset, .. })) => {
            let complaint = Complaint::new(format!("is given beside {inline}"));
            section.error(file, offset, complaint.allowed(format!("{inline} or {file}, not both")));
            Found::Bad
        }
        (Found::Good(_) | Found::Absent, Found::Bad) | (Found::Bad, Found::Absent | Found::Bad) => Found::Bad,
        (Found::Good(psk), Found::Absent) => Found::Good(psk.map(KeyDraft::Inline)),
        (Found::Absent, Found::Good(file)) => Found::Good(file.map(KeyDraft::File)),
    }
}

fn path(value: &DeValue<'_>) -> Result<PathBuf, Complaint> {
    match scalar::string(value)? {
        "" => Err(Complaint::new("is empty").allowed("the path of a file").quoting("")),
        text if text.contains('\0') => Err(Complaint::new("contains a NUL").allowed("the path of a file")),
        text => Ok(PathBuf::from(text)),
    }
}
