//! The network between the nodes, and the NAT before one of them.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::dice::Dice;
use crate::plan::{OUTSIDE, Plan, Treatment, inside};

/// A UDP datagram.
#[derive(Clone, Debug)]
pub(crate) struct Datagram {
    pub(crate) from: SocketAddr,
    pub(crate) to: SocketAddr,
    pub(crate) payload: Vec<u8>,
}

/// Who reaches whom, and how well.
pub(crate) struct Network {
    pub(crate) treatment: Treatment,
    /// What the NAT adds to ports, if there is one.
    pub(crate) shift: Option<u16>,
    nodes: usize,
    /// How many partitions lie on each way, by sender and receiver.
    cuts: Vec<u32>,
}

impl Network {
    pub(crate) fn new(plan: &Plan) -> Self {
        Self {
            treatment: plan.treatment,
            shift: plan.nat.then_some(1000),
            nodes: plan.nodes,
            cuts: vec![0; plan.nodes * plan.nodes],
        }
    }

    /// Cuts a way, or takes one cut of it away.
    pub(crate) fn cut(&mut self, from: usize, to: usize, cut: bool) {
        if let Some(cuts) = self.cuts.get_mut(from * self.nodes + to) {
            *cuts = if cut { *cuts + 1 } else { cuts.saturating_sub(1) };
        }
    }

    /// Every way is open and nothing is lost any more.
    pub(crate) fn clear(&mut self) {
        self.cuts.fill(0);
        self.treatment = Treatment::CLEAR;
    }

    pub(crate) fn is_cut(&self, from: usize, to: usize) -> bool {
        self.cuts.get(from * self.nodes + to).is_some_and(|cuts| *cuts > 0)
    }

    /// When the copies of an IKE message arrive, and whether each is damaged; none if it is lost.
    pub(crate) fn copies(&self, from: usize, to: usize, dice: &mut Dice) -> Vec<(Duration, bool)> {
        let t = &self.treatment;
        let mut copies = Vec::new();
        if self.is_cut(from, to) {
            return copies;
        }
        let doubled = dice.chance(t.duplication);
        for copy in 0..1 + u32::from(doubled) {
            if dice.chance(t.loss) {
                continue;
            }
            let mut delay = dice.between(t.delay.0, t.delay.1);
            if copy > 0 {
                delay += dice.between(Duration::ZERO, t.late);
            }
            copies.push((delay, dice.chance(t.damage)));
        }
        copies
    }

    /// What the NAT makes of a datagram's addresses; `None` if it has no mapping for them.
    pub(crate) fn translate(&self, from: SocketAddr, to: SocketAddr) -> Option<(SocketAddr, SocketAddr)> {
        let Some(shift) = self.shift else { return Some((from, to)) };
        let mut translated = (from, to);
        if from.ip() == inside(0) {
            translated.0 = SocketAddr::new(OUTSIDE, from.port() + shift);
        }
        if to.ip() == OUTSIDE {
            // Ports of an earlier mapping lead nowhere.
            let port = to.port().checked_sub(shift).filter(|p| matches!(p, 500 | 4500))?;
            translated.1 = SocketAddr::new(inside(0), port);
        }
        Some(translated)
    }

    /// The node that has an address.
    pub(crate) fn node_at(&self, address: IpAddr) -> Option<usize> {
        (0..self.nodes).find(|n| inside(*n) == address)
    }
}
