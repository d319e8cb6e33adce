//! Distinguished names as people write them: `CN=gw.example, O=Example` (after RFC 4514).

use std::fmt;
use std::str::FromStr;

use crate::diagnostic::Refusal;

/// A distinguished name: types and values, in the order in which they are written.
///
/// That may be the order of RFC 4514, or the opposite one of OpenSSL and strongSwan: whoever compares names takes both.
/// Commas, plus signs and backslashes inside a value are escaped by a backslash.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DistinguishedName(Vec<(&'static str, String)>);

impl DistinguishedName {
    /// The types that a name may have, by the words that RFC 4519, OpenSSL and strongSwan call them.
    pub const TYPES: [&'static str; 15] = [
        "CN",
        "SN",
        "serialNumber",
        "C",
        "L",
        "ST",
        "STREET",
        "O",
        "OU",
        "title",
        "GN",
        "DC",
        "UID",
        "E",
        "emailAddress",
    ];

    /// The most bytes that a name may be written in.
    pub const MAX_BYTES: usize = 1024;

    /// The types and their values, in the order in which they are written.
    pub fn attributes(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(kind, value)| (*kind, value.as_str()))
    }
}

impl FromStr for DistinguishedName {
    type Err = DistinguishedNameError;

    fn from_str(text: &str) -> Result<Self, DistinguishedNameError> {
        if text.len() > Self::MAX_BYTES {
            return Err(DistinguishedNameError::TooLong);
        }
        split(text)?.into_iter().map(attribute).collect::<Result<_, _>>().map(Self)
    }
}

fn attribute((kind, value): (String, String)) -> Result<(&'static str, String), DistinguishedNameError> {
    let known = DistinguishedName::TYPES.into_iter().find(|known| known.eq_ignore_ascii_case(&kind));
    let kind = known.ok_or(DistinguishedNameError::UnknownType)?;
    // RFC 5280 appendix A: these are strings of fewer characters than others.
    let ascii = matches!(kind, "C" | "serialNumber" | "DC" | "E" | "emailAddress");
    if value.is_empty() || value.chars().any(char::is_control) || (ascii && !value.is_ascii()) {
        return Err(DistinguishedNameError::Value);
    }
    let printable = |c: char| c.is_ascii_alphanumeric() || " '()+,-./:=?".contains(c);
    if matches!(kind, "C" | "serialNumber") && !value.chars().all(printable) {
        return Err(DistinguishedNameError::Value);
    }
    Ok((kind, value))
}

/// `type=value` pairs, spaces around each taken away, escapes undone.
fn split(text: &str) -> Result<Vec<(String, String)>, DistinguishedNameError> {
    let mut pairs = Vec::new();
    let mut characters = text.chars().peekable();
    while characters.peek().is_some() {
        let kind: String = characters.by_ref().take_while(|c| *c != '=').collect();
        if characters.peek().is_none() {
            return Err(DistinguishedNameError::Malformed);
        }
        let mut value = String::new();
        // Spaces at the end belong to the value if they are escaped.
        let mut kept = 0;
        loop {
            match characters.next() {
                None | Some(',') => break,
                // RFC 4514 §2.2: a relative name of several attributes, which nobody has.
                Some('+') => return Err(DistinguishedNameError::Malformed),
                Some('\\') => {
                    value.push(characters.next().ok_or(DistinguishedNameError::Malformed)?);
                    kept = value.len();
                }
                Some(c) if c.is_whitespace() && value.is_empty() => {}
                Some(c) => value.push(c),
            }
        }
        let end = kept.max(value.trim_end().len());
        value.truncate(end);
        pairs.push((kind.trim().to_owned(), value));
    }
    if pairs.is_empty() { Err(DistinguishedNameError::Malformed) } else { Ok(pairs) }
}

impl fmt::Display for DistinguishedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, (kind, value)) in self.0.iter().enumerate() {
            let comma = if place > 0 { ", " } else { "" };
            write!(f, "{comma}{kind}=")?;
            for (nth, c) in value.char_indices() {
                let last = nth + c.len_utf8() == value.len();
                if matches!(c, ',' | '+' | '\\') || (c.is_whitespace() && (nth == 0 || last)) {
                    f.write_str("\\")?;
                }
                write!(f, "{c}")?;
            }
        }
        Ok(())
    }
}

/// Why a text is not a [`DistinguishedName`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DistinguishedNameError {
    /// It is not a list of `type=value`.
    Malformed,
    /// It has more than [`DistinguishedName::MAX_BYTES`] bytes.
    TooLong,
    /// One of its types is none of [`DistinguishedName::TYPES`].
    UnknownType,
    /// One of its values is empty, or holds a character that its type does not allow.
    Value,
}

impl fmt::Display for DistinguishedNameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "is not a distinguished name",
            Self::TooLong => "is too long for a distinguished name",
            Self::UnknownType => "is a distinguished name with a type that is not known",
            Self::Value => "is a distinguished name with a value that its type does not allow",
        })
    }
}

impl Refusal for DistinguishedNameError {
    fn allowed(&self) -> String {
        format!("CN=gw.example, O=Example: types out of {}", DistinguishedName::TYPES.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<(&'static str, String)>, DistinguishedNameError> {
        text.parse::<DistinguishedName>().map(|name| name.0)
    }

    // RFC 4514 §4, less the one with two attributes in one relative name.
    #[test]
    fn names_of_the_rfc() {
        let own =
            |list: &[(&'static str, &str)]| Ok(list.iter().map(|(k, v)| (*k, (*v).to_owned())).collect::<Vec<_>>());
        assert_eq!(read("UID=jsmith,DC=example,DC=net"), own(&[("UID", "jsmith"), ("DC", "example"), ("DC", "net")]));
        assert_eq!(
            read(r#"CN=James \"Jim\" Smith\, III,DC=example,DC=net"#),
            own(&[("CN", "James \"Jim\" Smith, III"), ("DC", "example"), ("DC", "net")])
        );
        // As OpenSSL and strongSwan print them.
        assert_eq!(read("C = CH, o = Linux strongSwan"), own(&[("C", "CH"), ("O", "Linux strongSwan")]));
    }

    #[test]
    fn what_is_written_reads_the_same() {
        for text in ["CN=a\\,b\\+c\\\\, O=x", "O=\\ x y\\ ", "CN=日本, C=JP"] {
            let name: DistinguishedName = text.parse().unwrap();
            assert_eq!(name.to_string(), text);
            assert_eq!(name.to_string().parse(), Ok(name));
        }
    }

    #[test]
    fn what_is_none_is_refused() {
        use DistinguishedNameError::{Malformed, TooLong, UnknownType, Value};
        let long = format!("CN={}", "x".repeat(1024));
        for (text, error) in [
            ("", Malformed),
            ("CN", Malformed),
            ("CN=a+O=b", Malformed),
            ("CN=a\\", Malformed),
            ("CN=", Malformed),
            ("CN= ,O=x", Value),
            ("C=日本", Value),
            ("C=a_b", Value),
            ("XX=a", UnknownType),
            (long.as_str(), TooLong),
        ] {
            assert_eq!(read(text), Err(error), "{text}");
        }
    }
}
