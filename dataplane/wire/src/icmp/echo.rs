//! Echo (RFC 792, RFC 4443 §4): answering those who ask.

use zerocopy::FromBytes;

use super::report::{is_group, is_one_host};
use super::{Outgoing, v4, v6};
use crate::{Ecn, Ipv4Header, Packet};

/// A request for an echo, its checksum found right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EchoRequest<'a> {
    pub(super) packet: Packet<'a>,
    /// Identifier and sequence number.
    pub(super) word: [u8; 4],
    pub(super) data: &'a [u8],
}

impl EchoRequest<'_> {
    /// Writes the reply as an IP packet and returns its length: from the address that was asked, with the same data and
    /// differentiated services (RFC 1812 §4.3.2.5).
    ///
    /// `None` where the buffer ends before it, where a group was asked (RFC 1812 §4.3.3.6 allows silence), or where the
    /// source is no one host.
    #[must_use]
    pub fn reply(&self, buffer: &mut [u8]) -> Option<usize> {
        let request = &self.packet;
        if is_group(request.destination.into()) || !is_one_host(request.source.into()) {
            return None;
        }
        let identification = match Ipv4Header::ref_from_prefix(request.bytes) {
            Ok((header, _)) if !request.dont_fragment => Some(header.identification.get()),
            Ok(_) | Err(_) => None,
        };
        let reply = Outgoing {
            source: request.destination.into(),
            destination: request.source.into(),
            traffic_class: Ecn::NotEct.on(request.traffic_class),
            identification,
            kind: if request.source.is_ipv4() { v4::ECHO_REPLY } else { v6::ECHO_REPLY },
            code: 0,
            word: self.word,
            data: self.data,
        };
        reply.write(buffer)
    }
}
