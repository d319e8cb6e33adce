//! FRR's bgpd beside ours, alone: without zebra there is nobody who would bring routes to the kernel. It takes all and tells
//! nothing.
//!
//! With zebra beside it, which then says of the next hops that they are reachable, it takes neither more nor less time. Of the memory of
//! version 8.4 two thirds are communities as text, 8 KiB for each set of them, as its `show memory` says.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::process::{Child, Stdio};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use super::addresses::{DEVICE, FEEDER};
use super::device::{Watch, patiently};
use super::feeder::{DEVICE_AS, FEEDER_AS};
use super::folder::Folder;
use crate::namespace::Pair;

/// Where Debian has it.
pub const PROGRAM: &str = "/usr/lib/frr/bgpd";

/// A running bgpd's terminal.
pub struct Frr {
    terminal: UnixStream,
    /// What it had when it was asked last and had what it was asked for, and how often it had chosen by then.
    known: (u64, u64),
    _folder: Folder,
}

impl Frr {
    /// Starts it.
    pub fn start(place: &Pair) -> Result<(Child, Self)> {
        let folder = Folder::make("frr")?;
        let config = folder.file("bgpd.conf");
        fs::write(&config, configuration())?;
        let mut child = place
            .at_device(PROGRAM)
            .args(["--no_zebra", "--no_kernel", "--skip_runas", "--user", "root", "--group", "root", "--vty_port", "0"])
            .args(["--log-level", "emergencies", "--config_file"])
            .arg(&config)
            .arg("--vty_socket")
            .arg(folder.path())
            .arg("--pid_file")
            .arg(folder.file("bgpd.pid"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .context("running ip: install iproute2")?;
        let opened = patiently("FRR", || UnixStream::connect(folder.file("bgpd.vty"))).and_then(|terminal| {
            let mut frr = Self { terminal, known: (0, 0), _folder: folder };
            frr.ask("enable")?;
            Ok(frr)
        });
        if opened.is_err() {
            let _ = child.kill();
            let _ = child.wait();
        }
        Ok((child, opened?))
    }

    /// As vtysh does: a command that ends in a zero octet; the reply ends in three and a status.
    fn ask(&mut self, command: &str) -> Result<String> {
        self.terminal.write_all(&[command.as_bytes(), &[0]].concat())?;
        let (mut reply, mut piece) = (Vec::new(), [0; 8192]);
        loop {
            let length = self.terminal.read(&mut piece)?;
            ensure!(length > 0, "FRR has closed its terminal");
            reply.extend_from_slice(&piece[..length]);
            if let Some((body, [0, 0, 0, status])) = reply.split_last_chunk() {
                let body = String::from_utf8_lossy(body).into_owned();
                ensure!(*status == 0, "FRR refuses {command:?}: {body}");
                return Ok(body);
            }
        }
    }
}

impl Watch for Frr {
    /// It counts what is received at once and chooses later: the version of its table counts prefixes for which it has chosen.
    fn has(&mut self, prefixes: u64) -> Result<bool> {
        let (received, version) = counts(&self.ask("show bgp summary json")?)?;
        let (before, chosen) = self.known;
        let has = received == prefixes && version >= chosen + before.abs_diff(prefixes);
        if has {
            self.known = (prefixes, version);
        }
        Ok(has)
    }
}

fn configuration() -> String {
    let family = |name: &str| {
        format!(
            "address-family {name} unicast
              neighbor {FEEDER} activate
              neighbor {FEEDER} prefix-list NONE out
             exit-address-family
            "
        )
    };
    format!(
        "ip prefix-list NONE seq 5 deny any
        ipv6 prefix-list NONE seq 5 deny any
        router bgp {DEVICE_AS}
         bgp router-id {DEVICE}
         no bgp ebgp-requires-policy
         neighbor {FEEDER} remote-as {FEEDER_AS}
         neighbor {FEEDER} passive
         neighbor {FEEDER} timers 0 0
         {}{}",
        family("ipv4"),
        family("ipv6")
    )
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Summary {
    ipv4_unicast: OfFamily,
    ipv6_unicast: OfFamily,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct OfFamily {
    table_version: u64,
    peers: BTreeMap<String, OfPeer>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct OfPeer {
    #[serde(default)]
    pfx_rcd: u64,
}

/// Prefixes received, and versions of the tables, of both families.
fn counts(reply: &str) -> Result<(u64, u64)> {
    let summary: Summary = serde_json::from_str(reply).with_context(|| format!("FRR's summary: {reply}"))?;
    let families = [summary.ipv4_unicast, summary.ipv6_unicast];
    let received = families.iter().flat_map(|family| family.peers.values()).map(|peer| peer.pfx_rcd).sum();
    Ok((received, families.iter().map(|family| family.table_version).sum()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_families_are_counted() {
        let reply = r#"{
            "ipv4Unicast":{"routerId":"192.0.2.2","tableVersion":10100,"ribCount":19799,
                "peers":{"192.0.2.1":{"remoteAs":65001,"tableVersion":0,"pfxRcd":9900,"state":"Established"}}},
            "ipv6Unicast":{"tableVersion":2000,"peers":{"192.0.2.1":{"state":"Active"}}}
        }"#;
        assert_eq!(counts(reply).unwrap(), (9900, 12_100));
        assert!(counts("{}").is_err());
    }
}
