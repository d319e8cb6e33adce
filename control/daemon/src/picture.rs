//! The parts of the snapshot, each made anew from what it depends on.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::num::NonZeroU8;
use std::sync::Arc;

use gateway::{NextHop, Prefix, Resources};
use ipnet::IpNet;
use tables::{
    Attachment, AttachmentIndex, GatewayIndex, Inbound, LinkHeader, Outbound, PortIndex, PortRole, Route, RouteIndex,
    RouteTable, SlotTable, Snapshot, TunnelGroup, TunnelIndex,
};
use wire::MacAddress;

use crate::associations::{Associations, Child};
use crate::kernel::KernelView;
use crate::layout::Layout;
use crate::tunnel_ids::TunnelIds;

/// All that a snapshot is made from.
#[derive(Clone, Copy)]
pub struct Picture<'a> {
    pub resources: &'a Resources,
    pub ids: &'a TunnelIds,
    pub layout: &'a Layout,
    pub view: &'a KernelView,
    pub associations: &'a Associations,
}

impl Picture<'_> {
    /// Every part.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            ports: self.ports(),
            inbound: self.inbound(),
            tunnels: self.tunnels(),
            gateways: self.gateways(),
            attachments: self.attachments(),
        }
    }

    /// What each port is for: depends on the resources.
    pub fn ports(&self) -> Arc<[PortRole]> {
        let role = |name: &str| {
            let attachment = self.resources.attachments().iter().find(|a| a.interface.as_str() == name);
            attachment.map_or(PortRole::Wan, |attachment| PortRole::Vpc(GatewayIndex(attachment.gateway.0)))
        };
        self.layout.interfaces().iter().map(|interface| role(&interface.name)).collect()
    }

    /// Inbound associations: depend on the children and the resources.
    pub fn inbound(&self) -> SlotTable<Inbound> {
        let inbound = |child: &Child| {
            let gateway = self.resources.tunnel(self.ids.index(child.sa.tunnel)?).gateway;
            let first = self.resources.attachments().iter().position(|attachment| attachment.gateway == gateway);
            let inbound = Inbound::new(
                Arc::clone(&child.inbound),
                TunnelIndex(child.sa.tunnel.0),
                GatewayIndex(gateway.0),
                // Without an attachment there is no route either, and workers drop for that reason.
                AttachmentIndex(first.map_or(u32::MAX, |position| position as u32)),
                child.selectors.clone(),
            );
            Some((child.slots.inbound.position(), inbound))
        };
        self.associations.children().iter().filter_map(inbound).collect()
    }

    /// Tunnels: depend on the children and the kernel.
    pub fn tunnels(&self) -> SlotTable<Outbound> {
        let outbound = |id: &ike::TunnelId| Some((id.0 as usize, self.outbound(self.associations.sending(*id)?)?));
        self.ids.all().iter().filter_map(outbound).collect()
    }

    /// Route tables: depend on the children and the resources.
    pub fn gateways(&self) -> SlotTable<RouteTable> {
        let up: BTreeSet<gateway::TunnelIndex> =
            self.associations.children().iter().filter_map(|child| self.ids.index(child.sa.tunnel)).collect();
        let table = |gateway: u32| {
            let (mut routes, mut numbers, mut prefixes) = (Vec::new(), BTreeMap::new(), Vec::new());
            for route in gateway::valid_routes(self.resources, gateway::GatewayIndex(gateway), &up) {
                let number = *numbers.entry(route.next_hop).or_insert_with_key(|next_hop| {
                    routes.push(self.route(next_hop));
                    RouteIndex(routes.len() as u32 - 1)
                });
                prefixes.push((network(route.prefix), number));
            }
            RouteTable::new(routes, prefixes)
        };
        (0..self.resources.gateways().len()).map(|gateway| (gateway, table(gateway as u32))).collect()
    }

    /// Attachments: depend on the resources and the kernel.
    pub fn attachments(&self) -> Arc<[Attachment]> {
        let attachment = |attachment: &gateway::VpcAttachment| {
            let port = self.layout.port_named(attachment.interface.as_str());
            // A layout has a port for every attachment.
            let mut made = Attachment::new(port.unwrap_or(PortIndex(u32::MAX)));
            let Some(interface) = port.and_then(|port| self.layout.interface(port)) else { return made };
            let Some(link) = self.view.links.get(interface.index).filter(|link| link.up) else { return made };
            for (destination, hop) in self.view.routes.through(interface.index) {
                let next_hop = hop.gateway.map_or(tables::NextHop::OnLink, tables::NextHop::Via);
                made.insert_route(destination, next_hop);
            }
            for (address, mac) in self.view.neighbours.of_interface(interface.index) {
                made.insert_neighbour(address, LinkHeader::new(mac, link.mac.unwrap_or_default(), address));
            }
            made
        };
        self.resources.attachments().iter().map(attachment).collect()
    }

    /// The port, the neighbour and, once that is resolved, the link header on the way to a peer.
    pub fn path(&self, peer: IpAddr) -> Option<Path> {
        let way = self.view.way(peer)?;
        let port = self.layout.port(way.interface)?;
        let link = self.view.links.get(way.interface)?;
        let header = |mac: MacAddress| LinkHeader::new(mac, link.mac.unwrap_or_default(), peer);
        Some(Path {
            port,
            interface: way.interface,
            next_hop: way.next_hop,
            mtu: u16::try_from(link.mtu).unwrap_or(u16::MAX),
            link: self.view.neighbours.mac(way.interface, way.next_hop).map(header),
        })
    }

    fn route(&self, next_hop: &NextHop) -> Route {
        match next_hop {
            NextHop::Attachment(attachment) => Route::Attachment(AttachmentIndex(attachment.0)),
            NextHop::Tunnels(tunnels) => {
                let ids = tunnels.iter().filter_map(|tunnel| self.ids.id(*tunnel));
                let members: Vec<_> = ids.map(|id| (TunnelIndex(id.0), NonZeroU8::MIN)).collect();
                Route::Tunnels(TunnelGroup::new(&members))
            }
            NextHop::Unreachable => Route::Tunnels(TunnelGroup::default()),
        }
    }

    /// `None` without a way to the peer: the tunnel then drops for want of one.
    fn outbound(&self, child: &Child) -> Option<Outbound> {
        let path = self.path(child.sa.remote)?;
        Some(Outbound {
            sa: Arc::clone(&child.outbound),
            slot: child.slots.outbound,
            selectors: child.selectors.clone(),
            port: path.port,
            mtu: path.mtu,
            link: path.link.ok_or(path.next_hop),
        })
    }
}

