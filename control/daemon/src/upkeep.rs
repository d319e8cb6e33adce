//! What control does besides IKE: it follows the kernel, has neighbours resolved, and watches the SAs.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Instant;

use anyhow::Context;
use ike::{DownReason, TunnelId};

use crate::associations::Child;
use crate::control::{Control, own};
use crate::failure::Failure;
use crate::kernel::Netlink;
use crate::routing::World;
use crate::traffic::Traffic;
use crate::volume::{Degree, Reached};

/// Sequence numbers below the last at which an SA is replaced: more than can be used until that is done.
const RESERVE: u64 = 1 << 28;
/// Neighbours asked for in one turn for one worker.
const NEIGHBOURS_PER_TURN: usize = 64;
/// Neighbours learnt at once from one worker, as many as its queue holds.
const NEIGHBOURS_PER_LOOK: usize = 256;

impl Control {
    /// Neighbours that packets wait for in vain.
    pub(crate) fn resolve(&mut self, now: Instant) {
        for worker in 0..self.dataplane.workers.len() {
            for _ in 0..NEIGHBOURS_PER_TURN {
                let Some(unresolved) = self.dataplane.workers[worker].handle.unresolved() else { break };
                if let Some(interface) = self.picture().interface_of(unresolved) {
                    self.probe(interface, unresolved.address, now);
                }
            }
        }
    }

    /// Takes in neighbours that have shown themselves, and sets tunnels up anew whose SAs have carried what they may.
    pub(crate) fn look(&mut self) {
        let mut changed = false;
        for worker in &self.dataplane.workers {
            for _ in 0..NEIGHBOURS_PER_LOOK {
                let Some(seen) = worker.handle.seen() else { break };
                changed |= self.learnt.learn(seen);
            }
        }
        if changed {
            self.snapshot.attachments = self.picture().attachments();
            self.publish();
        }
        let dataplane = &self.dataplane;
        let reached = self.associations.reached(|slots| Traffic::of(dataplane.handles(), slots));
        for (tunnel, inbound_spi, reached) in reached {
            let Reached { degree, name, carried, limit } = reached;
            let name_of = self.name(tunnel);
            match degree {
                Degree::Soft => {
                    tracing::info!(tunnel = name_of, limit = name, of = limit, carried, "soft limit reached: rekeying");
                    self.with_ike(|endpoint, context| endpoint.rekey_child(tunnel, inbound_spi, context));
                }
                // One that another has taken the place of may carry what is still under way.
                Degree::Hard if self.associations.senders(tunnel).all(|c| c.sa.inbound_spi != inbound_spi) => {}
                Degree::Hard => {
                    tracing::info!(
                        tunnel = name_of,
                        limit = name,
                        of = limit,
                        carried,
                        "hard limit reached: setting it up anew"
                    );
                    self.set_up_anew(tunnel);
                }
            }
        }
    }

    /// Has routing know what the resources want.
    pub(crate) fn take_up_routing(&mut self, now: Instant) {
        let up: BTreeSet<TunnelId> = self.associations.up().collect();
        let world = World { resources: &self.resources, ids: &self.ids, up: &up };
        self.routing.take_up(world, &self.hosts, now);
    }

    /// Has routing know which tunnels are up.
    pub(crate) fn follow_tunnels(&mut self) {
        let up: BTreeSet<TunnelId> = self.associations.up().collect();
        let world = World { resources: &self.resources, ids: &self.ids, up: &up };
        self.routing.follow(world);
    }

    /// Takes in what BGP and BFD have found out.
    pub(crate) fn follow_routing(&mut self, now: Instant) {
        if let Some(reports) = self.routing.poll() {
            let up: BTreeSet<TunnelId> = self.associations.up().collect();
            let world = World { resources: &self.resources, ids: &self.ids, up: &up };
            let moved = self.routing.take_reports(reports, world, now);
            if !moved.is_empty() {
                for index in moved {
                    let gateway = self.picture().gateway(index);
                    self.snapshot.gateways.insert(index.position(), gateway);
                }
                self.publish();
            }
        }
        if let Some((_, resources, layout)) = self.parting.take_if(|(at, ..)| *at <= now) {
            self.take_up(resources, layout);
        }
    }

    /// Traffic goes other ways, as routing knows already, though no tunnel has come or gone.
    pub(crate) fn publish_gateways(&mut self) {
        self.snapshot.gateways = self.picture().gateways();
        self.publish();
    }

