//! What has to hold, and when it is looked at.

use ike::{ChildSa, DownReason, TunnelId, TunnelState};

use crate::plan::Weather;
use crate::violation::Violation;
use crate::world::World;

impl World {
    /// Whether no packet may be lost: nothing disturbs the tunnels, and all of them were up before traffic began.
    pub(crate) fn strict(&self) -> bool {
        self.plan.weather == Weather::Fair && self.traffic
    }

    /// Looks at everything, once a second.
    pub(crate) fn look(&mut self) -> Result<(), Violation> {
        self.check_pace()?;
        self.check_disagreements()?;
        let settled = self.unsettled();
        self.settled = if settled.is_none() { self.settled + 1 } else { 0 };
        if self.settled > 12 && !self.traffic {
            self.note(|| "traffic begins".to_owned());
            self.traffic = true;
            self.statistics.strict += 1;
        }
        let Some(cleared) = self.cleared else { return Ok(()) };
        let since = self.now.saturating_duration_since(cleared);
        for index in 0..self.links.len() {
            let Some((a, b, false)) = self.links.get(index).copied() else { continue };
            if self.joined(a, b) {
                if let Some(link) = self.links.get_mut(index) {
                    link.2 = true;
                }
            } else if since >= self.plan.recovery() {
                let states = format!("{}; {}", self.state(a, b), self.state(b, a));
                return Err(Violation::NotRecovered { node: a, peer: b, within: self.plan.recovery(), states });
            }
        }
        if since >= self.plan.settling() {
            self.finished = settled.is_none();
            if let Some(what) = settled.filter(|_| since >= self.plan.settling() + self.plan.patience()) {
                return Err(Violation::NotSettled(what));
            }
        }
        Ok(())
    }

    /// Removes every tunnel and looks whether anything is left.
    pub(crate) fn tear_down(&mut self) -> Result<(), Violation> {
        for node in 0..self.plan.nodes {
            for peer in (0..self.plan.nodes).filter(|peer| *peer != node) {
                self.note(|| format!("n{node}: removes its tunnel to n{peer}"));
                self.on(node, |e, ctx| e.remove(TunnelId(peer as u32), ctx))?;
            }
            let Some(n) = self.nodes.get(node) else { continue };
            let Some(endpoint) = &n.endpoint else { continue };
            let children: usize = n.children.iter().map(|c| c.len()).sum();
            let left = [
                ("IKE SAs", endpoint.sa_count()),
                ("children", children),
                ("SPIs", n.spis.taken()),
                ("deadlines", usize::from(endpoint.next_timeout().is_some())),
            ];
            if let Some((what, count)) = left.into_iter().find(|(_, count)| *count > 0) {
                return Err(Violation::Leak { node, what: format!("{count} {what}") });
            }
        }
        Ok(())
    }

    /// After each event: nothing grows beyond its bound.
    pub(crate) fn check_bounds(&self, node: usize, actions: usize) -> Result<(), Violation> {
        let Some(n) = self.nodes.get(node) else { return Ok(()) };
        if let Some((tunnel, spi)) = n.spis.falsely_released {
            return Err(Violation::FalseRelease { node, tunnel, spi });
        }
        let tunnels = self.plan.nodes - 1;
        let children = n.children.iter().map(|c| c.len()).max().unwrap_or(0);
        let sas = n.endpoint.as_ref().map_or(0, ike::Endpoint::sa_count);
        let counts = [
            ("actions after one event", actions, ACTIONS * tunnels),
            ("IKE SAs", sas, SAS * tunnels),
            ("children of one tunnel", children, CHILDREN),
            ("SPIs that are reserved", n.spis.reserved(), RESERVED * tunnels),
        ];
        match counts.into_iter().find(|(_, count, limit)| count > limit) {
            Some((what, count, limit)) => Err(Violation::Unbounded { node, what, count, limit }),
            None => Ok(()),
        }
    }

    /// A tunnel went down: it may, unless nothing has disturbed it.
    pub(crate) fn check_fall(&self, node: usize, tunnel: TunnelId, reason: &DownReason) -> Result<(), Violation> {
        let recovered = self.cleared.is_some_and(|at| self.now > at + self.plan.recovery()) && !self.finished;
        if self.finished || !(self.strict() || recovered) {
            return Ok(());
        }
        Err(Violation::Fell { node, peer: tunnel.0 as usize, reason: reason.code() })
    }

    /// A node's children have changed: which of them, and of its peers', has no counterpart now?
    pub(crate) fn compare_children(&mut self, node: usize) -> Result<(), Violation> {
        for peer in (0..self.plan.nodes).filter(|peer| *peer != node) {
            self.compare_one_way(node, peer)?;
            self.compare_one_way(peer, node)?;
        }
        Ok(())
    }

    fn compare_one_way(&mut self, node: usize, peer: usize) -> Result<(), Violation> {
        let now = self.now;
        let tunnel = TunnelId(peer as u32);
        let Ok([n, p]) = self.nodes.get_disjoint_mut([node, peer]) else { return Ok(()) };
        let (Some(ours), Some(theirs)) = (n.children.get_mut(tunnel.0 as usize), p.children.get(node)) else {
            return Ok(());
        };
        for installed in ours.iter_mut() {
            let Some(counterpart) = theirs.counterpart(&installed.child) else {
                installed.alone_since.get_or_insert(now);
                continue;
            };
            installed.alone_since = None;
            if let Some(what) = difference(&installed.child, counterpart) {
                return Err(Violation::ChildrenDiffer { node, peer, spi: installed.child.inbound_spi, what });
            }
        }
        Ok(())
    }

