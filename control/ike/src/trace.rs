//! A tunnel's last messages, so that what went wrong can be seen after it has.
//!
//! Messages are always recorded: nobody looks before something has failed. What is kept of one is its header and, of each
//! payload, what may be shown ([`payload::keep`]): never a key exchange value, nonce, AUTH value or cookie. It becomes words
//! only when somebody asks.
//!
//! A tunnel keeps two rings. *Proven* is what we have sent and what was opened with the SA's keys; *unproven* is what anybody
//! could have sent in the peer's name, and our answers to that: a flood pushes out of the second ring alone. What recurs, such as
//! liveness checks and retransmissions, stands there once with a count. Together they take some 2 KiB for a tunnel that is
//! up, and 7 KiB at most.

mod payload;
#[cfg(test)]
mod tests;
mod words;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Instant;

use crate::message::{Chain, HEADER_BYTES, kind};
use crate::sa::Path;

pub use words::TracePayload;

/// Which way a message went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TraceDirection {
    /// From the peer, or from somebody with its address.
    Received,
    /// To the peer.
    Sent,
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TraceMark {
    /// It was in clear, as IKE_SA_INIT is.
    Clear,
    /// It was protected: what stands behind its SK payload, or behind the SKF of its last fragment, was inside.
    Protected,
    /// Its SK payload could not be opened: damaged, forged, or of other keys. It was ignored.
    NotOpened,
    /// The same bytes as before, because there was no answer.
    Retransmission,
    /// Its message id or exchange was not expected: it was ignored.
    Unexpected,
    /// Its header or payloads contradict themselves.
    Malformed,
    /// It came too often, so it was ignored (see [`crate::EndpointCounters::handshakes_limited`]).
    TooMany,
    /// It is of another major version of IKE.
    OtherVersion,
}

/// An IKE header as it stood there (RFC 7296 §3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceHeader {
    /// Of the end that began the IKE SA.
    pub initiator_spi: u64,
    /// Of the other end; 0 in the first message.
    pub responder_spi: u64,
    /// The major version.
    pub version: u8,
    /// The exchange type; [`TraceEntry::exchange`] has it in words.
    pub exchange: u8,
    /// The flags: 0x08 from the original initiator, 0x20 a response.
    pub flags: u8,
    /// Which of its sender's requests it is, or answers.
    pub message_id: u32,
    /// Bytes of the message.
    pub length: u32,
}

/// One message.
#[derive(Clone, Debug, PartialEq)]
pub struct TraceEntry {
    sequence: u64,
    at: Instant,
    local: SocketAddr,
    remote: SocketAddr,
    header: TraceHeader,
    direction: TraceDirection,
    mark: TraceMark,
    earlier: u32,
    kept: Box<[u8]>,
}

/// The last messages of one tunnel.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    last: u64,
    proven: Ring,
    unproven: Ring,
    /// The message being handled: what becomes of it shows while it is.
    current: Option<TraceEntry>,
}

impl Trace {
    /// A datagram of the peer's has arrived; nothing of it is believed yet.
    pub(crate) fn received(&mut self, datagram: &[u8], path: Path, now: Instant) {
        self.settle();
        self.current = self.entry(TraceDirection::Received, datagram, path, now);
    }

    /// The message being handled, or the last fragment of it, was opened, and this was inside.
    pub(crate) fn opened(&mut self, first: u8, plain: &[u8]) {
        if let Some(entry) = &mut self.current {
            entry.mark = TraceMark::Protected;
            entry.append(first, plain);
        }
    }

    /// What became of the message being handled.
    pub(crate) fn mark(&mut self, mark: TraceMark) {
        if let Some(entry) = &mut self.current {
            entry.mark = mark;
        }
    }

    /// The message being handled is done with.
    pub(crate) fn settle(&mut self) {
        if let Some(entry) = self.current.take() {
            self.keep(entry);
        }
    }