    pub(crate) fn probe(&mut self, interface: u32, address: IpAddr, now: Instant) {
        if self.probes.due(interface, address, now)
            && let Err(error) = self.netlink.probe(interface, address)
        {
            tracing::debug!(%address, %error, "the kernel was not to be asked for a neighbour");
        }
    }

    /// Takes in what the kernel tells; everything anew where it lost something.
    pub(crate) fn follow_kernel(&mut self, ready: std::io::Result<()>) -> Result<(), Failure> {
        let changed = match ready.and_then(|()| self.netlink.drain(&mut self.view)) {
            Ok(changed) => changed,
            Err(error) => {
                tracing::warn!(%error, "notifications of the kernel were lost: reading everything anew");
                let opened = Netlink::open().context("reading the kernel's network configuration over netlink")?;
                (self.netlink, self.view) = opened;
                true
            }
        };
        if changed {
            self.snapshot.attachments = self.picture().attachments();
            self.publish_paths();
            self.tell_programs();
        }
        Ok(())
    }

    /// Makes anew what depends on the ways to the peers, and publishes it.
    pub(crate) fn publish_paths(&mut self) {
        self.snapshot.inbound = self.picture().inbound();
        (self.snapshot.tunnels, self.snapshot.further) = self.picture().sending();
        self.publish();
    }

    /// The host's own addresses and MACs, which decide what the VPC side leaves to the kernel.
    pub(crate) fn tell_programs(&mut self) {
        let own = own(&self.view, &self.layout);
        if own != self.own {
            let addresses: Vec<IpAddr> = own.0.iter().copied().collect();
            match self.dataplane.steer.set_local_addresses(&addresses) {
                Ok(()) => self.own = own,
                Err(error) => tracing::error!(%error, "the steering programs do not know the host's addresses"),
            }
        }
    }

    pub(crate) fn every_second(&mut self, now: Instant) {
        self.rates.sample(now, self.dataplane.handles().map(worker::Handle::counters));
        // The kernel does not see the traffic, so it would forget the neighbours that carry it.
        let configured = self.resources.tunnels().iter().map(|tunnel| tunnel.remote_address);
        // Those that have moved are elsewhere.
        let moved = self.associations.children().iter().map(|child| child.sa.remote);
        let peers: BTreeSet<IpAddr> = configured.chain(moved).collect();
        for peer in peers {
            if let Some(path) = self.picture().path(peer)
                && (path.link.is_none()
                    || self.view.neighbours.stale(path.interface).any(|stale| stale == path.next_hop))
            {
                self.probe(path.interface, path.next_hop, now);
            }
        }
        if !self.associations.children().is_empty() {
            let behind = self.layout.interfaces().iter().filter(|interface| interface.side == steer::Side::Vpc);
            let stale: Vec<_> = behind
                .flat_map(|interface| {
                    self.view.neighbours.stale(interface.index).map(|address| (interface.index, address))
                })
                .collect();
            for (interface, address) in stale {
                self.probe(interface, address, now);
            }
        }
        if self.routing.expire(now) {
            self.follow_tunnels();
            self.publish_gateways();
        }
        self.expire_path_mtus(now);
        self.watch_associations(now);
    }

    /// Tells IKE of peers that were heard, and replaces SAs before their sequence numbers are used up.
    pub(crate) fn watch_associations(&mut self, now: Instant) {
        let tunnels: BTreeSet<TunnelId> = self.associations.children().iter().map(|child| child.sa.tunnel).collect();
        for tunnel in tunnels {
            let heard = self.traffic(tunnel).packets_in;
            if self.heard.insert(tunnel, heard).is_some_and(|before| before != heard) {
                self.endpoint.note_inbound_traffic(tunnel, now);
            }
            let last = |child: &Child| if child.sa.esn { u64::MAX >> 1 } else { u64::from(u32::MAX) };
            if self.associations.senders(tunnel).any(|child| child.outbound.sealed() >= last(child) - RESERVE) {
                tracing::info!(tunnel = self.name(tunnel), "sequence numbers are nearly used up: setting it up anew");
                self.set_up_anew(tunnel);
            }
        }
    }

    /// What is done at the end of a child SA's lifetime.
    fn set_up_anew(&mut self, tunnel: TunnelId) {
        let Some(child) = self.associations.sending(tunnel) else { return };
        let seconds = child.sa.lifetime.as_secs();
        self.with_ike(|endpoint, context| {
            let reason = DownReason::LifetimeExpired { lifetime: ike::Lifetime::Child, seconds };
            endpoint.terminate(tunnel, reason, context);
            endpoint.set_admin(tunnel, ike::Admin::Up, context);
        });
    }
}
