//! The child SAs that are installed, and the slots that they and those to come take.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use anyhow::{Context, anyhow};
use esp::{InboundSa, OutboundSa};
use ike::{ChildSa, SpiAllocator, TunnelId, UdpEncapsulation};
use rand::Rng;
use tables::{SaSlot, Selectors, SlotPool};
use wire::Spi;
use zeroize::Zeroizing;

use crate::api::EspKey;
use crate::negotiation;
use crate::path_mtu::PathMtus;
use crate::traffic::Traffic;
use crate::volume::{Degree, Reached, Volumes};

/// Slots in all unless `run --associations` says otherwise. Each child takes two.
pub const SLOTS: u32 = 4096;

/// All child SAs, and their slots.
pub struct Associations {
    pool: SlotPool,
    /// Handed out by SPI, not installed yet.
    reserved: BTreeMap<u32, Slots>,
    /// In the order of installation.
    children: Vec<Child>,
    /// The children that each tunnel sends on, by inbound SPI, the one that is tried first at the end.
    sending: BTreeMap<TunnelId, Vec<u32>>,
    /// RFC 4301 §4.4.2.1 keeps them with SAs; here they survive these.
    pub path_mtus: PathMtus,
}

/// A child's slots: one for each direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slots {
    pub inbound: SaSlot,
    pub outbound: SaSlot,
}

/// One installed child SA.
pub struct Child {
    pub slots: Slots,
    pub inbound: Arc<InboundSa>,
    pub outbound: Arc<OutboundSa>,
    /// What it was negotiated for, as workers check it.
    pub selectors: Selectors,
    /// As negotiated, its keys in memory that is wiped when it goes.
    pub sa: ChildSa,
    /// What its slots had counted before it took them.
    pub baseline: Traffic,
    /// What either direction may carry, and how far it was when that was told.
    volumes: Volumes,
    told: Option<Degree>,
}

impl Associations {
    /// None, and all slots free.
    pub fn new(slots: u32) -> Self {
        Self {
            pool: SlotPool::new(slots),
            reserved: BTreeMap::new(),
            children: Vec::new(),
            sending: BTreeMap::new(),
            path_mtus: PathMtus::default(),
        }
    }

    /// Makes both directions of a child whose SPI was handed out here. `baseline` tells what slots have counted so far.
    ///
    /// # Errors
    /// Where IKE gives what cannot be: it is then not installed, and its slots are free.
    pub fn install(
        &mut self,
        sa: ChildSa,
        replay_window: u32,
        volumes: Volumes,
        baseline: impl FnOnce(Slots) -> Traffic,
    ) -> anyhow::Result<()> {
        let slots = self.reserved.remove(&sa.inbound_spi).ok_or_else(|| anyhow!("its SPI was not handed out"))?;
        let made = (|| -> anyhow::Result<_> {
            let inbound = esp::Inbound {
                spi: Spi::new(sa.inbound_spi).context("our SPI is reserved")?,
                suite: negotiation::suite(sa.cipher, sa.integrity).context("its algorithms do not go together")?,
                key: sa.inbound_key.key(),
                salt: *sa.inbound_key.salt(),
                extended: sa.esn,
                replay_window,
            };
            Ok((InboundSa::new(inbound)?, outbound(&sa, volumes.packets)?))
        })();
        match made {
            Ok((inbound, outbound)) => {
                let baseline = baseline(slots);
                self.children.push(Child {
                    slots,
                    inbound: Arc::new(inbound),
                    outbound: Arc::new(outbound),
                    selectors: negotiation::selectors(&sa),
                    sa,
                    baseline,
                    volumes,
                    told: None,
                });
                Ok(())
            }
            Err(error) => {
                self.give(slots);
                Err(error)
            }
        }
    }

    /// Sends on a child from now on, and no longer on the one in whose place it stands.
    pub fn send_on(&mut self, tunnel: TunnelId, inbound_spi: u32, instead_of: Option<u32>) {
        let sending = self.sending.entry(tunnel).or_default();
        sending.retain(|spi| *spi != inbound_spi && Some(*spi) != instead_of);
        sending.push(inbound_spi);
    }

