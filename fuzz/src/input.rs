//! How targets read their input, and how they make right in it what no hunt would ever guess.

use wire::{Protocol, checksum};

const IPV4: usize = 20;
const IPV6: usize = 40;

/// The first `N` bytes, zero where there are none, and what follows.
pub fn head<const N: usize>(bytes: &[u8]) -> ([u8; N], &[u8]) {
    let (start, rest) = bytes.split_at(N.min(bytes.len()));
    let mut head = [0; N];
    head[..start.len()].copy_from_slice(start);
    (head, rest)
}

/// The packet with right lengths and a right IPv4 header checksum, everything else as it was.
pub fn with_right_header(packet: &[u8]) -> Vec<u8> {
    let mut packet = packet.to_vec();
    match packet.first().map(|byte| byte >> 4) {
        Some(4) if packet.len() >= IPV4 => {
            let header = (usize::from(packet[0] & 15) * 4).clamp(IPV4, packet.len());
            let length = packet.len().min(usize::from(u16::MAX)) as u16;
            packet[2..4].copy_from_slice(&length.to_be_bytes());
            set_checksum(&mut packet[..header], 10, 0);
        }
        Some(6) if packet.len() >= IPV6 => {
            let length = (packet.len() - IPV6).min(usize::from(u16::MAX)) as u16;
            packet[4..6].copy_from_slice(&length.to_be_bytes());
        }
        Some(_) | None => {}
    }
    packet
}

/// [`with_right_header`], and the checksum of the ICMP message behind it right, too.
pub fn with_right_message(packet: &[u8]) -> Vec<u8> {
    let mut bytes = with_right_header(packet);
    let Ok(packet) = wire::Packet::parse(&bytes) else { return bytes };
    let (start, length) = (packet.header_length, packet.payload().len());
    let pseudo_header = match packet.protocol {
        Protocol::ICMP => 0,
        Protocol::ICMPV6 => {
            checksum::pseudo_header(packet.source.into(), packet.destination.into(), packet.protocol, length)
        }
        _ => return bytes,
    };
    if length >= wire::icmp::HEADER {
        set_checksum(&mut bytes[start..start + length], 2, pseudo_header);
    }
    bytes
}

/// Sets the checksum at `field` over all bytes and `more`.
pub fn set_checksum(bytes: &mut [u8], field: usize, more: u32) {
    bytes[field..field + 2].fill(0);
    let checksum = checksum::finish(checksum::sum(bytes, more));
    bytes[field..field + 2].copy_from_slice(&checksum.to_be_bytes());
}
