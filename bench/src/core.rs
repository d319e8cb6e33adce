//! The core that a bench measures on.

use std::hint;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use core_affinity::CoreId;

/// How long the core is kept busy before the first turn: one that was idle may run at a lower clock, and the time-stamp
/// counter does not.
const WAKING: Duration = Duration::from_millis(500);

/// Keeps this thread on the core that `--core` names.
///
/// # Errors
/// Where it cannot run there.
pub fn stay(core: usize) -> Result<()> {
    ensure!(core_affinity::set_for_current(CoreId { id: core }), "--core {core}: cannot run there");
    Ok(())
}

/// Keeps the core busy until it runs at its full clock.
pub fn wake() {
    let began = Instant::now();
    while began.elapsed() < WAKING {
        hint::spin_loop();
    }
}
