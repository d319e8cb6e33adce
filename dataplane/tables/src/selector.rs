//! Traffic selectors (RFC 7296 §3.13.1), as they bound what a tunnel carries (RFC 4301 §5.1, §5.2).

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::sync::Arc;

use wire::{Address, Bits, Packet, Protocol};

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

    /// For any protocol and ports.
    fn is_plain(&self) -> bool {
        self.protocol.is_none() && self.ports == (0..=u16::MAX)
    }

    fn plain_v4(&self) -> Option<(u32, u32)> {
        match self.addresses {
            Addresses::V4(first, last) => self.is_plain().then_some((first, last)),
            Addresses::V6(..) => None,
        }
    }

    fn holds(&self, address: Bits, protocol: Protocol, port: Option<u16>) -> bool {
        let within = match (&self.addresses, address) {
            (Addresses::V4(first, last), Bits::V4(address)) => (*first..=*last).contains(&address),
            (Addresses::V6(first, last), Bits::V6(address)) => (*first..=*last).contains(&address),
            (Addresses::V4(..), Bits::V6(_)) | (Addresses::V6(..), Bits::V4(_)) => false,
        };
        within
            && self.protocol.is_none_or(|only| only == protocol)
            && (self.ports == (0..=u16::MAX) || port.is_some_and(|port| self.ports.contains(&port)))
    }
}

/// What a child SA was negotiated for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selectors(Negotiated);

/// The commonest stand where they are read, without a pointer to follow.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Negotiated {
    /// All of IPv4 and IPv6.
    All,
    /// One range of IPv4 addresses on each side, for any protocol and ports.
    V4 {
        local: (u32, u32),
        remote: (u32, u32),
    },
    Listed(Arc<Lists>),
}

#[derive(Debug, PartialEq, Eq)]
struct Lists {
    local: Box<[TrafficSelector]>,
    remote: Box<[TrafficSelector]>,
}

impl Selectors {
    /// Our side's selectors and the peer's.
    #[must_use]
    pub fn new(local: impl Into<Box<[TrafficSelector]>>, remote: impl Into<Box<[TrafficSelector]>>) -> Self {
        let lists = Lists { local: local.into(), remote: remote.into() };
        Self(match (&*lists.local, &*lists.remote) {
            ([local], [remote]) if let (Some(local), Some(remote)) = (local.plain_v4(), remote.plain_v4()) => {
                Negotiated::V4 { local, remote }
            }
            (local, remote) if all(local) && all(remote) => Negotiated::All,
            (_, _) => Negotiated::Listed(Arc::new(lists)),
        })
    }

    /// Whether a packet from our side may be sealed: RFC 4301 §5.1.
    #[must_use]
    #[inline(always)]
    pub fn allow_outbound(&self, packet: &Packet<'_>) -> bool {
        self.allow(packet.source, packet.destination, packet.protocol, || packet.ports())
    }

    /// Whether a packet that was opened may go on: RFC 4301 §5.2.
    #[must_use]
    #[inline(always)]
    pub fn allow_inbound(&self, packet: &Packet<'_>) -> bool {
        let ports = || {
            let (source, destination) = packet.ports();
            (destination, source)
        };
        self.allow(packet.destination, packet.source, packet.protocol, ports)
    }

    /// `ports` gives our side's and the peer's.
    #[inline(always)]
    fn allow(
        &self,
        local: Address,
        remote: Address,
        protocol: Protocol,
        ports: impl FnOnce() -> (Option<u16>, Option<u16>),
    ) -> bool {
        match &self.0 {
            Negotiated::All => true,
            Negotiated::V4 { local: ours, remote: theirs } => {
                let within = |(first, last): (u32, u32), address: Address| match address.bits() {
                    Bits::V4(address) => (first..=last).contains(&address),
                    Bits::V6(_) => false,
                };
                within(*ours, local) && within(*theirs, remote)
            }
            Negotiated::Listed(lists) => {
                let (our_port, their_port) = ports();
                holds(&lists.local, local, protocol, our_port) && holds(&lists.remote, remote, protocol, their_port)
            }
        }
    }
}

