//! strongSwan with its ESP in user space, at the device's place of the chain.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};

use super::chain::Chain;

/// A pair of strongSwans with a tunnel between them: one is the device under test, the other negotiated with it. Ended
/// when dropped.
pub struct StrongSwan {
    script: Child,
    device: u32,
}

/// Starts the pair, brings the tunnel up, says the device's process, and ends it when its input closes.
const SCRIPT: &str = "testbed/strongswan-pair";
/// Nanoseconds of one clock tick in `/proc/PID/stat`: 100 a second on every Linux.
const TICK: u64 = 10_000_000;

impl StrongSwan {
    /// Starts it and waits until the tunnel is up.
    pub fn start(chain: &Chain) -> Result<Self> {
        eprintln!("strongSwan: starting, and bringing its tunnel up");
        let mut script = Command::new(SCRIPT)
            .args([chain.device(), chain.ends()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("running {SCRIPT}: bordergate-bench veth runs from the project's folder"))?;
        let mut line = String::new();
        BufReader::new(script.stdout.take().context("its output")?).read_line(&mut line)?;
        let Ok(device) = line.trim().parse() else {
            let _ = script.wait();
            bail!("{SCRIPT} did not bring a tunnel up; --without-strongswan leaves it out");
        };
        Ok(Self { script, device })
    }

    /// Processor time of the device so far, in user and kernel mode.
    pub fn busy_nanoseconds(&self) -> u64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.device)).unwrap_or_default();
        // The name may hold spaces and ends with the last parenthesis; times are fields 14 and 15.
        let fields = stat.rsplit_once(')').map(|(_, rest)| rest.split_whitespace().skip(11)).into_iter().flatten();
        fields.take(2).filter_map(|field| field.parse::<u64>().ok()).sum::<u64>() * TICK
    }
}

impl Drop for StrongSwan {
    fn drop(&mut self) {
        drop(self.script.stdin.take());
        let _ = self.script.wait();
    }
}
