//! Where a figure was measured: no row without it.

use std::fs;
use std::process::Command;

use serde::Serialize;

/// The machine, the kernel and the commit of a run.
#[derive(Debug, Serialize)]
pub struct Environment {
    commit: String,
    cpu: String,
    cores: usize,
    kernel: String,
    tsc_ghz: f64,
}

impl Environment {
    /// Reads what the kernel says of the machine.
    pub fn read() -> Self {
        let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let field = |name: &str| {
            let line = info.lines().find(|line| line.starts_with(name));
            line.and_then(|line| line.split_once(':')).map(|(_, value)| value.trim().to_owned()).unwrap_or_default()
        };
        // The kernel derives this number from the time-stamp counter: two per cycle.
        let bogomips: f64 = field("bogomips").parse().unwrap_or(0.0);
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        Self {
            commit: commit(),
            cpu: field("model name"),
            cores: info.lines().filter(|line| line.starts_with("processor")).count(),
            kernel: kernel.trim().to_owned(),
            tsc_ghz: bogomips / 2000.0,
        }
    }

    /// Cycles of the time-stamp counter in a nanosecond.
    pub fn cycles_per_nanosecond(&self) -> f64 {
        self.tsc_ghz
    }

    /// The last object of a run.
    pub fn print(&self, bench: &str) {
        println!("{}", serde_json::json!({"bench": bench, "env": self}));
    }
}

fn commit() -> String {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let Some(commit) = git(&["rev-parse", "--short=12", "HEAD"]) else { return "unknown".to_owned() };
    let dirty = git(&["status", "--porcelain", "--untracked-files=no"]).is_none_or(|status| !status.is_empty());
    if dirty { commit + "-dirty" } else { commit }
}
