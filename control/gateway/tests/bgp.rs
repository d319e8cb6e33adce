//! Connections with BGP: what they may say, what they may not, and the exact text that is shown.

use bordergate_gateway::{
    AddressFamily, AttachmentField, BfdAuthentication, Change, Community, ConnectionField, Field, FilterAction,
    FilterVerdict, GatewayIndex, Policy, PrefixExcess, Resources, Step, difference,
};
use broken::{GOOD, errors, shown};

#[allow(dead_code, reason = "other tests break more")]
mod broken;

const FULL: &str = include_str!("../../../examples/full.toml");

/// The good file with BGP in its tunnel, these tables with its connection, and these objects behind it.
fn with_bgp(tables: &str, objects: &str) -> String {
    let text = GOOD
        .replace("routing = \"static\"", "routing = \"bgp\"")
        .replace(
            "local_address = \"203.0.113.1\"",
            "inner_address = \"169.254.10.1/30\"\npeer_inner_address = \"169.254.10.2\"\nlocal_address = \"203.0.113.1\"",
        )
        .replace("[[vpn_tunnel]]", &format!("{tables}\n[[vpn_tunnel]]"));
    format!("{text}\n{objects}")
}

/// What is wrong, without the lines.
fn problems(text: &str) -> Vec<String> {
    let strip = |line: String| line.split_once(": ").map(|(_, rest)| rest.to_owned()).unwrap_or_default();
    shown(&errors(text)).into_iter().map(strip).collect()
}

#[test]
fn everything_that_can_be_said_is_read() {
    let resources = Resources::parse("f", FULL).unwrap();
    assert_eq!(resources.gateways()[0].router_id, Some([10, 255, 0, 1].into()));
    let propagation = resources.attachments()[0].propagation.as_ref().unwrap();
    assert_eq!(propagation.namespace.as_ref().unwrap().as_str(), "vpc-router");
    assert_eq!((propagation.table, propagation.via.len()), (100, 2));
    let connection = &resources.connections()[2];
    let bgp = connection.bgp.as_ref().unwrap();
    assert_eq!(resources.customer(connection.customer).asn.number(), 4_200_000_003);
    assert_eq!((bgp.local_asn.unwrap().number(), bgp.hold.seconds(), bgp.passive), (64700, 30, false));
    assert_eq!(bgp.families, Some(vec![AddressFamily::Ipv4]));
    assert_eq!((bgp.graceful_restart.seconds(), bgp.long_lived_stale.seconds()), (120, 3600));
    assert_eq!((bgp.prefix_limit.count(), bgp.prefix_excess), (300, PrefixExcess::Restart));
    assert_eq!(bgp.export, Policy::Own);
    let Policy::Filter(filter) = bgp.import else { panic!("{:?}", bgp.import) };
    let filter = &resources.filters()[filter.position()];
    assert_eq!((filter.name.as_str(), filter.otherwise), ("from-idc-3", FilterVerdict::Reject));
    let rule = &filter.rules[0];
    assert_eq!((rule.prefixes[0].at_least, rule.prefixes[0].at_most, rule.prefixes[1].at_most), (8, 24, 24));
    assert_eq!(rule.community, Some(Community(65001 << 16 | 100)));
    assert_eq!((rule.set_local_pref, rule.action), (Some(200), FilterAction::Accept));
    let bfd = connection.bfd.as_ref().unwrap();
    assert_eq!((bfd.interval.milliseconds(), bfd.multiplier.packets(), bfd.multihop), (10, 3, false));
    assert_eq!(bfd.authentication.as_ref().unwrap().0, BfdAuthentication::MeticulousSha1);
}

#[test]
fn little_has_to_be_said() {
    let resources = Resources::parse("f", &with_bgp("", "")).unwrap();
    let bgp = resources.connections()[0].bgp.as_ref().unwrap();
    assert_eq!((bgp.import, bgp.export, bgp.families.is_none()), (Policy::All, Policy::All, true));
    assert_eq!(resources.connections()[0].bfd, None);
    assert_eq!(resources.router_id(GatewayIndex(0)), Some([169, 254, 10, 1].into()));
}

