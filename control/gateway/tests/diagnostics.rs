//! Every rule between fields and objects, each broken once in an otherwise good file, with the exact text that is shown.

use bordergate_gateway::{Diagnostic, Resources};
use broken::{GOOD, edited, errors, line, refused, shown};

mod broken;

/// Text added behind the good file and the errors it must lead to.
fn refused_with(more: &str, expected: &[&str]) {
    let text = format!("{GOOD}\n{more}");
    let first = GOOD.lines().count() + 2;
    let found = shown(&errors(&text));
    let expected: Vec<String> = expected
        .iter()
        .map(|e| {
            // `f:+2:` is the second added line.
            let (at, rest) = e.strip_prefix("f:+").unwrap().split_once(':').unwrap();
            format!("f:{}:{rest}", first + at.parse::<usize>().unwrap() - 1)
        })
        .collect();
    assert_eq!(found, expected, "{more}");
}

const SECOND_GATEWAY: &str = "[[border_gateway]]\nname = \"bgw-2\"\n";

#[test]
fn names_are_unique_within_their_kind() {
    refused_with(
        "[[border_gateway]]\nname = \"bgw-1\"",
        &[&format!(
            "f:+2: border_gateway \"bgw-1\": name = \"bgw-1\" is used twice, first on line {}; allowed: a name of its own",
            line("name = \"bgw-1\"")
        )],
    );
    // Another kind may use the same name.
    assert!(Resources::parse("f", &format!("{GOOD}\n[[border_gateway]]\nname = \"tun-1\"")).is_ok());
}

#[test]
fn an_interface_and_vlan_belong_to_one_attachment() {
    let attachment = |name: &str, gateway: &str, vlan: &str| {
        format!(
            "[[vpc_attachment]]\nname = \"{name}\"\nborder_gateway = \"{gateway}\"\ninterface = \"vpc0\"\n\
             prefixes = [\"10.7.0.0/16\"]\n{vlan}\n"
        )
    };
    for gateway in ["bgw-1", "bgw-2"] {
        refused_with(
            &format!("{}{SECOND_GATEWAY}", attachment("vpc-2", gateway, "")),
            &["f:+4: vpc_attachment \"vpc-2\": interface = \"vpc0\" is already used without a VLAN by vpc_attachment \
               \"vpc-1\"; allowed: one vpc_attachment for an interface and a vlan"],
        );
    }
    let (second, third) = (attachment("vpc-2", "bgw-1", "vlan = 7"), attachment("vpc-3", "bgw-2", "vlan = 7"));
    refused_with(
        &format!("{second}{third}{SECOND_GATEWAY}"),
        &["f:+10: vpc_attachment \"vpc-3\": interface = \"vpc0\" is already used with VLAN 7 by vpc_attachment \
           \"vpc-2\"; allowed: one vpc_attachment for an interface and a vlan"],
    );
    let third = attachment("vpc-3", "bgw-2", "vlan = 8");
    assert!(Resources::parse("f", &format!("{GOOD}\n{second}{third}{SECOND_GATEWAY}")).is_ok());
}

#[test]
fn a_namespace_belongs_to_one_border_gateway() {
    refused_with(
        "[[border_gateway]]\nname = \"bgw-2\"\nnamespace = \"bordergate-bgw-1\"",
        &["f:+3: border_gateway \"bgw-2\": namespace = \"bordergate-bgw-1\" is already that of border_gateway \
           \"bgw-1\"; allowed: a namespace for each border gateway"],
    );
}

#[test]
fn a_route_that_discards_leads_nowhere_else() {
    let route = "[[static_route]]\nborder_gateway = \"bgw-1\"\ndestination = \"10.6.0.0/16\"\n";
    refused_with(
        &format!("{route}blackhole = true\nreject = true\n"),
        &["f:+5: static_route \"10.6.0.0/16\": reject is given beside blackhole; allowed: one of vpn_connection, \
           vpc_attachment, blackhole, reject"],
    );
    refused_with(
        &format!("{route}blackhole = false\n"),
        &["f:+4: static_route \"10.6.0.0/16\": blackhole = false leads nowhere; allowed: true, or no such line"],
    );
    refused_with(
        &format!("{route}reject = \"yes\"\n"),
        &["f:+4: static_route \"10.6.0.0/16\": reject = \"yes\" is a string; allowed: true or false"],
    );
}

