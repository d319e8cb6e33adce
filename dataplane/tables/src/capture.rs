//! Copies of packets for a person to look at: which are wanted, and their way from the workers to control.
//!
//! Control makes a [`Capture`] with all its memory and publishes it in the snapshot. Records wait in one queue, are filled
//! by workers, wait in the other, are read by control and go back: nobody allocates or frees while it is on. Where none is
//! free, the packet is missed and counted.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::SystemTime;

use crossbeam_queue::ArrayQueue;
use ipnet::IpNet;
use wire::{Packet, Protocol};

use crate::SaSlot;

/// Which side of ESP a packet is seen on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// In clear: before it is sealed, or after it was opened.
    Inner,
    /// As on the WAN, from its IP header on: after it was sealed, or before it is opened.
    Outer,
}

/// Which way a packet goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Towards the peer: sealed here.
    ToPeer,
    /// From the peer: opened here.
    FromPeer,
}

/// What is wanted of the tunnels' packets. Conditions are about the inner packet, whichever side is looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// This side alone; both if `None`.
    pub side: Option<Side>,
    /// From or to a host in this prefix.
    pub host: Option<IpNet>,
    /// One of these protocols; any if empty.
    pub protocols: Vec<Protocol>,
    /// From or to this port. A fragment has none.
    pub port: Option<u16>,
    /// One of so many packets that meet the conditions; at least 1.
    pub sample: u64,
    /// Most bytes that are kept of a packet.
    pub snap_length: usize,
}

impl Wanted {
    fn has_conditions(&self) -> bool {
        self.host.is_some() || !self.protocols.is_empty() || self.port.is_some()
    }

    /// Whether an inner packet meets the conditions; one that never came to light meets none.
    fn met_by(&self, inner: Option<&[u8]>) -> bool {
        if !self.has_conditions() {
            return true;
        }
        let Some(packet) = inner.and_then(|inner| Packet::parse(inner).ok()) else { return false };
        let host =
            |net: IpNet| [packet.source, packet.destination].into_iter().any(|end| net.contains(&IpAddr::from(end)));
        let (source, destination) = packet.ports();
        self.host.is_none_or(host)
            && (self.protocols.is_empty() || self.protocols.contains(&packet.protocol))
            && self.port.is_none_or(|port| source == Some(port) || destination == Some(port))
    }
}

/// A packet that is captured: which tunnel's, and its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Admitted {
    tunnel: u32,
    number: u64,
}

/// One side of a captured packet.
#[derive(Debug)]
pub struct Record {
    /// When the worker came to it.
    pub time: SystemTime,
    /// The tunnel, by its place among those that are captured.
    pub tunnel: u32,
    /// The same for both sides of one packet.
    pub number: u64,
    /// Which side this is.
    pub side: Side,
    /// Which way it goes.
    pub direction: Direction,
    /// Bytes of all of it.
    pub length: usize,
    /// Why it was dropped, if it was.
    pub dropped: Option<&'static str>,
    kept: usize,
    bytes: Box<[u8]>,
}

impl Record {
    /// As much of it as is kept.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..self.kept]
    }
}

/// A capture that is on.
#[derive(Debug)]
pub struct Capture {
    wanted: Wanted,
    /// By slot, the tunnel's place and one; 0 for those of others.
    slots: Box<[AtomicU32]>,
    /// By tunnel, by side.
    missed: Box<[[AtomicU64; 2]]>,
    met: AtomicU64,
    filtered: AtomicU64,
    free: ArrayQueue<Box<Record>>,
    full: ArrayQueue<Box<Record>>,
}

impl Capture {
    /// A capture of `tunnels` tunnels with room for `records` packets that control has not read yet. `slots` is how many
    /// security associations there can be; those of the tunnels are named by [`Capture::assign`].
    ///
    /// # Panics
    /// Without a single record.
    #[must_use]
    pub fn new(wanted: Wanted, tunnels: usize, slots: u32, records: usize) -> Self {
        let (free, full) = (ArrayQueue::new(records), ArrayQueue::new(records));
        for _ in 0..records {
            let record = Record {
                time: SystemTime::UNIX_EPOCH,
                tunnel: 0,
                number: 0,
                side: Side::Inner,
                direction: Direction::ToPeer,
                length: 0,
                dropped: None,
                kept: 0,
                bytes: vec![0; wanted.snap_length].into_boxed_slice(),
            };
            // There is a place for each.
            let _ = free.push(Box::new(record));
        }
        Self {
            wanted,
            slots: (0..slots).map(|_| AtomicU32::new(0)).collect(),
            missed: (0..tunnels).map(|_| Default::default()).collect(),
            met: AtomicU64::new(0),
            filtered: AtomicU64::new(0),
            free,
            full,
        }
    }

