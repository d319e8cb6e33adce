//! Outer reassembly: ESP and UDP that arrive from the WAN in fragments (RFC 791 §3.2, RFC 8200 §4.5).
//!
//! Memory and time are limited whoever sends: a fixed number of buffers made at start, few of them for one source, each given
//! up after a while or when a newer packet needs it.

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
    buffers: Box<[Buffer]>,
    /// Buffers that are not free.
    used: usize,
    /// Buffers of those that hold a whole packet.
    whole: usize,
}

impl Reassembly {
    pub(crate) fn new() -> Self {
        Self { buffers: (0..PACKETS).map(|_| Buffer::new()).collect(), used: 0, whole: 0 }
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
                self.whole += 1;
            }
            Added::Contradiction => {
                // RFC 5722 §4, for IPv4 likewise: the packet is dropped with all of its fragments, those still to come
                // included. Those that were held have their verdict.
                buffer.state = State::Spoiled;
                tally.drop(DropReason::ReassemblyOverlap);
            }
        }
    }

    /// Gives up what has taken too long.
    pub(crate) fn expire(&mut self, now: Instant, tally: &mut Tally<'_>) {
        for position in 0..self.buffers.len() {
            let buffer = &self.buffers[position];
            if buffer.is_open() && now.saturating_duration_since(buffer.since) >= PATIENCE {
                self.give_up(position, DropReason::ReassemblyTimeout, tally);
            }
        }
    }

    /// The frames of the packets that are complete, each behind an untagged link header.
    pub(crate) fn frames(&mut self) -> impl Iterator<Item = &mut [u8]> {
        self.buffers.iter_mut().filter(|buffer| buffer.state == State::Whole).map(Buffer::frame)
    }

    /// Frees the buffers of complete packets.
    pub(crate) fn release(&mut self) {
        self.buffers.iter_mut().filter(|buffer| buffer.state == State::Whole).for_each(|buffer| {
            buffer.state = State::Free;
        });
        self.used -= self.whole;
        self.whole = 0;
    }

    /// Whether a packet is complete.
    #[inline(always)]
    pub(crate) fn has_whole(&self) -> bool {
        self.whole != 0
    }

    /// Whether there is anything to expire.
    #[inline(always)]
    pub(crate) fn is_waiting(&self) -> bool {
        self.used != 0
    }

    fn find(&self, key: Key) -> Option<usize> {
        self.buffers.iter().position(|buffer| buffer.is_open() && buffer.key == Some(key))
    }

    /// A buffer for a new packet; `None` where all hold complete ones.
    fn begin(&mut self, key: Key, now: Instant, tally: &mut Tally<'_>) -> Option<usize> {
        let of_source = |buffer: &Buffer| buffer.key.is_some_and(|other| other.source == key.source);
        let crowded = self.buffers.iter().filter(|buffer| buffer.is_open() && of_source(buffer)).count();
        let free = self.buffers.iter().position(|buffer| buffer.state == State::Free);
        let position = match free {
            Some(position) if crowded < PACKETS_OF_SOURCE => position,
            Some(_) | None => {
                let among = |buffer: &Buffer| buffer.is_open() && (crowded < PACKETS_OF_SOURCE || of_source(buffer));
                let open = self.buffers.iter().enumerate().filter(|(_, buffer)| among(buffer));
                let (oldest, _) = open.min_by_key(|(_, buffer)| buffer.since)?;
                self.give_up(oldest, DropReason::ReassemblyFull, tally);
                oldest
            }
        };
        self.buffers[position].begin(key, now);
        self.used += 1;
        Some(position)
    }

    fn give_up(&mut self, position: usize, reason: DropReason, tally: &mut Tally<'_>) {
        let buffer = &mut self.buffers[position];
        if buffer.state == State::Filling {
            tally.give_up(reason);
        }
        buffer.state = State::Free;
        self.used -= 1;
    }
}

/// RFC 791 §3.2, RFC 8200 §4.5: what the fragments of one packet have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Key {
    source: Address,
    destination: Address,
    protocol: Protocol,
    identification: u32,
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

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Free,
    /// Waits for fragments.
    Filling,
    /// Waits for fragments to be dropped.
    Spoiled,
    /// Holds a packet that nothing is missing of.
    Whole,
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
    state: State,
    key: Option<Key>,
    since: Instant,
    progress: Progress,
    bytes: Box<[u8]>,
}

/// What of a packet is there.
#[derive(Default)]
struct Progress {
    /// The units that are there, a bit each.
    units: [u64; LONGEST.div_ceil(64 * UNIT)],
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

impl Buffer {
    fn new() -> Self {
        let bytes = vec![0; PAYLOAD + LONGEST].into_boxed_slice();
        Self { state: State::Free, key: None, since: Instant::now(), progress: Progress::default(), bytes }
    }

    fn begin(&mut self, key: Key, now: Instant) {
        self.state = State::Filling;
        self.key = Some(key);
        self.since = now;
        self.progress = Progress::default();
    }

    fn add(&mut self, fragment: &Fragment<'_>) -> Added {
        let Self { state, progress, bytes, .. } = self;
        let Fragment { offset, payload, more, .. } = *fragment;
        let end = offset + payload.len();
        let units = offset / UNIT..end.div_ceil(UNIT);
        let present = units.clone().filter(|unit| progress.units[unit / 64] & 1 << (unit % 64) != 0).count();
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
        if *state == State::Spoiled || !agrees {
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
        units.clone().for_each(|unit| progress.units[unit / 64] |= 1 << (unit % 64));
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
        self.state = State::Whole;
    }

    fn frame(&mut self) -> &mut [u8] {
        let Progress { header, total, .. } = self.progress;
        &mut self.bytes[PAYLOAD - header - Link::UNTAGGED..PAYLOAD + total.unwrap_or(0)]
    }

    fn is_open(&self) -> bool {
        match self.state {
            State::Filling | State::Spoiled => true,
            State::Free | State::Whole => false,
        }
    }
}

#[cfg(test)]
mod tests;
