//! Traffic selectors and their narrowing (RFC 7296 §2.9, §3.13).

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use thiserror::Error;

use crate::config::MAX_SELECTORS;

/// A range of addresses, an IP protocol (0 is any) and a range of ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TrafficSelector {
    start: IpAddr,
    end: IpAddr,
    protocol: u8,
    ports: (u16, u16),
}

impl TrafficSelector {
    /// All of IPv4.
    pub const ANY_IPV4: Self = Self {
        start: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        end: IpAddr::V4(Ipv4Addr::BROADCAST),
        protocol: 0,
        ports: ANY_PORT,
    };

    /// All of IPv6.
    pub const ANY_IPV6: Self = Self {
        start: IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        end: IpAddr::V6(Ipv6Addr::new(!0, !0, !0, !0, !0, !0, !0, !0)),
        protocol: 0,
        ports: ANY_PORT,
    };

    /// A selector over all its parts. Ports `(65535, 0)` mean "opaque", as on the wire.
    ///
    /// # Errors
    /// [`SelectorError`] if the addresses are of two families or run backwards.
    pub fn new(start: IpAddr, end: IpAddr, protocol: u8, ports: (u16, u16)) -> Result<Self, SelectorError> {
        if start.is_ipv4() != end.is_ipv4() {
            return Err(SelectorError::Families);
        }
        if start > end {
            return Err(SelectorError::Backwards { start, end });
        }
        if ports.0 > ports.1 && ports != OPAQUE_PORT {
            return Err(SelectorError::Ports(ports.0, ports.1));
        }
        Ok(Self { start, end, protocol, ports })
    }

    /// Every address of a prefix, any protocol, any port. Host bits are ignored.
    ///
    /// # Errors
    /// [`SelectorError::Length`] if the prefix is longer than the address.
    pub fn prefix(address: IpAddr, length: u8) -> Result<Self, SelectorError> {
        let (start, end): (IpAddr, IpAddr) = match address {
            IpAddr::V4(a) => {
                let host = host_mask(u128::from(length), 32)? as u32;
                let bits = u32::from(a);
                (Ipv4Addr::from(bits & !host).into(), Ipv4Addr::from(bits | host).into())
            }
            IpAddr::V6(a) => {
                let host = host_mask(u128::from(length), 128)?;
                let bits = u128::from(a);
                (Ipv6Addr::from(bits & !host).into(), Ipv6Addr::from(bits | host).into())
            }
        };
        Ok(Self { start, end, protocol: 0, ports: ANY_PORT })
    }

    /// The first address.
    pub fn start(&self) -> IpAddr {
        self.start
    }

    /// The last address.
    pub fn end(&self) -> IpAddr {
        self.end
    }

    /// The IP protocol; 0 is any.
    pub fn protocol(&self) -> u8 {
        self.protocol
    }

    /// The first and the last port.
    pub fn ports(&self) -> (u16, u16) {
        self.ports
    }

    /// Whether everything `other` selects is selected by `self` too.
    pub fn contains(&self, other: &Self) -> bool {
        self.intersection(other) == Some(*other)
    }

    /// What both select.
    pub fn intersection(&self, other: &Self) -> Option<Self> {
        if self.start.is_ipv4() != other.start.is_ipv4() {
            return None;
        }
        let (start, end) = (self.start.max(other.start), self.end.min(other.end));
        let protocol = match (self.protocol, other.protocol) {
            (0, p) | (p, 0) => p,
            (a, b) if a == b => a,
            (_, _) => return None,
        };
        let ports = match (self.ports, other.ports) {
            (ANY_PORT, p) | (p, ANY_PORT) => p,
            (a, b) if a == b => a,
            (OPAQUE_PORT, _) | (_, OPAQUE_PORT) => return None,
            (a, b) => (a.0.max(b.0), a.1.min(b.1)),
        };
        if start > end || (ports.0 > ports.1 && ports != OPAQUE_PORT) {
            return None;
        }
        Some(Self { start, end, protocol, ports })
    }

    /// The length if the addresses are exactly a prefix.
    fn prefix_length(&self) -> Option<u32> {
        let (start, end, width) = match (self.start, self.end) {
            (IpAddr::V4(s), IpAddr::V4(e)) => (u128::from(u32::from(s)), u128::from(u32::from(e)), 32),
            (IpAddr::V6(s), IpAddr::V6(e)) => (u128::from(s), u128::from(e), 128),
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => return None,
        };
        let host = start ^ end;
        let is_mask = host & host.wrapping_add(1) == 0;
        (is_mask && start & host == 0).then(|| width - (128 - host.leading_zeros()))
    }
}

