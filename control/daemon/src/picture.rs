//! The parts of the snapshot, each made anew from what it depends on.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use gateway::{NextHop, Prefix, Resources};
use ipnet::IpNet;
use tables::{
    Attachment, AttachmentIndex, GatewayIndex, Inbound, LinkHeader, Outbound, PortIndex, PortRole, Route, RouteTable,
    Snapshot, Tunnel, TunnelIndex,
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
    pub fn inbound(&self) -> Arc<[Option<Inbound>]> {
        let children = self.associations.children();
        let slots = children.iter().map(|child| child.slots.inbound.position() + 1).max().unwrap_or(0);
        let mut inbound = vec![None; slots];
        for child in children {
            let Some(tunnel) = self.ids.index(child.sa.tunnel) else { continue };
            let gateway = self.resources.tunnel(tunnel).gateway;
            let first = self.resources.attachments().iter().position(|attachment| attachment.gateway == gateway);
            inbound[child.slots.inbound.position()] = Some(Inbound {
                sa: Arc::clone(&child.inbound),
                tunnel: TunnelIndex(child.sa.tunnel.0),
                gateway: GatewayIndex(gateway.0),
                selectors: Arc::clone(&child.selectors),
                // Without an attachment there is no route either, and workers drop for that reason.
                expected: AttachmentIndex(first.map_or(u32::MAX, |position| position as u32)),
            });
        }
        inbound.into()
    }

    /// Tunnels: depend on the children and the kernel.
    pub fn tunnels(&self) -> Arc<[Tunnel]> {
        let count = self.ids.all().iter().map(|id| id.0 + 1).max().unwrap_or(0);
        (0..count)
            .map(|id| Tunnel { outbound: self.associations.sending(ike::TunnelId(id)).and_then(|c| self.outbound(c)) })
            .collect()
    }

    /// Route tables: depend on the children and the resources.
    pub fn gateways(&self) -> Arc<[RouteTable]> {
        let up: BTreeSet<gateway::TunnelIndex> =
            self.associations.children().iter().filter_map(|child| self.ids.index(child.sa.tunnel)).collect();
        let table = |gateway: u32| {
            let mut table = RouteTable::default();
            for route in gateway::valid_routes(self.resources, gateway::GatewayIndex(gateway), &up) {
                let target = match route.next_hop {
                    NextHop::Attachment(attachment) => Route::Attachment(AttachmentIndex(attachment.0)),
                    NextHop::Tunnels(tunnels) => {
                        let ids = tunnels.into_iter().filter_map(|weighted| self.ids.id(weighted.tunnel));
                        Route::Tunnels(ids.map(|id| TunnelIndex(id.0)).collect())
                    }
                    NextHop::Unreachable | NextHop::Blackhole | NextHop::Reject => Route::Tunnels(Box::default()),
                };
                table.insert(network(route.prefix), target);
            }
            table
        };
        (0..self.resources.gateways().len() as u32).map(table).collect()
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

    /// `None` without a way to the peer: the tunnel then drops for want of one.
    fn outbound(&self, child: &Child) -> Option<Outbound> {
        let path = self.path(child.sa.remote)?;
        Some(Outbound {
            sa: Arc::clone(&child.outbound),
            slot: child.slots.outbound,
            selectors: Arc::clone(&child.selectors),
            port: path.port,
            mtu: path.mtu,
            next_hop: path.next_hop,
            link: path.link,
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
        assert_eq!((snapshot.inbound.len(), snapshot.tunnels.len()), (0, 1));
        assert!(snapshot.tunnels[0].outbound.is_none());
        let route = |address: [u8; 4]| snapshot.route(GatewayIndex(0), address.into());
        assert_eq!(route([10, 2, 0, 2]), Some(&Route::Tunnels(Box::default())), "no tunnel is up");
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
        assert_eq!(Picture { associations: &reserved, ..picture }.inbound().len(), 0);
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
