//! Outer reassembly: ESP and UDP that arrive from the WAN in fragments (RFC 791 §3.2, RFC 8200 §4.5).
//!
//! Memory and time are limited whoever sends: a fixed number of buffers made at start, few of them for one source, each given
//! up after a while or when a newer packet needs it.

use std::iter;
use std::ops::Range;
use std::time::{Duration, Instant};

use wire::ecn::Ecn;
use wire::ip::{Ipv4Header, Ipv6Header};
use wire::{Address, Bits, EtherType, Link, MacAddress, Packet, Protocol, checksum, ip};
use zerocopy::FromBytes;

use crate::DropReason;
use crate::tally::Tally;

/// Packets that are put together at once.
const PACKETS: usize = 16;
/// Packets of one source among them: a source that sends first fragments alone takes no more from the others.
const PACKETS_OF_SOURCE: usize = 4;
/// Bytes of the longest payload.
const LONGEST: usize = 10 * 1024;
/// How long a packet may take. RFC 8200 §4.5 allows a minute, in which an identification comes round more than once.
const PATIENCE: Duration = Duration::from_secs(2);
/// Fragments start at multiples of so many bytes.
const UNIT: usize = 8;
/// Bytes of the longest IP header that is kept: IPv4 with options.
const LONGEST_HEADER: usize = 60;
/// Where the payload starts in a buffer; the headers stand right in front of it.
const PAYLOAD: usize = Link::UNTAGGED + LONGEST_HEADER;

/// Fragments on their way to be packets.
pub(crate) struct Reassembly {
    buffers: Box<[Buffer; PACKETS]>,
    /// Buffers that wait for fragments.
    open: Positions,
    /// Buffers that hold a packet of which nothing is missing.
    whole: Positions,
    /// Before then nothing has taken too long.
    due: Instant,
}

impl Reassembly {
    pub(crate) fn new() -> Self {
        let buffers = Box::new([(); PACKETS].map(|()| Buffer::new()));
        Self { buffers, open: Positions::NONE, whole: Positions::NONE, due: Instant::now() }
    }

    /// Takes a fragment, and gives it its verdict: dropped, merged, or that of the packet which it completes, to be found
    /// among [`Reassembly::frames`].
    #[cold]
    pub(crate) fn take(&mut self, packet: &Packet<'_>, now: Instant, tally: &mut Tally<'_>) {
        let Some((key, fragment)) = Fragment::of(packet) else { return tally.drop(DropReason::OuterFragment) };
        self.expire(now, tally);
        let Some(position) = self.find(key).or_else(|| self.begin(key, now, tally)) else {
            return tally.drop(DropReason::ReassemblyFull);
        };
        let buffer = &mut self.buffers[position];
        match buffer.add(&fragment) {
            Added::Held => tally.merge(),
            Added::Completed => {
                buffer.finish();
                self.open.remove(position);
                self.whole.insert(position);
            }
            Added::Contradiction => {
                // RFC 5722 §4, for IPv4 likewise: the packet is dropped with all of its fragments, those still to come
                // included. Those that were held have their verdict.
                buffer.spoiled = true;
                tally.drop(DropReason::ReassemblyOverlap);
            }
        }
    }

    /// Gives up what has taken too long.
    pub(crate) fn expire(&mut self, now: Instant, tally: &mut Tally<'_>) {
        if now < self.due {
            return;
        }
        self.due = now + PATIENCE;
        for position in self.open.iter() {
            let due = self.buffers[position].since + PATIENCE;
            if due <= now {
                self.give_up(position, DropReason::ReassemblyTimeout, tally);
            } else {
                self.due = self.due.min(due);
            }
        }
    }

    /// The frames of the packets that are complete, each behind an untagged link header.
    pub(crate) fn frames(&mut self) -> impl Iterator<Item = &mut [u8]> {
        let whole = self.whole;
        let buffers = self.buffers.iter_mut().enumerate();
        buffers.filter(move |(position, _)| whole.has(*position)).map(|(_, buffer)| buffer.frame())
    }

    /// Frees the buffers of complete packets.
    pub(crate) fn release(&mut self) {
        self.whole = Positions::NONE;
    }

    /// Whether a packet is complete.
    #[inline(always)]
    pub(crate) fn has_whole(&self) -> bool {
        self.whole != Positions::NONE
    }

    /// Whether there is anything to expire.
    #[inline(always)]
    pub(crate) fn is_waiting(&self) -> bool {
        self.open != Positions::NONE
    }

    fn find(&self, key: Key) -> Option<usize> {
        self.open.iter().find(|position| self.buffers[*position].key == Some(key))
    }

