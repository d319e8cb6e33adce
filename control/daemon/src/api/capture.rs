//! What a capture's client and the daemon say to each other.
//!
//! The request is answered by the tunnels' names. Then events follow, a line each; behind a packet's line stand its bytes.
//! The client ends the capture by closing its sending side, reads what is still on its way, and the end.

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// Bytes of a packet that are kept at most.
pub const MOST_KEPT: u32 = 65535;

/// What is to be captured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Capture {
    /// Names of tunnels; all that there are if empty.
    pub tunnels: Vec<String>,
    /// This side alone; both if null.
    pub side: Option<Side>,
    /// Inner packets from or to these addresses.
    pub host: Option<IpNet>,
    /// Inner packets of one of these protocols; any if empty.
    pub protocols: Vec<u8>,
    /// Inner packets from or to this port.
    pub port: Option<u16>,
    /// One of so many packets.
    pub sample: u64,
    /// Bytes that are kept of a packet.
    pub snap_length: u32,
}

/// A side of ESP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// In clear.
    Inner,
    /// As on the WAN.
    Outer,
}

/// Which way a packet goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    ToPeer,
    FromPeer,
}

/// What follows the answer.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// Its bytes follow the line.
    Packet(Packet),
    /// Every now and then.
    Progress(Counts),
    /// Nothing follows.
    End(Counts),
}

/// One side of a packet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Packet {
    /// Since 1970.
    pub nanoseconds: u64,
    /// By its place among the answer's names.
    pub tunnel: u32,
    /// The same for both sides of one packet.
    pub number: u64,
    pub side: Side,
    pub direction: Direction,
    /// Bytes of all of it.
    pub length: u32,
    /// Bytes that follow.
    pub kept: u32,
    /// Why it was dropped, if it was.
    pub dropped: Option<String>,
}

/// What was not captured so far.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Packets that the conditions or the sampling left out.
    pub filtered: u64,
    /// Where packets were missed, for the queue was full.
    pub missed: Vec<Missed>,
}

impl Counts {
    /// Packets missed in all.
    pub fn missed(&self) -> u64 {
        self.missed.iter().map(|missed| missed.packets).sum()
    }
}

/// Packets of one tunnel, on one side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missed {
    pub tunnel: u32,
    pub side: Side,
    pub packets: u64,
}