#[test]
fn a_destination_is_discarded_in_one_way() {
    let route = "[[static_route]]\nborder_gateway = \"bgw-1\"\ndestination = \"10.6.0.0/16\"\n";
    refused_with(
        &format!("{route}blackhole = true\n{route}reject = true\n"),
        &[&format!(
            "f:+8: static_route \"10.6.0.0/16\": reject = true is a second route to 10.6.0.0/16: that on line {} has \
             blackhole = true; allowed: blackhole or reject, once for a destination",
            GOOD.lines().count() + 2
        )],
    );
}

#[test]
fn address_counts() {
    refused(&[
        (
            "addresses = [\"198.51.100.2\"]",
            "addresses = [\"198.51.100.2\", \"198.51.100.3\", \"198.51.100.4\"]",
            "f:{}: customer_gateway \"idc-1\": addresses has 3 entries; allowed: 1, 2 or 4 addresses",
        ),
        (
            "addresses = [\"203.0.113.1\"]",
            "addresses = [\"203.0.113.1\", \"203.0.113.2\", \"203.0.113.3\"]",
            "f:{}: vpn_connection \"conn-1\": addresses has 3 entries; allowed: 1 or 2 addresses",
        ),
    ]);
}

#[test]
fn asns_of_the_two_sides_differ() {
    let text = edited("asn = 65000", "asn = 65001", "");
    assert_eq!(
        shown(&errors(&text)),
        [format!(
            "f:{}: vpn_connection \"conn-1\": customer_gateway = \"idc-1\" has ASN 65001, as has border_gateway \
             \"bgw-1\"; allowed: different ASNs on the two sides",
            line("customer_gateway = \"idc-1\"")
        )]
    );
}

#[test]
fn one_tunnel_for_a_pair_of_addresses() {
    refused_with(
        "[[vpn_tunnel]]\nname = \"tun-2\"\nvpn_connection = \"conn-1\"\nlocal_address = \"203.0.113.1\"\n\
         remote_address = \"198.51.100.2\"\npsk = \"another_long_secret\"\n",
        &[&format!(
            "f:+5: vpn_tunnel \"tun-2\": remote_address = \"198.51.100.2\" is already joined to 203.0.113.1 by \
             vpn_tunnel \"tun-1\" on line {}; allowed: one tunnel for a pair of addresses",
            line("[[vpn_tunnel]]")
        )],
    );
}

#[test]
fn both_ends_of_a_tunnel_are_of_one_family() {
    let text = edited("[\"203.0.113.1\"]", "[\"203.0.113.1\", \"2001:db8::1\"]", "").replacen(
        "local_address = \"203.0.113.1\"",
        "local_address = \"2001:db8::1\"",
        1,
    );
    assert_eq!(
        shown(&errors(&text)),
        [format!(
            "f:{}: vpn_tunnel \"tun-1\": remote_address = \"198.51.100.2\" is of another family than local_address \
             2001:db8::1; allowed: both IPv4 or both IPv6",
            line("remote_address =")
        )]
    );
}

#[test]
fn static_routes_stay_within_their_gateway() {
    refused_with(
        &format!(
            "[[static_route]]\nborder_gateway = \"bgw-2\"\ndestination = \"10.3.0.0/16\"\nvpn_connection = \"conn-1\"\n\
             [[static_route]]\nborder_gateway = \"bgw-2\"\ndestination = \"10.4.0.0/16\"\nvpc_attachment = \"vpc-1\"\n\
             {SECOND_GATEWAY}"
        ),
        &[
            "f:+4: static_route \"10.3.0.0/16\": vpn_connection = \"conn-1\" belongs to border_gateway \"bgw-1\"; \
             allowed: a vpn_connection of border_gateway \"bgw-2\"",
            "f:+8: static_route \"10.4.0.0/16\": vpc_attachment = \"vpc-1\" belongs to border_gateway \"bgw-1\"; \
             allowed: a vpc_attachment of border_gateway \"bgw-2\"",
        ],
    );
}

#[test]
fn static_routes_are_unique() {
    let first = line("[[static_route]]");
    refused_with(
        "[[static_route]]\nborder_gateway = \"bgw-1\"\ndestination = \"10.2.0.0/16\"\nvpn_connection = \"conn-1\"\n\
         [[vpc_attachment]]\nname = \"vpc-2\"\nborder_gateway = \"bgw-1\"\ninterface = \"vpc1\"\n\
         prefixes = [\"10.8.0.0/16\"]\n\
         [[static_route]]\nborder_gateway = \"bgw-1\"\ndestination = \"10.5.0.0/16\"\nvpc_attachment = \"vpc-1\"\n\
         [[static_route]]\nborder_gateway = \"bgw-1\"\ndestination = \"10.5.0.0/16\"\nvpc_attachment = \"vpc-2\"\n",
        &[
            &format!(
                "f:+4: static_route \"10.2.0.0/16\": vpn_connection = \"conn-1\" is a second route to 10.2.0.0/16: \
                 that on line {first} has vpn_connection = \"conn-1\"; allowed: one route for a destination and a connection"
            ),
            &format!(
                "f:+17: static_route \"10.5.0.0/16\": vpc_attachment = \"vpc-2\" is a second route to 10.5.0.0/16: \
                 that on line {} has vpc_attachment = \"vpc-1\"; allowed: one vpc_attachment for a destination",
                GOOD.lines().count() + 11
            ),
        ],
    );
}

