//! What is kept of a payload: its type, its length, and the bytes of it that may be shown.

use crate::message::kind;

/// One payload as it is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Kept<'a> {
    /// The payload type; [`BROKEN`] and [`CUT`] stand for what follows.
    pub(super) kind: u8,
    pub(super) critical: bool,
    /// Bytes of its body in the message.
    pub(super) length: usize,
    /// The first bytes of its body, as far as they may be shown.
    pub(super) bytes: &'a [u8],
}

/// From here on the bytes are no payloads.
pub(super) const BROKEN: u8 = 0;
/// From here on nothing was kept, for it would have been too much.
pub(super) const CUT: u8 = 1;

/// Adds the chain that begins with a payload of type `first` to what is kept.
pub(super) fn keep(first: u8, mut chain: &[u8], out: &mut Vec<u8>) {
    let mut current = first;
    while current != kind::NONE {
        let Some((&[next, critical, high, low], rest)) = chain.split_first_chunk::<4>() else {
            return push(out, BROKEN, 0, 0, &[]);
        };
        let length = usize::from(u16::from_be_bytes([high, low]));
        let Some((body, rest)) = length.checked_sub(4).and_then(|length| rest.split_at_checked(length)) else {
            return push(out, BROKEN, 0, 0, &[]);
        };
        let shown = body.get(..shown(current, body).min(body.len())).unwrap_or_default();
        if out.len() + HEAD + shown.len() > MOST_BYTES {
            return push(out, CUT, 0, 0, &[]);
        }
        push(out, current, critical, body.len(), shown);
        // RFC 7296 §3.14, RFC 7383 §2.5: what "next payload" names is inside.
        if current == kind::ENCRYPTED || current == FRAGMENT {
            return;
        }
        (current, chain) = (next, rest);
    }
    if !chain.is_empty() {
        push(out, BROKEN, 0, 0, &[]);
    }
}

/// Reads what was kept.
pub(super) fn kept(mut bytes: &[u8]) -> impl Iterator<Item = Kept<'_>> {
    std::iter::from_fn(move || {
        let (&[kind, critical, a, b, c, d], rest) = bytes.split_first_chunk::<HEAD>()?;
        let (body, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes([c, d])))?;
        bytes = rest;
        let length = usize::from(u16::from_be_bytes([a, b]));
        Some(Kept { kind, critical: critical & 0x80 != 0, length, bytes: body })
    })
}

fn push(out: &mut Vec<u8>, kind: u8, critical: u8, length: usize, shown: &[u8]) {
    out.extend_from_slice(&[kind, critical]);
    out.extend_from_slice(&(length as u16).to_be_bytes());
    out.extend_from_slice(&(shown.len() as u16).to_be_bytes());
    out.extend_from_slice(shown);
}

/// How many of a body's first bytes may be shown: a list of what is harmless, so that what is new is not.
fn shown(current: u8, body: &[u8]) -> usize {
    match current {
        kind::SA => 700,
        // The group, without the value.
        kind::KE => 2,
        kind::ID_I | kind::ID_R => 132,
        // The encoding, method, or type.
        kind::CERTIFICATE | kind::CERTIFICATE_REQUEST | kind::AUTH | kind::CONFIGURATION | kind::EAP => 1,
        kind::NOTIFY => {
            let spi = body.get(1).map_or(0, |bytes| usize::from(*bytes));
            let notify = body.get(2..4).and_then(|bytes| <[u8; 2]>::try_from(bytes).ok()).map_or(0, u16::from_be_bytes);
            4 + spi + data_shown(notify)
        }
        kind::DELETE => 4 + 16 * 4,
        kind::VENDOR_ID => 32,
        kind::TS_I | kind::TS_R => 4 + 8 * 40,
        // Which fragment of how many.
        FRAGMENT => 4,
        _ => 0,
    }
}

/// How many bytes of a notification's data may be shown.
fn data_shown(notify: u16) -> usize {
    match notify {
        // UNSUPPORTED_CRITICAL_PAYLOAD: which.
        1 => 1,
        // INVALID_MESSAGE_ID, INVALID_SPI, SET_WINDOW_SIZE, AUTH_LIFETIME: a number.
        9 | 11 | 16385 | 16403 => 4,
        // INVALID_KE_PAYLOAD: the group wanted.
        17 => 2,
        // NAT_DETECTION: a hash of what stands in the headers.
        16388 | 16389 => 20,
        // SIGNATURE_HASH_ALGORITHMS: numbers.
        16431 => 16,
        _ => 0,
    }
}

const HEAD: usize = 6;
/// Encrypted Fragment (RFC 7383 §2.5).
pub(super) const FRAGMENT: u8 = 53;
/// Bytes kept of one message.
const MOST_BYTES: usize = 1024;
