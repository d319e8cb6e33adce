//! From a peer to a VPC: classify, find the association, open, check, route, deliver.

mod classify;
mod deliver;
mod meter;
mod straight;

use std::cell::Cell;

use esp::{LeftOut, Opened, Opening, Refusal, Room, Stale};
use port::{BATCH, Transmit};
use tables::PortIndex;
use wire::Link;

use self::classify::Association;
pub(crate) use self::classify::{Batch, classify};
use self::deliver::{Place, deliver_others};
use self::meter::meter;
use self::straight::deliver_straight;
use crate::stage::{Stage, Stopwatch};
use crate::turn::Turn;
use crate::{DropReason, capture};

/// Opens those packets of the batch that are expected to leave through `port` into its frames, and hands over those
/// that do. The others, which stand in the wrong port's frames, are offered to `elsewhere` as whole frames.
pub(crate) fn open<W: Stopwatch>(
    batch: &Batch<'_>,
    port: PortIndex,
    tx: &mut impl Transmit,
    turn: &mut Turn<'_, W>,
    elsewhere: impl FnMut(PortIndex, &[u8]) -> Result<(), DropReason>,
) {
    let wanted = batch.count(port);
    if wanted == 0 {
        return;
    }
    let reserved = tx.reserve(wanted);
    let mut opening = Opening::default();
    let bytes = tx.capacity() - Link::TAGGED;
    let start = Cell::new(0);
    let mut room = Room { frames: tx.frames().map(|frame| &mut frame[start.get()..]), count: reserved, bytes };
    // A bit for each packet of the batch that is opened here, if it is one of this port's.
    let mut opened = u64::MAX;
    for (Association { inbound, slot }, packets) in batch.runs(port) {
        let packets = packets.iter().map(|esp| (esp, esp.bytes));
        start.set(inbound.content_start());
        opening.push_run(&inbound.sa, packets, &mut room, &mut |esp, why| {
            opened &= !(1 << esp.place);
            turn.drop_unopened(slot, left_out(why), esp.outer);
        });
    }
    drop(room);
    turn.ended(Stage::Prepare);
    let accepted = opening.finish_by(&mut turn.hand_over.protect(turn.shared));
    drop(opening);
    turn.ended(Stage::Protect);

    let captured = turn.snapshot.capture.as_deref().map(|capture| {
        let packets = batch.packets(port).filter(|(_, esp)| esp.is_among(opened)).zip(&accepted);
        let packets = packets.zip(tx.frames()).map(|(((association, esp), accepted), frame)| {
            let text = esp.text(frame, association.opening());
            let opened = accepted.and_then(|()| Opened::of(text));
            (association.slot, esp.outer, opened.map(|opened| &text[..opened.length]).map_err(refused))
        });
        capture::Opened::new(capture, packets)
    });
    let admitted = if batch.is_limited() { meter(batch, opened, &accepted, port, tx, turn) } else { 0 };
    let (mut lengths, mut dropped) = ([0; BATCH], [None; BATCH]);
    let places = tx.frames().zip(&mut lengths).zip(&mut dropped).map(Place::of);
    let others = deliver_straight(batch, (opened, admitted), &accepted, port, places, turn);
    if others != 0 {
        let places = tx.frames().zip(&mut lengths).zip(&mut dropped).map(Place::of);
        deliver_others(batch, (opened, admitted, others), port, places, turn, elsewhere);
    }
    if let Some(opened) = captured {
        opened.finish(&dropped);
    }
    turn.ended(Stage::Deliver);
    tx.commit(&lengths[..reserved]);
}

fn left_out(why: LeftOut) -> DropReason {
    match why {
        LeftOut::Refused(refusal) => refused(refusal),
        LeftOut::TooLong => DropReason::TooLong,
        LeftOut::NoFrame => DropReason::TransmitRingFull,
    }
}

fn refused(refusal: Refusal) -> DropReason {
    match refusal {
        Refusal::Malformed => DropReason::MalformedEsp,
        Refusal::Stale(Stale::BehindWindow) => DropReason::BehindWindow,
        Refusal::Stale(Stale::Replayed) => DropReason::Replayed,
        Refusal::Stale(Stale::Impossible) => DropReason::ImpossibleSequence,
        Refusal::NotAuthentic => DropReason::NotAuthentic,
        Refusal::BadPadding => DropReason::BadPadding,
    }
}
