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
    pub(crate) const INVALID_IKE_SPI: u16 = 4;
    pub(crate) const INVALID_MAJOR_VERSION: u16 = 5;
    pub(crate) const INVALID_SYNTAX: u16 = 7;
    pub(crate) const NO_PROPOSAL_CHOSEN: u16 = 14;
    pub(crate) const INVALID_KE_PAYLOAD: u16 = 17;
    pub(crate) const AUTHENTICATION_FAILED: u16 = 24;
    pub(crate) const NO_ADDITIONAL_SAS: u16 = 35;
    pub(crate) const TS_UNACCEPTABLE: u16 = 38;
    pub(crate) const UNACCEPTABLE_ADDRESSES: u16 = 40;
    pub(crate) const UNEXPECTED_NAT_DETECTED: u16 = 41;
    pub(crate) const TEMPORARY_FAILURE: u16 = 43;
    pub(crate) const CHILD_SA_NOT_FOUND: u16 = 44;
    pub(crate) const STATE_NOT_FOUND: u16 = 47;
    pub(crate) const TS_MAX_QUEUE: u16 = 48;
    pub(crate) const REKEY_SA: u16 = 16393;
    pub(crate) const INITIAL_CONTACT: u16 = 16384;
    pub(crate) const NAT_DETECTION_SOURCE_IP: u16 = 16388;
    pub(crate) const NAT_DETECTION_DESTINATION_IP: u16 = 16389;
    pub(crate) const COOKIE: u16 = 16390;
    pub(crate) const MOBIKE_SUPPORTED: u16 = 16396;
    pub(crate) const UPDATE_SA_ADDRESSES: u16 = 16400;
    pub(crate) const COOKIE2: u16 = 16401;
    pub(crate) const NO_NATS_ALLOWED: u16 = 16402;
    pub(crate) const AUTH_LIFETIME: u16 = 16403;
    pub(crate) const REDIRECT_SUPPORTED: u16 = 16406;
    pub(crate) const REDIRECT: u16 = 16407;
    pub(crate) const REDIRECTED_FROM: u16 = 16408;
    pub(crate) const CHILDLESS_IKEV2_SUPPORTED: u16 = 16418;
    pub(crate) const QUICK_CRASH_DETECTION: u16 = 16419;
    pub(crate) const FRAGMENTATION_SUPPORTED: u16 = 16430;
    pub(crate) const USE_PPK: u16 = 16435;
    pub(crate) const PPK_IDENTITY: u16 = 16436;
    pub(crate) const NO_PPK_AUTH: u16 = 16437;
    pub(crate) const INTERMEDIATE_EXCHANGE_SUPPORTED: u16 = 16438;
    pub(crate) const ADDITIONAL_KEY_EXCHANGE: u16 = 16441;
    /// RFC 7427 §4.
    pub(crate) const SIGNATURE_HASH_ALGORITHMS: u16 = 16431;
    pub(crate) const SA_RESOURCE_INFO: u16 = 16444;
}

