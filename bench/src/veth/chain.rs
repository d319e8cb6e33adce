//! The chain: two namespaces joined by two veth pairs.

use std::fs::File;
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use wire::MacAddress;

use crate::operation::Operation;

/// The interface of the generator, towards [`VPC`].
pub const NEAR: &str = "near";
/// The interface of the sink, towards [`WAN`].
pub const FAR: &str = "far";
/// The device's interface towards the VPC.
pub const VPC: &str = "vpc0";
/// The device's interface towards the peer.
pub const WAN: &str = "wan0";

/// Address of the VPC's host.
pub const VPC_HOST: [u8; 4] = [10, 1, 0, 2];
/// Address of the data centre's host, behind the peer.
pub const IDC_HOST: [u8; 4] = [10, 2, 0, 2];
/// The device's public address.
pub const OWN: [u8; 4] = [203, 0, 113, 1];
/// The peer's public address.
pub const PEER: [u8; 4] = [203, 0, 113, 2];

impl Operation {
    /// The generator's interface and the sink's.
    pub fn ends(self) -> (&'static str, &'static str) {
        match self {
            Self::Seal => (NEAR, FAR),
            Self::Open => (FAR, NEAR),
        }
    }

    /// The interfaces through which the device receives and sends.
    pub fn device(self) -> (&'static str, &'static str) {
        match self {
            Self::Seal => (VPC, WAN),
            Self::Open => (WAN, VPC),
        }
    }
}

/// Two namespaces, removed when dropped: the device under test, and both ends.
pub struct Chain {
    device: String,
    ends: String,
    macs: [(&'static str, MacAddress); 4],
}

impl Chain {
    /// Makes the namespaces, the pairs between them, and their addresses.
    pub fn build() -> Result<Self> {
        let name = |part: &str| format!("bgbench-{}-{part}", std::process::id());
        let mut chain = Self { device: name("device"), ends: name("ends"), macs: [(NEAR, MacAddress::default()); 4] };
        for namespace in [&chain.device, &chain.ends] {
            ip(&["netns", "add", namespace]).context("bordergate-bench veth needs root and iproute2")?;
            // Nothing but the bench's own packets on the pairs.
            chain.inside(
                namespace,
                &["sysctl", "-qw", "net.ipv6.conf.default.disable_ipv6=1", "net.ipv4.ip_forward=1"],
            )?;
            ip(&["-n", namespace, "link", "set", "lo", "up"])?;
        }
        for (own, other, address, other_address) in
            [(VPC, NEAR, "10.1.0.1/24", "10.1.0.2/24"), (WAN, FAR, "203.0.113.1/24", "203.0.113.2/24")]
        {
            let (device, ends) = (&chain.device, &chain.ends);
            ip(&["-n", device, "link", "add", own, "type", "veth", "peer", "name", other, "netns", ends])?;
            for (namespace, interface, address) in [(device, own, address), (ends, other, other_address)] {
                ip(&["-n", namespace, "address", "add", address, "dev", interface])?;
                ip(&["-n", namespace, "link", "set", interface, "up"])?;
            }
        }
        // strongSwan wants an address of its own within its traffic selector.
        ip(&["-n", &chain.ends, "address", "add", "10.2.0.1/32", "dev", "lo"])?;
        chain.macs = [VPC, WAN, NEAR, FAR].map(|interface| (interface, MacAddress::default()));
        for position in 0..chain.macs.len() {
            let (interface, _) = chain.macs[position];
            chain.macs[position].1 = chain.read_mac(interface)?;
        }
        Ok(chain)
    }

    /// The namespace of the device under test.
    pub fn device(&self) -> &str {
        &self.device
    }

    /// The namespace of generator and sink.
    pub fn ends(&self) -> &str {
        &self.ends
    }

    /// The link address of one of the four interfaces.
    pub fn mac(&self, interface: &str) -> MacAddress {
        let found = self.macs.iter().find(|(name, _)| *name == interface);
        found.map(|(_, mac)| *mac).unwrap_or_default()
    }

    /// Runs `body` with this thread in the namespace of `interface`.
    pub fn at<T>(&self, interface: &str, body: impl FnOnce() -> Result<T>) -> Result<T> {
        let enter = |path: &Path| -> Result<()> {
            let namespace = File::open(path).with_context(|| format!("opening {}", path.display()))?;
            move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?;
            Ok(())
        };
        let home = File::open("/proc/thread-self/ns/net")?;
        enter(&Path::new("/run/netns").join(self.namespace(interface)))?;
        let result = body();
        move_into_link_name_space(home.as_fd(), Some(LinkNameSpaceType::Network))?;
        result
    }

    fn namespace(&self, interface: &str) -> &str {
        if interface == NEAR || interface == FAR { &self.ends } else { &self.device }
    }

    fn inside(&self, namespace: &str, command: &[&str]) -> Result<String> {
        ip(&[&["netns", "exec", namespace], command].concat())
    }

    fn read_mac(&self, interface: &str) -> Result<MacAddress> {
        let path = format!("/sys/class/net/{interface}/address");
        let text = self.inside(self.namespace(interface), &["cat", &path])?;
        let bytes: Vec<u8> =
            text.trim().split(':').map(|byte| u8::from_str_radix(byte, 16)).collect::<Result<_, _>>()?;
        Ok(MacAddress(bytes.try_into().map_err(|_| anyhow::anyhow!("{interface} has no Ethernet address"))?))
    }
}

impl Drop for Chain {
    fn drop(&mut self) {
        for namespace in [&self.device, &self.ends] {
            if let Err(error) = ip(&["netns", "delete", namespace]) {
                eprintln!("left behind: {error:#}");
            }
        }
    }
}

/// An address as routes and addresses want it.
pub fn address(octets: [u8; 4]) -> IpAddr {
    IpAddr::from(octets)
}

/// Runs iproute2.
pub fn ip(arguments: &[&str]) -> Result<String> {
    let output = Command::new("ip").args(arguments).output().context("running ip: install iproute2")?;
    if !output.status.success() {
        bail!("ip {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
