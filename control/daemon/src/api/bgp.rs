//! What is asked about BGP, and what is wanted of it.

use serde::{Deserialize, Serialize};

/// `{"bgp":{"summary":{}}}`, `{"bgp":{"neighbor":{"tunnel":"tun-1"}}}`, `{"bgp":{"rib":{"view":"best"}}}`,
/// `{"bgp":{"explain":{"prefix":"10.2.0.0/16"}}}`, `{"bgp":{"events":{"after":0}}}`, and, of one tunnel,
/// `{"bgp":{"drain":{"tunnel":"tun-1"}}}`, and so with `undrain`, `refresh` and `reset`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Ask {
    /// All neighbours.
    Summary {},
    /// One of them.
    Neighbor(OfTunnel),
    /// Routes.
    Rib(Rib),
    /// All routes to one prefix, and why they are taken or not.
    Explain(Explain),
    /// What has happened.
    Events {
        /// Only what is behind the event with this number; 0 for all that is kept.
        after: u64,
    },
    /// The peer is to send its traffic elsewhere.
    Drain(OfTunnel),
    /// It may come back.
    Undrain(OfTunnel),
    /// The peer is asked for its routes again.
    Refresh(OfTunnel),
    /// The session ends and begins anew.
    Reset(OfTunnel),
}

/// The peer in this tunnel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OfTunnel {
    /// Its name.
    pub tunnel: String,
}

/// Which routes are wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rib {
    pub view: View,
    /// Of this gateway; null for all.
    #[serde(default)]
    pub gateway: Option<String>,
    /// With `in` and `out`: the peer in this tunnel.
    #[serde(default)]
    pub tunnel: Option<String>,
    /// So many at most.
    #[serde(default = "most")]
    pub limit: usize,
}

fn most() -> usize {
    10_000
}

/// Which table is looked at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum View {
    /// All routes there are.
    #[default]
    All,
    /// Those that traffic takes.
    Best,
    /// What a peer has told us (Adj-RIB-In), as it came.
    In,
    /// What a peer was told (Adj-RIB-Out).
    Out,
}

/// Which prefix is to be explained.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Explain {
    /// Such as `10.2.0.0/16`.
    pub prefix: String,
    /// Of this gateway; null for all.
    #[serde(default)]
    pub gateway: Option<String>,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Told {
    Neighbors(Vec<Neighbor>),
    Routes(Routes),
    Events(Vec<Event>),
}

/// Routes, and how many more there are.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Routes {
    pub routes: Vec<Route>,
    /// Those that the limit has left out.
    pub left_out: usize,
}

/// One peer: in a tunnel, or a VPC router.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Neighbor {
    pub gateway: String,
    /// Or, of a VPC router, the attachment behind which it is.
    pub connection: String,
    /// Or the name of a VPC router.
    pub tunnel: String,
    pub local: String,
    pub remote: String,
    pub local_asn: u32,
    pub remote_asn: u32,
    /// `idle`, `connect`, `active`, `open_sent`, `open_confirm` or `established`.
    pub state: String,
    /// Up or down for so long.
    pub state_seconds: f64,
    /// `up` or `down`; null without BFD.
    pub bfd: Option<String>,
    /// The peer is to send its traffic elsewhere.
    pub drained: bool,
    /// By family.
    pub prefixes_received: Families,
    pub prefixes_told: Families,
    /// How many it may announce of each family. Those that are refused count, too.
    pub prefix_limit: u32,
    /// Its TCP segments are signed (RFC 2385).
    #[serde(default)]
    pub md5: bool,
    pub import: String,
    pub export: String,
    /// While it is up.
    pub negotiated: Option<Negotiated>,
    /// Why it last ended or did not come up.
    pub last_error: Option<String>,
    /// So long ago.
    pub last_error_seconds: Option<f64>,
    pub times_up: u64,
}

/// Something of each family.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Families {
    pub ipv4: u64,
    pub ipv6: u64,
}

/// What the two ends of a session have agreed on.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Negotiated {
    pub router_id: String,
    pub hold_seconds: u16,
    pub families: Vec<String>,
    /// By RFC or by name, such as `route refresh`.
    pub capabilities: Vec<String>,
    /// The peer keeps our routes for so long while we restart; null if it takes no part in that.
    pub restart_seconds: Option<u16>,
}

/// One source's route to a prefix.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Route {
    pub gateway: String,
    pub prefix: String,
    /// A tunnel's name; `static` or `vpc` and a name; `blackhole`, `reject`, or `unreachable`.
    pub source: String,
    /// Traffic takes it.
    pub best: bool,
    /// It is the one that peers are told of.
    pub told: bool,
    /// Kept although its source is gone.
    pub stale: bool,
    pub next_hop: String,
    pub as_path: Vec<u32>,
    pub origin: String,
    pub med: Option<u32>,
    pub local_pref: Option<u32>,
    pub communities: Vec<String>,
    pub large_communities: Vec<String>,
    /// Why it is not taken.
    pub refused: Option<String>,
    /// Why traffic does not take it although it was taken.
    pub lost_by: Option<String>,
}

/// Something that has happened.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Counts all events, from 1.
    pub number: u64,
    /// RFC 3339, in UTC.
    pub time: String,
    pub gateway: String,
    /// Or the name of a VPC router, or of a monitoring station.
    pub tunnel: String,
    pub text: String,
}
