//! The examples that ship with the project say what they are meant to say.

use std::collections::BTreeSet;
use std::path::Path;

use bordergate_gateway::{
    AdminState, AttachmentIndex, Authentication, Field, GatewayIndex, Identity, IkeParameters, NextHop, PskSource,
    Resources, Startup, TunnelIndex, UdpEncapsulation, Weight, WeightedTunnel, valid_routes,
};

const STATIC: &str = include_str!("../../../examples/static.toml");
const TWO_TENANTS: &str = include_str!("../../../examples/two-tenants.toml");
const FULL: &str = include_str!("../../../examples/full.toml");

fn clean(name: &str, text: &str) -> Resources {
    let resources = Resources::parse(name, text).unwrap_or_else(|errors| panic!("{errors:#?}"));
    assert_eq!(resources.warnings(), &[], "{name}");
    resources
}

#[test]
fn every_example_is_clean() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    let mut read = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            clean(&path.display().to_string(), &std::fs::read_to_string(&path).unwrap());
            read += 1;
        }
    }
    assert!(read >= 3);
}

#[test]
fn static_example_reads_as_written() {
    let resources = clean("static.toml", STATIC);
    let tunnel = resources.tunnel(TunnelIndex(0));
    assert_eq!(tunnel.name.as_str(), "tun-1");
    assert_eq!(tunnel.local_address, "203.0.113.1".parse::<std::net::IpAddr>().unwrap());
    assert_eq!(tunnel.authentication.psk().unwrap().secret(), b"correct_horse_battery");
    assert_eq!(tunnel.local_id, Identity::Ipv4("203.0.113.1".parse().unwrap()));
    assert_eq!(tunnel.remote_prefixes, ["10.2.0.0/16".parse().unwrap()]);
    assert_eq!(tunnel.ike.encryption.len(), 2);
    assert_eq!(tunnel.esp.encryption.len(), 1);
    assert_eq!(resources.gateway(tunnel.gateway).asn.number(), 65000);
    assert_eq!(resources.customers()[0].asn.number(), 65001);
}

#[test]
fn what_is_left_out_has_its_default() {
    let resources = clean("two-tenants.toml", TWO_TENANTS);
    let tunnel = resources.tunnel(TunnelIndex(3));
    assert_eq!(tunnel.local_id, Identity::from(tunnel.local_address));
    assert_eq!(tunnel.remote_id, Identity::from(tunnel.remote_address));
    assert_eq!(tunnel.local_prefixes, ["0.0.0.0/0".parse().unwrap()]);
    assert_eq!(tunnel.startup, Startup::Initiate);
    assert_eq!(tunnel.admin, AdminState::Down);
    assert_eq!(tunnel.udp_encapsulation, UdpEncapsulation::Auto);
    assert_eq!(tunnel.ike, IkeParameters::default());
    assert_eq!(tunnel.esp.replay_window.packets(), 1024);
}

#[test]
fn tenants_have_tables_of_their_own() {
    let resources = clean("two-tenants.toml", TWO_TENANTS);
    let all = BTreeSet::from([TunnelIndex(0), TunnelIndex(1), TunnelIndex(2), TunnelIndex(3)]);
    let shown = |gateway, up: &BTreeSet<TunnelIndex>| -> Vec<(String, NextHop)> {
        valid_routes(&resources, gateway, up).into_iter().map(|r| (r.prefix.to_string(), r.next_hop)).collect()
    };
    let attachment = |index| NextHop::Attachment(AttachmentIndex(index));
    let weighted = |index: &u32| WeightedTunnel { tunnel: TunnelIndex(*index), weight: Weight::DEFAULT };
    let tunnels = |list: &[u32]| NextHop::Tunnels(list.iter().map(weighted).collect());
    let named = |routes: &[(&str, NextHop)]| -> Vec<(String, NextHop)> {
        routes.iter().map(|(prefix, hop)| ((*prefix).to_owned(), hop.clone())).collect()
    };
    assert_eq!(
        shown(GatewayIndex(0), &all),
        named(&[
            ("10.1.0.0/16", attachment(0)),
            ("10.2.0.0/16", tunnels(&[0, 1])),
            ("10.9.0.0/24", attachment(1)),
            ("10.9.128.0/24", attachment(1)),
            ("2001:db8:a::/48", attachment(1)),
            ("2001:db8:f::/48", tunnels(&[0, 1])),
        ])
    );
    // b-2 is administratively down: even if a stale report calls it up it takes no part.
    let b = |hop| named(&[("10.1.0.0/16", attachment(2)), ("10.2.0.0/16", hop)]);
    assert_eq!(shown(GatewayIndex(1), &all), b(tunnels(&[2])));
    assert_eq!(shown(GatewayIndex(1), &BTreeSet::new()), b(NextHop::Unreachable));
}

/// The fields of a table as the parser lists them for a field that is none.
fn known_fields(table: &str) -> Vec<String> {
    let head = table.rsplit_once('.').map_or(String::new(), |(outer, _)| format!("[[{outer}]]\n"));
    let is_list = head.is_empty() || table == "route_filter.rule";
    let brackets = if is_list { format!("[[{table}]]") } else { format!("[{table}]") };
    let errors = Resources::parse("f", &format!("{head}{brackets}\nnothing_like_any_field = 1\n")).unwrap_err();
    let unknown = errors.iter().find(|error| error.problem == "is not a field here").unwrap();
    unknown.allowed.as_ref().unwrap().split(", ").map(str::to_owned).collect()
}

