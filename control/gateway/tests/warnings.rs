//! What is allowed but probably not meant, each once, with the exact text that is shown.

use bordergate_gateway::Resources;

const GOOD: &str = include_str!("../../../examples/static.toml");

/// The warnings of the good file with `from` replaced by `to` and `more` behind it, without their places.
fn warnings(from: &str, to: &str, more: &str) -> Vec<String> {
    assert!(GOOD.contains(from), "{from:?} is not in the example");
    let text = format!("{}\n{more}", GOOD.replacen(from, to, 1));
    let resources = Resources::parse("f", &text).unwrap_or_else(|errors| panic!("{errors:#?}"));
    resources
        .warnings()
        .iter()
        .map(|warning| {
            let shown = warning.to_string();
            let rest = shown.strip_prefix(&format!("f:{}: ", warning.line)).expect("file and line come first");
            let written = text.lines().nth(warning.line as usize - 1).expect("the line exists");
            assert!(warning.key().is_empty() || written.contains(warning.key()), "{shown} on {written}");
            rest.to_owned()
        })
        .collect()
}

#[test]
fn each_doubt_is_voiced() {
    let cases: &[(&str, &str, &str, &[&str])] = &[
        ("esn = true", "esn = true", "", &[]),
        (
            "psk = \"correct_horse_battery\"",
            "psk = \"15-characters--\"",
            "",
            &["vpn_tunnel \"tun-1\": psk is short: 16 random characters or more resist guessing"],
        ),
        ("psk = \"correct_horse_battery\"", "psk = \"16-characters---\"", "", &[]),
        (
            "encryption = [\"aes128gcm16\", \"aes128\"]",
            "encryption = [\"aes128gcm16\"]",
            "",
            &["vpn_tunnel \"tun-1\": integrity has no effect: every cipher in encryption authenticates by itself; \
               allowed: integrity with aes128, aes192, aes256 or 3des"],
        ),
        (
            "esn = true",
            "integrity = [\"sha1\"]",
            "",
            &["vpn_tunnel \"tun-1\": integrity has no effect: every cipher in encryption authenticates by itself; \
               allowed: integrity with aes128, aes192 or aes256"],
        ),
        (
            "encryption = [\"aes128gcm16\", \"aes128\"]",
            "encryption = [\"aes128gcm16\", \"3des\"]",
            "",
            &[
                "vpn_tunnel \"tun-1\": encryption = \"3des\" is weak: its blocks of 64 bits repeat early, and it is slow; \
               keep it for peers that have nothing better",
            ],
        ),
        (
            "prf = [\"sha256\"]",
            "prf = [\"sha1\"]",
            "",
            &[
                "vpn_tunnel \"tun-1\": prf = \"sha1\" is weak: RFC 8247 is about to deprecate it; keep it for peers that \
               have nothing better",
            ],
        ),
        (
            "integrity = [\"sha256\"]",
            "integrity = [\"sha256\", \"sha1\"]",
            "",
            &[
                "vpn_tunnel \"tun-1\": integrity = \"sha1\" is weak: RFC 8247 and RFC 8221 are about to deprecate it; keep \
               it for peers that have nothing better",
            ],
        ),
        (
            "esn = true",
            "key_exchange = [\"ecp256\", \"modp1024\"]",
            "",
            &[
                "vpn_tunnel \"tun-1\": key_exchange = \"modp1024\" is weak: RFC 8247 says that it should not be used; keep \
               it for peers that have nothing better",
            ],
        ),
        (
            "liveness_seconds = 10",
            "additional_key_exchange = [\"mlkem768\", [\"x448\", \"modp1536\"]]",
            "",
            &[
                "vpn_tunnel \"tun-1\": additional_key_exchange = \"modp1536\" is weak: RFC 8247 says that it should not be \
               used; keep it for peers that have nothing better",
            ],
        ),
        (
            "esn = true",
            "esn = true",
            "[[border_gateway]]\nname = \"bgw-2\"",
            &["border_gateway \"bgw-2\": has no vpc_attachment"],
        ),
        (
            "esn = true",
            "esn = true",
            "[[border_gateway]]\nname = \"bgw-2\"\n[[vpc_attachment]]\nname = \"v\"\nborder_gateway = \"bgw-2\"\n\
             interface = \"v\"\nprefixes = [\"10.1.0.0/16\"]",
            &["border_gateway \"bgw-2\": has no vpn_connection"],
        ),
        (
            "esn = true",
            "esn = true",
            "[[customer_gateway]]\nname = \"idc-2\"\nasn = 65002\naddresses = [\"192.0.2.1\"]",
            &["customer_gateway \"idc-2\": is not used by any vpn_connection"],
        ),
        (
            "esn = true",
            "esn = true",
            "[[vpn_connection]]\nname = \"conn-2\"\nborder_gateway = \"bgw-1\"\ncustomer_gateway = \"idc-1\"\n\
             routing = \"static\"\naddresses = [\"203.0.113.2\"]",
            &["vpn_connection \"conn-2\": has no vpn_tunnel"],
        ),
        (
            "addresses = [\"203.0.113.1\"]",
            "addresses = [\"203.0.113.1\", \"2001:db8::1\"]",
            "",
            &["vpn_connection \"conn-1\": addresses = \"2001:db8::1\" is IPv6, but customer_gateway \"idc-1\" has no \
               such address"],
        ),
        (
            "local_prefixes = [\"10.1.0.0/16\"]",
            "local_prefixes = [\"10.1.0.0/16\", \"2001:db8::/32\"]",
            "",
            &["vpn_tunnel \"tun-1\": local_prefixes = \"2001:db8::/32\" has no counterpart of its family in \
               remote_prefixes"],
        ),
        (
            "destination = \"10.2.0.0/16\"",
            "destination = \"10.2.0.0/15\"",
            "",
            &[
                "static_route \"10.2.0.0/15\": destination = \"10.2.0.0/15\" is not within remote_prefixes of vpn_tunnel \
               \"tun-1\": what lies outside them cannot be sent through it",
            ],
        ),
        (
            "prefixes = [\"10.1.0.0/16\"]               # what",
            "prefixes = [\"10.1.0.0/16\", \"10.2.0.0/16\"]               # what",
            "",
            &[
                "static_route \"10.2.0.0/16\": destination = \"10.2.0.0/16\" is never used: vpc_attachment \"vpc-1\" has \
               the same prefix, and a VPC goes before a VPN",
            ],
        ),
        // Another prefix is another matter, and so is one that is attached: both are what such routes are for.
        (
            "esn = true",
            "esn = true",
            "[[static_route]]\nborder_gateway = \"bgw-1\"\ndestination = \"10.2.0.0/24\"\nblackhole = true\n\
             [[static_route]]\nborder_gateway = \"bgw-1\"\ndestination = \"10.1.0.0/16\"\nblackhole = true",
            &[],
        ),
        (
            "esn = true",
            "esn = true",
            "[[static_route]]\nborder_gateway = \"bgw-1\"\ndestination = \"10.7.0.0/16\"\nvpc_attachment = \"vpc-1\"",
            &["static_route \"10.7.0.0/16\": destination = \"10.7.0.0/16\" is not within prefixes of vpc_attachment \
               \"vpc-1\": its anti_spoofing drops what comes back"],
        ),
        (
            "interface = \"vpc0\"",
            "anti_spoofing = false\ninterface = \"vpc0\"",
            "[[static_route]]\nborder_gateway = \"bgw-1\"\ndestination = \"10.7.0.0/16\"\nvpc_attachment = \"vpc-1\"",
            &[],
        ),
    ];
    for (from, to, more, expected) in cases {
        assert_eq!(&warnings(from, to, more), expected, "{from} -> {to} {more}");
    }
}

