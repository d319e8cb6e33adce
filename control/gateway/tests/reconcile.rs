//! The difference between two versions of the resources: each field's cost, and the order.

use bordergate_gateway::{
    AttachmentField, AttachmentIndex, Change, ConnectionField, ConnectionIndex, CustomerField, CustomerIndex, Effect,
    Field, GatewayField, GatewayIndex, Resources, RouteIndex, Step, TunnelField, TunnelIndex, difference,
};

const GOOD: &str = include_str!("../../../examples/static.toml");
const TWO_TENANTS: &str = include_str!("../../../examples/two-tenants.toml");

fn parse(text: &str) -> Resources {
    Resources::parse("f", text).unwrap_or_else(|errors| panic!("{errors:#?}"))
}

#[test]
fn every_tunnel_field_has_its_cost() {
    use Effect::{Authentication, Forwarding, Hot, Reestablish};
    let cases = [
        (
            "remote_address = \"198.51.100.2\"",
            "remote_address = \"198.51.100.3\"",
            TunnelField::RemoteAddress,
            Reestablish,
        ),
        ("local_address = \"203.0.113.1\"", "local_address = \"203.0.113.2\"", TunnelField::LocalAddress, Reestablish),
        (
            "psk = \"correct_horse_battery\"",
            "psk = \"correct_horse_staple!\"",
            TunnelField::Authentication,
            Authentication,
        ),
        ("psk = \"correct_horse_battery\"", "psk_file = \"/x\"", TunnelField::Authentication, Authentication),
        ("local_id = \"203.0.113.1\"", "local_id = \"us.example\"", TunnelField::LocalId, Reestablish),
        ("remote_id = \"198.51.100.2\"", "remote_id = \"them@example\"", TunnelField::RemoteId, Reestablish),
        ("admin = \"up\"", "admin = \"up\"\nppk = \"battery\"\nppk_id = \"one\"", TunnelField::Ppk, Reestablish),
        ("admin = \"up\"", "admin = \"down\"", TunnelField::Admin, Hot),
        ("startup = \"initiate\"", "startup = \"respond\"", TunnelField::Startup, Hot),
        (
            "local_prefixes = [\"10.1.0.0/16\"]",
            "local_prefixes = [\"10.1.0.0/17\"]",
            TunnelField::LocalPrefixes,
            Reestablish,
        ),
        (
            "remote_prefixes = [\"10.2.0.0/16\"]",
            "remote_prefixes = [\"10.2.0.0/15\"]",
            TunnelField::RemotePrefixes,
            Reestablish,
        ),
        ("udp_encapsulation = \"auto\"", "udp_encapsulation = \"always\"", TunnelField::UdpEncapsulation, Reestablish),
        ("[\"x25519\", \"ecp256\"]", "[\"ecp256\", \"x25519\"]", TunnelField::KeyExchange, Reestablish),
        ("[\"aes128gcm16\", \"aes128\"]", "[\"aes256gcm16\", \"aes128\"]", TunnelField::IkeEncryption, Reestablish),
        ("integrity = [\"sha256\"]", "integrity = [\"sha384\"]", TunnelField::Integrity, Reestablish),
        ("prf = [\"sha256\"]", "prf = [\"sha512\"]", TunnelField::Prf, Reestablish),
        (
            "liveness_seconds = 10",
            "liveness_seconds = 10\nadditional_key_exchange = [\"mlkem768\"]",
            TunnelField::AdditionalKeyExchange,
            Reestablish,
        ),
        ("esn = true", "esn = true\nintegrity = [\"sha384\"]", TunnelField::EspIntegrity, Reestablish),
        ("esn = true", "esn = true\nkey_exchange = [\"x25519\"]", TunnelField::EspKeyExchange, Reestablish),
        ("liveness_seconds = 10", "liveness_seconds = 0", TunnelField::Liveness, Hot),
        ("lifetime_seconds = 14400", "lifetime_seconds = 86400", TunnelField::IkeLifetime, Hot),
        ("encryption = [\"aes128gcm16\"]", "encryption = [\"aes256gcm16\"]", TunnelField::EspEncryption, Reestablish),
        ("esn = true", "esn = false", TunnelField::Esn, Reestablish),
        ("esn = true", "esn = true\nchild_sas = 4", TunnelField::ChildSas, Reestablish),
        ("replay_window = 1024", "replay_window = 64", TunnelField::ReplayWindow, Reestablish),
        ("lifetime_seconds = 3600", "lifetime_seconds = 60", TunnelField::EspLifetime, Hot),
        ("esn = true", "esn = true\nlifetime_packets = 9", TunnelField::LifetimePackets, Hot),
        ("esn = true", "esn = true\nlifetime_bytes = 9", TunnelField::LifetimeBytes, Hot),
        ("admin = \"up\"", "paused = true", TunnelField::Paused, Forwarding),
        ("admin = \"up\"", "mobike = true", TunnelField::Mobike, Reestablish),
        ("admin = \"up\"", "bandwidth_mbps = 10", TunnelField::Bandwidth, Forwarding),
        ("admin = \"up\"", "weight = 0", TunnelField::Weight, Forwarding),
        ("admin = \"up\"", "inner_address = \"10.9.0.2/30\"", TunnelField::InnerAddress, Forwarding),
        ("admin = \"up\"", "outer = { dscp = 0 }", TunnelField::Dscp, Forwarding),
        ("admin = \"up\"", "outer = { ecn = false }", TunnelField::Ecn, Forwarding),
        ("admin = \"up\"", "outer = { df = \"copy\" }", TunnelField::Df, Forwarding),
        ("admin = \"up\"", "outer = { hop_limit = 1 }", TunnelField::HopLimit, Forwarding),
        ("admin = \"up\"", "outer = { path_mtu = 1500 }", TunnelField::PathMtu, Forwarding),
        ("admin = \"up\"", "outer = { mss_clamp = \"off\" }", TunnelField::MssClamp, Forwarding),
    ];
    // Both ends have an address to spare, so that only the tunnel differs.
    let base = GOOD
        .replacen("addresses = [\"198.51.100.2\"]", "addresses = [\"198.51.100.2\", \"198.51.100.3\"]", 1)
        .replacen("addresses = [\"203.0.113.1\"]", "addresses = [\"203.0.113.1\", \"203.0.113.2\"]", 1);
    for (from, to, field, effect) in cases {
        assert!(base.contains(from), "{from}");
        let step = Step::Modify { old: TunnelIndex(0), new: TunnelIndex(0), fields: vec![field] };
        assert_eq!(step.effect(), Some(effect), "{field}");
        assert_eq!(
            difference(&parse(&base), &parse(&base.replacen(from, to, 1))),
            [Change::VpnTunnel(step)],
            "{field}"
        );
    }
}

