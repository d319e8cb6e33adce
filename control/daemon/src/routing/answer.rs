//! How control answers `bordergate bgp`: what only BGP's thread knows, it is asked for, and it answers the client itself.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Instant, UNIX_EPOCH};

use bgp::{Attributes, Candidate, DownReason, Family, Prefix, Rib, SourceId, Speaker, State};
use gateway::{Community, GatewayIndex, Policy, Resources};
use ipnet::IpNet;
use tokio::sync::oneshot;

use super::source::{SourceKey, network};
use super::{Peer, Speaking};
use crate::api::Response;
use crate::api::bgp::{self as api, Ask, Told, View};
use crate::control::Control;
use crate::server::Answer;
use crate::tunnel::rfc3339;

/// What is sent when all whom it was given to are done with it.
struct Reply {
    told: Mutex<Told>,
    answer: Option<oneshot::Sender<Answer>>,
}

impl Reply {
    fn new(told: Told, answer: oneshot::Sender<Answer>) -> Arc<Self> {
        Arc::new(Self { told: Mutex::new(told), answer: Some(answer) })
    }

    fn add(&self, add: impl FnOnce(&mut Told)) {
        add(&mut self.told.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        let told = self.told.get_mut().unwrap_or_else(PoisonError::into_inner);
        let told = std::mem::replace(told, Told::Events(Vec::new()));
        if let Some(answer) = self.answer.take() {
            // A client that went away wants no answer.
            let _ = answer.send(Answer::Once(Response::Bgp(told)));
        }
    }
}

impl Control {
    /// Answers a question about BGP, or has BGP's thread answer it.
    pub(crate) fn answer_bgp(&mut self, asked: Ask, answer: oneshot::Sender<Answer>) {
        let done = match asked {
            Ask::Summary {} => return self.tell_neighbors(None, answer),
            Ask::Neighbor(of) => match self.peer_named(&of.tunnel) {
                Ok((_, key)) => return self.tell_neighbors(Some(&key), answer),
                Err(error) => Err(error),
            },
            Ask::Rib(asked) => match self.peers_of(&asked) {
                Ok(only) => return self.tell_routes(&asked, only, answer),
                Err(error) => Err(error),
            },
            Ask::Explain(asked) => match wanted(&asked.prefix).and_then(|net| {
                self.check_gateway(asked.gateway.as_deref())?;
                Ok(net)
            }) {
                Ok(net) => return self.tell_explanation(net, asked.gateway.as_deref(), answer),
                Err(error) => Err(error),
            },
            Ask::Events { after } => {
                let events = self.routing.log.after(after).map(event).collect();
                let _ = answer.send(Answer::Once(Response::Bgp(Told::Events(events))));
                return;
            }
            Ask::Drain(of) => self.drain_tunnel(&of.tunnel, true),
            Ask::Undrain(of) => self.drain_tunnel(&of.tunnel, false),
            Ask::Refresh(of) => self
                .with_peer(&of.tunnel, |speaker, source, ctx| {
                    for family in Family::ALL {
                        speaker.ask_refresh(source, family, ctx);
                    }
                })
                .map(|()| format!("{}: the peer is asked for its routes again", of.tunnel)),
            Ask::Reset(of) => self
                .with_peer(&of.tunnel, |speaker, source, ctx| speaker.reset(source, "reset by the operator", ctx))
                .map(|()| format!("{}: the BGP session begins anew", of.tunnel)),
        };
        let response = done.map_or_else(Response::Error, Response::Done);
        let _ = answer.send(Answer::Once(response));
    }

    fn drain_tunnel(&mut self, name: &str, on: bool) -> Result<String, String> {
        let (index, key) = self.peer_named(name)?;
        let Some(tunnel) = key.tunnel() else {
            return Err(format!("{name} is no tunnel, so nothing leads through it"));
        };
        if !self.routing.drain(tunnel, on) {
            return Ok(format!("{name} {}", if on { "is drained already" } else { "was not drained" }));
        }
        self.take_up_routing(Instant::now());
        self.publish_gateways();
        let text = if on { "the peer is told to leave this tunnel" } else { "the tunnel takes its share again" };
        let gateway = self.resources.gateway(index).name.as_str().to_owned();
        self.routing.log.note(&gateway, name, text);
        Ok(format!("{name}: {text}"))
    }

