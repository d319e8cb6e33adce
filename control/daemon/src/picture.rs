//! The parts of the snapshot, each made anew from what it depends on.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::num::NonZeroU8;
use std::sync::Arc;
use std::time::Instant;

use esp::{DontFragment, Encapsulation, HeaderRules, OuterHeader};
use gateway::{FlowHash, MssClamp, NextHop, OuterDscp, Prefix, Resources, VpnTunnel, WeightedTunnel};
use ike::TunnelId;
use ipnet::IpNet;
use steer::Side;
use tables::{
    Attachment, AttachmentIndex, Gateway, GatewayIndex, Inbound, Outbound, PortIndex, PortRole, Route, RouteIndex,
    RouteTable, SlotTable, Snapshot, Traffic, TunnelGroup, TunnelIndex, TunnelLimits, Unresolved, Vlans,
};
use wire::{EtherType, LinkHeader, MacAddress, Tag, ecn};

use crate::associations::{Associations, Child};
use crate::kernel::KernelView;
use crate::layout::Layout;
use crate::learnt::Learnt;
use crate::routing::{Routing, shares};
use crate::tunnel_ids::TunnelIds;

/// All that a snapshot is made from.
#[derive(Clone, Copy)]
pub struct Picture<'a> {
    pub resources: &'a Resources,
    pub ids: &'a TunnelIds,
    pub layout: &'a Layout,
    pub view: &'a KernelView,
    pub associations: &'a Associations,
    pub learnt: &'a Learnt,
    /// What BGP has found; the resources alone say where it has not.
    pub routing: Option<&'a Routing>,
}