#[test]
fn the_costliest_field_is_the_cost_of_a_step() {
    let step = |fields| Step::Modify { old: TunnelIndex(0), new: TunnelIndex(0), fields };
    assert_eq!(step(vec![TunnelField::Weight, TunnelField::EspLifetime]).effect(), Some(Effect::Hot));
    assert_eq!(step(vec![TunnelField::Esn, TunnelField::Weight]).effect(), Some(Effect::Reestablish));
    let step = Step::<TunnelIndex, TunnelField>::Renumber { old: TunnelIndex(0), new: TunnelIndex(1) };
    assert_eq!(step.effect(), Some(Effect::Forwarding));
}

#[test]
fn a_peers_inner_address_is_a_field_of_its_own() {
    let with = |peer: &str| {
        let inner = format!("inner_address = \"10.9.0.1/29\"\npeer_inner_address = \"{peer}\"");
        parse(&GOOD.replacen("admin = \"up\"", &inner, 1))
    };
    let step = Step::Modify { old: TunnelIndex(0), new: TunnelIndex(0), fields: vec![TunnelField::PeerInnerAddress] };
    assert_eq!(step.effect(), Some(Effect::Forwarding));
    assert_eq!(difference(&with("10.9.0.2"), &with("10.9.0.3")), [Change::VpnTunnel(step)]);
}

#[test]
fn a_tunnel_that_moves_to_another_border_gateway_is_established_anew() {
    let old = parse(&format!("{GOOD}\n[[border_gateway]]\nname = \"bgw-2\"\n"));
    let moved = GOOD.replacen(
        "[[vpn_connection]]\nname = \"conn-1\"\nborder_gateway = \"bgw-1\"",
        "[[vpn_connection]]\nname = \"conn-1\"\nborder_gateway = \"bgw-2\"",
        1,
    );
    let (head, _) = moved.split_once("[[static_route]]").unwrap();
    let new = parse(&format!("{head}\n[[border_gateway]]\nname = \"bgw-2\"\n"));
    let tunnel = Step::Modify { old: TunnelIndex(0), new: TunnelIndex(0), fields: vec![TunnelField::BorderGateway] };
    assert_eq!(tunnel.effect(), Some(Effect::Reestablish));
    assert_eq!(
        difference(&old, &new),
        [
            Change::StaticRoute(Step::Remove { old: RouteIndex(0) }),
            Change::VpnConnection(Step::Modify {
                old: ConnectionIndex(0),
                new: ConnectionIndex(0),
                fields: vec![ConnectionField::BorderGateway]
            }),
            Change::VpnTunnel(tunnel),
        ]
    );
}

