//! The routes of border gateways that speak BGP: its threads are told what the resources want and which tunnels are up, and
//! what they say becomes the gateways' tables.
//!
//! One way: resources and tunnels go in by [`Routing::take_up`] and [`Routing::follow`], reports of the threads by
//! [`Routing::take_reports`]; [`Routing::table`] is what workers read.

mod answer;
pub mod command;
mod event_log;
mod propagation;
mod setup;
mod source;
mod speaking;
mod stations;
mod tunnels;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use gateway::{GatewayIndex, Resources, RouteTarget, Routing as Kind};
use ike::TunnelId;
use peering::{Detection, GatewayId, GatewaySetup, Peering, Report, StateChange, StationEvent, StationId};
use rand::SeedableRng;
use rand::rngs::StdRng;
use tables::RouteTable;

pub use event_log::{Entry as LogEntry, EventLog};
use propagation::{Propagator, Target, Towards};
pub use source::SourceKey;
pub use speaking::{Peer, Speaking};
use tunnels::Tunnels;
pub use tunnels::shares;

use crate::hosts::Hosts;
use crate::picture::network;
use crate::tunnel_ids::TunnelIds;

/// Reports taken in one turn, as many as may wait: what comes together is put into the tables together.
const REPORTS_PER_TURN: usize = 64;
/// After a restart of ours: how long peers are waited for at most before the others are told anything (RFC 4724 §4.1).
const DEFERRAL: Duration = Duration::from_secs(60);
/// After BFD has lost a peer and does not find it again: BGP then has a try without it (RFC 5882 §4.1).
const WITHOUT_BFD: Duration = Duration::from_secs(30);

/// The routes of all border gateways that speak BGP, and what the networks behind all gateways are told.
pub struct Routing {
    peering: Peering,
    detection: Detection,
    propagator: Propagator,
    /// By place in the resources.
    gateways: BTreeMap<GatewayIndex, Speaking>,
    /// Tunnels that peers are to leave, though the resources do not say so.
    drained: BTreeSet<TunnelId>,
    last_id: u32,
    /// Until when peers are told that we have restarted: this process follows one that did not say that it ended.
    restarting_until: Option<Instant>,
    pub log: EventLog,
}

/// What the threads have said.
pub struct Reports {
    changes: Vec<StateChange>,
    reports: Vec<Report>,
}

/// What routing depends on.
#[derive(Clone, Copy)]
pub struct World<'a> {
    pub resources: &'a Resources,
    pub ids: &'a TunnelIds,
    /// Tunnels that have a child SA to send with.
    pub up: &'a BTreeSet<TunnelId>,
}

impl Routing {
    /// Starts the threads. `restarting`: this process follows one that did not say that it ended.
    ///
    /// # Errors
    /// The kernel's.
    pub fn start(restarting: bool) -> io::Result<Self> {
        let rng = || StdRng::from_rng(&mut rand::rng());
        Ok(Self {
            peering: Peering::start(rng())?,
            detection: Detection::start(rng())?,
            propagator: Propagator::start()?,
            gateways: BTreeMap::new(),
            drained: BTreeSet::new(),
            last_id: 0,
            restarting_until: restarting.then(|| Instant::now() + DEFERRAL),
            log: EventLog::default(),
        })
    }

    /// Has the threads do what the resources want now.
    pub fn take_up(&mut self, world: World<'_>, hosts: &Hosts, now: Instant) {
        let restarting = self.restarting_until.is_some_and(|at| at > now);
        let mut before: Vec<Speaking> = std::mem::take(&mut self.gateways).into_values().collect();
        for (place, owner) in (0..).zip(world.resources.gateways()) {
            let index = GatewayIndex(place);
            let (connections, routers) = (world.resources.connections(), world.resources.routers());
            let in_tunnels = connections.iter().any(|known| known.gateway == index && known.routing == Kind::Bgp);
            if !in_tunnels && routers.iter().all(|known| known.gateway != index) {
                continue;
            }
            let (name, namespace) = (owner.name.as_str(), owner.namespace.as_str());
            // One that has come to have inner addresses begins anew, in the namespace that is there now.
            let has_host = hosts.has_host(index);
            let same =
                |known: &Speaking| (&*known.name, &*known.namespace, known.has_host) == (name, namespace, has_host);
            let speaking = match before.iter().position(same) {
                Some(known) => before.swap_remove(known),
                None => self.open(index, (name, namespace), hosts, restarting),
            };
            self.gateways.insert(index, speaking);
        }
        for gone in before {
            self.peering.close(gone.id);
            self.detection.close(gone.id);
        }
        let alive: BTreeSet<TunnelId> = world.ids.all().iter().copied().collect();
        self.drained.retain(|tunnel| alive.contains(tunnel));
        for (index, speaking) in &mut self.gateways {
            speaking.take_up(*index, world, &self.peering, &self.detection, (&self.drained, restarting));
            speaking.stations.take_up(speaking.id, *index, world.resources, &self.peering);
        }
        self.propagator.take_up(targets(world.resources));
        for (index, speaking) in &self.gateways {
            // What is propagated follows from changes, so all there is has to be said again for a network that is new.
            if self.propagator.wants_all(*index) {
                self.peering.with(speaking.id, |speaker, _| speaker.repeat_routes());
            }
        }
        self.follow(world);
    }

