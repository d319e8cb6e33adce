//! One border gateway that speaks BGP.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::num::NonZeroU8;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bfd::{Diagnostic, SessionConfig, SessionId, State};
use bgp::{Attributes, Change, Family, NO_ADVERTISE, Prefix, SelectionId, SourceId};
use gateway::{AdminState, ConnectionIndex, GatewayIndex, Resources, Routing as Kind};
use ike::TunnelId;
use ipnet::IpNet;
use peering::{Detection, GatewayId, Peering, StateChange};
use tables::{Route, RouteIndex, RouteTable, TunnelGroup};

use super::propagation::Towards;
use super::setup::{self, nowhere};
use super::source::{SourceKey, Sources, network};
use super::stations::Stations;
use super::tunnels::{Member, Tunnels, shares};
use super::{World, connection_of};
use crate::picture::inner_routes;

/// What peers are told that are not wanted any more.
const REMOVED: &str = "taken out of service";

/// One border gateway's BGP, as control knows it.
pub struct Speaking {
    pub id: GatewayId,
    pub name: String,
    pub namespace: String,
    sources: Sources,
    /// Routes of the gateway's own that BGP's thread knows.
    own: BTreeSet<(SourceId, Prefix)>,
    peers: BTreeMap<SourceKey, Peer>,
    /// Who is told what the peers say.
    pub stations: Stations,
    /// Our addresses on the links of attachments: BGP on them is spoken outside the gateway's own namespace.
    outside: Arc<Mutex<BTreeSet<IpAddr>>>,
    /// Whether the namespace was there when BGP began.
    pub has_host: bool,
    /// By number.
    selections: Vec<Selection>,
    table: RouteTable,
    /// BGP's thread has said something: the table holds what it has.
    told: bool,
    /// The gateway's own addresses and its peers', each with its route's place.
    inner: BTreeMap<IpNet, Inner>,
    /// One of them is gone, and what BGP says of its prefix may not be known here.
    bare: bool,
}

/// One peer.
#[derive(Debug)]
pub struct Peer {
    pub source: SourceId,
    detection: Option<SessionConfig>,
    /// There is a way to it, as far as tunnels go, so BFD is spoken.
    reachable: bool,
    /// Since when BFD is up.
    pub bfd_up: bool,
    /// When BFD lost the peer, unless it has found it again.
    lost: Option<Instant>,
    /// What BGP's thread was told last.
    path: bool,
}

/// Sources that share the traffic of prefixes, and where that goes now.
struct Selection {
    sources: Vec<SourceId>,
    members: Vec<(tables::TunnelIndex, NonZeroU8)>,
    route: Option<Route>,
}

/// An address inside the tunnels: its route counts, whatever BGP says of the same prefix.
struct Inner {
    place: RouteIndex,
    /// What BGP says.
    beneath: Option<SelectionId>,
}

impl Speaking {
    pub fn new(
        id: GatewayId,
        (name, namespace): (&str, &str),
        outside: Arc<Mutex<BTreeSet<IpAddr>>>,
        has_host: bool,
    ) -> Self {
        Self {
            outside,
            has_host,
            id,
            name: name.to_owned(),
            namespace: namespace.to_owned(),
            sources: Sources::default(),
            own: BTreeSet::new(),
            peers: BTreeMap::new(),
            stations: Stations::default(),
            selections: Vec::new(),
            table: RouteTable::default(),
            told: false,
            inner: BTreeMap::new(),
            bare: false,
        }
    }

