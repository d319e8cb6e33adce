//! The endpoint: all IKE SAs of this gateway, and which datagram belongs to which.
use crate::*;
use rand_core::CryptoRng;
use std::net::SocketAddr;
use std::time::Instant;

/// Time, randomness and SPIs.
pub struct Context<'a> {
    /// The current time.
    pub now: Instant,
    /// The random source.
    pub rng: &'a mut dyn CryptoRng,
    /// Where inbound ESP SPIs come from.
    pub spis: &'a mut dyn SpiAllocator,
}

/// Endpoint.
#[derive(Default)]
pub struct Endpoint {}

#[allow(unused_variables, missing_docs)]
impl Endpoint {
    pub fn new() -> Self {
        Self::default()
    }
    pub fn configure(
        &mut self,
        tunnel: TunnelId,
        config: TunnelConfig,
        ctx: &mut Context<'_>,
    ) -> Result<(), ConfigError> {
        config.check()
    }
    pub fn remove(&mut self, tunnel: TunnelId, ctx: &mut Context<'_>) {}
    pub fn initiate(&mut self, tunnel: TunnelId, ctx: &mut Context<'_>) {}
    pub fn set_admin(&mut self, tunnel: TunnelId, admin: Admin, ctx: &mut Context<'_>) {}
    pub fn terminate(&mut self, tunnel: TunnelId, reason: DownReason, ctx: &mut Context<'_>) {}
    pub fn shutdown(&mut self, ctx: &mut Context<'_>) {}
    pub fn handle_datagram(
        &mut self,
        local: SocketAddr,
        remote: SocketAddr,
        datagram: &[u8],
        ctx: &mut Context<'_>,
    ) {
    }
    pub fn handle_timeout(&mut self, ctx: &mut Context<'_>) {}
    pub fn note_inbound_traffic(&mut self, tunnel: TunnelId, now: Instant) {}
    pub fn poll_action(&mut self) -> Option<Action> {
        None
    }
    pub fn next_timeout(&self) -> Option<Instant> {
        None
    }
    pub fn status(&self, tunnel: TunnelId) -> Option<TunnelStatus> {
        None
    }
    pub fn tunnels(&self) -> impl Iterator<Item = TunnelId> + '_ {
        std::iter::empty()
    }
    pub fn counters(&self) -> EndpointCounters {
        EndpointCounters::default()
    }
}
