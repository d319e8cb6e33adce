//! Waiting for what takes its time.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// How often it is looked: who looks takes time from what is measured.
const LOOK: Duration = Duration::from_millis(100);

/// Waits until there is nothing left to wait for; `missing` says what there is.
///
/// # Errors
/// Where there still is after `limit`, and those of looking.
pub fn wait_until(limit: Duration, mut missing: impl FnMut() -> Result<Option<String>>) -> Result<()> {
    let began = Instant::now();
    while let Some(missing) = missing()? {
        if began.elapsed() > limit {
            bail!("after {} s still {missing}", limit.as_secs());
        }
        thread::sleep(LOOK);
    }
    Ok(())
}
