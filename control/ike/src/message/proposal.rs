//! Proposals and transforms inside an SA payload (RFC 7296 §3.3).

use super::reader::Reader;
use super::{ParseError, kind};

/// Transform types (RFC 7296 §3.3.2).
pub(crate) const ENCR: u8 = 1;
pub(crate) const PRF: u8 = 2;
pub(crate) const INTEG: u8 = 3;
pub(crate) const KE: u8 = 4;
pub(crate) const ESN: u8 = 5;
/// The first of the seven types of additional key exchanges (RFC 9370 §2.2.1).
pub(crate) const ADDITIONAL_KE: u8 = 6;

/// One proposal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Proposal {
    pub(crate) number: u8,
    pub(crate) protocol: u8,
    pub(crate) spi: Vec<u8>,
    pub(crate) transforms: Vec<Transform>,
}

impl Proposal {
    /// Reads all proposals of an SA payload.
    pub(crate) fn parse_all(body: &[u8]) -> Result<Vec<Self>, ParseError> {
        let mut reader = Reader::new(body);
        let mut proposals = Vec::new();
        loop {
            let more = more_follows(reader.u8()?, 2)?;
            let _reserved = reader.u8()?;
            let length = usize::from(reader.u16()?).checked_sub(4).ok_or(ParseError::Length)?;
            proposals.push(Self::parse(reader.take(length)?)?);
            if more == reader.is_empty() {
                return Err(ParseError::Length);
            }
            if !more {
                return Ok(proposals);
            }
            if proposals.len() == MAX_PROPOSALS {
                return Err(ParseError::TooMany);
            }
        }
    }

    fn parse(body: &[u8]) -> Result<Self, ParseError> {
        let mut reader = Reader::new(body);
        let number = reader.u8()?;
        let protocol = reader.u8()?;
        let spi_bytes = reader.u8()?;
        let count = reader.u8()?;
        let spi = reader.take(usize::from(spi_bytes))?.to_vec();
        let mut transforms = Vec::new();
        for index in 1..=count {
            let more = more_follows(reader.u8()?, 3)?;
            if more != (index < count) {
                return Err(ParseError::Length);
            }
            let _reserved = reader.u8()?;
            let length = usize::from(reader.u16()?).checked_sub(4).ok_or(ParseError::Length)?;
            transforms.push(Transform::parse(reader.take(length)?)?);
        }
        if !reader.is_empty() {
            return Err(ParseError::Length);
        }
        Ok(Self { number, protocol, spi, transforms })
    }

    /// Writes the proposal with its own header.
    pub(crate) fn write(&self, last: bool, out: &mut Vec<u8>) {
        let length = 8 + self.spi.len() + self.transforms.iter().map(Transform::wire_bytes).sum::<usize>();
        out.extend_from_slice(&[if last { 0 } else { 2 }, 0]);
        out.extend_from_slice(&(length as u16).to_be_bytes());
        out.extend_from_slice(&[self.number, self.protocol, self.spi.len() as u8, self.transforms.len() as u8]);
        out.extend_from_slice(&self.spi);
        for (index, transform) in self.transforms.iter().enumerate() {
            transform.write(index + 1 == self.transforms.len(), out);
        }
    }
}

/// One transform.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Transform {
    pub(crate) kind: u8,
    pub(crate) id: u16,
    pub(crate) key_bits: Option<u16>,
    /// It carries an attribute we do not know, so it is not acceptable (RFC 7296 §3.3.6).
    pub(crate) strange: bool,
}

impl Transform {
    /// A transform without attributes.
    pub(crate) fn plain(kind: u8, id: u16) -> Self {
        Self { kind, id, key_bits: None, strange: false }
    }

    /// A cipher, with its key length unless it has only one.
    pub(crate) fn cipher(id: u16, key_bits: Option<u16>) -> Self {
        Self { kind: ENCR, id, key_bits, strange: false }
    }

    fn parse(body: &[u8]) -> Result<Self, ParseError> {
        let mut reader = Reader::new(body);
        let kind = reader.u8()?;
        let _reserved = reader.u8()?;
        let id = reader.u16()?;
        let mut transform = Self::plain(kind, id);
        while !reader.is_empty() {
            let attribute = reader.u16()?;
            let value = reader.u16()?;
            if attribute == KEY_LENGTH {
                // RFC 7296 §3.3.5: an attribute stands there at most once.
                transform.strange |= transform.key_bits.replace(value).is_some();
            } else {
                transform.strange = true;
                // Attributes with the top bit clear carry `value` bytes of data.
                if attribute & 0x8000 == 0 {
                    reader.take(usize::from(value))?;
                }
            }
        }
        Ok(transform)
    }

    fn write(&self, last: bool, out: &mut Vec<u8>) {
        out.extend_from_slice(&[if last { 0 } else { 3 }, 0]);
        out.extend_from_slice(&(self.wire_bytes() as u16).to_be_bytes());
        out.extend_from_slice(&[self.kind, 0]);
        out.extend_from_slice(&self.id.to_be_bytes());
        if let Some(bits) = self.key_bits {
            out.extend_from_slice(&KEY_LENGTH.to_be_bytes());
            out.extend_from_slice(&bits.to_be_bytes());
        }
    }

    fn wire_bytes(&self) -> usize {
        8 + if self.key_bits.is_some() { 4 } else { 0 }
    }
}

/// The "last substructure" byte: 0 for the last one, `marker` otherwise.
fn more_follows(byte: u8, marker: u8) -> Result<bool, ParseError> {
    match byte {
        0 => Ok(false),
        b if b == marker => Ok(true),
        _ => Err(ParseError::Illegal(kind::SA)),
    }
}

/// Attribute type 14 in its short form.
const KEY_LENGTH: u16 = 0x800e;
const MAX_PROPOSALS: usize = 64;