    /// A message in clear is sent for the first time.
    pub(crate) fn sent(&mut self, datagram: &[u8], path: Path, now: Instant) {
        if let Some(entry) = self.entry(TraceDirection::Sent, datagram, path, now) {
            self.keep(entry);
        }
    }

    /// A message is sent for the first time, into which this was sealed; it may be in fragments.
    pub(crate) fn sealed(&mut self, datagrams: &[Vec<u8>], inside: &Chain, path: Path, now: Instant) {
        for (place, datagram) in (1..).zip(datagrams) {
            let Some(mut entry) = self.entry(TraceDirection::Sent, datagram, path, now) else { return };
            entry.mark = TraceMark::Protected;
            if place == datagrams.len() {
                entry.append(inside.first(), inside.bytes());
            }
            self.keep(entry);
        }
    }

    /// A message, or its fragments, is sent again.
    pub(crate) fn sent_again(&mut self, datagrams: &[Vec<u8>], path: Path, now: Instant) {
        for datagram in datagrams {
            let Some(mut entry) = self.entry(TraceDirection::Sent, datagram, path, now) else { return };
            entry.mark = TraceMark::Retransmission;
            self.keep(entry);
        }
    }

    /// The messages with a larger sequence number, oldest first.
    pub(crate) fn after(&self, sequence: u64) -> Vec<&TraceEntry> {
        // A number that was never given is one of a tunnel that this one has replaced.
        let sequence = if sequence > self.last { 0 } else { sequence };
        let all = self.proven.entries.iter().chain(&self.unproven.entries).chain(&self.current);
        let mut found: Vec<&TraceEntry> = all.filter(|entry| entry.sequence > sequence).collect();
        found.sort_unstable_by_key(|entry| entry.sequence);
        found
    }

    fn entry(
        &mut self,
        direction: TraceDirection,
        datagram: &[u8],
        Path { local, remote }: Path,
        at: Instant,
    ) -> Option<TraceEntry> {
        let (header, first) = TraceHeader::parse(datagram)?;
        self.last += 1;
        let (mark, kept, sequence) = (TraceMark::Clear, Box::default(), self.last);
        let mut entry = TraceEntry { sequence, at, local, remote, header, direction, mark, earlier: 0, kept };
        if header.version == 2 {
            entry.append(first, datagram.get(HEADER_BYTES..).unwrap_or(&[]));
        } else {
            entry.mark = TraceMark::OtherVersion;
        }
        Some(entry)
    }

    fn keep(&mut self, entry: TraceEntry) {
        if entry.is_proven() { self.proven.push(entry, PROVEN) } else { self.unproven.push(entry, UNPROVEN) }
    }
}

impl TraceEntry {
    /// Counts the tunnel's messages, from 1.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// When it was sent or received.
    pub fn at(&self) -> Instant {
        self.at
    }

    /// Our address and port.
    pub fn local(&self) -> SocketAddr {
        self.local
    }

    /// The peer's address and port.
    pub fn remote(&self) -> SocketAddr {
        self.remote
    }

    /// Its header.
    pub fn header(&self) -> &TraceHeader {
        &self.header
    }

    /// Which way it went.
    pub fn direction(&self) -> TraceDirection {
        self.direction
    }

    /// What became of it.
    pub fn mark(&self) -> TraceMark {
        self.mark
    }

    /// How many like it came before and are not listed: liveness checks, retransmissions, what was ignored.
    pub fn earlier(&self) -> u32 {
        self.earlier
    }

    /// Whether it answers a request.
    pub fn is_response(&self) -> bool {
        self.header.is_response()
    }

    /// The exchange in words, such as `IKE_AUTH`.
    pub fn exchange(&self) -> String {
        words::exchange(self.header.version, self.header.exchange)
    }

    /// Its payloads in words; those behind `SK` were inside it.
    pub fn payloads(&self) -> Vec<TracePayload> {
        // Retransmissions and what was ignored are told by their header: the rest is as before, or anybody's.
        match self.mark {
            TraceMark::Clear | TraceMark::Protected | TraceMark::NotOpened | TraceMark::Malformed => words::all(self),
            TraceMark::Retransmission | TraceMark::Unexpected | TraceMark::TooMany | TraceMark::OtherVersion => {
                Vec::new()
            }
        }
    }

