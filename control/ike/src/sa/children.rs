//! The child SAs of one IKE SA, from their agreement to the last packet they receive (RFC 7296 §1.4.1, §2.8).

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::authentication::PeerAuthentication;
use super::{Env, IkeSa};
use crate::action::Action;
use crate::algorithm::EspSuite;
use crate::child::{ChildSa, EspKey, UdpEncapsulation};
use crate::selector::TrafficSelector;

/// What both ends agreed on.
#[derive(Clone, Debug)]
pub(super) struct Agreed {
    pub(super) suite: EspSuite,
    /// The peer's SPI.
    pub(super) outbound_spi: u32,
    /// What lies behind us, what lies behind the peer.
    pub(super) selectors: Selectors,
    /// As [`ChildSa::resource`] has it.
    pub(super) resource: u16,
}

/// Of both sides of a child: ours, the peer's.
pub(super) type Selectors = (Vec<TrafficSelector>, Vec<TrafficSelector>);

/// A child SA, as far as its IKE SA needs it.
#[derive(Debug)]
pub(crate) struct Child {
    pub(super) inbound_spi: u32,
    pub(super) agreed: Agreed,
    pub(super) encapsulation: Option<UdpEncapsulation>,
    pub(super) state: ChildState,
    /// The dataplane has it.
    pub(super) installed: bool,
    /// The dataplane sends on it.
    sends: bool,
    /// When to begin its replacement.
    rekey_at: Option<Instant>,
    /// When it may not be used any longer.
    expires: Instant,
    /// The peer began it, and has not yet shown that it has our answer: then at the latest we send on it.
    use_at: Option<Instant>,
    /// The peer began it and, until then, may not have our answer: it would say that it knows no such child. After that it
    /// has given up.
    unsure_until: Option<Instant>,
}

/// What is to become of a child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ChildState {
    /// It carries traffic.
    Live,
    /// The peer has replaced it by the child with this inbound SPI, and is about to delete it.
    Replaced { by: u32 },
    /// A collision made two in place of one, and the peer is to delete this one (RFC 7296 §2.8.1), until then.
    Redundant { until: Instant },
    /// Our Delete waits or is sent.
    Deleting,
    /// Deleted for both ends; what was on its way is still received until then.
    Lingering { until: Instant },
}

/// What an IKE SA leaves to the one that takes its place (RFC 7296 §2.8).
#[derive(Debug, Default)]
pub(crate) struct Estate {
    children: Vec<Child>,
    tasks: VecDeque<Task>,
    sending: Option<u32>,
    asks_for_resources: bool,
    peer: PeerAuthentication,
}

/// Something to ask the peer for, as soon as the window is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Task {
    pub(super) what: Wanted,
    pub(super) not_before: Option<Instant>,
}

/// What to ask the peer for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    RekeyIke,
    /// By inbound SPI.
    RekeyChild(u32),
    DeleteChild(u32),
    /// One more child, for selectors that none has.
    CreateChild,
    /// One more child with the selectors of another (RFC 9611).
    CreateResource,
    /// That the peer knows our token.
    TellToken,
    /// That the peer shows that it is where it says it is.
    CheckPath,
    /// That the peer goes to another gateway.
    SendAway,
}

impl IkeSa {
    /// Both ends agree on a child: gives it to the dataplane, which receives on it at once.
    pub(super) fn install_child(
        &mut self,
        inbound_spi: u32,
        agreed: Agreed,
        (inbound_key, outbound_key): (EspKey, EspKey),
        env: &mut Env<'_, '_>,
    ) {
        let (child, sa) = self.make_child(inbound_spi, agreed, (inbound_key, outbound_key), env);
        self.children.push(Child { installed: true, ..child });
        env.out.push(Action::InstallChild(Box::new(sa)));
    }

    /// The child as this IKE SA and as the dataplane see it.
    pub(super) fn make_child(
        &self,
        inbound_spi: u32,
        agreed: Agreed,
        (inbound_key, outbound_key): (EspKey, EspKey),
        env: &mut Env<'_, '_>,
    ) -> (Child, ChildSa) {
        let lifetime = env.config.child_lifetime;
        let encapsulation = self.encapsulation(self.path);
        let sa = ChildSa {
            tunnel: self.tunnel,
            inbound_spi,
            outbound_spi: agreed.outbound_spi,
            cipher: agreed.suite.encryption,
            integrity: agreed.suite.integrity,
            esn: agreed.suite.esn,
            inbound_key,
            outbound_key,
            local: self.path.local.ip(),
            remote: self.path.remote.ip(),
            encapsulation,
            local_selectors: agreed.selectors.0.clone(),
            remote_selectors: agreed.selectors.1.clone(),
            resource: agreed.resource,
            lifetime,
        };
        let child = Child {
            inbound_spi,
            agreed,
            encapsulation,
            state: ChildState::Live,
            installed: false,
            sends: false,
            rekey_at: Some(env.ctx.now + env.rekey_after(lifetime)),
            expires: env.ctx.now + lifetime,
            use_at: None,
            unsure_until: None,
        };
        (child, sa)
    }

