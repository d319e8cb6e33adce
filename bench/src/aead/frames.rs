//! The memory that all implementations work in, laid out as frames are.

use super::case::Case;
use super::traffic::{AEAD_TAG, Packet, Traffic, prefix};
use crate::operation::Operation;

/// Bytes of a frame, as in the gateway's ports.
const FRAME: usize = 2048;
/// Where the text stands in a frame of a VPC: behind Ethernet's header.
const TEXT: usize = 14;
/// Where an ESP packet stands in a frame of the WAN: behind Ethernet's, IPv4's and UDP's headers.
const SEALED: usize = 14 + 20 + 8;
/// Most bytes of text: with the longest initialisation vector and tag it fits into a frame.
pub const MOST_TEXT: usize = FRAME - SEALED - 8 - 16 - 32;

/// A destination for every packet of a batch and, behind all of them, a source for every one. All implementations use
/// the same ones, so that none has luckier places than another.
pub struct Frames {
    memory: Vec<u8>,
    /// Where the first frame starts: at the start of a page.
    start: usize,
    capacity: usize,
}

/// Where a packet comes from and goes to.
pub enum Place<'a> {
    /// From a text to a packet, or back.
    Apart { source: &'a [u8], destination: &'a mut [u8] },
    /// A whole packet.
    InPlace(&'a mut [u8]),
}

impl Frames {
    /// For batches of up to `capacity` packets.
    pub fn new(capacity: usize) -> Self {
        let memory = vec![0; (2 * capacity + 2) * FRAME];
        let start = memory.as_ptr().align_offset(2 * FRAME);
        Self { memory, start, capacity }
    }

    /// Writes the texts or packets where they come from. Where they go to, those that only work in place find them, too:
    /// nobody who does nothing leaves the right result there.
    pub fn fill(&mut self, case: &Case, traffic: &Traffic) {
        let prefix = prefix(case.suite);
        for (index, packet) in traffic.packets.iter().enumerate() {
            let Packet { text, sealed, .. } = packet;
            let ciphertext = &sealed[prefix..][..text.len()];
            let (to, from) = self.frames_mut(index);
            match case.operation {
                Operation::Seal => {
                    from[TEXT..][..text.len()].copy_from_slice(text);
                    let room = &mut to[SEALED..][..sealed.len()];
                    room[..prefix].copy_from_slice(&sealed[..prefix]);
                    room[prefix..][..text.len()].copy_from_slice(text);
                    room[prefix + text.len()..].fill(0);
                }
                Operation::Open if case.in_place => to[SEALED..][..sealed.len()].copy_from_slice(sealed),
                Operation::Open => {
                    from[SEALED..][..sealed.len()].copy_from_slice(sealed);
                    to[TEXT..][..text.len()].copy_from_slice(ciphertext);
                }
            }
        }
    }

    /// All places of a batch, in its order.
    pub fn places<'a>(&'a mut self, case: &Case, traffic: &Traffic) -> Vec<Place<'a>> {
        let (to, from) = self.memory[self.start..].split_at_mut(self.capacity * FRAME);
        let frames = to.chunks_exact_mut(FRAME).zip(from.chunks_exact(FRAME));
        let place = |((to, from), packet): ((&'a mut [u8], &'a [u8]), &Packet)| {
            let (text, sealed) = (TEXT..TEXT + packet.text.len(), SEALED..SEALED + packet.sealed.len());
            match (case.in_place, case.operation) {
                (true, _) => Place::InPlace(&mut to[sealed]),
                (false, Operation::Seal) => Place::Apart { source: &from[text], destination: &mut to[sealed] },
                (false, Operation::Open) => Place::Apart { source: &from[sealed], destination: &mut to[text] },
            }
        };
        frames.zip(&traffic.packets).map(place).collect()
    }

    /// One slice from the room for packet `index`'s text to the end of the packet, and where its ciphertext starts in
    /// there: for an implementation that opens from one place to another within one slice only.
    pub fn opening(&mut self, index: usize, packet: &Packet) -> (&mut [u8], usize) {
        let to = self.start + index * FRAME + TEXT;
        let from = self.start + (self.capacity + index) * FRAME + SEALED;
        let ciphertext = from + packet.sealed.len() - packet.text.len() - AEAD_TAG;
        (&mut self.memory[to..from + packet.sealed.len()], ciphertext - to)
    }

    /// Whether all packets of the batch are where they go to, as the portable kernel would have put them there.
    pub fn are_right(&mut self, case: &Case, traffic: &Traffic) -> bool {
        let prefix = prefix(case.suite);
        self.places(case, traffic).into_iter().zip(&traffic.packets).all(|(place, packet)| {
            let result = match place {
                Place::Apart { destination, .. } => destination,
                Place::InPlace(packet) => packet,
            };
            match (case.operation, case.in_place) {
                (Operation::Seal, _) => result == packet.sealed,
                (Operation::Open, true) => result[prefix..][..packet.text.len()] == packet.text,
                (Operation::Open, false) => result == packet.text,
            }
        })
    }

    /// Where a packet goes to and where it comes from.
    fn frames_mut(&mut self, index: usize) -> (&mut [u8], &mut [u8]) {
        let (to, from) = self.memory[self.start..].split_at_mut(self.capacity * FRAME);
        (&mut to[index * FRAME..][..FRAME], &mut from[index * FRAME..][..FRAME])
    }
}

impl Place<'_> {
    /// Puts a packet back that was opened where it stands.
    pub fn restore(&mut self, packet: &Packet) {
        match self {
            Self::Apart { .. } => unreachable!("a source is only read"),
            Self::InPlace(place) => place.copy_from_slice(&packet.sealed),
        }
    }
}
