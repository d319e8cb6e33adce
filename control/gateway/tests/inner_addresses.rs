//! The addresses inside the tunnels: each tunnel's two ends, and the tunnels of one border gateway among each other.

use bordergate_gateway::{GatewayIndex, Resources};

const GOOD: &str = include_str!("../../../examples/static.toml");

/// A second tunnel of `conn-1`, beside one that has `inner_address = "169.254.10.1/30"`, with these fields.
fn beside_an_inner_address(fields: &str) -> Vec<String> {
    let gateway = "asn = 65000\naddresses = [\"169.254.20.1/24\", \"10.255.0.1/32\"]";
    let first = "udp_encapsulation = \"auto\"\ninner_address = \"169.254.10.1/30\"";
    let text = GOOD.replacen("udp_encapsulation = \"auto\"", first, 1).replacen("asn = 65000", gateway, 1).replacen(
        "[\"203.0.113.1\"]",
        "[\"203.0.113.1\", \"203.0.113.2\"]",
        1,
    );
    let second = "[[vpn_tunnel]]\nname = \"tun-2\"\nvpn_connection = \"conn-1\"\nlocal_address = \"203.0.113.2\"\n\
                  remote_address = \"198.51.100.2\"\npsk = \"another_long_secret\"\n";
    match Resources::parse("f", &format!("{text}\n{second}{fields}")) {
        Ok(_) => Vec::new(),
        Err(errors) => errors
            .iter()
            .map(|error| error.to_string().split_once(": vpn_tunnel \"tun-2\": ").expect("the tunnel").1.to_owned())
            .collect(),
    }
}

#[test]
fn inner_addresses_of_a_border_gateway_are_apart() {
    let own = "; allowed: addresses of its own within a border gateway";
    let neighbour = "peer_inner_address = \"PEER\" is no neighbour of inner_address 169.254.10.9/30; allowed: another \
                     host of 169.254.10.8/30";
    let peer = |address: &str| format!("inner_address = \"169.254.10.9/30\"\npeer_inner_address = \"{address}\"");
    for (fields, expected) in [
        ("inner_address = \"169.254.10.5/30\"".to_owned(), String::new()),
        ("inner_address = \"169.254.10.4/31\"\npeer_inner_address = \"169.254.10.5\"".to_owned(), String::new()),
        ("inner_address = \"fd00::1/127\"\npeer_inner_address = \"fd00::\"".to_owned(), String::new()),
        (peer("169.254.10.10"), String::new()),
        (peer("169.254.10.9"), neighbour.replace("PEER", "169.254.10.9")),
        (peer("169.254.10.8"), neighbour.replace("PEER", "169.254.10.8")),
        (peer("169.254.10.11"), neighbour.replace("PEER", "169.254.10.11")),
        (peer("169.254.10.13"), neighbour.replace("PEER", "169.254.10.13")),
        (peer("fd00::1"), neighbour.replace("PEER", "fd00::1")),
        (
            "inner_address = \"169.254.10.2/30\"".to_owned(),
            format!("inner_address = \"169.254.10.2/30\" overlaps 169.254.10.1/30 of vpn_tunnel \"tun-1\"{own}"),
        ),
        (
            "inner_address = \"169.254.9.1/16\"".to_owned(),
            format!("inner_address = \"169.254.9.1/16\" overlaps 169.254.10.1/30 of vpn_tunnel \"tun-1\"{own}"),
        ),
        (
            "inner_address = \"169.254.20.1/30\"".to_owned(),
            format!("inner_address = \"169.254.20.1/30\" is an address of border_gateway \"bgw-1\"{own}"),
        ),
        (
            "inner_address = \"169.254.20.2/30\"\npeer_inner_address = \"169.254.20.1\"".to_owned(),
            format!("peer_inner_address = \"169.254.20.1\" is an address of border_gateway \"bgw-1\"{own}"),
        ),
        (
            "inner_address = \"10.0.0.1/32\"".to_owned(),
            "inner_address = \"10.0.0.1/32\" leaves no room for the peer; allowed: a length of at most 31".to_owned(),
        ),
        (
            "peer_inner_address = \"169.254.10.6\"".to_owned(),
            "peer_inner_address is given without inner_address; allowed: inner_address beside it".to_owned(),
        ),
    ] {
        let expected: Vec<_> = Some(expected).into_iter().filter(|text| !text.is_empty()).collect();
        assert_eq!(beside_an_inner_address(&fields), expected, "{fields}");
    }
}

#[test]
fn tenants_may_use_the_same_inner_addresses() {
    let tunnel = "[[vpn_connection]]\nname = \"conn-2\"\nborder_gateway = \"bgw-2\"\ncustomer_gateway = \"idc-1\"\n\
                  routing = \"static\"\naddresses = [\"203.0.113.2\"]\n[[vpn_tunnel]]\nname = \"tun-2\"\n\
                  vpn_connection = \"conn-2\"\nlocal_address = \"203.0.113.2\"\nremote_address = \"198.51.100.2\"\n\
                  psk = \"another_long_secret\"\ninner_address = \"169.254.10.1/30\"\n";
    let inner = "udp_encapsulation = \"auto\"\ninner_address = \"169.254.10.1/30\"";
    let text = GOOD.replacen("udp_encapsulation = \"auto\"", inner, 1);
    let text = format!("{text}\n[[border_gateway]]\nname = \"bgw-2\"\n{tunnel}");
    let resources = Resources::parse("f", &text).unwrap();
    for gateway in [GatewayIndex(0), GatewayIndex(1)] {
        let addresses: Vec<_> = resources.inner_addresses(gateway).map(|address| address.to_string()).collect();
        assert_eq!(addresses, ["169.254.10.1/30"]);
    }
}
