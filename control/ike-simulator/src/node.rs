//! One node: an endpoint, the model of its dataplane, and what its operator wants.

use std::time::Instant;

use ike::{Context, Endpoint, TunnelConfig, TunnelId};
use rand_chacha::ChaCha8Rng;

use crate::dataplane::{Children, Spis};
use crate::dice::Dice;
use crate::plan::Plan;

/// A gateway of the mesh. Its tunnel to a peer has the peer's number.
pub(crate) struct Node {
    /// `None` while it is crashed.
    pub(crate) endpoint: Option<Endpoint>,
    pub(crate) rng: ChaCha8Rng,
    pub(crate) spis: Spis,
    /// By peer.
    pub(crate) children: Vec<Children>,
    /// What the operator has configured, by peer.
    pub(crate) configs: Vec<TunnelConfig>,
    /// When it is to be called, and the timeout that this answers.
    pub(crate) wake: Option<(Instant, Instant)>,
    /// Calls of `handle_timeout` and datagrams sent in this second.
    pub(crate) woken: usize,
    pub(crate) sent: usize,
}

impl Node {
    pub(crate) fn new(node: usize, plan: &Plan, dice: &mut Dice) -> Self {
        Self {
            endpoint: None,
            rng: dice.generator(),
            spis: Spis::new(dice.generator(), plan.scarcity),
            children: (0..plan.nodes).map(|_| Children::default()).collect(),
            configs: (0..plan.nodes).map(|peer| plan.config(node, peer)).collect(),
            wake: None,
            woken: 0,
            sent: 0,
        }
    }

    /// Everything that was in memory is gone.
    pub(crate) fn crash(&mut self) {
        self.endpoint = None;
        self.children.iter_mut().for_each(|c| *c = Children::default());
        self.wake = None;
    }

    /// Starts with nothing but its configuration.
    pub(crate) fn boot(&mut self, scarcity: u32, dice: &mut Dice) {
        self.endpoint = Some(Endpoint::new());
        self.rng = dice.generator();
        self.spis = Spis::new(dice.generator(), scarcity);
    }

    /// Lets something happen to the endpoint, unless it is crashed.
    pub(crate) fn call<T>(
        &mut self,
        now: Instant,
        happens: impl FnOnce(&mut Endpoint, &mut Context<'_>) -> T,
    ) -> Option<T> {
        let mut ctx = Context { now, unix_time: 0, rng: &mut self.rng, spis: &mut self.spis };
        self.endpoint.as_mut().map(|endpoint| happens(endpoint, &mut ctx))
    }

    pub(crate) fn children_of(&self, tunnel: TunnelId) -> Option<&Children> {
        self.children.get(tunnel.0 as usize)
    }
}
