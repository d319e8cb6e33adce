//! What the kernel knows of a process.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::time::{ClockId, clock_gettime};

/// A running process.
#[derive(Debug, Clone, Copy)]
pub struct Process(pub u32);

/// What a process that is gone is told by.
const ENDED: &str = "the device under test has ended";

/// Bytes of a process.
#[derive(Debug, Clone, Copy)]
pub struct Memory {
    /// That are in memory.
    pub resident: u64,
    /// The most of them that ever were.
    pub peak: u64,
}

impl Process {
    /// Processor time of all its threads so far, in user and kernel mode.
    ///
    /// By the scheduler, to the nanosecond: the ticks of `/proc/PID/stat` are too coarse for a thousand handshakes.
    pub fn busy(self) -> Result<Duration> {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.0)).context(ENDED)?;
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

    /// What it has in memory.
    pub fn memory(self) -> Result<Memory> {
        memory(&fs::read_to_string(format!("/proc/{}/status", self.0)).context(ENDED)?)
    }
}

fn memory(status: &str) -> Result<Memory> {
    let bytes = |field: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(field)).with_context(|| format!("no {field}"))?;
        anyhow::Ok(line.trim().trim_end_matches("kB").trim().parse::<u64>()? * 1024)
    };
    Ok(Memory { resident: bytes("VmRSS:")?, peak: bytes("VmHWM:")? })
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
    fn what_the_kernel_says_is_read() {
        let memory = memory("VmPeak:\t9 kB\nVmHWM:\t    2048 kB\nVmRSS:\t    1024 kB\n").unwrap();
        assert_eq!((memory.resident, memory.peak), (1 << 20, 2 << 20));
        assert_eq!(running("250 31 7\n").unwrap(), Duration::from_nanos(250));
    }

    #[test]
    fn work_and_memory_show() {
        let own = Process(std::process::id());
        let work = || {
            let began = Instant::now();
            while began.elapsed() < Duration::from_millis(50) {
                std::hint::spin_loop();
            }
        };
        let (thread, resident) = (Process::own_thread().unwrap(), own.memory().unwrap().resident);
        work();
        let block = std::hint::black_box(vec![1u8; 64 << 20]);
        let worked = Process::own_thread().unwrap() - thread;
        assert!(worked > Duration::from_millis(5), "{worked:?}");
        assert!(own.memory().unwrap().resident > resident + (block.len() as u64) / 2);
        // Another test's thread that ends meanwhile takes its time along.
        let shows = (0..20).any(|_| {
            let busy = own.busy().unwrap();
            work();
            own.busy().unwrap().saturating_sub(busy) > Duration::from_millis(5)
        });
        assert!(shows);
    }
}
