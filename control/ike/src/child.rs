//! The child SA as the dataplane installs it.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use zeroize::Zeroizing;

use crate::algorithm::EspCipher;
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

/// One direction's key and salt: wiped when dropped, never formatted.
#[derive(Clone, PartialEq, Eq)]
pub struct EspKey {
    key: Zeroizing<Vec<u8>>,
    salt: Zeroizing<[u8; 4]>,
}

impl EspKey {
    pub(crate) fn new(key: &[u8], salt: [u8; 4]) -> Self {
        Self { key: Zeroizing::new(key.to_vec()), salt: Zeroizing::new(salt) }
    }

    /// The AES key: 16, 24 or 32 bytes.
    pub fn key(&self) -> &[u8] {
        &self.key
    }

    /// The salt: the first four bytes of every nonce (RFC 4106 §4).
    pub fn salt(&self) -> &[u8; 4] {
        &self.salt
    }
}

impl fmt::Debug for EspKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EspKey({} bits, redacted)", self.key.len() * 8)
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
