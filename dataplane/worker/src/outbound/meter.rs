//! Packets into tunnels that are limited.

use std::ptr;

use super::{Batch, Routed};
use crate::DropReason;
use crate::stage::Stopwatch;
use crate::turn::Turn;

/// Drops those packets of the batch that the limits of their tunnels do not admit. A run is asked for at once, and packet by packet only
/// where not all of it is admitted: the limit is shared by all workers, and asking is dear.
#[inline(never)]
pub(super) fn meter<W: Stopwatch>(batch: &mut Batch<'_>, turn: &mut Turn<'_, W>) {
    let (mut refused, mut place) = (0_u64, 0);
    for run in batch.chunk_by(|one, next| ptr::eq(one.outbound, next.outbound)) {
        let (Routed { outbound, tunnel, .. }, start) = (run[0], place);
        place += run.len();
        if !outbound.limited || turn.admits(tunnel, |limits| &limits.outbound, run.iter().map(Routed::due).sum()) {
            continue;
        }
        for (place, routed) in (start..).zip(run) {
            if !routed.admitted && !turn.admits(tunnel, |limits| &limits.outbound, routed.inner.len()) {
                refused |= 1 << place;
                turn.drop_unsealed(outbound.slot, DropReason::RateLimited, routed.inner);
            }
        }
    }
    if refused != 0 {
        batch.retain(|_| {
            let kept = refused & 1 == 0;
            refused >>= 1;
            kept
        });
    }
}

impl Routed<'_> {
    /// Bytes to be admitted.
    fn due(&self) -> usize {
        if self.admitted { 0 } else { self.inner.len() }
    }
}