#[test]
fn the_first_of_overlapping_prefixes_wins() {
    let more = "[[vpc_attachment]]\nname = \"vpc-2\"\nborder_gateway = \"bgw-1\"\ninterface = \"vpc1\"\n\
                prefixes = [\"10.1.9.0/24\", \"10.8.0.0/16\", \"10.0.0.0/8\"]\n\
                [[vpc_attachment]]\nname = \"vpc-3\"\nborder_gateway = \"bgw-1\"\ninterface = \"vpc2\"\n\
                prefixes = [\"10.7.0.0/16\"]\n";
    assert_eq!(
        warnings("esn = true", "esn = true", more),
        [
            "vpc_attachment \"vpc-2\": prefixes = \"10.1.9.0/24\" is not valid: it overlaps 10.1.0.0/16 of \
             vpc_attachment \"vpc-1\"",
            "vpc_attachment \"vpc-2\": prefixes = \"10.0.0.0/8\" is not valid: it overlaps 10.1.0.0/16 of \
             vpc_attachment \"vpc-1\"",
        ]
    );
    let resources = Resources::parse("f", &format!("{GOOD}\n{more}")).unwrap();
    let validity = |place: usize| resources.attachments()[place].prefixes.iter().map(|p| p.valid).collect::<Vec<_>>();
    assert_eq!(validity(0), [true]);
    assert_eq!(validity(1), [false, true, false]);
    // What lost itself stands in nobody's way.
    assert_eq!(validity(2), [true]);
}

#[test]
fn what_discards_wins() {
    let more = "[[static_route]]\nborder_gateway = \"bgw-1\"\ndestination = \"10.2.0.0/16\"\nreject = true";
    let problem = format!(
        "static_route \"10.2.0.0/16\": destination = \"10.2.0.0/16\" is never used: the route on line {} discards what is \
         for the same prefix",
        GOOD.lines().count() + 2
    );
    assert_eq!(warnings("esn = true", "esn = true", more), [problem]);
}

#[test]
fn an_empty_file_is_doubtful() {
    let resources = Resources::parse("f", "").unwrap();
    assert_eq!(resources, Resources::default());
    let shown: Vec<_> = resources.warnings().iter().map(ToString::to_string).collect();
    assert_eq!(shown, ["f:1: border_gateway is missing: the file describes no border gateway"]);
}

#[test]
fn prefixes_of_one_attachment_may_overlap() {
    let wide = "prefixes = [\"10.1.7.0/24\", \"10.1.0.0/16\"]               # what";
    assert_eq!(warnings("prefixes = [\"10.1.0.0/16\"]               # what", wide, ""), Vec::<String>::new());
}