    /// Control: says which security associations belong to which tunnels from now on, all others to none.
    pub fn assign(&self, associations: impl IntoIterator<Item = (SaSlot, u32)>) {
        let mut tunnels = vec![0; self.slots.len()];
        for (slot, tunnel) in associations {
            if let Some(entry) = tunnels.get_mut(slot.position()) {
                *entry = tunnel + 1;
            }
        }
        self.slots.iter().zip(tunnels).for_each(|(slot, tunnel)| slot.store(tunnel, Relaxed));
    }

    /// Control: the next record, to be given back.
    #[must_use]
    pub fn receive(&self) -> Option<Box<Record>> {
        self.full.pop()
    }

    /// Control: a record that was read.
    pub fn give_back(&self, record: Box<Record>) {
        let _ = self.free.push(record);
    }

    /// Control: how many records are to be received.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.full.len()
    }

    /// Packets of a tunnel that were missed on one side, for no record was free.
    #[must_use]
    pub fn missed(&self, tunnel: usize, side: Side) -> u64 {
        self.missed.get(tunnel).map_or(0, |sides| sides[side as usize].load(Relaxed))
    }

    /// Packets of the tunnels that did not meet the conditions, or that sampling left out.
    #[must_use]
    pub fn filtered(&self) -> u64 {
        self.filtered.load(Relaxed)
    }

    /// Workers: whether a packet of the association in `slot` is captured. `inner` is `None` where it never came to light.
    #[must_use]
    pub fn admit(&self, slot: SaSlot, inner: Option<&[u8]>) -> Option<Admitted> {
        let tunnel = self.slots.get(slot.position())?.load(Relaxed).checked_sub(1)?;
        if self.wanted.met_by(inner) {
            let number = self.met.fetch_add(1, Relaxed);
            if number.is_multiple_of(self.wanted.sample) {
                return Some(Admitted { tunnel, number });
            }
        }
        self.filtered.fetch_add(1, Relaxed);
        None
    }

    /// Workers: a record of one side of a packet, which counts once it is handed over; `None` where that side is not wanted,
    /// or no record is free.
    #[must_use]
    pub fn record(
        &self,
        admitted: Admitted,
        (side, direction): (Side, Direction),
        time: SystemTime,
        packet: &[u8],
    ) -> Option<Box<Record>> {
        if self.wanted.side.is_some_and(|wanted| wanted != side) {
            return None;
        }
        let Admitted { tunnel, number } = admitted;
        let Some(mut record) = self.free.pop() else {
            if let Some(sides) = self.missed.get(tunnel as usize) {
                sides[side as usize].fetch_add(1, Relaxed);
            }
            return None;
        };
        let kept = packet.len().min(record.bytes.len());
        record.bytes[..kept].copy_from_slice(&packet[..kept]);
        let bytes = std::mem::take(&mut record.bytes);
        *record = Record { time, tunnel, number, side, direction, length: packet.len(), dropped: None, kept, bytes };
        Some(record)
    }

    /// Workers: hands a record to control.
    pub fn hand_over(&self, record: Box<Record>) {
        // There are no more records than places.
        let _ = self.full.push(record);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// scapy: `IP(src="10.1.0.2", dst="10.2.0.2", id=1) / UDP(sport=4000, dport=53)`.
    const QUERY: [u8; 28] = [
        0x45, 0x00, 0x00, 0x1c, 0x00, 0x01, 0x00, 0x00, 0x40, 0x11, 0x66, 0xca, 0x0a, 0x01, 0x00, 0x02, 0x0a, 0x02,
        0x00, 0x02, 0x0f, 0xa0, 0x00, 0x35, 0x00, 0x08, 0xdc, 0x02,
    ];
    const NOW: SystemTime = SystemTime::UNIX_EPOCH;

    fn all() -> Wanted {
        Wanted { side: None, host: None, protocols: vec![], port: None, sample: 1, snap_length: 2048 }
    }

    fn capture(wanted: Wanted, records: usize) -> Capture {
        let capture = Capture::new(wanted, 2, 16, records);
        capture.assign([(SaSlot::of(5), 0), (SaSlot::of(6), 1)]);
        capture
    }

    #[test]
    fn conditions_are_about_either_end_and_all_must_be_met() {
        let host = |text: &str| Wanted { host: Some(text.parse().unwrap()), ..all() };
        let protocols = |numbers: &[u8]| numbers.iter().map(|number| Protocol(*number)).collect::<Vec<_>>();
        for (wanted, met) in [
            (all(), true),
            (host("10.1.0.0/16"), true),
            (host("10.2.0.2/32"), true),
            (host("10.3.0.0/16"), false),
            (host("::/0"), false),
            (Wanted { protocols: protocols(&[1, 17]), ..all() }, true),
            (Wanted { protocols: protocols(&[6]), ..all() }, false),
            (Wanted { port: Some(53), ..all() }, true),
            (Wanted { port: Some(4000), ..all() }, true),
            (Wanted { port: Some(54), ..all() }, false),
            (Wanted { port: Some(54), ..host("10.1.0.0/16") }, false),
        ] {
            let capture = capture(wanted.clone(), 4);
            assert_eq!(capture.admit(SaSlot::of(5), Some(&QUERY)).is_some(), met, "{wanted:?}");
            // Neither what was not opened nor what is no packet meets a condition.
            let anything = !wanted.has_conditions();
            assert_eq!(capture.admit(SaSlot::of(5), None).is_some(), anything, "{wanted:?}");
            assert_eq!(capture.admit(SaSlot::of(5), Some(&QUERY[..9])).is_some(), anything, "{wanted:?}");
            assert_eq!(capture.filtered(), u64::from(!met) + 2 * u64::from(!anything), "{wanted:?}");
        }
    }

    #[test]
    fn only_assigned_associations_are_captured() {
        let capture = capture(all(), 4);
        assert_eq!(capture.admit(SaSlot::of(6), None).unwrap().tunnel, 1);
        assert!(capture.admit(SaSlot::of(7), None).is_none() && capture.admit(SaSlot::of(99), None).is_none());
        capture.assign([(SaSlot::of(7), 0)]);
        assert!(capture.admit(SaSlot::of(6), None).is_none() && capture.admit(SaSlot::of(7), None).is_some());
        assert_eq!(capture.filtered(), 0, "packets of others are not left out, they are not looked at");
    }

    #[test]
    fn one_of_so_many_is_taken() {
        let capture = capture(Wanted { sample: 4, ..all() }, 4);
        let taken: Vec<bool> = (0..9).map(|_| capture.admit(SaSlot::of(5), None).is_some()).collect();
        assert_eq!(taken, [true, false, false, false, true, false, false, false, true]);
        assert_eq!(capture.filtered(), 6);
    }

    #[test]
    fn what_finds_no_record_is_missed_and_counted() {
        let capture = capture(Wanted { snap_length: 20, ..all() }, 3);
        let inner = (Side::Inner, Direction::FromPeer);
        let taken = || {
            let admitted = capture.admit(SaSlot::of(6), Some(&QUERY)).unwrap();
            let record = capture.record(admitted, inner, NOW, &QUERY);
            record.map(|record| capture.hand_over(record)).is_some()
        };
        assert_eq!([taken(), taken(), taken(), taken(), taken()], [true, true, true, false, false]);
        assert_eq!(
            [capture.missed(1, Side::Inner), capture.missed(1, Side::Outer), capture.missed(0, Side::Inner)],
            [2, 0, 0]
        );
        let record = capture.receive().unwrap();
        assert_eq!((record.tunnel, record.number, record.side, record.direction), (1, 0, inner.0, inner.1));
        assert_eq!((record.length, record.bytes()), (28, &QUERY[..20]));
        capture.give_back(record);
        assert!(taken() && !taken());
        assert_eq!(std::iter::from_fn(|| capture.receive()).map(|record| record.number).collect::<Vec<_>>(), [1, 2, 5]);
    }

    #[test]
    fn the_other_side_is_not_missed() {
        let capture = capture(Wanted { side: Some(Side::Outer), ..all() }, 1);
        let admitted = capture.admit(SaSlot::of(5), None).unwrap();
        assert!(capture.record(admitted, (Side::Inner, Direction::ToPeer), NOW, &QUERY).is_none());
        assert_eq!(capture.missed(0, Side::Inner), 0);
        assert!(capture.record(admitted, (Side::Outer, Direction::ToPeer), NOW, &QUERY).is_some());
    }
}
