//! UDP (RFC 768).

use crate::Malformed;

/// The port of IKE (RFC 7296 §2).
pub const IKE_PORT: u16 = 500;
/// The port of IKE and ESP behind a NAT (RFC 3948).
pub const NAT_TRAVERSAL_PORT: u16 = 4500;
/// Bytes of a UDP header.
pub const HEADER: usize = 8;

/// A UDP datagram's ports and payload.
///
/// The checksum is not looked at: RFC 3948 §2.1 tells receivers of UDP-encapsulated ESP not to depend on it, IKE
/// authenticates its messages itself, and virtual interfaces hand over frames whose checksum is not filled in yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Datagram<'a> {
    /// Source port.
    pub source: u16,
    /// Destination port.
    pub destination: u16,
    /// What follows the header, to the length that it names.
    pub payload: &'a [u8],
}

impl<'a> Datagram<'a> {
    /// # Errors
    /// [`Malformed::Udp`] where the bytes end before the header or before the length it names.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let (header, _) = bytes.split_first_chunk::<HEADER>().ok_or(Malformed::Udp)?;
        let [s0, s1, d0, d1, l0, l1, _, _] = *header;
        let length = usize::from(u16::from_be_bytes([l0, l1]));
        Ok(Self {
            source: u16::from_be_bytes([s0, s1]),
            destination: u16::from_be_bytes([d0, d1]),
            payload: bytes.get(HEADER..length).ok_or(Malformed::Udp)?,
        })
    }
}

/// A UDP header for a payload of `length` bytes, its checksum zero: allowed over IPv4 (RFC 768) and required of
/// UDP-encapsulated ESP (RFC 3948 §2.1).
#[must_use]
pub fn header(source: u16, destination: u16, length: u16) -> [u8; HEADER] {
    let [s0, s1] = source.to_be_bytes();
    let [d0, d1] = destination.to_be_bytes();
    let [l0, l1] = (length + HEADER as u16).to_be_bytes();
    [s0, s1, d0, d1, l0, l1, 0, 0]
}