    /// A buffer for a new packet; `None` where all hold complete ones.
    fn begin(&mut self, key: Key, now: Instant, tally: &mut Tally<'_>) -> Option<usize> {
        let buffers = &self.buffers;
        let of_source = |position: &usize| buffers[*position].key.is_some_and(|other| other.source == key.source);
        let crowded = self.open.iter().filter(of_source).count() >= PACKETS_OF_SOURCE;
        let free = Positions(!(self.open.0 | self.whole.0));
        let position = match free.iter().next() {
            Some(position) if !crowded => position,
            Some(_) | None => {
                let among = self.open.iter().filter(|position| !crowded || of_source(position));
                let oldest = among.min_by_key(|position| buffers[*position].since)?;
                self.give_up(oldest, DropReason::ReassemblyFull, tally);
                oldest
            }
        };
        self.buffers[position].begin(key, now);
        self.open.insert(position);
        Some(position)
    }

    fn give_up(&mut self, position: usize, reason: DropReason, tally: &mut Tally<'_>) {
        if !self.buffers[position].spoiled {
            tally.give_up(reason);
        }
        self.open.remove(position);
    }
}

/// Positions of buffers, a bit each.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Positions(u16);

const _: () = assert!(PACKETS == u16::BITS as usize);

impl Positions {
    const NONE: Self = Self(0);

    fn has(self, position: usize) -> bool {
        self.0 & 1 << position != 0
    }

    fn insert(&mut self, position: usize) {
        self.0 |= 1 << position;
    }

    fn remove(&mut self, position: usize) {
        self.0 &= !(1 << position);
    }

    fn iter(self) -> impl Iterator<Item = usize> {
        let left = iter::successors(Some(self.0), |left| Some(left & left.wrapping_sub(1)));
        left.take_while(|left| *left != 0).map(|left| left.trailing_zeros() as usize)
    }
}

/// RFC 791 §3.2, RFC 8200 §4.5: what the fragments of one packet have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Key {
    /// Compared first, for in that packets of one source differ.
    identification: u32,
    source: Address,
    destination: Address,
    protocol: Protocol,
}

/// A fragment that can be part of a packet.
struct Fragment<'a> {
    /// The IP header, without a fragment header.
    header: &'a [u8],
    payload: &'a [u8],
    offset: usize,
    more: bool,
    congested: bool,
}

impl<'a> Fragment<'a> {
    /// `None` for what is no part of a packet that a buffer holds, or of another protocol than ESP and UDP.
    fn of(packet: &Packet<'a>) -> Option<(Key, Self)> {
        let wire::Fragment { identification, offset, more } = packet.as_fragment()?;
        let payload = packet.payload();
        let header = match packet.source.bits() {
            Bits::V4(_) => packet.header_length,
            // The steering program lets a fragment header pass only directly behind the IP header.
            Bits::V6(_) if packet.header_length == Ipv6Header::LENGTH + UNIT => Ipv6Header::LENGTH,
            Bits::V6(_) => return None,
        };
        let fits = !payload.is_empty() && offset + payload.len() <= LONGEST;
        // RFC 791 §3.2, RFC 8200 §4.5: all but the last are whole units.
        let aligned = !more || payload.len().is_multiple_of(UNIT);
        if !fits || !aligned || !matches!(packet.protocol, Protocol::ESP | Protocol::UDP) {
            return None;
        }
        let Packet { source, destination, protocol, .. } = *packet;
        let congested = Ecn::of(packet.traffic_class) == Ecn::Ce;
        let header = packet.bytes.get(..header)?;
        let fragment = Self { header, payload, offset, more, congested };
        Some((Key { source, destination, protocol, identification }, fragment))
    }
}

/// What became of a fragment.
enum Added {
    /// Its bytes are in the buffer.
    Held,
    /// They are, and none is missing.
    Completed,
    /// It and what is there overlap, or do not agree on the packet's end.
    Contradiction,
}

/// A packet being put together.
struct Buffer {
    /// Whether its fragments contradict each other: those still to come are dropped.
    spoiled: bool,
    key: Option<Key>,
    since: Instant,
    progress: Progress,
    bytes: Box<[u8]>,
}

/// What of a packet is there.
#[derive(Default)]
struct Progress {
    /// The units that are there.
    units: Units,
    /// How many they are.
    count: usize,
    /// Where the fragment ends that reaches furthest.
    reach: usize,
    /// Bytes of the payload, once the last fragment is there.
    total: Option<usize>,
    /// Bytes of the IP header, which is the first fragment's.
    header: usize,
    /// Whether a router marked one of the fragments.
    congested: bool,
}