#[test]
fn the_full_example_has_every_field() {
    let kinds = [
        "border_gateway",
        "vpc_attachment",
        "customer_gateway",
        "vpn_connection",
        "vpn_tunnel",
        "static_route",
        "vpc_router",
        "route_filter",
        "bmp_station",
    ];
    let tables = [
        "vpc_attachment.propagation",
        "vpn_connection.bgp",
        "vpn_connection.bfd",
        "vpn_tunnel.outer",
        "vpn_tunnel.ike",
        "vpn_tunnel.esp",
        "route_filter.rule",
    ];
    let mut written: BTreeSet<(String, String)> = BTreeSet::new();
    let mut table = String::new();
    for line in FULL.lines() {
        if line.starts_with('[') {
            table = line.trim_matches(['[', ']']).to_owned();
            if let Some((outer, inner)) = table.split_once('.') {
                written.insert((outer.to_owned(), inner.to_owned()));
            }
        } else if table.starts_with("vpc_router.") {
            // They are those of a connection.
            assert!(known_fields(&table) == known_fields(&table.replace("vpc_router", "vpn_connection")));
        } else if let Some((key, _)) = line.split_once(" = ").filter(|_| !line.starts_with('#')) {
            written.insert((table.clone(), key.to_owned()));
        }
    }
    let known = kinds.into_iter().chain(tables);
    let known: BTreeSet<(String, String)> =
        known.flat_map(|table| known_fields(table).into_iter().map(|key| (table.to_owned(), key))).collect();
    assert_eq!(written, known);
}

#[test]
fn the_full_example_reads_as_written() {
    let resources = clean("full.toml", FULL);
    let (first, second) = (TunnelIndex(0), TunnelIndex(1));
    let routes = valid_routes(&resources, GatewayIndex(0), &BTreeSet::from([first, second]));
    let hop = |prefix: &str| &routes.iter().find(|route| route.prefix.to_string() == prefix).unwrap().next_hop;
    let weight = |number| Weight::from_number(number).unwrap();
    let both = [(first, weight(2)), (second, weight(0))].map(|(tunnel, weight)| WeightedTunnel { tunnel, weight });
    assert_eq!(*hop("10.2.0.0/16"), NextHop::Tunnels(both.to_vec()));
    assert_eq!(*hop("10.4.0.0/16"), NextHop::Attachment(AttachmentIndex(1)));
    assert_eq!((hop("10.1.99.0/24"), hop("10.2.99.0/24")), (&NextHop::Blackhole, &NextHop::Reject));
    let tunnel = resources.tunnel(first);
    assert_eq!(tunnel.bandwidth.unwrap().megabits_per_second(), 500);
    assert_eq!(tunnel.peer_inner_address.unwrap().to_string(), "169.254.10.2");
    assert_eq!(tunnel.esp.lifetime_packets.limit(), Some(4_000_000_000));
    assert_eq!(tunnel.esp.lifetime_bytes.limit(), Some(1_000_000_000_000));
    let vlans: Vec<_> = resources.attachments().iter().filter_map(|a| Some(a.vlan?.number())).collect();
    assert_eq!(vlans, [100, 200]);
    let addresses: Vec<_> = resources.inner_addresses(GatewayIndex(0)).map(|address| address.to_string()).collect();
    assert_eq!(addresses[..3], ["10.255.0.1/32", "169.254.10.1/30", "fd00:10::1/126"]);
}

#[test]
fn keys_come_from_files_through_the_same_check() {
    let mut resources = clean("two-tenants.toml", TWO_TENANTS);
    let files: Vec<_> = resources.psk_files().map(|(index, path)| (index, path.to_owned())).collect();
    assert_eq!(files[0], (Field::PskFile(TunnelIndex(2)), "/etc/bordergate/b-1.psk".into()));
    assert_eq!(files.len(), 2);

    assert_eq!(resources.supply_psk(Field::PskFile(TunnelIndex(2)), b"from_a_file\n"), Ok(()));
    assert_eq!(resources.tunnel(TunnelIndex(2)).authentication.psk().unwrap().secret(), b"from_a_file");

    let error = resources.supply_psk(Field::PskFile(TunnelIndex(3)), b"0xsecret").unwrap_err().to_string();
    let line = TWO_TENANTS.lines().position(|line| line.contains("b-2.psk")).unwrap() + 1;
    assert_eq!(
        error,
        format!(
            "two-tenants.toml:{line}: vpn_tunnel \"b-2\": psk_file = \"/etc/bordergate/b-2.psk\" holds a key that \
             begins with 0x, but what follows is not hexadecimal; allowed: 1 to 128 letters, digits and punctuation \
             of ASCII, or 0x and hexadecimal or 0s and base64 of as many bytes"
        )
    );
    assert_eq!(resources.tunnel(TunnelIndex(3)).authentication.psk(), None);
}

#[test]
fn the_host_can_complain_at_the_right_place() {
    let resources = clean("static.toml", STATIC);
    let diagnostic = resources.diagnostic(Field::Interface(AttachmentIndex(0)), "does not exist", Some("eth0, lo"));
    let line = STATIC.lines().position(|line| line.contains("interface =")).unwrap() + 1;
    assert_eq!(
        diagnostic.to_string(),
        format!("static.toml:{line}: vpc_attachment \"vpc-1\": interface = \"vpc0\" does not exist; allowed: eth0, lo")
    );
}

#[test]
fn debug_shows_no_key() {
    let mut resources = clean("two-tenants.toml", TWO_TENANTS);
    resources.supply_psk(Field::PskFile(TunnelIndex(2)), b"from_a_file").unwrap();
    let shown = format!("{resources:#?}");
    assert!(shown.contains("redacted"));
    for secret in ["first_key", "second_key", "from_a_file"] {
        assert!(!shown.contains(secret), "{secret}");
    }
    assert!(matches!(
        &resources.tunnel(TunnelIndex(0)).authentication,
        Authentication::Psk { key: PskSource::Inline(_), .. }
    ));
}
