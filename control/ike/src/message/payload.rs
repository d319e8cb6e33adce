//! The payloads of one message (RFC 7296 §3.2), sorted by what they are.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::reader::Reader;
use super::{Notify, ParseError, Proposal, kind, protocol};
use crate::config::MAX_SELECTORS;
use crate::selector::TrafficSelector;

/// Everything a message holds that means something to us. The rest is skipped.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Payloads<'a> {
    pub(crate) proposals: Option<Vec<Proposal>>,
    /// The group's number and the public value.
    pub(crate) key_exchange: Option<(u16, &'a [u8])>,
    pub(crate) nonce: Option<&'a [u8]>,
    /// The whole body of IDi, as AUTH covers it.
    pub(crate) id_initiator: Option<&'a [u8]>,
    /// The whole body of IDr.
    pub(crate) id_responder: Option<&'a [u8]>,
    /// The method and the proof.
    pub(crate) auth: Option<(u8, &'a [u8])>,
    /// X.509 certificates, that of the peer itself first (RFC 7296 §3.6).
    pub(crate) certificates: Vec<&'a [u8]>,
    /// Which authorities X.509 certificates are asked for from: their keys' SHA-1 hashes (RFC 7296 §3.7).
    pub(crate) certificate_requests: Vec<&'a [u8]>,
    pub(crate) selectors_initiator: Option<Vec<TrafficSelector>>,
    pub(crate) selectors_responder: Option<Vec<TrafficSelector>>,
    pub(crate) notifies: Vec<Notify<'a>>,
    pub(crate) deletes: Vec<Delete>,
    pub(crate) encrypted: Option<Encrypted<'a>>,
    /// The first payload that is critical and not known.
    pub(crate) unknown_critical: Option<u8>,
}

/// A Delete payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Delete {
    Ike,
    Esp(Vec<u32>),
    Other,
}

/// An SK payload, still closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Encrypted<'a> {
    /// The type of the first payload inside.
    pub(crate) first: u8,
    /// Of a fragment its number and their count (RFC 7383 §2.5); `None` if it is the whole message.
    pub(crate) fragment: Option<(u16, u16)>,
    /// IV, ciphertext, check value.
    pub(crate) body: &'a [u8],
}

impl<'a> Payloads<'a> {
    /// Reads a chain that begins with a payload of type `first` and fills `bytes` exactly.
    pub(crate) fn parse(first: u8, bytes: &'a [u8]) -> Result<Self, ParseError> {
        let mut found = Self::default();
        let mut reader = Reader::new(bytes);
        let mut current = first;
        for _ in 0..MAX_PAYLOADS {
            if current == kind::NONE {
                return if reader.is_empty() { Ok(found) } else { Err(ParseError::Length) };
            }
            let next = reader.u8()?;
            let critical = reader.u8()? & 0x80 != 0;
            let length = usize::from(reader.u16()?).checked_sub(4).ok_or(ParseError::Length)?;
            let body = reader.take(length)?;
            if current == kind::ENCRYPTED {
                // RFC 7296 §3.14: the SK payload is the last one; its "next payload" is the first inside.
                found.encrypted = Some(Encrypted { first: next, fragment: None, body });
                return if reader.is_empty() { Ok(found) } else { Err(ParseError::Length) };
            }
            if current == kind::ENCRYPTED_FRAGMENT {
                let mut inner = Reader::new(body);
                let (number, count) = (inner.u16()?, inner.u16()?);
                if number == 0 || number > count {
                    return Err(ParseError::Illegal(current));
                }
                let fragment = Some((number, count));
                found.encrypted = Some(Encrypted { first: next, fragment, body: inner.rest() });
                return if reader.is_empty() { Ok(found) } else { Err(ParseError::Length) };
            }
            found.sort(current, critical, body)?;
            current = next;
        }
        Err(ParseError::TooMany)
    }

