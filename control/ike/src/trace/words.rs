//! What was kept of a message, in words.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::payload::{BROKEN, CUT, FRAGMENT, Kept, kept};
use super::{TraceDirection, TraceEntry, TraceMark};
use crate::algorithm::KeGroup;
use crate::identity::Identity;
use crate::message::{Proposal, kind, notify_name, protocol};
use crate::negotiation::describe;
use crate::sa::nat_detection_hash;
use crate::selector::TrafficSelector;

/// One payload in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TracePayload {
    /// Its type as RFC 7296 §3.2 writes it, such as `SA` or `TSi`; a number where it is not known.
    pub name: String,
    /// What it holds, without anything secret. May be empty.
    pub text: String,
}

/// All payloads of a message.
pub(super) fn all(entry: &TraceEntry) -> Vec<TracePayload> {
    kept(&entry.kept).map(|payload| one(&payload, entry)).collect()
}

/// An exchange type.
pub(super) fn exchange(version: u8, exchange: u8) -> String {
    let name = match (version, exchange) {
        (1, 2) => "Main Mode",
        (1, 4) => "Aggressive Mode",
        (1, 5) => "Informational",
        (1, 32) => "Quick Mode",
        (2, 34) => "IKE_SA_INIT",
        (2, 35) => "IKE_AUTH",
        (2, 36) => "CREATE_CHILD_SA",
        (2, 37) => "INFORMATIONAL",
        (2, 38) => "IKE_SESSION_RESUME",
        (2, 43) => "IKE_INTERMEDIATE",
        (2, 44) => "IKE_FOLLOWUP_KE",
        _ => return format!("exchange {exchange}"),
    };
    name.to_owned()
}

fn one(payload: &Kept<'_>, entry: &TraceEntry) -> TracePayload {
    let Kept { bytes, length, .. } = *payload;
    let (name, text) = match payload.kind {
        BROKEN => ("malformed", "from here on the bytes are no payloads".to_owned()),
        CUT => ("more", "not kept, for the message is too long".to_owned()),
        kind::SA => ("SA", proposals(bytes, length)),
        kind::KE => ("KE", format!("{}, {} bytes", group(bytes), length.saturating_sub(4))),
        kind::ID_I => ("IDi", identity(bytes, length)),
        kind::ID_R => ("IDr", identity(bytes, length)),
        kind::CERTIFICATE => ("CERT", format!("{}, {length} bytes", encoding(bytes))),
        kind::CERTIFICATE_REQUEST => ("CERTREQ", format!("{}, {length} bytes", encoding(bytes))),
        kind::AUTH => ("AUTH", method(bytes)),
        kind::NONCE => ("Nonce", format!("{length} bytes")),
        kind::NOTIFY => ("N", notify(bytes, length, entry)),
        kind::DELETE => ("D", delete(bytes, length)),
        kind::VENDOR_ID => ("V", vendor(bytes)),
        kind::TS_I => ("TSi", selectors(bytes, length)),
        kind::TS_R => ("TSr", selectors(bytes, length)),
        kind::ENCRYPTED => ("SK", encrypted(length, entry)),
        kind::CONFIGURATION => ("CP", configuration(bytes).to_owned()),
        kind::EAP => ("EAP", eap(bytes).to_owned()),
        FRAGMENT => ("SKF", fragment(bytes, length)),
        other => {
            let critical = if payload.critical { ", critical" } else { "" };
            return TracePayload {
                name: format!("payload {other}"),
                text: format!("not known here, {length} bytes{critical}"),
            };
        }
    };
    TracePayload { name: name.to_owned(), text }
}

/// Each proposal by the names of the configuration.
fn proposals(mut bytes: &[u8], length: usize) -> String {
    let mut words = Vec::new();
    let mut read = 0;
    while let Some(&[_, _, high, low]) = bytes.first_chunk::<4>() {
        let Some((proposal, rest)) = bytes.split_at_checked(usize::from(u16::from_be_bytes([high, low])).max(4)) else {
            break;
        };
        // On its own each is the last one.
        let mut alone = proposal.to_vec();
        alone.iter_mut().take(1).for_each(|last| *last = 0);
        match Proposal::parse_all(&alone).as_deref() {
            Ok([one]) => words.push(proposal_words(one)),
            Ok(_) | Err(_) => words.push("a malformed proposal".to_owned()),
        }
        read += proposal.len();
        bytes = rest;
    }
    if read < length {
        words.push(format!("{} more bytes", length - read));
    }
    words.join("; ")
}

