//! What whoever watches a speaker's sessions sees of them (RFC 7854 §1): how one began, what the peer says in it, how it ended.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use crate::connection::ConnectionId;
use crate::negotiated::Negotiated;
use crate::reason::DownReason;

/// A session that is up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// Our address of it.
    pub local: IpAddr,
    /// The peer's.
    pub remote: IpAddr,
    /// The connection that it is on.
    pub connection: ConnectionId,
    /// When it came up.
    pub since: Instant,
    /// What was agreed on.
    pub negotiated: Arc<Negotiated>,
    /// How both ends have begun.
    pub opens: Opens,
}

/// The OPEN messages of a session's two ends, as they went over the wire.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Opens {
    /// Ours.
    pub sent: Bytes,
    /// The peer's.
    pub received: Bytes,
}

/// Something that was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Observation {
    /// A session is up.
    Up(Session),
    /// The peer announces or withdraws routes: its UPDATE as it came, or, if something was wrong with that, one that says what was
    /// made of it (RFC 7606). What goes without a word of the peer's (RFC 7313 §4.2) is withdrawn in its name.
    Update(Bytes),
    /// The session has ended.
    Down(Ending),
}

/// How a session has ended (RFC 7854 §4.9).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// By us, with this NOTIFICATION.
    Notifying(Bytes),
    /// By us, without one, for this event of RFC 4271 §8.1; 0 if there is none for it.
    Silent(u16),
    /// By the peer, with this NOTIFICATION.
    Notified(Bytes),
    /// By the peer, without one, or TCP was lost.
    Lost,
}

/// `TcpConnectionConfirmed` (RFC 4271 §8.1.4): the peer has opened another connection.
const TCP_CONNECTION_CONFIRMED: u16 = 17;

impl Ending {
    /// How a session has ended for which nobody has sent a NOTIFICATION.
    pub(crate) fn without_notification(reason: &DownReason) -> Self {
        match reason {
            DownReason::ConnectionClosed => Self::Lost,
            // RFC 4724 §4.2: the peer has restarted, and no longer knows of the session.
            DownReason::Restarted => Self::Silent(TCP_CONNECTION_CONFIRMED),
            DownReason::Stopped(_)
            | DownReason::Reset(_)
            | DownReason::ConfigurationChanged
            | DownReason::PathLost
            | DownReason::PrefixLimit(_)
            | DownReason::Unreachable
            | DownReason::HoldTimerExpired(_)
            | DownReason::NotReading
            | DownReason::PeerAs { .. }
            | DownReason::PeerIdentifier(_)
            | DownReason::PeerHoldTime(_)
            | DownReason::NoCommonFamily
            | DownReason::Malformed(_)
            | DownReason::Unexpected { .. }
            | DownReason::Notified { .. } => Self::Silent(0),
        }
    }
}
