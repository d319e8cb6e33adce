//! Every rule of the resource file, each broken once in an otherwise good file, with the exact text that is shown.

use bordergate_gateway::{Diagnostic, Resources};

const GOOD: &str = include_str!("../../../examples/static.toml");

/// The good file with `from` replaced once by `to`, and `more` behind it.
fn edited(from: &str, to: &str, more: &str) -> String {
    assert!(GOOD.contains(from), "{from:?} is not in the example");
    format!("{}\n{more}", GOOD.replacen(from, to, 1))
}

fn errors(text: &str) -> Vec<Diagnostic> {
    Resources::parse("f", text).expect_err("the file should be refused")
}

fn shown(diagnostics: &[Diagnostic]) -> Vec<String> {
    diagnostics.iter().map(ToString::to_string).collect()
}

/// The lines of the good file, so that the expectations need not be counted again when a comment is added to it.
fn line(part: &str) -> usize {
    let start = GOOD.find(part).expect("the text is in the example");
    GOOD[..start].matches('\n').count() + 1
}

/// One edit of the good file and the one error it must lead to, `{}` standing for the line of `from`.
fn refused(cases: &[(&str, &str, &str)]) {
    for &(from, to, expected) in cases {
        let found = shown(&errors(&edited(from, to, "")));
        assert_eq!(found, [expected.replace("{}", &line(from).to_string())], "{from} -> {to}");
    }
}

