//! How a VPN connection's routes are learnt from its peer and told to it by BGP (RFC 4271), and what BFD (RFC 5880) watches.

use crate::asn::Asn;
use crate::index::FilterIndex;
use crate::keyword::keywords;
use crate::number::numbers;
use crate::psk::PskSource;

/// The BGP sessions of a connection, one in each of its tunnels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BgpParameters {
    /// The number we show the peer; `None`: that of the border gateway.
    pub local_asn: Option<Asn>,
    /// For how long the peer may be silent.
    pub hold: HoldTime,
    /// The longest time between two attempts to connect.
    pub connect_retry: ConnectRetry,
    /// Whether the peer is waited for.
    pub passive: bool,
    /// What is exchanged; `None`: IPv4, and over an IPv6 session both families.
    pub families: Option<Vec<AddressFamily>>,
    /// For how long the peer is asked to keep our routes while we restart (RFC 4724); 0: not at all.
    pub graceful_restart: RestartTime,
    /// For how long after that they may serve as a last resort (RFC 9494); 0: not at all.
    pub long_lived_stale: StaleTime,
    /// How often our own number may stand in the paths of the peer's routes.
    pub allow_own_asn: OwnAsnCount,
    /// Whether the peer's number is replaced by ours in the paths that it is told.
    pub override_asn: bool,
    /// How many prefixes of each family the peer may announce in one session.
    pub prefix_limit: PrefixCount,
    /// What becomes of more.
    pub prefix_excess: PrefixExcess,
    /// Which of its routes are taken (RFC 8212).
    pub import: Policy,
    /// Which routes it is told (RFC 8212).
    pub export: Policy,
    /// What its TCP segments are signed with (RFC 2385): 1 to 80 bytes.
    pub md5_key: Option<PskSource>,
    /// Whether only segments are taken that have crossed no router (RFC 5082).
    pub ttl_security: bool,
    /// How often our number is put in front of paths told through a tunnel that is to be left, beyond the usual once.
    pub drain_prepend: PrependCount,
    /// MULTI_EXIT_DISC of routes told through such a tunnel.
    pub drain_med: u32,
}

impl BgpParameters {
    /// The longest key that signs segments, in bytes (TCP_MD5SIG_MAXKEYLEN of Linux).
    pub const MAX_MD5_KEY: usize = 80;
}

impl Default for BgpParameters {
    fn default() -> Self {
        Self {
            local_asn: None,
            hold: HoldTime(30),
            connect_retry: ConnectRetry(5),
            passive: false,
            families: None,
            graceful_restart: RestartTime(120),
            long_lived_stale: StaleTime(0),
            allow_own_asn: OwnAsnCount(0),
            override_asn: false,
            prefix_limit: PrefixCount(10_000),
            prefix_excess: PrefixExcess::Discard,
            import: Policy::All,
            export: Policy::All,
            md5_key: None,
            ttl_security: false,
            drain_prepend: PrependCount(3),
            drain_med: 1000,
        }
    }
}

/// Which routes are taken, or told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// Every valid one.
    All,
    /// Those that no peer has told us.
    Own,
    /// None.
    None,
    /// Those that a filter lets through, as it changes them.
    Filter(FilterIndex),
}

/// The BFD sessions of a connection, one in each of its tunnels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BfdParameters {
    /// How often packets are sent and taken.
    pub interval: BfdInterval,
    /// How many of them have to be missing.
    pub multiplier: BfdMultiplier,
    /// Whether there are routers between the two ends (RFC 5883).
    pub multihop: bool,
    /// How packets are authenticated, and by what.
    pub authentication: Option<(BfdAuthentication, BfdKeyId, PskSource)>,
}

keywords! {
    /// What BGP exchanges routes of.
    AddressFamily {
        /// IPv4 unicast.
        Ipv4 = "ipv4",
        /// IPv6 unicast.
        Ipv6 = "ipv6",
    }
}

keywords! {
    /// What becomes of prefixes beyond the limit.
    PrefixExcess {
        /// Those beyond it are not taken.
        Discard = "discard",
        /// They are taken.
        Warn = "warn",
        /// The session ends, and begins anew a while later.
        Restart = "restart",
    }
}

keywords! {
    /// How BFD's packets are authenticated (RFC 5880 §4.2 to §4.4).
    BfdAuthentication {
        /// The password stands in them.
        Password = "password",
        /// Keyed MD5.
        Md5 = "md5",
        /// Keyed MD5, with a number that every packet counts up.
        MeticulousMd5 = "meticulous-md5",
        /// Keyed SHA-1.
        Sha1 = "sha1",
        /// Keyed SHA-1, with a number that every packet counts up.
        MeticulousSha1 = "meticulous-sha1",
    }
}

impl BfdAuthentication {
    /// The longest key, in bytes.
    #[must_use]
    pub fn longest_key(self) -> usize {
        match self {
            Self::Password | Self::Md5 | Self::MeticulousMd5 => 16,
            Self::Sha1 | Self::MeticulousSha1 => 20,
        }
    }
}

numbers! {
    /// Seconds between two attempts to connect: 1 to 300.
    ConnectRetry(u16): 1..=300, from_seconds, seconds;

    /// Seconds for which routes outlive a session: 0 to 4095, as its field has 12 bits (RFC 4724 §3).
    RestartTime(u16): 0..=4095, from_seconds, seconds;

    /// Seconds for which they serve as a last resort: 0 to 16777215, as its field has 24 bits (RFC 9494 §3).
    StaleTime(u32): 0..=16_777_215, from_seconds, seconds;

    /// How often our number may stand in a path: 0 to 10.
    OwnAsnCount(u8): 0..=10, from_count, count;

    /// Prefixes: 1 to 10000000.
    PrefixCount(u32): 1..=10_000_000, from_count, count;

    /// How often a number is put in front of a path: 0 to 32.
    PrependCount(u8): 0..=32, from_count, count;

    /// Milliseconds between BFD's packets: 10 to 60000.
    BfdInterval(u16): 10..=60_000, from_milliseconds, milliseconds;

    /// Packets of BFD: 1 to 255.
    BfdMultiplier(u8): 1..=255, from_packets, packets;

    /// The number of a key of BFD: 0 to 255.
    BfdKeyId(u8): 0..=255, from_number, number;
}

/// Seconds for which a peer may be silent: 3 to 65535, or 0 for no limit (RFC 4271 §4.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HoldTime(u16);

impl HoldTime {
    /// The time of so many seconds: 3 to 65535.
    ///
    /// # Errors
    /// [`OutOfRange`](crate::OutOfRange) for any other number.
    pub fn from_seconds(number: i128) -> Result<Self, crate::OutOfRange> {
        if number == 0 { Ok(Self(0)) } else { crate::OutOfRange::check::<u16>(number, 3, u16::MAX).map(Self) }
    }

    /// The number itself.
    #[must_use]
    pub fn seconds(self) -> u16 {
        self.0
    }
}
