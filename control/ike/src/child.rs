//! The child SA as the dataplane installs it.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use zeroize::Zeroizing;

use crate::algorithm::{EspCipher, Integrity};
use crate::config::TunnelId;
use crate::selector::TrafficSelector;

/// A pair of ESP SAs, one for each direction, complete with keys.
#[derive(Clone, Debug, PartialEq)]
pub struct ChildSa {
    /// The tunnel it belongs to.
    pub tunnel: TunnelId,
    /// The SPI in packets we receive; from [`SpiAllocator::allocate`].
    pub inbound_spi: u32,
    /// The SPI in packets we send; the peer's choice.
    pub outbound_spi: u32,
    /// The cipher of both directions.
    pub cipher: EspCipher,
    /// The integrity algorithm of both directions; `None` with an AEAD.
    pub integrity: Option<Integrity>,
    /// Opens what we receive.
    pub inbound_key: EspKey,
    /// Seals what we send.
    pub outbound_key: EspKey,
    /// Extended sequence numbers, in both directions.
    pub esn: bool,
    /// Our outer address.
    pub local: IpAddr,
    /// The peer's outer address.
    pub remote: IpAddr,
    /// The UDP ports ESP goes over (RFC 3948); `None` is plain ESP, protocol 50.
    pub encapsulation: Option<UdpEncapsulation>,
    /// What may come out of our network.
    pub local_selectors: Vec<TrafficSelector>,
    /// What may come out of the peer's network.
    pub remote_selectors: Vec<TrafficSelector>,
    /// Of the children with the same selectors: 0 for the one that all cores may use, another number for one that was
    /// made for a core (RFC 9611). A child that takes another's place has its number.
    pub resource: u16,
    /// How long it may be used. The machine removes it by itself when the time is over.
    pub lifetime: Duration,
}

/// The outer UDP header's ports, as seen from us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UdpEncapsulation {
    /// Ours, 4500.
    pub local_port: u16,
    /// The peer's, or that of the NAT before it.
    pub remote_port: u16,
}

/// One direction's keys and salt: wiped when dropped, never formatted.
#[derive(Clone, PartialEq, Eq)]
pub struct EspKey {
    key: Zeroizing<Vec<u8>>,
    /// Where in `key` the integrity key begins.
    integrity_at: usize,
    salt: Zeroizing<[u8; 4]>,
}

impl EspKey {
    /// From one direction's share of KEYMAT. RFC 7296 §2.17: the cipher's key, then that of the integrity
    /// algorithm; RFC 4106 §8.1: an AEAD's salt is the end of its key.
    pub(crate) fn from_material(material: &[u8], cipher: EspCipher) -> Self {
        let (key, salt) = match material.split_last_chunk::<4>() {
            Some((key, salt)) if cipher.is_aead() => (key, *salt),
            _ => (material, [0; 4]),
        };
        let integrity_at = cipher.key_bytes().min(key.len());
        Self { key: Zeroizing::new(key.to_vec()), integrity_at, salt: Zeroizing::new(salt) }
    }

    /// The cipher's key, and behind it that of the integrity algorithm where there is one.
    pub fn key(&self) -> &[u8] {
        &self.key
    }

    /// The cipher's key alone.
    pub fn encryption(&self) -> &[u8] {
        self.key.get(..self.integrity_at).unwrap_or_default()
    }

    /// The integrity algorithm's key; empty with an AEAD.
    pub fn integrity(&self) -> &[u8] {
        self.key.get(self.integrity_at..).unwrap_or_default()
    }

    /// The salt: the first four bytes of every nonce of an AEAD (RFC 4106 §4, RFC 7634 §2); zeros with CBC.
    pub fn salt(&self) -> &[u8; 4] {
        &self.salt
    }
}

impl fmt::Debug for EspKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EspKey({} bits, redacted)", self.integrity_at * 8)
    }
}

/// Hands out inbound SPIs. The owner of the dataplane chooses them, as their bits lead to the SA's slot.
pub trait SpiAllocator {
    /// A fresh SPI, above 255 (RFC 4303 §2.1), or `None` if there is no room for another SA.
    fn allocate(&mut self, tunnel: TunnelId) -> Option<u32>;

    /// Takes back an SPI that was never installed. An installed one is free again when the
    /// caller has carried out its [`crate::Action::RemoveChild`]; `release` is not called for it.
    fn release(&mut self, tunnel: TunnelId, spi: u32);
}
