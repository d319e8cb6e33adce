//! From a peer to a VPC: classify, find the association, open, check, route, deliver.

mod classify;
mod deliver;
mod straight;

use arrayvec::ArrayVec;
use esp::{Opening, Refusal, Stale};
use port::{BATCH, Transmit};
use tables::{PortIndex, SaSlot};
use wire::Link;

use self::classify::Sealed;
pub(crate) use self::classify::{Batch, classify};
use self::deliver::{Delivery, deliver};
use self::straight::deliver_straight;
use crate::last::Last;
use crate::stage::{Stage, Stopwatch};
use crate::turn::{Origin, Turn};
use crate::{DropReason, capture};

/// Opens those packets of the batch that are expected to leave through `port` into its frames, and hands over those
/// that do. The others, which stand in the wrong port's frames, are offered to `elsewhere` as whole frames.
pub(crate) fn open<W: Stopwatch>(
    batch: &Batch<'_>,
    port: PortIndex,
    tx: &mut impl Transmit,
    turn: &mut Turn<'_, W>,
    mut elsewhere: impl FnMut(PortIndex, &[u8]) -> Result<(), DropReason>,
) {
    let wanted = batch.iter().filter(|sealed| sealed.inbound.expected == port).count();
    if wanted == 0 {
        return;
    }
    let reserved = tx.reserve(wanted);
    let room = tx.capacity() - Link::TAGGED;
    let mut opening = Opening::default();
    let mut pushed: ArrayVec<&Sealed<'_>, BATCH> = ArrayVec::new();
    let mut frames = tx.frames().take(reserved);
    for sealed in batch.iter().filter(|sealed| sealed.inbound.expected == port) {
        let admitted = match sealed.inbound.sa.admit(sealed.esp.bytes()) {
            Ok(admitted) => admitted,
            Err(refusal) => {
                turn.drop_unopened(sealed.slot, refused(refusal), sealed.esp.outer);
                continue;
            }
        };
        if admitted.opened_length() > room {
            turn.drop_unopened(sealed.slot, DropReason::TooLong, sealed.esp.outer);
            continue;
        }
        let Some(frame) = frames.next() else {
            turn.drop_unopened(sealed.slot, DropReason::TransmitRingFull, sealed.esp.outer);
            continue;
        };
        if turn.scattered {
            turn.tally.prefetch(sealed.slot);
        }
        opening.push(admitted, &mut frame[Link::UNTAGGED..]);
        pushed.push(sealed);
    }
    drop(frames);
    turn.ended(Stage::Prepare);
    let results = opening.finish_by(&mut turn.hand_over.protect(turn.shared));
    drop(opening);
    turn.ended(Stage::Protect);

    let captured = turn.snapshot.capture.as_deref().map(|capture| {
        let packets = pushed.iter().zip(&results).zip(tx.frames());
        let packets = packets.map(|((sealed, result), frame)| {
            let inner = result.map(|opened| &frame[Link::UNTAGGED..][..opened.length]);
            (sealed.slot, sealed.esp.outer, inner.map_err(refused))
        });
        capture::Opened::new(capture, packets)
    });
    let mut dropped = [None; BATCH];

    let mut lengths = [0; BATCH];
    let mut run = Run::default();
    let mut last = Last::new();
    let mut straight = 0;
    for (position, (((sealed, result), frame), length)) in
        pushed.iter().zip(&results).zip(tx.frames()).zip(&mut lengths).enumerate()
    {
        let opened = match result.map_err(refused) {
            Ok(opened) => opened,
            Err(reason) => {
                turn.tally.drop_of(sealed.slot, reason);
                continue;
            }
        };
        run.count(sealed.slot, opened.length, turn);
        if let Some(framed) = deliver_straight(sealed, opened, (port, frame), &last, turn) {
            *length = framed as u16;
            straight += 1;
            continue;
        }
        match deliver(sealed, opened, frame, &mut last, turn) {
            Ok((Delivery::To(leaving), framed)) if leaving == port => {
                *length = framed as u16;
                turn.tally.transmit(1);
            }
            Ok((Delivery::To(leaving), framed)) => match elsewhere(leaving, frame.get(..framed).unwrap_or_default()) {
                Ok(()) => turn.tally.transmit(1),
                Err(reason) => {
                    dropped[position] = Some(reason);
                    turn.tally.drop_of(sealed.slot, reason);
                }
            },
            Ok((Delivery::Passed, _)) => turn.tally.pass(),
            Err(refused) => {
                dropped[position] = Some(refused.reason);
                let packet = frame.get(Link::UNTAGGED..).and_then(|rest| rest.get(..opened.length));
                let origin = Origin::Tunnel(sealed.inbound.tunnel);
                turn.refuse(refused, sealed.inbound.gateway, origin, packet.unwrap_or_default());
            }
        }
    }
    turn.tally.transmit(straight);
    run.finish(turn);
    if let Some(opened) = captured {
        opened.finish(&dropped);
    }
    turn.ended(Stage::Deliver);
    tx.commit(&lengths[..reserved]);
}

/// Packets in a row of one association, counted at once.
#[derive(Default)]
struct Run {
    slot: Option<SaSlot>,
    packets: u64,
    bytes: u64,
}

impl Run {
    #[inline(always)]
    fn count<W: Stopwatch>(&mut self, slot: SaSlot, bytes: usize, turn: &mut Turn<'_, W>) {
        if self.slot != Some(slot) {
            self.finish(turn);
            *self = Self { slot: Some(slot), packets: 0, bytes: 0 };
        }
        self.packets += 1;
        self.bytes += bytes as u64;
    }

    #[inline(always)]
    fn finish<W: Stopwatch>(&self, turn: &mut Turn<'_, W>) {
        if let Some(slot) = self.slot {
            turn.tally.protect(slot, self.packets, self.bytes);
        }
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