#[test]
fn what_is_wrong_is_named_with_what_is_allowed() {
    let bgp = |line: &str| with_bgp(&format!("[vpn_connection.bgp]\n{line}"), "");
    let bfd = |lines: &str| with_bgp(&format!("[vpn_connection.bfd]\n{lines}"), "");
    let filter = |lines: &str| with_bgp("", &format!("[[route_filter]]\nname = \"f\"\n[[route_filter.rule]]\n{lines}"));
    let connection = "vpn_connection \"conn-1\"";
    for (text, expected) in [
        (bgp("hold_seconds = 2"), format!("{connection}: bgp.hold_seconds = 2 is out of range; allowed: 3 to 65535")),
        (
            bgp("import = \"nothing\""),
            format!("{connection}: bgp.import = \"nothing\" names no route_filter; allowed: all, none, define a [[route_filter]] first"),
        ),
        (
            bgp("families = [\"ipv4\", \"ipv6\"]"),
            format!(
                "{connection}: bgp.families has ipv6, but vpn_tunnel \"tun-1\" has an IPv4 inner_address and border_gateway \
                 \"bgw-1\" no IPv6 address to send it to; allowed: an IPv6 address in addresses of the border_gateway, or ipv4 alone"
            ),
        ),
        (
            bgp(&format!("md5_key = \"{}\"", "k".repeat(81))),
            format!("{connection}: bgp.md5_key is too long; allowed: 1 to 80 bytes"),
        ),
        (
            bgp("local_asn = 65001"),
            format!("{connection}: customer_gateway = \"idc-1\" has ASN 65001, as has border_gateway \"bgw-1\"; allowed: different ASNs on the two sides"),
        ),
        (bfd("multiplier = 3"), format!("{connection}: bfd.interval_ms is missing; allowed: 10 to 60000")),
        (
            bfd("interval_ms = 9"),
            format!("{connection}: bfd.interval_ms = 9 is out of range; allowed: 10 to 60000"),
        ),
        (
            bfd("interval_ms = 10\nauthentication = \"sha1\""),
            format!("{connection}: bfd.key is missing; allowed: key or key_file with this authentication"),
        ),
        (
            bfd("interval_ms = 10\nauthentication = \"md5\"\nkey = \"a_key_of_17_bytes\""),
            format!("{connection}: bfd.key is too long; allowed: 1 to 16 bytes"),
        ),
        (
            GOOD.replace("[[vpn_tunnel]]", "[vpn_connection.bgp]\npassive = true\n[[vpn_tunnel]]"),
            format!("{connection}: bgp is given, but routes are static; allowed: routing = \"bgp\" beside it"),
        ),
        (
            filter("prefixes = [\"10.0.0.0/16 8-24\"]"),
            "route_filter \"f\" rule #1: prefixes = \"10.0.0.0/16 8-24\" has lengths that are no range of its own; allowed: \
             10.0.0.0/16 alone, or with a range of lengths, such as 10.0.0.0/16 16-32"
                .to_owned(),
        ),
        (
            filter("large_community = \"1:2\""),
            "route_filter \"f\" rule #1: large_community = \"1:2\" is not a large community; allowed: three numbers of 0 to \
             4294967295, such as 65001:1:2"
                .to_owned(),
        ),
        (
            with_bgp("", "[[route_filter]]\nname = \"all\""),
            "route_filter \"all\": name = \"all\" is a policy of its own; allowed: another name".to_owned(),
        ),
        (
            GOOD.replace("[[customer_gateway]]", "[vpc_attachment.propagation]\ntable = 0\nvia = [\"10.1.0.1\"]\n[[customer_gateway]]"),
            "vpc_attachment \"vpc-1\": propagation.table = 0 is out of range; allowed: 1 to 4294967295".to_owned(),
        ),
    ] {
        assert_eq!(problems(&text), [expected]);
    }
}

