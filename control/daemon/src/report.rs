//! The status that clients ask for.

use std::collections::BTreeMap;
use std::fs;
use std::time::Instant;

use ike::{KeGroup, TunnelId, TunnelState};
use steer::Side;

use crate::api;
use crate::authentication;
use crate::control::Control;
use crate::dataplane::{Socket, side_name};
use crate::traffic;

impl Control {
    /// All there is to see.
    pub(crate) fn status(&mut self, now: Instant) -> api::Status {
        let (version, retired) = self.dataplane.publication();
        api::Status {
            warnings: self.warnings(),
            gateways: self.gateways(),
            tunnels: self.ids.all().iter().filter_map(|id| self.tunnel(*id, now)).collect(),
            workers: self.workers(),
            interfaces: self.interfaces(),
            publication: api::Publication { version, retired },
            ike: self.strays(),
            path_mtu_errors: self.icmp.counts().iter().map(|(name, count)| ((*name).to_owned(), *count)).collect(),
        }
    }

    /// What a person should know: how the host is set up besides us.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let mut warnings = self.dataplane.warnings.clone();
        for interface in self.layout.interfaces().iter().filter(|interface| interface.side == Side::Vpc) {
            for family in ["ipv4", "ipv6"] {
                let path = format!("/proc/sys/net/{family}/conf/{}/forwarding", interface.name);
                if fs::read_to_string(path).is_ok_and(|text| text.trim() != "0") {
                    warnings.push(format!(
                        "the kernel forwards {family} on {0}: once this gateway is stopped, VPC traffic may leave in clear; \
                         on a host that is nothing but a gateway: sysctl -w net.{family}.conf.{0}.forwarding=0",
                        interface.name
                    ));
                }
            }
        }
        for interface in self.layout.interfaces() {
            let link = self.view.links.get(interface.index);
            if let Some(link) = link.filter(|link| link.mtu > interface.longest) {
                warnings.push(format!(
                    "the MTU of {} is {} now; packets of more than {} bytes are lost there until a restart",
                    interface.name, link.mtu, interface.longest
                ));
            }
        }
        for tunnel in self.resources.tunnels() {
            let peer = tunnel.remote_address;
            if self.view.way(peer).is_some_and(|way| self.layout.leaving(&self.view, way.interface).is_none()) {
                warnings.push(format!("the host's route to {peer} leads out of an interface that is not ours"));
            }
        }
        warnings
    }

    fn tunnel(&self, id: TunnelId, now: Instant) -> Option<api::Tunnel> {
        let tunnel = self.resources.tunnel(self.ids.index(id)?);
        let status = self.endpoint.status(id)?;
        let up = match status.state {
            TunnelState::Up => true,
            TunnelState::AdminDown | TunnelState::Connecting | TunnelState::Down => false,
        };
        let reason = api::Reason {
            code: status.reason.code().to_owned(),
            text: status.reason.to_string(),
            hint: status.reason.hint().to_owned(),
        };
        let messages = status.counters;
        Some(api::Tunnel {
            name: tunnel.name.to_string(),
            connection: self.resources.connection(tunnel.connection).name.to_string(),
            gateway: self.resources.gateway(tunnel.gateway).name.to_string(),
            state: if up { "UP" } else { "DOWN" }.to_owned(),
            reason: (!up).then_some(reason),
            since_seconds: now.saturating_duration_since(status.since).as_secs_f64(),
            local: tunnel.local_address.to_string(),
            remote: tunnel.remote_address.to_string(),
            ike: status.ike.filter(|_| up).map(|ike| api::Ike {
                authentication: authentication::word(tunnel, status.uses_next_psk).to_owned(),
                encryption: ike.encryption.to_string(),
                integrity: ike.integrity.map(|integrity| integrity.to_string()),
                prf: ike.prf.to_string(),
                key_exchange: ike.key_exchange.to_string(),
                additional_key_exchange: names(&ike.additional),
                weak: ike.weak(),
            }),
            esp: self.associations.sending(id).filter(|_| up).map(|child| api::Esp {
                suite: match child.sa.integrity {
                    None => child.sa.cipher.to_string(),
                    Some(integrity) => format!("{}-{integrity}", child.sa.cipher),
                },
                key_exchange: status.esp.and_then(|esp| esp.key_exchange).map(|group| group.to_string()),
                additional_key_exchange: status.esp.map_or_else(Vec::new, |esp| names(&esp.additional)),
                weak: status.esp.map_or_else(Vec::new, |esp| esp.weak()),
                spi_in: format!("{:08x}", child.sa.inbound_spi),
                spi_out: format!("{:08x}", child.sa.outbound_spi),
                esn: child.sa.esn,
                child_sas: self.associations.groups(id).iter().map(Vec::len).sum(),
                encapsulation: if child.sa.encapsulation.is_some() { "udp" } else { "none" }.to_owned(),
                lifetime_seconds: child.sa.lifetime.as_secs(),
            }),
            path_mtu: self.path_mtu(id, now),
            counters: self.traffic(id).counters(),
            messages: occurred(&[
                ("received", messages.received),
                ("sent", messages.sent),
                ("retransmitted", messages.retransmitted),
                ("attempts", messages.attempts),
                ("established", messages.established),
                ("failed", messages.failed),
                ("rejected", messages.rejected),
                ("malformed", messages.malformed),
                ("bad_integrity", messages.bad_integrity),
                ("unexpected", messages.unexpected),
                ("unprotected_errors", messages.unprotected_errors),
                ("wrong_tokens", messages.wrong_tokens),
            ]),
        })
    }

    fn path_mtu(&self, id: TunnelId, now: Instant) -> Option<api::PathMtu> {
        let bytes = self.picture().path_mtu(id)?;
        let learned = self.associations.path_mtus.of(id).filter(|learned| learned.mtu == bytes);
        Some(api::PathMtu {
            bytes,
            inner_bytes: self.snapshot.tunnels.get(id.0 as usize).map(|outbound| outbound.longest),
            learned: learned.map(|learned| api::LearnedPathMtu {
                router: learned.router.to_string(),
                expires_seconds: learned.until.saturating_duration_since(now).as_secs_f64(),
            }),
        })
    }

    fn gateways(&self) -> Vec<api::Gateway> {
        let gateway = |(index, gateway): (u32, &gateway::BorderGateway)| {
            let count = self.errors.count(index);
            api::Gateway {
                name: gateway.name.to_string(),
                errors_sent: count.sent,
                errors_suppressed: count.suppressed,
            }
        };
        (0..).zip(self.resources.gateways()).map(gateway).collect()
    }

    fn workers(&self) -> Vec<api::Worker> {
        let worker = |(place, running): (usize, &crate::dataplane::Running)| {
            let counters = running.handle.counters();
            api::Worker {
                core: running.core,
                received: counters.received,
                transmitted: counters.transmitted,
                passed: counters.passed,
                dropped: counters.dropped,
                split: counters.split,
                merged: counters.merged,
                originated: counters.originated,
                hand_over: hand_over(&counters.hand_over),
                drops: traffic::named(&counters.drops),
                rates: self.rates.of(place),
            }
        };
        self.dataplane.workers.iter().enumerate().map(worker).collect()
    }

    fn interfaces(&self) -> Vec<api::Interface> {
        let steer = &self.dataplane.steer;
        let interface = |interface: &crate::layout::Interface| {
            let counters = steer.counters(&interface.name).unwrap_or_default();
            let sockets = self.dataplane.sockets.iter().filter(|socket| socket.interface == interface.name);
            api::Interface {
                name: interface.name.clone(),
                side: side_name(interface.side).to_owned(),
                xdp_mode: steer.attached(&interface.name).map(|a| a.mode.to_string()).unwrap_or_default(),
                queues: sockets.map(queue).collect(),
                steer: counters.iter().map(|(counter, count)| (counter.as_str().to_owned(), count)).collect(),
            }
        };
        self.layout.interfaces().iter().map(interface).collect()
    }

    fn strays(&self) -> BTreeMap<String, u64> {
        let counters = self.endpoint.counters();
        occurred(&[
            ("malformed", counters.malformed),
            ("unknown_peer", counters.unknown_peer),
            ("unknown_spi", counters.unknown_spi),
            ("unsupported_version", counters.unsupported_version),
            ("admin_down", counters.admin_down),
            ("half_open_limit", counters.half_open_limit),
            ("cookies_asked", counters.cookies_asked),
            ("handshakes_limited", counters.handshakes_limited),
            ("answers_limited", counters.answers_limited),
            ("surplus_sas", counters.surplus_sas),
            ("keepalives", counters.keepalives),
        ])
    }
}