    /// Has BGP's and BFD's threads know the peers that the resources want.
    pub fn take_up(
        &mut self,
        index: GatewayIndex,
        world: World<'_>,
        peering: &Peering,
        detection: &Detection,
        (drained, restarting): (&BTreeSet<TunnelId>, bool),
    ) {
        let mut wanted = Vec::new();
        for ((_, tunnel), id) in world.resources.tunnels_indexed().zip(world.ids.all()) {
            let speaks = world.resources.connection(tunnel.connection).routing == Kind::Bgp;
            if tunnel.gateway != index || !speaks || tunnel.admin != AdminState::Up {
                continue;
            }
            let leaves = drained.contains(id) || tunnel.weight.number() == 0;
            if let Some(setup) = setup::in_tunnel(world.resources, tunnel, leaves, restarting) {
                wanted.push((SourceKey::Peer(*id), setup, setup::detection_in_tunnel(world.resources, tunnel)));
            }
        }
        let routers = || world.resources.routers().iter().filter(|router| router.gateway == index);
        *self.outside.lock().unwrap_or_else(PoisonError::into_inner) = routers().map(|r| r.local_address).collect();
        for router in routers() {
            if let Some(setup) = setup::with_router(world.resources, router, restarting) {
                let key = SourceKey::Router(router.name.as_str().to_owned());
                wanted.push((key, setup, setup::detection_of_router(router)));
            }
        }
        let gone: Vec<_> =
            self.peers.keys().filter(|key| wanted.iter().all(|(known, ..)| known != *key)).cloned().collect();
        for key in gone {
            if let Some(peer) = self.peers.remove(&key) {
                peering.remove(self.id, peer.source, REMOVED);
                detection.remove(self.id, peer.session());
                self.sources.forget(peer.source);
            }
        }
        for (key, setup, session) in wanted {
            let Some((source, _)) = self.sources.number(key.clone()) else { continue };
            peering.configure(self.id, source, setup);
            // It may have been told that it is over, before the resources became what they are now.
            peering.with(self.id, move |speaker, ctx| speaker.start(source, ctx));
            let peer = self.peers.entry(key).or_insert_with(|| {
                // Until its tunnel is up there is no way to it.
                peering.with(self.id, move |speaker, ctx| speaker.set_path(source, false, ctx));
                Peer { source, detection: None, reachable: false, bfd_up: false, lost: None, path: false }
            });
            if peer.reachable && peer.detection != session {
                peer.speak_bfd(self.id, session.clone(), detection);
            }
            peer.detection = session;
        }
    }

    /// Ends the sessions with some peers, with these words to them. Whether there were any.
    pub fn part(&mut self, peering: &Peering, leaves: impl Fn(&SourceKey) -> bool, words: &str) -> bool {
        let leaving: Vec<_> = self.peers.iter().filter(|(key, _)| leaves(key)).map(|(_, peer)| peer.source).collect();
        for source in &leaving {
            let (source, words) = (*source, words.to_owned());
            peering.with(self.id, move |speaker, ctx| speaker.stop(source, &words, ctx));
        }
        !leaving.is_empty()
    }

    /// Tells BGP's and BFD's threads which tunnels are up, and which static routes there are with them.
    pub fn follow_tunnels(&mut self, world: World<'_>, peering: &Peering, detection: &Detection) {
        let tunnels = Tunnels::new(world, &BTreeSet::new(), &BTreeSet::new());
        for (key, peer) in &mut self.peers {
            let up = match key {
                SourceKey::Peer(tunnel) => tunnels.member(*tunnel).is_some(),
                _ => true,
            };
            if up != peer.reachable {
                peer.reachable = up;
                (peer.lost, peer.bfd_up) = (None, false);
                let session = peer.detection.clone().filter(|_| up);
                peer.speak_bfd(self.id, session, detection);
            }
            let path = up && peer.lost.is_none();
            if path != peer.path {
                peer.path = path;
                let source = peer.source;
                peering.with(self.id, move |speaker, ctx| speaker.set_path(source, path, ctx));
            }
        }
        self.originate(world, peering);
    }

