//! What the outer header of a tunnel's packets is made by (RFC 4301 §5.1.2), and the path it has to fit.

use crate::diagnostic::OutOfRange;
use crate::keyword::keywords;
use crate::number::numbers;

/// How a tunnel's packets are wrapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OuterParameters {
    /// The outer DSCP.
    pub dscp: OuterDscp,
    /// Whether the inner ECN field is copied outward (RFC 6040 §4.3, normal mode); if not, the outer one says
    /// Not-ECT (compatibility mode).
    pub ecn: bool,
    /// The "don't fragment" bit of an outer IPv4 header; IPv6 has none.
    pub df: DontFragment,
    /// The outer TTL or hop limit; the inner one is the inner network's own affair (RFC 4301 §5.1.2.1).
    pub hop_limit: HopLimit,
    /// The largest outer packet that is sent, before path MTU discovery finds a smaller one (RFC 4301 §8.2).
    /// `None`: the MTU of the interface towards the peer.
    pub path_mtu: Option<PathMtu>,
    /// What the maximum segment size in a TCP SYN is lowered to, in both directions.
    pub mss_clamp: MssClamp,
}

impl Default for OuterParameters {
    fn default() -> Self {
        Self {
            dscp: OuterDscp::Copy,
            ecn: true,
            // RFC 4301 §8.1 leaves the choice. The gateway fragments what is too large before it seals it, so nothing
            // it sends needs to be fragmented on the way, and only a set bit makes routers report a smaller path MTU.
            df: DontFragment::Set,
            hop_limit: HopLimit(64),
            path_mtu: None,
            mss_clamp: MssClamp::Auto,
        }
    }
}

/// Where the outer DSCP comes from (RFC 2983 §3.1: the uniform and the pipe model).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OuterDscp {
    /// From the inner header: packets of several classes share one SA and its replay window (RFC 4301 §4.1).
    Copy,
    /// The same for every packet.
    Fixed(Dscp),
}

keywords! {
    /// The "don't fragment" bit of an outer IPv4 header (RFC 4301 §8.1).
    DontFragment {
        /// That of the inner header; set where the inner packet is IPv6.
        Copy = "copy",
        /// Set.
        Set = "set",
        /// Not set: routers on the way may fragment ESP, and the peer has to reassemble it before it can open it.
        Clear = "clear",
    }
}

/// What the maximum segment size option of TCP (RFC 9293 §3.7.1) is lowered to where it is larger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MssClamp {
    /// What fits the tunnel's current path MTU.
    Auto,
    /// It is left alone.
    Off,
    /// This.
    Fixed(Mss),
}

numbers! {
    /// A differentiated services code point (RFC 2474 §3): 0 to 63.
    Dscp(u8): 0..=63, from_number, number;

    /// An IPv4 TTL or IPv6 hop limit that lets a packet leave: 1 to 255.
    HopLimit(u8): 1..=255, from_number, number;

    /// A maximum segment size: 536 (RFC 9293 §3.7.1: what every host takes) to 9176 (a path MTU of 9216) bytes.
    Mss(u16): 536..=9176, from_bytes, bytes;
}

/// The largest packet a path carries whole, outer header included: up to 9216 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PathMtu(u16);

impl PathMtu {
    /// The MTU of an IPv4 path: from 576 bytes, since RFC 791 §3.1 lets every host take that much.
    ///
    /// # Errors
    /// [`OutOfRange`] below 576 and above 9216.
    pub fn of_ipv4(bytes: i128) -> Result<Self, OutOfRange> {
        OutOfRange::check(bytes, 576, 9216).map(Self)
    }

    /// The MTU of an IPv6 path: from 1280 bytes, since no IPv6 link has less (RFC 8200 §5).
    ///
    /// # Errors
    /// [`OutOfRange`] below 1280 and above 9216.
    pub fn of_ipv6(bytes: i128) -> Result<Self, OutOfRange> {
        OutOfRange::check(bytes, 1280, 9216).map(Self)
    }

    /// In bytes.
    #[must_use]
    pub fn bytes(self) -> u16 {
        self.0
    }
}
