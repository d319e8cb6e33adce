//! Two network namespaces for a whole run, joined by a veth pair: the load's and that of the device under test.

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use super::Namespace;

/// In either namespace, towards the other.
pub const INTERFACE: &str = "wan0";

/// The load's namespace, and the device's.
pub struct Pair([Namespace; 2]);

impl Pair {
    /// Makes them, has `set_up` give the load's and the device's their addresses, and moves this thread into the load's.
    ///
    /// # Errors
    /// Without root or iproute2.
    pub fn enter(question: &str, set_up: impl FnOnce([&Namespace; 2]) -> Result<()>) -> Result<Self> {
        let pair = Self([Namespace::new(question, "load")?, Namespace::new(question, "device")?]);
        let [load, device] = &pair.0;
        let peer = ["type", "veth", "peer", "name", INTERFACE, "netns", device.name()];
        load.ip(&[&["link", "add", INTERFACE], &peer[..]].concat())?;
        set_up([load, device])?;
        for namespace in [load, device] {
            namespace.set_up(INTERFACE, &[])?;
        }
        load.enter()?;
        Ok(pair)
    }

    /// A command that runs in the device's namespace; its process is the program's own.
    pub fn at_device(&self, program: impl AsRef<Path>) -> Command {
        let [_, device] = &self.0;
        device.command(program)
    }
}