    /// Takes a child out, and tells whether it was sent on; its slots go back with [`Associations::give`] once no worker
    /// uses them.
    pub fn remove(&mut self, inbound_spi: u32) -> Option<(Child, bool)> {
        let position = self.children.iter().position(|child| child.sa.inbound_spi == inbound_spi)?;
        let child = self.children.remove(position);
        let tunnel = child.sa.tunnel;
        let sending = self.sending.get_mut(&tunnel);
        let sent = sending.is_some_and(|spis| spis.extract_if(.., |spi| *spi == inbound_spi).count() > 0);
        if self.sending.get(&tunnel).is_some_and(Vec::is_empty) {
            self.sending.remove(&tunnel);
        }
        Some((child, sent))
    }

    /// Sends a child's ESP between other addresses or ports from now on; tells where the peer was before.
    pub fn relocate(
        &mut self,
        inbound_spi: u32,
        (local, remote): (IpAddr, IpAddr),
        encapsulation: Option<UdpEncapsulation>,
    ) -> Option<IpAddr> {
        let child = self.children.iter_mut().find(|child| child.sa.inbound_spi == inbound_spi)?;
        let before = std::mem::replace(&mut child.sa.remote, remote);
        (child.sa.local, child.sa.encapsulation) = (local, encapsulation);
        Some(before)
    }

    /// Children that have reached a limit of theirs since this was asked last. `now` tells what slots have counted.
    pub fn reached(&mut self, now: impl Fn(Slots) -> Traffic) -> Vec<(TunnelId, u32, Reached)> {
        let reach = |child: &mut Child| {
            let mut traffic = Traffic::NONE;
            traffic.add_since(&now(child.slots), &child.baseline);
            let packets = traffic.packets_in.max(traffic.packets_out);
            let reached = child.volumes.reached(packets, traffic.bytes_in.max(traffic.bytes_out))?;
            let before = child.told.replace(reached.degree);
            (before < Some(reached.degree)).then_some((child.sa.tunnel, child.sa.inbound_spi, reached))
        };
        self.children.iter_mut().filter(|child| child.volumes.limited()).filter_map(reach).collect()
    }

    /// Gives slots back, oldest first out again.
    pub fn give(&mut self, slots: Slots) {
        self.pool.give(slots.inbound);
        self.pool.give(slots.outbound);
    }

    /// All children, by installation.
    pub fn children(&self) -> &[Child] {
        &self.children
    }

    /// The child that a tunnel sends through; where there are several the newest, to which a packet goes first.
    pub fn sending(&self, tunnel: TunnelId) -> Option<&Child> {
        self.senders(tunnel).next()
    }

    /// All children that a tunnel sends through, those with the same selectors together and in the order of their numbers:
    /// each worker has one of them (RFC 9611). Packets go first to those with the newest one's selectors.
    pub fn groups(&self, tunnel: TunnelId) -> Vec<Vec<&Child>> {
        grouped(self.senders(tunnel), |child| (&child.selectors, child.sa.resource))
    }

    /// The children that a tunnel sends through, the newest first.
    pub fn senders(&self, tunnel: TunnelId) -> impl Iterator<Item = &Child> {
        self.sending.get(&tunnel).into_iter().flatten().rev().filter_map(|spi| self.child(*spi))
    }

    fn child(&self, inbound_spi: u32) -> Option<&Child> {
        self.children.iter().find(|child| child.sa.inbound_spi == inbound_spi)
    }

    /// Tunnels that send.
    pub fn up(&self) -> impl Iterator<Item = TunnelId> {
        self.sending.keys().copied()
    }

