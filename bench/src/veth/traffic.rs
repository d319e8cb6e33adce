//! What the generator sends: whole frames, made before anything is measured.

use esp::{HeaderRules, OutboundSa, OuterHeader, Sealing};
use wire::{EtherType, Link};

use super::chain::{Chain, IDC_HOST, OWN, PEER, VPC_HOST, address};
use super::device;
use crate::operation::Operation;

/// ESP packets must differ, or the replay window would refuse them: enough for a round at any rate of this chain.
const SEALED: usize = 400_000;

/// Frames to be sent in order; clear ones over and over, sealed ones once.
pub struct Traffic {
    bytes: Vec<u8>,
    frame: usize,
    repeats: bool,
}

impl Traffic {
    /// Frames that carry inner packets of `size` bytes, clear for sealing, sealed for opening.
    pub fn new(chain: &Chain, operation: Operation, size: usize) -> Self {
        let (from, to) = match operation {
            Operation::Seal => (VPC_HOST, IDC_HOST),
            Operation::Open => (IDC_HOST, VPC_HOST),
        };
        let inner = datagram(from, to, size);
        let (source, destination) = (operation.ends().0, operation.device().0);
        let link = Link::untagged(chain.mac(destination), chain.mac(source), EtherType::IPV4);
        match operation {
            Operation::Seal => {
                let bytes = [&link[..], &inner].concat();
                Self { frame: bytes.len(), bytes, repeats: true }
            }
            Operation::Open => Self::seal(&link, &inner),
        }
    }

    /// The next frame, or `None` when all were sent.
    pub fn frame(&self, number: usize) -> Option<&[u8]> {
        let start = if self.repeats { 0 } else { number * self.frame };
        self.bytes.get(start..start + self.frame)
    }

    fn seal(link: &[u8], inner: &[u8]) -> Self {
        let rules = HeaderRules::default();
        let header = OuterHeader::new(link, address(PEER), address(OWN), None, rules).expect("one family");
        let sa: OutboundSa = device::outbound_sa();
        let frame = header.length() + sa.sealed_length(inner.len());
        let mut bytes = vec![0; frame * SEALED];
        for (position, frames) in bytes.chunks_mut(frame * esp::BATCH).enumerate() {
            let mut sealing = Sealing::default();
            for (number, frame) in (1 + position as u64 * esp::BATCH as u64..).zip(frames.chunks_mut(frame)) {
                sealing.push(&sa, &header, number, inner, frame);
            }
            sealing.finish();
        }
        Self { bytes, frame, repeats: false }
    }
}

/// A UDP packet of `size` bytes with its headers.
fn datagram(from: [u8; 4], to: [u8; 4], size: usize) -> Vec<u8> {
    let payload = size.saturating_sub(28);
    let length = (28 + payload) as u16;
    let mut packet = vec![0x45, 0, 0, 0, 0, 0, 0, 0, 64, 17, 0, 0];
    packet[2..4].copy_from_slice(&length.to_be_bytes());
    packet.extend(from.into_iter().chain(to));
    let checksum = wire::checksum::ipv4_header(&packet);
    packet[10..12].copy_from_slice(&checksum.to_be_bytes());
    packet.extend(wire::udp::header(5001, 5001, payload as u16));
    packet.resize(28 + payload, 0x5a);
    packet
}
