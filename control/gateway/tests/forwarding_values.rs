//! The fields that only forwarding depends on, with values they refuse and take, and the exact text that is shown.

use std::net::IpAddr;

use bordergate_gateway::{
    Dscp, FlowHash, GatewayIndex, InterfaceAddress, InterfaceAddressError, MssClamp, Name, OuterDscp, OuterParameters,
    PrefixError, Resources, TunnelIndex,
};
use broken::{edited, refused};

mod broken;

/// Lines put in front of one of the good file's, and the problem each is to be.
fn refused_before(anchor: &str, object: &str, cases: &[(&str, &str)]) {
    for (line, problem) in cases {
        refused(&[(anchor, &format!("{line}\n{anchor}"), &format!("f:{{}}: {object}: {problem}"))]);
    }
}

#[test]
fn of_a_border_gateway() {
    let space = format!("namespace = \"{}\"", "n".repeat(256));
    let too_long =
        format!("namespace = \"{}…\" is too long; allowed: 1 to 255 bytes without spaces and /", "n".repeat(48));
    refused_before(
        "asn = 65000",
        "border_gateway \"bgw-1\"",
        &[
            ("flow_hash = \"both\"", "flow_hash = \"both\" is not known; allowed: directed, symmetric"),
            (
                "addresses = [\"169.254.10.0/30\"]",
                "addresses = \"169.254.10.0/30\" is the first address of 169.254.10.0/30; allowed: an address of a host in \
                 169.254.10.0/30",
            ),
            (
                "addresses = [\"169.254.10.3/30\"]",
                "addresses = \"169.254.10.3/30\" is the last address of 169.254.10.0/30; allowed: an address of a host in \
                 169.254.10.0/30",
            ),
            (
                "addresses = [\"169.254.10.1\"]",
                "addresses = \"169.254.10.1\" has no length; allowed: an address and a length, such as 169.254.10.1/30 or \
                 2001:db8::1/126",
            ),
            (
                "addresses = [\"gateway/30\"]",
                "addresses = \"gateway/30\" is not an address with a prefix length; allowed: an address and a length, such \
                 as 169.254.10.1/30 or 2001:db8::1/126",
            ),
            (
                "addresses = [\"169.254.10.1/33\"]",
                "addresses = \"169.254.10.1/33\" has too long a length; allowed: a length of 0 to 32",
            ),
            (
                "addresses = [\"127.0.0.1/8\"]",
                "addresses = \"127.0.0.1/8\" is a loopback address; allowed: an address that one host can have",
            ),
            (
                "namespace = \"../etc\"",
                "namespace = \"../etc\" contains '/'; allowed: 1 to 255 bytes without spaces and /",
            ),
            (
                "namespace = \"..\"",
                "namespace = \"..\" names a directory; allowed: 1 to 255 bytes without spaces and /",
            ),
            (&space, &too_long),
            ("host_interface = \"\"", "host_interface = \"\" is empty; allowed: 1 to 15 bytes without spaces, / and :"),
            (
                "host_interface = \"sixteen-bytes-xx\"",
                "host_interface = \"sixteen-bytes-xx\" is too long; allowed: 1 to 15 bytes without spaces, / and :",
            ),
        ],
    );
}

#[test]
fn of_an_attachment() {
    refused_before(
        "interface = \"vpc0\"",
        "vpc_attachment \"vpc-1\"",
        &[
            ("vlan = 0", "vlan = 0 is out of range; allowed: 1 to 4094"),
            ("vlan = 4095", "vlan = 4095 is out of range; allowed: 1 to 4094"),
            ("anti_spoofing = 1", "anti_spoofing = 1 is a whole number; allowed: true or false"),
        ],
    );
}

