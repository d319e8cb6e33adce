//! The world: nodes, the network between them, and a clock that only moves from event to event.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use ike::{Action, Context, Endpoint, TunnelId};

use crate::dice::Dice;
use crate::journal::{Journal, describe};
use crate::network::{Datagram, Network};
use crate::node::Node;
use crate::plan::{Plan, Weather};
use crate::sabotage::Sabotage;
use crate::statistics::Statistics;
use crate::trouble::Relief;
use crate::violation::Violation;

/// All there is in one run.
pub(crate) struct World {
    pub(crate) plan: Plan,
    pub(crate) dice: Dice,
    pub(crate) nodes: Vec<Node>,
    pub(crate) network: Network,
    pub(crate) start: Instant,
    pub(crate) now: Instant,
    pub(crate) journal: Journal,
    pub(crate) statistics: Statistics,
    pub(crate) sabotage: Option<Sabotage>,
    /// Each pair of nodes, and whether they were joined since the last fault.
    pub(crate) links: Vec<(usize, usize, bool)>,
    /// When the last fault was over.
    pub(crate) cleared: Option<Instant>,
    /// For how many looks in a row everything has been as configured.
    pub(crate) settled: u32,
    /// Packets are on their way.
    pub(crate) traffic: bool,
    pub(crate) finished: bool,
    queue: BinaryHeap<Scheduled>,
    count: u64,
}

/// What comes at its time.
pub(crate) enum Event {
    /// A datagram arrives.
    Arrive(Datagram),
    /// An ESP packet arrives.
    Packet { from: usize, to: usize, spi: u32 },
    /// A node has a packet for another one.
    Send { from: usize, to: usize },
    /// Something goes wrong.
    Trouble,
    /// A node is to rekey.
    Rekey { node: usize, peer: usize, ike: bool },
    /// Something is mended.
    Relief(Relief),
    /// A second is over.
    Look,
    /// Nothing goes wrong from here on.
    Clear,
}

/// Ordered by time, then by when it was scheduled.
struct Scheduled(Reverse<(Instant, u64)>, Event);

impl PartialEq for Scheduled {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}
impl Eq for Scheduled {}
impl PartialOrd for Scheduled {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Scheduled {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.cmp(&other.0)
    }
}

impl World {
    pub(crate) fn new(seed: u64, start: Instant, journal: Journal, sabotage: Option<Sabotage>) -> Self {
        let mut dice = Dice::new(seed);
        let plan = Plan::draw(&mut dice);
        let nodes = (0..plan.nodes).map(|n| Node::new(n, &plan, &mut dice)).collect();
        let links = (0..plan.nodes).flat_map(|a| (a + 1..plan.nodes).map(move |b| (a, b, false))).collect();
        Self {
            network: Network::new(&plan),
            nodes,
            links,
            dice,
            start,
            now: start,
            journal,
            statistics: Statistics::default(),
            sabotage,
            cleared: None,
            settled: 0,
            traffic: plan.weather != Weather::Fair,
            finished: false,
            queue: BinaryHeap::new(),
            count: 0,
            plan,
        }
    }

    /// Lives through all of it.
    pub(crate) fn run(&mut self) -> Result<(), Violation> {
        let plan = self.plan.clone();
        self.note(|| format!("{plan:?}"));
        for node in 0..plan.nodes {
            let delay = self.dice.millis(0, 3000);
            self.after(delay, Event::Relief(Relief::Boot { node }));
        }
        for (a, b, _) in self.links.clone() {
            for (from, to) in [(a, b), (b, a)] {
                let delay = self.dice.between(Duration::ZERO, plan.packet_interval);
                self.after(delay, Event::Send { from, to });
            }
        }
        self.after(plan.fault_interval, Event::Trouble);
        self.after(SECOND, Event::Look);
        self.after(plan.troubled, Event::Clear);
        while !self.finished {
            self.step()?;
        }
        self.statistics.seconds += self.now.saturating_duration_since(self.start).as_secs();
        self.tear_down()
    }

    pub(crate) fn after(&mut self, delay: Duration, event: Event) {
        self.count += 1;
        self.queue.push(Scheduled(Reverse((self.now + delay, self.count)), event));
    }

    pub(crate) fn note(&mut self, line: impl FnOnce() -> String) {
        self.journal.note(self.now.saturating_duration_since(self.start), line);
    }

