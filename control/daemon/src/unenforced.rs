//! What a resource file may say and the data plane does not do yet: refused, for nothing is to be half applied.

use gateway::{FlowHash, Resources};

use crate::failure::Failure;

/// # Errors
/// [`Failure::Configuration`] that names every such field.
pub fn refuse(resources: &Resources) -> Result<(), Failure> {
    let mut lines = Vec::new();
    let mut unenforced = |is_set: bool, object: &str, field: &str, allowed: &str| {
        if is_set {
            lines.push(format!("{object}: {field} is not enforced yet; allowed: {allowed}"));
        }
    };
    for gateway in resources.gateways() {
        let object = format!("border_gateway \"{}\"", gateway.name);
        unenforced(gateway.flow_hash == FlowHash::Symmetric, &object, "flow_hash = \"symmetric\"", "directed");
    }
    for attachment in resources.attachments() {
        let object = format!("vpc_attachment \"{}\"", attachment.name);
        unenforced(attachment.vlan.is_some(), &object, "vlan", "none, an interface of its own");
    }
    for tunnel in resources.tunnels() {
        let object = format!("vpn_tunnel \"{}\"", tunnel.name);
        unenforced(tunnel.paused, &object, "paused", "false, or admin = \"down\"");
        unenforced(tunnel.bandwidth.is_some(), &object, "bandwidth_mbps", "none");
        unenforced(tunnel.esp.lifetime_packets.limit().is_some(), &object, "lifetime_packets", "0");
        unenforced(tunnel.esp.lifetime_bytes.limit().is_some(), &object, "lifetime_bytes", "0");
    }
    if lines.is_empty() { Ok(()) } else { Err(Failure::Configuration(lines)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_enforced_is_refused_by_name() {
        let example = include_str!("../../../examples/static.toml");
        assert!(refuse(&Resources::parse("", example).unwrap()).is_ok());
        let changed = example.replace("interface = \"vpc0\"", "interface = \"vpc0\"\nvlan = 7").replace(
            "udp_encapsulation = \"auto\"",
            "paused = true\nbandwidth_mbps = 10\nudp_encapsulation = \"auto\"",
        );
        let lines = refuse(&Resources::parse("", &changed).unwrap()).unwrap_err().lines();
        assert_eq!(lines.len(), 3, "{lines:?}");
        assert!(lines[0].contains("vpc_attachment \"vpc-1\": vlan is not enforced yet"), "{lines:?}");
    }
}