#[test]
fn a_route_leads_through_exactly_one_thing() {
    refused_with(
        "[[static_route]]\nborder_gateway = \"bgw-1\"\ndestination = \"10.3.0.0/16\"\n\
         [[static_route]]\nborder_gateway = \"bgw-1\"\ndestination = \"10.4.0.0/16\"\nvpn_connection = \"conn-1\"\n\
         vpc_attachment = \"vpc-1\"\n",
        &[
            "f:+1: static_route \"10.3.0.0/16\": vpn_connection is missing; allowed: one of vpn_connection, vpc_attachment, blackhole, reject",
            "f:+8: static_route \"10.4.0.0/16\": vpc_attachment is given beside vpn_connection; allowed: \
             one of vpn_connection, vpc_attachment, blackhole, reject",
        ],
    );
}

#[test]
fn what_is_missing_is_said_where_the_object_begins() {
    refused_with(
        "[[border_gateway]]\n[[vpc_attachment]]\n[[customer_gateway]]\n[[vpn_connection]]\n[[vpn_tunnel]]\n\
         [[static_route]]\n",
        &[
            "f:+1: border_gateway #2: name is missing; allowed: 1 to 32 letters, digits, _ and -",
            "f:+2: vpc_attachment #2: name is missing; allowed: 1 to 32 letters, digits, _ and -",
            "f:+2: vpc_attachment #2: border_gateway is missing; allowed: the name of a border_gateway",
            "f:+2: vpc_attachment #2: interface is missing; allowed: the host's interface towards the VPC",
            "f:+2: vpc_attachment #2: prefixes is missing; allowed: the prefixes behind it",
            "f:+3: customer_gateway #2: name is missing; allowed: 1 to 32 letters, digits, _ and -",
            "f:+3: customer_gateway #2: asn is missing; allowed: 1 to 4294967294, without 23456 and 65535",
            "f:+3: customer_gateway #2: addresses is missing; allowed: 1, 2 or 4 addresses",
            "f:+4: vpn_connection #2: name is missing; allowed: 1 to 32 letters, digits, _ and -",
            "f:+4: vpn_connection #2: border_gateway is missing; allowed: the name of a border_gateway",
            "f:+4: vpn_connection #2: customer_gateway is missing; allowed: the name of a customer_gateway",
            "f:+4: vpn_connection #2: routing is missing; allowed: static, bgp",
            "f:+4: vpn_connection #2: addresses is missing; allowed: 1 or 2 addresses of this host",
            "f:+5: vpn_tunnel #2: name is missing; allowed: 1 to 32 letters, digits, _ and -",
            "f:+5: vpn_tunnel #2: vpn_connection is missing; allowed: the name of a vpn_connection",
            "f:+5: vpn_tunnel #2: local_address is missing; allowed: one of the connection's addresses",
            "f:+5: vpn_tunnel #2: remote_address is missing; allowed: one of the customer gateway's addresses",
            "f:+5: vpn_tunnel #2: psk is missing; allowed: psk, psk_file, or certificate_file with private_key_file and ca_files",
            "f:+6: static_route #2: border_gateway is missing; allowed: the name of a border_gateway",
            "f:+6: static_route #2: destination is missing; allowed: a prefix, such as 10.2.0.0/16",
            "f:+6: static_route #2: vpn_connection is missing; allowed: one of vpn_connection, vpc_attachment, blackhole, reject",
        ],
    );
}

