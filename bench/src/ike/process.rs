//! What the kernel knows of a process.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::time::{ClockId, clock_gettime};

/// A running process.
#[derive(Debug, Clone, Copy)]
pub struct Process(pub u32);

impl Process {
    /// Processor time of all its threads so far, in user and kernel mode.
    ///
    /// By the scheduler, to the nanosecond: the ticks of `/proc/PID/stat` are too coarse for a thousand handshakes.
    pub fn busy(self) -> Result<Duration> {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.0)).context("the responder has ended")?;
        let mut busy = Duration::ZERO;
        for task in tasks {
            // A thread may end while we look.
            if let Ok(schedule) = fs::read_to_string(task?.path().join("schedstat")) {
                busy += running(&schedule)?;
            }
        }
        Ok(busy)
    }

    /// The same of the thread that asks.
    pub fn own_thread() -> Result<Duration> {
        Ok(clock_gettime(ClockId::ThreadCPUTime).try_into()?)
    }

    /// Bytes of it that are in memory.
    pub fn resident(self) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0)).context("the responder has ended")?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
        Ok(line.trim().trim_end_matches("kB").trim().parse::<u64>()? * 1024)
    }
}

/// The first number of a schedstat: nanoseconds on a processor.
fn running(schedule: &str) -> Result<Duration> {
    let nanoseconds = schedule.split_whitespace().next().context("an empty schedstat")?;
    Ok(Duration::from_nanos(nanoseconds.parse()?))
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn work_and_memory_show() {
        let own = Process(std::process::id());
        let work = || {
            let began = Instant::now();
            while began.elapsed() < Duration::from_millis(50) {
                std::hint::spin_loop();
            }
        };
        let (thread, resident) = (Process::own_thread().unwrap(), own.resident().unwrap());
        work();
        let block = std::hint::black_box(vec![1u8; 64 << 20]);
        let worked = Process::own_thread().unwrap() - thread;
        assert!(worked > Duration::from_millis(5), "{worked:?}");
        assert!(own.resident().unwrap() > resident + (block.len() as u64) / 2);
        // Another test's thread that ends meanwhile takes its time along.
        let shows = (0..20).any(|_| {
            let busy = own.busy().unwrap();
            work();
            own.busy().unwrap().saturating_sub(busy) > Duration::from_millis(5)
        });
        assert!(shows);
    }
}