fn proposal_words(proposal: &Proposal) -> String {
    let protocol = match proposal.protocol {
        protocol::IKE => "IKE".to_owned(),
        2 => "AH".to_owned(),
        protocol::ESP => "ESP".to_owned(),
        other => format!("protocol {other}"),
    };
    let spi = if proposal.spi.is_empty() { String::new() } else { format!(" SPI {}", hex(&proposal.spi)) };
    format!("{} {protocol}{spi} {}", proposal.number, describe(std::slice::from_ref(proposal)))
}

fn group(bytes: &[u8]) -> String {
    let Some(id) = number16(bytes) else { return "no group".to_owned() };
    KeGroup::from_id(id).map_or_else(|| format!("group {id}"), |group| format!("group {id} ({group})"))
}

fn identity(bytes: &[u8], length: usize) -> String {
    let Some((&[kind, _, _, _], data)) = bytes.split_first_chunk::<4>() else { return format!("{length} bytes") };
    let cut = if length > bytes.len() { "..." } else { "" };
    let of = match kind {
        1 | 5 => "address",
        2 => "name",
        3 => "e-mail",
        9 => "DN",
        11 => "key id",
        _ => "other",
    };
    format!("{}{cut} ({of})", Identity::from_wire(kind, data))
}

fn encoding(bytes: &[u8]) -> String {
    match bytes.first() {
        Some(4) => "X.509 certificate".to_owned(),
        Some(7) => "certificate revocation list".to_owned(),
        Some(11) => "raw RSA key".to_owned(),
        Some(12) => "hash and URL of a certificate".to_owned(),
        Some(13) => "hash and URL of a bundle".to_owned(),
        Some(15) => "raw public key".to_owned(),
        Some(other) => format!("encoding {other}"),
        None => "no encoding".to_owned(),
    }
}

fn method(bytes: &[u8]) -> String {
    match bytes.first() {
        Some(1) => "RSA signature".to_owned(),
        Some(2) => "pre-shared key".to_owned(),
        Some(9) => "ECDSA with SHA-256 on P-256".to_owned(),
        Some(10) => "ECDSA with SHA-384 on P-384".to_owned(),
        Some(11) => "ECDSA with SHA-512 on P-521".to_owned(),
        Some(13) => "none (RFC 7619)".to_owned(),
        Some(14) => "digital signature (RFC 7427)".to_owned(),
        Some(other) => format!("method {other}"),
        None => "no method".to_owned(),
    }
}

fn notify(bytes: &[u8], length: usize, entry: &TraceEntry) -> String {
    let Some((&[of, spi_bytes, high, low], rest)) = bytes.split_first_chunk::<4>() else {
        return format!("{length} bytes");
    };
    let number = u16::from_be_bytes([high, low]);
    let (spi, data) = rest.split_at_checked(usize::from(spi_bytes)).unwrap_or((rest, &[]));
    let name = notify_name(number);
    let name = if name == UNKNOWN { format!("type {number}") } else { name.to_owned() };
    let data_bytes = length.saturating_sub(4 + spi.len());
    let mut text = name;
    if !spi.is_empty() {
        let of = match of {
            protocol::IKE => "IKE SPI",
            2 => "AH SPI",
            _ => "ESP SPI",
        };
        text += &format!(" {of} {}", hex(spi));
    }
    match (number, data) {
        (1, &[payload]) => text += &format!(": payload {payload}"),
        (9 | 16385 | 16403, &[a, b, c, d]) => text += &format!(": {}", u32::from_be_bytes([a, b, c, d])),
        (11, spi @ &[_, _, _, _]) => text += &format!(": SPI {}", hex(spi)),
        (17, data) => text += &format!(": {} is wanted", group(data)),
        (SOURCE_IP | DESTINATION_IP, hash) if hash.len() == 20 => {
            // RFC 7296 §2.23: the sender hashes its own address as the source.
            let own = (number == SOURCE_IP) == (entry.direction == TraceDirection::Sent);
            let address = if own { entry.local } else { entry.remote };
            let spis = (entry.header.initiator_spi, entry.header.responder_spi);
            let same = nat_detection_hash(spis, address) == hash;
            text += if same { ": as we see it" } else { ": another address or port than we see, so a NAT" };
        }
        (16431, hashes) => text += &format!(": {}", hash_algorithms(hashes)),
        (_, _) if data_bytes > 0 => text += &format!(": {data_bytes} bytes"),
        (_, _) => {}
    }
    text
}