    fn open(
        &mut self,
        index: GatewayIndex,
        (name, namespace): (&str, &str),
        hosts: &Hosts,
        restarting: bool,
    ) -> Speaking {
        self.last_id += 1;
        let id = GatewayId(self.last_id);
        let outside = Arc::new(Mutex::new(BTreeSet::new()));
        let opener = || hosts.socket_opener(index, Arc::clone(&outside));
        let deferral = restarting.then_some(DEFERRAL);
        let setup = GatewaySetup { open_socket: opener(), own: Vec::new(), deferral, port: peering::PORT };
        self.peering.open(id, setup);
        self.detection.open(id, opener());
        Speaking::new(id, (name, namespace), outside, hosts.has_host(index))
    }

    /// Tunnels have come up or gone down, or have another weight. The gateways whose traffic goes another way, of those that
    /// speak BGP.
    pub fn follow(&mut self, world: World<'_>) -> BTreeSet<GatewayIndex> {
        let mut moved = BTreeSet::new();
        for (index, speaking) in &mut self.gateways {
            speaking.follow_tunnels(world, &self.peering, &self.detection);
            if speaking.make_routes(*index, world, &self.drained) {
                moved.insert(*index);
            }
            speaking.ask_again(&self.peering);
        }
        // Those that speak no BGP have the routes of the resources.
        let tunnels = Tunnels::new(world, &self.drained, &BTreeSet::new());
        for index in (0..world.resources.gateways().len() as u32).map(GatewayIndex) {
            if !self.gateways.contains_key(&index) && self.propagator.is_wanted(index) {
                let routes = gateway::valid_routes(world.resources, index, tunnels.usable());
                let ways = routes.into_iter().filter_map(|route| match route.next_hop {
                    gateway::NextHop::Tunnels(_) => Some(network(route.prefix)),
                    _ => None,
                });
                self.propagator.replace(index, ways.collect());
            }
        }
        moved
    }

    /// What the threads have to say; `None` if that is nothing.
    pub fn poll(&mut self) -> Option<Reports> {
        let changes: Vec<_> = std::iter::from_fn(|| self.detection.poll_change()).collect();
        let reports: Vec<_> = std::iter::from_fn(|| self.peering.poll_report()).take(REPORTS_PER_TURN).collect();
        (!changes.is_empty() || !reports.is_empty()).then_some(Reports { changes, reports })
    }

    /// Takes that in. The gateways whose traffic goes another way.
    pub fn take_reports(&mut self, said: Reports, world: World<'_>, now: Instant) -> BTreeSet<GatewayIndex> {
        let failed = said.changes.into_iter().fold(false, |any, change| any | self.take_change(world, change, now));
        let mut moved = if failed { self.follow(world) } else { BTreeSet::new() };
        let mut changes: BTreeMap<GatewayId, Vec<bgp::Change>> = BTreeMap::new();
        for report in said.reports {
            match report {
                Report::Event { gateway, peer, event } => self.note(world, gateway, peer, event),
                Report::Station { gateway, station, event } => self.note_station(world, gateway, station, &event),
                Report::Routes { gateway, selections, changes: more } => {
                    let Some(speaking) = self.gateways.values_mut().find(|known| known.id == gateway) else { continue };
                    speaking.learn(selections);
                    changes.entry(gateway).or_default().extend(more);
                }
            }
        }
        for (id, changes) in changes {
            let Some((index, speaking)) = self.gateways.iter_mut().find(|(_, known)| known.id == id) else { continue };
            speaking.make_routes(*index, world, &self.drained);
            speaking.apply(&changes);
            if self.propagator.is_wanted(*index) {
                self.propagator.change(*index, changes.iter().map(|change| speaking.way(change)));
            }
            moved.insert(*index);
        }
        moved
    }

    fn take_change(&mut self, world: World<'_>, change: StateChange, now: Instant) -> bool {
        let Some((index, speaking)) = self.gateways.iter_mut().find(|(_, known)| known.id == change.gateway) else {
            return false;
        };
        let Some(lost) = speaking.take_change(change, now) else { return false };
        let gateway = world.resources.gateway(*index).name.as_str();
        let name = speaking.key_of_session(change.session).map_or("?", |key| peer_name(world, key));
        self.log.note(gateway, name, &event_log::bfd_words(&change, lost));
        lost || change.to == bfd::State::Up
    }

