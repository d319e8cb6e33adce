//! A batch whose ways are known, sealed into the frames of a port.

use arrayvec::ArrayVec;
use esp::Sealing;
use port::{BATCH, Transmit};
use tables::PortIndex;

use super::{Batch, Routed};
use crate::stage::{Stage, Stopwatch};
use crate::turn::Turn;
use crate::{DropReason, capture};

/// Seals those packets of the batch that leave through `port` into its frames, and hands them over.
pub(crate) fn seal<W: Stopwatch>(batch: &Batch<'_>, port: PortIndex, tx: &mut impl Transmit, turn: &mut Turn<'_, W>) {
    let wanted = batch.iter().filter(|routed| routed.outbound.port == port).count();
    if wanted == 0 {
        return;
    }
    let reserved = tx.reserve(wanted);
    let capacity = tx.capacity();
    let mut lengths = [0; BATCH];
    let mut sealing = Sealing::default();
    let mut frames = tx.frames().zip(&mut lengths).take(reserved);
    let runs = batch.chunk_by(|one, next| std::ptr::eq(one.outbound, next.outbound));
    for run in runs.filter(|run| run[0].outbound.port == port) {
        let outbound = run[0].outbound;
        // Numbers are taken once for the run. Those of packets that then find no frame are left out, which is allowed.
        let Ok(first) = outbound.sa.take_sequence(run.len()) else {
            let exhausted = DropReason::SequenceExhausted;
            run.iter().for_each(|routed| turn.drop_unsealed(outbound.slot, exhausted, routed.inner));
            continue;
        };
        let (mut packets, mut bytes) = (0, 0);
        for (routed, number) in run.iter().zip(first..) {
            let length = routed.header.length() + outbound.sa.sealed_length(routed.inner.len());
            if length > capacity {
                turn.drop_unsealed(outbound.slot, DropReason::TooLong, routed.inner);
                continue;
            }
            let Some((frame, sent)) = frames.next() else {
                turn.drop_unsealed(outbound.slot, DropReason::TransmitRingFull, routed.inner);
                continue;
            };
            *sent = sealing.push(&outbound.sa, routed.header, number, routed.inner, frame) as u16;
            (packets, bytes) = (packets + 1, bytes + routed.inner.len() as u64);
        }
        turn.tally.transmit(packets);
        turn.tally.protect(outbound.slot, packets, bytes);
    }
    drop(frames);
    turn.ended(Stage::Prepare);
    let captured = turn.snapshot.capture.as_ref().map(|_| placed(batch, &sealing));
    sealing.finish_by(&mut turn.hand_over.protect(turn.shared));
    drop(sealing);
    turn.ended(Stage::Protect);
    if let (Some(capture), Some(placed)) = (&turn.snapshot.capture, captured) {
        let frames = tx.frames().zip(lengths).map(|(frame, length)| &frame[..length.into()]);
        let packets = placed.into_iter().zip(frames);
        capture::sealed(capture, packets.map(|(routed, frame)| (routed.outbound.slot, routed.inner, frame)));
    }
    tx.commit(&lengths[..reserved]);
}

/// Those of the batch that are being sealed, in the order of their frames.
#[cold]
fn placed<'b, 'a>(batch: &'b Batch<'a>, sealing: &Sealing<'_>) -> ArrayVec<&'b Routed<'a>, BATCH> {
    let mut rest = batch.iter();
    sealing.inner().filter_map(|inner| rest.find(|routed| std::ptr::eq(routed.inner, inner))).collect()
}
