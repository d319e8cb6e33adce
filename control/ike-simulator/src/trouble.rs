//! What goes wrong, and how it is mended.

use std::time::Duration;

use ike::{Admin, DownReason, Psk, TunnelId};

use crate::plan::Weather;
use crate::sabotage::Sabotage;
use crate::violation::Violation;
use crate::world::{Event, World};

/// What mends a fault.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Relief {
    /// A crashed node starts.
    Boot { node: usize },
    /// A way is open again.
    Heal { from: usize, to: usize },
    /// A tunnel that was taken down is wanted again.
    Start { node: usize, peer: usize },
    /// A tunnel has its proper configuration again.
    Configure { node: usize, peer: usize },
}

impl World {
    /// Something goes wrong, and the next thing is on its way.
    pub(crate) fn trouble(&mut self) -> Result<(), Violation> {
        if self.cleared.is_some() {
            return Ok(());
        }
        let gap = self.dice.between(Duration::from_millis(1), self.plan.fault_interval * 2);
        self.after(gap, Event::Trouble);
        let Some((a, b, _)) = self.dice.pick(&self.links) else { return Ok(()) };
        let (node, peer) = if self.dice.chance(500) { (a, b) } else { (b, a) };
        let kind = if self.plan.weather == Weather::Fair { 0 } else { self.dice.below(100) };
        match kind {
            0..30 => self.want_rekeys(node, peer),
            30..45 => self.partition(node, peer),
            45..55 => return self.crash(node),
            55..65 => self.move_nat(),
            _ => return self.intervene(node, peer),
        }
        Ok(())
    }

    /// Somebody wants other keys: one end, or both at about the same time, for the children, the IKE SA, or both.
    fn want_rekeys(&mut self, node: usize, peer: usize) {
        let both = self.dice.chance(500);
        for (node, peer) in [(node, peer), (peer, node)].into_iter().take(if both { 2 } else { 1 }) {
            for _ in 0..1 + self.dice.below(2) {
                let (ike, delay) = (self.dice.chance(400), self.dice.millis(0, 200));
                self.after(delay, Event::Rekey { node, peer, ike });
            }
        }
    }

    /// An end is asked for other keys.
    pub(crate) fn rekey(&mut self, node: usize, peer: usize, ike: bool) -> Result<(), Violation> {
        if self.cleared.is_some() {
            return Ok(());
        }
        self.statistics.rekeys += 1;
        let tunnel = TunnelId(peer as u32);
        self.note(|| format!("n{node}: {tunnel} is to rekey its {}", if ike { "IKE SA" } else { "children" }));
        self.on(node, |e, ctx| if ike { e.rekey_ike(tunnel, ctx) } else { e.rekey_children(tunnel, ctx) })
    }

    /// Something is mended.
    pub(crate) fn relieve(&mut self, relief: Relief) -> Result<(), Violation> {
        match relief {
            Relief::Boot { node } => self.boot(node),
            Relief::Heal { from, to } => {
                if self.cleared.is_none() {
                    self.network.cut(from, to, false);
                    self.note(|| format!("n{from} -> n{to} is healed"));
                }
                Ok(())
            }
            Relief::Start { node, peer } => {
                let tunnel = TunnelId(peer as u32);
                self.note(|| format!("n{node}: {tunnel} is wanted again"));
                self.on(node, |e, ctx| e.set_admin(tunnel, Admin::Up, ctx))
            }
            Relief::Configure { node, peer } => self.configure_properly(node, peer),
        }
    }

    /// Nothing goes wrong any more: whatever is broken is mended.
    pub(crate) fn clear(&mut self) -> Result<(), Violation> {
        self.note(|| "the last fault is over".to_owned());
        self.cleared = Some(self.now);
        self.network.clear();
        self.plan.scarcity = 0;
        for node in 0..self.plan.nodes {
            if let Some(n) = self.nodes.get_mut(node) {
                n.spis.plenty();
            }
            self.boot(node)?;
        }
        for (a, b, _) in self.links.clone() {
            for (node, peer) in [(a, b), (b, a)] {
                self.configure_properly(node, peer)?;
                self.relieve(Relief::Start { node, peer })?;
            }
        }
        Ok(())
    }

    fn partition(&mut self, node: usize, peer: usize) {
        self.statistics.partitions += 1;
        let time = self.dice.millis(100, 60_000);
        let both = self.dice.chance(600);
        self.note(|| format!("n{node} -> n{peer} is cut for {time:?}{}", if both { ", the way back too" } else { "" }));
        let ways = [(node, peer), (peer, node)];
        for (from, to) in ways.into_iter().take(if both { 2 } else { 1 }) {
            self.network.cut(from, to, true);
            self.after(time, Event::Relief(Relief::Heal { from, to }));
        }
    }

