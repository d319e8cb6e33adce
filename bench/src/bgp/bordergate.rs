//! Bordergate: this program once more, as a process that can be compared with others'.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use anyhow::{Context, Result, ensure};

use super::device::Watch;
use crate::namespace::Pair;

/// The process's input and output: see [`Question`](super::server::Question).
pub struct Bordergate {
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    /// Of the whole table.
    prefixes: usize,
}

impl Bordergate {
    /// Starts it for a table of so many prefixes of IPv4 and IPv6.
    pub fn start(place: &Pair, [ipv4, ipv6]: [usize; 2]) -> Result<(Child, Self)> {
        let mut child = place
            .at_device(std::env::current_exe()?)
            .args(["bgp", "--serve", "--ipv4", &ipv4.to_string(), "--ipv6", &ipv6.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("starting this program once more")?;
        let input = child.stdin.take().context("its input")?;
        let output = BufReader::new(child.stdout.take().context("its output")?);
        Ok((child, Self { input, output, prefixes: ipv4 + ipv6 }))
    }

    fn ask(&mut self, question: &str) -> Result<u64> {
        writeln!(self.input, "{question}").context("the device has ended")?;
        let mut answer = String::new();
        self.output.read_line(&mut answer)?;
        answer.trim().parse().with_context(|| format!("{question}: the device answers {answer:?}"))
    }
}

impl Watch for Bordergate {
    fn has(&mut self, prefixes: u64) -> Result<bool> {
        Ok(self.ask("count")? == prefixes)
    }

    fn check(&mut self) -> Result<()> {
        let (found, all) = (self.ask("check")?, self.prefixes as u64);
        ensure!(found == all, "the published table leads {found} of {all} prefixes to the peer");
        Ok(())
    }
}