    /// Has BGP's thread know the gateway's own routes.
    fn originate(&mut self, world: World<'_>, peering: &Peering) {
        let Some(index) = self.index(world.resources) else { return };
        let tunnels = Tunnels::new(world, &BTreeSet::new(), &self.lost());
        let mut wanted: BTreeSet<(SourceKey, Prefix)> = BTreeSet::new();
        let connection_name = |connection| world.resources.connection(connection).name.as_str().to_owned();
        let attachment_name = |attachment| world.resources.attachment(attachment).name.as_str().to_owned();
        for route in gateway::static_routes(world.resources, index) {
            let prefix = setup::prefix(route.destination);
            if let Some(connection) = connection_of(route.target) {
                wanted.insert((SourceKey::Unreachable, prefix));
                if !tunnels.of_connection(connection).is_empty() {
                    wanted.insert((SourceKey::StaticConnection(connection_name(connection)), prefix));
                }
                continue;
            }
            wanted.insert(match route.target {
                gateway::RouteTarget::Attachment(attachment) => {
                    (SourceKey::StaticAttachment(attachment_name(attachment)), prefix)
                }
                gateway::RouteTarget::Reject => (SourceKey::Reject, prefix),
                gateway::RouteTarget::Blackhole | gateway::RouteTarget::Connection(_) => (SourceKey::Blackhole, prefix),
            });
        }
        for route in gateway::propagated_routes(world.resources, index) {
            if let gateway::RouteTarget::Attachment(attachment) = route.target {
                wanted.insert((SourceKey::Propagated(attachment_name(attachment)), setup::prefix(route.destination)));
            }
        }
        self.replace_own(wanted, peering);
    }

    fn replace_own(&mut self, wanted: BTreeSet<(SourceKey, Prefix)>, peering: &Peering) {
        let mut own = BTreeSet::new();
        for (key, prefix) in wanted {
            let worth = key.worth();
            let Some((source, new)) = self.sources.number(key) else { continue };
            if let Some(worth) = worth.filter(|_| new) {
                peering.with(self.id, move |speaker, _| speaker.add_own(source, worth));
            }
            own.insert((source, prefix));
        }
        let gone: Vec<_> = self.own.difference(&own).copied().collect();
        let come: Vec<_> = own.difference(&self.own).copied().collect();
        if !gone.is_empty() || !come.is_empty() {
            let unreachable = self.sources.id(&SourceKey::Unreachable);
            peering.with(self.id, move |speaker, _| {
                gone.iter().for_each(|(source, prefix)| speaker.retract(*source, prefix));
                for (source, prefix) in come {
                    let mut attributes = Attributes::originated(nowhere(Family::of(&prefix)));
                    if Some(source) == unreachable {
                        attributes.add_community(NO_ADVERTISE);
                    }
                    speaker.originate(source, prefix, attributes);
                }
            });
        }
        self.own = own;
    }

    /// Takes in sets of sources that were not spoken of before.
    pub fn learn(&mut self, selections: Vec<(SelectionId, Vec<SourceId>)>) {
        for (_, sources) in selections {
            self.selections.push(Selection { sources, members: Vec::new(), route: None });
        }
        self.told = true;
    }

    /// Makes routes anew where they lead elsewhere now; whether any does.
    pub fn make_routes(&mut self, index: GatewayIndex, world: World<'_>, drained: &BTreeSet<TunnelId>) -> bool {
        let tunnels = Tunnels::new(world, drained, &self.lost());
        let mut changed = false;
        for (number, selection) in (0..).zip(&mut self.selections) {
            let Some((members, other)) = destination(world.resources, &self.sources, &selection.sources, &tunnels)
            else {
                continue;
            };
            let route = match other {
                Some(route) => route,
                None => {
                    let members = shares(members);
                    if selection.route.is_some() && members == selection.members {
                        continue;
                    }
                    let group = match &selection.route {
                        Some(Route::Tunnels(group)) => group.changed(&members),
                        _ => TunnelGroup::new(&members),
                    };
                    selection.members = members;
                    Route::Tunnels(group)
                }
            };
            if selection.route.as_ref() != Some(&route) {
                self.table.set_route(place_of(SelectionId(number)), route.clone());
                selection.route = Some(route);
                changed = true;
            }
        }
        changed | self.make_inner_routes(index, world)
    }