fn hash_algorithms(data: &[u8]) -> String {
    let name = |pair: &[u8]| match number16(pair) {
        Some(1) => "sha1".to_owned(),
        Some(2) => "sha256".to_owned(),
        Some(3) => "sha384".to_owned(),
        Some(4) => "sha512".to_owned(),
        Some(5) => "identity".to_owned(),
        Some(other) => other.to_string(),
        None => "?".to_owned(),
    };
    data.chunks(2).map(name).collect::<Vec<_>>().join(", ")
}

fn delete(bytes: &[u8], length: usize) -> String {
    let Some((&[of, spi_bytes, high, low], spis)) = bytes.split_first_chunk::<4>() else {
        return format!("{length} bytes");
    };
    if of == protocol::IKE {
        return "this IKE SA".to_owned();
    }
    let count = usize::from(u16::from_be_bytes([high, low]));
    let shown: Vec<String> = spis.chunks(usize::from(spi_bytes).max(1)).take(count).map(hex).collect();
    let more = if shown.len() < count { format!(" and {} more", count - shown.len()) } else { String::new() };
    let of = if of == protocol::ESP { "ESP" } else { "AH" };
    format!("{of} SPI {}{more}", shown.join(", "))
}

fn vendor(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) if text.chars().all(|c| c.is_ascii_graphic() || c == ' ') => format!("\"{text}\""),
        Ok(_) | Err(_) => hex(bytes),
    }
}

fn selectors(bytes: &[u8], length: usize) -> String {
    let Some((&[count, _, _, _], mut rest)) = bytes.split_first_chunk::<4>() else { return format!("{length} bytes") };
    let mut words = Vec::new();
    while let Some(&[kind, protocol, high, low]) = rest.first_chunk::<4>() {
        let selector = usize::from(u16::from_be_bytes([high, low]));
        let Some((selector, behind)) = rest.split_at_checked(selector.max(4)) else { break };
        words.push(selector_words(kind, protocol, selector.get(4..).unwrap_or(&[])));
        rest = behind;
    }
    if words.len() < usize::from(count) {
        words.push(format!("{} more", usize::from(count) - words.len()));
    }
    words.join(", ")
}

fn selector_words(kind: u8, protocol: u8, body: &[u8]) -> String {
    let ends = body.split_first_chunk::<4>().and_then(|(&[a, b, c, d], addresses)| {
        let ports = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
        let (start, end) = addresses.split_at_checked(addresses.len() / 2)?;
        let address = |bytes: &[u8]| -> Option<IpAddr> {
            match kind {
                7 => <[u8; 4]>::try_from(bytes).ok().map(|bytes| Ipv4Addr::from(bytes).into()),
                8 => <[u8; 16]>::try_from(bytes).ok().map(|bytes| Ipv6Addr::from(bytes).into()),
                _ => None,
            }
        };
        TrafficSelector::new(address(start)?, address(end)?, protocol, ports).ok()
    });
    ends.map_or_else(|| format!("a selector of type {kind} that selects nothing"), |selector| selector.to_string())
}

fn encrypted(length: usize, entry: &TraceEntry) -> String {
    match entry.mark {
        TraceMark::Protected => format!("{length} bytes, holds"),
        TraceMark::NotOpened => format!("{length} bytes, could not be opened: damaged, forged, or of other keys"),
        TraceMark::Clear
        | TraceMark::Retransmission
        | TraceMark::Unexpected
        | TraceMark::Malformed
        | TraceMark::TooMany
        | TraceMark::OtherVersion => format!("{length} bytes, not opened"),
    }
}

fn fragment(bytes: &[u8], length: usize) -> String {
    match *bytes {
        [a, b, c, d] => {
            let (number, total) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
            format!("fragment {number} of {total}, {} bytes", length.saturating_sub(4))
        }
        _ => format!("{length} bytes"),
    }
}

fn configuration(bytes: &[u8]) -> &'static str {
    match bytes.first() {
        Some(1) => "request",
        Some(2) => "reply",
        Some(3) => "set",
        Some(4) => "acknowledgement",
        Some(_) | None => "of an unknown type",
    }
}

fn eap(bytes: &[u8]) -> &'static str {
    match bytes.first() {
        Some(1) => "request",
        Some(2) => "response",
        Some(3) => "success",
        Some(4) => "failure",
        Some(_) | None => "of an unknown code",
    }
}

fn number16(bytes: &[u8]) -> Option<u16> {
    bytes.first_chunk::<2>().map(|bytes| u16::from_be_bytes(*bytes))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What the table of names says of a type that is not in it.
const UNKNOWN: &str = "not known here";
const SOURCE_IP: u16 = 16388;
const DESTINATION_IP: u16 = 16389;