    fn append(&mut self, first: u8, chain: &[u8]) {
        let mut kept = std::mem::take(&mut self.kept).into_vec();
        payload::keep(first, chain, &mut kept);
        self.kept = kept.into_boxed_slice();
    }

    /// Nobody but the peer and us can have brought it about.
    fn is_proven(&self) -> bool {
        match (self.mark, self.direction) {
            (TraceMark::Protected, _) => true,
            (_, TraceDirection::Received) => false,
            (_, TraceDirection::Sent) => self.header.exchange != IKE_SA_INIT || !self.is_response(),
        }
    }

    /// Whether this one says nothing that a later one of the kind does not say.
    fn is_replaced_by(&self, later: &Self) -> bool {
        let header = |entry: &Self| (entry.header.exchange, entry.header.flags, entry.direction, entry.mark);
        if header(self) != header(later) {
            return false;
        }
        let sa = |entry: &Self| (entry.header.initiator_spi, entry.header.responder_spi);
        match later.mark {
            TraceMark::Clear => false,
            // A liveness check or its answer.
            TraceMark::Protected => sa(self) == sa(later) && self.is_empty() && later.is_empty(),
            TraceMark::Retransmission => sa(self) == sa(later) && self.header.message_id == later.header.message_id,
            TraceMark::NotOpened
            | TraceMark::Unexpected
            | TraceMark::Malformed
            | TraceMark::TooMany
            | TraceMark::OtherVersion => true,
        }
    }

    /// Nothing stands inside the SK payload.
    fn is_empty(&self) -> bool {
        let mut kinds = payload::kept(&self.kept).map(|payload| payload.kind);
        kinds.next() == Some(kind::ENCRYPTED) && kinds.next().is_none()
    }
}

impl TraceHeader {
    /// Whether the message answers a request.
    pub fn is_response(&self) -> bool {
        self.flags & 0x20 != 0
    }

    /// The header, whatever its version, and the first payload's type.
    fn parse(datagram: &[u8]) -> Option<(Self, u8)> {
        let (initiator_spi, rest) = datagram.split_first_chunk::<8>()?;
        let (responder_spi, rest) = rest.split_first_chunk::<8>()?;
        let (&[first, version, exchange, flags], rest) = rest.split_first_chunk::<4>()?;
        let (message_id, rest) = rest.split_first_chunk::<4>()?;
        let (length, _) = rest.split_first_chunk::<4>()?;
        let header = Self {
            initiator_spi: u64::from_be_bytes(*initiator_spi),
            responder_spi: u64::from_be_bytes(*responder_spi),
            version: version >> 4,
            exchange,
            flags,
            message_id: u32::from_be_bytes(*message_id),
            length: u32::from_be_bytes(*length),
        };
        Some((header, first))
    }
}

/// The newest messages, within bounds.
#[derive(Debug, Default)]
struct Ring {
    entries: VecDeque<TraceEntry>,
    bytes: usize,
}

/// Most messages of a ring, and most bytes that it keeps of their payloads.
type Bounds = (usize, usize);

impl Ring {
    fn push(&mut self, mut entry: TraceEntry, (messages, bytes): Bounds) {
        if let Some(place) = self.entries.iter().rposition(|earlier| earlier.is_replaced_by(&entry))
            && let Some(earlier) = self.entries.remove(place)
        {
            self.bytes -= earlier.kept.len();
            entry.earlier = earlier.earlier.saturating_add(1);
        }
        self.bytes += entry.kept.len();
        self.entries.push_back(entry);
        while self.entries.len() > messages || self.bytes > bytes {
            let Some(oldest) = self.entries.pop_front() else { return };
            self.bytes -= oldest.kept.len();
        }
    }
}

const IKE_SA_INIT: u8 = 34;
const PROVEN: Bounds = (16, 2048);
const UNPROVEN: Bounds = (8, 1536);
