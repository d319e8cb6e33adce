//! Cycles of the time-stamp counter, by stage.

use quanta::Clock;
use worker::{Stage, Stopwatch};

/// What the batches of a round took.
#[derive(Debug, Clone, Copy, Default)]
pub struct Laps {
    /// Cycles in all.
    pub total: u64,
    /// Cycles of each stage, by its position in [`Stage::ALL`]; only where stages are looked at.
    pub stages: [u64; Stage::ALL.len()],
    /// Packets.
    pub packets: u64,
}

/// Looks at the clock behind every stage.
pub struct Watch<'a> {
    clock: &'a Clock,
    last: u64,
    laps: &'a mut Laps,
}

impl<'a> Watch<'a> {
    /// The first stage begins now.
    pub fn start(clock: &'a Clock, laps: &'a mut Laps) -> Self {
        Self { clock, last: clock.raw(), laps }
    }
}

impl Stopwatch for Watch<'_> {
    #[inline]
    fn ended(&mut self, stage: Stage) {
        let now = self.clock.raw();
        self.laps.stages[stage as usize] += now.wrapping_sub(self.last);
        self.last = now;
    }
}
