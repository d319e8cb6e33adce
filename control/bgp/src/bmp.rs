//! BMP (RFC 7854): what a monitoring station is told, as bytes. It never answers.

#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};

use crate::family::Family;
use crate::observation::{Ending, Session};

/// One message. Times are since the beginning of 1970.
#[derive(Clone, Copy, Debug)]
pub enum Message<'a> {
    /// Who is speaking (§4.3): the first message of a connection.
    Initiation {
        /// `sysName`.
        name: &'a str,
        /// `sysDescr`.
        description: &'a str,
    },
    /// A session is up (§4.10).
    PeerUp {
        /// Which.
        session: &'a Session,
        /// TCP's.
        ports: Ports,
        /// Since when.
        at: Duration,
    },
    /// Routes of a peer's, before any policy (§4.6).
    RouteMonitoring {
        /// Whose.
        session: &'a Session,
        /// One UPDATE.
        update: &'a [u8],
        /// When it came; `None` if that is not known.
        at: Option<Duration>,
    },
    /// How much there is of a peer's (§4.8).
    Statistics {
        /// Whose.
        session: &'a Session,
        /// How much.
        statistics: &'a Statistics,
        /// When.
        at: Duration,
    },
    /// A session has ended (§4.9): all its routes are gone.
    PeerDown {
        /// Which.
        session: &'a Session,
        /// How.
        ending: &'a Ending,
        /// When.
        at: Duration,
    },
    /// Nothing more is said (§4.5): the last message of a connection.
    Termination(Termination),
}

/// The ports of a session's TCP connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ports {
    /// Ours.
    pub local: u16,
    /// The peer's.
    pub remote: u16,
}

/// Why nothing more is said (§4.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Termination {
    /// It is closed by whoever runs us, and may be opened again.
    Closed,
    /// It is closed by whoever runs us, for good.
    ClosedForGood,
}

/// How much there is of a peer's. Counters begin anew after 2^32 - 1.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Prefixes that were announced and not taken.
    pub refused_prefixes: u32,
    /// UPDATEs that were not taken, for our AS number is in their path.
    pub looped_updates: u32,
    /// UPDATEs that were taken as withdrawals (RFC 7606).
    pub withdrawing_updates: u32,
    /// Prefixes that it announces now, by family.
    pub received: Vec<(Family, u64)>,
    /// Prefixes that it has been told, by family.
    pub told: Vec<(Family, u64)>,
}

/// §4.1.
const VERSION: u8 = 3;
/// Bytes of the common header.
const HEADER: usize = 6;
/// Global Instance Peer (§4.2): a border gateway has one instance of BGP.
const PEER_TYPE: u8 = 0;
/// V: the peer's address is of IPv6 (§4.2).
const IPV6: u8 = 0x80;
/// A: AS paths have two octets a number (§4.2).
const TWO_OCTET_AS: u8 = 0x20;