#[test]
fn other_objects_name_their_fields() {
    let gateway =
        |field| Change::BorderGateway(Step::Modify { old: GatewayIndex(0), new: GatewayIndex(0), fields: vec![field] });
    let attachment = |field| {
        let (old, new) = (AttachmentIndex(0), AttachmentIndex(0));
        Change::VpcAttachment(Step::Modify { old, new, fields: vec![field] })
    };
    let cases = [
        ("asn = 65000", "flow_hash = \"symmetric\"", gateway(GatewayField::FlowHash)),
        ("asn = 65000", "addresses = [\"10.9.0.1/24\"]", gateway(GatewayField::Addresses)),
        ("asn = 65000", "namespace = \"ns\"", gateway(GatewayField::Namespace)),
        ("asn = 65000", "host_interface = \"tun0\"", gateway(GatewayField::HostInterface)),
        ("interface = \"vpc0\"", "interface = \"vpc0\"\nvlan = 7", attachment(AttachmentField::Vlan)),
        (
            "interface = \"vpc0\"",
            "interface = \"vpc0\"\nanti_spoofing = false",
            attachment(AttachmentField::AntiSpoofing),
        ),
        (
            "asn = 65000",
            "asn = 64900",
            Change::BorderGateway(Step::Modify {
                old: GatewayIndex(0),
                new: GatewayIndex(0),
                fields: vec![GatewayField::Asn],
            }),
        ),
        (
            "interface = \"vpc0\"",
            "interface = \"vpc1\"",
            Change::VpcAttachment(Step::Modify {
                old: AttachmentIndex(0),
                new: AttachmentIndex(0),
                fields: vec![AttachmentField::Interface],
            }),
        ),
        (
            "prefixes = [\"10.1.0.0/16\"]",
            "prefixes = [\"10.0.0.0/15\"]",
            Change::VpcAttachment(Step::Modify {
                old: AttachmentIndex(0),
                new: AttachmentIndex(0),
                fields: vec![AttachmentField::Prefixes],
            }),
        ),
        (
            "asn = 65001",
            "asn = 65002",
            Change::CustomerGateway(Step::Modify {
                old: CustomerIndex(0),
                new: CustomerIndex(0),
                fields: vec![CustomerField::Asn],
            }),
        ),
        (
            "addresses = [\"198.51.100.2\"]",
            "addresses = [\"198.51.100.2\", \"198.51.100.3\"]",
            Change::CustomerGateway(Step::Modify {
                old: CustomerIndex(0),
                new: CustomerIndex(0),
                fields: vec![CustomerField::Addresses],
            }),
        ),
        (
            "addresses = [\"203.0.113.1\"]",
            "addresses = [\"203.0.113.1\", \"203.0.113.2\"]",
            Change::VpnConnection(Step::Modify {
                old: ConnectionIndex(0),
                new: ConnectionIndex(0),
                fields: vec![ConnectionField::Addresses],
            }),
        ),
    ];
    for (from, to, change) in cases {
        assert_eq!(difference(&parse(GOOD), &parse(&GOOD.replacen(from, to, 1))), [change], "{from}");
    }
}

#[test]
fn everything_comes_top_down_and_goes_bottom_up() {
    let (none, all) = (Resources::default(), parse(TWO_TENANTS));
    let kinds = |changes: &[Change]| {
        let mut kinds: Vec<&str> = changes
            .iter()
            .map(|change| match change {
                Change::BorderGateway(_) => "gateway",
                Change::VpcAttachment(_) => "attachment",
                Change::CustomerGateway(_) => "customer",
                Change::VpnConnection(_) => "connection",
                Change::VpnTunnel(_) => "tunnel",
                Change::VpcRouter(_) => "router",
                Change::RouteFilter(_) => "filter",
                Change::BmpStation(_) => "station",
                Change::StaticRoute(_) => "route",
            })
            .collect();
        kinds.dedup();
        kinds
    };
    let down = ["gateway", "attachment", "customer", "connection", "tunnel", "route"];
    let (comes, goes) = (difference(&none, &all), difference(&all, &none));
    assert_eq!(kinds(&comes), down);
    assert_eq!(kinds(&goes), down.into_iter().rev().collect::<Vec<_>>());
    assert_eq!(comes.len(), 2 + 3 + 2 + 2 + 4 + 4);
    assert_eq!(goes.len(), comes.len());
}

#[test]
fn an_object_in_front_only_renumbers() {
    let (head, tail) = GOOD.split_once("[[border_gateway]]").unwrap();
    let new = parse(&format!("{head}[[border_gateway]]\nname = \"bgw-0\"\n[[border_gateway]]{tail}"));
    assert_eq!(
        difference(&parse(GOOD), &new),
        [
            Change::BorderGateway(Step::Add { new: GatewayIndex(0) }),
            Change::BorderGateway(Step::Renumber { old: GatewayIndex(0), new: GatewayIndex(1) }),
        ]
    );
}

#[test]
fn a_key_that_moves_to_a_file_is_the_same_key() {
    let old = parse(GOOD);
    let mut new = parse(&GOOD.replacen("psk = \"correct_horse_battery\"", "psk_file = \"/x\"", 1));
    new.supply_psk(Field::PskFile(TunnelIndex(0)), b"correct_horse_battery\n").unwrap();
    assert_eq!(difference(&old, &new), []);
    new.supply_psk(Field::PskFile(TunnelIndex(0)), b"another_horse\n").unwrap();
    assert_eq!(difference(&old, &new).len(), 1);
}