    /// The first notification of this type.
    pub(crate) fn notify(&self, kind: u16) -> Option<&Notify<'a>> {
        self.notifies.iter().find(|n| n.kind == kind)
    }

    /// The first notification that reports an error.
    pub(crate) fn error(&self) -> Option<&Notify<'a>> {
        self.notifies.iter().find(|n| n.is_error())
    }

    fn sort(&mut self, current: u8, critical: bool, body: &'a [u8]) -> Result<(), ParseError> {
        let again = ParseError::Duplicate(current);
        match current {
            kind::SA => once(&mut self.proposals, Proposal::parse_all(body)?, again),
            kind::KE => {
                let mut reader = Reader::new(body);
                let group = reader.u16()?;
                let _reserved = reader.u16()?;
                once(&mut self.key_exchange, (group, reader.rest()), again)
            }
            kind::NONCE => {
                // RFC 7296 §3.9: 16 to 256 bytes.
                if !(16..=256).contains(&body.len()) {
                    return Err(ParseError::Illegal(kind::NONCE));
                }
                once(&mut self.nonce, body, again)
            }
            kind::ID_I => once(&mut self.id_initiator, identity(current, body)?, again),
            kind::ID_R => once(&mut self.id_responder, identity(current, body)?, again),
            kind::AUTH => {
                let mut reader = Reader::new(body);
                let method = reader.u8()?;
                reader.take(3)?;
                once(&mut self.auth, (method, reader.rest()), again)
            }
            kind::TS_I => once(&mut self.selectors_initiator, selectors(current, body)?, again),
            kind::TS_R => once(&mut self.selectors_responder, selectors(current, body)?, again),
            kind::NOTIFY => {
                self.notifies.push(Notify::parse(body)?);
                Ok(())
            }
            kind::DELETE => {
                self.deletes.push(delete(body)?);
                Ok(())
            }
            kind::CERTIFICATE | kind::CERTIFICATE_REQUEST => self.sort_certificate(current, body),
            // RFC 7296 §2.5: the critical bit of payloads defined there is ignored. These mean nothing to us.
            kind::VENDOR_ID | kind::CONFIGURATION | kind::EAP => Ok(()),
            unknown => {
                if critical && self.unknown_critical.is_none() {
                    self.unknown_critical = Some(unknown);
                }
                Ok(())
            }
        }
    }

    /// RFC 7296 §3.6, §3.7: the encoding, then certificate or authorities. Other encodings mean nothing to us.
    fn sort_certificate(&mut self, current: u8, body: &'a [u8]) -> Result<(), ParseError> {
        let (encoding, data) = body.split_first().ok_or(ParseError::Truncated)?;
        if *encoding != X509_SIGNATURE {
            return Ok(());
        }
        let (found, most) = if current == kind::CERTIFICATE {
            (&mut self.certificates, MAX_CERTIFICATES)
        } else {
            (&mut self.certificate_requests, MAX_CERTIFICATE_REQUESTS)
        };
        if found.len() == most {
            return Err(ParseError::TooMany);
        }
        found.push(data);
        Ok(())
    }
}

fn once<T>(slot: &mut Option<T>, value: T, again: ParseError) -> Result<(), ParseError> {
    if slot.replace(value).is_some() { Err(again) } else { Ok(()) }
}

/// RFC 7296 §3.5: type, three reserved bytes, data.
fn identity(current: u8, body: &[u8]) -> Result<&[u8], ParseError> {
    if body.len() < 4 { Err(ParseError::Illegal(current)) } else { Ok(body) }
}

/// RFC 7296 §3.13. Selectors of unknown types, and ranges that cannot be, are skipped: they select nothing.
fn selectors(current: u8, body: &[u8]) -> Result<Vec<TrafficSelector>, ParseError> {
    let mut reader = Reader::new(body);
    let count = reader.u8()?;
    reader.take(3)?;
    let mut found = Vec::new();
    for _ in 0..count {
        let kind = reader.u8()?;
        let protocol = reader.u8()?;
        let length = usize::from(reader.u16()?).checked_sub(4).ok_or(ParseError::Length)?;
        let mut inner = Reader::new(reader.take(length)?);
        let expected = match kind {
            7 => 12,
            8 => 36,
            _ => continue,
        };
        if inner.len() != expected {
            return Err(ParseError::Illegal(current));
        }
        let ports = (inner.u16()?, inner.u16()?);
        let mut address = || -> Result<IpAddr, ParseError> {
            Ok(if kind == 7 {
                Ipv4Addr::from(inner.array::<4>()?).into()
            } else {
                Ipv6Addr::from(inner.array::<16>()?).into()
            })
        };
        let (start, end) = (address()?, address()?);
        if let Ok(selector) = TrafficSelector::new(start, end, protocol, ports)
            && found.len() < MAX_SELECTORS
        {
            found.push(selector);
        }
    }
    if reader.is_empty() { Ok(found) } else { Err(ParseError::Length) }
}

