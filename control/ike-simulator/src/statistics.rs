//! What runs were made of.

use std::fmt;
use std::ops::AddAssign;

/// Counts over one run or several.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Runs.
    pub runs: u64,
    /// Runs in which nothing may get lost, and in which traffic flowed.
    pub strict: u64,
    /// Seconds of virtual time.
    pub seconds: u64,
    /// IKE datagrams sent.
    pub messages: u64,
    /// ESP packets sent.
    pub packets: u64,
    /// ESP packets that found no SA at the other end, in runs where that may be.
    pub lost: u64,
    /// Tunnels that came up, counted at each end.
    pub ups: u64,
    /// Tunnels that went down, counted at each end.
    pub downs: u64,
    /// Children installed, counted at each end.
    pub children: u64,
    /// Partitions.
    pub partitions: u64,
    /// Crashes.
    pub crashes: u64,
    /// Times that the NAT gave node 0 other ports.
    pub moves: u64,
    /// Other interventions: terminations, administrative states, configurations.
    pub interventions: u64,
    /// Rekeys asked for.
    pub rekeys: u64,
}

impl AddAssign for Statistics {
    fn add_assign(&mut self, other: Self) {
        self.runs += other.runs;
        self.strict += other.strict;
        self.seconds += other.seconds;
        self.messages += other.messages;
        self.packets += other.packets;
        self.lost += other.lost;
        self.ups += other.ups;
        self.downs += other.downs;
        self.children += other.children;
        self.partitions += other.partitions;
        self.crashes += other.crashes;
        self.moves += other.moves;
        self.interventions += other.interventions;
        self.rekeys += other.rekeys;
    }
}

impl fmt::Display for Statistics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} seeds, {} of them strict with traffic; {} s of virtual time, {} IKE messages, {} packets ({} lost where \
             they may be), {} ups, {} downs, {} children; {} partitions, {} crashes, {} NAT moves, {} rekeys, {} other \
             interventions",
            self.runs,
            self.strict,
            self.seconds,
            self.messages,
            self.packets,
            self.lost,
            self.ups,
            self.downs,
            self.children,
            self.partitions,
            self.crashes,
            self.moves,
            self.rekeys,
            self.interventions
        )
    }
}
