//! Two network namespaces for a whole run, joined by a veth pair: the load's and that of the device under test.

use std::fs::File;
use std::os::fd::AsFd;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::veth::ip;

/// In either namespace, towards the other.
pub const INTERFACE: &str = "wan0";

/// The namespaces, removed when dropped.
pub struct Namespaces([String; 2]);

impl Namespaces {
    /// Makes them, has `set_up` give the load's and the device's their addresses, and moves this thread into the load's.
    ///
    /// # Errors
    /// Without root or iproute2.
    pub fn enter(question: &str, set_up: impl FnOnce([&str; 2]) -> Result<()>) -> Result<Self> {
        let namespaces = Self(["load", "device"].map(|part| format!("bgbench-{}-{part}", std::process::id())));
        let [load, device] = namespaces.0.each_ref().map(String::as_str);
        for name in [load, device] {
            let made = ip(&["netns", "add", name]);
            made.with_context(|| format!("bordergate-bench {question} needs root and iproute2"))?;
            ip(&["-n", name, "link", "set", "lo", "up"])?;
        }
        let pair = ["type", "veth", "peer", "name", INTERFACE, "netns", device];
        ip(&[&["-n", load, "link", "add", INTERFACE], &pair[..]].concat())?;
        set_up([load, device])?;
        for name in [load, device] {
            ip(&["-n", name, "link", "set", INTERFACE, "up"])?;
        }
        let file = File::open(Path::new("/run/netns").join(load))?;
        move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))?;
        Ok(namespaces)
    }

    /// A command that runs in the device's namespace; its process is the program's own.
    pub fn at_device(&self, program: impl AsRef<Path>) -> Command {
        let [_, device] = &self.0;
        let mut command = Command::new("ip");
        command.args(["netns", "exec", device]).arg(program.as_ref());
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
