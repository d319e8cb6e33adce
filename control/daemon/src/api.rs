//! What client and server say to each other: one JSON object a line, over a Unix socket.

pub mod bgp;
pub mod capture;
pub mod tunnel;

pub use capture::Direction;

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use zeroize::Zeroize;

/// Bytes of the longest request.
pub const LONGEST_REQUEST: usize = 4096;

/// A request: `{"status":{}}`, `{"esp_keys":{}}`, `{"latency":{}}`, `{"capture":{...}}`, `{"drain":{"to":"203.0.113.9"}}`, or, of one tunnel,
/// `{"trace":{"tunnel":"tun-1","after":0}}`, `{"rekey":{"tunnel":"tun-1","sa":"child"}}`, `{"reset":{"tunnel":"tun-1"}}`. About BGP
/// see [`bgp::Ask`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// What the gateway does.
    Status {},
    /// The keys of the live ESP SAs.
    EspKeys {},
    /// How long packets are with the workers.
    Latency {},
    /// Packets, until the client closes its side.
    Capture(Box<capture::Capture>),
    /// A tunnel's last IKE messages.
    Trace(tunnel::Trace),
    /// New keys for a tunnel.
    Rekey(tunnel::Rekey),
    /// A tunnel is to begin anew.
    Reset(tunnel::Reset),
    /// Peers are to go to another gateway.
    Drain(Drain),
    /// Something about BGP.
    Bgp(bgp::Ask),
}

/// Where peers are to go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Drain {
    /// Null: nowhere, they are served here.
    pub to: Option<IpAddr>,
}

/// The answer.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Response {
    /// To [`Request::Status`].
    Status(Box<Status>),
    /// To [`Request::EspKeys`]; one entry per direction.
    EspKeys(Vec<EspKey>),
    /// To [`Request::Latency`]: by worker and direction, then over all workers.
    Latency(Vec<Latency>),
    /// To [`Request::Capture`]: the names of the tunnels; [`capture::Event`]s follow.
    Capture(Vec<String>),
    /// To [`Request::Trace`], oldest first.
    Trace(Vec<tunnel::Message>),
    /// To [`Request::Bgp`] where something is asked.
    Bgp(bgp::Told),
    /// To [`Request::Rekey`], [`Request::Reset`], [`Request::Drain`], and where something is wanted of BGP: what is being done,
    /// in words.
    Done(String),
    /// The request was not understood.
    Error(String),
}

/// All there is to see.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// What a person should know, such as kernel forwarding on a VPC interface.
    pub warnings: Vec<String>,
    /// In the order of the resource file.
    pub gateways: Vec<Gateway>,
    /// In the order of the resource file.
    pub tunnels: Vec<Tunnel>,
    /// By core.
    pub workers: Vec<Worker>,
    /// The WAN interface first.
    pub interfaces: Vec<Interface>,
    /// Of the snapshots that workers read.
    pub publication: Publication,
    /// IKE datagrams that belong to no tunnel, by what became of them.
    pub ike: BTreeMap<String, u64>,
    /// ICMP errors that packets are too long for a link, by what became of them: `heeded`, or why they were ignored.
    pub path_mtu_errors: BTreeMap<String, u64>,
}

/// One border gateway.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Gateway {
    pub name: String,
    /// ICMP errors that it sent.
    pub errors_sent: u64,
    /// ICMP errors that it did not send, for there were too many.
    pub errors_suppressed: u64,
}

/// One VPN tunnel.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Tunnel {
    pub name: String,
    pub connection: String,
    pub gateway: String,
    /// `UP` or `DOWN`.
    pub state: String,
    /// Why it is down; null while it is up.
    pub reason: Option<Reason>,
    /// In this state for so long.
    pub since_seconds: f64,
    pub local: String,
    pub remote: String,
    /// While up.
    pub ike: Option<Ike>,
    /// While up.
    pub esp: Option<Esp>,
    /// Null without a way to the peer.
    pub path_mtu: Option<PathMtu>,
    pub counters: TunnelCounters,
    /// IKE messages by kind, since the tunnel was configured.
    pub messages: BTreeMap<String, u64>,
}

/// The longest packets on the way to a peer.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct PathMtu {
    /// Of an outer packet.
    pub bytes: u16,
    /// Of what fits one; null while the tunnel is down.
    pub inner_bytes: Option<u16>,
    /// Null where it is the interface's or the configured one.
    pub learned: Option<LearnedPathMtu>,
}

/// Where a path MTU is from.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct LearnedPathMtu {
    /// The router whose link takes no more.
    pub router: String,
    /// Then more is tried again.
    pub expires_seconds: f64,
}

/// Why a tunnel is down.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Reason {
    /// A stable name.
    pub code: String,
    /// One sentence.
    pub text: String,
    /// What to do.
    pub hint: String,
}

/// What an IKE SA agreed on.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Ike {
    /// How the peer proved who it is: `psk`, `psk_next` (the second of two keys), or `certificate`.
    #[serde(default)]
    pub authentication: String,
    pub encryption: String,
    pub integrity: Option<String>,
    pub prf: String,
    pub key_exchange: String,
    /// In the order in which they were made.
    #[serde(default)]
    pub additional_key_exchange: Vec<String>,
    /// What of it RFC 8247 advises against.
    #[serde(default)]
    pub weak: Vec<String>,
}