impl fmt::Display for TrafficSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.prefix_length() {
            Some(length) => write!(f, "{}/{length}", self.start)?,
            None => write!(f, "{}-{}", self.start, self.end)?,
        }
        if self.protocol != 0 || self.ports != ANY_PORT {
            write!(f, "[{}/", self.protocol)?;
            match self.ports {
                ANY_PORT => f.write_str("any]")?,
                OPAQUE_PORT => f.write_str("opaque]")?,
                (a, b) if a == b => write!(f, "{a}]")?,
                (a, b) => write!(f, "{a}-{b}]")?,
            }
        }
        Ok(())
    }
}

/// Why a selector cannot exist.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum SelectorError {
    /// The range runs backwards.
    #[error("{start} comes after {end}")]
    Backwards {
        /// The first address.
        start: IpAddr,
        /// The last address.
        end: IpAddr,
    },
    /// The two addresses are of different families.
    #[error("the two addresses are of different families")]
    Families,
    /// The prefix is longer than the address.
    #[error("a prefix of {0} bits does not fit the address")]
    Length(u8),
    /// The ports run backwards.
    #[error("port {0} comes after port {1}")]
    Ports(u16, u16),
}

/// What both sides want: every overlap of an offered selector with one of ours, without those that
/// another one already covers. Empty if nothing overlaps. RFC 7296 §2.9.
pub(crate) fn narrow(offered: &[TrafficSelector], ours: &[TrafficSelector]) -> Vec<TrafficSelector> {
    let mut kept: Vec<TrafficSelector> = Vec::new();
    for overlap in offered.iter().flat_map(|o| ours.iter().filter_map(|s| s.intersection(o))) {
        if kept.iter().any(|k| k.contains(&overlap)) {
            continue;
        }
        kept.retain(|k| !overlap.contains(k));
        if kept.len() < MAX_SELECTORS {
            kept.push(overlap);
        }
    }
    kept
}

/// Selectors as a person writes them: separated by commas.
pub(crate) fn list(selectors: &[TrafficSelector]) -> String {
    selectors.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn host_mask(length: u128, width: u32) -> Result<u128, SelectorError> {
    let length = length as u32;
    if length > width {
        return Err(SelectorError::Length(length as u8));
    }
    let host_bits = width - length;
    Ok(if host_bits == 128 { u128::MAX } else { (1u128 << host_bits) - 1 })
}

const ANY_PORT: (u16, u16) = (0, 65535);

// RFC 7296 §3.13.1: OPAQUE ports are written as start 65535 and end 0.
const OPAQUE_PORT: (u16, u16) = (65535, 0);

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix(text: &str, length: u8) -> TrafficSelector {
        TrafficSelector::prefix(text.parse().unwrap(), length).unwrap()
    }

    #[test]
    fn prefixes_become_ranges_and_print_as_prefixes() {
        assert_eq!(prefix("10.1.2.3", 16).to_string(), "10.1.0.0/16");
        assert_eq!(prefix("0.0.0.0", 0), TrafficSelector::ANY_IPV4);
        assert_eq!(prefix("::", 0), TrafficSelector::ANY_IPV6);
        assert_eq!(prefix("2001:db8::1", 128).to_string(), "2001:db8::1/128");
        let odd = TrafficSelector::new("10.0.0.1".parse().unwrap(), "10.0.0.9".parse().unwrap(), 6, (80, 80));
        assert_eq!(odd.unwrap().to_string(), "10.0.0.1-10.0.0.9[6/80]");
        assert_eq!(TrafficSelector::prefix("1.2.3.4".parse().unwrap(), 33), Err(SelectorError::Length(33)));
    }

    #[test]
    fn narrowing_keeps_what_overlaps_and_drops_what_is_covered() {
        let offered = [prefix("10.1.5.5", 32), TrafficSelector::ANY_IPV4];
        assert_eq!(narrow(&offered, &[prefix("10.1.0.0", 16)]), vec![prefix("10.1.0.0", 16)]);
        assert!(narrow(&[prefix("10.2.0.0", 16)], &[prefix("10.1.0.0", 16)]).is_empty());
        assert!(narrow(&[TrafficSelector::ANY_IPV6], &[TrafficSelector::ANY_IPV4]).is_empty());
    }

    #[test]
    fn opaque_ports_meet_only_any_or_opaque() {
        let at =
            |ports| TrafficSelector::new("1.1.1.1".parse().unwrap(), "1.1.1.1".parse().unwrap(), 17, ports).unwrap();
        assert_eq!(at(OPAQUE_PORT).intersection(&at(ANY_PORT)), Some(at(OPAQUE_PORT)));
        assert_eq!(at(OPAQUE_PORT).intersection(&at((1, 2))), None);
        assert_eq!(at((1, 9)).intersection(&at((5, 20))), Some(at((5, 9))));
        assert_eq!(at((1, 2)).intersection(&at((5, 20))), None);
    }
}
