//! A running `bordergate run`, and what it says of its neighbours.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;

use super::folder::Folder;
use super::patience::wait_until;
use super::site::Side;
use super::topology::{Place, Topology};
use super::tunnel::Tunnel;
use crate::namespace::output;

/// For so long it may take to start and to stop.
const LIMIT: Duration = Duration::from_secs(15);
/// Of its log, the lines that are shown where it ends.
const LAST_LINES: usize = 12;

/// The daemon of one side, ended when dropped.
pub struct Gateway {
    side: Side,
    child: Child,
    program: PathBuf,
    socket: PathBuf,
    pins: PathBuf,
    log: PathBuf,
}

/// A peer in a tunnel, as `bgp summary` has it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Neighbor {
    tunnel: String,
    state: String,
    bfd: Option<String>,
    prefixes_received: Families,
    /// How often its session has come up.
    pub times_up: u64,
    last_error: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Families {
    ipv4: u64,
}

#[derive(Deserialize)]
struct Summary {
    neighbors: Vec<Neighbor>,
}

impl Gateway {
    /// Starts it and waits until it answers.
    pub fn start(side: Side, program: &Path, log: &str, topology: &Topology, folder: &Folder) -> Result<Self> {
        let name = side.name();
        let [file, log_file, socket, pins] =
            ["toml", "log", "sock", "bpf"].map(|kind| folder.file(&format!("{name}.{kind}")));
        fs::write(&file, side.render(&topology.inner_namespace(side)))?;
        let writer = File::create(&log_file)?;
        let mut command = Command::new(program);
        command.arg("run").arg(&file).args(["--cores", &side.core().to_string(), "--queues", "1", "--log", log]);
        command.arg("--socket").arg(&socket).arg("--pin-dir").arg(&pins);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(writer);
        let started = topology.inside(Place::of(side), || Ok(command.spawn()?));
        let child = started.with_context(|| format!("running {}", program.display()))?;
        let mut gateway = Self { side, child, program: program.to_owned(), socket, pins, log: log_file };
        wait_until(LIMIT, || {
            if let Some(status) = gateway.child.try_wait()? {
                bail!("{name} ended at once with {status}:\n{}", gateway.last_lines());
            }
            Ok(gateway.neighbors().err().map(|error| format!("{name} does not answer: {error:#}")))
        })?;
        Ok(gateway)
    }

    /// Has a tunnel's traffic go through the other one.
    pub fn drain(&self, tunnel: &Tunnel) -> Result<()> {
        self.bgp(&["drain", tunnel.name]).map(drop)
    }

    /// Ends that.
    pub fn undrain(&self, tunnel: &Tunnel) -> Result<()> {
        self.bgp(&["undrain", tunnel.name]).map(drop)
    }

    /// All of its neighbours.
    pub fn neighbors(&self) -> Result<Vec<Neighbor>> {
        let told = self.bgp(&["summary", "--json"])?;
        let summary: Summary = serde_json::from_str(&told).with_context(|| format!("the summary: {told}"))?;
        Ok(summary.neighbors)
    }

    /// The one in a tunnel.
    pub fn neighbor(&self, tunnel: &Tunnel) -> Result<Neighbor> {
        let found = self.neighbors()?.into_iter().find(|neighbor| neighbor.tunnel == tunnel.name);
        found.with_context(|| format!("{} has no neighbour in {}", self.side.name(), tunnel.name))
    }

    /// What is missing until a tunnel's session is established and watched, and there are routes by it.
    pub fn missing_up(&self, tunnel: &Tunnel) -> Result<Option<String>> {
        let neighbor = self.neighbor(tunnel)?;
        Ok((!neighbor.is_up()).then(|| format!("{} has {neighbor:?}, not up", self.side.name())))
    }

    /// What is missing until BFD says that a tunnel is lost.
    pub fn missing_down(&self, tunnel: &Tunnel) -> Result<Option<String>> {
        let neighbor = self.neighbor(tunnel)?;
        Ok((!neighbor.is_lost()).then(|| format!("{} has {neighbor:?}, not lost", self.side.name())))
    }

    /// Which side it is of.
    pub fn side(&self) -> Side {
        self.side
    }

    /// What has happened to its sessions, for people.
    pub fn events(&self) -> Result<String> {
        self.bgp(&["events"])
    }

    /// Stops it.
    ///
    /// # Errors
    /// Where it does not end well.
    pub fn stop(mut self) -> Result<()> {
        let status = self.end()?;
        ensure!(status.success(), "{} ended with {status} on SIGTERM:\n{}", self.side.name(), self.last_lines());
        Ok(())
    }

    /// A clean stop removes what it has made.
    fn end(&mut self) -> Result<ExitStatus> {
        if let Some(status) = self.child.try_wait()? {
            return Ok(status);
        }
        let pid = Pid::from_raw(self.child.id().cast_signed()).context("the process has no id")?;
        kill_process(pid, Signal::TERM)?;
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            if began.elapsed() > LIMIT {
                self.child.kill()?;
                return Ok(self.child.wait()?);
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    fn bgp(&self, arguments: &[&str]) -> Result<String> {
        output(Command::new(&self.program).arg("bgp").args(arguments).arg("--socket").arg(&self.socket))
    }

    fn last_lines(&self) -> String {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(LAST_LINES)..].join("\n")
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        if let Err(error) = self.end() {
            eprintln!("left behind: {}: {error:#}", self.side.name());
        }
        // It has mounted a file system for its pins, which nobody needs any more.
        if self.pins.exists()
            && let Err(error) = output(Command::new("umount").arg("--lazy").arg(&self.pins))
        {
            eprintln!("left behind: {error:#}");
        }
    }
}

impl Neighbor {
    fn is_up(&self) -> bool {
        self.state == "established" && self.bfd.as_deref() == Some("up") && self.prefixes_received.ipv4 > 0
    }

    fn is_lost(&self) -> bool {
        self.state != "established" && self.bfd.as_deref() == Some("down")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_neighbour_is_up_if_it_is_watched_and_has_routes() {
        let neighbor = |state: &str, bfd: &str, ipv4: u64| -> Neighbor {
            let told = format!(
                r#"{{"tunnel":"tun-1","state":"{state}","bfd":{bfd},"prefixes_received":{{"ipv4":{ipv4},"ipv6":0}},
                "times_up":1,"last_error":null,"import":"all"}}"#
            );
            serde_json::from_str(&told).unwrap()
        };
        assert!(neighbor("established", "\"up\"", 1).is_up());
        assert!(!neighbor("established", "\"up\"", 0).is_up());
        assert!(!neighbor("established", "null", 1).is_up());
        assert!(neighbor("active", "\"down\"", 0).is_lost());
        assert!(!neighbor("established", "\"down\"", 1).is_lost());
    }
}
