//! The packet that an error is about, as far as it is quoted.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use zerocopy::FromBytes;

use crate::esp::Encapsulated;
use crate::ip::extension::Upper;
use crate::udp::NAT_TRAVERSAL_PORT;
use crate::{Ipv4Header, Ipv6Header, Protocol, esp, udp};

/// The start of a packet: its headers, and at least eight bytes (RFC 792) of what follows them, if it has so many.
///
/// Neither its lengths nor its checksums are checked: it is cut, and routers may have changed it before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quote<'a> {
    /// Source address: whoever sent it is told.
    pub source: IpAddr,
    /// Destination address.
    pub destination: IpAddr,
    /// Bytes of the whole packet, as its IP header says.
    pub length: usize,
    /// What follows the headers, as in [`crate::Packet::protocol`].
    pub protocol: Protocol,
    /// What is left behind the headers; of a fragment other than the first, nothing.
    pub payload: &'a [u8],
}

impl<'a> Quote<'a> {
    /// `None` where the bytes end within the headers.
    pub(super) fn parse(bytes: &'a [u8]) -> Option<Self> {
        match bytes.first()? >> 4 {
            4 => {
                let (header, _) = Ipv4Header::ref_from_prefix(bytes).ok()?;
                let length = usize::from(header.version_length & 0x0f) * 4;
                let payload = bytes.get(length.max(Ipv4Header::LENGTH)..)?;
                let is_first = header.fragment.get() & Ipv4Header::FRAGMENT_OFFSET == 0;
                Some(Self {
                    source: IpAddr::V4(Ipv4Addr::from(header.source)),
                    destination: IpAddr::V4(Ipv4Addr::from(header.destination)),
                    length: usize::from(header.total_length.get()),
                    protocol: Protocol(header.protocol),
                    payload: if is_first { payload } else { &[] },
                })
            }
            6 => {
                let (header, _) = Ipv6Header::ref_from_prefix(bytes).ok()?;
                let upper = Upper::find(bytes, header.next_header)?;
                let is_first = upper.fragment.is_none_or(|fragment| fragment.offset == 0);
                Some(Self {
                    source: IpAddr::V6(Ipv6Addr::from(header.source)),
                    destination: IpAddr::V6(Ipv6Addr::from(header.destination)),
                    length: Ipv6Header::LENGTH + usize::from(header.payload_length.get()),
                    protocol: upper.protocol,
                    payload: if is_first { bytes.get(upper.offset..)? } else { &[] },
                })
            }
            _ => None,
        }
    }

    /// Source and destination port of TCP and UDP.
    #[must_use]
    pub fn ports(&self) -> Option<(u16, u16)> {
        match (self.protocol, self.payload) {
            (Protocol::TCP | Protocol::UDP, [a, b, c, d, ..]) => {
                Some((u16::from_be_bytes([*a, *b]), u16::from_be_bytes([*c, *d])))
            }
            (_, _) => None,
        }
    }

    /// The index and the low half of the sequence number of an ESP packet, encapsulated in UDP or not (RFC 3948 §2.1).
    /// `None` where it is none, or is cut before them: of ESP in UDP, no more than the ports may be left.
    #[must_use]
    pub fn esp(&self) -> Option<(u32, u32)> {
        if self.protocol == Protocol::ESP {
            return esp::header(self.payload);
        }
        let (source, destination) = self.ports().filter(|_| self.protocol == Protocol::UDP)?;
        if source != NAT_TRAVERSAL_PORT && destination != NAT_TRAVERSAL_PORT {
            return None;
        }
        match Encapsulated::parse(self.payload.get(udp::HEADER..)?) {
            Encapsulated::Esp(packet) => esp::header(packet),
            Encapsulated::Ike(_) | Encapsulated::Keepalive => None,
        }
    }
}