/// Whether they hold all addresses of both families, for any protocol and ports.
fn all(selectors: &[TrafficSelector]) -> bool {
    let whole = |addresses: &Addresses| selectors.iter().any(|s| s.is_plain() && s.addresses == *addresses);
    whole(&Addresses::V4(0, u32::MAX)) && whole(&Addresses::V6(0, u128::MAX))
}

/// By version: an address as a whole would be handed over in memory, and be put there for packets that meet no list, too.
#[inline(always)]
fn holds(selectors: &[TrafficSelector], address: Address, protocol: Protocol, port: Option<u16>) -> bool {
    match address.bits() {
        Bits::V4(address) => any_holds(selectors, address, Bits::V4, protocol, port),
        Bits::V6(address) => any_holds(selectors, address, Bits::V6, protocol, port),
    }
}

#[inline(never)]
fn any_holds<A: Copy>(
    selectors: &[TrafficSelector],
    address: A,
    version: impl Fn(A) -> Bits,
    protocol: Protocol,
    port: Option<u16>,
) -> bool {
    selectors.iter().any(|selector| selector.holds(version(address), protocol, port))
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
        let selectors = Selectors::new(
            [selector("10.1.0.0", "10.1.255.255", None, 0..=65535)],
            [
                selector("10.2.0.5", "10.2.0.9", Some(Protocol::UDP), 53..=53),
                selector("2001:db8::", "2001:db8::ffff", None, 0..=65535),
            ],
        );
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

    /// The short forms say what the list would: a selector twice in a list changes nothing but keeps it one.
    #[test]
    fn what_stands_inline_is_what_was_listed() {
        let v4 = |first, last| selector(first, last, None, 0..=65535);
        let v6 = selector("::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", None, 0..=65535);
        let all = v4("0.0.0.0", "255.255.255.255");
        for (local, remote, inline) in [
            (vec![v4("10.1.0.0", "10.1.255.255")], vec![v4("10.2.0.5", "10.2.0.9")], true),
            (vec![all.clone()], vec![v4("10.2.0.5", "10.2.0.9")], true),
            (vec![all.clone(), v6.clone()], vec![v6.clone(), all.clone()], true),
            (vec![v6.clone()], vec![v6.clone()], false),
            (
                vec![all.clone(), v6.clone()],
                vec![selector("0.0.0.0", "255.255.255.255", Some(Protocol::UDP), 0..=9)],
                false,
            ),
        ] {
            let twice = |side: &[TrafficSelector]| [side, side].concat().into_boxed_slice();
            let listed = Negotiated::Listed(Arc::new(Lists { local: twice(&local), remote: twice(&remote) }));
            let selectors = Selectors::new(local, remote);
            assert_eq!(!matches!(selectors.0, Negotiated::Listed(_)), inline, "{selectors:?}");
            let listed = Selectors(listed);
            for (source, destination) in [
                ([10, 1, 0, 0], [10, 2, 0, 5]),
                ([10, 1, 255, 255], [10, 2, 0, 9]),
                ([10, 0, 255, 255], [10, 2, 0, 9]),
                ([10, 1, 0, 0], [10, 2, 0, 4]),
                ([10, 1, 0, 0], [10, 2, 0, 10]),
            ] {
                let (out, back) = (udp(source, destination, [0; 4]), udp(destination, source, [0; 4]));
                let (out, back) = (Packet::parse(&out).unwrap(), Packet::parse(&back).unwrap());
                assert_eq!(selectors.allow_outbound(&out), listed.allow_outbound(&out), "{selectors:?} {out:?}");
                assert_eq!(selectors.allow_inbound(&back), listed.allow_inbound(&back), "{selectors:?} {back:?}");
            }
        }
    }
}
