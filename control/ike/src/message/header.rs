//! The IKE header (RFC 7296 §3.1).

use super::ParseError;
use super::reader::Reader;

/// The header's length.
pub(crate) const HEADER_BYTES: usize = 28;

/// The header without its length field, which always equals the datagram's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) initiator_spi: u64,
    pub(crate) responder_spi: u64,
    pub(crate) next_payload: u8,
    pub(crate) exchange: ExchangeType,
    /// Sent by the IKE SA's original initiator.
    pub(crate) from_initiator: bool,
    pub(crate) response: bool,
    pub(crate) message_id: u32,
}

impl Header {
    /// Reads the header and checks the length field against the datagram.
    pub(crate) fn parse(datagram: &[u8]) -> Result<Self, ParseError> {
        let mut reader = Reader::new(datagram);
        let initiator_spi = reader.u64()?;
        let responder_spi = reader.u64()?;
        let next_payload = reader.u8()?;
        let version = reader.u8()?;
        let exchange = ExchangeType::from_wire(reader.u8()?);
        let flags = reader.u8()?;
        let message_id = reader.u32()?;
        let length = reader.u32()?;
        // RFC 7296 §3.1: the minor version and the V flag are ignored on receipt.
        if version >> 4 != 2 {
            return Err(ParseError::Version(version >> 4));
        }
        if usize::try_from(length) != Ok(datagram.len()) {
            return Err(ParseError::Length);
        }
        if initiator_spi == 0 {
            return Err(ParseError::Illegal(0));
        }
        Ok(Self {
            initiator_spi,
            responder_spi,
            next_payload,
            exchange,
            from_initiator: flags & FLAG_INITIATOR != 0,
            response: flags & FLAG_RESPONSE != 0,
            message_id,
        })
    }

    /// Writes the header for a datagram of `length` bytes.
    pub(crate) fn write(&self, length: usize, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.initiator_spi.to_be_bytes());
        out.extend_from_slice(&self.responder_spi.to_be_bytes());
        let flags =
            if self.from_initiator { FLAG_INITIATOR } else { 0 } | if self.response { FLAG_RESPONSE } else { 0 };
        out.extend_from_slice(&[self.next_payload, 0x20, self.exchange.to_wire(), flags]);
        out.extend_from_slice(&self.message_id.to_be_bytes());
        out.extend_from_slice(&(length as u32).to_be_bytes());
    }
}

/// The exchange type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ExchangeType {
    IkeSaInit,
    IkeAuth,
    CreateChildSa,
    Informational,
    IkeIntermediate,
    IkeFollowupKe,
    Other(u8),
}

impl ExchangeType {
    pub(crate) fn from_wire(value: u8) -> Self {
        match value {
            34 => Self::IkeSaInit,
            35 => Self::IkeAuth,
            36 => Self::CreateChildSa,
            37 => Self::Informational,
            43 => Self::IkeIntermediate,
            44 => Self::IkeFollowupKe,
            other => Self::Other(other),
        }
    }

    fn to_wire(self) -> u8 {
        match self {
            Self::IkeSaInit => 34,
            Self::IkeAuth => 35,
            Self::CreateChildSa => 36,
            Self::Informational => 37,
            Self::IkeIntermediate => 43,
            Self::IkeFollowupKe => 44,
            Self::Other(other) => other,
        }
    }
}

const FLAG_INITIATOR: u8 = 0x08;
const FLAG_RESPONSE: u8 = 0x20;