#[test]
fn a_router_of_the_vpc_is_on_a_link_of_the_hosts_own() {
    let router = |lines: &str| {
        let head = "[[vpc_router]]\nname = \"r-1\"\nvpc_attachment = \"vpc-1\"\nlocal_address = \"10.1.0.1\"";
        with_bgp("", &format!("{head}\naddress = \"10.1.0.254\"\n{lines}"))
    };
    let resources = Resources::parse("f", &router("")).unwrap();
    let found = &resources.routers()[0];
    assert_eq!((found.gateway, found.asn.number()), (GatewayIndex(0), 65000));
    let shown_to_it = Resources::parse("f", &router("[vpc_router.bgp]\nlocal_asn = 64999")).unwrap();
    assert_eq!(shown_to_it.routers()[0].asn.number(), 64999);
    let text = router("");
    for (from, to, expected) in [
        (
            "local_address = \"10.1.0.1\"",
            "local_address = \"169.254.10.1\"",
            "vpc_router \"r-1\": local_address = \"169.254.10.1\" is a link-local address; allowed: an address that is routed \
             between the two ends",
        ),
        (
            "name = \"r-1\"",
            "name = \"tun-1\"",
            "vpc_router \"tun-1\": name = \"tun-1\" is that of vpn_tunnel \"tun-1\"; allowed: a name of its own: both are BGP \
             neighbours",
        ),
        (
            "address = \"10.1.0.254\"",
            "address = \"2001:db8::254\"",
            "vpc_router \"r-1\": address = \"2001:db8::254\" is of another family than local_address 10.1.0.1; allowed: both IPv4 \
             or both IPv6",
        ),
        (
            "interface = \"vpc0\"",
            "vlan = 7\ninterface = \"vpc0\"",
            "vpc_router \"r-1\": vpc_attachment = \"vpc-1\" is in VLAN 7, where the host itself has no address; allowed: an \
             attachment without vlan",
        ),
    ] {
        assert_eq!(problems(&text.replace(from, to)), [expected]);
    }
    let inside = text.replace("169.254.10.1/30", "10.9.9.1/30").replace("169.254.10.2", "10.9.9.2");
    let found = problems(&inside.replace("local_address = \"10.1.0.1\"", "local_address = \"10.9.9.1\""));
    assert!(found[0].contains("local_address = \"10.9.9.1\" is an address inside the tunnels"), "{found:?}");
}

#[test]
fn sessions_need_both_ends_and_a_name() {
    let missing = problems(&GOOD.replace("routing = \"static\"", "routing = \"bgp\""));
    assert_eq!(missing.len(), 3, "{missing:#?}");
    assert!(missing.iter().any(|line| line.contains("router_id is missing")));
    assert!(missing.iter().any(|line| line.contains(": peer_inner_address is missing")));
}

#[test]
fn a_key_in_a_file_has_to_fit() {
    let text = with_bgp(
        "[vpn_connection.bgp]\nmd5_key_file = \"md5\"\n[vpn_connection.bfd]\ninterval_ms = 10\nauthentication = \"md5\"\nkey_file = \"bfd\"",
        "",
    );
    let mut resources = Resources::parse("f", &text).unwrap();
    let files: Vec<Field> = resources.psk_files().map(|(field, _)| field).collect();
    assert_eq!(files.len(), 2);
    for (field, longest) in files.into_iter().zip([80, 16]) {
        let error = resources.supply_psk(field, "k".repeat(longest + 1).as_bytes()).unwrap_err().to_string();
        assert!(error.ends_with(&format!("holds a key that is too long; allowed: 1 to {longest} bytes")), "{error}");
        assert!(!error.contains("kk"), "{error}");
        resources.supply_psk(field, "k".repeat(longest).as_bytes()).unwrap();
    }
    assert!(resources.connections()[0].bgp.as_ref().unwrap().md5_key.as_ref().unwrap().psk().is_some());
}

#[test]
fn a_change_names_its_fields() {
    let parse = |text: &str| Resources::parse("f", text).unwrap();
    let before = parse(FULL);
    let fields = |from: &str, to: &str| {
        assert!(FULL.contains(from), "{from}");
        difference(&before, &parse(&FULL.replace(from, to)))
    };
    for (from, to, expected) in [
        ("hold_seconds = 30", "hold_seconds = 31", ConnectionField::Bgp),
        ("export = \"own\"", "export = \"all\"", ConnectionField::Bgp),
        ("interval_ms = 10 ", "interval_ms = 11 ", ConnectionField::Bfd),
    ] {
        let found = fields(from, to);
        assert!(
            matches!(&found[..], [Change::VpnConnection(Step::Modify { fields, .. })] if *fields == [expected]),
            "{found:?}"
        );
    }
    let found = fields("table = 100 ", "table = 101 ");
    assert!(
        matches!(&found[..], [Change::VpcAttachment(Step::Modify { fields, .. })] if *fields == [AttachmentField::Propagation])
    );
    assert!(matches!(fields("set_med = 10", "set_med = 11")[..], [Change::RouteFilter(Step::Modify { .. })]));
    // The same filter behind another one.
    let moved = "[[route_filter]]\nname = \"first\"\n\n[[route_filter]]\nname = \"from-idc-3\"";
    let found = fields("[[route_filter]]\nname = \"from-idc-3\"", moved);
    assert!(found.iter().all(|change| matches!(change, Change::RouteFilter(_))), "{found:?}");
}
