//! Distinguished names (RFC 5280 §4.1.2.4), as they stand in certificates and in ID_DER_ASN1_DN.

use std::fmt;

use x509_cert::attr::AttributeTypeAndValue;
use x509_cert::der::asn1::{Any, Ia5StringRef, ObjectIdentifier, PrintableStringRef, SetOfVec, Utf8StringRef};
use x509_cert::der::{Decode, Encode, Tag, Tagged};
use x509_cert::name::Name;

/// A distinguished name: its DER, which is known to be one.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct DistinguishedName(Vec<u8>);

impl DistinguishedName {
    /// Reads the DER of a Name; `None` if it is not one, is empty, or has more than 4096 bytes.
    pub fn from_der(der: &[u8]) -> Option<Self> {
        let name = if der.len() > LONGEST { None } else { Name::from_der(der).ok() };
        name.filter(|name| !name.is_empty()).map(|_| Self(der.to_vec()))
    }

    /// The name with these attributes, in this order: types such as `CN` or `2.5.4.3`, and their values. `None` if
    /// there is none, a type is not known, or a value holds what its type does not allow.
    pub fn from_attributes<'a>(attributes: impl IntoIterator<Item = (&'a str, &'a str)>) -> Option<Self> {
        let relative = |(keyword, text): (&str, &str)| {
            let (oid, string) = match KEYWORDS.iter().find(|(known, ..)| known.eq_ignore_ascii_case(keyword)) {
                Some((_, oid, string)) => (*oid, *string),
                None => (ObjectIdentifier::new(keyword).ok()?, Text::Utf8),
            };
            let value = match string {
                Text::Printable => Any::from(PrintableStringRef::new(text).ok()?),
                Text::Ia5 => Any::from(Ia5StringRef::new(text).ok()?),
                Text::Utf8 => Any::from(Utf8StringRef::new(text).ok()?),
            };
            let mut set = SetOfVec::new();
            set.insert(AttributeTypeAndValue { oid, value }).ok()?;
            Some(set)
        };
        let sets = attributes.into_iter().map(relative).collect::<Option<Vec<SetOfVec<AttributeTypeAndValue>>>>()?;
        Self::from_der(&sets.to_der().ok()?)
    }

    /// The DER.
    pub fn as_der(&self) -> &[u8] {
        &self.0
    }

    pub(crate) fn of(name: &Name) -> Self {
        // What was decoded is encoded again.
        Self(name.to_der().unwrap_or_default())
    }

    /// Whether both are the same name: attribute by attribute, text without regard to its encoding, to case, and to
    /// how much space stands in it (RFC 5280 §7.1).
    pub(crate) fn is(&self, other: &Self) -> bool {
        self.0 == other.0 || self.canonical() == other.canonical()
    }

    /// As [`DistinguishedName::is`], or the same attributes in the opposite order. What people write down may be in
    /// the order of RFC 4514 (`CN=gw, O=example`) or in that of OpenSSL and strongSwan (`O=example, CN=gw`).
    pub(crate) fn is_either_way(&self, other: &Self) -> bool {
        self.is(other) || {
            let mut reversed = other.canonical();
            reversed.reverse();
            self.canonical() == reversed
        }
    }

    fn canonical(&self) -> Vec<Vec<(ObjectIdentifier, Vec<u8>)>> {
        let Ok(name) = Name::from_der(&self.0) else { return Vec::new() };
        let attribute = |a: &AttributeTypeAndValue| {
            let text = text(&a.value).map(|text| text.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase());
            // What is no text never equals a text: its tag stands in front.
            let value =
                text.map_or_else(|| a.value.to_der().unwrap_or_default(), |text| format!("T{text}").into_bytes());
            (a.oid, value)
        };
        let set = |set: &x509_cert::name::RelativeDistinguishedName| {
            let mut set: Vec<_> = set.iter().map(attribute).collect();
            set.sort();
            set
        };
        name.iter_rdn().map(set).collect()
    }
}

impl fmt::Display for DistinguishedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Ok(name) = Name::from_der(&self.0) else { return f.write_str("?") };
        for (place, attribute) in name.iter().take(MOST_SHOWN).enumerate() {
            if place > 0 {
                f.write_str(", ")?;
            }
            match KEYWORDS.iter().find(|(_, oid, _)| *oid == attribute.oid) {
                Some((keyword, ..)) => f.write_str(keyword)?,
                None => write!(f, "{}", attribute.oid)?,
            }
            match text(&attribute.value) {
                // What a peer sent ends up in logs and on terminals.
                Some(text) => {
                    write!(f, "={}", text.replace(',', "\\,").escape_debug().to_string().replace("\\\\,", "\\,"))?
                }
                None => write!(f, "=#{} bytes", attribute.value.value().len())?,
            }
        }
        Ok(())
    }
}

impl fmt::Debug for DistinguishedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DistinguishedName({self})")
    }
}

