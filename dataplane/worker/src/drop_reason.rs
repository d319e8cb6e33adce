//! Why packets are dropped.

use std::fmt;

/// Declares the reasons with their names, so that none can be forgotten in either.
macro_rules! reasons {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// Why a packet was dropped: every drop has exactly one reason, and there is no reason for "other".
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum DropReason {
            $($(#[$doc])* $variant,)*
        }

        impl DropReason {
            /// All reasons, each at the position of its number.
            pub const ALL: [DropReason; [$($name),*].len()] = [$(Self::$variant),*];

            /// The name under which it is counted and shown.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }
        }
    };
}

reasons! {
    /// A link header cut short, or more than two VLAN tags.
    MalformedEthernet = "malformed_ethernet",
    /// An IP header that is wrong in version, length or checksum, on the packet as received.
    MalformedIp = "malformed_ip",
    /// A UDP header that is cut short or names more than there is.
    MalformedUdp = "malformed_udp",
    /// ESP too short for its transform, or not aligned.
    MalformedEsp = "malformed_esp",
    /// Authentic ESP that holds no IP packet of the family it names.
    MalformedInner = "malformed_inner",
    /// A fragment that cannot be part of an ESP or UDP packet that is put together: too far from its start, empty, cut to
    /// other than whole units, or of another protocol.
    OuterFragment = "outer_fragment",
    /// A fragment that overlaps another one, or tells of another end (RFC 5722 §4), and each that follows it.
    ReassemblyOverlap = "reassembly_overlap",
    /// A packet whose fragments did not all arrive in time.
    ReassemblyTimeout = "reassembly_timeout",
    /// An incomplete packet that had to make room for a newer one; or a fragment for which there was none.
    ReassemblyFull = "reassembly_full",
    /// Neither IPv4 nor IPv6.
    NotIp = "not_ip",
    /// From the WAN, and neither ESP nor IKE.
    NotForGateway = "not_for_gateway",
    /// An IKE message longer than the queue to control takes.
    IkeTooLong = "ike_too_long",
    /// A NAT keepalive (RFC 3948 §4): done with once it has arrived.
    NatKeepalive = "nat_keepalive",
    /// No security association has this index.
    UnknownSpi = "unknown_spi",
    /// A sequence number left of the replay window.
    BehindWindow = "behind_window",
    /// A sequence number that was accepted before.
    Replayed = "replayed",
    /// A sequence number that no sender uses.
    ImpossibleSequence = "impossible_sequence",
    /// The integrity check failed: forged, damaged, or another key.
    NotAuthentic = "not_authentic",
    /// Authentic ESP whose padding length does not fit.
    BadPadding = "bad_padding",
    /// Authentic ESP that carries neither IPv4 nor IPv6.
    UnexpectedNextHeader = "unexpected_next_header",
    /// A dummy packet (RFC 4303 §2.6): meant to be dropped.
    DummyPacket = "dummy_packet",
    /// From a VPC's interface, in a VLAN that no attachment has.
    UnknownVlan = "unknown_vlan",
    /// From an address that does not lie where the packet came from: not in the attachment's prefixes, or, out of a tunnel, on
    /// our own side.
    SpoofedSource = "spoofed_source",
    /// More than the tunnel's bandwidth.
    RateLimited = "rate_limited",
    /// Out of a tunnel that carries nothing while it is paused.
    TunnelPaused = "tunnel_paused",
    /// To or from addresses, a protocol or ports that its security association was not negotiated for.
    OutsideSelectors = "outside_selectors",
    /// No hops left: the sender is told.
    HopsExceeded = "hops_exceeded",
    /// RFC 6040 §4.2: marked as congested by a router, which its sender does not understand.
    CongestionUnknown = "congestion_unknown",
    /// The route says to drop it, and to tell nobody.
    Blackhole = "blackhole",
    /// The route says to drop it, and to tell the sender.
    Rejected = "rejected",
    /// The border gateway has no route to the destination.
    NoRoute = "no_route",
    /// The route leads into tunnels, and none of them is up.
    NoTunnelUp = "no_tunnel_up",
    /// From a tunnel to a tunnel, or from a VPC to a VPC: a border gateway joins neither.
    Transit = "transit",
    /// The neighbour's link address is not known yet; the kernel is being asked.
    NeighbourUnresolved = "neighbour_unresolved",
    /// The kernel has no route to the destination out of the attachment's interface.
    NoKernelRoute = "no_kernel_route",
    /// Longer than the way to the peer, or the attachment's frames, takes, and not to be fragmented: the sender is told.
    TooLong = "too_long",
    /// The security association has used up its sequence numbers, or as many packets as it may seal.
    SequenceExhausted = "sequence_exhausted",
    /// No transmit frame was free.
    TransmitRingFull = "transmit_ring_full",
    /// The queue to control was full.
    ControlQueueFull = "control_queue_full",
    /// The queue to control of first IKE messages was full: more begin than can be answered.
    FirstIkeQueueFull = "first_ike_queue_full",
}

impl fmt::Display for DropReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn numbers_are_positions_and_names_are_unique() {
        assert!(DropReason::ALL.iter().enumerate().all(|(position, reason)| *reason as usize == position));
        let names: BTreeSet<_> = DropReason::ALL.iter().map(|reason| reason.name()).collect();
        assert_eq!(names.len(), DropReason::ALL.len());
    }
}
