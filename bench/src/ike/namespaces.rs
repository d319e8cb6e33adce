//! Two network namespaces for the whole run, joined by a veth pair: charon takes IKE's ports at every address, so the
//! initiators need others.

use std::fs::File;
use std::os::fd::AsFd;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::tunnels::End;
use crate::veth::ip;

/// In either namespace, towards the other.
const INTERFACE: &str = "wan0";

/// The namespaces, removed when dropped.
pub struct Namespaces([String; 2]);

impl Namespaces {
    /// Makes them, and moves this thread into the initiators'.
    pub fn enter() -> Result<Self> {
        let names = ["initiators", "responder"].map(|part| format!("bgbench-{}-{part}", std::process::id()));
        let namespaces = Self(names);
        let [initiators, responder] = namespaces.0.each_ref().map(String::as_str);
        for name in [initiators, responder] {
            ip(&["netns", "add", name]).context("bordergate-bench ike needs root and iproute2")?;
            ip(&["-n", name, "link", "set", "lo", "up"])?;
        }
        let pair = ["type", "veth", "peer", "name", INTERFACE, "netns", responder];
        ip(&[&["-n", initiators, "link", "add", INTERFACE], &pair[..]].concat())?;
        for (name, end) in [(initiators, End::Initiator), (responder, End::Responder)] {
            ip(&["-n", name, "address", "add", end.first_address(), "dev", INTERFACE])?;
            ip(&["-n", name, "link", "set", INTERFACE, "up"])?;
            // All the others without naming each.
            ip(&["-n", name, "route", "add", "local", end.addresses_prefix(), "dev", "lo"])?;
        }
        let file = File::open(Path::new("/run/netns").join(initiators))?;
        move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))?;
        Ok(namespaces)
    }

    /// A command that runs in the responder's namespace, on a core; its process is the program's own.
    pub fn at_responder(&self, core: usize, program: &Path) -> Command {
        let [_, responder] = &self.0;
        let mut command = Command::new("ip");
        command.args(["netns", "exec", responder, "taskset", "--cpu-list", &core.to_string()]).arg(program);
        command
    }
}

impl Drop for Namespaces {
    fn drop(&mut self) {
        for name in &self.0 {
            if let Err(error) = ip(&["netns", "delete", name]) {
                eprintln!("left behind: {error:#}");
            }
        }
    }
}
