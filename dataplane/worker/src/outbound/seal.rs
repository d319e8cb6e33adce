//! A batch whose ways are known, sealed into the frames of a port.

use arrayvec::ArrayVec;
use esp::{LONG_RUN, Sealing};
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
    let (mut lengths, mut count) = ([0; BATCH], 0);
    let mut sealing = Sealing::default();
    let mut frames = tx.frames();
    let runs = batch.chunk_by(|one, next| std::ptr::eq(one.outbound, next.outbound));
    for run in runs.filter(|run| run[0].outbound.port == port) {
        let Routed { outbound, .. } = run[0];
        // No packet is routed to where it is not known what goes in front of it.
        let Ok(header) = &outbound.header else { continue };
        let sa = &*outbound.sa;
        if turn.scattered {
            sa.prefetch_key(run[0].inner.len());
        }
        // Numbers are taken once for the run. Those of packets that then find no frame are left out, which is allowed.
        let Ok(first) = sa.take_sequence(run.len()) else {
            let exhausted = DropReason::SequenceExhausted;
            run.iter().for_each(|routed| turn.drop_unsealed(outbound.slot, exhausted, routed.inner));
            continue;
        };
        let (before, mut bytes) = (count, 0);
        if (LONG_RUN..=reserved - count).contains(&run.len())
            && header.length() + sa.sealed_length(longest(run)) <= capacity
        {
            let lengths = &mut lengths[count..][..run.len()];
            sealing.push_run((sa, header), first, run.iter().map(|routed| routed.inner), &mut frames, lengths);
            count += run.len();
            bytes = run.iter().map(|routed| routed.inner.len() as u64).sum();
        } else {
            for (routed, number) in run.iter().zip(first..) {
                let inner = routed.inner;
                if header.length() + sa.sealed_length(inner.len()) > capacity {
                    turn.drop_unsealed(outbound.slot, DropReason::TooLong, inner);
                    continue;
                }
                let Some(frame) = frames.next().filter(|_| count < reserved) else {
                    turn.drop_unsealed(outbound.slot, DropReason::TransmitRingFull, inner);
                    continue;
                };
                lengths[count] = sealing.push(sa, header, number, inner, frame) as u16;
                count += 1;
                bytes += inner.len() as u64;
            }
        }
        let packets = (count - before) as u64;
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
        let frames = tx.frames().zip(&lengths[..count]).map(|(frame, length)| &frame[..usize::from(*length)]);
        let packets = placed.into_iter().zip(frames);
        capture::sealed(capture, packets.map(|(routed, frame)| (routed.outbound.slot, routed.inner, frame)));
    }
    tx.commit(&lengths[..count]);
}

/// Bytes of the longest packet.
fn longest(run: &[Routed<'_>]) -> usize {
    run.iter().map(|routed| routed.inner.len()).fold(0, usize::max)
}

/// Those of the batch that are being sealed, in the order of their frames.
#[cold]
fn placed<'b, 'a>(batch: &'b Batch<'a>, sealing: &Sealing<'_>) -> ArrayVec<&'b Routed<'a>, BATCH> {
    let mut rest = batch.iter();
    sealing.inner().filter_map(|inner| rest.find(|routed| std::ptr::eq(routed.inner, inner))).collect()
}
