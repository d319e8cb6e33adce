//! Why a session is down, in words.

use std::fmt;
use std::net::Ipv4Addr;

use rustbgpd_wire::notification::{cease_subcode, description, extract_shutdown_communication};
use rustbgpd_wire::{NotificationCode, NotificationMessage};

/// Why a neighbour's session ended or did not come up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DownReason {
    /// Whoever runs us has stopped it, with these words to the peer (RFC 9003).
    Stopped(String),
    /// Whoever runs us has reset it, with these words to the peer.
    Reset(String),
    /// Its configuration has changed so that it has to begin anew.
    ConfigurationChanged,
    /// The way to the peer is down: BFD (RFC 9384) or its tunnel says so.
    PathLost,
    /// The peer announces more prefixes than it may (RFC 4486).
    PrefixLimit(u32),
    /// TCP has not come up.
    Unreachable,
    /// TCP was closed or reset without a word.
    ConnectionClosed,
    /// The peer has opened another connection: it has restarted.
    Restarted,
    /// Nothing was heard for the hold time, in seconds.
    HoldTimerExpired(u16),
    /// The peer has not read what it was sent for the send hold time (RFC 9687), although it may still have been heard.
    NotReading,
    /// The peer's AS number is not the configured one.
    PeerAs {
        /// What its OPEN says.
        received: u32,
        /// What is configured.
        expected: u32,
    },
    /// The peer's BGP identifier is 0.0.0.0, or ours and in our AS.
    PeerIdentifier(Ipv4Addr),
    /// The peer asks for a hold time of 1 or 2 seconds.
    PeerHoldTime(u16),
    /// No family is agreed on.
    NoCommonFamily,
    /// A message is not what RFC 4271 has it be.
    Malformed(String),
    /// A message that has no place in this state.
    Unexpected {
        /// The message.
        message: &'static str,
        /// The state.
        state: &'static str,
    },
    /// The peer has ended it.
    Notified {
        /// The NOTIFICATION's code.
        code: u8,
        /// And subcode; those that a Hard Reset wraps, if it is one (RFC 8538).
        subcode: u8,
        /// The peer forbids that its routes outlive the session.
        hard: bool,
        /// What the peer's operator says (RFC 9003).
        communication: Option<String>,
    },
}

impl DownReason {
    pub(crate) fn notified(notification: &NotificationMessage) -> Self {
        let communication = extract_shutdown_communication(notification).ok().flatten().map(str::to_owned);
        let hard = notification.code == NotificationCode::Cease && notification.subcode == cease_subcode::HARD_RESET;
        let inner = match notification.data.get(..2) {
            Some(&[code, subcode]) if hard => Some((code, subcode)),
            _ => None,
        };
        let (code, subcode) = inner.unwrap_or((notification.code.as_u8(), notification.subcode));
        Self::Notified { code, subcode, hard, communication }
    }

    /// Whether it is something about the peer that will be no other when it is tried again.
    pub(crate) fn is_complaint(&self) -> bool {
        match self {
            Self::PeerAs { .. }
            | Self::PeerIdentifier(_)
            | Self::PeerHoldTime(_)
            | Self::NoCommonFamily
            | Self::Malformed(_)
            | Self::Unexpected { .. } => true,
            Self::Stopped(_)
            | Self::Reset(_)
            | Self::ConfigurationChanged
            | Self::PathLost
            | Self::PrefixLimit(_)
            | Self::Unreachable
            | Self::ConnectionClosed
            | Self::Restarted
            | Self::HoldTimerExpired(_)
            | Self::NotReading
            | Self::Notified { .. } => false,
        }
    }

    /// Whether routes outlive a session that ended for it, with a peer that takes part in graceful restart (RFC 4724 §4.2), and,
    /// as `notification` says, in what leaves them although there was a NOTIFICATION (RFC 8538 §4).
    pub(crate) fn leaves_routes(&self, notification: bool) -> bool {
        match self {
            Self::ConnectionClosed | Self::Restarted => true,
            Self::HoldTimerExpired(_) | Self::NotReading | Self::Malformed(_) | Self::Unexpected { .. } => notification,
            Self::Notified { hard, .. } => notification && !hard,
            // Whoever ends it here wants the peer's routes gone, or it never was up.
            Self::Stopped(_)
            | Self::Reset(_)
            | Self::ConfigurationChanged
            | Self::PathLost
            | Self::PrefixLimit(_)
            | Self::Unreachable
            | Self::PeerAs { .. }
            | Self::PeerIdentifier(_)
            | Self::PeerHoldTime(_)
            | Self::NoCommonFamily => false,
        }
    }