#[test]
fn of_a_tunnel() {
    refused_before(
        "admin = \"up\"",
        "vpn_tunnel \"tun-1\"",
        &[
            ("bandwidth_mbps = 0", "bandwidth_mbps = 0 is out of range; allowed: 1 to 100000"),
            ("bandwidth_mbps = 100001", "bandwidth_mbps = 100001 is out of range; allowed: 1 to 100000"),
            ("paused = \"yes\"", "paused = \"yes\" is a string; allowed: true or false"),
            ("weight = -1", "weight = -1 is out of range; allowed: 0 to 255"),
            ("weight = 256", "weight = 256 is out of range; allowed: 0 to 255"),
            (
                "peer_inner_address = \"169.254.10.2/30\"",
                "peer_inner_address = \"169.254.10.2/30\" is not an address; allowed: an IPv4 or IPv6 address",
            ),
            ("outer = { dscp = 64 }", "dscp = 64 is out of range; allowed: copy, or 0 to 63"),
            ("outer = { dscp = -1 }", "dscp = -1 is out of range; allowed: copy, or 0 to 63"),
            ("outer = { dscp = \"ef\" }", "dscp = \"ef\" is not known; allowed: copy, or 0 to 63"),
            ("outer = { dscp = true }", "dscp = true is a truth value; allowed: copy, or 0 to 63"),
            ("outer = { ecn = \"normal\" }", "ecn = \"normal\" is a string; allowed: true or false"),
            ("outer = { df = true }", "df = true is a truth value; allowed: copy, set, clear"),
            ("outer = { hop_limit = 0 }", "hop_limit = 0 is out of range; allowed: 1 to 255"),
            ("outer = { hop_limit = 256 }", "hop_limit = 256 is out of range; allowed: 1 to 255"),
            ("outer = { path_mtu = 575 }", "path_mtu = 575 is out of range; allowed: 576 to 9216"),
            ("outer = { path_mtu = 9217 }", "path_mtu = 9217 is out of range; allowed: 576 to 9216"),
            ("outer = { mss_clamp = 535 }", "mss_clamp = 535 is out of range; allowed: auto, off, or 536 to 9176"),
            ("outer = { mss_clamp = 9177 }", "mss_clamp = 9177 is out of range; allowed: auto, off, or 536 to 9176"),
            ("outer = { mss_clamp = \"on\" }", "mss_clamp = \"on\" is not known; allowed: auto, off, or 536 to 9176"),
            ("outer = { ttl = 64 }", "ttl is not a field here; allowed: dscp, ecn, df, hop_limit, path_mtu, mss_clamp"),
        ],
    );
    refused_before(
        "replay_window = 1024",
        "vpn_tunnel \"tun-1\"",
        &[
            ("lifetime_packets = -1", "lifetime_packets = -1 is out of range; allowed: 0 to 1000000000000000000"),
            (
                "lifetime_bytes = 1000000000000000001",
                "lifetime_bytes = 1000000000000000001 is out of range; allowed: 0 to 1000000000000000000",
            ),
        ],
    );
}

#[test]
fn an_ipv6_path_carries_1280_bytes() {
    let over_ipv6 = |path_mtu: u32| {
        let outer = format!("outer = {{ path_mtu = {path_mtu} }}\nudp_encapsulation = \"auto\"");
        let text = edited("udp_encapsulation = \"auto\"", &outer, "");
        Resources::parse("f", &text.replace("203.0.113.1", "2001:db8::1").replace("198.51.100.2", "2001:db8::2"))
    };
    let errors = over_ipv6(1279).unwrap_err();
    assert_eq!(errors.len(), 1);
    assert!(errors[0].to_string().ends_with("path_mtu = 1279 is out of range; allowed: 1280 to 9216"), "{}", errors[0]);
    assert_eq!(over_ipv6(1280).unwrap().tunnel(TunnelIndex(0)).outer.path_mtu.unwrap().bytes(), 1280);
}

/// The parameters that a tunnel with this `outer` table has.
fn outer(fields: &str) -> OuterParameters {
    let anchor = "udp_encapsulation = \"auto\"";
    let text = edited(anchor, &format!("outer = {{ {fields} }}\n{anchor}"), "");
    Resources::parse("f", &text).unwrap_or_else(|errors| panic!("{errors:#?}")).tunnel(TunnelIndex(0)).outer
}

