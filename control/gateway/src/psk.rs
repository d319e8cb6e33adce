//! Pre-shared keys.

use std::fmt;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::diagnostic::Refusal;

/// A pre-shared key of 1 to 128 bytes, written as text, as hexadecimal behind `0x`, or as base64 behind `0s`.
///
/// Text has letters, digits and punctuation of ASCII: these are the keys that every peer reads as the same bytes (no
/// spaces or other scripts: their encoding differs). The two prefixes are those of strongSwan, in either case as
/// there. Wiped on drop, redacted in `Debug`, compared in constant time for keys of one length.
#[derive(Clone)]
pub struct Psk {
    secret: Zeroizing<Vec<u8>>,
    written: Written,
}

/// How a key is written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Written {
    Text,
    Encoded,
}

impl Psk {
    /// The longest key, in bytes.
    pub const MAX_BYTES: usize = 128;

    /// The longest way to write a key, in bytes.
    pub const MAX_WRITTEN: usize = 2 + 2 * Self::MAX_BYTES;

    /// The key written as this text.
    ///
    /// # Errors
    /// A [`PskError`] that names the broken rule and nothing of the key.
    pub fn new(text: &[u8]) -> Result<Self, PskError> {
        let (secret, written) = match text {
            // Both cases: strongSwan compares without regard to case.
            [b'0', b'x' | b'X', digits @ ..] => (hexadecimal(digits).ok_or(PskError::Hexadecimal)?, Written::Encoded),
            [b'0', b's' | b'S', digits @ ..] => (base64(digits).ok_or(PskError::Base64)?, Written::Encoded),
            text if text.len() > Self::MAX_BYTES => return Err(PskError::TooLong),
            text if text.iter().all(u8::is_ascii_graphic) => (Zeroizing::new(text.to_vec()), Written::Text),
            _ => return Err(PskError::Character),
        };
        match secret.len() {
            0 => Err(PskError::Empty),
            1..=Self::MAX_BYTES => Ok(Self { secret, written }),
            _ => Err(PskError::TooLong),
        }
    }

    /// The key in a file's content: as [`Psk::new`], less the one line end that editors put after the last line.
    ///
    /// # Errors
    /// As [`Psk::new`].
    pub fn from_file_content(content: &[u8]) -> Result<Self, PskError> {
        let text = content.strip_suffix(b"\n").unwrap_or(content);
        Self::new(text.strip_suffix(b"\r").unwrap_or(text))
    }

    /// The bytes that go into the AUTH payload (RFC 7296 §2.15).
    #[must_use]
    pub fn secret(&self) -> &[u8] {
        &self.secret
    }

    /// Whether it is plainly too short to resist guessing: people choose the characters of a text, nobody chooses the
    /// bits of a number.
    pub(crate) fn is_short(&self) -> bool {
        self.secret.len()
            < match self.written {
                Written::Text => Self::ENOUGH,
                Written::Encoded => Self::ENOUGH / 2,
            }
    }

    /// Characters of a text that resist guessing, if they are random.
    pub(crate) const ENOUGH: usize = 16;
}

/// As strongSwan reads it: of an odd number of digits the first is a byte of its own.
fn hexadecimal(digits: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let value = |digit: &u8| char::from(*digit).to_digit(16).map(|value| value as u8);
    let mut bytes = Zeroizing::new(Vec::with_capacity(digits.len() / 2 + 1));
    let (first, pairs) = digits.split_at(digits.len() % 2);
    for pair in std::iter::once(first).filter(|first| !first.is_empty()).chain(pairs.chunks(2)) {
        bytes.push(pair.iter().try_fold(0, |byte, digit| Some(byte << 4 | value(digit)?))?);
    }
    Some(bytes)
}

/// RFC 4648 §4, with its padding: without it strongSwan loses the last bytes.
fn base64(digits: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let value = |digit: u8| match digit {
        b'A'..=b'Z' => Some(digit - b'A'),
        b'a'..=b'z' => Some(digit - b'a' + 26),
        b'0'..=b'9' => Some(digit - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    };
    let padding = digits.iter().rev().take_while(|digit| **digit == b'=').count().min(2);
    let digits = digits.len().is_multiple_of(4).then(|| &digits[..digits.len() - padding])?;
    let mut bytes = Zeroizing::new(Vec::with_capacity(digits.len()));
    for group in digits.chunks(4) {
        let bits = group.iter().try_fold(0u32, |bits, digit| Some(bits << 6 | u32::from(value(*digit)?)))?;
        let [_, all @ ..] = (bits << (6 * (4 - group.len()))).to_be_bytes();
        bytes.extend_from_slice(&all[..group.len() - 1]);
    }
    Some(bytes)
}

impl PartialEq for Psk {
    fn eq(&self, other: &Self) -> bool {
        let difference = self.secret.iter().zip(other.secret.iter()).fold(0, |sum, (a, b)| sum | (a ^ b));
        self.secret.len() == other.secret.len() && std::hint::black_box(difference) == 0
    }
}

impl Eq for Psk {}

impl fmt::Debug for Psk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Psk(redacted)")
    }
}