    /// What somebody can do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Stopped(_) => "start the neighbour again",
            Self::Reset(_) | Self::ConfigurationChanged | Self::Restarted => "nothing: it comes up again by itself",
            Self::PathLost => "look why the tunnel or BFD is down",
            Self::PrefixLimit(_) => "have the peer announce less, or raise the limit",
            Self::Unreachable => {
                "check that the tunnel is up, that the peer listens on TCP port 179 and expects our address, \
                 and that both ends have the same TCP password"
            }
            Self::ConnectionClosed => {
                "look at the peer's log: it may have restarted, or not be configured for our address"
            }
            Self::HoldTimerExpired(_) | Self::NotReading => "look at the way to the peer and at its load",
            Self::PeerAs { .. } => "configure the AS number that the peer has",
            Self::PeerIdentifier(_) => "give the peer a BGP identifier of its own",
            Self::PeerHoldTime(_) => "configure a hold time of 0, or 3 seconds or more, at the peer",
            Self::NoCommonFamily => "configure one address family at both ends",
            Self::Malformed(_) | Self::Unexpected { .. } => "report it to the peer's maker, with a capture",
            Self::Notified { code: 2, subcode: 2, .. } => "the peer expects another AS number: compare both ends",
            Self::Notified { code: 2, subcode: 3, .. } => "give each end a BGP identifier of its own",
            Self::Notified { code: 2, subcode: 7, .. } => "configure one address family at both ends",
            Self::Notified { code: 4 | 8, .. } => "the peer did not hear us: look at the way to it and at our load",
            Self::Notified { code: 6, subcode: 1, .. } => "announce less, or have the peer raise its limit",
            Self::Notified { code: 6, subcode: 2 | 4, .. } => "ask whoever runs the peer",
            Self::Notified { code: 6, subcode: 3 | 5, .. } => "have the peer configured for us",
            Self::Notified { .. } => "look at the peer's log",
        }
    }
}

impl fmt::Display for DownReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let said = |f: &mut fmt::Formatter<'_>, words: &str| match words {
            "" => Ok(()),
            words => write!(f, ": {words}"),
        };
        match self {
            Self::Stopped(words) => f.write_str("stopped").and_then(|()| said(f, words)),
            Self::Reset(words) => f.write_str("reset").and_then(|()| said(f, words)),
            Self::ConfigurationChanged => f.write_str("its configuration has changed"),
            Self::PathLost => f.write_str("the way to the peer is down"),
            Self::PrefixLimit(limit) => write!(f, "the peer announces more than {limit} prefixes"),
            Self::Unreachable => f.write_str("no TCP connection to the peer"),
            Self::ConnectionClosed => f.write_str("the TCP connection was closed without a NOTIFICATION"),
            Self::Restarted => f.write_str("the peer has opened another connection: it has restarted"),
            Self::HoldTimerExpired(seconds) => write!(f, "nothing was heard for the hold time, {seconds} s"),
            Self::NotReading => f.write_str("the peer has not read what it was sent for the send hold time"),
            Self::PeerAs { received, expected } => write!(f, "the peer is AS {received}; configured is {expected}"),
            Self::PeerIdentifier(id) => write!(f, "the peer's BGP identifier is {id}"),
            Self::PeerHoldTime(seconds) => write!(f, "the peer asks for a hold time of {seconds} s"),
            Self::NoCommonFamily => f.write_str("the peer has none of the address families that are configured"),
            Self::Malformed(words) => write!(f, "malformed message: {words}"),
            Self::Unexpected { message, state } => write!(f, "{message} in state {state}"),
            Self::Notified { code, subcode, hard, communication } => {
                let words = description(NotificationCode::from_u8(*code), *subcode);
                let of = NotificationCode::from_u8(*code);
                write!(
                    f,
                    "the peer has ended it: {of}, {words} ({code}/{subcode}{})",
                    if *hard { ", hard reset" } else { "" }
                )?;
                said(f, communication.as_deref().unwrap_or_default())
            }
        }
    }
}