#[test]
fn words_and_numbers_stand_in_one_field() {
    assert_eq!(outer(""), OuterParameters::default());
    assert_eq!(outer("dscp = \"copy\"").dscp, OuterDscp::Copy);
    assert_eq!(outer("dscp = 0").dscp, OuterDscp::Fixed(Dscp::from_number(0).unwrap()));
    assert_eq!(outer("dscp = 0x3f").dscp, OuterDscp::Fixed(Dscp::from_number(63).unwrap()));
    assert_eq!(outer("mss_clamp = \"off\"").mss_clamp, MssClamp::Off);
    assert_eq!(outer("mss_clamp = \"auto\"").mss_clamp, MssClamp::Auto);
    let MssClamp::Fixed(mss) = outer("mss_clamp = 9176").mss_clamp else { panic!() };
    assert_eq!(mss.bytes(), 9176);
    assert_eq!(outer("path_mtu = 576").path_mtu.unwrap().bytes(), 576);
}

#[test]
fn what_is_left_out_has_its_default() {
    let resources = Resources::parse("f", broken::GOOD).unwrap();
    let gateway = resources.gateway(GatewayIndex(0));
    assert_eq!((gateway.flow_hash, gateway.addresses.len()), (FlowHash::Directed, 0));
    assert_eq!((gateway.namespace.as_str(), gateway.host_interface.as_str()), ("bordergate-bgw-1", "bg-bgw-1"));
    let attachment = &resources.attachments()[0];
    assert_eq!((attachment.vlan, attachment.anti_spoofing), (None, true));
    let tunnel = resources.tunnel(TunnelIndex(0));
    assert_eq!((tunnel.paused, tunnel.bandwidth, tunnel.weight.number()), (false, None, 1));
    assert_eq!((tunnel.inner_address, tunnel.peer_inner_address), (None, None));
    let OuterParameters { dscp, ecn, df, hop_limit, path_mtu, mss_clamp } = tunnel.outer;
    assert_eq!((dscp, ecn, df.to_string().as_str(), hop_limit.number()), (OuterDscp::Copy, true, "set", 64));
    assert_eq!((path_mtu, mss_clamp), (None, MssClamp::Auto));
    assert_eq!((tunnel.esp.lifetime_packets.limit(), tunnel.esp.lifetime_bytes.limit()), (None, None));
}

#[test]
fn a_long_name_of_a_border_gateway_is_cut_at_a_character() {
    let named = |name: &str| {
        let name: Name = name.parse().unwrap();
        bordergate_gateway::InterfaceName::of_gateway(&name).to_string()
    };
    assert_eq!(named("a-name-of-32-characters-in-ascii"), "bg-a-name-of-32");
    // Three bytes each, of which four fit twelve bytes; with one letter in front the fourth does not.
    assert_eq!(named("边界网关"), "bg-边界网关");
    assert_eq!(named("x边界网关"), "bg-x边界网");
}

#[test]
fn hosts_of_a_prefix() {
    let host = |text: &str| text.parse::<InterfaceAddress>();
    for good in [
        "169.254.10.1/30",
        "169.254.10.0/31",
        "169.254.10.1/31",
        "10.0.0.0/32",
        "10.0.1.0/16",
        "fd00::1/126",
        "fd00::3/126",
        "fd00::/127",
        "fe80::1/64",
        "10.0.0.1/0",
    ] {
        assert_eq!(host(good).unwrap().to_string(), good);
    }
    assert!(matches!(host("10.1.255.255/16"), Err(InterfaceAddressError::Last(_))));
    assert!(matches!(host("fd00::/126"), Err(InterfaceAddressError::First(_))));
    assert_eq!(host("fd00::1/129"), Err(InterfaceAddressError::Prefix(PrefixError::Length { most: 128 })));
    for none in ["0.0.0.0/0", "224.0.0.1/4", "255.255.255.255/32", "::1/128", "ff02::1/16"] {
        assert!(matches!(host(none), Err(InterfaceAddressError::NotOfOneHost(_))), "{none}");
    }
    let known = host("169.254.10.6/30").unwrap();
    assert_eq!(known.address(), IpAddr::from([169, 254, 10, 6]));
    assert_eq!(known.prefix(), "169.254.10.4/30".parse().unwrap());
}