    fn check_disagreements(&self) -> Result<(), Violation> {
        for (node, n) in self.nodes.iter().enumerate() {
            for (peer, children) in n.children.iter().enumerate() {
                for installed in children.iter() {
                    let Some(since) = installed.alone_since else { continue };
                    let age = self.now.saturating_duration_since(since);
                    if age > self.plan.horizon() {
                        let spi = installed.child.inbound_spi;
                        return Err(Violation::Disagreement { node, peer, spi, age });
                    }
                }
            }
        }
        Ok(())
    }

    /// No node is called or sends more often in a second than a person would believe.
    fn check_pace(&mut self) -> Result<(), Violation> {
        let limit = PACE * (self.plan.nodes - 1);
        for (node, n) in self.nodes.iter_mut().enumerate() {
            let counts = [("timeouts in a second", n.woken), ("datagrams in a second", n.sent)];
            (n.woken, n.sent) = (0, 0);
            if let Some((what, count)) = counts.into_iter().find(|(_, count)| *count > limit) {
                return Err(Violation::Unbounded { node, what, count, limit });
            }
        }
        Ok(())
    }

    /// Whether both ends are up and each opens what the other one seals, with whichever child.
    fn joined(&self, a: usize, b: usize) -> bool {
        let opens = |from: usize, to: usize| {
            let sending = self.nodes.get(from).and_then(|n| n.children.get(to)).map_or_else(Vec::new, |c| c.sending());
            let receiving = self.nodes.get(to).and_then(|n| n.children.get(from));
            !sending.is_empty() && receiving.is_some_and(|r| sending.iter().all(|s| r.counterpart(s).is_some()))
        };
        opens(a, b) && opens(b, a) && self.is_up(a, b) && self.is_up(b, a)
    }

    fn is_up(&self, node: usize, peer: usize) -> bool {
        let endpoint = self.nodes.get(node).and_then(|n| n.endpoint.as_ref());
        endpoint.and_then(|e| e.status(TunnelId(peer as u32))).is_some_and(|s| s.state == TunnelState::Up)
    }

    fn state(&self, node: usize, peer: usize) -> String {
        let endpoint = self.nodes.get(node).and_then(|n| n.endpoint.as_ref());
        match endpoint.and_then(|e| e.status(TunnelId(peer as u32))) {
            Some(status) => format!("n{node} is {:?}, {}", status.state, status.reason.code()),
            None => format!("n{node} has no such tunnel"),
        }
    }

    /// What is not as configured: one IKE SA and its children for each tunnel, the same at both ends, and nothing else.
    fn unsettled(&self) -> Option<String> {
        for (node, n) in self.nodes.iter().enumerate() {
            let sas = n.endpoint.as_ref().map_or(0, ike::Endpoint::sa_count);
            let tunnels = self.plan.nodes - 1;
            if !(tunnels..=tunnels * self.plan.sas()).contains(&sas) {
                return Some(format!("n{node} has {sas} IKE SAs for {tunnels} tunnels"));
            }
            if n.spis.reserved() > 0 {
                return Some(format!("n{node} has {} SPIs reserved", n.spis.reserved()));
            }
            for (peer, children) in n.children.iter().enumerate().filter(|(peer, _)| *peer != node) {
                if !self.plan.children().contains(&children.len()) {
                    return Some(format!("n{node} has {} children for its tunnel to n{peer}", children.len()));
                }
                if !self.joined(node, peer) {
                    return Some(format!("n{node} and n{peer} are not joined"));
                }
            }
        }
        None
    }
}

/// What two ends see differently of the child that they share.
fn difference(ours: &ChildSa, theirs: &ChildSa) -> Option<&'static str> {
    let agreements = [
        ("keys", ours.inbound_key == theirs.outbound_key && ours.outbound_key == theirs.inbound_key),
        ("keys for both directions", ours.inbound_key != ours.outbound_key),
        ("ciphers", ours.cipher == theirs.cipher),
        ("sequence numbers", ours.esn == theirs.esn),
        ("encapsulation", ours.encapsulation.is_some() == theirs.encapsulation.is_some()),
        ("selectors", ours.local_selectors == theirs.remote_selectors),
        ("remote selectors", ours.remote_selectors == theirs.local_selectors),
    ];
    agreements.into_iter().find(|(_, agreed)| !agreed).map(|(what, _)| what)
}

/// Actions that one event may cause, for each tunnel.
const ACTIONS: usize = 24;
/// IKE SAs of a tunnel in whatever state: eight half-open, those being closed, one in use, one replaced, one attempt.
const SAS: usize = 24;
/// Children of one tunnel that receive at once: four of a kind, and what lingers of those before; an IKE SA may have more.
const CHILDREN: usize = 33;
/// SPIs of one tunnel that are reserved and not installed.
const RESERVED: usize = 12;
/// Calls and datagrams in a second, for each tunnel.
const PACE: usize = 120;
