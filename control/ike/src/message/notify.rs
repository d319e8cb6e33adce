//! Notify payloads (RFC 7296 §3.10).

use super::ParseError;
use super::reader::Reader;

/// A notification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Notify<'a> {
    /// 0 if it is about the IKE SA as a whole.
    pub(crate) protocol: u8,
    /// Of the SA that it is about; empty if it is about the IKE SA as a whole.
    pub(crate) spi: &'a [u8],
    pub(crate) kind: u16,
    pub(crate) data: &'a [u8],
}

impl<'a> Notify<'a> {
    pub(crate) fn parse(body: &'a [u8]) -> Result<Self, ParseError> {
        let mut reader = Reader::new(body);
        let protocol = reader.u8()?;
        let spi_bytes = reader.u8()?;
        let kind = reader.u16()?;
        let spi = reader.take(usize::from(spi_bytes))?;
        Ok(Self { protocol, spi, kind, data: reader.rest() })
    }

    /// RFC 7296 §3.10.1: types below 16384 are errors, the rest are status.
    pub(crate) fn is_error(&self) -> bool {
        self.kind < 16384
    }
}

/// The notify message types we act on.
pub(crate) mod kind {
    pub(crate) const UNSUPPORTED_CRITICAL_PAYLOAD: u16 = 1;
    pub(crate) const INVALID_MAJOR_VERSION: u16 = 5;
    pub(crate) const INVALID_SYNTAX: u16 = 7;
    pub(crate) const NO_PROPOSAL_CHOSEN: u16 = 14;
    pub(crate) const INVALID_KE_PAYLOAD: u16 = 17;
    pub(crate) const AUTHENTICATION_FAILED: u16 = 24;
    pub(crate) const NO_ADDITIONAL_SAS: u16 = 35;
    pub(crate) const TS_UNACCEPTABLE: u16 = 38;
    pub(crate) const TEMPORARY_FAILURE: u16 = 43;
    pub(crate) const CHILD_SA_NOT_FOUND: u16 = 44;
    pub(crate) const REKEY_SA: u16 = 16393;
    pub(crate) const INITIAL_CONTACT: u16 = 16384;
    pub(crate) const NAT_DETECTION_SOURCE_IP: u16 = 16388;
    pub(crate) const NAT_DETECTION_DESTINATION_IP: u16 = 16389;
    pub(crate) const COOKIE: u16 = 16390;
    pub(crate) const FRAGMENTATION_SUPPORTED: u16 = 16430;
    pub(crate) const INTERMEDIATE_EXCHANGE_SUPPORTED: u16 = 16438;
}

/// A notify message type in words.
pub(crate) fn name(kind: u16) -> &'static str {
    match kind {
        kind::UNSUPPORTED_CRITICAL_PAYLOAD => "UNSUPPORTED_CRITICAL_PAYLOAD",
        4 => "INVALID_IKE_SPI",
        kind::INVALID_MAJOR_VERSION => "INVALID_MAJOR_VERSION",
        kind::INVALID_SYNTAX => "INVALID_SYNTAX",
        9 => "INVALID_MESSAGE_ID",
        11 => "INVALID_SPI",
        kind::NO_PROPOSAL_CHOSEN => "NO_PROPOSAL_CHOSEN",
        kind::INVALID_KE_PAYLOAD => "INVALID_KE_PAYLOAD",
        kind::AUTHENTICATION_FAILED => "AUTHENTICATION_FAILED",
        34 => "SINGLE_PAIR_REQUIRED",
        kind::NO_ADDITIONAL_SAS => "NO_ADDITIONAL_SAS",
        36 => "INTERNAL_ADDRESS_FAILURE",
        37 => "FAILED_CP_REQUIRED",
        kind::TS_UNACCEPTABLE => "TS_UNACCEPTABLE",
        39 => "INVALID_SELECTORS",
        kind::TEMPORARY_FAILURE => "TEMPORARY_FAILURE",
        kind::CHILD_SA_NOT_FOUND => "CHILD_SA_NOT_FOUND",
        _ => "not known here",
    }
}