#[test]
fn values() {
    refused(&[
        (
            "asn = 65000",
            "asn = 64511",
            "f:{}: border_gateway \"bgw-1\": asn = 64511 is out of range; allowed: 64512 to 65534",
        ),
        (
            "asn = 65000",
            "asn = 65535",
            "f:{}: border_gateway \"bgw-1\": asn = 65535 is out of range; allowed: 64512 to 65534",
        ),
        (
            "asn = 65000",
            "asn = \"65000\"",
            "f:{}: border_gateway \"bgw-1\": asn = \"65000\" is a string; allowed: a whole number, 64512 to 65534",
        ),
        (
            "asn = 65000",
            "asn = 65000.5",
            "f:{}: border_gateway \"bgw-1\": asn = 65000.5 is a fraction; allowed: a whole number, 64512 to 65534",
        ),
        (
            "asn = 65001",
            "asn = 65000",
            "f:{}: customer_gateway \"idc-1\": asn = 65000 is out of range; allowed: 65001 to 65499",
        ),
        (
            "asn = 65001",
            "asn = 65500",
            "f:{}: customer_gateway \"idc-1\": asn = 65500 is out of range; allowed: 65001 to 65499",
        ),
        (
            "name = \"bgw-1\"",
            "name = \"\"",
            "f:{}: border_gateway \"\": name = \"\" is empty; allowed: 1 to 32 letters, digits, _ and -",
        ),
        (
            "name = \"tun-1\"",
            "name = \"tun 1\"",
            "f:{}: vpn_tunnel \"tun 1\": name = \"tun 1\" contains ' '; allowed: 1 to 32 letters, digits, _ and -",
        ),
        (
            "name = \"tun-1\"",
            "name = \"abcdefghijklmnopqrstuvwxyz-1234567\"",
            "f:{}: vpn_tunnel \"abcdefghijklmnopqrstuvwxyz-1234567\": name = \"abcdefghijklmnopqrstuvwxyz-1234567\" is too long; allowed: 1 to 32 letters, digits, _ and -",
        ),
        (
            "interface = \"vpc0\"",
            "interface = \"vpc/0\"",
            "f:{}: vpc_attachment \"vpc-1\": interface = \"vpc/0\" contains '/'; allowed: 1 to 15 bytes without spaces, / and :",
        ),
        (
            "interface = \"vpc0\"",
            "interface = \"interface-name-too-long\"",
            "f:{}: vpc_attachment \"vpc-1\": interface = \"interface-name-too-long\" is too long; allowed: 1 to 15 bytes without spaces, / and :",
        ),
        (
            "prefixes = [\"10.1.0.0/16\"]               # what",
            "prefixes = [\"10.1.0.1/16\"] # what",
            "f:{}: vpc_attachment \"vpc-1\": prefixes = \"10.1.0.1/16\" has host bits set; allowed: 10.1.0.0/16",
        ),
        (
            "prefixes = [\"10.1.0.0/16\"]               # what",
            "prefixes = [\"10.1.0.0/33\"] # what",
            "f:{}: vpc_attachment \"vpc-1\": prefixes = \"10.1.0.0/33\" has too long a length; allowed: a length of 0 to 32",
        ),
        (
            "prefixes = [\"10.1.0.0/16\"]               # what",
            "prefixes = [\"10.1.0.0\"] # what",
            "f:{}: vpc_attachment \"vpc-1\": prefixes = \"10.1.0.0\" has no length; allowed: an address and a length, such as 10.1.0.0/32",
        ),
        (
            "prefixes = [\"10.1.0.0/16\"]               # what",
            "prefixes = [\"ten/8\"] # what",
            "f:{}: vpc_attachment \"vpc-1\": prefixes = \"ten/8\" is not a prefix; allowed: an address and a length, such as 10.1.0.0/16 or 2001:db8::/32",
        ),
        (
            "prefixes = [\"10.1.0.0/16\"]               # what",
            "prefixes = \"10.1.0.0/16\" # what",
            "f:{}: vpc_attachment \"vpc-1\": prefixes = \"10.1.0.0/16\" is a string; allowed: a list in square brackets",
        ),
        (
            "prefixes = [\"10.1.0.0/16\"]               # what",
            "prefixes = [] # what",
            "f:{}: vpc_attachment \"vpc-1\": prefixes is an empty list; allowed: at least one entry",
        ),
        (
            "prefixes = [\"10.1.0.0/16\"]               # what",
            "prefixes = [\"10.1.0.0/16\", \"10.1.0.0/16\"] # what",
            "f:{}: vpc_attachment \"vpc-1\": prefixes = \"10.1.0.0/16\" is listed twice; allowed: each entry once",
        ),
        (
            "remote_prefixes = [\"10.2.0.0/16\"]",
            "remote_prefixes = [\"2001:db8::/32\"]",
            "f:{}: vpn_tunnel \"tun-1\": remote_prefixes has no prefix of the family of local_prefixes; allowed: local and remote prefixes of one family",
        ),
        (
            "destination = \"10.2.0.0/16\"",
            "destination = \"10.2.0.1/16\"",
            "f:{}: static_route \"10.2.0.1/16\": destination = \"10.2.0.1/16\" has host bits set; allowed: 10.2.0.0/16",
        ),
        (
            "addresses = [\"198.51.100.2\"]",
            "addresses = [\"198.51.100.2\", \"198.51.100.2\"]",
            "f:{}: customer_gateway \"idc-1\": addresses = \"198.51.100.2\" is listed twice; allowed: each entry once",
        ),
        (
            "addresses = [\"198.51.100.2\"]",
            "addresses = [\"198.51.100.2\", \"not-an-address\"]",
            "f:{}: customer_gateway \"idc-1\": addresses = \"not-an-address\" is not an address; allowed: an IPv4 or IPv6 address",
        ),
        (
            "addresses = [\"203.0.113.1\"]",
            "addresses = [\"203.0.113.1\", \"0.0.0.0\"]",
            "f:{}: vpn_connection \"conn-1\": addresses = \"0.0.0.0\" is the unspecified address; allowed: an address that is routed between the two ends",
        ),
        (
            "addresses = [\"203.0.113.1\"]",
            "addresses = [\"203.0.113.1\", \"127.0.0.1\"]",
            "f:{}: vpn_connection \"conn-1\": addresses = \"127.0.0.1\" is a loopback address; allowed: an address that is routed between the two ends",
        ),
        (
            "addresses = [\"203.0.113.1\"]",
            "addresses = [\"203.0.113.1\", \"ff02::1\"]",
            "f:{}: vpn_connection \"conn-1\": addresses = \"ff02::1\" is a multicast address; allowed: an address that is routed between the two ends",
        ),
        (
            "addresses = [\"203.0.113.1\"]",
            "addresses = [\"203.0.113.1\", \"255.255.255.255\"]",
            "f:{}: vpn_connection \"conn-1\": addresses = \"255.255.255.255\" is the broadcast address; allowed: an address that is routed between the two ends",
        ),
        (
            "addresses = [\"203.0.113.1\"]",
            "addresses = [\"203.0.113.1\", \"fe80::1\"]",
            "f:{}: vpn_connection \"conn-1\": addresses = \"fe80::1\" is a link-local address; allowed: an address that is routed between the two ends",
        ),
        (
            "routing = \"static\"",
            "routing = \"bgp\"",
            "f:{}: vpn_connection \"conn-1\": routing = \"bgp\" is not built yet; allowed: static",
        ),
        (
            "routing = \"static\"",
            "routing = \"ospf\"",
            "f:{}: vpn_connection \"conn-1\": routing = \"ospf\" is not known; allowed: static",
        ),
        (
            "local_id = \"203.0.113.1\"",
            "local_id = \"\"",
            "f:{}: vpn_tunnel \"tun-1\": local_id = \"\" is empty; allowed: an IPv4 or IPv6 address, a domain name, or user@domain",
        ),
        (
            "local_id = \"203.0.113.1\"",
            "local_id = \"300.0.113.1\"",
            "f:{}: vpn_tunnel \"tun-1\": local_id = \"300.0.113.1\" is not an identity; allowed: an IPv4 or IPv6 address, a domain name, or user@domain",
        ),
        (
            "local_id = \"203.0.113.1\"",
            "local_id = \"@gateway.example\"",
            "f:{}: vpn_tunnel \"tun-1\": local_id = \"@gateway.example\" begins with @: write the name alone; allowed: an IPv4 or IPv6 address, a domain name, or user@domain",
        ),
        (
            "local_id = \"203.0.113.1\"",
            "local_id = \"C=CN, CN=gateway\"",
            "f:{}: vpn_tunnel \"tun-1\": local_id = \"C=CN, CN=gateway\" is not an identity; allowed: an IPv4 or IPv6 address, a domain name, or user@domain",
        ),
        (
            "admin = \"up\"",
            "admin = \"UP\"",
            "f:{}: vpn_tunnel \"tun-1\": admin = \"UP\" is not known; allowed: up, down",
        ),
        (
            "startup = \"initiate\"",
            "startup = \"wait\"",
            "f:{}: vpn_tunnel \"tun-1\": startup = \"wait\" is not known; allowed: initiate, respond",
        ),
        (
            "udp_encapsulation = \"auto\"",
            "udp_encapsulation = true",
            "f:{}: vpn_tunnel \"tun-1\": udp_encapsulation = true is a truth value; allowed: auto, always",
        ),
        (
            "esn = true",
            "esn = \"yes\"",
            "f:{}: vpn_tunnel \"tun-1\": esn = \"yes\" is a string; allowed: true or false",
        ),
        (
            "replay_window = 1024",
            "replay_window = 32",
            "f:{}: vpn_tunnel \"tun-1\": replay_window = 32 is out of range; allowed: 64 to 4096",
        ),
        (
            "replay_window = 1024",
            "replay_window = 4097",
            "f:{}: vpn_tunnel \"tun-1\": replay_window = 4097 is out of range; allowed: 64 to 4096",
        ),
        (
            "replay_window = 1024",
            "replay_window = -9999999999999999999999999999999999999999999",
            "f:{}: vpn_tunnel \"tun-1\": replay_window = -9999999999999999999999999999999999999999999 is out of range; allowed: 64 to 4096",
        ),
        (
            "liveness_seconds = 10",
            "liveness_seconds = 3601",
            "f:{}: vpn_tunnel \"tun-1\": liveness_seconds = 3601 is out of range; allowed: 0 to 3600",
        ),
        (
            "lifetime_seconds = 14400",
            "lifetime_seconds = 59",
            "f:{}: vpn_tunnel \"tun-1\": lifetime_seconds = 59 is out of range; allowed: 60 to 86400",
        ),
        (
            "lifetime_seconds = 3600",
            "lifetime_seconds = 86401",
            "f:{}: vpn_tunnel \"tun-1\": lifetime_seconds = 86401 is out of range; allowed: 60 to 86400",
        ),
        (
            "key_exchange = [\"x25519\", \"ecp256\"]",
            "key_exchange = [\"x25519\", \"modp1024\"]",
            "f:{}: vpn_tunnel \"tun-1\": key_exchange = \"modp1024\" is not known; allowed: x25519, ecp256, ecp384, modp2048",
        ),
        (
            "encryption = [\"aes128gcm16\", \"aes128\"]",
            "encryption = [\"3des\"]",
            "f:{}: vpn_tunnel \"tun-1\": encryption = \"3des\" is not known; allowed: aes128gcm16, aes192gcm16, aes256gcm16, aes128, aes192, aes256",
        ),
        (
            "integrity = [\"sha256\"]",
            "integrity = [\"sha1\"]",
            "f:{}: vpn_tunnel \"tun-1\": integrity = \"sha1\" is not known; allowed: sha256, sha384",
        ),
        (
            "integrity = [\"sha256\"]",
            "integrity = []",
            "f:{}: vpn_tunnel \"tun-1\": integrity is an empty list; allowed: at least one entry",
        ),
        (
            "prf = [\"sha256\"]",
            "prf = [\"md5\"]",
            "f:{}: vpn_tunnel \"tun-1\": prf = \"md5\" is not known; allowed: sha256, sha384, sha512",
        ),
        (
            "prf = [\"sha256\"]",
            "prf = [\"sha256\", \"sha256\"]",
            "f:{}: vpn_tunnel \"tun-1\": prf = \"sha256\" is listed twice; allowed: each entry once",
        ),
        (
            "encryption = [\"aes128gcm16\"]             # aes",
            "encryption = [\"aes128\"] # aes",
            "f:{}: vpn_tunnel \"tun-1\": encryption = \"aes128\" is not known; allowed: aes128gcm16, aes192gcm16, aes256gcm16",
        ),
        (
            "liveness_seconds = 10",
            "version = \"v1\"",
            "f:{}: vpn_tunnel \"tun-1\": version = \"v1\" is not offered: IKEv1 is deprecated by RFC 9395; allowed: v2",
        ),
        (
            "liveness_seconds = 10",
            "version = \"v3\"",
            "f:{}: vpn_tunnel \"tun-1\": version = \"v3\" is not known; allowed: v2",
        ),
    ]);
}

