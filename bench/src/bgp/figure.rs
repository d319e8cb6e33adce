//! What is printed.

use std::collections::BTreeMap;

use serde::Serialize;

use super::device::Kind;
use super::rounds::{Load, Rounds};
use crate::median::{median, median_ratio, rounded};
use crate::output::Row;

/// What one device takes.
#[derive(Debug, Serialize)]
pub struct Figure {
    bench: &'static str,
    #[serde(rename = "impl")]
    implementation: &'static str,
    prefixes: usize,
    ipv4: usize,
    ipv6: usize,
    attribute_sets: usize,
    /// Whether the time is that until workers see the routes; otherwise they are received and chosen only.
    published: bool,
    seconds: f64,
    prefixes_per_s: f64,
    cpu_seconds: f64,
    bytes_per_path: f64,
    peak_bytes_per_path: f64,
    /// Prefixes that are withdrawn and announced again.
    changed: u64,
    withdrawal_seconds: f64,
    announcement_seconds: f64,
    change_seconds: f64,
    rounds: usize,
    /// To each peer: time by the clock; then memory, processor time and the change. Less is better.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    ratio: BTreeMap<String, f64>,
}

impl Figure {
    /// The medians of a device's rounds, with the ratios to others.
    pub fn new(kind: Kind, load: &Load, sets: usize, rounds: &Rounds, peers: &[(Kind, &Rounds)]) -> Self {
        let of = |values: &[f64]| median(values.to_vec()).unwrap_or(f64::NAN);
        let ratios = peers.iter().flat_map(|(peer, theirs)| {
            let of = |what: &str, own: &[f64], other: &[f64]| {
                Some((format!("{}{what}", peer.name()), rounded(median_ratio(own, other)?)))
            };
            [
                of("", &rounds.seconds, &theirs.seconds),
                of("_cpu", &rounds.cpu_seconds, &theirs.cpu_seconds),
                of("_bytes", &rounds.bytes, &theirs.bytes),
                of("_change", &rounds.change_seconds, &theirs.change_seconds),
            ]
        });
        let [ipv4, ipv6] = load.prefixes;
        let seconds = of(&rounds.seconds);
        Self {
            bench: "bgp",
            implementation: kind.name(),
            prefixes: ipv4 + ipv6,
            ipv4,
            ipv6,
            attribute_sets: sets,
            published: kind.publishes(),
            seconds: rounded(seconds),
            prefixes_per_s: ((ipv4 + ipv6) as f64 / seconds).round(),
            cpu_seconds: rounded(of(&rounds.cpu_seconds)),
            bytes_per_path: of(&rounds.bytes).round(),
            peak_bytes_per_path: of(&rounds.peak_bytes).round(),
            changed: load.change.prefixes,
            withdrawal_seconds: rounded(of(&rounds.withdrawal_seconds)),
            announcement_seconds: rounded(of(&rounds.announcement_seconds)),
            change_seconds: rounded(of(&rounds.change_seconds)),
            rounds: rounds.seconds.len(),
            ratio: ratios.flatten().collect(),
        }
    }
}

impl Row for Figure {
    fn heading() -> String {
        format!(
            "{:<10} {:>9} {:>9} {:>8} {:>10} {:>6} {:>14} {:>14} {:>8} {:>10} {:>10}  ratios",
            "device",
            "prefixes",
            "published",
            "seconds",
            "prefixes/s",
            "CPU s",
            "bytes per path",
            "at the highest",
            "changed",
            "gone s",
            "back s"
        )
    }

    fn row(&self) -> String {
        let ratios = self.ratio.iter().map(|(name, value)| format!("{name} {value}")).collect::<Vec<_>>().join(", ");
        format!(
            "{:<10} {:>9} {:>9} {:>8.2} {:>10.0} {:>6.2} {:>14.0} {:>14.0} {:>8} {:>10.3} {:>10.3}  {ratios}",
            self.implementation,
            self.prefixes,
            if self.published { "yes" } else { "no" },
            self.seconds,
            self.prefixes_per_s,
            self.cpu_seconds,
            self.bytes_per_path,
            self.peak_bytes_per_path,
            self.changed,
            self.withdrawal_seconds,
            self.announcement_seconds
        )
    }
}
