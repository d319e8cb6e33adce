//! Fragments: what reassembly reads of them, and splitting an IPv4 packet (RFC 791 §3.2).

use core::iter;

use zerocopy::{FromBytes, IntoBytes};

use crate::ip::extension::Upper;
use crate::{Ipv4Header, Ipv6Header, Packet, checksum};

/// Which part of a larger packet a fragment is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fragment {
    /// Equal for all fragments of a packet, together with the addresses and, in IPv4, the protocol.
    pub identification: u32,
    /// Where the payload belongs, in bytes.
    pub offset: usize,
    /// Whether others follow behind it.
    pub more: bool,
}

impl Packet<'_> {
    /// Which part of a larger packet this one's payload is (RFC 791 §3.1, RFC 8200 §4.5); `None` where it is no fragment.
    #[must_use]
    pub fn as_fragment(&self) -> Option<Fragment> {
        if !self.fragment {
            return None;
        }
        if self.source.is_ipv4() {
            let (header, _) = Ipv4Header::ref_from_prefix(self.bytes).ok()?;
            return Some(Fragment {
                identification: u32::from(header.identification.get()),
                offset: usize::from(header.fragment.get() & Ipv4Header::FRAGMENT_OFFSET) * UNIT,
                more: header.fragment.get() & Ipv4Header::MORE_FRAGMENTS != 0,
            });
        }
        let (header, _) = Ipv6Header::ref_from_prefix(self.bytes).ok()?;
        Upper::find(self.bytes, header.next_header)?.fragment
    }
}

/// Offsets are counted in units of so many bytes.
const UNIT: usize = 8;
const LONGEST_OPTIONS: usize = 40;
const END_OF_OPTIONS: u8 = 0;
const NO_OPERATION: u8 = 1;
/// In an option's type: it stands in every fragment (RFC 791 §3.1).
const COPIED: u8 = 0x80;

/// An IPv4 packet to be sent in fragments.
#[derive(Debug, Clone)]
pub struct Split<'a> {
    packet: Packet<'a>,
    header: Ipv4Header,
    /// What the packet itself is a part of.
    whole: Fragment,
    mtu: usize,
    /// The options of all fragments but the first, padded to `copied_length`.
    copied: [u8; LONGEST_OPTIONS],
    copied_length: usize,
}

/// A part of a packet's payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece {
    /// Where it starts, in bytes from the payload's start.
    pub offset: usize,
    /// Its bytes.
    pub length: usize,
    /// Whether its fragment says that more follow.
    pub more: bool,
}

impl<'a> Split<'a> {
    /// Prepares fragments of at most `mtu` bytes with their headers; one that is the packet itself if it fits.
    ///
    /// `None` where the packet must not be fragmented, where `mtu` has no room for 8 bytes behind its header, or where
    /// it says to be a part of a packet longer than any can be.
    #[must_use]
    pub fn new(packet: &Packet<'a>, mtu: usize) -> Option<Self> {
        let fits = packet.bytes.len() <= mtu || packet.header_length + UNIT <= mtu;
        if packet.dont_fragment || !fits {
            return None;
        }
        let (header, rest) = Ipv4Header::read_from_prefix(packet.bytes).ok()?;
        let whole = packet.as_fragment().unwrap_or(Fragment { identification: 0, offset: 0, more: false });
        if whole.offset + packet.payload().len() > usize::from(u16::MAX) {
            return None;
        }
        let (copied, copied_length) = copied(rest.get(..packet.header_length - Ipv4Header::LENGTH)?);
        Some(Self { packet: *packet, header, whole, mtu, copied, copied_length })
    }

    /// The parts in order: as long as they may be, and all but the last a multiple of 8 bytes.
    pub fn pieces(&self) -> impl Iterator<Item = Piece> {
        iter::successors(Some(self.piece(0)), |piece| {
            let next = piece.offset + piece.length;
            (next < self.packet.payload().len()).then(|| self.piece(next))
        })
    }

    /// Writes the fragment that carries `piece` and returns its length; `None` where the buffer ends before it.
    #[must_use]
    pub fn write(&self, piece: Piece, buffer: &mut [u8]) -> Option<usize> {
        let payload = self.packet.payload().get(piece.offset..piece.offset + piece.length)?;
        let options = self.options(piece.offset);
        let header_length = Ipv4Header::LENGTH + options.len();
        let total = header_length + payload.len();
        let more = if piece.more { Ipv4Header::MORE_FRAGMENTS } else { 0 };
        let header = Ipv4Header {
            version_length: 0x40 | (header_length / 4) as u8,
            total_length: (total as u16).into(),
            fragment: (((self.whole.offset + piece.offset) / UNIT) as u16 | more).into(),
            checksum: 0.into(),
            ..self.header
        };
        let checksum = checksum::finish(checksum::sum(options, checksum::sum(header.as_bytes(), 0)));
        let header = Ipv4Header { checksum: checksum.into(), ..header };
        let (to_header, behind) = buffer.split_at_mut_checked(Ipv4Header::LENGTH)?;
        let (to_options, behind) = behind.split_at_mut_checked(options.len())?;
        behind.get_mut(..payload.len())?.copy_from_slice(payload);
        to_header.copy_from_slice(header.as_bytes());
        to_options.copy_from_slice(options);
        Some(total)
    }

    fn piece(&self, offset: usize) -> Piece {
        let room = self.mtu - Ipv4Header::LENGTH - self.options(offset).len();
        let rest = self.packet.payload().len() - offset;
        if rest <= room {
            Piece { offset, length: rest, more: self.whole.more }
        } else {
            Piece { offset, length: room - room % UNIT, more: true }
        }
    }

    fn options(&self, offset: usize) -> &[u8] {
        if offset == 0 {
            self.packet.bytes.get(Ipv4Header::LENGTH..self.packet.header_length).unwrap_or_default()
        } else {
            self.copied.get(..self.copied_length).unwrap_or_default()
        }
    }
}

/// Those options that stand in every fragment, up to one that does not fit its length, and their length in whole words.
fn copied(mut options: &[u8]) -> ([u8; LONGEST_OPTIONS], usize) {
    let mut copied = [END_OF_OPTIONS; LONGEST_OPTIONS];
    let mut length = 0;
    while let [kind, rest @ ..] = options {
        let size = match (*kind, rest) {
            (END_OF_OPTIONS, _) => break,
            (NO_OPERATION, _) => 1,
            (_, [size, ..]) if *size >= 2 => usize::from(*size),
            (_, _) => break,
        };
        let Some((option, behind)) = options.split_at_checked(size) else { break };
        if kind & COPIED != 0
            && let Some(room) = copied.get_mut(length..length + size)
        {
            room.copy_from_slice(option);
            length += size;
        }
        options = behind;
    }
    (copied, length.next_multiple_of(4))
}
