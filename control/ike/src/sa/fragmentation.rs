//! Messages in several datagrams, so that IP need not fragment them (RFC 7383).

use zeroize::Zeroizing;

use crate::crypto::Protection;
use crate::message::{Chain, HEADER_BYTES, Header, kind};
use rand_core::CryptoRng;

/// Seals a message: in one datagram if it fits or may not be fragmented, else in several.
pub(super) fn seal(
    protection: &mut Protection,
    header: Header,
    chain: &Chain,
    fragmented: bool,
    rng: &mut dyn CryptoRng,
) -> Vec<Vec<u8>> {
    let room = LARGEST_DATAGRAM - HEADER_BYTES - FRAGMENT_OVERHEAD;
    let count = chain.bytes().len().div_ceil(room);
    if !fragmented || count <= 1 || count > MAX_FRAGMENTS {
        return vec![protection.seal(header, chain, rng)];
    }
    let parts = (1..).zip(chain.bytes().chunks(room));
    parts
        .map(|(number, part)| {
            // RFC 7383 §2.5: the first one tells what the first payload is, the others tell nothing.
            let first = if number == 1 { chain.first() } else { kind::NONE };
            protection.seal_part(header, first, part, Some((number, count as u16)), rng)
        })
        .collect()
}

/// The fragments of one message that have arrived, each of them authenticated.
#[derive(Debug, Default)]
pub(super) struct Reassembly {
    message_id: u32,
    response: bool,
    first: u8,
    parts: Vec<Option<Zeroizing<Vec<u8>>>>,
    /// The digest of fragment 1, by which a repeated request is known (RFC 7383 §2.6.1).
    digest: [u8; 32],
}

/// What a fragment has done.
pub(super) enum Reassembled {
    /// Others are missing.
    Waiting,
    /// The message is complete: its first payload's type, its payloads, the digest of its first fragment.
    Complete(u8, Zeroizing<Vec<u8>>, [u8; 32]),
}

impl Reassembly {
    /// Takes an authenticated fragment in. One message is put together at a time, as the window is one: a fragment of
    /// another one begins anew.
    pub(super) fn take(
        &mut self,
        header: Header,
        first: u8,
        (number, count): (u16, u16),
        plain: Zeroizing<Vec<u8>>,
        digest: [u8; 32],
    ) -> Reassembled {
        let count = usize::from(count);
        if count > MAX_FRAGMENTS {
            return Reassembled::Waiting;
        }
        let same = self.message_id == header.message_id && self.response == header.response;
        // RFC 7383 §2.6: the peer may repeat the message in more and smaller fragments, not in fewer.
        if !same || count > self.parts.len() {
            *self = Self { message_id: header.message_id, response: header.response, ..Self::default() };
            self.parts.resize_with(count, || None);
        }
        if count < self.parts.len() {
            return Reassembled::Waiting;
        }
        if number == 1 {
            self.first = first;
            self.digest = digest;
        }
        let held: usize = self.parts.iter().flatten().map(|part| part.len()).sum();
        if held + plain.len() > LARGEST_MESSAGE {
            *self = Self::default();
            return Reassembled::Waiting;
        }
        if let Some(part) = self.parts.get_mut(usize::from(number) - 1) {
            *part = Some(plain);
        }
        if self.parts.iter().any(Option::is_none) {
            return Reassembled::Waiting;
        }
        let bytes = self.parts.iter().flatten().map(|part| part.len()).sum();
        let mut whole = Zeroizing::new(Vec::with_capacity(bytes));
        self.parts.iter().flatten().for_each(|part| whole.extend_from_slice(part));
        let complete = Reassembled::Complete(self.first, whole, self.digest);
        *self = Self::default();
        complete
    }
}

/// What a datagram of IKE may have, without IP, UDP and the non-ESP marker: with them it fits in the 1280 bytes that
/// every IPv6 link carries, which IPv4 paths carry, too (RFC 7383 §2.5.1).
const LARGEST_DATAGRAM: usize = 1280 - 40 - 8 - 4;
/// The SKF payload's headers, and the most that any cipher adds.
const FRAGMENT_OVERHEAD: usize = 8 + 16 + 16 + 32;
/// What all fragments of a message may have together.
const LARGEST_MESSAGE: usize = 65_535;
/// No message of ours or of a sane peer is larger than so many fragments: 74 kilobytes.
const MAX_FRAGMENTS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::ExchangeType;

    fn header(message_id: u32) -> Header {
        Header {
            initiator_spi: 1,
            responder_spi: 2,
            next_payload: 0,
            exchange: ExchangeType::IkeAuth,
            from_initiator: true,
            response: false,
            message_id,
        }
    }

    fn part(bytes: &[u8]) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(bytes.to_vec())
    }

    #[test]
    fn any_order_and_repetition_and_no_mixing() {
        let mut reassembly = Reassembly::default();
        let mut take = |id, first, place, bytes: &[u8]| match reassembly.take(
            header(id),
            first,
            place,
            part(bytes),
            [place.0 as u8; 32],
        ) {
            Reassembled::Waiting => None,
            Reassembled::Complete(first, whole, digest) => Some((first, whole.to_vec(), digest[0])),
        };
        assert_eq!(take(1, 0, (3, 3), b"c"), None);
        assert_eq!(take(1, 0, (3, 3), b"c"), None);
        assert_eq!(take(1, 35, (1, 3), b"a"), None);
        // In fewer than before: not believed. In more: all anew.
        assert_eq!(take(1, 0, (2, 2), b"x"), None);
        assert_eq!(take(1, 0, (2, 3), b"b"), Some((35, b"abc".to_vec(), 1)));
        assert_eq!(take(2, 35, (1, 2), b"a"), None);
        assert_eq!(take(2, 35, (1, 3), b"d"), None);
        assert_eq!(take(2, 0, (2, 3), b"e"), None);
        // Of another message: the one before is given up.
        assert_eq!(take(3, 0, (2, 2), b"y"), None);
        assert_eq!(take(2, 0, (3, 3), b"f"), None);
        assert_eq!(take(9, 0, (1, 65535), b"z"), None);
    }
}
