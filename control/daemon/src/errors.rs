//! The ICMP errors that border gateways send: from which address, and how many.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use gateway::GatewayIndex;
use ike::TunnelId;
use wire::Packet;
use worker::{Notice, Origin};

use crate::control::Control;
use crate::picture::Picture;
use crate::token_bucket::TokenBucket;

/// RFC 1812 §4.3.2.8, RFC 4443 §2.4(f): so many errors of a gateway at once, and then one in every interval.
const BURST: u32 = 50;
const INTERVAL: Duration = Duration::from_millis(10);
/// Notices taken from one worker in a turn.
const NOTICES_PER_TURN: usize = 64;
/// Bytes of the longest packet there can be, an IPv6 one without jumbo payload.
const LONGEST_PACKET: usize = 40 + 65535;
/// Bytes of the longest error, [`wire::icmp::Report::write`]'s.
const LONGEST_ERROR: usize = 1280;

/// What the gateways have said.
pub struct Errors {
    limits: BTreeMap<u32, Limit>,
    /// Where the packet stands that an error is about.
    packet: Box<[u8]>,
}

/// One gateway's limit, and what came of it.
struct Limit {
    bucket: TokenBucket,
    count: Count,
}

/// Errors of one gateway since it started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Count {
    pub sent: u64,
    /// Not sent, for there were too many.
    pub suppressed: u64,
}

impl Errors {
    /// Nothing yet.
    pub fn new() -> Self {
        Self { limits: BTreeMap::new(), packet: vec![0; LONGEST_PACKET].into_boxed_slice() }
    }

    /// What a gateway has said.
    pub fn count(&self, gateway: u32) -> Count {
        self.limits.get(&gateway).map_or_else(Count::default, |limit| limit.count)
    }

    /// Writes the error that a notice asks for, from `source`; `None` where there is none to be sent, or too many were.
    fn write(
        &mut self,
        notice: &Notice,
        source: impl FnOnce(bool) -> Option<IpAddr>,
        now: Instant,
        error: &mut [u8; LONGEST_ERROR],
    ) -> Option<usize> {
        // A notice has no more of a packet than is quoted, and its header names the length of all of it.
        let quoted = notice.packet();
        self.packet.get_mut(..quoted.len())?.copy_from_slice(quoted);
        let packet = Packet::parse(&self.packet).ok()?;
        let length = notice.report.write(&packet, source(packet.source.is_ipv4())?, error)?;
        let fresh = || Limit { bucket: TokenBucket::new(BURST, INTERVAL, now), count: Count::default() };
        let limit = self.limits.entry(notice.gateway.0).or_insert_with(fresh);
        if limit.bucket.take(now) {
            limit.count.sent += 1;
            Some(length)
        } else {
            limit.count.suppressed += 1;
            None
        }
    }
}

impl Control {
    /// Tells the senders of packets that were not sent on.
    pub(crate) fn tell_senders(&mut self, now: Instant) {
        let mut error = [0; LONGEST_ERROR];
        for worker in 0..self.dataplane.workers.len() {
            for _ in 0..NOTICES_PER_TURN {
                let Some(notice) = self.dataplane.workers[worker].handle.notice() else { break };
                let picture = Picture {
                    resources: &self.resources,
                    ids: &self.ids,
                    layout: &self.layout,
                    view: &self.view,
                    associations: &self.associations,
                    learnt: &self.learnt,
                    routing: Some(&self.routing),
                };
                let source = |is_v4| source(picture, GatewayIndex(notice.gateway.0), notice.origin, is_v4);
                if let Some(length) = self.errors.write(&notice, source, now, &mut error) {
                    self.dataplane.send_from_control(notice.gateway, error.get(..length).unwrap_or_default());
                }
            }
        }
    }
}

/// The address of a gateway's that an error is from, one that its receiver knows: where the packet came in if possible
/// (RFC 1812 §4.3.2.4, RFC 4443 §2.2).
fn source(picture: Picture<'_>, gateway: GatewayIndex, origin: Origin, is_v4: bool) -> Option<IpAddr> {
    let resources = picture.resources;
    let of_interface = |name: &str| {
        let index = picture.view.links.named(name).map(|(index, _)| index);
        index.into_iter().flat_map(|index| picture.view.addresses.of_interface(index))
    };
    let inner = || resources.inner_addresses(gateway).map(|inner| inner.address());
    let fits = |address: &IpAddr| {
        let local = matches!(address, IpAddr::V6(address) if address.is_unicast_link_local());
        address.is_ipv4() == is_v4 && !local
    };
    match origin {
        Origin::Vpc(attachment) => {
            let attachment = resources.attachments().get(attachment.position());
            attachment.into_iter().flat_map(|from| of_interface(from.interface.as_str())).chain(inner()).find(fits)
        }
        Origin::Tunnel(tunnel) => {
            let tunnel = picture.ids.index(TunnelId(tunnel.0)).map(|index| resources.tunnel(index));
            let own = tunnel.and_then(|tunnel| tunnel.inner_address).map(|inner| inner.address());
            let attached = resources.attachments().iter().filter(|attachment| attachment.gateway == gateway);
            let attached = attached.flat_map(|attachment| of_interface(attachment.interface.as_str()));
            own.into_iter().chain(inner()).chain(attached).find(fits)
        }
        // Its own kernel would not believe an error from one of its own addresses.
        Origin::Host => None,
    }
}

#[cfg(test)]
mod tests {
    use tables::{AttachmentIndex, TunnelIndex};

    use super::*;
    use crate::kernel::KernelView;
    use crate::picture::tests::{EXAMPLE, Scene};

    const INNER: (&str, &str) =
        ("udp_encapsulation = \"auto\"", "udp_encapsulation = \"auto\"\ninner_address = \"169.254.10.1/30\"");
    const OWN: (&str, &str) = ("asn = 65000", "asn = 65000\naddresses = [\"10.255.0.1/32\", \"2001:db8::1/128\"]");

    fn chosen(changes: &[(&str, &str)], knows: bool, origin: Origin, is_v4: bool) -> Option<String> {
        let text = changes.iter().fold(EXAMPLE.to_owned(), |text, (from, to)| text.replacen(from, to, 1));
        let mut scene = Scene::of(&text);
        if !knows {
            scene.view = KernelView::default();
        }
        source(scene.picture(), GatewayIndex(0), origin, is_v4).map(|address| address.to_string())
    }

    #[test]
    fn an_error_is_from_the_address_that_its_receiver_knows() {
        let (vpc, tunnel) = (Origin::Vpc(AttachmentIndex(0)), Origin::Tunnel(TunnelIndex(0)));
        let text = |address: &str| Some(address.to_owned());
        assert_eq!(chosen(&[INNER, OWN], true, vpc, true), text("10.1.0.1"));
        assert_eq!(chosen(&[INNER, OWN], false, vpc, true), text("10.255.0.1"));
        assert_eq!(chosen(&[], false, vpc, true), None);
        assert_eq!(chosen(&[INNER, OWN], true, tunnel, true), text("169.254.10.1"));
        assert_eq!(chosen(&[OWN], true, tunnel, true), text("10.255.0.1"));
        assert_eq!(chosen(&[], true, tunnel, true), text("10.1.0.1"));
        for origin in [vpc, tunnel] {
            assert_eq!(chosen(&[INNER, OWN], true, origin, false), text("2001:db8::1"));
            assert_eq!(chosen(&[INNER], true, origin, false), None);
        }
        assert_eq!(chosen(&[INNER, OWN], true, Origin::Host, true), None);
    }
}