/// Additional key exchanges by name, in the order in which they were made.
fn names(additional: &[Option<KeGroup>]) -> Vec<String> {
    additional.iter().flatten().map(ToString::to_string).collect()
}

fn hand_over(counters: &worker::HandedOver) -> api::HandOver {
    let worker::HandedOver { handed_over, helped, taken_back, unhelped } = *counters;
    api::HandOver { handed_over, helped, taken_back, unhelped }
}

fn queue(socket: &Socket) -> api::Queue {
    // Zeros where a kernel does not tell.
    let kernel = rustix::net::sockopt::xdp_statistics(&socket.descriptor).ok();
    let count = |read: fn(&rustix::net::xdp::XdpStatistics) -> Option<u64>| kernel.as_ref().and_then(read).unwrap_or(0);
    api::Queue {
        queue: socket.queue,
        zero_copy: socket.zero_copy,
        rx_dropped: count(|kernel| Some(kernel.rx_dropped)),
        rx_ring_full: count(|kernel| kernel.rx_ring_full),
        rx_fill_ring_empty: count(|kernel| kernel.rx_fill_ring_empty_descs),
        rx_invalid_descriptors: count(|kernel| Some(kernel.rx_invalid_descs)),
        tx_invalid_descriptors: count(|kernel| Some(kernel.tx_invalid_descs)),
        tx_ring_empty: count(|kernel| kernel.tx_ring_empty_descs),
    }
}

fn occurred(counters: &[(&str, u64)]) -> BTreeMap<String, u64> {
    counters.iter().filter(|(_, count)| *count > 0).map(|(name, count)| ((*name).to_owned(), *count)).collect()
}