    fn crash(&mut self, node: usize) -> Result<(), Violation> {
        let Some(n) = self.nodes.get_mut(node).filter(|n| n.endpoint.is_some()) else { return Ok(()) };
        n.crash();
        self.statistics.crashes += 1;
        let time = self.dice.millis(0, 40_000);
        self.note(|| format!("n{node} crashes for {time:?}"));
        self.after(time, Event::Relief(Relief::Boot { node }));
        self.compare_children(node)
    }

    fn boot(&mut self, node: usize) -> Result<(), Violation> {
        if self.sabotage == Some(Sabotage::StayDown) && node == 0 && self.statistics.crashes > 0 {
            return Ok(());
        }
        let Some(n) = self.nodes.get_mut(node).filter(|n| n.endpoint.is_none()) else { return Ok(()) };
        n.boot(self.plan.scarcity, &mut self.dice);
        let configs = n.configs.clone();
        self.note(|| format!("n{node} starts"));
        for (peer, config) in configs.into_iter().enumerate().filter(|(peer, _)| *peer != node) {
            self.on(node, |e, ctx| e.configure(TunnelId(peer as u32), config, ctx).expect("the plan is acceptable"))?;
        }
        Ok(())
    }

    fn move_nat(&mut self) {
        let Some(shift) = self.network.shift.as_mut() else { return };
        *shift = if *shift > 30_000 { 1000 } else { *shift + 7 };
        let shift = *shift;
        self.statistics.moves += 1;
        self.note(|| format!("the NAT adds {shift} to ports from now on"));
    }

    /// Somebody does something to a tunnel.
    fn intervene(&mut self, node: usize, peer: usize) -> Result<(), Violation> {
        self.statistics.interventions += 1;
        let tunnel = TunnelId(peer as u32);
        let back = self.dice.millis(0, 30_000);
        match self.dice.below(7) {
            0 => {
                self.note(|| format!("n{node}: {tunnel} is terminated"));
                self.after(back, Event::Relief(Relief::Start { node, peer }));
                self.on(node, |e, ctx| e.terminate(tunnel, DownReason::AdminDown, ctx))
            }
            1 => {
                self.note(|| format!("n{node}: {tunnel} is set down"));
                self.after(back, Event::Relief(Relief::Start { node, peer }));
                self.on(node, |e, ctx| e.set_admin(tunnel, Admin::Down, ctx))
            }
            2 => {
                self.note(|| format!("n{node}: {tunnel} is terminated and started at once"));
                self.on(node, |e, ctx| {
                    e.terminate(tunnel, DownReason::AdminDown, ctx);
                    e.initiate(tunnel, ctx);
                })
            }
            3 => {
                self.note(|| format!("n{node}: {tunnel} is started"));
                self.on(node, |e, ctx| e.initiate(tunnel, ctx))
            }
            4 => {
                let Some(config) = self.nodes.get_mut(node).and_then(|n| n.configs.get_mut(peer)) else {
                    return Ok(());
                };
                config.esp.esn = !config.esp.esn;
                let config = config.clone();
                self.note(|| format!("n{node}: {tunnel} is configured with ESN {}", config.esp.esn));
                self.on(node, |e, ctx| e.configure(tunnel, config, ctx).expect("the plan is acceptable"))
            }
            5 => {
                let mut config = self.plan.config(node, peer);
                config.authentication = Psk::new("another").into();
                self.note(|| format!("n{node}: {tunnel} is configured with another key"));
                self.after(back, Event::Relief(Relief::Configure { node, peer }));
                self.on(node, |e, ctx| e.configure(tunnel, config, ctx).expect("the plan is acceptable"))
            }
            _ => {
                self.note(|| format!("n{node}: {tunnel} is removed"));
                self.after(back, Event::Relief(Relief::Configure { node, peer }));
                self.on(node, |e, ctx| e.remove(tunnel, ctx))
            }
        }
    }

    fn configure_properly(&mut self, node: usize, peer: usize) -> Result<(), Violation> {
        let tunnel = TunnelId(peer as u32);
        let Some(config) = self.nodes.get(node).and_then(|n| n.configs.get(peer)).cloned() else { return Ok(()) };
        self.note(|| format!("n{node}: {tunnel} is configured as it should be"));
        self.on(node, |e, ctx| e.configure(tunnel, config, ctx).expect("the plan is acceptable"))
    }
}