/// The way to a peer through one of our ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Path {
    pub port: PortIndex,
    pub interface: u32,
    pub next_hop: IpAddr,
    pub mtu: u16,
    /// `None` while the neighbour is not resolved.
    pub link: Option<LinkHeader>,
}

fn network(prefix: Prefix) -> IpNet {
    // A prefix is never longer than its address.
    IpNet::new(prefix.address(), prefix.length()).unwrap_or_else(|_| IpNet::from(prefix.address()))
}

#[cfg(test)]
mod tests {
    use ike::{SpiAllocator, TunnelId};

    use super::*;
    use crate::kernel::tests::{example, neighbour};

    #[test]
    fn routes_lead_into_a_tunnel_only_while_it_has_a_child() {
        let resources = Resources::parse("", include_str!("../../../examples/static.toml")).unwrap();
        let view = example();
        let layout = Layout::plan(&resources, &view, None).unwrap();
        let ids = TunnelIds::default().renumber(&Resources::default(), &resources);
        let associations = Associations::new();
        let picture =
            Picture { resources: &resources, ids: &ids, layout: &layout, view: &view, associations: &associations };
        let snapshot = picture.snapshot();
        assert_eq!(*snapshot.ports, [PortRole::Wan, PortRole::Vpc(GatewayIndex(0))]);
        assert!(snapshot.inbound.iter().next().is_none() && snapshot.tunnels.get(0).is_none());
        let route = |address: [u8; 4]| snapshot.route(GatewayIndex(0), address.into());
        assert_eq!(route([10, 2, 0, 2]), Some(&Route::Tunnels(TunnelGroup::default())), "no tunnel is up");
        assert_eq!(route([10, 1, 0, 2]), Some(&Route::Attachment(AttachmentIndex(0))));
        assert_eq!(route([192, 0, 2, 1]), None);
        let known = snapshot.attachments[0].link([10, 1, 0, 2].into()).unwrap().unwrap();
        let header =
            LinkHeader::new(MacAddress([2, 0, 0, 0, 0, 0x53]), MacAddress([2, 0, 0, 0, 0, 3]), [10, 1, 0, 2].into());
        assert_eq!(*known, header);
        assert_eq!(snapshot.attachments[0].link([10, 1, 0, 7].into()), Some(Err([10, 1, 0, 7].into())));
        // The slots of SPIs that are only reserved do not show.
        let mut reserved = Associations::new();
        assert!(reserved.allocate(TunnelId(0)).is_some());
        assert!(Picture { associations: &reserved, ..picture }.inbound().iter().next().is_none());
    }

    #[test]
    fn the_path_follows_the_neighbour() {
        let resources = Resources::parse("", include_str!("../../../examples/static.toml")).unwrap();
        let mut view = example();
        let layout = Layout::plan(&resources, &view, None).unwrap();
        let ids = TunnelIds::default();
        let associations = Associations::new();
        let path = |view: &KernelView| {
            Picture { resources: &resources, ids: &ids, layout: &layout, view, associations: &associations }
                .path([198, 51, 100, 2].into())
                .unwrap()
        };
        let before = path(&view);
        assert_eq!((before.port, before.mtu, before.next_hop), (PortIndex(0), 1400, [203, 0, 113, 254].into()));
        assert_eq!(before.link.unwrap().0[..6], [2, 0, 0, 0, 0, 0x52]);
        view.apply(&neighbour([203, 0, 113, 254], 2, 0x77), false);
        assert_eq!(path(&view).link.unwrap().0[..6], [2, 0, 0, 0, 0, 0x77]);
    }
}
