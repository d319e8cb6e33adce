//! Two network namespaces for the whole run, joined by a veth pair: the feeder's and that of the device under test.

use std::fs::File;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::fd::AsFd;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::veth::ip;

/// The feeder's address, and the next hop of what it announces of IPv4.
pub const FEEDER: Ipv4Addr = Ipv4Addr::new(10, 66, 0, 1);
/// The next hop of what it announces of IPv6.
pub const FEEDER_V6: Ipv6Addr = Ipv6Addr::new(0xfd66, 0, 0, 0, 0, 0, 0, 1);
/// The address of the device under test.
pub const DEVICE: Ipv4Addr = Ipv4Addr::new(10, 66, 0, 2);
/// Its address of IPv6.
pub const DEVICE_V6: Ipv6Addr = Ipv6Addr::new(0xfd66, 0, 0, 0, 0, 0, 0, 2);

/// In either namespace, towards the other.
const INTERFACE: &str = "wan0";

/// The namespaces, removed when dropped.
pub struct Namespaces([String; 2]);

impl Namespaces {
    /// Makes them, and moves this thread into the feeder's.
    pub fn enter() -> Result<Self> {
        let names = ["feeder", "device"].map(|part| format!("bgbench-{}-{part}", std::process::id()));
        let namespaces = Self(names);
        let [feeder, device] = namespaces.0.each_ref().map(String::as_str);
        for name in [feeder, device] {
            ip(&["netns", "add", name]).context("bordergate-bench bgp needs root and iproute2")?;
            ip(&["-n", name, "link", "set", "lo", "up"])?;
        }
        let pair = ["type", "veth", "peer", "name", INTERFACE, "netns", device];
        ip(&[&["-n", feeder, "link", "add", INTERFACE], &pair[..]].concat())?;
        for (name, address, address_v6) in [(feeder, FEEDER, FEEDER_V6), (device, DEVICE, DEVICE_V6)] {
            ip(&["-n", name, "address", "add", &format!("{address}/24"), "dev", INTERFACE])?;
            ip(&["-n", name, "address", "add", &format!("{address_v6}/64"), "dev", INTERFACE, "nodad"])?;
            ip(&["-n", name, "link", "set", INTERFACE, "up"])?;
        }
        let file = File::open(Path::new("/run/netns").join(feeder))?;
        move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))?;
        Ok(namespaces)
    }

    /// A command that runs in the device's namespace; its process is the program's own.
    pub fn at_device(&self, program: &Path) -> Command {
        let [_, device] = &self.0;
        let mut command = Command::new("ip");
        command.args(["netns", "exec", device]).arg(program);
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