/// What a child SA agreed on.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Esp {
    /// The cipher, and behind a hyphen the integrity algorithm of one that has none.
    pub suite: String,
    /// The group of its own key exchange; null where its keys come from the IKE SA's.
    #[serde(default)]
    pub key_exchange: Option<String>,
    /// Those that followed it, in the order in which they were made.
    #[serde(default)]
    pub additional_key_exchange: Vec<String>,
    /// What of it RFC 8221 and RFC 8247 advise against.
    #[serde(default)]
    pub weak: Vec<String>,
    /// Hexadecimal.
    pub spi_in: String,
    /// Hexadecimal.
    pub spi_out: String,
    pub esn: bool,
    /// How many child SAs the tunnel sends through, those for other traffic among them. These are the newest one's SPIs.
    #[serde(default)]
    pub child_sas: usize,
    /// `udp` or `none`.
    pub encapsulation: String,
    pub lifetime_seconds: u64,
}

/// One tunnel's traffic since it was configured, over all its SAs.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct TunnelCounters {
    pub packets_in: u64,
    pub bytes_in: u64,
    pub packets_out: u64,
    pub bytes_out: u64,
    pub drops: BTreeMap<String, u64>,
}

/// One worker, since it started: `received + split = transmitted + passed + dropped + merged`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Worker {
    pub core: usize,
    pub received: u64,
    pub transmitted: u64,
    pub passed: u64,
    pub dropped: u64,
    /// Packets that came to be without being received: pieces, and incomplete packets that were given up.
    pub split: u64,
    /// Fragments that were held to be part of a larger packet.
    pub merged: u64,
    pub originated: u64,
    pub hand_over: HandOver,
    pub drops: BTreeMap<String, u64>,
    pub rates: Rates,
}

/// Packets of one worker whose cryptography another one did, or was to do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct HandOver {
    /// Done by others for this worker.
    pub handed_over: u64,
    /// Done by this worker for others.
    pub helped: u64,
    /// Offered to others, who came to no more.
    pub taken_back: u64,
    /// Worth offering, but all others were busy or asleep.
    pub unhelped: u64,
}

/// Over the last second.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Rates {
    pub received_pps: f64,
    pub transmitted_pps: f64,
    pub busy_percent: f64,
}

/// How long packets were with a worker, in microseconds, since it started: from the beginning of the turn in which it took
/// and sent them to that turn's end, when all is handed over and the kernel has been woken.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    /// The worker's; null for all workers.
    pub core: Option<usize>,
    /// Null for both.
    pub direction: Option<Direction>,
    pub packets: u64,
    pub min_us: f64,
    pub p50_us: f64,
    pub p90_us: f64,
    pub p99_us: f64,
    pub p999_us: f64,
    pub max_us: f64,
}

/// One interface that packets go through.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Interface {
    pub name: String,
    /// `wan` or `vpc`.
    pub side: String,
    /// `native` or `generic`.
    pub xdp_mode: String,
    pub queues: Vec<Queue>,
    /// The steering program's counters, in frames.
    pub steer: BTreeMap<String, u64>,
}

/// One AF_XDP socket.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Queue {
    pub queue: u32,
    pub zero_copy: bool,
    /// What the kernel counted, in packets: dropped before the ring for other reasons than a full one.
    pub rx_dropped: u64,
    /// Dropped because the worker was too slow.
    pub rx_ring_full: u64,
    pub rx_fill_ring_empty: u64,
    pub rx_invalid_descriptors: u64,
    pub tx_invalid_descriptors: u64,
    pub tx_ring_empty: u64,
}

/// Of the snapshots that workers read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Publication {
    pub version: u64,
    /// Replaced snapshots that a worker may still hold.
    pub retired: usize,
}

/// One direction of a live child SA, with its key. Wiped on drop.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EspKey {
    pub source: IpAddr,
    pub destination: IpAddr,
    pub spi: u32,
    pub esn: bool,
    /// The cipher, by the resource file's word.
    pub encryption: String,
    /// Hexadecimal: the cipher's key, then the salt of an AEAD.
    pub key: String,
    /// The integrity algorithm, by the resource file's word; null with an AEAD.
    pub integrity: Option<String>,
    /// Hexadecimal; empty with an AEAD.
    pub integrity_key: String,
}

impl Drop for EspKey {
    fn drop(&mut self) {
        self.key.zeroize();
        self.integrity_key.zeroize();
    }
}

impl std::fmt::Debug for EspKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "EspKey({:08x}, redacted)", self.spi)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_have_their_documented_form() {
        assert_eq!(serde_json::to_string(&Request::Status {}).unwrap(), r#"{"status":{}}"#);
        assert_eq!(serde_json::from_str::<Request>(r#"{"esp_keys":{}}"#).unwrap(), Request::EspKeys {});
        let rekey = tunnel::Rekey { tunnel: "a".into(), sa: tunnel::Sa::Ike };
        assert_eq!(serde_json::to_string(&Request::Rekey(rekey)).unwrap(), r#"{"rekey":{"tunnel":"a","sa":"ike"}}"#);
        for wrong in ["", "{}", r#"{"status":{"more":1}}"#, r#""status""#, r#"{"stop":{}}"#] {
            assert!(serde_json::from_str::<Request>(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_key_is_not_shown() {
        let key = EspKey {
            source: "192.0.2.1".parse().unwrap(),
            destination: "192.0.2.2".parse().unwrap(),
            spi: 0x1234,
            esn: false,
            encryption: "aes128".into(),
            key: "5ec4e7".into(),
            integrity: Some("sha256".into()),
            integrity_key: "5ec4e8".into(),
        };
        assert!(!format!("{key:?}").contains("5ec4e"));
    }
}