    /// Lets something happen to a node's endpoint and does what follows from it.
    pub(crate) fn on(
        &mut self,
        node: usize,
        happens: impl FnOnce(&mut Endpoint, &mut Context<'_>),
    ) -> Result<(), Violation> {
        let now = self.now;
        if let Some(n) = self.nodes.get_mut(node) {
            n.call(now, happens);
        }
        self.carry_out(node)
    }

    fn step(&mut self) -> Result<(), Violation> {
        let next = self.queue.peek().map(|s| s.0.0.0);
        let wake = self.nodes.iter().enumerate().filter_map(|(n, node)| node.wake.map(|(at, _)| (at, n))).min();
        match (wake, next) {
            (Some((at, node)), next) if next.is_none_or(|next| at <= next) => {
                self.now = self.now.max(at);
                self.wake(node)
            }
            _ => {
                let Some(Scheduled(Reverse((at, _)), event)) = self.queue.pop() else {
                    self.finished = true;
                    return Ok(());
                };
                self.now = self.now.max(at);
                self.happen(event)
            }
        }
    }

    fn happen(&mut self, event: Event) -> Result<(), Violation> {
        match event {
            Event::Arrive(datagram) => {
                let Some(node) = self.network.node_at(datagram.to.ip()) else { return Ok(()) };
                self.on(node, |e, ctx| e.handle_datagram(datagram.to, datagram.from, &datagram.payload, ctx))
            }
            Event::Packet { from, to, spi } => self.receive_packet(from, to, spi),
            Event::Send { from, to } => {
                self.after(self.plan.packet_interval, Event::Send { from, to });
                if self.traffic { self.send_packet(from, to) } else { Ok(()) }
            }
            Event::Trouble => self.trouble(),
            Event::Rekey { node, peer, ike } => self.rekey(node, peer, ike),
            Event::Relief(relief) => self.relieve(relief),
            Event::Look => {
                self.after(SECOND, Event::Look);
                self.look()
            }
            Event::Clear => self.clear(),
        }
    }

    fn wake(&mut self, node: usize) -> Result<(), Violation> {
        let now = self.now;
        let asleep = self.sabotage == Some(Sabotage::SleepOn) && node == 0 && self.cleared.is_some();
        let Some(n) = self.nodes.get_mut(node) else { return Ok(()) };
        n.woken += 1;
        if asleep {
            n.wake = None;
            return Ok(());
        }
        let stuck = self.sabotage == Some(Sabotage::StopTheClock) && node == 0;
        let next = n.call(now, |endpoint, ctx| {
            if !stuck {
                endpoint.handle_timeout(ctx);
            }
            endpoint.next_timeout()
        });
        if next.flatten().is_some_and(|at| at <= now) {
            return Err(Violation::StuckDeadline { node });
        }
        self.carry_out(node)
    }

    /// Does what an endpoint wants done: the one place that knows what actions mean.
    pub(crate) fn carry_out(&mut self, node: usize) -> Result<(), Violation> {
        let (mut changed, mut actions) = (false, 0);
        while let Some(action) = self.nodes.get_mut(node).and_then(|n| n.endpoint.as_mut()?.poll_action()) {
            actions += 1;
            match action {
                Action::Transmit { local, remote, datagram } => self.transmit(node, local, remote, datagram),
                Action::InstallChild(child) => {
                    changed = true;
                    self.install(node, *child)?;
                }
                Action::UseChild { tunnel, inbound_spi, instead_of } => {
                    self.note(|| format!("n{node}: {tunnel} sends on child {inbound_spi:#x}"));
                    let children = self.nodes.get_mut(node).and_then(|n| n.children.get_mut(tunnel.0 as usize));
                    let known = children.is_some_and(|c| c.make_use(inbound_spi, instead_of));
                    if !known && self.sabotage.is_none() {
                        return Err(Violation::Nonsense { node, tunnel, spi: inbound_spi, what: "use" });
                    }
                }
                Action::RemoveChild { tunnel, inbound_spi } => {
                    changed = true;
                    self.remove(node, tunnel, inbound_spi)?;
                }
                Action::MoveChild { tunnel, inbound_spi, encapsulation, .. } => {
                    self.note(|| format!("n{node}: child {inbound_spi:#x} goes to {encapsulation:?}"));
                    let children = self.nodes.get_mut(node).and_then(|n| n.children.get_mut(tunnel.0 as usize));
                    if !children.is_some_and(|c| c.relocate(inbound_spi, encapsulation)) {
                        return Err(Violation::Nonsense { node, tunnel, spi: inbound_spi, what: "move" });
                    }
                }
                Action::Up { tunnel, .. } => {
                    self.statistics.ups += 1;
                    self.note(|| format!("n{node}: {tunnel} is up"));
                }
                Action::Down { tunnel, reason } => {
                    self.statistics.downs += 1;
                    self.note(|| format!("n{node}: {tunnel} is down: {reason}"));
                    self.check_fall(node, tunnel, &reason)?;
                }
            }
        }
        self.check_bounds(node, actions)?;
        if changed {
            self.compare_children(node)?;
        }
        self.set_alarm(node);
        Ok(())
    }

    fn transmit(&mut self, node: usize, local: SocketAddr, remote: SocketAddr, datagram: Vec<u8>) {
        self.statistics.messages += 1;
        if let Some(n) = self.nodes.get_mut(node) {
            n.sent += 1;
        }
        // A worker takes the non-ESP marker off.
        let marked = local.port() == 4500 && datagram != [0xff];
        let payload = if marked { datagram.get(4..).unwrap_or_default().to_vec() } else { datagram };
        let Some((from, to)) = self.network.translate(local, remote) else {
            self.note(|| format!("n{node} -> {remote}: {}: no such mapping", describe(&payload)));
            return;
        };
        let Some(peer) = self.network.node_at(to.ip()) else { return };
        let copies = self.network.copies(node, peer, &mut self.dice);
        self.note(|| {
            let fate = copies.iter().map(|(delay, damaged)| {
                format!(", arrives in {} ms{}", delay.as_millis(), if *damaged { " damaged" } else { "" })
            });
            let fate = if copies.is_empty() { ", lost".to_owned() } else { fate.collect() };
            format!("n{node} -> n{peer}: {}{fate}", describe(&payload))
        });
        for (delay, damaged) in copies {
            let mut payload = payload.clone();
            if damaged {
                let bit = self.dice.below(payload.len() as u64 * 8);
                if let Some(byte) = payload.get_mut(bit as usize / 8) {
                    *byte ^= 1 << (bit % 8);
                }
            }
            self.after(delay, Event::Arrive(Datagram { from, to, payload }));
        }
    }

    fn install(&mut self, node: usize, mut child: ike::ChildSa) -> Result<(), Violation> {
        self.statistics.children += 1;
        let (tunnel, spi) = (child.tunnel, child.inbound_spi);
        self.note(|| format!("n{node}: {tunnel} installs child {spi:#x}, sends with {:#x}", child.outbound_spi));
        let nonsense = Violation::Nonsense { node, tunnel, spi, what: "install" };
        let Some(n) = self.nodes.get_mut(node) else { return Ok(()) };
        if !n.spis.install(tunnel, spi) {
            return Err(nonsense);
        }
        match self.sabotage.filter(|_| node == 0) {
            Some(Sabotage::SwapKeys) => std::mem::swap(&mut child.inbound_key, &mut child.outbound_key),
            Some(Sabotage::InstallNothing) => return Ok(()),
            _ => {}
        }
        let installed = n.children.get_mut(tunnel.0 as usize).is_some_and(|children| children.install(child));
        if installed { Ok(()) } else { Err(nonsense) }
    }

    fn remove(&mut self, node: usize, tunnel: TunnelId, spi: u32) -> Result<(), Violation> {
        self.note(|| format!("n{node}: {tunnel} removes child {spi:#x}"));
        let Some(n) = self.nodes.get_mut(node) else { return Ok(()) };
        if self.sabotage == Some(Sabotage::RemoveNothing) && node == 0 {
            return Ok(());
        }
        n.spis.remove(spi);
        let removed = n.children.get_mut(tunnel.0 as usize).is_some_and(|children| children.remove(spi));
        if removed { Ok(()) } else { Err(Violation::Nonsense { node, tunnel, spi, what: "remove" }) }
    }

    /// Wakes the node when it wants to be called, or a little later.
    fn set_alarm(&mut self, node: usize) {
        let Some(n) = self.nodes.get_mut(node) else { return };
        let wanted = n.endpoint.as_ref().and_then(Endpoint::next_timeout);
        if wanted != n.wake.map(|(_, wanted)| wanted) {
            let late = self.dice.between(Duration::ZERO, self.plan.lateness);
            n.wake = wanted.map(|at| (at + late, at));
        }
    }
}

const SECOND: Duration = Duration::from_secs(1);