/// A value of one of the types that are text.
fn text(value: &Any) -> Option<String> {
    let bytes = value.value();
    match value.tag() {
        Tag::Utf8String | Tag::PrintableString | Tag::Ia5String => std::str::from_utf8(bytes).ok().map(str::to_owned),
        // T.61 in theory; what is found is Latin 1.
        Tag::TeletexString => Some(bytes.iter().copied().map(char::from).collect()),
        Tag::BmpString => {
            let (pairs, rest) = bytes.as_chunks::<2>();
            let units: Vec<u16> = pairs.iter().map(|pair| u16::from_be_bytes(*pair)).collect();
            rest.is_empty().then(|| String::from_utf16(&units).ok()).flatten()
        }
        _ => None,
    }
}

/// The string type that an attribute's value is written in (RFC 5280 appendix A).
#[derive(Clone, Copy)]
enum Text {
    Printable,
    Ia5,
    Utf8,
}

/// RFC 4514 §3, RFC 4519, and what OpenSSL and strongSwan call the others.
const KEYWORDS: [(&str, ObjectIdentifier, Text); 15] = [
    ("CN", ObjectIdentifier::new_unwrap("2.5.4.3"), Text::Utf8),
    ("SN", ObjectIdentifier::new_unwrap("2.5.4.4"), Text::Utf8),
    ("serialNumber", ObjectIdentifier::new_unwrap("2.5.4.5"), Text::Printable),
    ("C", ObjectIdentifier::new_unwrap("2.5.4.6"), Text::Printable),
    ("L", ObjectIdentifier::new_unwrap("2.5.4.7"), Text::Utf8),
    ("ST", ObjectIdentifier::new_unwrap("2.5.4.8"), Text::Utf8),
    ("STREET", ObjectIdentifier::new_unwrap("2.5.4.9"), Text::Utf8),
    ("O", ObjectIdentifier::new_unwrap("2.5.4.10"), Text::Utf8),
    ("OU", ObjectIdentifier::new_unwrap("2.5.4.11"), Text::Utf8),
    ("title", ObjectIdentifier::new_unwrap("2.5.4.12"), Text::Utf8),
    ("GN", ObjectIdentifier::new_unwrap("2.5.4.42"), Text::Utf8),
    ("DC", ObjectIdentifier::new_unwrap("0.9.2342.19200300.100.1.25"), Text::Ia5),
    ("UID", ObjectIdentifier::new_unwrap("0.9.2342.19200300.100.1.1"), Text::Utf8),
    ("E", ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.1"), Text::Ia5),
    ("emailAddress", ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.1"), Text::Ia5),
];

const LONGEST: usize = 4096;
const MOST_SHOWN: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hex::hex;

    // pyca/cryptography: x509.Name of country CH, organization "Linux strongSwan", common name moon.strongswan.org.
    const MOON: &str = concat!(
        "3046310b300906035504061302434831193017060355040a0c104c696e7578207374726f6e675377616e",
        "311c301a06035504030c136d6f6f6e2e7374726f6e677377616e2e6f7267"
    );

    #[test]
    fn the_der_is_that_of_openssl() {
        let written =
            DistinguishedName::from_attributes([("C", "CH"), ("O", "Linux strongSwan"), ("cn", "moon.strongswan.org")]);
        let written = written.unwrap();
        assert_eq!(written.as_der(), hex(MOON));
        assert_eq!(written.to_string(), "C=CH, O=Linux strongSwan, CN=moon.strongswan.org");
        assert_eq!(DistinguishedName::from_attributes([]), None);
        assert_eq!(DistinguishedName::from_attributes([("nonsense", "x")]), None);
        assert_eq!(DistinguishedName::from_attributes([("C", "日")]), None);
    }

    #[test]
    fn case_space_and_order_of_writing_do_not_matter_but_values_do() {
        let name =
            |list: &[(&'static str, &'static str)]| DistinguishedName::from_attributes(list.iter().copied()).unwrap();
        let one = name(&[("O", "Linux strongSwan"), ("CN", "moon")]);
        assert!(one.is(&name(&[("O", "linux  STRONGSWAN "), ("CN", "moon")])));
        let turned = name(&[("CN", "moon"), ("O", "Linux strongSwan")]);
        assert!(!one.is(&turned) && one.is_either_way(&turned));
        assert!(!one.is_either_way(&name(&[("O", "Linux strongSwan"), ("CN", "sun")])));
        assert!(!one.is_either_way(&name(&[("O", "Linux strongSwan"), ("OU", "moon")])));
        assert!(!one.is_either_way(&name(&[("CN", "moon")])));
    }

    #[test]
    fn what_a_peer_sent_does_not_reach_the_terminal() {
        let name = DistinguishedName::from_attributes([("CN", "a,b\u{1b}[2J")]).unwrap();
        assert_eq!(name.to_string(), "CN=a\\,b\\u{1b}[2J");
    }
}