    /// Sends on this child from now on, and on `instead_of` no longer.
    pub(super) fn use_child(&mut self, inbound_spi: u32, instead_of: Option<u32>, env: &mut Env<'_, '_>) {
        let Some(child) = self.child_mut(inbound_spi) else { return };
        (child.use_at, child.sends) = (None, true);
        self.sending = Some(inbound_spi);
        if let Some(old) = instead_of.and_then(|old| self.child_mut(old)) {
            old.sends = false;
        }
        env.out.push(Action::UseChild { tunnel: self.tunnel, inbound_spi, instead_of });
    }

    /// The peer may not have our answer yet: a child it began is sent on when it shows that it has, or at the latest
    /// after some time.
    pub(super) fn use_child_later(&mut self, inbound_spi: u32, now: Instant) {
        if let Some(child) = self.child_mut(inbound_spi) {
            child.use_at = Some(now + PATIENCE);
        }
    }

    /// The answer that tells the peer of a child that it began is sent.
    pub(super) fn await_confirmation(&mut self, inbound_spi: u32, env: &mut Env<'_, '_>) {
        if let Some(child) = self.child_mut(inbound_spi) {
            child.unsure_until = Some(env.ctx.now + env.config.retry.give_up);
        }
    }

    /// The peer has asked once more what was answered already.
    pub(super) fn postpone_use(&mut self, env: &mut Env<'_, '_>) {
        let now = env.ctx.now;
        for child in &mut self.children {
            child.use_at = child.use_at.map(|_| now + PATIENCE);
            child.unsure_until = child.unsure_until.map(|_| now + env.config.retry.give_up);
        }
    }

    /// Children that wait for the peer to show that it has our last answer.
    pub(super) fn waiting(&self) -> Vec<u32> {
        self.spis_where(|child| child.use_at.is_some() || child.unsure_until.is_some())
    }

    /// The peer has shown it.
    pub(super) fn confirm(&mut self, waiting: &[u32], env: &mut Env<'_, '_>) {
        for child in self.children.iter_mut().filter(|child| waiting.contains(&child.inbound_spi)) {
            child.unsure_until = None;
        }
        self.use_waiting(waiting, env);
    }

    /// Sends on those of them that are still wanted.
    fn use_waiting(&mut self, waiting: &[u32], env: &mut Env<'_, '_>) {
        // RFC 7296 §2.8.1: of two that a collision makes, which one stays is known when ours is answered.
        let rival = self.creation().and_then(|ours| ours.rival.as_ref()).map(|rival| rival.inbound_spi);
        for inbound_spi in waiting {
            let wanted = self.child(*inbound_spi).is_some_and(|c| c.state == ChildState::Live && c.use_at.is_some());
            if wanted && Some(*inbound_spi) == rival {
                self.use_child_later(*inbound_spi, env.ctx.now);
            } else if wanted {
                self.use_child(*inbound_spi, self.predecessor(*inbound_spi), env);
            }
        }
    }

    /// A child is deleted for both ends: what is on its way is received for a while yet.
    pub(super) fn let_linger(&mut self, inbound_spi: u32, env: &mut Env<'_, '_>) {
        let until = env.ctx.now + LINGER;
        let Some(child) = self.child_mut(inbound_spi) else { return };
        child.state = ChildState::Lingering { until };
        child.use_at = None;
        self.send_on_another(inbound_spi, env);
    }

    /// A child has lost a collision: the peer is to delete it, unless it has done so already.
    pub(super) fn make_redundant(&mut self, inbound_spi: u32, env: &mut Env<'_, '_>) {
        if let Some(child) = self.child_mut(inbound_spi).filter(|child| !child.lingers()) {
            child.state = ChildState::Redundant { until: env.ctx.now + REDUNDANT };
        }
    }

    /// Takes a child out at once.
    pub(super) fn remove_child(&mut self, inbound_spi: u32, env: &mut Env<'_, '_>) {
        self.send_on_another(inbound_spi, env);
        let Some(at) = self.children.iter().position(|child| child.inbound_spi == inbound_spi) else { return };
        let child = self.children.remove(at);
        if child.installed {
            env.out.push(Action::RemoveChild { tunnel: self.tunnel, inbound_spi });
        } else {
            env.ctx.spis.release(self.tunnel, inbound_spi);
        }
    }