/// Units of a payload, a bit each.
#[derive(Default)]
struct Units([u64; LONGEST.div_ceil(64 * UNIT)]);

impl Units {
    /// How many of these there are.
    fn count(&self, units: &Range<usize>) -> usize {
        Self::words(units).map(|(word, part)| (self.0[word] & part).count_ones() as usize).sum()
    }

    fn insert(&mut self, units: &Range<usize>) {
        Self::words(units).for_each(|(word, part)| self.0[word] |= part);
    }

    /// The words in which these stand, which are some, and their bits there.
    fn words(units: &Range<usize>) -> impl Iterator<Item = (usize, u64)> {
        (units.start / 64..units.end.div_ceil(64)).map(|word| {
            let first = units.start.saturating_sub(64 * word);
            let count = (units.end - 64 * word).min(64) - first;
            (word, u64::MAX >> (64 - count) << first)
        })
    }
}

impl Buffer {
    fn new() -> Self {
        let bytes = vec![0; PAYLOAD + LONGEST].into_boxed_slice();
        Self { spoiled: false, key: None, since: Instant::now(), progress: Progress::default(), bytes }
    }

    fn begin(&mut self, key: Key, now: Instant) {
        self.spoiled = false;
        self.key = Some(key);
        self.since = now;
        self.progress = Progress::default();
    }

    fn add(&mut self, fragment: &Fragment<'_>) -> Added {
        let Self { spoiled, progress, bytes, .. } = self;
        let Fragment { offset, payload, more, .. } = *fragment;
        let end = offset + payload.len();
        let units = offset / UNIT..end.div_ceil(UNIT);
        let present = progress.units.count(&units);
        let place = &mut bytes[PAYLOAD + offset..PAYLOAD + end];
        let agrees = match progress.total {
            Some(total) => {
                if more {
                    end < total
                } else {
                    end == total
                }
            }
            None => more || (end >= progress.reach && present == 0),
        };
        if *spoiled || !agrees {
            return Added::Contradiction;
        }
        if present == units.len() && place == payload {
            // RFC 8200 §4.5: networks duplicate packets, and nothing here depends on which of the two came first.
            return Added::Held;
        }
        if present != 0 {
            return Added::Contradiction;
        }
        place.copy_from_slice(payload);
        progress.units.insert(&units);
        progress.count += units.len();
        progress.reach = progress.reach.max(end);
        progress.congested |= fragment.congested;
        if !more {
            progress.total = Some(end);
        }
        if offset == 0 {
            progress.header = fragment.header.len();
            bytes[PAYLOAD - progress.header..PAYLOAD].copy_from_slice(fragment.header);
        }
        let complete = progress.total.is_some_and(|total| progress.count == total.div_ceil(UNIT));
        if complete { Added::Completed } else { Added::Held }
    }

    /// Makes a frame of what is complete: the first fragment's header, as that of a packet which was never fragmented.
    fn finish(&mut self) {
        let Some(Key { source, protocol, .. }) = self.key else { return };
        let Progress { header: length, total, congested, .. } = self.progress;
        let total = total.unwrap_or(0);
        let (before, packet) = self.bytes.split_at_mut(PAYLOAD - length);
        let link = Link::untagged(MacAddress::default(), MacAddress::default(), EtherType::of(source.into()));
        before[LONGEST_HEADER - length..].copy_from_slice(&link);
        if !source.is_ipv4()
            && let Ok((header, _)) = Ipv6Header::mut_from_prefix(packet)
        {
            header.next_header = protocol.0;
            header.payload_length = (total as u16).into();
        } else if let Ok((header, _)) = Ipv4Header::mut_from_prefix(packet) {
            header.total_length = ((length + total) as u16).into();
            header.fragment = 0.into();
            header.checksum = 0.into();
            let checksum = checksum::ipv4_header(&packet[..length]);
            packet[10..12].copy_from_slice(&checksum.to_be_bytes());
        }
        // RFC 3168 §5.3: a mark on one fragment is a mark on the packet.
        if congested && let Ok(whole) = Packet::parse(packet) {
            ip::set_traffic_class(packet, Ecn::Ce.on(whole.traffic_class));
        }
    }

    fn frame(&mut self) -> &mut [u8] {
        let Progress { header, total, .. } = self.progress;
        &mut self.bytes[PAYLOAD - header - Link::UNTAGGED..PAYLOAD + total.unwrap_or(0)]
    }
}

#[cfg(test)]
mod tests;