impl Message<'_> {
    /// The message's bytes.
    pub fn encode(&self) -> Bytes {
        let mut bytes = BytesMut::new();
        bytes.put_bytes(0, HEADER);
        match *self {
            Self::Initiation { name, description } => {
                information(1, description.as_bytes(), &mut bytes);
                information(2, name.as_bytes(), &mut bytes);
            }
            Self::PeerUp { session, ports, at } => {
                peer(session, at, &mut bytes);
                address(session.local, &mut bytes);
                bytes.put_u16(ports.local);
                bytes.put_u16(ports.remote);
                bytes.extend_from_slice(&session.opens.sent);
                bytes.extend_from_slice(&session.opens.received);
            }
            Self::RouteMonitoring { session, update, at } => {
                // §4.2: 0 says that the time is not known.
                peer(session, at.unwrap_or_default(), &mut bytes);
                bytes.extend_from_slice(update);
            }
            Self::Statistics { session, statistics, at } => {
                peer(session, at, &mut bytes);
                statistics.put(&mut bytes);
            }
            Self::PeerDown { session, ending, at } => {
                peer(session, at, &mut bytes);
                match ending {
                    Ending::Notifying(notification) => {
                        bytes.put_u8(1);
                        bytes.extend_from_slice(notification);
                    }
                    Ending::Silent(event) => {
                        bytes.put_u8(2);
                        bytes.put_u16(*event);
                    }
                    Ending::Notified(notification) => {
                        bytes.put_u8(3);
                        bytes.extend_from_slice(notification);
                    }
                    Ending::Lost => bytes.put_u8(4),
                }
            }
            Self::Termination(termination) => {
                let reason = match termination {
                    Termination::Closed => 0,
                    Termination::ClosedForGood => 4_u16,
                };
                information(1, &reason.to_be_bytes(), &mut bytes);
            }
        }
        let length = u32::try_from(bytes.len()).expect("three messages of BGP are the most that is in one");
        let mut header = bytes.split_to(HEADER);
        header.clear();
        header.put_u8(VERSION);
        header.put_u32(length);
        header.put_u8(self.kind());
        header.unsplit(bytes);
        header.freeze()
    }

    /// §4.1.
    fn kind(&self) -> u8 {
        match self {
            Self::RouteMonitoring { .. } => 0,
            Self::Statistics { .. } => 1,
            Self::PeerDown { .. } => 2,
            Self::PeerUp { .. } => 3,
            Self::Initiation { .. } => 4,
            Self::Termination(_) => 5,
        }
    }
}

impl Statistics {
    fn put(&self, bytes: &mut BytesMut) {
        let sum = |of: &[(Family, u64)]| of.iter().map(|(_, count)| *count).sum::<u64>();
        let values = 5 + self.received.len() + self.told.len();
        bytes.put_u32(u32::try_from(values).expect("there are two families"));
        information(0, &self.refused_prefixes.to_be_bytes(), bytes);
        information(4, &self.looped_updates.to_be_bytes(), bytes);
        information(7, &sum(&self.received).to_be_bytes(), bytes);
        information(11, &self.withdrawing_updates.to_be_bytes(), bytes);
        // RFC 8671 §6.2: what follows policy.
        information(15, &sum(&self.told).to_be_bytes(), bytes);
        for (kind, of_each) in [(9, &self.received), (17, &self.told)] {
            for (family, count) in of_each {
                let (afi, safi) = family.code();
                bytes.put_u16(kind);
                bytes.put_u16(11);
                bytes.put_u16(afi as u16);
                bytes.put_u8(safi as u8);
                bytes.put_u64(*count);
            }
        }
    }
}

/// The per-peer header (§4.2).
fn peer(session: &Session, at: Duration, bytes: &mut BytesMut) {
    let negotiated = &session.negotiated;
    let v = if session.remote.is_ipv6() { IPV6 } else { 0 };
    let a = if negotiated.four_octet_as { 0 } else { TWO_OCTET_AS };
    bytes.put_u8(PEER_TYPE);
    bytes.put_u8(v | a);
    bytes.put_u64(0);
    address(session.remote, bytes);
    bytes.put_u32(negotiated.peer_as);
    bytes.extend_from_slice(&negotiated.peer_identifier.octets());
    bytes.put_u32(u32::try_from(at.as_secs()).unwrap_or(u32::MAX));
    bytes.put_u32(at.subsec_micros());
}

/// 16 octets, the last four of which an IPv4 address fills (§4.2).
fn address(address: IpAddr, bytes: &mut BytesMut) {
    match address {
        IpAddr::V4(address) => {
            bytes.put_bytes(0, 12);
            bytes.extend_from_slice(&address.octets());
        }
        IpAddr::V6(address) => bytes.extend_from_slice(&address.octets()),
    }
}

/// A type, a length and a value (§4.4), of which there are at most 65535 octets.
fn information(kind: u16, value: &[u8], bytes: &mut BytesMut) {
    let length = u16::try_from(value.len()).unwrap_or(u16::MAX);
    bytes.put_u16(kind);
    bytes.put_u16(length);
    bytes.extend_from_slice(value.get(..usize::from(length)).unwrap_or(value));
}