impl Picture<'_> {
    /// Every part.
    pub fn snapshot(&self) -> Snapshot {
        let (tunnels, further) = self.sending();
        Snapshot {
            ports: self.ports(),
            inbound: self.inbound(),
            tunnels,
            further,
            limits: self.limits(),
            gateways: self.gateways(),
            attachments: self.attachments(),
            capture: None,
        }
    }

    /// What each port is for: depends on the resources.
    pub fn ports(&self) -> Arc<[PortRole]> {
        let role = |name: &str| {
            let attachments = (0..).map(AttachmentIndex).zip(self.resources.attachments());
            let mut vlans = attachments
                .filter(|(_, attachment)| attachment.interface.as_str() == name)
                .map(|(index, attachment)| (attachment.vlan.map_or(Vlans::UNTAGGED, gateway::Vlan::number), index))
                .peekable();
            if vlans.peek().is_some() { PortRole::Vpc(Vlans::new(vlans)) } else { PortRole::Wan }
        };
        self.layout.interfaces().iter().map(|interface| role(&interface.name)).collect()
    }

    /// Inbound associations: depend on the children, the resources and the kernel.
    pub fn inbound(&self) -> SlotTable<Inbound> {
        let inbound = |child: &Child| {
            let tunnel = self.resources.tunnel(self.ids.index(child.sa.tunnel)?);
            let gateway = tunnel.gateway;
            let first = self.resources.attachments().iter().find(|attachment| attachment.gateway == gateway);
            let expected = first.and_then(|attachment| self.layout.port_named(attachment.interface.as_str()));
            let mut inbound = Inbound::new(
                Arc::clone(&child.inbound),
                TunnelIndex(child.sa.tunnel.0),
                GatewayIndex(gateway.0),
                // Without an attachment there is no route either, and workers drop for that reason.
                expected.unwrap_or(PortIndex(u32::MAX)),
                child.selectors.clone(),
            );
            inbound.tagged = first.is_some_and(|attachment| attachment.vlan.is_some());
            inbound.traffic = match (tunnel.paused, tunnel.bandwidth) {
                (true, _) => Traffic::Paused,
                (false, Some(_)) => Traffic::Limited,
                (false, None) => Traffic::Free,
            };
            let mut attachments = self.resources.attachments().iter().filter(|known| known.gateway == gateway);
            inbound.reverse_path = attachments.any(|attachment| attachment.anti_spoofing);
            // What the way back takes.
            let path = self.path(child.sa.remote);
            let longest = path.and_then(|path| self.longest(child, tunnel, &path));
            inbound.segments = longest.map_or([0; 2], |longest| segments(tunnel, longest));
            Some((child.slots.inbound.position(), inbound))
        };
        self.associations.children().iter().filter_map(inbound).collect()
    }

    /// Tunnels, and their further children: depend on the children and the kernel.
    pub fn sending(&self) -> (SlotTable<Outbound>, SlotTable<Arc<[Outbound]>>) {
        let (mut tunnels, mut further) = (SlotTable::default(), SlotTable::default());
        for id in self.ids.all() {
            let mut made = self.associations.groups(*id).into_iter().flat_map(|group| self.alike(&group));
            if let Some(first) = made.next() {
                tunnels.insert(id.0 as usize, first);
            }
            let others: Arc<[Outbound]> = made.collect();
            if !others.is_empty() {
                further.insert(id.0 as usize, others);
            }
        }
        (tunnels, further)
    }

    /// Children with the same selectors; the first one knows how many they are.
    fn alike(&self, group: &[&Child]) -> Vec<Outbound> {
        let mut made: Vec<Outbound> = group.iter().filter_map(|child| self.outbound(child)).collect();
        let count = NonZeroU8::new(made.len() as u8);
        if let (Some(first), Some(count)) = (made.first_mut(), count) {
            first.alike = count;
        }
        made
    }

    /// Limits of tunnels: depend on the resources. Those made anew are as if nothing had been carried, so they are not made
    /// when a tunnel comes or goes.
    pub fn limits(&self) -> SlotTable<Arc<TunnelLimits>> {
        let now = Instant::now();
        let limits = |(id, tunnel): (&ike::TunnelId, &VpnTunnel)| {
            let limits = TunnelLimits::new(tunnel.bandwidth?.megabits_per_second(), now);
            Some((id.0 as usize, Arc::new(limits)))
        };
        self.ids.all().iter().zip(self.resources.tunnels()).filter_map(limits).collect()
    }

    /// Border gateways with their routes: depend on the children, the resources and BGP.
    pub fn gateways(&self) -> SlotTable<Gateway> {
        let up = self.up();
        let all = (0..self.resources.gateways().len() as u32).map(gateway::GatewayIndex);
        all.map(|index| (index.position(), self.gateway_with(index, &up))).collect()
    }

    /// One of them.
    pub fn gateway(&self, index: gateway::GatewayIndex) -> Gateway {
        self.gateway_with(index, &self.up())
    }

    fn up(&self) -> BTreeSet<gateway::TunnelIndex> {
        let up: BTreeSet<TunnelId> = self.associations.up().collect();
        let all = self.resources.tunnels_indexed().zip(self.ids.all());
        all.filter(|(_, id)| up.contains(id)).map(|((index, _), _)| index).collect()
    }

    fn gateway_with(&self, index: gateway::GatewayIndex, up: &BTreeSet<gateway::TunnelIndex>) -> Gateway {
        let symmetric = match self.resources.gateway(index).flow_hash {
            FlowHash::Directed => false,
            FlowHash::Symmetric => true,
        };
        if let Some(routes) = self.routing.and_then(|routing| routing.table(index)) {
            return Gateway { routes: routes.clone(), symmetric };
        }
        let (mut routes, mut numbers, mut prefixes) = (Vec::new(), BTreeMap::new(), Vec::new());
        for route in gateway::valid_routes(self.resources, index, up) {
            let number = *numbers.entry(route.next_hop).or_insert_with_key(|next_hop| {
                routes.push(self.route(next_hop));
                RouteIndex(routes.len() as u32 - 1)
            });
            prefixes.push((network(route.prefix), number));
        }
        // After the others, for the last word on a prefix counts: the gateway's own addresses are nobody else's.
        for (address, route) in self.inner_routes(index, up) {
            prefixes.push((IpNet::from(address), RouteIndex(routes.len() as u32)));
            routes.push(route);
        }
        Gateway { routes: RouteTable::new(routes, prefixes), symmetric }
    }

    /// Attachments: depend on the resources, the kernel, and what was learnt.
    pub fn attachments(&self) -> Arc<[Attachment]> {
        let made = |(number, attachment): (usize, &gateway::VpcAttachment)| {
            let (index, gateway) = (AttachmentIndex(number as u32), GatewayIndex(attachment.gateway.0));
            let port = self.layout.port_named(attachment.interface.as_str());
            // A layout has a port for every attachment.
            let at = port.unwrap_or(PortIndex(u32::MAX));
            let interface = port.and_then(|port| self.layout.interface(port));
            let up = interface.and_then(|i| Some((i, self.view.links.get(i.index).filter(|link| link.up)?)));
            let Some((interface, link)) = up else { return Attachment::new(gateway, at, &[], &[]) };
            let ours = link.mac.unwrap_or_default();
            let prefixes = || attachment.prefixes.iter().map(|attached| network(attached.prefix));
            let tag = attachment.vlan.and_then(|vlan| Tag::new(vlan.number(), 0));
            let header = |(address, mac)| (address, LinkHeader::new(mac, ours, tag, EtherType::of(address)));
            let mut made = match tag {
                // The kernel's routes and neighbours are those of the frames without a tag.
                Some(_) => Attachment::new(
                    gateway,
                    at,
                    &prefixes().map(|prefix| (prefix, tables::NextHop::OnLink)).collect::<Vec<_>>(),
                    &self.learnt.of(index).map(header).collect::<Vec<_>>(),
                ),
                None => self.mirrored(gateway, at, interface.index, header),
            };
            made.learns = tag.is_some();
            made.sources = attachment.anti_spoofing.then(|| prefixes().collect());
            made
        };
        self.resources.attachments().iter().enumerate().map(made).collect()
    }

    /// An attachment by the kernel's routes and neighbours.
    fn mirrored(
        &self,
        gateway: GatewayIndex,
        port: PortIndex,
        interface: u32,
        header: impl Fn((IpAddr, MacAddress)) -> (IpAddr, LinkHeader),
    ) -> Attachment {
        let routes =
            self.view.routes.through(interface).map(|(destination, hop)| {
                (destination, hop.gateway.map_or(tables::NextHop::OnLink, tables::NextHop::Via))
            });
        let neighbours = self.view.neighbours.of_interface(interface).map(header);
        Attachment::new(gateway, port, &routes.collect::<Vec<_>>(), &neighbours.collect::<Vec<_>>())
    }

    /// The port, the neighbour and, once that is resolved, the link header on the way to a peer.
    pub fn path(&self, peer: IpAddr) -> Option<Path> {
        let way = self.view.way(peer)?;
        let (port, vlan) = self.layout.leaving(self.view, way.interface)?;
        let link = self.view.links.get(way.interface)?;
        let tag = vlan.and_then(|vlan| Tag::new(vlan, 0));
        let header = |mac: MacAddress| LinkHeader::new(mac, link.mac.unwrap_or_default(), tag, EtherType::of(peer));
        Some(Path {
            port,
            interface: way.interface,
            next_hop: way.next_hop,
            // The interface's may have been raised since its ports were opened.
            mtu: u16::try_from(link.mtu.min(self.layout.interface(port)?.longest)).unwrap_or(u16::MAX),
            link: self.view.neighbours.mac(way.interface, way.next_hop).map(header),
        })
    }

    /// The kernel's interface where a neighbour behind a port is: towards the peers perhaps a VLAN's.
    pub fn interface_of(&self, neighbour: Unresolved) -> Option<u32> {
        let port = self.layout.interface(neighbour.port)?;
        let way = match port.side {
            Side::Wan => self.view.way(neighbour.address),
            // Here attachments may have the same addresses.
            Side::Vpc => None,
        };
        let way = way.map(|way| way.interface);
        let leads = |interface: &u32| {
            self.layout.leaving(self.view, *interface).is_some_and(|(leaving, _)| leaving == neighbour.port)
        };
        way.filter(leads).or(Some(port.index))
    }

    /// The path MTU of a tunnel that is in force; `None` without a way to the peer.
    pub fn path_mtu(&self, id: TunnelId) -> Option<u16> {
        let tunnel = self.resources.tunnel(self.ids.index(id)?);
        Some(self.outer_mtu(id, tunnel, &self.path(tunnel.remote_address)?))
    }

    /// The gateway's own inner addresses, and its peers', each behind its tunnel.
    fn inner_routes(
        &self,
        gateway: gateway::GatewayIndex,
        up: &BTreeSet<gateway::TunnelIndex>,
    ) -> impl Iterator<Item = (IpAddr, Route)> {
        inner_routes(self.resources, self.ids, gateway, |index, _| up.contains(&index))
    }

    fn route(&self, next_hop: &NextHop) -> Route {
        match next_hop {
            NextHop::Attachment(attachment) => Route::Attachment(AttachmentIndex(attachment.0)),
            NextHop::Tunnels(tunnels) => {
                let member = |weighted: &WeightedTunnel| {
                    Some((TunnelIndex(self.ids.id(weighted.tunnel)?.0), weighted.weight.number()))
                };
                Route::Tunnels(TunnelGroup::new(&shares(tunnels.iter().filter_map(member).collect())))
            }
            NextHop::Unreachable => Route::Tunnels(TunnelGroup::default()),
            NextHop::Blackhole => Route::Blackhole,
            NextHop::Reject => Route::Reject,
        }
    }

    /// `None` without a way to the peer: the tunnel then drops for want of one.
    fn outbound(&self, child: &Child) -> Option<Outbound> {
        let path = self.path(child.sa.remote)?;
        let tunnel = self.resources.tunnel(self.ids.index(child.sa.tunnel)?);
        let longest = self.longest(child, tunnel, &path)?;
        Some(Outbound {
            header: path.link.and_then(|link| header(child, tunnel, link.bytes())).ok_or(path.next_hop),
            longest,
            segments: segments(tunnel, longest),
            limited: tunnel.bandwidth.is_some(),
            alike: NonZeroU8::MIN,
            slot: child.slots.outbound,
            port: path.port,
            sa: Arc::clone(&child.outbound),
            selectors: child.selectors.clone(),
        })
    }

    /// Bytes of the longest inner packet that the way to the peer takes.
    fn longest(&self, child: &Child, tunnel: &VpnTunnel, path: &Path) -> Option<u16> {
        let room = usize::from(self.outer_mtu(child.sa.tunnel, tunnel, path))
            .saturating_sub(header(child, tunnel, &[])?.length());
        Some(child.outbound.longest_inner(room) as u16)
    }

    /// Bytes of the longest outer packet: as the interface has it, the configuration, and routers on the way (RFC 4301
    /// §8.2).
    fn outer_mtu(&self, id: TunnelId, tunnel: &VpnTunnel, path: &Path) -> u16 {
        let configured = tunnel.outer.path_mtu.map(gateway::PathMtu::bytes);
        let learned = self.associations.path_mtus.of(id).map(|learned| learned.mtu);
        [configured, learned].into_iter().flatten().fold(path.mtu, u16::min)
    }
}