    /// Ends all children; an SPI that was set aside for one goes back.
    pub(crate) fn drop_children(&mut self, env: &mut Env<'_, '_>) {
        self.forget_pending(env);
        if let Some(inbound_spi) = self.reserved.take() {
            env.ctx.spis.release(self.tunnel, inbound_spi);
        }
        self.sending = None;
        self.tasks.clear();
        // None is to take over from another.
        self.children.iter_mut().for_each(|child| child.sends = false);
        for inbound_spi in self.children.iter().map(|child| child.inbound_spi).collect::<Vec<_>>() {
            self.remove_child(inbound_spi, env);
        }
    }

    /// The endpoint has had the first child installed.
    pub(crate) fn child_installed(&mut self) {
        for child in &mut self.children {
            (child.installed, child.sends) = (true, true);
            self.sending = Some(child.inbound_spi);
        }
    }

    /// Leaves everything to the IKE SA that takes this one's place.
    pub(super) fn bequeath(&mut self, env: &mut Env<'_, '_>) -> Estate {
        self.forget_pending(env);
        Estate {
            children: std::mem::take(&mut self.children),
            tasks: std::mem::take(&mut self.tasks),
            sending: self.sending.take(),
            asks_for_resources: self.asks_for_resources,
            peer: self.peer.clone(),
        }
    }

    /// Takes over from the IKE SA whose place this one takes.
    pub(crate) fn inherit(&mut self, estate: Estate) {
        self.retire_at = None;
        (self.replaced, self.spare) = (false, false);
        self.children.extend(estate.children);
        self.tasks.extend(estate.tasks.into_iter().filter(|task| task.what != Wanted::RekeyIke));
        self.sending = estate.sending;
        self.asks_for_resources = estate.asks_for_resources;
        self.peer = estate.peer;
    }

    /// Puts a task on the list, unless it is there.
    pub(super) fn want(&mut self, what: Wanted, not_before: Option<Instant>) {
        if !self.tasks.iter().any(|task| task.what == what) {
            self.tasks.push_back(Task { what, not_before });
        }
    }

    /// Deletes a child of ours as soon as the window is open.
    pub(super) fn want_child_deleted(&mut self, inbound_spi: u32) {
        if let Some(child) = self.child_mut(inbound_spi) {
            child.state = ChildState::Deleting;
            child.use_at = None;
            self.want(Wanted::DeleteChild(inbound_spi), None);
        }
    }

    /// Does what is due for children: the end of those that linger, use, rekeying. Those whose life is over.
    pub(super) fn tend_children(&mut self, env: &mut Env<'_, '_>) -> Vec<u32> {
        let now = env.ctx.now;
        let gone: Vec<u32> = self.spis_where(|c| matches!(c.state, ChildState::Lingering { until } if until <= now));
        for inbound_spi in gone {
            self.remove_child(inbound_spi, env);
        }
        for inbound_spi in self.spis_where(|c| matches!(c.state, ChildState::Redundant { until } if until <= now)) {
            self.want_child_deleted(inbound_spi);
        }
        for child in &mut self.children {
            child.unsure_until.take_if(|until| *until <= now);
        }
        let due = self.spis_where(|c| c.use_at.is_some_and(|at| at <= now));
        self.use_waiting(&due, env);
        for inbound_spi in self.spis_where(|c| c.state == ChildState::Live && c.rekey_at.is_some_and(|at| at <= now)) {
            self.rekey_child(inbound_spi);
        }
        self.spis_where(|c| !c.lingers() && c.state != ChildState::Deleting && c.expires <= now)
    }

    /// Wants a child replaced, unless that is under way.
    pub(crate) fn rekey_child(&mut self, inbound_spi: u32) {
        let Some(child) = self.child_mut(inbound_spi).filter(|child| child.state == ChildState::Live) else { return };
        child.rekey_at = child.unsure_until;
        if child.rekey_at.is_some() {
            return;
        }
        if self.creation().is_none_or(|creation| creation.replaces != Some(inbound_spi)) {
            self.want(Wanted::RekeyChild(inbound_spi), None);
        }
    }

    /// The peer did not replace a child: perhaps it will, halfway to the end of its life.
    pub(super) fn rekey_child_later(&mut self, inbound_spi: u32, env: &mut Env<'_, '_>) {
        if let Some(child) = self.child_mut(inbound_spi) {
            child.rekey_at = env.halfway(child.expires);
        }
    }

    /// Wants all children replaced.
    pub(crate) fn rekey_children(&mut self) {
        for inbound_spi in self.spis_where(|child| child.state == ChildState::Live) {
            self.rekey_child(inbound_spi);
        }
    }

