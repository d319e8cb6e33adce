//! What the generator sends: whole frames, made before anything is measured.

use esp::{OutboundSa, OuterHeader, Sealing};
use wire::{EtherType, Link, Packet};

use super::chain::{Chain, FAR, IDC_HOST, NEAR, OWN, PEER, VPC, VPC_HOST, WAN, address};
use super::device;

/// Which way packets go through the device under test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// From the VPC to the peer.
    Seal,
    /// From the peer to the VPC.
    Open,
}

impl Operation {
    /// The name in figures.
    pub fn name(self) -> &'static str {
        match self {
            Self::Seal => "seal",
            Self::Open => "open",
        }
    }

    /// The generator's interface and the sink's.
    pub fn ends(self) -> (&'static str, &'static str) {
        match self {
            Self::Seal => (NEAR, FAR),
            Self::Open => (FAR, NEAR),
        }
    }

    /// The interfaces through which the device receives and sends.
    pub fn device(self) -> (&'static str, &'static str) {
        match self {
            Self::Seal => (VPC, WAN),
            Self::Open => (WAN, VPC),
        }
    }
}

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
        let outer = OuterHeader::new(address(PEER), address(OWN), None).expect("one family");
        let sa: OutboundSa = device::outbound_sa(outer);
        let packet = Packet::parse(inner).expect("made here");
        let frame = link.len() + sa.sealed_length(inner.len());
        let mut bytes = vec![0; frame * SEALED];
        for (position, frames) in bytes.chunks_mut(frame * esp::BATCH).enumerate() {
            let mut sealing = Sealing::default();
            for (number, frame) in (1 + position as u64 * esp::BATCH as u64..).zip(frames.chunks_mut(frame)) {
                let (header, rest) = frame.split_at_mut(link.len());
                header.copy_from_slice(link);
                sealing.push(&sa, number, &packet, rest);
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
