//! Traffic selectors (RFC 7296 §3.13.1), as they bound what a tunnel carries (RFC 4301 §5.1, §5.2).

use std::net::IpAddr;
use std::ops::RangeInclusive;

use wire::{Packet, Protocol};

/// One range of addresses, for one protocol or all, and for one range of ports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrafficSelector {
    addresses: Addresses,
    /// `None` for any.
    protocol: Option<Protocol>,
    ports: RangeInclusive<u16>,
}

/// Compared as numbers: workers do so for every packet.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Addresses {
    V4(u32, u32),
    V6(u128, u128),
}

impl TrafficSelector {
    /// From `first` to `last` address, for one protocol or (`None`) all, and for a range of ports: `0..=65535` for any,
    /// also for protocols without ports. `None` where the addresses are not of one family.
    #[must_use]
    pub fn new(first: IpAddr, last: IpAddr, protocol: Option<Protocol>, ports: RangeInclusive<u16>) -> Option<Self> {
        let addresses = match (first, last) {
            (IpAddr::V4(first), IpAddr::V4(last)) => Addresses::V4(first.to_bits(), last.to_bits()),
            (IpAddr::V6(first), IpAddr::V6(last)) => Addresses::V6(first.to_bits(), last.to_bits()),
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => return None,
        };
        Some(Self { addresses, protocol, ports })
    }

    fn holds(&self, address: IpAddr, protocol: Protocol, port: Option<u16>) -> bool {
        let within = match (&self.addresses, address) {
            (Addresses::V4(first, last), IpAddr::V4(address)) => (*first..=*last).contains(&address.to_bits()),
            (Addresses::V6(first, last), IpAddr::V6(address)) => (*first..=*last).contains(&address.to_bits()),
            (Addresses::V4(..), IpAddr::V6(_)) | (Addresses::V6(..), IpAddr::V4(_)) => false,
        };
        within
            && self.protocol.is_none_or(|only| only == protocol)
            && (self.ports == (0..=u16::MAX) || port.is_some_and(|port| self.ports.contains(&port)))
    }
}

/// What a child SA was negotiated for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selectors {
    /// Our side's.
    pub local: Box<[TrafficSelector]>,
    /// The peer's.
    pub remote: Box<[TrafficSelector]>,
}

impl Selectors {
    /// Whether a packet from our side may be sealed: RFC 4301 §5.1.
    #[must_use]
    pub fn allow_outbound(&self, packet: &Packet<'_>) -> bool {
        let (source, destination) = packet.ports();
        holds(&self.local, packet.source, packet.protocol, source)
            && holds(&self.remote, packet.destination, packet.protocol, destination)
    }

    /// Whether a packet that was opened may go on: RFC 4301 §5.2.
    #[must_use]
    pub fn allow_inbound(&self, packet: &Packet<'_>) -> bool {
        let (source, destination) = packet.ports();
        holds(&self.remote, packet.source, packet.protocol, source)
            && holds(&self.local, packet.destination, packet.protocol, destination)
    }
}

fn holds(selectors: &[TrafficSelector], address: IpAddr, protocol: Protocol, port: Option<u16>) -> bool {
    selectors.iter().any(|selector| selector.holds(address, protocol, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selector(first: &str, last: &str, protocol: Option<Protocol>, ports: RangeInclusive<u16>) -> TrafficSelector {
        TrafficSelector::new(first.parse().unwrap(), last.parse().unwrap(), protocol, ports).unwrap()
    }

    fn udp(source: [u8; 4], destination: [u8; 4], ports: [u8; 4]) -> [u8; 28] {
        let mut packet = [0; 28];
        packet[..10].copy_from_slice(&[0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17]);
        packet[12..16].copy_from_slice(&source);
        packet[16..20].copy_from_slice(&destination);
        packet[20..24].copy_from_slice(&ports);
        let checksum = wire::checksum::ipv4_header(&packet[..20]);
        packet[10..12].copy_from_slice(&checksum.to_be_bytes());
        packet
    }

    #[test]
    fn addresses_protocol_and_ports_bound_each_direction() {
        let selectors = Selectors {
            local: Box::new([selector("10.1.0.0", "10.1.255.255", None, 0..=65535)]),
            remote: Box::new([
                selector("10.2.0.5", "10.2.0.9", Some(Protocol::UDP), 53..=53),
                selector("2001:db8::", "2001:db8::ffff", None, 0..=65535),
            ]),
        };
        let (local, remote, port_53, port_54) = ([10, 1, 0, 2], [10, 2, 0, 5], [1, 0, 0, 53], [1, 0, 0, 54]);
        for (packet, outbound) in [
            (udp(local, remote, port_53), true),
            (udp(local, remote, port_54), false),
            (udp(local, [10, 2, 0, 10], port_53), false),
            (udp([10, 3, 0, 2], remote, port_53), false),
            (udp(remote, local, port_53), false),
        ] {
            assert_eq!(selectors.allow_outbound(&Packet::parse(&packet).unwrap()), outbound, "{packet:?}");
        }
        let answer = udp(remote, local, [0, 53, 1, 0]);
        assert!(selectors.allow_inbound(&Packet::parse(&answer).unwrap()));
        assert!(!selectors.allow_inbound(&Packet::parse(&udp(local, remote, port_53)).unwrap()));
    }
}
