//! Whether the machine itself keeps time, which is what measurements of a few milliseconds rest on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

const BEAT: Duration = Duration::from_millis(1);
/// Between two beats: a machine that is merely busy keeps well below that, as its scheduler sees to it.
pub const STANDSTILL: Duration = Duration::from_millis(15);

/// A thread that wants to run every millisecond, on either core: what keeps one core busy is not the machine.
pub struct Pulse {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Duration>,
}

impl Pulse {
    /// Starts it.
    pub fn start() -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let ours = Arc::clone(&stop);
        Self { stop, thread: thread::spawn(move || beat(&ours)) }
    }

    /// The longest time between two beats.
    pub fn stop(self) -> Duration {
        self.stop.store(true, Relaxed);
        self.thread.join().unwrap_or(Duration::MAX)
    }
}

fn beat(stop: &AtomicBool) -> Duration {
    let (mut longest, mut last) = (Duration::ZERO, Instant::now());
    while !stop.load(Relaxed) {
        thread::sleep(BEAT);
        let now = Instant::now();
        longest = longest.max(now - last);
        last = now;
    }
    longest
}
