//! The tunnels: which addresses each has, and how either end is configured.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use ::ike::{
    Admin, Authentication, EspCipher, EspProposal, Identity, Retry, SpiAllocator, Startup, TrafficSelector,
    TunnelConfig, TunnelId,
};
use anyhow::Result;

use super::method::{Method, Proof};
use crate::namespace::{INTERFACE, Namespace};

/// Addresses of each end. A tunnel has a pair of them for itself, and neighbours in number share neither: so few sockets
/// carry many tunnels, and no address looks like one that floods.
const ADDRESSES: u32 = 128;
/// Longer than any run.
const FOREVER: Duration = Duration::from_secs(86_400);

/// Gives the initiators' namespace and the responder's their addresses: charon takes IKE's ports at all that it finds, so the
/// initiators need others.
pub fn set_up([initiators, responder]: [&Namespace; 2]) -> Result<()> {
    for (namespace, end) in [(initiators, End::Initiator), (responder, End::Responder)] {
        namespace.ip(&["address", "add", end.first_address(), "dev", INTERFACE])?;
        // All the others without naming each.
        namespace.ip(&["route", "add", "local", end.addresses_prefix(), "dev", "lo"])?;
    }
    Ok(())
}

/// One end of every tunnel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Initiator,
    Responder,
}

impl End {
    /// All its addresses.
    pub fn addresses(self) -> impl Iterator<Item = IpAddr> {
        (0..ADDRESSES).map(move |number| self.address(number))
    }

    /// The first of them, with the length of the prefix that both ends' addresses are in.
    pub fn first_address(self) -> &'static str {
        match self {
            Self::Initiator => "10.66.0.1/15",
            Self::Responder => "10.67.0.1/15",
        }
    }

    /// A prefix that all of them are in, and none of the other end's.
    pub fn addresses_prefix(self) -> &'static str {
        match self {
            Self::Initiator => "10.66.0.0/16",
            Self::Responder => "10.67.0.0/16",
        }
    }

    /// Its networks, as strongSwan is told of them.
    pub fn network(self) -> &'static str {
        match self {
            Self::Initiator => "10.2.0.0/16",
            Self::Responder => "10.1.0.0/16",
        }
    }

    /// What it knows of a tunnel. It waits to be told to begin, and says nothing that is not part of the handshake.
    ///
    /// # Errors
    /// None: the selectors are sound.
    pub fn config(self, method: Method, number: u32, authentication: &Authentication) -> Result<TunnelConfig> {
        let initiator = Self::Initiator.address(number % ADDRESSES);
        let responder = Self::Responder.address((number / ADDRESSES + number) % ADDRESSES);
        let (local, remote) = match self {
            Self::Initiator => (initiator, responder),
            Self::Responder => (responder, initiator),
        };
        let (local_id, remote_id) = match method.proof() {
            Proof::Psk => (Identity::Address(local), Identity::Address(remote)),
            Proof::Rsa2048 => (self.identity(), self.other().identity()),
        };
        Ok(TunnelConfig {
            local,
            remote,
            local_id,
            remote_id,
            authentication: authentication.clone(),
            ppk: None,
            admin: Admin::Up,
            startup: Startup::Respond,
            ike: method.proposal(),
            esp: EspProposal {
                encryption: vec![EspCipher::Aes128Gcm16],
                integrity: Vec::new(),
                key_exchange: Vec::new(),
                additional_key_exchange: Vec::new(),
                esn: false,
            },
            local_selectors: vec![self.selector()?],
            remote_selectors: vec![self.other().selector()?],
            resources: 1,
            force_encapsulation: false,
            mobike: false,
            redirects: Vec::new(),
            liveness: None,
            ike_lifetime: FOREVER,
            child_lifetime: FOREVER,
            retry: Retry::default(),
        })
    }

    fn other(self) -> Self {
        match self {
            Self::Initiator => Self::Responder,
            Self::Responder => Self::Initiator,
        }
    }

    fn address(self, number: u32) -> IpAddr {
        let net = match self {
            Self::Initiator => Ipv4Addr::new(10, 66, 0, 1),
            Self::Responder => Ipv4Addr::new(10, 67, 0, 1),
        };
        Ipv4Addr::from(u32::from(net) + number).into()
    }

    fn selector(self) -> Result<TrafficSelector> {
        let second = match self {
            Self::Initiator => 2,
            Self::Responder => 1,
        };
        Ok(TrafficSelector::prefix(Ipv4Addr::new(10, second, 0, 0).into(), 16)?)
    }
}

/// SPIs in a row.
#[derive(Debug, Default)]
pub struct Spis(u32);

impl SpiAllocator for Spis {
    fn allocate(&mut self, _: TunnelId) -> Option<u32> {
        self.0 += 1;
        // RFC 4303 §2.1: those up to 255 are reserved.
        Some(self.0 + 255)
    }

    fn release(&mut self, _: TunnelId, _: u32) {}
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_tunnel_has_a_pair_of_addresses_that_both_ends_agree_on() {
        let most = ADDRESSES * ADDRESSES;
        let mut pairs = BTreeSet::new();
        let secret = End::Initiator.authentication(Proof::Psk).unwrap();
        for number in 0..most {
            let of = |end: End| end.config(Method::PskX25519, number, &secret).unwrap();
            let (initiator, responder) = (of(End::Initiator), of(End::Responder));
            assert_eq!((initiator.local, initiator.remote), (responder.remote, responder.local));
            assert_eq!(initiator.local_selectors, responder.remote_selectors);
            pairs.insert((initiator.local, initiator.remote));
        }
        assert_eq!(pairs.len(), most as usize);
        assert!(pairs.iter().all(|(local, _)| End::Initiator.addresses().any(|address| address == *local)));
    }
}