/// A notify message type as IANA's registry of IKEv2 parameters names it.
pub(crate) fn name(kind: u16) -> &'static str {
    match kind {
        kind::UNSUPPORTED_CRITICAL_PAYLOAD => "UNSUPPORTED_CRITICAL_PAYLOAD",
        kind::INVALID_IKE_SPI => "INVALID_IKE_SPI",
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
        kind::UNACCEPTABLE_ADDRESSES => "UNACCEPTABLE_ADDRESSES",
        kind::UNEXPECTED_NAT_DETECTED => "UNEXPECTED_NAT_DETECTED",
        42 => "USE_ASSIGNED_HoA",
        kind::TEMPORARY_FAILURE => "TEMPORARY_FAILURE",
        kind::CHILD_SA_NOT_FOUND => "CHILD_SA_NOT_FOUND",
        45 => "INVALID_GROUP_ID",
        46 => "AUTHORIZATION_FAILED",
        kind::STATE_NOT_FOUND => "STATE_NOT_FOUND",
        kind::TS_MAX_QUEUE => "TS_MAX_QUEUE",
        kind::INITIAL_CONTACT => "INITIAL_CONTACT",
        16385 => "SET_WINDOW_SIZE",
        16386 => "ADDITIONAL_TS_POSSIBLE",
        16387 => "IPCOMP_SUPPORTED",
        kind::NAT_DETECTION_SOURCE_IP => "NAT_DETECTION_SOURCE_IP",
        kind::NAT_DETECTION_DESTINATION_IP => "NAT_DETECTION_DESTINATION_IP",
        kind::COOKIE => "COOKIE",
        16391 => "USE_TRANSPORT_MODE",
        16392 => "HTTP_CERT_LOOKUP_SUPPORTED",
        kind::REKEY_SA => "REKEY_SA",
        16394 => "ESP_TFC_PADDING_NOT_SUPPORTED",
        16395 => "NON_FIRST_FRAGMENTS_ALSO",
        kind::MOBIKE_SUPPORTED => "MOBIKE_SUPPORTED",
        16397 => "ADDITIONAL_IP4_ADDRESS",
        16398 => "ADDITIONAL_IP6_ADDRESS",
        16399 => "NO_ADDITIONAL_ADDRESSES",
        kind::UPDATE_SA_ADDRESSES => "UPDATE_SA_ADDRESSES",
        kind::COOKIE2 => "COOKIE2",
        kind::NO_NATS_ALLOWED => "NO_NATS_ALLOWED",
        kind::AUTH_LIFETIME => "AUTH_LIFETIME",
        16404 => "MULTIPLE_AUTH_SUPPORTED",
        16405 => "ANOTHER_AUTH_FOLLOWS",
        kind::REDIRECT_SUPPORTED => "REDIRECT_SUPPORTED",
        kind::REDIRECT => "REDIRECT",
        kind::REDIRECTED_FROM => "REDIRECTED_FROM",
        16409 => "TICKET_LT_OPAQUE",
        16410 => "TICKET_REQUEST",
        16411 => "TICKET_ACK",
        16412 => "TICKET_NACK",
        16413 => "TICKET_OPAQUE",
        16414 => "LINK_ID",
        16415 => "USE_WESP_MODE",
        16416 => "ROHC_SUPPORTED",
        16417 => "EAP_ONLY_AUTHENTICATION",
        kind::CHILDLESS_IKEV2_SUPPORTED => "CHILDLESS_IKEV2_SUPPORTED",
        kind::QUICK_CRASH_DETECTION => "QUICK_CRASH_DETECTION",
        16420 => "IKEV2_MESSAGE_ID_SYNC_SUPPORTED",
        16421 => "IPSEC_REPLAY_COUNTER_SYNC_SUPPORTED",
        16422 => "IKEV2_MESSAGE_ID_SYNC",
        16423 => "IPSEC_REPLAY_COUNTER_SYNC",
        16424 => "SECURE_PASSWORD_METHODS",
        16425 => "PSK_PERSIST",
        16426 => "PSK_CONFIRM",
        16427 => "ERX_SUPPORTED",
        16428 => "IFOM_CAPABILITY",
        16429 => "GROUP_SENDER",
        kind::FRAGMENTATION_SUPPORTED => "IKEV2_FRAGMENTATION_SUPPORTED",
        16431 => "SIGNATURE_HASH_ALGORITHMS",
        16432 => "CLONE_IKE_SA_SUPPORTED",
        16433 => "CLONE_IKE_SA",
        16434 => "PUZZLE",
        kind::USE_PPK => "USE_PPK",
        kind::PPK_IDENTITY => "PPK_IDENTITY",
        kind::NO_PPK_AUTH => "NO_PPK_AUTH",
        kind::INTERMEDIATE_EXCHANGE_SUPPORTED => "INTERMEDIATE_EXCHANGE_SUPPORTED",
        16439 => "IP4_ALLOWED",
        16440 => "IP6_ALLOWED",
        16441 => "ADDITIONAL_KEY_EXCHANGE",
        16442 => "USE_AGGFRAG",
        16443 => "SUPPORTED_AUTH_METHODS",
        kind::SA_RESOURCE_INFO => "SA_RESOURCE_INFO",
        _ => "not known here",
    }
}
