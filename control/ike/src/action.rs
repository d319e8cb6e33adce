//! What the machine wants done.

use std::net::{IpAddr, SocketAddr};

use crate::algorithm::{EspSuite, IkeSuite};
use crate::child::{ChildSa, UdpEncapsulation};
use crate::config::TunnelId;
use crate::reason::DownReason;

/// One thing to do, in the order in which they come out of [`crate::Endpoint::poll_action`].
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Send a datagram. On port 4500 it begins with the non-ESP marker (RFC 3948 §2.2), except for
    /// the one-byte NAT keepalive.
    Transmit {
        /// From here.
        local: SocketAddr,
        /// To there.
        remote: SocketAddr,
        /// The UDP payload.
        datagram: Vec<u8>,
    },
    /// Install a child. It receives from now on, until it is removed, and sends when [`Action::UseChild`] says so.
    InstallChild(Box<ChildSa>),
    /// The peer receives on a child: send on it what its selectors select, from now on.
    UseChild {
        /// The tunnel.
        tunnel: TunnelId,
        /// Which child.
        inbound_spi: u32,
        /// The child in whose place it stands, which sends no longer.
        instead_of: Option<u32>,
    },
    /// Remove both directions; the SPI is free again when that is done.
    RemoveChild {
        /// The tunnel.
        tunnel: TunnelId,
        /// Which child.
        inbound_spi: u32,
    },
    /// The peer is elsewhere: the NAT before it has changed its port, or it has moved to another address (RFC 4555). Send a
    /// child's ESP there from now on.
    MoveChild {
        /// The tunnel.
        tunnel: TunnelId,
        /// Which child.
        inbound_spi: u32,
        /// Our outer address.
        local: IpAddr,
        /// The peer's outer address.
        remote: IpAddr,
        /// The UDP ports ESP goes over from now on; `None` is plain ESP.
        encapsulation: Option<UdpEncapsulation>,
    },
    /// The tunnel has come up.
    Up {
        /// The tunnel.
        tunnel: TunnelId,
        /// What the IKE SA uses.
        ike: IkeSuite,
        /// What the child SA uses.
        esp: EspSuite,
    },
    /// The tunnel has gone down, or is down for another reason than before.
    Down {
        /// The tunnel.
        tunnel: TunnelId,
        /// Why.
        reason: DownReason,
    },
}
