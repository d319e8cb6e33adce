//! Packets out of tunnels that are limited.

use esp::{Opened, Refusal};
use port::Transmit;
use tables::{PortIndex, Traffic};

use super::classify::Batch;
use crate::stage::Stopwatch;
use crate::turn::Turn;

/// A bit for each packet that was opened and that its tunnel's limit admits: of runs that are admitted whole, for to ask for each packet
/// is dear. Of others each is still to be asked for.
#[inline(never)]
pub(super) fn meter<W: Stopwatch>(
    batch: &Batch<'_>,
    opened: u64,
    accepted: &[Result<(), Refusal>],
    port: PortIndex,
    tx: &mut impl Transmit,
    turn: &Turn<'_, W>,
) -> u64 {
    let mut admitted = 0;
    let mut places = accepted.iter().zip(tx.frames());
    for (association, packets) in batch.runs(port) {
        let inbound = association.inbound;
        let (mut run, mut due) = (0, 0);
        for esp in packets.iter().filter(|esp| esp.is_among(opened)) {
            let Some((accepted, frame)) = places.next() else { break };
            if let Ok(opened) = accepted.and_then(|()| Opened::of(esp.text(frame, association.opening())))
                && opened.is_ip()
            {
                run |= 1 << esp.place;
                due += opened.length;
            }
        }
        if inbound.traffic == Traffic::Limited && turn.admits(inbound.tunnel, |limits| &limits.inbound, due) {
            admitted |= run;
        }
    }
    admitted
}
