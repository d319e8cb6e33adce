//! What is printed.

use std::collections::BTreeMap;

use serde::Serialize;

use super::method::Method;
use super::responder::Kind;
use super::rounds::{Rounds, ScaleRounds};
use crate::median::{median, median_ratio, rounded};
use crate::output::Row;

/// What a handshake costs one end.
#[derive(Debug, Serialize)]
pub struct Figure {
    bench: &'static str,
    #[serde(rename = "impl")]
    implementation: &'static str,
    role: &'static str,
    /// `udp`: sockets included. `memory`: the machine alone.
    over: &'static str,
    auth: &'static str,
    ke: &'static str,
    /// Tunnels that were up before the first of those measured.
    established: u32,
    handshakes: u32,
    /// By the clock, both ends at work; `None` where they do not work at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    handshakes_per_s: Option<f64>,
    /// By processor time of this end.
    handshakes_per_core_s: f64,
    cpu_us_per_handshake: f64,
    rounds: usize,
    /// Handshakes by processor time, over the peer's.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    ratio: BTreeMap<&'static str, f64>,
}

/// What was measured: by whom, of whom, how.
#[derive(Debug, Clone, Copy)]
pub struct Subject {
    pub kind: Kind,
    pub role: &'static str,
    pub over: &'static str,
    pub method: Method,
    pub established: u32,
    pub handshakes: u32,
}

impl Figure {
    /// The medians of the rounds, with the ratio to a peer's.
    pub fn new(subject: Subject, rounds: &Rounds, peer: Option<&Rounds>) -> Self {
        let cost = median(rounds.cost.clone()).unwrap_or(f64::NAN);
        let ratio = peer.and_then(|peer| median_ratio(&peer.cost, &rounds.cost));
        Self {
            bench: "ike",
            implementation: subject.kind.name(),
            role: subject.role,
            over: subject.over,
            auth: subject.method.authentication(),
            ke: subject.method.key_exchange(),
            established: subject.established,
            handshakes: subject.handshakes,
            handshakes_per_s: median(rounds.rate.clone()).map(f64::round),
            handshakes_per_core_s: (1e6 / cost).round(),
            cpu_us_per_handshake: rounded(cost),
            rounds: rounds.cost.len(),
            ratio: ratio.map(|ratio| (Kind::StrongSwan.name(), rounded(ratio))).into_iter().collect(),
        }
    }
}

impl Row for Figure {
    fn heading() -> String {
        format!(
            "{:<10} {:<9} {:<6} {:<7} {:<18} {:>11} {:>12} {:>17} {:>12}  ratios",
            "device",
            "role",
            "over",
            "auth",
            "key exchange",
            "established",
            "handshakes/s",
            "per core second",
            "us/handshake"
        )
    }

    fn row(&self) -> String {
        let rate = self.handshakes_per_s.map_or_else(|| "-".to_owned(), |rate| format!("{rate:.0}"));
        format!(
            "{:<10} {:<9} {:<6} {:<7} {:<18} {:>11} {:>12} {:>17.0} {:>12.1}  {}",
            self.implementation,
            self.role,
            self.over,
            self.auth,
            self.ke,
            self.established,
            rate,
            self.handshakes_per_core_s,
            self.cpu_us_per_handshake,
            ratios(&self.ratio)
        )
    }
}

/// What many tunnels take.
#[derive(Debug, Serialize)]
pub struct Scale {
    bench: &'static str,
    #[serde(rename = "impl")]
    implementation: &'static str,
    role: &'static str,
    auth: &'static str,
    ke: &'static str,
    tunnels: u32,
    /// From none to all, by the clock.
    bring_up_s: f64,
    handshakes_per_s: f64,
    /// Of the responder, by what it has in memory more than before the first tunnel was up.
    bytes_per_sa: f64,
    /// The same of tunnels that are configured only, where each is.
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes_per_configured_tunnel: Option<f64>,
    /// What a handshake costs with all tunnels up, over what it costs with one.
    cost_growth: f64,
    rounds: usize,
    /// To the peer: tunnels by the clock, and bytes, where less is better.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    ratio: BTreeMap<&'static str, f64>,
}

impl Scale {
    /// The medians of the rounds, with the ratios to a peer's.
    pub fn new(kind: Kind, method: Method, tunnels: u32, rounds: &ScaleRounds, peer: Option<&ScaleRounds>) -> Self {
        let of = |values: &[f64]| median(values.to_vec());
        let seconds = of(&rounds.seconds).unwrap_or(f64::NAN);
        let (first, last) = (rounds.costs.values().next(), rounds.costs.values().next_back());
        let ratios = peer.into_iter().flat_map(|peer| {
            [
                ("strongswan_bring_up", median_ratio(&peer.seconds, &rounds.seconds)),
                ("strongswan_bytes", median_ratio(&rounds.bytes, &peer.bytes)),
            ]
        });
        Self {
            bench: "ike",
            implementation: kind.name(),
            role: "responder",
            auth: method.authentication(),
            ke: method.key_exchange(),
            tunnels,
            bring_up_s: rounded(seconds),
            handshakes_per_s: (f64::from(tunnels) / seconds).round(),
            bytes_per_sa: of(&rounds.bytes).unwrap_or(f64::NAN).round(),
            bytes_per_configured_tunnel: of(&rounds.configured_bytes).map(f64::round),
            cost_growth: rounded(median_ratio(cost(last), cost(first)).unwrap_or(f64::NAN)),
            rounds: rounds.seconds.len(),
            ratio: ratios.filter_map(|(name, ratio)| Some((name, rounded(ratio?)))).collect(),
        }
    }
}

impl Row for Scale {
    fn heading() -> String {
        format!(
            "{:<10} {:<7} {:<18} {:>8} {:>10} {:>12} {:>12} {:>20} {:>11}  ratios",
            "device",
            "auth",
            "key exchange",
            "tunnels",
            "bring-up s",
            "handshakes/s",
            "bytes per SA",
            "per configured",
            "cost growth"
        )
    }

    fn row(&self) -> String {
        let configured = self.bytes_per_configured_tunnel.map_or_else(|| "-".to_owned(), |bytes| format!("{bytes:.0}"));
        format!(
            "{:<10} {:<7} {:<18} {:>8} {:>10.2} {:>12.0} {:>12.0} {:>20} {:>11.2}  {}",
            self.implementation,
            self.auth,
            self.ke,
            self.tunnels,
            self.bring_up_s,
            self.handshakes_per_s,
            self.bytes_per_sa,
            configured,
            self.cost_growth,
            ratios(&self.ratio)
        )
    }
}

fn cost(rounds: Option<&Rounds>) -> &[f64] {
    rounds.map_or(&[], |rounds| &rounds.cost)
}

fn ratios(ratio: &BTreeMap<&'static str, f64>) -> String {
    ratio.iter().map(|(name, value)| format!("{name} {value}")).collect::<Vec<_>>().join(", ")
}
