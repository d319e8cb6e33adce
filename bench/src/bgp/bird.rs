//! BIRD 2 beside ours: it takes all, tells nothing, and has no protocol that would bring routes to the kernel.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::process::{Child, Stdio};

use anyhow::{Context, Result, ensure};

use super::addresses::{DEVICE, FEEDER};
use super::device::{Watch, patiently};
use super::feeder::{DEVICE_AS, FEEDER_AS};
use super::folder::Folder;
use crate::namespace::Pair;

/// Where Debian has it.
pub const PROGRAM: &str = "/usr/sbin/bird";
/// What its routes come from.
const PROTOCOL: &str = "feeder";

/// A running BIRD's control socket.
pub struct Bird {
    socket: BufReader<UnixStream>,
    _folder: Folder,
}

impl Bird {
    /// Starts it.
    pub fn start(place: &Pair) -> Result<(Child, Self)> {
        let folder = Folder::make("bird")?;
        let (config, control) = (folder.file("bird.conf"), folder.file("bird.ctl"));
        fs::write(&config, configuration())?;
        let mut child = place
            .at_device(PROGRAM)
            .args(["-f", "-c"])
            .arg(&config)
            .arg("-s")
            .arg(&control)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .context("running ip: install iproute2")?;
        let opened = patiently("BIRD", || UnixStream::connect(&control)).and_then(|stream| {
            let mut bird = Self { socket: BufReader::new(stream), _folder: folder };
            let welcome = bird.reply()?;
            ensure!(welcome.contains("ready"), "BIRD is not ready: {welcome}");
            Ok(bird)
        });
        if opened.is_err() {
            let _ = child.kill();
            let _ = child.wait();
        }
        Ok((child, opened?))
    }

    /// All lines up to the one that ends a reply: its code is 0000, 0001 or an error, with a blank behind it.
    fn reply(&mut self) -> Result<String> {
        let mut reply = String::new();
        loop {
            let began = reply.len();
            ensure!(self.socket.read_line(&mut reply)? > 0, "BIRD has closed its control socket");
            let line = reply.get(began..).unwrap_or_default();
            let code = line.get(..4).is_some_and(|code| code.bytes().all(|digit| digit.is_ascii_digit()));
            if code && line.get(4..5) == Some(" ") {
                ensure!(!line.starts_with(['8', '9']), "BIRD says: {line}");
                return Ok(reply);
            }
        }
    }
}

impl Watch for Bird {
    fn has(&mut self, prefixes: u64) -> Result<bool> {
        writeln!(self.socket.get_mut(), "show protocols all {PROTOCOL}")?;
        Ok(chosen(&self.reply()?)? == prefixes)
    }
}

fn configuration() -> String {
    format!(
        "log stderr {{ error, fatal, bug }};
        router id {DEVICE};
        protocol device {{ }}
        protocol bgp {PROTOCOL} {{
            local {DEVICE} as {DEVICE_AS};
            neighbor {FEEDER} as {FEEDER_AS};
            passive on;
            hold time 0;
            ipv4 {{ import all; export none; }};
            ipv6 {{ import all; export none; }};
        }}
        "
    )
}

/// Routes that were chosen, of all channels: BIRD chooses when it takes a route in, and counts.
fn chosen(reply: &str) -> Result<u64> {
    let lines = reply.lines().filter_map(|line| line.trim().strip_prefix("Routes:"));
    let preferred = lines.map(|line| {
        let word = line.split(',').find_map(|part| part.trim().strip_suffix(" preferred"));
        anyhow::Ok(word.with_context(|| format!("BIRD does not say what is preferred: {line}"))?.parse::<u64>()?)
    });
    preferred.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_chosen_is_read_from_all_channels() {
        let reply = "1002-feeder     BGP        ---        up     16:07:35.963  Established   \n\
            1006-  Channel ipv4\n     Routes:         9900 imported, 0 exported, 9899 preferred\n\
            \x20  Channel ipv6\n     Routes:         2000 imported, 0 exported, 2000 preferred\n0000 \n";
        assert_eq!(chosen(reply).unwrap(), 11_899);
        assert_eq!(chosen("0000 \n").unwrap(), 0);
        assert!(chosen("Routes: 1 imported\n").is_err());
    }
}