#[test]
fn references() {
    refused(&[
        (
            "border_gateway = \"bgw-1\"\ninterface",
            "border_gateway = \"bgw-2\"\ninterface",
            "f:{}: vpc_attachment \"vpc-1\": border_gateway = \"bgw-2\" names no border_gateway (did you mean \"bgw-1\"?); allowed: \"bgw-1\"",
        ),
        (
            "customer_gateway = \"idc-1\"",
            "customer_gateway = \"data-centre\"",
            "f:{}: vpn_connection \"conn-1\": customer_gateway = \"data-centre\" names no customer_gateway; allowed: \"idc-1\"",
        ),
        (
            "vpn_connection = \"conn-1\"\nlocal",
            "vpn_connection = \"con-1\"\nlocal",
            "f:{}: vpn_tunnel \"tun-1\": vpn_connection = \"con-1\" names no vpn_connection (did you mean \"conn-1\"?); allowed: \"conn-1\"",
        ),
        (
            "vpn_connection = \"conn-1\"\nlocal",
            "vpn_connection = 1\nlocal",
            "f:{}: vpn_tunnel \"tun-1\": vpn_connection = 1 is a whole number; allowed: a string",
        ),
        (
            "local_address = \"203.0.113.1\"",
            "local_address = \"203.0.113.9\"",
            "f:{}: vpn_tunnel \"tun-1\": local_address = \"203.0.113.9\" is not an address of vpn_connection \"conn-1\"; allowed: 203.0.113.1",
        ),
        (
            "remote_address = \"198.51.100.2\"",
            "remote_address = \"198.51.100.9\"",
            "f:{}: vpn_tunnel \"tun-1\": remote_address = \"198.51.100.9\" is not an address of customer_gateway \"idc-1\"; allowed: 198.51.100.2",
        ),
    ]);
}