/// What goes in front of a child's ESP, behind a link header.
fn header(child: &Child, tunnel: &VpnTunnel, link: &[u8]) -> Option<OuterHeader> {
    let ports = child.sa.encapsulation;
    let encapsulation = ports.map(|ports| Encapsulation { source: ports.local_port, destination: ports.remote_port });
    let outer = &tunnel.outer;
    let rules = HeaderRules {
        code_point: match outer.dscp {
            OuterDscp::Copy => None,
            OuterDscp::Fixed(code_point) => Some(code_point.number()),
        },
        ecn: if outer.ecn { ecn::Mode::Normal } else { ecn::Mode::Compatibility },
        dont_fragment: match outer.df {
            gateway::DontFragment::Copy => DontFragment::Copy,
            gateway::DontFragment::Set => DontFragment::Set,
            gateway::DontFragment::Clear => DontFragment::Clear,
        },
        hop_limit: outer.hop_limit.number(),
    };
    OuterHeader::new(link, child.sa.local, child.sa.remote, encapsulation, rules)
}

/// What TCP segments are held to: what fits behind the headers of IPv4 and TCP, and of IPv6 and TCP.
fn segments(tunnel: &VpnTunnel, longest: u16) -> [u16; 2] {
    match tunnel.outer.mss_clamp {
        MssClamp::Auto => [longest.saturating_sub(40), longest.saturating_sub(60)],
        MssClamp::Off => [0; 2],
        MssClamp::Fixed(mss) => [mss.bytes(); 2],
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

/// A gateway's own inner addresses, and its peers', each behind its tunnel where that is up.
pub fn inner_routes(
    resources: &Resources,
    ids: &TunnelIds,
    gateway: gateway::GatewayIndex,
    is_up: impl Fn(gateway::TunnelIndex, TunnelId) -> bool,
) -> impl Iterator<Item = (IpAddr, Route)> {
    let own = resources.inner_addresses(gateway).map(|own| (own.address(), Route::Host));
    let tunnels = resources.tunnels_indexed().filter(move |(_, tunnel)| tunnel.gateway == gateway);
    let peers = tunnels.filter_map(move |(index, tunnel)| {
        let id = ids.id(index).filter(|id| is_up(index, *id));
        let group = id.map_or_else(TunnelGroup::default, |id| TunnelGroup::from(TunnelIndex(id.0)));
        Some((tunnel.peer_inner_address?, Route::Tunnels(group)))
    });
    own.chain(peers)
}

/// A prefix as the workers' tables have it.
pub fn network(prefix: Prefix) -> IpNet {
    // A prefix is never longer than its address.
    IpNet::new(prefix.address(), prefix.length()).unwrap_or_else(|_| IpNet::from(prefix.address()))
}

#[cfg(test)]
pub(crate) mod tests {
    use ike::SpiAllocator;

    use super::*;
    use crate::associations::SLOTS;
    use crate::kernel::tests::{example, neighbour, with_vlans};
    use crate::layout::Wan;

    pub(crate) const EXAMPLE: &str = include_str!("../../../examples/static.toml");

    /// What a picture is of, without an association and with nothing learnt.
    pub(crate) struct Scene {
        pub(crate) resources: Resources,
        pub(crate) ids: TunnelIds,
        pub(crate) layout: Layout,
        pub(crate) view: KernelView,
        pub(crate) associations: Associations,
        pub(crate) learnt: Learnt,
    }

    impl Scene {
        /// On the example's host.
        pub(crate) fn of(text: &str) -> Self {
            Self::on(text, example())
        }

        fn on(text: &str, view: KernelView) -> Self {
            let resources = Resources::parse("", text).unwrap();
            let layout = Layout::plan(&resources, &view, Wan::default()).unwrap();
            let ids = TunnelIds::default().renumber(&Resources::default(), &resources);
            Self { resources, ids, layout, view, associations: Associations::new(SLOTS), learnt: Learnt::default() }
        }

        pub(crate) fn picture(&self) -> Picture<'_> {
            let Self { resources, ids, layout, view, associations, learnt } = self;
            Picture { resources, ids, layout, view, associations, learnt, routing: None }
        }
    }

    #[test]
    fn routes_lead_into_a_tunnel_only_while_it_has_a_child() {
        let scene = Scene::of(EXAMPLE);
        let picture = scene.picture();
        let snapshot = picture.snapshot();
        assert_eq!(*snapshot.ports, [PortRole::Wan, PortRole::Vpc(Vlans::untagged(AttachmentIndex(0)))]);
        assert!(snapshot.inbound.iter().next().is_none() && snapshot.tunnels.get(0).is_none());
        let route = |address: [u8; 4]| snapshot.route(GatewayIndex(0), IpAddr::from(address));
        assert_eq!(route([10, 2, 0, 2]), Some(&Route::Tunnels(TunnelGroup::default())), "no tunnel is up");
        assert_eq!(route([10, 1, 0, 2]), Some(&Route::Attachment(AttachmentIndex(0))));
        assert_eq!(route([192, 0, 2, 1]), None);
        let known = snapshot.attachments[0].link(IpAddr::from([10, 1, 0, 2])).unwrap().unwrap();
        let header =
            LinkHeader::new(MacAddress([2, 0, 0, 0, 0, 0x53]), MacAddress([2, 0, 0, 0, 0, 3]), None, EtherType::IPV4);
        assert_eq!(*known, header);
        assert_eq!(snapshot.attachments[0].link(IpAddr::from([10, 1, 0, 7])), Some(Err([10, 1, 0, 7].into())));
        // The slots of SPIs that are only reserved do not show.
        let mut reserved = Associations::new(SLOTS);
        assert!(reserved.allocate(TunnelId(0)).is_some());
        assert!(Picture { associations: &reserved, ..picture }.inbound().iter().next().is_none());
    }

    #[test]
    fn inner_addresses_lead_to_the_host_and_into_their_tunnel() {
        let inner = "udp_encapsulation = \"auto\"\ninner_address = \"169.254.10.1/30\"\n\
                     peer_inner_address = \"169.254.10.2\"";
        let text = EXAMPLE.replacen("udp_encapsulation = \"auto\"", inner, 1).replacen(
            "asn = 65000",
            "asn = 65000\naddresses = [\"10.1.0.9/32\", \"2001:db8::9/64\"]",
            1,
        );
        let scene = Scene::of(&text);
        let picture = scene.picture();
        let snapshot = picture.snapshot();
        let route = |address: &str| snapshot.route(GatewayIndex(0), address.parse::<IpAddr>().unwrap());
        for own in ["169.254.10.1", "10.1.0.9", "2001:db8::9"] {
            assert_eq!(route(own), Some(&Route::Host), "{own}");
        }
        assert_eq!(route("169.254.10.2"), Some(&Route::Tunnels(TunnelGroup::default())), "the tunnel is down");
        assert_eq!([route("169.254.10.3"), route("2001:db8::8")], [None, None], "only the addresses themselves");
        let up = BTreeSet::from([gateway::TunnelIndex(0)]);
        let mut routes = picture.inner_routes(gateway::GatewayIndex(0), &up);
        let peer = routes.find(|(address, _)| *address == IpAddr::from([169, 254, 10, 2]));
        assert_eq!(peer.map(|(_, route)| route), Some(Route::Tunnels(TunnelGroup::from(TunnelIndex(0)))));
    }

    #[test]
    fn the_path_follows_the_neighbour() {
        let mut scene = Scene::of(EXAMPLE);
        let path = |scene: &Scene| scene.picture().path([198, 51, 100, 2].into()).unwrap();
        let before = path(&scene);
        assert_eq!((before.port, before.mtu, before.next_hop), (PortIndex(0), 1400, [203, 0, 113, 254].into()));
        assert_eq!(before.link.unwrap().bytes()[..6], [2, 0, 0, 0, 0, 0x52]);
        scene.view.apply(&neighbour([203, 0, 113, 254], 2, 0x77), false);
        assert_eq!(path(&scene).link.unwrap().bytes()[..6], [2, 0, 0, 0, 0, 0x77]);
    }

    #[test]
    fn the_path_bears_the_tag_of_the_kernels_vlan() {
        let scene = Scene::on(EXAMPLE, with_vlans());
        let peer = IpAddr::from([198, 51, 100, 2]);
        let path = scene.picture().path(peer).unwrap();
        assert_eq!((path.port, path.interface), (PortIndex(0), 4));
        let (router, ours) = (MacAddress([2, 0, 0, 0, 0, 0x54]), MacAddress([2, 0, 0, 0, 0, 4]));
        assert_eq!(path.link, Some(LinkHeader::new(router, ours, Tag::new(100, 0), EtherType::IPV4)));
        let interface = |port, address| scene.picture().interface_of(Unresolved { port: PortIndex(port), address });
        assert_eq!(interface(0, [203, 0, 113, 254].into()), Some(4), "asked for where it is");
        assert_eq!(
            [interface(1, peer), interface(0, [10, 1, 0, 2].into()), interface(9, peer)],
            [Some(3), Some(2), None]
        );
    }

    #[test]
    fn attachments_of_one_interface_stand_by_vlan() {
        let vpc = |name: &str, rest: &str| {
            format!(
                "\n[[vpc_attachment]]\nname = \"{name}\"\nborder_gateway = \"bgw-1\"\ninterface = \"vpc0\"\n{rest}\n"
            )
        };
        let text = format!(
            "{EXAMPLE}{}{}",
            vpc("vpc-100", "vlan = 100\nprefixes = [\"10.5.0.0/16\"]"),
            vpc("vpc-200", "vlan = 200\nanti_spoofing = false\nprefixes = [\"10.6.0.0/16\"]"),
        )
        .replacen("[[border_gateway]]\n", "[[border_gateway]]\nflow_hash = \"symmetric\"\n", 1);
        let mut scene = Scene::of(&text);
        let (host, mac) = (IpAddr::from([10, 5, 0, 2]), MacAddress([2, 0, 0, 0, 5, 2]));
        scene.learnt.learn(tables::Seen { attachment: AttachmentIndex(1), address: host, mac });
        let snapshot = scene.picture().snapshot();
        let vlans = Vlans::new([0, 100, 200].into_iter().zip((0..).map(AttachmentIndex)));
        assert_eq!(*snapshot.ports, [PortRole::Wan, PortRole::Vpc(vlans)]);
        let [untagged, learning, open] = &*snapshot.attachments else { panic!("three attachments") };
        let ours = MacAddress([2, 0, 0, 0, 0, 3]);
        let tagged = LinkHeader::new(mac, ours, Tag::new(100, 0), EtherType::IPV4);
        assert_eq!(learning.link(host), Some(Ok(&tagged)));
        assert_eq!(open.link(IpAddr::from([10, 6, 0, 2])), Some(Err([10, 6, 0, 2].into())));
        assert_eq!((open.link(host), untagged.link(host)), (None, None));
        assert_eq!([untagged, learning, open].map(|attachment| attachment.learns), [false, true, true]);
        let holds =
            |attachment: &Attachment, address| attachment.sources.as_ref().map(|sources| sources.holds(address));
        assert_eq!([untagged, learning, open].map(|a| holds(a, host.into())), [Some(false), Some(true), None]);
        assert!(snapshot.gateways.get(0).unwrap().symmetric);
    }

    #[test]
    fn limits_stand_where_there_is_a_bandwidth() {
        for (text, limited) in
            [(EXAMPLE.to_owned(), false), (EXAMPLE.replace("admin = \"up\"", "bandwidth_mbps = 10"), true)]
        {
            let scene = Scene::of(&text);
            assert_eq!(
                scene.picture().limits().iter().map(|(tunnel, _)| tunnel).collect::<Vec<_>>(),
                vec![0; limited.into()]
            );
        }
    }
}