    /// When [`IkeSa::tend_children`] has something to do.
    pub(super) fn children_deadline(&self) -> Option<Instant> {
        let each = |child: &Child| {
            let state = match child.state {
                ChildState::Live => child.rekey_at,
                ChildState::Redundant { until } => Some(until),
                ChildState::Lingering { until } => return Some(until),
                ChildState::Replaced { .. } | ChildState::Deleting => None,
            };
            let use_at = child.use_at.filter(|_| child.state == ChildState::Live);
            let expires = (child.state != ChildState::Deleting).then_some(child.expires);
            [state, use_at, expires].into_iter().flatten().min()
        };
        self.children.iter().filter_map(each).min()
    }

    /// Children that are there for both ends.
    pub(super) fn has_children(&self) -> bool {
        self.children.iter().any(|child| matches!(child.state, ChildState::Live | ChildState::Replaced { .. }))
    }

    pub(super) fn child(&self, inbound_spi: u32) -> Option<&Child> {
        self.children.iter().find(|child| child.inbound_spi == inbound_spi)
    }

    pub(super) fn child_mut(&mut self, inbound_spi: u32) -> Option<&mut Child> {
        self.children.iter_mut().find(|child| child.inbound_spi == inbound_spi)
    }

    /// The child with this SPI of the peer's; one that lingers is gone for both ends.
    pub(super) fn child_of_peer(&self, outbound_spi: u32) -> Option<&Child> {
        self.children.iter().find(|child| !child.lingers() && child.agreed.outbound_spi == outbound_spi)
    }

    /// The inbound SPI of the child we send on.
    pub(crate) fn sending(&self) -> Option<u32> {
        self.sending
    }

    /// The child we send on.
    pub(crate) fn sending_child(&self) -> Option<&Child> {
        self.child(self.sending?)
    }

    /// The child that another one takes the place of.
    fn predecessor(&self, inbound_spi: u32) -> Option<u32> {
        let replaced = ChildState::Replaced { by: inbound_spi };
        self.children.iter().find(|child| child.state == replaced).map(|child| child.inbound_spi)
    }

    /// A child that we send on is going: another one with the same selectors takes over, if we send on one.
    pub(super) fn hand_on(&mut self, going: u32, env: &mut Env<'_, '_>) {
        let Some(child) = self.child(going).filter(|child| child.sends) else { return };
        let alike = |other: &Child| other.sends && other.agreed.selectors == child.agreed.selectors;
        if let Some(other) = self.other(going, alike) {
            self.use_child(other, Some(going), env);
        }
    }

    /// A child is gone: if we sent on it, another one takes over, best one with the same selectors.
    fn send_on_another(&mut self, gone: u32, env: &mut Env<'_, '_>) {
        self.hand_on(gone, env);
        let Some(child) = self.child_mut(gone).filter(|child| child.sends) else { return };
        child.sends = false;
        if self.sending.take_if(|spi| *spi == gone).is_some()
            && let Some(other) = self.other(gone, |_| true)
        {
            self.use_child(other, Some(gone), env);
        }
    }

    /// The newest live child besides this one of which this holds.
    fn other(&self, than: u32, holds: impl Fn(&Child) -> bool) -> Option<u32> {
        let live = |child: &&Child| child.state == ChildState::Live && child.installed && child.inbound_spi != than;
        self.children.iter().rev().filter(live).find(|child| holds(child)).map(|child| child.inbound_spi)
    }

    /// The child of another IKE SA is sent on from now on: gives those in whose place it stands.
    pub(crate) fn stop_sending(&mut self) -> Vec<u32> {
        let Some(selectors) = self.sending_child().map(|first| first.agreed.selectors.clone()) else {
            return Vec::new();
        };
        let alike = self.children.iter_mut().filter(|child| child.sends && child.agreed.selectors == selectors);
        let stop = |child: &mut Child| {
            child.sends = false;
            child.inbound_spi
        };
        alike.map(stop).collect()
    }

    fn spis_where(&self, holds: impl Fn(&Child) -> bool) -> Vec<u32> {
        self.children.iter().filter(|child| holds(child)).map(|child| child.inbound_spi).collect()
    }
}

impl Child {
    /// It is gone for both ends, but for what is on its way.
    pub(super) fn lingers(&self) -> bool {
        matches!(self.state, ChildState::Lingering { .. })
    }

    /// The suite and, over UDP, the ports.
    pub(crate) fn suite(&self) -> EspSuite {
        self.agreed.suite
    }

    pub(crate) fn encapsulated(&self) -> bool {
        self.encapsulation.is_some()
    }
}

/// The most children of one IKE SA, with those that linger: a peer that asks for more has no use for them.
pub(super) const MAX_CHILDREN: usize = 64;
/// How long a deleted child receives what was on its way.
const LINGER: Duration = Duration::from_secs(5);
/// How long the peer is given to show that it has our answer. It repeats its request until it does.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long the peer is given to delete what lost a collision.
const REDUNDANT: Duration = Duration::from_secs(30);
