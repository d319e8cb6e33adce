//! Random resources: a plan that is made into the text of a resource file which breaks no rule.

use std::collections::BTreeSet;
use std::fmt::Write;

use bordergate_gateway::Resources;
use proptest::prelude::*;

const DESTINATIONS: [&str; 6] =
    ["0.0.0.0/0", "10.0.0.0/8", "10.1.0.0/16", "10.1.2.0/24", "10.2.0.0/16", "2001:db8::/32"];

/// What varies between two files. Numbers are taken modulo what there is of a kind.
#[derive(Debug, Clone)]
pub struct Plan {
    gateways: Vec<u32>,
    attachments: Vec<(u8, usize, Vec<usize>)>,
    connections: Vec<(u8, usize, Vec<Tunnel>)>,
    routes: Vec<(usize, Target)>,
}

#[derive(Debug, Clone, Copy)]
enum Target {
    Connection(usize),
    Attachment(usize),
    Blackhole(usize),
    Reject(usize),
}

#[derive(Debug, Clone)]
struct Tunnel {
    name: u8,
    up: bool,
    paused: bool,
    weight: u8,
    esn: bool,
    seconds: u32,
    psk: u8,
}

pub fn plan() -> impl Strategy<Value = Plan> {
    let tunnel = (0..40u8, any::<bool>(), prop::bool::weighted(0.2), 0..3u8, any::<bool>(), 0..3u32, 0..3u8).prop_map(
        |(name, up, paused, weight, esn, seconds, psk)| Tunnel { name, up, paused, weight, esn, seconds, psk },
    );
    let target = prop_oneof![
        3 => (0..5usize).prop_map(Target::Connection),
        3 => (0..5usize).prop_map(Target::Attachment),
        1 => (0..3usize).prop_map(Target::Blackhole),
        1 => (0..3usize).prop_map(Target::Reject),
    ];
    (
        prop::collection::vec(64512..64515u32, 1..4),
        prop::collection::vec((0..9u8, 0..3usize, prop::collection::vec(0..DESTINATIONS.len(), 1..4)), 0..5),
        prop::collection::vec((0..9u8, 0..3usize, prop::collection::vec(tunnel, 0..5)), 0..5),
        prop::collection::vec((0..DESTINATIONS.len(), target), 0..10),
    )
        .prop_map(|(gateways, attachments, connections, routes)| Plan {
            gateways,
            attachments,
            connections,
            routes,
        })
}

impl Plan {
    pub fn resources(&self) -> Resources {
        let text = self.text();
        Resources::parse("plan", &text).unwrap_or_else(|errors| panic!("{errors:#?}\n{text}"))
    }

    fn text(&self) -> String {
        let mut text = String::new();
        for (place, asn) in self.gateways.iter().enumerate() {
            writeln!(text, "[[border_gateway]]\nname = \"g{place}\"\nasn = {asn}").unwrap();
        }
        let mut attachments: Vec<(u8, usize)> = Vec::new();
        for (name, gateway, prefixes) in &self.attachments {
            if attachments.iter().any(|(taken, _)| taken == name) {
                continue;
            }
            let gateway = gateway % self.gateways.len();
            let prefixes: BTreeSet<_> = prefixes.iter().map(|&p| DESTINATIONS[p]).collect();
            let prefixes: Vec<_> = prefixes.into_iter().collect();
            attachments.push((*name, gateway));
            // A list of plain texts is written in TOML as it is in Rust.
            writeln!(
                text,
                "[[vpc_attachment]]\nname = \"v{name}\"\nborder_gateway = \"g{gateway}\"\ninterface = \"v{name}\"\n\
                 prefixes = {prefixes:?}"
            )
            .unwrap();
        }
        let connections = self.connections(&mut text);
        let mut routes = BTreeSet::new();
        for &(destination, target) in &self.routes {
            // One attachment and one way to discard for a destination, each connection once: `only` tells what excludes what.
            let (gateway, only, target) = match target {
                Target::Connection(place) => {
                    let Some((name, gateway)) = connections.get(place) else { continue };
                    (*gateway, format!("c{name}"), format!("vpn_connection = \"c{name}\""))
                }
                Target::Attachment(place) => {
                    let Some((name, gateway)) = attachments.get(place) else { continue };
                    (*gateway, "attachment".to_owned(), format!("vpc_attachment = \"v{name}\""))
                }
                Target::Blackhole(place) => {
                    (place % self.gateways.len(), "discard".to_owned(), "blackhole = true".to_owned())
                }
                Target::Reject(place) => {
                    (place % self.gateways.len(), "discard".to_owned(), "reject = true".to_owned())
                }
            };
            if !routes.insert((gateway, destination, only)) {
                continue;
            }
            let destination = DESTINATIONS[destination];
            writeln!(
                text,
                "[[static_route]]\nborder_gateway = \"g{gateway}\"\ndestination = \"{destination}\"\n{target}"
            )
            .unwrap();
        }
        text
    }

    fn connections(&self, text: &mut String) -> Vec<(u8, usize)> {
        let mut connections: Vec<(u8, usize)> = Vec::new();
        let mut tunnels = BTreeSet::new();
        for (name, gateway, planned) in &self.connections {
            if connections.iter().any(|(taken, _)| taken == name) {
                continue;
            }
            let gateway = gateway % self.gateways.len();
            connections.push((*name, gateway));
            writeln!(
                text,
                "[[customer_gateway]]\nname = \"i{name}\"\nasn = 65001\n\
                 addresses = [\"198.51.{name}.1\", \"198.51.{name}.2\"]\n\
                 [[vpn_connection]]\nname = \"c{name}\"\nborder_gateway = \"g{gateway}\"\ncustomer_gateway = \"i{name}\"\n\
                 routing = \"static\"\naddresses = [\"203.0.113.1\", \"203.0.113.2\"]"
            )
            .unwrap();
            for (place, tunnel) in planned.iter().take(4).enumerate() {
                if !tunnels.insert(tunnel.name) {
                    continue;
                }
                let (local, remote) = (place / 2 + 1, place % 2 + 1);
                let Tunnel { name: tunnel_name, up, paused, weight, esn, seconds, psk } = tunnel;
                writeln!(
                    text,
                    "[[vpn_tunnel]]\nname = \"t{tunnel_name}\"\nvpn_connection = \"c{name}\"\n\
                     local_address = \"203.0.113.{local}\"\nremote_address = \"198.51.{name}.{remote}\"\n\
                     psk = \"secret-number-{psk}\"\nadmin = \"{}\"\npaused = {paused}\nweight = {weight}\n\
                     esp = {{ esn = {esn}, lifetime_seconds = {} }}",
                    if *up { "up" } else { "down" },
                    3600 + seconds
                )
                .unwrap();
            }
        }
        connections
    }
}
