//! Both ends in memory: what a handshake takes without sockets, and of either end alone.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use ::ike::{Action, Context, Endpoint, TunnelId};
use anyhow::{Result, ensure};
use rand::rngs::ThreadRng;

use super::credentials::unix_time;
use super::method::Method;
use super::tunnels::{End, Spis};
use crate::process::Process;

/// What the handshakes of a round took at either end.
#[derive(Debug, Clone, Copy, Default)]
pub struct Split {
    pub initiator: Duration,
    pub responder: Duration,
}

/// One end.
struct Side {
    endpoint: Endpoint,
    spis: Spis,
    random: ThreadRng,
    took: Duration,
    up: u32,
}

/// Lets so many tunnels come up, one after the other.
///
/// # Errors
/// Where one of them does not.
pub fn handshakes(method: Method, tunnels: u32) -> Result<Split> {
    let (mut initiator, mut responder) =
        (Side::new(End::Initiator, method, tunnels)?, Side::new(End::Responder, method, tunnels)?);
    for number in 0..tunnels {
        let mut under_way = initiator.work(|endpoint, context| endpoint.initiate(TunnelId(number), context))?;
        let mut to_responder = true;
        while !under_way.is_empty() {
            let side = if to_responder { &mut responder } else { &mut initiator };
            let mut answers = Vec::new();
            for (from, to, message) in under_way {
                answers.extend(side.work(|endpoint, context| endpoint.handle_datagram(to, from, &message, context))?);
            }
            (under_way, to_responder) = (answers, !to_responder);
        }
    }
    ensure!(
        initiator.up == tunnels && responder.up == tunnels,
        "{} of {tunnels} tunnels came up at the initiator, {} at the responder",
        initiator.up,
        responder.up
    );
    Ok(Split { initiator: initiator.took, responder: responder.took })
}

impl Side {
    fn new(end: End, method: Method, tunnels: u32) -> Result<Self> {
        let mut side =
            Self { endpoint: Endpoint::new(), spis: Spis::default(), random: rand::rng(), took: Duration::ZERO, up: 0 };
        let authentication = end.authentication(method.proof())?;
        for number in 0..tunnels {
            let config = end.config(method, number, &authentication)?;
            let mut context =
                Context { now: Instant::now(), unix_time: unix_time(), rng: &mut side.random, spis: &mut side.spis };
            side.endpoint.configure(TunnelId(number), config, &mut context)?;
        }
        Ok(side)
    }

    /// Does something, with the time that it takes counted; gives the datagrams that come of it, without markers, which
    /// two ends that see each other's addresses have no use for.
    fn work(
        &mut self,
        tell: impl FnOnce(&mut Endpoint, &mut Context<'_>),
    ) -> Result<Vec<(SocketAddr, SocketAddr, Vec<u8>)>> {
        let mut sent = Vec::new();
        let began = Process::own_thread()?;
        let mut context =
            Context { now: Instant::now(), unix_time: unix_time(), rng: &mut self.random, spis: &mut self.spis };
        tell(&mut self.endpoint, &mut context);
        while let Some(action) = self.endpoint.poll_action() {
            self.up += u32::from(matches!(action, Action::Up { .. }));
            if let Action::Transmit { local, remote, datagram } = action {
                sent.push((local, remote, datagram));
            }
        }
        self.took += Process::own_thread()? - began;
        Ok(sent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tunnels_come_up_and_both_ends_work() {
        for method in Method::ALL {
            let split = handshakes(method, 3).unwrap();
            assert!(split.initiator > Duration::ZERO && split.responder > Duration::ZERO, "{method}: {split:?}");
        }
    }
}
