//! The load: initiators that bring up one tunnel after the other, a window of them at a time.

use std::time::{Duration, Instant};

use ::ike::Action;
use anyhow::{Result, bail, ensure};

use super::method::Method;
use super::node::Node;
use super::tunnels::End;
use crate::process::Process;

/// Handshakes under way at once: enough to keep a responder busy, and too few for anybody to suspect a flood.
const WINDOW: u32 = 24;
/// A run in which nothing comes up for so long has failed.
const PATIENCE: Duration = Duration::from_secs(20);

/// The initiating end of all tunnels.
pub struct Load {
    node: Node,
    tunnels: u32,
    begun: u32,
    up: u32,
}

/// What bringing up tunnels took.
#[derive(Debug, Clone, Copy)]
pub struct Established {
    pub elapsed: Duration,
    /// Of this thread: what initiating takes, sockets included.
    pub own: Duration,
}

impl Load {
    /// Knows so many tunnels, none of which is up.
    pub fn new(method: Method, tunnels: u32) -> Result<Self> {
        let mut node = Node::open(End::Initiator)?;
        node.configure(method, tunnels)?;
        Ok(Self { node, tunnels, begun: 0, up: 0 })
    }

    /// Brings up the next tunnels until so many are up.
    ///
    /// # Errors
    /// Where one of them fails, or all stand still.
    pub fn establish(&mut self, up: u32) -> Result<Established> {
        ensure!(up <= self.tunnels, "{up} of {} tunnels cannot be up", self.tunnels);
        let (began, busy) = (Instant::now(), Process::own_thread()?);
        let mut last = began;
        while self.up < up {
            while self.begun < up && self.begun - self.up < WINDOW {
                self.node.initiate(self.begun)?;
                self.begun += 1;
            }
            let before = self.up;
            let risen = &mut self.up;
            self.node.turn(&mut |action| {
                if let Action::Down { tunnel, reason } = action {
                    bail!("{tunnel} did not come up: {reason}");
                }
                *risen += u32::from(matches!(action, Action::Up { .. }));
                Ok(())
            })?;
            let now = Instant::now();
            if self.up > before {
                last = now;
            }
            ensure!(now - last < PATIENCE, "no tunnel came up in {} s, {} of {up} are", PATIENCE.as_secs(), self.up);
        }
        Ok(Established { elapsed: began.elapsed(), own: Process::own_thread()? - busy })
    }

    /// Messages that were sent more than once.
    pub fn retransmitted(&self) -> u64 {
        self.node.retransmitted()
    }
}
