//! What each gateway is told: the same connection, from either end.

use std::fmt::Write;
use std::net::Ipv4Addr;

use super::tunnel::{TUNNELS, Tunnel};

/// Between BFD's packets.
pub const BFD_INTERVAL_MS: u32 = 10;
/// So many of them missing, and a tunnel is lost.
pub const BFD_MULTIPLIER: u32 = 3;

/// An end of the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    Cloud,
    Customer,
}

impl Side {
    /// The name of its border gateway.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cloud => "cloud",
            Self::Customer => "customer",
        }
    }

    /// The core of its worker.
    pub fn core(self) -> usize {
        match self {
            Self::Cloud => 0,
            Self::Customer => 1,
        }
    }

    /// Its resource file; `namespace` is to be that of the gateway's own host.
    pub fn render(self, namespace: &str) -> String {
        let (name, asn, prefix, peer) = match self {
            Self::Cloud => (self.name(), 65000, "10.1.0.0/16", (Self::Customer.name(), 65001)),
            Self::Customer => (self.name(), 65001, "10.2.0.0/16", (Self::Cloud.name(), 65000)),
        };
        let addresses =
            |of: fn(&Tunnel) -> Ipv4Addr| TUNNELS.each_ref().map(|tunnel| format!("\"{}\"", of(tunnel))).join(", ");
        let (ours, theirs) = match self {
            Self::Cloud => (addresses(|tunnel| tunnel.cloud), addresses(|tunnel| tunnel.customer)),
            Self::Customer => (addresses(|tunnel| tunnel.customer), addresses(|tunnel| tunnel.cloud)),
        };
        let mut file = format!(
            r#"[[border_gateway]]
name = "{name}"
asn = {asn}
namespace = "{namespace}"

[[vpc_attachment]]
name = "{name}-vpc"
border_gateway = "{name}"
interface = "vpc0"
prefixes = ["{prefix}"]

[[customer_gateway]]
name = "{}"
asn = {}
addresses = [{theirs}]

[[vpn_connection]]
name = "conn-1"
border_gateway = "{name}"
customer_gateway = "{}"
routing = "bgp"
addresses = [{ours}]

[vpn_connection.bgp]
connect_retry_seconds = 1

[vpn_connection.bfd]
interval_ms = {BFD_INTERVAL_MS}
multiplier = {BFD_MULTIPLIER}
"#,
            peer.0, peer.1, peer.0
        );
        TUNNELS.iter().for_each(|tunnel| self.put_tunnel(tunnel, &mut file));
        file
    }

    fn put_tunnel(self, tunnel: &Tunnel, file: &mut String) {
        let Tunnel { name, cloud, customer, cloud_inner, customer_inner } = tunnel;
        let (local, remote, inner, peer, startup) = match self {
            Self::Cloud => (cloud, customer, cloud_inner, customer_inner, "initiate"),
            Self::Customer => (customer, cloud, customer_inner, cloud_inner, "respond"),
        };
        let written = write!(
            file,
            r#"
[[vpn_tunnel]]
name = "{name}"
vpn_connection = "conn-1"
local_address = "{local}"
remote_address = "{remote}"
psk = "correct_horse_battery_{name}"
startup = "{startup}"
local_prefixes = ["0.0.0.0/0"]
remote_prefixes = ["0.0.0.0/0"]
inner_address = "{inner}/30"
peer_inner_address = "{peer}"
"#
        );
        written.expect("a string takes all");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ends_mirror_each_other() {
        let [cloud, customer] = [Side::Cloud, Side::Customer].map(|side| side.render("ns"));
        assert!(cloud.contains("addresses = [\"203.0.113.1\", \"203.0.113.2\"]"));
        assert!(customer.contains("local_address = \"192.0.2.2\"\nremote_address = \"203.0.113.2\"\n"));
        assert!(customer.contains("inner_address = \"169.254.11.2/30\"\npeer_inner_address = \"169.254.11.1\"\n"));
        for each in [cloud, customer] {
            assert_eq!(each.matches("[[vpn_tunnel]]").count(), 2);
            assert!(each.contains("interval_ms = 10\nmultiplier = 3\n"));
        }
    }
}