    /// Has BGP's thread say again what may not be known here.
    pub fn ask_again(&mut self, peering: &Peering) {
        if std::mem::take(&mut self.bare) {
            peering.with(self.id, |speaker, _| speaker.repeat_routes());
        }
    }

    /// The gateway's own addresses are the host's, and its peers' lie behind their tunnels.
    fn make_inner_routes(&mut self, index: GatewayIndex, world: World<'_>) -> bool {
        let routes = inner_routes(world.resources, world.ids, index, |_, id| world.up.contains(&id));
        let wanted: BTreeMap<IpNet, Route> = routes.map(|(address, route)| (address.into(), route)).collect();
        let mut changes = Vec::new();
        let gone: Vec<IpNet> = self.inner.keys().filter(|net| !wanted.contains_key(net)).copied().collect();
        for net in gone {
            if let Some(inner) = self.inner.remove(&net) {
                changes.push((net, inner.beneath.map(place_of)));
                self.table.remove_route(inner.place);
                self.bare |= inner.beneath.is_none();
            }
        }
        let mut changed = !changes.is_empty();
        for (net, route) in wanted {
            let place = match self.inner.get(&net) {
                Some(inner) => inner.place,
                None => {
                    let place = self.free_inner_place();
                    // What BGP has said of it before, the table does not tell.
                    self.inner.insert(net, Inner { place, beneath: None });
                    changes.push((net, Some(place)));
                    place
                }
            };
            if self.table.route(place) != Some(&route) {
                self.table.set_route(place, route);
                changed = true;
            }
        }
        self.table.change_prefixes(changes);
        changed
    }

    fn free_inner_place(&self) -> RouteIndex {
        let taken: BTreeSet<u32> = self.inner.values().map(|inner| inner.place.0).collect();
        // Selections have the even places.
        RouteIndex((0..).map(|number| 2 * number + 1).find(|place| !taken.contains(place)).unwrap_or(1))
    }

    /// Puts what BGP has chosen into the table.
    pub fn apply(&mut self, changes: &[Change]) {
        let inner = &mut self.inner;
        let changes = changes.iter().filter_map(|change| {
            let net = network(change.prefix);
            if net.prefix_len() == net.max_prefix_len()
                && let Some(known) = inner.get_mut(&net)
            {
                known.beneath = change.selection;
                return None;
            }
            Some((net, change.selection.map(place_of)))
        });
        self.table.change_prefixes(changes);
    }

    /// A prefix that has changed, and whom it leads to now, as far as kernels are told.
    pub fn way(&self, change: &Change) -> (IpNet, Option<Towards>) {
        let selection = change.selection.and_then(|SelectionId(number)| self.selections.get(number as usize));
        let towards = |source: &SourceId| match self.sources.key(*source)? {
            SourceKey::Peer(_) | SourceKey::StaticConnection(_) => Some(Towards::Customers),
            SourceKey::Router(name) => Some(Towards::Router(name.clone())),
            _ => None,
        };
        let way = selection.and_then(|selection| selection.sources.iter().find_map(towards));
        (network(change.prefix), way)
    }

    /// BFD has seen something of a peer: whether it has lost it. `None` if it is no news.
    pub fn take_change(&mut self, change: StateChange, now: Instant) -> Option<bool> {
        let mut peers = self.peers.values_mut();
        let peer = peers.find(|peer| peer.session() == change.session).filter(|peer| peer.reachable)?;
        peer.bfd_up = change.to == State::Up;
        if peer.bfd_up {
            peer.lost = None;
            return Some(false);
        }
        // RFC 5882 §3.2: one that is taken down on purpose says nothing of the path.
        let on_purpose = change.to == State::AdminDown || change.remote_diagnostic == Diagnostic::AdministrativelyDown;
        if change.from == State::Up && !on_purpose {
            peer.lost = Some(now);
            return Some(true);
        }
        (change.from == State::Up).then_some(false)
    }

