//! ESP between the nodes. The network loses none of it, unless the way is cut.

use std::net::SocketAddr;

use ike::TunnelId;

use crate::violation::Violation;
use crate::world::{Event, World};

impl World {
    /// A packet from the inner network, sealed with the child that sends.
    pub(crate) fn send_packet(&mut self, from: usize, to: usize) -> Result<(), Violation> {
        let strict = self.strict();
        let Some(node) = self.nodes.get(from).filter(|n| n.endpoint.is_some()) else { return Ok(()) };
        let sending = node.children_of(TunnelId(to as u32)).map_or_else(Vec::new, |children| children.sending());
        // Any core may have it to send.
        let Some(child) = self.dice.pick(&sending) else {
            return if strict { Err(Violation::PacketUnsent { node: from, peer: to }) } else { Ok(()) };
        };
        self.statistics.packets += 1;
        let spi = child.outbound_spi;
        let ports = child.encapsulation.map_or((4500, 4500), |e| (e.local_port, e.remote_port));
        let outer = (SocketAddr::new(child.local, ports.0), SocketAddr::new(child.remote, ports.1));
        if self.network.translate(outer.0, outer.1).is_none() || self.network.is_cut(from, to) {
            return Ok(());
        }
        let delay = self.dice.between(self.plan.esp_delay.0, self.plan.esp_delay.1);
        self.after(delay, Event::Packet { from, to, spi });
        Ok(())
    }

    pub(crate) fn receive_packet(&mut self, from: usize, to: usize, spi: u32) -> Result<(), Violation> {
        let (now, tunnel) = (self.now, TunnelId(from as u32));
        let Some(node) = self.nodes.get_mut(to).filter(|n| n.endpoint.is_some()) else { return Ok(()) };
        if node.children_of(tunnel).is_some_and(|c| c.has(spi)) {
            if self.plan.notes_traffic {
                node.call(now, |e, ctx| e.note_inbound_traffic(tunnel, ctx.now));
            }
            return Ok(());
        }
        self.statistics.lost += 1;
        self.note(|| format!("n{from} -> n{to}: a packet for {spi:#x} is lost"));
        if self.strict() { Err(Violation::PacketLost { node: from, peer: to, spi }) } else { Ok(()) }
    }
}
