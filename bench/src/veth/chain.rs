//! The chain: two namespaces joined by two veth pairs.

use std::net::IpAddr;

use anyhow::Result;
use wire::MacAddress;

use crate::namespace::{Namespace, output};
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

/// Two namespaces: the device under test, and both ends.
pub struct Chain {
    device: Namespace,
    ends: Namespace,
    macs: [(&'static str, MacAddress); 4],
}

impl Chain {
    /// Makes the namespaces, the pairs between them, and their addresses.
    pub fn build() -> Result<Self> {
        let [device, ends] = [Namespace::new("veth", "device")?, Namespace::new("veth", "ends")?];
        for namespace in [&device, &ends] {
            // Nothing but the bench's own packets on the pairs.
            let settings = ["-qw", "net.ipv6.conf.default.disable_ipv6=1", "net.ipv4.ip_forward=1"];
            output(namespace.command("sysctl").args(settings))?;
        }
        for (own, other, address, other_address) in
            [(VPC, NEAR, "10.1.0.1/24", "10.1.0.2/24"), (WAN, FAR, "203.0.113.1/24", "203.0.113.2/24")]
        {
            device.ip(&["link", "add", own, "type", "veth", "peer", "name", other, "netns", ends.name()])?;
            device.set_up(own, &[address])?;
            ends.set_up(other, &[other_address])?;
        }
        // strongSwan wants an address of its own within its traffic selector.
        ends.ip(&["address", "add", "10.2.0.1/32", "dev", "lo"])?;
        let mut chain = Self { device, ends, macs: [VPC, WAN, NEAR, FAR].map(|name| (name, MacAddress::default())) };
        for position in 0..chain.macs.len() {
            let (interface, _) = chain.macs[position];
            chain.macs[position].1 = chain.read_mac(interface)?;
        }
        Ok(chain)
    }

    /// The namespace of the device under test.
    pub fn device(&self) -> &str {
        self.device.name()
    }

    /// The namespace of generator and sink.
    pub fn ends(&self) -> &str {
        self.ends.name()
    }

    /// The link address of one of the four interfaces.
    pub fn mac(&self, interface: &str) -> MacAddress {
        let found = self.macs.iter().find(|(name, _)| *name == interface);
        found.map(|(_, mac)| *mac).unwrap_or_default()
    }

    /// Does `work` in the namespace of `interface`.
    pub fn at<T: Send>(&self, interface: &str, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        self.namespace(interface).inside(work)
    }

    fn namespace(&self, interface: &str) -> &Namespace {
        if interface == NEAR || interface == FAR { &self.ends } else { &self.device }
    }

    fn read_mac(&self, interface: &str) -> Result<MacAddress> {
        let path = format!("/sys/class/net/{interface}/address");
        let text = output(self.namespace(interface).command("cat").arg(path))?;
        let bytes: Vec<u8> =
            text.trim().split(':').map(|byte| u8::from_str_radix(byte, 16)).collect::<Result<_, _>>()?;
        Ok(MacAddress(bytes.try_into().map_err(|_| anyhow::anyhow!("{interface} has no Ethernet address"))?))
    }
}

/// An address as routes and addresses want it.
pub fn address(octets: [u8; 4]) -> IpAddr {
    IpAddr::from(octets)
}
