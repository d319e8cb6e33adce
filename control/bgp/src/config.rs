//! What a neighbour is to be like.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use crate::family::Families;

/// One peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NeighborConfig {
    /// Our address of the session.
    pub local: IpAddr,
    /// The peer's.
    pub remote: IpAddr,
    /// The AS number we show this peer, of two octets or four (RFC 6793).
    pub local_as: u32,
    /// The peer's AS number.
    pub remote_as: u32,
    /// Our BGP identifier, the same to all peers (RFC 6286).
    pub router_id: Ipv4Addr,
    /// For how long the peer may be silent, in seconds: 3 to 65535, or 0 for no limit. The smaller of both ends' holds.
    pub hold_time: u16,
    /// The longest time between two attempts to connect.
    pub connect_retry: Duration,
    /// Wait for the peer to connect.
    pub passive: bool,
    /// What is exchanged.
    pub families: Families,
    /// Whether routes outlive a session (RFC 4724); `None` does not offer it.
    pub graceful_restart: Option<GracefulRestart>,
}

/// What is told to a peer about restarts (RFC 4724 §3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GracefulRestart {
    /// For how long the peer is asked to keep our routes, in seconds, up to 4095.
    pub restart_time: u16,
    /// For how long after that they may serve as a last resort, in seconds, up to 16777215 (RFC 9494); 0 does not offer it.
    pub long_lived_stale_time: u32,
    /// We have restarted, and forward as before.
    pub restarting: bool,
}

/// What a configuration may not be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// One end IPv4, the other IPv6.
    #[error("local {local} and remote {remote} are of different families")]
    AddressFamilies {
        /// Our address.
        local: IpAddr,
        /// The peer's.
        remote: IpAddr,
    },
    /// AS 0, which is nobody's (RFC 7607), or the last one, which is reserved (RFC 7300).
    #[error("{field} is {value}; allowed: 1 to 4294967294, without 23456 and 65535")]
    AsNumber {
        /// Which of the two.
        field: &'static str,
        /// What it is.
        value: u32,
    },
    /// 0.0.0.0.
    #[error("router_id is 0.0.0.0; allowed: any other")]
    RouterId,
    /// 1 or 2 (RFC 4271 §4.2).
    #[error("hold_time is {0} s; allowed: 0, or 3 to 65535")]
    HoldTime(u16),
    /// Too short or too long.
    #[error("connect_retry is {0:?}; allowed: 1 s to 300 s")]
    ConnectRetry(Duration),
    /// Nothing to exchange.
    #[error("no family is chosen; allowed: IPv4 unicast, IPv6 unicast, or both")]
    NoFamily,
    /// More than its 12 bits hold.
    #[error("restart_time is {0} s; allowed: 0 to 4095")]
    RestartTime(u16),
    /// More than its 24 bits hold.
    #[error("long_lived_stale_time is {0} s; allowed: 0 to 16777215")]
    StaleTime(u32),
}

const CONNECT_RETRY: std::ops::RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(300);

impl NeighborConfig {
    /// Whether the peer is of our AS.
    pub fn is_internal(&self) -> bool {
        self.local_as == self.remote_as
    }

    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        let (local, remote) = (self.local, self.remote);
        if local.is_ipv4() != remote.is_ipv4() {
            return Err(ConfigError::AddressFamilies { local, remote });
        }
        for (field, value) in [("local_as", self.local_as), ("remote_as", self.remote_as)] {
            // RFC 7607 and RFC 7300; 23456 stands for numbers that two octets cannot hold (RFC 6793 §9).
            if matches!(value, 0 | 23456 | 65535 | u32::MAX) {
                return Err(ConfigError::AsNumber { field, value });
            }
        }
        if self.router_id.is_unspecified() {
            return Err(ConfigError::RouterId);
        }
        if matches!(self.hold_time, 1 | 2) {
            return Err(ConfigError::HoldTime(self.hold_time));
        }
        if !CONNECT_RETRY.contains(&self.connect_retry) {
            return Err(ConfigError::ConnectRetry(self.connect_retry));
        }
        if self.families == Families::default() {
            return Err(ConfigError::NoFamily);
        }
        match self.graceful_restart {
            Some(restart) if restart.restart_time > 4095 => Err(ConfigError::RestartTime(restart.restart_time)),
            Some(restart) if restart.long_lived_stale_time > 0xff_ffff => {
                Err(ConfigError::StaleTime(restart.long_lived_stale_time))
            }
            _ => Ok(()),
        }
    }
}
