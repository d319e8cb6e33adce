//! What the kernel knows of a process.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};

/// A running process.
#[derive(Debug, Clone, Copy)]
pub struct Process(pub u32);

/// Bytes of a process.
#[derive(Debug, Clone, Copy)]
pub struct Memory {
    /// That are in memory.
    pub resident: u64,
    /// The most of them that ever were.
    pub peak: u64,
}

/// What the kernel counts processor time in (proc_stat(5)): it has been the same on x86 for ever.
const TICK: Duration = Duration::from_millis(10);

impl Process {
    /// Processor time so far, in user and kernel mode, of all its threads, those that have ended included.
    ///
    /// # Errors
    /// Where it has ended.
    pub fn busy(self) -> Result<Duration> {
        busy(&self.file("stat")?)
    }

    /// What it has in memory.
    ///
    /// # Errors
    /// Where it has ended.
    pub fn memory(self) -> Result<Memory> {
        memory(&self.file("status")?)
    }

    fn file(self, name: &str) -> Result<String> {
        fs::read_to_string(format!("/proc/{}/{name}", self.0)).context("the device has ended")
    }
}

fn busy(stat: &str) -> Result<Duration> {
    // The second field is the program's name, which may have blanks.
    let (_, behind) = stat.rsplit_once(')').context("no name in /proc/PID/stat")?;
    let ticks: Vec<u32> = behind.split_whitespace().skip(11).take(2).map(str::parse).collect::<Result<_, _>>()?;
    Ok(TICK * ticks.iter().sum())
}

fn memory(status: &str) -> Result<Memory> {
    let bytes = |field: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(field)).with_context(|| format!("no {field}"))?;
        anyhow::Ok(line.trim().trim_end_matches("kB").trim().parse::<u64>()? * 1024)
    };
    Ok(Memory { resident: bytes("VmRSS:")?, peak: bytes("VmHWM:")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_says_is_read() {
        let stat = "9 (a b) c) S 1 9 9 0 -1 4194560 100 0 0 0 250 31 7 8 20 0 3 0 1 2 3";
        assert_eq!(busy(stat).unwrap(), Duration::from_millis(2810));
        let memory = memory("VmPeak:\t9 kB\nVmHWM:\t    2048 kB\nVmRSS:\t    1024 kB\n").unwrap();
        assert_eq!((memory.resident, memory.peak), (1 << 20, 2 << 20));
        assert!(Process(std::process::id()).memory().unwrap().resident > 1 << 20);
    }
}