    /// Does not wait any longer for BFD that has not come back. Whether there was any.
    pub fn expire(&mut self, now: Instant, after: Duration) -> bool {
        let late = |peer: &&mut Peer| peer.lost.is_some_and(|at| now.saturating_duration_since(at) >= after);
        self.peers.values_mut().filter(late).map(|peer| peer.lost = None).count() > 0
    }

    pub fn table(&self) -> Option<&RouteTable> {
        self.told.then_some(&self.table)
    }

    /// What a session of BFD is with.
    pub fn key_of_session(&self, session: SessionId) -> Option<&SourceKey> {
        self.peers.iter().find(|(_, peer)| peer.session() == session).map(|(key, _)| key)
    }

    pub fn peers(&self) -> impl Iterator<Item = (&SourceKey, &Peer)> {
        self.peers.iter()
    }

    pub fn peer(&self, key: &SourceKey) -> Option<&Peer> {
        self.peers.get(key)
    }

    /// Every source with its number.
    pub fn sources(&self) -> &Sources {
        &self.sources
    }

    /// The tunnels in which BFD has lost the peer.
    fn lost(&self) -> BTreeSet<TunnelId> {
        let lost = self.peers.iter().filter(|(_, peer)| peer.lost.is_some());
        lost.filter_map(|(key, _)| key.tunnel()).collect()
    }

    fn index(&self, resources: &Resources) -> Option<GatewayIndex> {
        let place = resources.gateways().iter().position(|owner| owner.name.as_str() == self.name)?;
        Some(GatewayIndex(place as u32))
    }
}

impl Peer {
    /// Has BFD's thread speak to the peer as this says, or not at all.
    fn speak_bfd(&self, gateway: GatewayId, session: Option<SessionConfig>, detection: &Detection) {
        match session {
            Some(session) => detection.configure(gateway, self.session(), session),
            None => detection.remove(gateway, self.session()),
        }
    }

    /// The name of its BFD session.
    fn session(&self) -> SessionId {
        SessionId(self.source.0.into())
    }

    /// Whether BFD is to be spoken with it.
    pub fn has_bfd(&self) -> bool {
        self.detection.is_some()
    }
}

/// Selections have the even places of the table.
fn place_of(SelectionId(number): SelectionId) -> RouteIndex {
    RouteIndex(2 * number)
}

/// The tunnels that a selection's traffic may take, or what becomes of it otherwise. `None` if its sources are gone.
#[allow(clippy::type_complexity, reason = "the two kinds of answer")]
fn destination(
    resources: &Resources,
    sources: &Sources,
    chosen: &[SourceId],
    tunnels: &Tunnels,
) -> Option<(Vec<Member>, Option<Route>)> {
    let mut members = Vec::new();
    let mut any = false;
    for key in chosen.iter().filter_map(|source| sources.key(*source)) {
        any = true;
        match key {
            SourceKey::Peer(tunnel) => members.extend(tunnels.member(*tunnel)),
            SourceKey::StaticConnection(name) => {
                let place = resources.connections().iter().position(|known| known.name.as_str() == name);
                let connection = place.map(|place| ConnectionIndex(place as u32));
                members.extend(connection.into_iter().flat_map(|connection| tunnels.of_connection(connection)));
            }
            // The best are of one kind of next hop, and the rules of a file allow one attachment for a destination.
            SourceKey::StaticAttachment(name) | SourceKey::Propagated(name) => {
                let place = resources.attachments().iter().position(|known| known.name.as_str() == name);
                let attachment = place.map(|place| Route::Attachment(tables::AttachmentIndex(place as u32)));
                return attachment.map(|route| (members, Some(route)));
            }
            SourceKey::Router(name) => {
                let router = resources.routers().iter().find(|known| known.name.as_str() == name);
                let route = router.map(|router| Route::Attachment(tables::AttachmentIndex(router.attachment.0)));
                return route.map(|route| (members, Some(route)));
            }
            SourceKey::Blackhole => return Some((members, Some(Route::Blackhole))),
            SourceKey::Reject => return Some((members, Some(Route::Reject))),
            SourceKey::Unreachable => {}
        }
    }
    any.then_some((members, None))
}