    fn with_peer(
        &self,
        name: &str,
        call: impl FnOnce(&mut Speaker, SourceId, &mut bgp::Context<'_>) + Send + 'static,
    ) -> Result<(), String> {
        let (index, key) = self.peer_named(name)?;
        let found = self.routing.speaking().find(|(known, _)| *known == index);
        let Some((speaking, peer)) = found.and_then(|(_, speaking)| Some((speaking, speaking.peer(&key)?))) else {
            return Err(format!("{name} is administratively down; set admin = \"up\" in the resource file"));
        };
        let source = peer.source;
        self.routing.peering().with(speaking.id, move |speaker, ctx| call(speaker, source, ctx));
        Ok(())
    }

    fn tell_neighbors(&self, only: Option<&SourceKey>, answer: oneshot::Sender<Answer>) {
        let reply = Reply::new(Told::Neighbors(Vec::new()), answer);
        for (index, speaking) in self.routing.speaking() {
            let peers = speaking.peers().filter(|(key, _)| only.is_none_or(|only| only == *key));
            let rows: Vec<(SourceId, api::Neighbor)> =
                peers.filter_map(|(key, peer)| Some((peer.source, self.neighbor(index, key, peer)?))).collect();
            let reply = Arc::clone(&reply);
            self.routing.peering().with(speaking.id, move |speaker, ctx| {
                let rows = rows.into_iter().map(|(source, row)| with_status(row, source, speaker, ctx.now));
                let rows: Vec<_> = rows.collect();
                reply.add(|told| {
                    if let Told::Neighbors(known) = told {
                        known.extend(rows);
                    }
                });
            });
        }
    }

    fn neighbor(&self, index: GatewayIndex, key: &SourceKey, peer: &Peer) -> Option<api::Neighbor> {
        let owner = self.resources.gateway(index);
        let row = api::Neighbor {
            gateway: owner.name.as_str().to_owned(),
            bfd: peer.has_bfd().then(|| if peer.bfd_up { "up" } else { "down" }.to_owned()),
            ..api::Neighbor::default()
        };
        let (bgp, row) = match key {
            SourceKey::Peer(tunnel) => {
                let resource = self.resources.tunnel(self.ids.index(*tunnel)?);
                let connection = self.resources.connection(resource.connection);
                let row = api::Neighbor {
                    connection: connection.name.as_str().to_owned(),
                    tunnel: resource.name.as_str().to_owned(),
                    local: resource.inner_address?.address().to_string(),
                    remote: resource.peer_inner_address?.to_string(),
                    remote_asn: self.resources.customer(connection.customer).asn.number(),
                    drained: self.routing.is_drained(*tunnel) || resource.weight.number() == 0,
                    ..row
                };
                (connection.bgp.as_ref()?, row)
            }
            SourceKey::Router(name) => {
                let router = self.resources.routers().iter().find(|router| router.name.as_str() == name)?;
                let row = api::Neighbor {
                    connection: self.resources.attachment(router.attachment).name.as_str().to_owned(),
                    tunnel: name.clone(),
                    local: router.local_address.to_string(),
                    remote: router.address.to_string(),
                    remote_asn: router.asn.number(),
                    ..row
                };
                (&router.bgp, row)
            }
            _ => return None,
        };
        Some(api::Neighbor {
            local_asn: bgp.local_asn.unwrap_or(owner.asn).number(),
            prefix_limit: bgp.prefix_limit.count(),
            md5: bgp.md5_key.is_some(),
            import: policy(&self.resources, bgp.import),
            export: policy(&self.resources, bgp.export),
            ..row
        })
    }

    /// The peer whose routes alone are wanted, if it is that.
    fn peers_of(&self, asked: &api::Rib) -> Result<Option<(GatewayIndex, SourceKey)>, String> {
        self.check_gateway(asked.gateway.as_deref())?;
        match (asked.view, &asked.tunnel) {
            (View::In | View::Out, Some(name)) => self.peer_named(name).map(Some),
            (View::In | View::Out, None) => Err("it takes a tunnel to say whose routes".to_owned()),
            (View::All | View::Best, _) => Ok(None),
        }
    }

    fn check_gateway(&self, name: Option<&str>) -> Result<(), String> {
        let there = || self.resources.gateways().iter().map(|gateway| gateway.name.as_str());
        match name {
            Some(name) if there().all(|known| known != name) => {
                Err(format!("there is no border gateway {name}; there is {}", there().collect::<Vec<_>>().join(", ")))
            }
            _ => Ok(()),
        }
    }

    fn tell_routes(&self, asked: &api::Rib, only: Option<(GatewayIndex, SourceKey)>, answer: oneshot::Sender<Answer>) {
        let reply = Reply::new(Told::Routes(api::Routes::default()), answer);
        for (index, speaking) in self.routing.speaking() {
            let name = self.resources.gateway(index).name.as_str();
            if only.as_ref().is_some_and(|(of, _)| *of != index)
                || asked.gateway.as_deref().is_some_and(|of| of != name)
            {
                continue;
            }
            let peer = only.as_ref().and_then(|(_, key)| Some(speaking.peer(key)?.source));
            let (labels, view, limit) = (self.labels(name, speaking), asked.view, asked.limit);
            let reply = Arc::clone(&reply);
            self.routing.peering().with(speaking.id, move |speaker, _| {
                let rib = speaker.rib();
                let mut prefixes: Vec<Prefix> = rib.prefixes().collect();
                prefixes.sort_unstable_by_key(|prefix| network(*prefix));
                reply.add(|told| {
                    let Told::Routes(told) = told else { return };
                    for prefix in &prefixes {
                        for route in rows(rib, &labels, prefix, view, peer) {
                            if told.routes.len() < limit { told.routes.push(route) } else { told.left_out += 1 }
                        }
                    }
                });
            });
        }
    }

    fn tell_explanation(&self, net: IpNet, gateway: Option<&str>, answer: oneshot::Sender<Answer>) {
        let reply = Reply::new(Told::Routes(api::Routes::default()), answer);
        for (index, speaking) in self.routing.speaking() {
            let name = self.resources.gateway(index).name.as_str();
            if gateway.is_some_and(|of| of != name) {
                continue;
            }
            let labels = self.labels(name, speaking);
            let reply = Arc::clone(&reply);
            self.routing.peering().with(speaking.id, move |speaker, _| {
                let rib = speaker.rib();
                // The longest prefix that holds it.
                let found = (0..=net.prefix_len()).rev().find_map(|length| {
                    let prefix = prefix(IpNet::new(net.addr(), length).ok()?.trunc());
                    Some(rows(rib, &labels, &prefix, View::All, None)).filter(|rows| !rows.is_empty())
                });
                reply.add(|told| {
                    if let Told::Routes(told) = told {
                        told.routes.extend(found.unwrap_or_default());
                    }
                });
            });
        }
    }

    /// A gateway's name, and those of its sources.
    fn labels(&self, gateway: &str, speaking: &Speaking) -> Labels {
        let label = |key: &SourceKey| match key {
            SourceKey::Peer(tunnel) => self.name(*tunnel).to_owned(),
            SourceKey::StaticConnection(name) | SourceKey::StaticAttachment(name) => format!("static {name}"),
            SourceKey::Router(name) => name.clone(),
            SourceKey::Propagated(name) => format!("vpc {name}"),
            SourceKey::Blackhole => "blackhole".to_owned(),
            SourceKey::Reject => "reject".to_owned(),
            SourceKey::Unreachable => "unreachable".to_owned(),
        };
        let sources = speaking.sources().all().map(|(id, key)| (id, label(key))).collect();
        Labels { gateway: gateway.to_owned(), sources }
    }

    /// A neighbour by its name: a tunnel in which BGP is spoken, or a VPC router. And its gateway.
    fn peer_named(&self, name: &str) -> Result<(GatewayIndex, SourceKey), String> {
        if let Some(router) = self.resources.routers().iter().find(|router| router.name.as_str() == name) {
            return Ok((router.gateway, SourceKey::Router(name.to_owned())));
        }
        let tunnel = self.known_tunnel(name)?;
        let index = self.ids.index(tunnel).ok_or("the tunnel is gone")?;
        let resource = self.resources.tunnel(index);
        match self.resources.connection(resource.connection).routing {
            gateway::Routing::Bgp => Ok((resource.gateway, SourceKey::Peer(tunnel))),
            gateway::Routing::Static => {
                let connection = &self.resources.connection(resource.connection).name;
                Err(format!("no BGP is spoken in {name}: {connection} has routing = \"static\""))
            }
        }
    }
}

/// Names of what routes come from.
struct Labels {
    gateway: String,
    sources: BTreeMap<SourceId, String>,
}

fn with_status(row: api::Neighbor, source: SourceId, speaker: &Speaker, now: Instant) -> api::Neighbor {
    let Some(status) = speaker.status(source) else { return row };
    let (received, told) = speaker.rib().peer_prefixes(source);
    let seconds = |at: Instant| now.saturating_duration_since(at).as_secs_f64();
    let last = status.last_reason.as_ref().or(status.last_down.as_ref());
    api::Neighbor {
        state: match status.state {
            State::Idle => "idle",
            State::Connect => "connect",
            State::Active => "active",
            State::OpenSent => "open_sent",
            State::OpenConfirm => "open_confirm",
            State::Established => "established",
        }
        .to_owned(),
        state_seconds: seconds(status.since),
        prefixes_received: api::Families { ipv4: received[0].into(), ipv6: received[1].into() },
        prefixes_told: api::Families { ipv4: told[0] as u64, ipv6: told[1] as u64 },
        negotiated: status.negotiated.as_deref().map(negotiated),
        last_error: last.map(|(_, reason)| match reason {
            DownReason::Unreachable if row.md5 => format!("{reason}; its segments may be signed with another key"),
            _ => reason.to_string(),
        }),
        last_error_seconds: last.map(|(at, _)| seconds(*at)),
        times_up: status.times_up,
        ..row
    }
}

fn negotiated(agreed: &bgp::Negotiated) -> api::Negotiated {
    let capabilities = [
        (agreed.four_octet_as, "4-octet AS (RFC 6793)"),
        (agreed.route_refresh, "route refresh (RFC 2918)"),
        (agreed.enhanced_route_refresh, "enhanced route refresh (RFC 7313)"),
        (agreed.longest_message > 4096, "extended messages (RFC 8654)"),
        (agreed.extended_next_hop, "IPv6 next hops of IPv4 (RFC 8950)"),
        (agreed.restart.is_some(), "graceful restart (RFC 4724)"),
        (agreed.restart.as_ref().is_some_and(|r| r.notification), "graceful restart after a notification (RFC 8538)"),
        (agreed.restart.as_ref().is_some_and(|r| !r.long_lived.is_empty()), "long-lived graceful restart (RFC 9494)"),
    ];
    api::Negotiated {
        router_id: agreed.peer_identifier.to_string(),
        hold_seconds: agreed.hold_time,
        families: agreed.families.iter().map(|family| family.to_string()).collect(),
        capabilities: capabilities.iter().filter(|(has, _)| *has).map(|(_, name)| (*name).to_owned()).collect(),
        restart_seconds: agreed.restart.as_ref().map(|restart| restart.time),
    }
}

/// What one view shows of a prefix.
fn rows(rib: &Rib, labels: &Labels, prefix: &Prefix, view: View, peer: Option<SourceId>) -> Vec<api::Route> {
    if let (View::Out, Some(peer)) = (view, peer) {
        let told = rib.told(peer, prefix).map(|attributes| api::Route {
            source: labels.sources.get(&peer).cloned().unwrap_or_default(),
            told: true,
            ..route(labels, prefix, attributes)
        });
        return told.into_iter().collect();
    }
    let wanted = |candidate: &Candidate| match view {
        View::Best => candidate.chosen,
        View::In => Some(candidate.source) == peer,
        View::All | View::Out => true,
    };
    let row = |candidate: Candidate| {
        let shown = match (&candidate.accepted, view) {
            (Ok(accepted), View::All | View::Best) => accepted,
            _ => &candidate.received,
        };
        api::Route {
            source: labels.sources.get(&candidate.source).cloned().unwrap_or_default(),
            best: candidate.chosen,
            told: candidate.told,
            stale: candidate.stale,
            refused: candidate.accepted.as_ref().err().map(ToString::to_string),
            lost_by: candidate.lost_by.map(|step| step.to_string()),
            ..route(labels, prefix, shown)
        }
    };
    rib.candidates(prefix).into_iter().filter(wanted).map(row).collect()
}

fn route(labels: &Labels, prefix: &Prefix, attributes: &Attributes) -> api::Route {
    let large = |c: &bgp::LargeCommunity| format!("{}:{}:{}", c.global_admin, c.local_data1, c.local_data2);
    let next_hop = attributes.next_hop();
    api::Route {
        gateway: labels.gateway.clone(),
        prefix: prefix.to_string(),
        next_hop: if next_hop.is_unspecified() { "self".to_owned() } else { next_hop.to_string() },
        as_path: attributes.as_numbers().collect(),
        origin: format!("{:?}", attributes.origin()).to_lowercase(),
        med: attributes.med(),
        local_pref: attributes.local_pref(),
        communities: attributes.communities().iter().map(|value| Community(*value).to_string()).collect(),
        large_communities: attributes.large_communities().iter().map(large).collect(),
        ..api::Route::default()
    }
}

fn policy(resources: &Resources, policy: Policy) -> String {
    match policy {
        Policy::All => "all".to_owned(),
        Policy::Own => "own".to_owned(),
        Policy::None => "none".to_owned(),
        Policy::Filter(index) => resources.filters()[index.position()].name.as_str().to_owned(),
    }
}

fn event(entry: &super::LogEntry) -> api::Event {
    api::Event {
        number: entry.number,
        time: rfc3339(entry.at.duration_since(UNIX_EPOCH).unwrap_or_default()),
        gateway: entry.gateway.clone(),
        tunnel: entry.tunnel.clone(),
        text: entry.text.clone(),
    }
}

/// A prefix, or an address as the prefix of one.
fn wanted(text: &str) -> Result<IpNet, String> {
    let net = text.parse::<IpNet>().or_else(|_| text.parse::<std::net::IpAddr>().map(IpNet::from));
    net.map_err(|_| format!("{text} is no prefix; such as 10.2.0.0/16, or an address"))
}

fn prefix(net: IpNet) -> Prefix {
    match net {
        IpNet::V4(net) => Prefix::V4(bgp::Ipv4Prefix { addr: net.network(), len: net.prefix_len() }),
        IpNet::V6(net) => Prefix::V6(bgp::Ipv6Prefix { addr: net.network(), len: net.prefix_len() }),
    }
}
