//! Identities: who an end says it is (RFC 7296 §3.5).

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::distinguished_name::DistinguishedName;

/// An identity as it stands in an ID payload.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Identity {
    /// ID_IPV4_ADDR or ID_IPV6_ADDR.
    Address(IpAddr),
    /// ID_FQDN: a name, compared without regard to case.
    Name(String),
    /// ID_RFC822_ADDR: `user@name`.
    Mail(String),
    /// ID_DER_ASN1_DN: a distinguished name, compared attribute by attribute.
    DistinguishedName(DistinguishedName),
    /// ID_KEY_ID: bytes that both ends know, compared as they are.
    KeyId(Vec<u8>),
    /// Any other type, or text that is not UTF-8: compared byte by byte.
    Opaque {
        /// The ID type.
        kind: u8,
        /// The identification data.
        data: Vec<u8>,
    },
}

impl Identity {
    /// Reads an identity as people write it: an address, `user@name`, or a name.
    /// A leading `@` forces a name, as strongSwan does.
    pub fn from_text(text: &str) -> Self {
        if let Some(name) = text.strip_prefix('@') {
            Self::Name(name.to_owned())
        } else if let Ok(address) = text.parse() {
            Self::Address(address)
        } else if text.contains('@') {
            Self::Mail(text.to_owned())
        } else {
            Self::Name(text.to_owned())
        }
    }

    /// Reads the ID type and the identification data.
    pub(crate) fn from_wire(kind: u8, data: &[u8]) -> Self {
        let opaque = || Self::Opaque { kind, data: data.to_vec() };
        let text = || std::str::from_utf8(data).map(str::to_owned);
        match kind {
            ID_IPV4_ADDR => {
                <[u8; 4]>::try_from(data).map_or_else(|_| opaque(), |a| Self::Address(Ipv4Addr::from(a).into()))
            }
            ID_IPV6_ADDR => {
                <[u8; 16]>::try_from(data).map_or_else(|_| opaque(), |a| Self::Address(Ipv6Addr::from(a).into()))
            }
            ID_FQDN => text().map_or_else(|_| opaque(), Self::Name),
            ID_RFC822_ADDR => text().map_or_else(|_| opaque(), Self::Mail),
            ID_DER_ASN1_DN => DistinguishedName::from_der(data).map_or_else(opaque, Self::DistinguishedName),
            ID_KEY_ID => Self::KeyId(data.to_vec()),
            _ => opaque(),
        }
    }

    /// Whether the peer that sent `self` is the one expected. Names are compared as DNS compares them.
    pub(crate) fn is(&self, expected: &Self) -> bool {
        match (self, expected) {
            (Self::Name(a), Self::Name(b)) | (Self::Mail(a), Self::Mail(b)) => a.eq_ignore_ascii_case(b),
            (Self::DistinguishedName(a), Self::DistinguishedName(b)) => a.is_either_way(b),
            (
                Self::Address(_)
                | Self::Name(_)
                | Self::Mail(_)
                | Self::DistinguishedName(_)
                | Self::KeyId(_)
                | Self::Opaque { .. },
                _,
            ) => self == expected,
        }
    }

    /// The body of an ID payload: type, three reserved bytes, data. AUTH covers exactly these bytes.
    pub(crate) fn to_payload(&self) -> Vec<u8> {
        let (kind, data): (u8, Vec<u8>) = match self {
            Self::Address(IpAddr::V4(a)) => (ID_IPV4_ADDR, a.octets().to_vec()),
            Self::Address(IpAddr::V6(a)) => (ID_IPV6_ADDR, a.octets().to_vec()),
            Self::Name(name) => (ID_FQDN, name.clone().into_bytes()),
            Self::Mail(mail) => (ID_RFC822_ADDR, mail.clone().into_bytes()),
            Self::DistinguishedName(name) => (ID_DER_ASN1_DN, name.as_der().to_vec()),
            Self::KeyId(bytes) => (ID_KEY_ID, bytes.clone()),
            Self::Opaque { kind, data } => (*kind, data.clone()),
        };
        let mut body = vec![kind, 0, 0, 0];
        body.extend_from_slice(&data);
        body
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => write!(f, "{address}"),
            // What a peer sent ends up in logs and on terminals.
            Self::Name(text) | Self::Mail(text) => write!(f, "{}", text.escape_debug()),
            Self::DistinguishedName(name) => write!(f, "{name}"),
            Self::KeyId(bytes) => match std::str::from_utf8(bytes) {
                Ok(text) if text.len() <= 64 && text.bytes().all(|b| b.is_ascii_graphic()) => {
                    write!(f, "keyid:{text}")
                }
                Ok(_) | Err(_) => {
                    f.write_str("keyid:0x")?;
                    hexadecimal(f, bytes)
                }
            },
            Self::Opaque { kind, data } => {
                write!(f, "type {kind}:")?;
                hexadecimal(f, data)
            }
        }
    }
}

fn hexadecimal(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    bytes.iter().take(32).try_for_each(|b| write!(f, "{b:02x}"))?;
    if bytes.len() > 32 { f.write_str("...") } else { Ok(()) }
}

const ID_IPV4_ADDR: u8 = 1;
const ID_FQDN: u8 = 2;
const ID_RFC822_ADDR: u8 = 3;
const ID_IPV6_ADDR: u8 = 5;
const ID_DER_ASN1_DN: u8 = 9;
const ID_KEY_ID: u8 = 11;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_reads_as_people_mean_it() {
        let v4 = Identity::Address(Ipv4Addr::new(203, 0, 113, 1).into());
        assert_eq!(Identity::from_text("203.0.113.1"), v4);
        assert_eq!(Identity::from_text("gw.example"), Identity::Name("gw.example".into()));
        assert_eq!(Identity::from_text("@10.0.0.1"), Identity::Name("10.0.0.1".into()));
        assert_eq!(Identity::from_text("a@b"), Identity::Mail("a@b".into()));
    }

    #[test]
    fn wire_form_of_a_short_address_stays_opaque() {
        let short = Identity::from_wire(ID_IPV4_ADDR, &[1, 2, 3]);
        assert_eq!(short, Identity::Opaque { kind: 1, data: vec![1, 2, 3] });
        assert_eq!(short.to_string(), "type 1:010203");
    }

    #[test]
    fn every_kind_reads_as_it_was_written() {
        let name = DistinguishedName::from_attributes([("O", "Example"), ("CN", "gw")]).unwrap();
        for (kind, identity, shown) in [
            (9, Identity::DistinguishedName(name), "O=Example, CN=gw"),
            (11, Identity::KeyId(b"branch-7".to_vec()), "keyid:branch-7"),
            (11, Identity::KeyId(vec![0, 0xff]), "keyid:0x00ff"),
            (5, Identity::from_text("2001:db8::1"), "2001:db8::1"),
            (3, Identity::from_text("ops@example.com"), "ops@example.com"),
        ] {
            let payload = identity.to_payload();
            assert_eq!(payload[..4], [kind, 0, 0, 0]);
            assert_eq!(Identity::from_wire(kind, &payload[4..]), identity);
            assert_eq!(identity.to_string(), shown);
        }
        // What says that it is a distinguished name and is none stays what it is.
        assert_eq!(Identity::from_wire(9, &[0x30, 1]), Identity::Opaque { kind: 9, data: vec![0x30, 1] });
    }

    #[test]
    fn names_ignore_case_and_kinds_do_not_mix() {
        assert!(Identity::Name("GW.Example".into()).is(&Identity::Name("gw.example".into())));
        assert!(!Identity::Name("a".into()).is(&Identity::Mail("a".into())));
    }
}
