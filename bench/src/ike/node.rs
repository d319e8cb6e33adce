//! Bordergate's IKE behind UDP sockets, on one thread, as the daemon runs it behind its rings.

use std::time::{Duration, Instant};

use ::ike::{Action, Context, Endpoint, TunnelId};
use anyhow::Result;

use super::credentials::unix_time;
use super::method::Method;
use super::sockets::Sockets;
use super::tunnels::{End, Spis};

/// The longest wait for a datagram.
const PATIENCE: Duration = Duration::from_millis(100);

/// One end of all tunnels.
pub struct Node {
    end: End,
    endpoint: Endpoint,
    sockets: Sockets,
    spis: Spis,
}

impl Node {
    /// A node without tunnels, at all of its end's addresses.
    pub fn open(end: End) -> Result<Self> {
        let sockets = Sockets::open(end.addresses())?;
        Ok(Self { end, endpoint: Endpoint::new(), sockets, spis: Spis::default() })
    }

    /// Learns of so many tunnels.
    pub fn configure(&mut self, method: Method, tunnels: u32) -> Result<()> {
        let mut random = rand::rng();
        let authentication = self.end.authentication(method.proof())?;
        for number in 0..tunnels {
            let config = self.end.config(method, number, &authentication)?;
            let mut context =
                Context { now: Instant::now(), unix_time: unix_time(), rng: &mut random, spis: &mut self.spis };
            self.endpoint.configure(TunnelId(number), config, &mut context)?;
        }
        Ok(())
    }

    /// Begins with a tunnel.
    pub fn initiate(&mut self, number: u32) -> Result<()> {
        let Self { endpoint, sockets, spis, .. } = self;
        let mut random = rand::rng();
        endpoint.initiate(
            TunnelId(number),
            &mut Context { now: Instant::now(), unix_time: unix_time(), rng: &mut random, spis },
        );
        perform(endpoint, sockets, &mut |_| Ok(()))
    }

    /// Waits for datagrams, and does what they and the time ask for. What is not for the network is noted.
    pub fn turn(&mut self, note: &mut dyn FnMut(Action) -> Result<()>) -> Result<()> {
        let Self { endpoint, sockets, spis, .. } = self;
        let due = endpoint.next_timeout().map(|due| due.saturating_duration_since(Instant::now()));
        sockets.receive(due.map_or(PATIENCE, |due| due.min(PATIENCE)), |sockets, local, remote, message| {
            let mut random = rand::rng();
            let mut context = Context { now: Instant::now(), unix_time: unix_time(), rng: &mut random, spis };
            endpoint.handle_datagram(local, remote, message, &mut context);
            perform(endpoint, sockets, note)
        })?;
        let now = Instant::now();
        if endpoint.next_timeout().is_some_and(|due| due <= now) {
            endpoint.handle_timeout(&mut Context { now, unix_time: unix_time(), rng: &mut rand::rng(), spis });
            perform(endpoint, sockets, note)?;
        }
        Ok(())
    }

    /// Messages that were sent more than once, of all tunnels.
    pub fn retransmitted(&self) -> u64 {
        let statuses = self.endpoint.tunnels().filter_map(|tunnel| self.endpoint.status(tunnel));
        statuses.map(|status| status.counters.retransmitted).sum()
    }
}

fn perform(endpoint: &mut Endpoint, sockets: &Sockets, note: &mut dyn FnMut(Action) -> Result<()>) -> Result<()> {
    while let Some(action) = endpoint.poll_action() {
        match action {
            Action::Transmit { local, remote, datagram } => sockets.send(local, remote, &datagram)?,
            other => note(other)?,
        }
    }
    Ok(())
}