/// Where a tunnel's pre-shared key comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PskSource {
    /// It stands in the resource file.
    Inline(Psk),
    /// It stands in a file of its own, which this crate does not read.
    File {
        /// Where that file is.
        path: PathBuf,
        /// The key, once [`Resources::supply_psk`](crate::Resources::supply_psk) was given the content.
        psk: Option<Psk>,
    },
}

impl PskSource {
    /// The key; `None` while the content of its file has not been supplied.
    #[must_use]
    pub fn psk(&self) -> Option<&Psk> {
        match self {
            Self::Inline(psk) => Some(psk),
            Self::File { psk, .. } => psk.as_ref(),
        }
    }

    /// The file the key stands in, unless it stands in the resource file.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Inline(_) => None,
            Self::File { path, .. } => Some(path),
        }
    }

    /// Whether both are the same key, wherever it stands.
    #[must_use]
    pub fn is_same_key(&self, other: &Self) -> bool {
        self == other || (self.psk().is_some() && self.psk() == other.psk())
    }
}

/// Why a text is not a [`Psk`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PskError {
    /// There is no byte in it.
    Empty,
    /// It has more than [`Psk::MAX_BYTES`] bytes.
    TooLong,
    /// It contains something else than letters, digits and punctuation of ASCII.
    Character,
    /// It begins with `0x`, and something else than hexadecimal digits follows.
    Hexadecimal,
    /// It begins with `0s`, and something else than base64 with its padding follows.
    Base64,
}

impl fmt::Display for PskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "is empty",
            Self::TooLong => "is too long",
            Self::Character => "contains a space or a character outside ASCII",
            Self::Hexadecimal => "begins with 0x, but what follows is not hexadecimal",
            Self::Base64 => "begins with 0s, but what follows is not base64 with its padding",
        })
    }
}

impl Refusal for PskError {
    fn allowed(&self) -> String {
        "1 to 128 letters, digits and punctuation of ASCII, or 0x and hexadecimal or 0s and base64 of as many bytes"
            .to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> Result<Vec<u8>, PskError> {
        Psk::new(text.as_bytes()).map(|psk| psk.secret().to_vec())
    }

    // RFC 4648 §10, and what `swanctl --load-creds` of strongSwan makes of these.
    #[test]
    fn encodings_are_those_of_strongswan() {
        let cases = [("Zg==", "f"), ("Zm8=", "fo"), ("Zm9v", "foo"), ("Zm9vYg==", "foob"), ("Zm9vYmFy", "foobar")];
        for (base64, text) in cases {
            assert_eq!(secret(&format!("0s{base64}")), Ok(text.as_bytes().to_vec()));
        }
        assert_eq!(secret("0x666F6f"), Ok(b"foo".to_vec()));
        assert_eq!(secret("0Xabc"), Ok(vec![0x0a, 0xbc]));
        assert_eq!(secret("0S/+8A"), Ok(vec![0xff, 0xef, 0x00]));
    }

    #[test]
    fn what_is_no_encoding_is_refused() {
        for text in ["0xfg", "0x+1", "0x 1"] {
            assert_eq!(secret(text), Err(PskError::Hexadecimal), "{text}");
        }
        for text in ["0sZg", "0sZg=", "0sZ===", "0s====", "0sZm9v!", "0sZ=9v"] {
            assert_eq!(secret(text), Err(PskError::Base64), "{text}");
        }
        for text in ["0x", "0s", ""] {
            assert_eq!(secret(text), Err(PskError::Empty));
        }
        assert_eq!(secret(&format!("0x{}", "ab".repeat(128))).unwrap().len(), 128);
        assert_eq!(secret(&format!("0x{}", "ab".repeat(129))), Err(PskError::TooLong));
    }
}