    fn note(&mut self, world: World<'_>, gateway: GatewayId, peer: bgp::SourceId, event: bgp::Event) {
        let Some((index, speaking)) = self.gateways.iter().find(|(_, known)| known.id == gateway) else { return };
        let Some(key) = speaking.sources().key(peer) else { return };
        let gateway = world.resources.gateway(*index).name.as_str();
        self.log.note(gateway, peer_name(world, key), &event_log::words(&event));
    }

    fn note_station(&mut self, world: World<'_>, gateway: GatewayId, station: StationId, event: &StationEvent) {
        let Some((index, speaking)) = self.gateways.iter().find(|(_, known)| known.id == gateway) else { return };
        let Some(name) = speaking.stations.name(station) else { return };
        let gateway = world.resources.gateway(*index).name.as_str();
        self.log.note(gateway, name, &event_log::station_words(event));
    }

    /// BFD that has not come back is not waited for any longer. Whether that is so for any peer.
    pub fn expire(&mut self, now: Instant) -> bool {
        self.gateways.values_mut().fold(false, |any, speaking| any | speaking.expire(now, WITHOUT_BFD))
    }

    /// Has peers leave a tunnel, or come back to it. Whether that is a change.
    pub fn drain(&mut self, tunnel: TunnelId, on: bool) -> bool {
        if on { self.drained.insert(tunnel) } else { self.drained.remove(&tunnel) }
    }

    /// Whether an operator has peers leave a tunnel.
    pub fn is_drained(&self, tunnel: TunnelId) -> bool {
        self.drained.contains(&tunnel)
    }

    /// Ends the sessions with some peers, with these words to them (RFC 9003). Whether there were any.
    pub fn part(&mut self, leaves: impl Fn(&SourceKey) -> bool, words: &str) -> bool {
        let mut any = false;
        for speaking in self.gateways.values_mut() {
            any |= speaking.part(&self.peering, &leaves, words);
        }
        any
    }

    /// What a gateway's workers look destinations up in; `None` where the resources alone say, as BGP has not yet, or
    /// never does.
    pub fn table(&self, gateway: GatewayIndex) -> Option<&RouteTable> {
        self.gateways.get(&gateway)?.table()
    }

    /// The gateways that speak BGP.
    pub fn speaking(&self) -> impl Iterator<Item = (GatewayIndex, &Speaking)> {
        self.gateways.iter().map(|(index, speaking)| (*index, speaking))
    }

    /// BGP's thread.
    pub fn peering(&self) -> &Peering {
        &self.peering
    }
}

/// What a peer is called: its tunnel's name, or a router's.
fn peer_name<'a>(world: World<'a>, key: &'a SourceKey) -> &'a str {
    match key {
        SourceKey::Peer(tunnel) => {
            world.ids.index(*tunnel).map_or("?", |index| world.resources.tunnel(index).name.as_str())
        }
        SourceKey::Router(name) => name,
        _ => "?",
    }
}

/// Where which routes of a gateway's are to appear: those to customers where attachments want them, and those that a router
/// has told in our own kernel, from which the workers have the ways to the networks behind attachments.
fn targets(resources: &Resources) -> Vec<(GatewayIndex, Target)> {
    let to_customers = resources.attachments().iter().filter_map(|attachment| {
        let propagation = attachment.propagation.as_ref()?;
        let namespace = propagation.namespace.as_ref().map(|name| name.as_str().to_owned());
        let (table, via) = (propagation.table, propagation.via.clone());
        Some((attachment.gateway, Target { of: Towards::Customers, namespace, table, via, priority: None }))
    });
    let to_routers = resources.routers().iter().map(|router| {
        let of = Towards::Router(router.name.as_str().to_owned());
        // Tenants may have the same prefixes; each has routes of its own.
        let priority = Some(FIRST_PRIORITY + router.gateway.0);
        (router.gateway, Target { of, namespace: None, table: MAIN, via: vec![router.address], priority })
    });
    to_customers.chain(to_routers).collect()
}

/// The kernel's main routing table.
const MAIN: u32 = 254;
/// Of routes that a VPC router has told; each gateway has a priority of its own, behind those that an administrator gives.
const FIRST_PRIORITY: u32 = 1000;

/// Whether a route's target is a connection.
fn connection_of(target: RouteTarget) -> Option<gateway::ConnectionIndex> {
    match target {
        RouteTarget::Connection(connection) => Some(connection),
        RouteTarget::Attachment(_) | RouteTarget::Blackhole | RouteTarget::Reject => None,
    }
}