/// RFC 7296 §3.11.
fn delete(body: &[u8]) -> Result<Delete, ParseError> {
    let mut reader = Reader::new(body);
    let protocol = reader.u8()?;
    let spi_bytes = reader.u8()?;
    let count = usize::from(reader.u16()?);
    if reader.len() != usize::from(spi_bytes) * count {
        return Err(ParseError::Length);
    }
    match (protocol, spi_bytes) {
        (protocol::IKE, 0) => Ok(Delete::Ike),
        (protocol::ESP, 4) => (0..count).map(|_| reader.u32()).collect::<Result<_, _>>().map(Delete::Esp),
        (protocol::IKE | protocol::ESP, _) => Err(ParseError::Illegal(kind::DELETE)),
        _ => Ok(Delete::Other),
    }
}

const MAX_PAYLOADS: usize = 64;
/// More certificates than a chain can use here.
const MAX_CERTIFICATES: usize = 8;
const MAX_CERTIFICATE_REQUESTS: usize = 8;
/// RFC 7296 §3.6: X.509 Certificate - Signature.
pub(crate) const X509_SIGNATURE: u8 = 4;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hex::hex;
    use crate::message::{ENCR, ESN, Transform};

    // What scapy writes: tests/oracle/generate.py, inside_ike_auth().
    #[test]
    fn scapys_ike_auth() {
        let bytes = hex(include_str!("../../tests/vectors/scapy-ike-auth.txt"));
        let found = Payloads::parse(kind::ID_I, &bytes).unwrap();
        assert_eq!(found.id_initiator.unwrap(), b"\x02\0\0\0idc.example");
        assert_eq!(found.id_responder.unwrap(), [1, 0, 0, 0, 203, 0, 113, 1]);
        let proof: Vec<u8> = (0..32).collect();
        assert_eq!(found.auth, Some((2, proof.as_slice())));
        let proposals = found.proposals.as_ref().unwrap();
        assert_eq!(proposals.len(), 1);
        assert_eq!(proposals[0].spi, [0xc0, 0xff, 0xee, 0x01]);
        assert_eq!(
            proposals[0].transforms,
            [Transform::cipher(20, Some(128)), Transform::cipher(20, Some(256)), Transform::plain(ESN, 0)]
        );
        assert_eq!(proposals[0].transforms[0].kind, ENCR);
        let prefix = |text: &str| TrafficSelector::prefix(text.parse().unwrap(), 16).unwrap();
        assert_eq!(found.selectors_initiator.as_deref(), Some(&[prefix("10.2.0.0")][..]));
        let responder = found.selectors_responder.as_ref().unwrap();
        assert_eq!(responder[0], prefix("10.1.0.0"));
        assert_eq!(responder[1].to_string(), "10.3.0.7-10.3.0.9");
        let kinds: Vec<u16> = found.notifies.iter().map(|n| n.kind).collect();
        assert_eq!(kinds, [16384, 16396, 16397, 16417, 16420]);
        assert_eq!(found.error(), None);
    }

    #[test]
    fn lengths_are_checked() {
        let truncated = Payloads::parse(kind::NONCE, &[0, 0, 0, 20, 1, 2, 3]);
        assert_eq!(truncated, Err(ParseError::Truncated));
        assert_eq!(Payloads::parse(kind::NONCE, &[0, 0, 0, 3]), Err(ParseError::Length));
        let short = [&[0u8, 0, 0, 8][..], &[0; 4]].concat();
        assert_eq!(Payloads::parse(kind::NONCE, &short), Err(ParseError::Illegal(kind::NONCE)));
        let trailing = [&[0u8, 0, 0, 20][..], &[0; 17]].concat();
        assert_eq!(Payloads::parse(kind::NONCE, &trailing), Err(ParseError::Length));
        let nonce = [&[kind::NONCE, 0, 0, 20][..], &[0; 16], &[0, 0, 0, 20], &[0; 16]].concat();
        assert_eq!(Payloads::parse(kind::NONCE, &nonce), Err(ParseError::Duplicate(kind::NONCE)));
        let many = [&[43u8, 0, 0, 4][..]].repeat(100).concat();
        assert_eq!(Payloads::parse(43, &many), Err(ParseError::TooMany));
    }

    #[test]
    fn critical_unknown_payloads_are_found_and_others_skipped() {
        let unknown = |critical: u8| vec![0, critical, 0, 5, 9];
        assert_eq!(Payloads::parse(200, &unknown(0x80)).unwrap().unknown_critical, Some(200));
        assert_eq!(Payloads::parse(200, &unknown(0)).unwrap().unknown_critical, None);
        // RFC 7296 §2.5: the bit means nothing on payloads defined there, such as a certificate.
        assert_eq!(Payloads::parse(37, &unknown(0x80)).unwrap().unknown_critical, None);
    }
}
