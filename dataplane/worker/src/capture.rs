//! Copies of packets for the capture that is on. Everything here is off the usual way: a batch comes here where its
//! snapshot has a capture, a packet where it is dropped and a capture is on.

use std::time::SystemTime;

use arrayvec::ArrayVec;
use port::BATCH;
use tables::{Capture, Direction, Record, SaSlot, Side};
use wire::Link;

use crate::DropReason;

const TO_PEER: (Side, Direction) = (Side::Inner, Direction::ToPeer);

/// Packets that were sealed: inner ones, with the frames that they are in now.
#[cold]
#[inline(never)]
pub(crate) fn sealed<'a>(capture: &Capture, packets: impl Iterator<Item = (SaSlot, &'a [u8], &'a [u8])>) {
    let now = SystemTime::now();
    for (slot, inner, frame) in packets {
        let Some(admitted) = capture.admit(slot, Some(inner)) else { continue };
        let outer = frame.get(Link::parse(frame).map_or(0, |link| link.length)..).unwrap_or_default();
        let sides = [(TO_PEER, inner), ((Side::Outer, Direction::ToPeer), outer)];
        let records = sides.into_iter().filter_map(|(side, packet)| capture.record(admitted, side, now, packet));
        records.for_each(|record| capture.hand_over(record));
    }
}

/// A packet that was dropped before it was sealed.
#[cold]
#[inline(never)]
pub(crate) fn unsealed(capture: &Capture, slot: SaSlot, inner: &[u8], reason: DropReason) {
    let admitted = capture.admit(slot, Some(inner));
    hand_over(capture, admitted.and_then(|one| capture.record(one, TO_PEER, SystemTime::now(), inner)), Some(reason));
}

/// A packet that was dropped before it was opened.
#[cold]
#[inline(never)]
pub(crate) fn unopened(capture: &Capture, slot: SaSlot, outer: &[u8], reason: DropReason) {
    let side = (Side::Outer, Direction::FromPeer);
    let admitted = capture.admit(slot, None);
    hand_over(capture, admitted.and_then(|one| capture.record(one, side, SystemTime::now(), outer)), Some(reason));
}

/// Packets that were opened, while it is not known yet what becomes of them.
pub(crate) struct Opened<'a> {
    capture: &'a Capture,
    inner: ArrayVec<Option<Box<Record>>, BATCH>,
}

impl<'a> Opened<'a> {
    /// Takes outer packets and what came out of them, or why nothing did.
    #[cold]
    #[inline(never)]
    pub(crate) fn new<'p>(
        capture: &'a Capture,
        packets: impl Iterator<Item = (SaSlot, &'p [u8], Result<&'p [u8], DropReason>)>,
    ) -> Self {
        let now = SystemTime::now();
        let mut inner = ArrayVec::new();
        for (slot, outer, opened) in packets {
            let admitted = capture.admit(slot, opened.ok());
            let record = |side, packet| capture.record(admitted?, (side, Direction::FromPeer), now, packet);
            hand_over(capture, record(Side::Outer, outer), opened.err());
            inner.push(opened.ok().and_then(|opened| record(Side::Inner, opened)));
        }
        Self { capture, inner }
    }

    /// Hands them over, now that it is known why some were dropped after they were opened.
    #[cold]
    #[inline(never)]
    pub(crate) fn finish(self, dropped: &[Option<DropReason>]) {
        let Self { capture, inner } = self;
        inner.into_iter().zip(dropped).for_each(|(record, reason)| hand_over(capture, record, *reason));
    }
}

fn hand_over(capture: &Capture, record: Option<Box<Record>>, dropped: Option<DropReason>) {
    if let Some(mut record) = record {
        record.dropped = dropped.map(DropReason::name);
        capture.hand_over(record);
    }
}
