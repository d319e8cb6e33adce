//! A chain of payloads being written.

use std::net::IpAddr;

use zeroize::Zeroizing;

use super::{HEADER_BYTES, Header, Proposal, X509_SIGNATURE, kind, protocol};
use crate::selector::TrafficSelector;

/// Payloads in the order in which they were added.
#[derive(Clone, Debug, Default)]
pub(crate) struct Chain {
    first: u8,
    last: Option<usize>,
    bytes: Zeroizing<Vec<u8>>,
}

impl Chain {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Adds one payload.
    pub(crate) fn push(&mut self, kind: u8, body: &[u8]) {
        match self.last.and_then(|at| self.bytes.get_mut(at)) {
            Some(next) => *next = kind,
            None => self.first = kind,
        }
        self.last = Some(self.bytes.len());
        let length = (body.len() + 4) as u16;
        self.bytes.extend_from_slice(&[kind::NONE, 0]);
        self.bytes.extend_from_slice(&length.to_be_bytes());
        self.bytes.extend_from_slice(body);
    }

    /// Adds a payload that the peer must understand.
    #[cfg(test)]
    pub(crate) fn push_critical(&mut self, kind: u8, body: &[u8]) {
        self.push(kind, body);
        let at = self.last.unwrap_or(0) + 1;
        self.bytes[at] = 0x80;
    }

    /// Adds an SA payload.
    pub(crate) fn push_proposals(&mut self, proposals: &[Proposal]) {
        let mut body = Vec::new();
        for (index, proposal) in proposals.iter().enumerate() {
            proposal.write(index + 1 == proposals.len(), &mut body);
        }
        self.push(kind::SA, &body);
    }

    /// Adds a key exchange payload.
    pub(crate) fn push_key_exchange(&mut self, group: u16, public: &[u8]) {
        let mut body = group.to_be_bytes().to_vec();
        body.extend_from_slice(&[0, 0]);
        body.extend_from_slice(public);
        self.push(kind::KE, &body);
    }

    /// Adds a Notify payload about the IKE SA as a whole.
    pub(crate) fn push_notify(&mut self, notify: u16, data: &[u8]) {
        self.push_notify_about(protocol::NONE, &[], notify, data);
    }

    /// Adds a Notify payload about the SA with this SPI.
    pub(crate) fn push_notify_about(&mut self, protocol: u8, spi: &[u8], notify: u16, data: &[u8]) {
        let mut body = vec![protocol, spi.len() as u8];
        body.extend_from_slice(&notify.to_be_bytes());
        body.extend_from_slice(spi);
        body.extend_from_slice(data);
        self.push(kind::NOTIFY, &body);
    }

    /// Adds an AUTH payload.
    pub(crate) fn push_auth(&mut self, method: u8, proof: &[u8]) {
        let mut body = vec![method, 0, 0, 0];
        body.extend_from_slice(proof);
        self.push(kind::AUTH, &body);
    }

    /// Adds an X.509 certificate (RFC 7296 §3.6).
    pub(crate) fn push_certificate(&mut self, der: &[u8]) {
        self.push(kind::CERTIFICATE, &[&[X509_SIGNATURE], der].concat());
    }

    /// Adds a request for certificates from these authorities, by their keys' hashes (RFC 7296 §3.7).
    pub(crate) fn push_certificate_request(&mut self, hashes: &[u8]) {
        self.push(kind::CERTIFICATE_REQUEST, &[&[X509_SIGNATURE], hashes].concat());
    }

    /// Adds a Delete payload for the IKE SA that carries it.
    pub(crate) fn push_delete_ike(&mut self) {
        self.push(kind::DELETE, &[protocol::IKE, 0, 0, 0]);
    }

    /// Adds a Delete payload for one ESP SA: the SPI is the sender's inbound one.
    pub(crate) fn push_delete_esp(&mut self, spi: u32) {
        let mut body = vec![protocol::ESP, 4, 0, 1];
        body.extend_from_slice(&spi.to_be_bytes());
        self.push(kind::DELETE, &body);
    }

    /// The first payload's type.
    pub(crate) fn first(&self) -> u8 {
        self.first
    }

    /// The payloads' bytes.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// A whole message without protection.
    pub(crate) fn into_datagram(self, mut header: Header) -> Vec<u8> {
        header.next_payload = self.first;
        let length = HEADER_BYTES + self.bytes.len();
        let mut out = Vec::with_capacity(length);
        header.write(length, &mut out);
        out.extend_from_slice(&self.bytes);
        out
    }
}

impl TrafficSelector {
    fn write(&self, out: &mut Vec<u8>) {
        let (kind, length) = if self.start().is_ipv4() { (7u8, 16u16) } else { (8, 40) };
        out.extend_from_slice(&[kind, self.protocol()]);
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(&self.ports().0.to_be_bytes());
        out.extend_from_slice(&self.ports().1.to_be_bytes());
        for address in [self.start(), self.end()] {
            match address {
                IpAddr::V4(a) => out.extend_from_slice(&a.octets()),
                IpAddr::V6(a) => out.extend_from_slice(&a.octets()),
            }
        }
    }
}

/// The body of a TSi or TSr payload (RFC 7296 §3.13).
pub(crate) fn selectors_body(selectors: &[TrafficSelector]) -> Vec<u8> {
    let mut body = vec![selectors.len() as u8, 0, 0, 0];
    selectors.iter().for_each(|s| s.write(&mut body));
    body
}
