//! The files that certificates, keys and revocation lists come in: PEM (RFC 7468) or one DER value.

use thiserror::Error;
use x509_cert::der::pem;
use zeroize::Zeroizing;

/// Why a file's content is not what it should be. `Display` continues a sentence that begins with the file.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum PemError {
    /// A block's lines are not base64, or its end is missing.
    #[error("holds a PEM block that cannot be read")]
    Broken,
    /// None of its blocks is of the kind that is wanted.
    #[error("holds no {0}")]
    Missing(&'static str),
    /// A block decodes, but not to what its label says.
    #[error("holds a {0} that cannot be read")]
    Malformed(&'static str),
    /// More than anybody has a use for.
    #[error("holds too many entries of one kind")]
    TooMany,
}

/// A block: its label, and what its base64 stands for.
pub(super) type Block<'a> = (&'a str, Zeroizing<Vec<u8>>);

/// All blocks of a file, whatever their labels. Text around them, which tools put there for people, is skipped.
pub(super) fn blocks(content: &[u8]) -> Result<Vec<Block<'_>>, PemError> {
    let mut found = Vec::new();
    let mut rest = content;
    while let Some(begin) = position(rest, BEGIN) {
        let block = rest.get(begin..).unwrap_or_default();
        let end = position(block, END).ok_or(PemError::Broken)?;
        let tail = block.get(end + END.len()..).unwrap_or_default();
        let length = end + END.len() + position(tail, DASHES).ok_or(PemError::Broken)? + DASHES.len();
        let (block, tail) = block.split_at_checked(length).ok_or(PemError::Broken)?;
        if found.len() == MOST {
            return Err(PemError::TooMany);
        }
        found.push(decode(block)?);
        rest = tail;
    }
    Ok(found)
}

/// The DER of everything with this label. A file without any PEM is taken for one DER value.
pub(super) fn values(content: &[u8], label: &str, what: &'static str) -> Result<Vec<Vec<u8>>, PemError> {
    // A SEQUENCE in DER; no text begins so.
    if content.starts_with(&[0x30]) && position(content, BEGIN).is_none() {
        return Ok(vec![content.to_vec()]);
    }
    let blocks = blocks(content)?.into_iter().filter(|(found, _)| *found == label);
    let values: Vec<_> = blocks.map(|(_, der)| der.to_vec()).collect();
    if values.is_empty() { Err(PemError::Missing(what)) } else { Ok(values) }
}

fn decode(block: &[u8]) -> Result<Block<'_>, PemError> {
    let mut buffer = Zeroizing::new(Vec::new());
    let line = pem::detect_base64_line_width(block).map_err(|_| PemError::Broken)?;
    let mut decoder = pem::Decoder::new_wrapped(block, line).map_err(|_| PemError::Broken)?;
    let label = decoder.type_label();
    buffer.reserve_exact(decoder.remaining_len());
    decoder.decode_to_end(&mut buffer).map_err(|_| PemError::Broken)?;
    Ok((label, buffer))
}

fn position(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

const BEGIN: &[u8] = b"-----BEGIN ";
const END: &[u8] = b"-----END ";
const DASHES: &[u8] = b"-----";
const MOST: usize = 1024;