#[test]
fn no_key_is_ever_shown() {
    let psk = "psk = \"correct_horse_battery\"            # or psk_file = \"/etc/bordergate/tun-1.psk\"";
    let rules =
        "1 to 128 letters, digits and punctuation of ASCII, or 0x and hexadecimal or 0s and base64 of as many bytes";
    let long = format!("psk = \"{}\"", "k".repeat(129));
    for (written, problem) in [
        ("psk = \"\"", format!("psk is empty; allowed: {rules}")),
        (long.as_str(), format!("psk is too long; allowed: {rules}")),
        ("psk = \"0xc0ffee!\"", format!("psk begins with 0x, but what follows is not hexadecimal; allowed: {rules}")),
        (
            "psk = \"0\\u0053c0ffee\"",
            format!("psk begins with 0s, but what follows is not base64 with its padding; allowed: {rules}"),
        ),
        ("psk = \"c0ffee and milk\"", format!("psk contains a space or a character outside ASCII; allowed: {rules}")),
        ("psk = \"c0ffee-咖啡\"", format!("psk contains a space or a character outside ASCII; allowed: {rules}")),
        ("psk = 120346", "psk is a whole number; allowed: a string".to_owned()),
        ("psk = [\"c0ffee\"]", "psk is a list; allowed: a string".to_owned()),
        ("psk_file = \"\"", "psk_file = \"\" is empty; allowed: the path of a file".to_owned()),
        (
            "psk = \"c0ffee\"\npsk_file = \"/x\"",
            "psk_file is given beside psk; allowed: psk or psk_file, not both".to_owned(),
        ),
    ] {
        let found = errors(&edited(psk, written, ""));
        let at = line("psk =") + written.matches('\n').count();
        assert_eq!(shown(&found), [format!("f:{at}: vpn_tunnel \"tun-1\": {problem}")]);
    }
    // Nor where it was written in the wrong place or the file is no TOML at all.
    for written in
        ["pks = \"c0ffee\"", "psk = \"c0ffee", "psk = c0ffee", "psk.value = \"c0ffee\"", "psk = \"c0ffee\\q\""]
    {
        let found = errors(&edited(psk, written, "")).iter().map(|d| format!("{d} {d:?}")).collect::<String>();
        assert!(!found.contains("c0ffee"), "{found}");
    }
}

#[test]
fn parts_of_a_diagnostic() {
    let found = errors(&edited("replay_window = 1024", "replay_window =   32", ""));
    assert_eq!(
        found,
        [Diagnostic {
            file: "f".to_owned(),
            line: u32::try_from(line("replay_window")).unwrap(),
            column: 19,
            object: "vpn_tunnel \"tun-1\"".to_owned(),
            field: "vpn_tunnel \"tun-1\".esp.replay_window".to_owned(),
            value: Some("32".to_owned()),
            problem: "is out of range".to_owned(),
            allowed: Some("64 to 4096".to_owned()),
        }]
    );
}

#[test]
fn columns_count_characters() {
    let found =
        errors("[[border_gateway]]\nname = \"网关\"\nasn = 0 # 网关\n[[vpc_attachment]]\nprefixes = [\"网\", 1]\n");
    let places: Vec<_> = found.iter().map(|d| (d.line, d.column)).collect();
    assert_eq!(places, [(3, 7), (4, 1), (4, 1), (4, 1), (5, 13), (5, 18)]);
}

#[test]
fn values_are_shown_on_one_line_of_bounded_length() {
    let text = format!("[[border_gateway]]\nname = \"\"\"a\nb\\u001b{}\"\"\"\n", "c".repeat(100));
    let found = shown(&errors(&text));
    assert_eq!(found.len(), 1);
    assert!(found[0].starts_with("f:2: border_gateway \"a\\nb\\u{1b}ccc"), "{}", found[0]);
    assert!(found[0].chars().count() < 250 && !found[0].contains('\n'), "{}", found[0]);
}

#[test]
fn every_syntax_error_is_reported_and_nothing_else() {
    let found = shown(&errors("[[border_gateway]]\nname = \nasn = 1\nasn = 2\n[[vpn_tunnel]\n"));
    assert_eq!(
        found,
        [
            "f:2: syntax error: string values must be quoted, expected literal string",
            "f:4: syntax error: duplicate key",
            "f:5: syntax error: unclosed array table, expected `]`",
        ]
    );
}

#[test]
fn a_kind_of_resource_is_a_list() {
    let found = shown(&errors("border_gateway = [1]\n[vpc_attachment]\nname = \"x\"\n"));
    assert_eq!(
        found,
        [
            "f:1: border_gateway has an entry that is not a table; allowed: [[border_gateway]] before each",
            "f:2: vpc_attachment is not a list of tables; allowed: [[vpc_attachment]] before each",
        ]
    );
}

#[test]
fn one_missing_name_does_not_make_references_wrong() {
    let found = shown(&errors(&edited("name = \"bgw-1\"", "name = \"\"", "")));
    let at = line("name = \"bgw-1\"");
    assert_eq!(
        found,
        [format!("f:{at}: border_gateway \"\": name = \"\" is empty; allowed: 1 to 32 letters, digits, _ and -")]
    );
}
