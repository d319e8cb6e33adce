//! The outer header of a tunnel, prepared when its SA is installed.

use std::net::IpAddr;

use wire::checksum;
use wire::ip::{Ipv4Header, Ipv6Header, Protocol};
use wire::udp;
use zerocopy::IntoBytes;

/// The UDP ports that carry ESP (RFC 3948).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Encapsulation {
    /// Our port.
    pub source: u16,
    /// The peer's port.
    pub destination: u16,
}

/// IP header, and UDP header where ESP is encapsulated, with everything filled in that does not change with the packet.
#[derive(Debug, Clone)]
pub struct OuterHeader {
    bytes: [u8; Self::LONGEST],
    length: usize,
    version: Version,
    encapsulated: bool,
}

#[derive(Debug, Clone, Copy)]
enum Version {
    /// With the checksum's sum over all that does not change with the packet.
    V4 {
        sum: u32,
    },
    V6,
}

impl OuterHeader {
    const LONGEST: usize = Ipv6Header::LENGTH + udp::HEADER;
    const HOPS: u8 = 64;

    /// `None` where the addresses are not of one family.
    #[must_use]
    pub fn new(source: IpAddr, destination: IpAddr, encapsulation: Option<Encapsulation>) -> Option<Self> {
        let protocol = if encapsulation.is_some() { Protocol::UDP } else { Protocol::ESP };
        let mut bytes = [0; Self::LONGEST];
        let (ip, version) = match (source, destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                // RFC 6864 §4.1: what is not to be fragmented needs no identification.
                let header = Ipv4Header {
                    version_length: 0x45,
                    traffic_class: 0,
                    total_length: 0.into(),
                    identification: 0.into(),
                    fragment: Ipv4Header::DONT_FRAGMENT.into(),
                    time_to_live: Self::HOPS,
                    protocol: protocol.0,
                    checksum: 0.into(),
                    source: source.octets(),
                    destination: destination.octets(),
                };
                bytes[..Ipv4Header::LENGTH].copy_from_slice(header.as_bytes());
                (Ipv4Header::LENGTH, Version::V4 { sum: checksum::sum(header.as_bytes(), 0) })
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                let header = Ipv6Header {
                    version_class_flow: (6 << 28).into(),
                    payload_length: 0.into(),
                    next_header: protocol.0,
                    hop_limit: Self::HOPS,
                    source: source.octets(),
                    destination: destination.octets(),
                };
                bytes[..Ipv6Header::LENGTH].copy_from_slice(header.as_bytes());
                (Ipv6Header::LENGTH, Version::V6)
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => return None,
        };
        let mut length = ip;
        if let Some(ports) = encapsulation {
            length += udp::HEADER;
            bytes[ip..length].copy_from_slice(&udp::header(ports.source, ports.destination, 0));
        }
        Some(Self { bytes, length, version, encapsulated: encapsulation.is_some() })
    }

    /// Bytes of the header.
    #[must_use]
    pub fn length(&self) -> usize {
        self.length
    }

    /// Writes the header in front of `payload` bytes that follow it, with the inner packet's differentiated services
    /// code point (RFC 2983) and no ECN capability (RFC 6040 §4.1, compatibility mode).
    ///
    /// # Panics
    /// Where `packet` is shorter than the header: the caller's own arithmetic.
    pub fn write(&self, packet: &mut [u8], payload: u16, traffic_class: u8) {
        let code_point = traffic_class & 0xfc;
        packet[..self.length].copy_from_slice(&self.bytes[..self.length]);
        let ip = match self.version {
            Version::V4 { sum } => {
                let total = self.length as u16 + payload;
                packet[1] = code_point;
                packet[2..4].copy_from_slice(&total.to_be_bytes());
                let sum = sum + u32::from(code_point) + u32::from(total);
                packet[10..12].copy_from_slice(&checksum::finish(sum).to_be_bytes());
                Ipv4Header::LENGTH
            }
            Version::V6 => {
                let [class, ..] = u16::to_be_bytes(u16::from(code_point) << 4 | 6 << 12);
                packet[0] = class;
                packet[1] |= code_point << 4;
                let length = (self.length - Ipv6Header::LENGTH) as u16 + payload;
                packet[4..6].copy_from_slice(&length.to_be_bytes());
                Ipv6Header::LENGTH
            }
        };
        if self.encapsulated {
            packet[ip + 4..ip + 6].copy_from_slice(&(udp::HEADER as u16 + payload).to_be_bytes());
        }
    }
}
