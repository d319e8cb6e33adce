//! What is measured.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use ::aead::Suite;
use clap::ValueEnum;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::operation::Operation;

/// One row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Case {
    pub suite: Suite,
    pub operation: Operation,
    pub inner: Inner,
    pub kind: Kind,
    /// Bytes of the inner packets.
    pub size: usize,
    /// Security associations, each of a tunnel of its own.
    pub sas: u32,
    /// Routes into tunnels: the `i`-th leads into tunnel `i % sas`.
    pub routes: u32,
    pub mix: Mix,
    /// Packets taken from a port at once.
    pub batch: usize,
}

/// The version of the inner packets. Addresses are those of IPv4, or for each of them one of IPv6 in a tree of prefixes of the same
/// shape, all longer by 32 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Inner {
    #[value(name = "ipv4")]
    V4,
    #[value(name = "ipv6")]
    V6,
}

impl Inner {
    /// The name in figures.
    pub fn name(self) -> &'static str {
        match self {
            Self::V4 => "ipv4",
            Self::V6 => "ipv6",
        }
    }

    /// Bytes of the inner headers with UDP.
    pub fn headers(self) -> usize {
        match self {
            Self::V4 => 28,
            Self::V6 => 48,
        }
    }

    pub fn address(self, address: Ipv4Addr) -> IpAddr {
        match self {
            Self::V4 => address.into(),
            Self::V6 => likeness(address).into(),
        }
    }

    pub fn prefix(self, prefix: Ipv4Net) -> IpNet {
        match self {
            Self::V4 => prefix.into(),
            Self::V6 => {
                let length = prefix.prefix_len() + 32;
                Ipv6Net::new(likeness(prefix.network()), length).expect("at most 64 bits").into()
            }
        }
    }
}

/// Behind 2001:db8::/32 (RFC 3849).
fn likeness(address: Ipv4Addr) -> Ipv6Addr {
    Ipv6Addr::from(0x2001_0db8_u128 << 96 | u128::from(address.to_bits()) << 64 | 1)
}

/// What is special about tunnels or the VPC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// Nothing: ESP in IPv4, a route into each tunnel.
    Plain,
    /// ESP in UDP, as behind a NAT.
    Udp,
    /// ESP in IPv6.
    Ipv6,
    /// Tunnels have a limit, which nothing reaches.
    Limited,
    /// Each route leads into two tunnels, by flow.
    Paired,
    /// Sources are looked at, as they are by default: whether those of the VPC's many hosts lie there, and none that come out of tunnels
    /// do.
    Screened,
    /// The VPC's frames bear the tag of a VLAN.
    Tagged,
    /// The VPC has five thousand hosts instead of 250.
    Crowded,
    /// The packets are TCP's.
    Tcp,
    /// Of twelve packets seven have 64 bytes and four 576, if they may be so long, and one is as long as it may be.
    Imix,
}

impl Kind {
    /// The name in figures.
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Udp => "udp",
            Self::Ipv6 => "ipv6",
            Self::Limited => "limited",
            Self::Paired => "paired",
            Self::Screened => "screened",
            Self::Tagged => "tagged",
            Self::Crowded => "crowded",
            Self::Tcp => "tcp",
            Self::Imix => "imix",
        }
    }
}

impl Case {
    /// One tunnel into which ten routes lead, and nothing special.
    pub fn plain(suite: Suite, operation: Operation, size: usize, batch: usize) -> Self {
        let (inner, kind, mix) = (Inner::V4, Kind::Plain, Mix::Uniform);
        Self { suite, operation, inner, kind, size, sas: 1, routes: 10, mix, batch }
    }

    /// Bytes of the inner packet with this number of twelve, counted from 0.
    pub fn size_of(&self, number: u32) -> usize {
        match number {
            0..7 if self.kind == Kind::Imix => self.size.min(64),
            7..11 if self.kind == Kind::Imix => self.size.min(576),
            _ => self.size,
        }
    }

    /// Bytes of inner packets, on average.
    pub fn mean_size(&self) -> usize {
        (0..12).map(|number| self.size_of(number)).sum::<usize>() / 12
    }

    /// The VPC's hosts.
    pub fn hosts(&self) -> u32 {
        if self.kind == Kind::Crowded { 5000 } else { 250 }
    }
}

/// How packets are spread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mix {
    /// Each packet for any association, all alike: the worst there is.
    Uniform,
    /// By Zipf's law with exponent 1: the `n`-th association has the `n`-th part of the first's packets.
    Zipf,
}

/// A mix that is none.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("no mix is called {0:?}; allowed: uniform, zipf")]
pub struct MixError(String);

impl Mix {
    /// The name in figures.
    pub fn name(self) -> &'static str {
        match self {
            Self::Uniform => "uniform",
            Self::Zipf => "zipf",
        }
    }
}

impl fmt::Display for Mix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Mix {
    type Err = MixError;

    fn from_str(name: &str) -> Result<Self, MixError> {
        match name {
            "uniform" => Ok(Self::Uniform),
            "zipf" => Ok(Self::Zipf),
            _ => Err(MixError(name.to_owned())),
        }
    }
}