    /// The keys of both directions of all children.
    pub fn keys(&self) -> Vec<EspKey> {
        let direction = |sa: &ChildSa, source: IpAddr, destination: IpAddr, spi: u32, key: &ike::EspKey| EspKey {
            source,
            destination,
            spi,
            esn: sa.esn,
            encryption: sa.cipher.to_string(),
            key: hexadecimal(&[key.encryption(), if sa.cipher.is_aead() { key.salt() } else { &[] }]),
            integrity: sa.integrity.map(|integrity| integrity.to_string()),
            integrity_key: hexadecimal(&[key.integrity()]),
        };
        let both = |sa: &ChildSa| {
            [
                direction(sa, sa.local, sa.remote, sa.outbound_spi, &sa.outbound_key),
                direction(sa, sa.remote, sa.local, sa.inbound_spi, &sa.inbound_key),
            ]
        };
        self.children.iter().flat_map(|child| both(&child.sa)).collect()
    }
}

/// Those with the same key, in the order of their numbers; of two with the same number only the first is taken.
fn grouped<T: Copy, K: PartialEq>(all: impl Iterator<Item = T>, of: impl Fn(T) -> (K, u16)) -> Vec<Vec<T>> {
    let mut groups: Vec<(K, BTreeMap<u16, T>)> = Vec::new();
    for one in all {
        let (key, number) = of(one);
        match groups.iter_mut().find(|(known, _)| *known == key) {
            Some((_, group)) => {
                group.entry(number).or_insert(one);
            }
            None => groups.push((key, BTreeMap::from([(number, one)]))),
        }
    }
    groups.into_iter().map(|(_, group)| group.into_values().collect()).collect()
}

impl SpiAllocator for Associations {
    fn allocate(&mut self, _: TunnelId) -> Option<u32> {
        let inbound = self.pool.take()?;
        let Some(outbound) = self.pool.take() else {
            self.pool.give(inbound);
            return None;
        };
        let spi = inbound.spi(rand::rng().next_u32()).value();
        self.reserved.insert(spi, Slots { inbound, outbound });
        Some(spi)
    }

    fn release(&mut self, _: TunnelId, spi: u32) {
        if let Some(slots) = self.reserved.remove(&spi) {
            self.give(slots);
        }
    }
}

fn outbound(sa: &ChildSa, packets: Option<u64>) -> anyhow::Result<OutboundSa> {
    Ok(OutboundSa::new(esp::Outbound {
        spi: Spi::new(sa.outbound_spi).context("the peer's SPI is reserved")?,
        suite: negotiation::suite(sa.cipher, sa.integrity).context("its algorithms do not go together")?,
        key: sa.outbound_key.key(),
        salt: *sa.outbound_key.salt(),
        extended: sa.esn,
        packets,
    })?)
}

/// Made in one piece of memory, so that nothing is left behind where it grew.
fn hexadecimal(parts: &[&[u8]]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = Zeroizing::new(String::with_capacity(2 * parts.iter().map(|part| part.len()).sum::<usize>()));
    for byte in parts.iter().flat_map(|part| part.iter()) {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    std::mem::take(&mut *text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_takes_two_slots_and_release_gives_them_back() {
        let mut associations = Associations::new(SLOTS);
        let tunnel = TunnelId(0);
        let spis: Vec<u32> = std::iter::from_fn(|| associations.allocate(tunnel)).collect();
        assert_eq!(spis.len(), SLOTS as usize / 2);
        assert!(spis.iter().all(|spi| *spi >= Spi::SMALLEST));
        associations.release(tunnel, spis[7]);
        associations.release(tunnel, spis[7]);
        assert!(associations.allocate(tunnel).is_some());
        assert_eq!(associations.allocate(tunnel), None);
    }

    #[test]
    fn children_with_the_same_selectors_stand_together_by_number() {
        let newest_first = [('b', 1, 9), ('a', 2, 8), ('b', 0, 7), ('a', 2, 6), ('a', 0, 5)];
        let groups = grouped(newest_first.into_iter(), |(selectors, resource, _)| (selectors, resource));
        let ages: Vec<Vec<u8>> =
            groups.into_iter().map(|group| group.into_iter().map(|(.., age)| age).collect()).collect();
        assert_eq!(ages, [vec![7, 9], vec![5, 8]]);
    }

    #[test]
    fn key_and_salt_stand_together() {
        assert_eq!(hexadecimal(&[&[0, 0x0f, 0xa0], &[0xff]]), "000fa0ff");
    }
}
