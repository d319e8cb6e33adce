//! Bad packets, by what is wrong with them.

use std::collections::VecDeque;

use ::aead::{AssociatedData, Buffers, Key, Nonce, Seal, Tail};
use serde::Serialize;
use wire::{Link, checksum};
use worker::DropReason;

use super::BATCH;
use crate::pipeline::case::Case;
use crate::pipeline::world::{self, World};

/// What is wrong with a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// A known index and a fresh sequence number, but the last bit is another.
    BadTag,
    UnknownSpi,
    /// A packet that was opened in a batch before, byte for byte.
    Replayed,
    /// The packet in front of it in the batch once more: its number is known to be taken only after both were opened.
    Duplicated,
    /// It ends before the length that its IP header names.
    Truncated,
    /// Of the outer IP header.
    BadChecksum,
    /// Of the outer IP header: neither ESP nor UDP.
    UnknownProtocol,
    /// Authentic: only the peer itself can send it.
    UnknownNextHeader,
    /// Two fragments a packet, the second over the first.
    OverlappingFragments,
}

impl Class {
    pub const ALL: [Self; 9] = [
        Self::BadTag,
        Self::UnknownSpi,
        Self::Replayed,
        Self::Duplicated,
        Self::Truncated,
        Self::BadChecksum,
        Self::UnknownProtocol,
        Self::UnknownNextHeader,
        Self::OverlappingFragments,
    ];

    /// The name in figures.
    pub fn name(self) -> &'static str {
        match self {
            Self::BadTag => "bad_tag",
            Self::UnknownSpi => "unknown_spi",
            Self::Replayed => "replayed",
            Self::Duplicated => "duplicated",
            Self::Truncated => "truncated",
            Self::BadChecksum => "bad_checksum",
            Self::UnknownProtocol => "unknown_protocol",
            Self::UnknownNextHeader => "unknown_next_header",
            Self::OverlappingFragments => "overlapping_fragments",
        }
    }

    /// What the worker calls it.
    pub fn reasons(self) -> &'static [DropReason] {
        match self {
            Self::BadTag => &[DropReason::NotAuthentic],
            Self::UnknownSpi => &[DropReason::UnknownSpi],
            Self::Replayed | Self::Duplicated => &[DropReason::Replayed],
            Self::Truncated | Self::BadChecksum => &[DropReason::MalformedIp],
            Self::UnknownProtocol => &[DropReason::NotForGateway],
            Self::UnknownNextHeader => &[DropReason::UnexpectedNextHeader],
            Self::OverlappingFragments => &[DropReason::ReassemblyOverlap, DropReason::ReassemblyFull],
        }
    }
}

/// Bytes of the outer header.
const IP: usize = 20;
const ESP: usize = Link::UNTAGGED + IP;

/// Makes packets, good and bad.
pub struct Forger {
    key: Key,
    spi: u32,
    /// Good packets, the newest last: the oldest was opened in a batch before.
    passed: VecDeque<Vec<u8>>,
    /// Which half of a pair of fragments comes next, and of which packet.
    fragment: u32,
}

impl Forger {
    pub fn new(case: &Case) -> Self {
        let key = Key::new(case.suite, &world::key(case, 0)).expect("a key of the suite's length");
        Self { key, spi: world::spi(0).value(), passed: VecDeque::from(vec![Vec::new(); BATCH]), fragment: 0 }
    }

    /// A good packet.
    pub fn pass(&mut self, world: &mut World) {
        self.passed.pop_front();
        let passed = &mut self.passed;
        world.sealed(0, |frame, length| {
            passed.push_back(frame[..length].to_vec());
            length
        });
    }

    /// A bad packet.
    pub fn forge(&mut self, world: &mut World, class: Class) {
        let Self { key, spi, passed, fragment } = self;
        world.sealed(0, |frame, length| {
            match class {
                Class::BadTag => frame[length - 1] ^= 1,
                Class::UnknownSpi => frame[ESP] ^= 0x80,
                Class::Replayed => frame[..length].copy_from_slice(&passed[0]),
                Class::Duplicated => frame[..length].copy_from_slice(&passed[BATCH - 1]),
                Class::Truncated => return length - 16,
                Class::BadChecksum => frame[Link::UNTAGGED + 10] ^= 1,
                Class::UnknownProtocol => set_header(frame, |header| header[9] = 253),
                Class::UnknownNextHeader => seal(key, *spi, &mut frame[ESP..length], 253),
                Class::OverlappingFragments => {
                    let (packet, is_second) = (*fragment / 2, *fragment % 2 == 1);
                    *fragment += 1;
                    // Whole units, as all but the last fragment have.
                    let content = (length - ESP) & !7;
                    set_header(frame, |header| {
                        header[2..4].copy_from_slice(&((IP + content) as u16).to_be_bytes());
                        header[4..6].copy_from_slice(&(packet as u16).to_be_bytes());
                        let offset: u16 = if is_second { 1 } else { 0x2000 };
                        header[6..8].copy_from_slice(&offset.to_be_bytes());
                    });
                    return ESP + content;
                }
            }
            length
        });
    }
}

/// Changes the outer header, and its checksum with it.
fn set_header(frame: &mut [u8], change: impl FnOnce(&mut [u8])) {
    let header = &mut frame[Link::UNTAGGED..ESP];
    change(header);
    header[10..12].fill(0);
    let check = checksum::ipv4_header(header);
    header[10..12].copy_from_slice(&check.to_be_bytes());
}

/// Seals an AES-GCM packet anew, under the number that it has, with another next header.
fn seal(key: &Key, spi: u32, esp: &mut [u8], next_header: u8) {
    let (header, rest) = esp.split_at_mut(16);
    let number = u64::from_be_bytes(header[8..].try_into().expect("the initialisation vector"));
    let mut source = vec![0; rest.len() - ::aead::TAG];
    let last = source.len() - 1;
    source[last] = next_header;
    let mut destination = vec![0; rest.len()];
    ::aead::seal(&mut [Seal {
        key,
        nonce: Nonce::salted([1, 2, 3, 4], number.to_be_bytes()),
        associated_data: AssociatedData::of(spi, number, true),
        buffers: Buffers::Apart { source: &source, destination: &mut destination },
        tail: Tail::EMPTY,
    }]);
    rest.copy_from_slice(&destination);
}
