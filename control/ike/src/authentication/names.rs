//! Whose certificate it is: identities against what a certificate says of its subject (RFC 4945 §3.1).

use std::net::IpAddr;

use x509_cert::ext::pkix::name::GeneralName;

use super::Certificate;
use crate::identity::Identity;

impl Certificate {
    /// Whether this certificate is that of `identity`.
    pub(crate) fn is_of(&self, identity: &Identity) -> bool {
        let mut names = self.alternative_names().iter();
        match identity {
            // RFC 4945 §3.1.1: byte by byte.
            Identity::Address(IpAddr::V4(address)) => names.any(|name| is_address(name, &address.octets())),
            Identity::Address(IpAddr::V6(address)) => names.any(|name| is_address(name, &address.octets())),
            // RFC 4945 §3.1.2: the whole name; no wildcards.
            Identity::Name(wanted) => names.any(|name| match name {
                GeneralName::DnsName(found) => found.as_str().eq_ignore_ascii_case(wanted),
                _ => false,
            }),
            Identity::Mail(wanted) => names.any(|name| match name {
                GeneralName::Rfc822Name(found) => found.as_str().eq_ignore_ascii_case(wanted),
                _ => false,
            }),
            Identity::DistinguishedName(wanted) => self.subject().is_either_way(wanted),
            // RFC 4945 §3.1.7: nothing in a certificate says what a key-ID is.
            Identity::KeyId(_) | Identity::Opaque { .. } => false,
        }
    }

    /// The identities that this certificate can be shown for, in words.
    pub(crate) fn identities(&self) -> String {
        let mut found = vec![self.subject().to_string()];
        found.extend(self.alternative_names().iter().filter_map(|name| match name {
            GeneralName::DnsName(name) | GeneralName::Rfc822Name(name) => {
                Some(name.as_str().escape_debug().to_string())
            }
            GeneralName::IpAddress(bytes) => address(bytes.as_bytes()).map(|address| address.to_string()),
            _ => None,
        }));
        // A peer's certificate may have hundreds.
        let rest = found.len().saturating_sub(MOST_SHOWN);
        found.truncate(MOST_SHOWN);
        let shown = found.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", ");
        if rest > 0 { format!("{shown} and {rest} more") } else { shown }
    }
}

fn is_address(name: &GeneralName, wanted: &[u8]) -> bool {
    matches!(name, GeneralName::IpAddress(found) if found.as_bytes() == wanted)
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from);
    v4.or_else(|| <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from))
}

const MOST_SHOWN: usize = 8;
