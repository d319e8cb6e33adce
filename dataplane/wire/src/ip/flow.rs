//! Numbers by which the packets of one flow go the same way.

use core::cmp::Ordering;

use super::{Address, Packet, Protocol};

impl Packet<'_> {
    /// A number equal for all packets of one flow in one direction: of TCP and UDP by addresses, protocol and ports; of
    /// ICMP by addresses and protocol; of all others, and of fragments, by addresses alone, so that all pieces of a
    /// packet go the same way.
    #[must_use]
    #[inline(always)]
    pub fn flow_hash(&self) -> u32 {
        self.hash([fold(self.source), fold(self.destination)], self.both_ports())
    }

    /// [`Packet::flow_hash`], but equal for both directions of a flow.
    #[must_use]
    #[inline(always)]
    pub fn symmetric_flow_hash(&self) -> u32 {
        let (source, destination) = (fold(self.source), fold(self.destination));
        let ports = self.both_ports();
        let exchanged = ports.rotate_left(16);
        let ports = match source.cmp(&destination) {
            Ordering::Less => ports,
            Ordering::Equal => ports.min(exchanged),
            Ordering::Greater => exchanged,
        };
        self.hash([source.min(destination), source.max(destination)], ports)
    }

    #[inline(always)]
    fn both_ports(&self) -> u32 {
        self.ports_word().map_or(0, |ports| u32::from_be_bytes(*ports))
    }

    #[inline(always)]
    fn hash(&self, addresses: [u64; 2], ports: u32) -> u32 {
        let protocol = match self.protocol {
            Protocol::TCP | Protocol::UDP | Protocol::ICMP | Protocol::ICMPV6 if !self.fragment => self.protocol.0,
            _ => 0,
        };
        // The multiplier is 2^64 divided by the golden ratio (Fibonacci hashing): it spreads near values far apart, and
        // the product's high bits depend on all of the factor's.
        let mix = |state: u64, value: u64| (state ^ value).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let addresses = addresses.into_iter().fold(0, |state, address| mix(state, address).rotate_left(29));
        (mix(addresses, u64::from(ports) << 8 | u64::from(protocol)) >> 32) as u32
    }
}

#[inline(always)]
fn fold(address: Address) -> u64 {
    let (high, low) = address.halves();
    if address.is_ipv4() { low } else { high ^ low.rotate_left(32) }
}