#[test]
fn fields() {
    refused(&[
        (
            "replay_window = 1024",
            "replay_windw = 1024",
            "f:{}: vpn_tunnel \"tun-1\": replay_windw is not a field here; did you mean replay_window?",
        ),
        (
            "replay_window = 1024",
            "bandwidth = 1024",
            "f:{}: vpn_tunnel \"tun-1\": bandwidth is not a field here; allowed: encryption, esn, replay_window, lifetime_seconds",
        ),
        (
            "liveness_seconds = 10",
            "dpd = 10",
            "f:{}: vpn_tunnel \"tun-1\": dpd is not a field here; allowed: version, key_exchange, encryption, integrity, prf, liveness_seconds, lifetime_seconds",
        ),
        ("asn = 65000", "ans = 65000", "f:{}: border_gateway \"bgw-1\": ans is not a field here; did you mean asn?"),
        (
            "admin = \"up\"",
            "ikeVersion = \"v1\"",
            "f:{}: vpn_tunnel \"tun-1\": ikeVersion is not a field here; allowed: name, vpn_connection, local_address, remote_address, psk, psk_file, local_id, remote_id, admin, startup, local_prefixes, remote_prefixes, udp_encapsulation, ike, esp",
        ),
        (
            "[vpn_tunnel.esp]",
            "[vpn_tunnel.esq]",
            "f:{}: vpn_tunnel \"tun-1\": esq is not a field here; did you mean esp?",
        ),
        (
            "[[static_route]]",
            "[[static_rout]]",
            "f:{}: static_rout is not a kind of resource; did you mean static_route?",
        ),
        (
            "[[border_gateway]]",
            "[[router]]\n[[border_gateway]]",
            "f:{}: router is not a kind of resource; allowed: border_gateway, vpc_attachment, customer_gateway, vpn_connection, vpn_tunnel, static_route",
        ),
    ]);
}

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
fn an_interface_belongs_to_one_border_gateway() {
    let more = "[[vpc_attachment]]\nname = \"vpc-2\"\nborder_gateway = \"GW\"\ninterface = \"vpc0\"\n\
                prefixes = [\"10.7.0.0/16\"]\n";
    refused_with(
        &format!("{}{SECOND_GATEWAY}", more.replace("GW", "bgw-2")),
        &[
            "f:+4: vpc_attachment \"vpc-2\": interface = \"vpc0\" is already used by vpc_attachment \"vpc-1\" of another \
           border gateway; allowed: an interface belongs to one border gateway",
        ],
    );
    assert!(Resources::parse("f", &format!("{GOOD}\n{}", more.replace("GW", "bgw-1"))).is_ok());
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
                 line {first} leads to \"conn-1\"; allowed: one route for a destination and a connection"
            ),
            &format!(
                "f:+17: static_route \"10.5.0.0/16\": vpc_attachment = \"vpc-2\" is a second route to 10.5.0.0/16: \
                 line {} leads to \"vpc-1\"; allowed: one vpc_attachment for a destination",
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
            "f:+1: static_route \"10.3.0.0/16\": vpn_connection is missing; allowed: vpn_connection or vpc_attachment",
            "f:+8: static_route \"10.4.0.0/16\": vpc_attachment is given beside vpn_connection; allowed: \
             vpn_connection or vpc_attachment, not both",
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
            "f:+3: customer_gateway #2: asn is missing; allowed: 65001 to 65499",
            "f:+3: customer_gateway #2: addresses is missing; allowed: 1, 2 or 4 addresses",
            "f:+4: vpn_connection #2: name is missing; allowed: 1 to 32 letters, digits, _ and -",
            "f:+4: vpn_connection #2: border_gateway is missing; allowed: the name of a border_gateway",
            "f:+4: vpn_connection #2: customer_gateway is missing; allowed: the name of a customer_gateway",
            "f:+4: vpn_connection #2: routing is missing; allowed: static",
            "f:+4: vpn_connection #2: addresses is missing; allowed: 1 or 2 addresses of this host",
            "f:+5: vpn_tunnel #2: name is missing; allowed: 1 to 32 letters, digits, _ and -",
            "f:+5: vpn_tunnel #2: vpn_connection is missing; allowed: the name of a vpn_connection",
            "f:+5: vpn_tunnel #2: local_address is missing; allowed: one of the connection's addresses",
            "f:+5: vpn_tunnel #2: remote_address is missing; allowed: one of the customer gateway's addresses",
            "f:+5: vpn_tunnel #2: psk is missing; allowed: psk or psk_file",
            "f:+6: static_route #2: border_gateway is missing; allowed: the name of a border_gateway",
            "f:+6: static_route #2: destination is missing; allowed: a prefix, such as 10.2.0.0/16",
            "f:+6: static_route #2: vpn_connection is missing; allowed: vpn_connection or vpc_attachment",
        ],
    );
}

#[test]
fn no_key_is_ever_shown() {
    let psk = "psk = \"correct_horse_battery\"            # or psk_file = \"/etc/bordergate/tun-1.psk\"";
    let rules = "1 to 128 letters, digits and punctuation of ASCII, not beginning with 0x or 0s";
    let long = format!("psk = \"{}\"", "k".repeat(129));
    for (written, problem) in [
        ("psk = \"\"", format!("psk is empty; allowed: {rules}")),
        (long.as_str(), format!("psk is too long; allowed: {rules}")),
        (
            "psk = \"0xc0ffee\"",
            format!("psk begins with 0x or 0s, which peers read as hexadecimal or base64; allowed: {rules}"),
        ),
        (
            "psk = \"0\\u0053c0ffee\"",
            format!("psk begins with 0x or 0s, which peers read as hexadecimal or base64; allowed: {rules}"),
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
        errors("[[border_gateway]]\nname = \"网关\"\nasn = 1 # 网关\n[[vpc_attachment]]\nprefixes = [\"网\", 1]\n");
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
