//! Which packet comes next.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::Ipv4Net;
use rand::{Rng, RngExt, SeedableRng};
use rand_distr::{Distribution, Zipf};
use rand_xoshiro::Xoshiro256PlusPlus;
use wire::{Protocol, checksum, udp};

use super::case::{Case, Inner, Mix};

/// Bits of the longest prefixes.
pub const NARROWEST: u8 = 24;

/// The same packets in every run: for which association, to which address.
pub struct Traffic {
    random: Xoshiro256PlusPlus,
    mix: Mix,
    zipf: Zipf<f64>,
    sas: u32,
    /// By route.
    prefixes: Vec<Ipv4Net>,
}

impl Traffic {
    pub fn new(case: &Case) -> Self {
        let mut random = Xoshiro256PlusPlus::seed_from_u64(0x5eed);
        let prefixes = prefixes(case.routes as usize, &mut random);
        let zipf = Zipf::new(f64::from(case.sas), 1.0).expect("at least one, and a positive exponent");
        Self { random, mix: case.mix, zipf, sas: case.sas, prefixes }
    }

    /// Where the `i`-th route leads to.
    pub fn prefixes(&self) -> &[Ipv4Net] {
        &self.prefixes
    }

    /// The association of the next packet.
    pub fn association(&mut self) -> u32 {
        match self.mix {
            Mix::Uniform => self.random.random_range(0..self.sas),
            Mix::Zipf => self.zipf.sample(&mut self.random) as u32 - 1,
        }
    }

    /// An address that a route of this association leads to.
    pub fn destination(&mut self, association: u32) -> Ipv4Addr {
        let of_association = (self.prefixes.len() as u32 - association).div_ceil(self.sas);
        let route = match self.mix {
            Mix::Uniform => self.random.random_range(0..of_association),
            // As skewed as the associations, where there is but one of them.
            Mix::Zipf => (self.zipf_of(of_association) - 1).min(of_association - 1),
        };
        let prefix = self.prefixes[(association + route * self.sas) as usize];
        // A few hosts of each network, as networks have them.
        let host = self.random.next_u32() & u32::from(prefix.hostmask()) & 0xf;
        Ipv4Addr::from(u32::from(prefix.network()) | host)
    }

    /// One of so many.
    pub fn one_of(&mut self, count: u32) -> u32 {
        self.random.random_range(0..count)
    }

    fn zipf_of(&mut self, count: u32) -> u32 {
        let zipf = Zipf::new(f64::from(count), 1.0).expect("at least one, and a positive exponent");
        zipf.sample(&mut self.random) as u32
    }
}

/// Writes the headers of a packet of UDP, or of TCP as far as a gateway looks at it, of `size` bytes with this number, which stands where
/// IPv4 has its identification, and IPv6 in the flow label.
pub fn write(
    packet: &mut [u8],
    (inner, protocol): (Inner, Protocol),
    number: u16,
    size: usize,
    ends: (Ipv4Addr, Ipv4Addr),
) {
    let addresses = match (inner.address(ends.0), inner.address(ends.1)) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let mut header = [0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, protocol.0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
            header[2..4].copy_from_slice(&(size as u16).to_be_bytes());
            header[4..6].copy_from_slice(&number.to_be_bytes());
            header[12..16].copy_from_slice(&source.octets());
            header[16..].copy_from_slice(&destination.octets());
            let check = checksum::ipv4_header(&header);
            header[10..12].copy_from_slice(&check.to_be_bytes());
            packet[..header.len()].copy_from_slice(&header);
            header.len()
        }
        (source, destination) => {
            let mut header = [0; 40];
            (header[0], header[6], header[7]) = (0x60, protocol.0, 64);
            header[2..4].copy_from_slice(&number.to_be_bytes());
            header[4..6].copy_from_slice(&(size as u16 - 40).to_be_bytes());
            for (to, address) in header[8..].chunks_mut(16).zip([source, destination]) {
                if let IpAddr::V6(address) = address {
                    to.copy_from_slice(&address.octets());
                }
            }
            packet[..header.len()].copy_from_slice(&header);
            header.len()
        }
    };
    let datagram = udp::header(12345, 53, (size - addresses - udp::HEADER) as u16);
    packet[addresses..][..udp::HEADER].copy_from_slice(&datagram);
    if protocol == Protocol::TCP
        && let Some(flags) = packet.get_mut(addresses + 12..addresses + 14)
    {
        // Five words of header; an acknowledgement, within a connection.
        flags.copy_from_slice(&[0x50, 0x10]);
    }
}

/// Different prefixes, of lengths as in the tables of the Internet: mostly 24, some shorter, outside of the VPC's.
fn prefixes(count: usize, random: &mut impl Rng) -> Vec<Ipv4Net> {
    let mut seen = std::collections::HashSet::new();
    let mut prefixes = Vec::with_capacity(count);
    while prefixes.len() < count {
        let length = match random.random_range(0..100) {
            0..60 => NARROWEST,
            60..72 => 22,
            72..82 => 23,
            82..90 => 20,
            90..95 => 21,
            95..98 => 19,
            _ => 16,
        };
        let address = Ipv4Addr::from(random.random_range(0x1000_0000_u32..0xe000_0000));
        let prefix = Ipv4Net::new(address, length).expect("at most 32").trunc();
        if seen.insert(prefix) {
            prefixes.push(prefix);
        }
    }
    prefixes
}
