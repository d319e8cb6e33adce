//! A model of the dataplane: which SPIs receive, and which child sends.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::time::Instant;

use ike::{ChildSa, SpiAllocator, TunnelId, UdpEncapsulation};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::Rng;

/// The children of one tunnel at one end.
#[derive(Default)]
pub(crate) struct Children {
    /// All receive.
    installed: Vec<Installed>,
    /// Those that send, by inbound SPI, oldest first.
    sending: Vec<u32>,
}

/// A child and what is known of it.
pub(crate) struct Installed {
    pub(crate) child: ChildSa,
    /// Since when the other end has not had it.
    pub(crate) alone_since: Option<Instant>,
}

impl Children {
    /// Receives on a child from now on; false if the SPI is there already.
    pub(crate) fn install(&mut self, child: ChildSa) -> bool {
        if self.has(child.inbound_spi) {
            return false;
        }
        self.installed.push(Installed { child, alone_since: None });
        true
    }

    /// Sends on a child from now on, and on the one in whose place it stands no longer; false if there is no such child.
    pub(crate) fn make_use(&mut self, inbound_spi: u32, instead_of: Option<u32>) -> bool {
        self.sending.retain(|spi| *spi != inbound_spi && Some(*spi) != instead_of);
        self.sending.push(inbound_spi);
        self.has(inbound_spi)
    }

    /// Removes both directions; false if there is no such child.
    pub(crate) fn remove(&mut self, inbound_spi: u32) -> bool {
        self.sending.retain(|spi| *spi != inbound_spi);
        let before = self.installed.len();
        self.installed.retain(|i| i.child.inbound_spi != inbound_spi);
        self.installed.len() != before
    }

    /// Sends to other ports; false if there is no such child.
    pub(crate) fn relocate(&mut self, inbound_spi: u32, encapsulation: Option<UdpEncapsulation>) -> bool {
        let child = self.installed.iter_mut().find(|i| i.child.inbound_spi == inbound_spi);
        child.map(|i| i.child.encapsulation = encapsulation).is_some()
    }

    pub(crate) fn has(&self, inbound_spi: u32) -> bool {
        self.installed.iter().any(|i| i.child.inbound_spi == inbound_spi)
    }

    /// The children that send, one for each core.
    pub(crate) fn sending(&self) -> Vec<&ChildSa> {
        let child = |spi: &u32| self.iter().map(|i| &i.child).find(|c| c.inbound_spi == *spi);
        // Of two for one core the newer one does.
        self.sending
            .iter()
            .filter_map(child)
            .map(|c| (c.resource, c))
            .collect::<BTreeMap<_, _>>()
            .into_values()
            .collect()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Installed> {
        self.installed.iter()
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Installed> {
        self.installed.iter_mut()
    }

    pub(crate) fn len(&self) -> usize {
        self.installed.len()
    }

    /// The counterpart of the other end's child.
    pub(crate) fn counterpart(&self, of: &ChildSa) -> Option<&ChildSa> {
        self.iter().map(|i| &i.child).find(|c| c.inbound_spi == of.outbound_spi && c.outbound_spi == of.inbound_spi)
    }
}

/// The inbound SPIs that are taken, and whether each is only reserved or installed.
pub(crate) struct Spis {
    rng: ChaCha8Rng,
    taken: BTreeMap<u32, (TunnelId, bool)>,
    /// In so many of a thousand cases there is none.
    scarcity: u32,
    /// What was given back without having been reserved.
    pub(crate) falsely_released: Option<(TunnelId, u32)>,
}

impl Spis {
    pub(crate) fn new(rng: ChaCha8Rng, scarcity: u32) -> Self {
        Self { rng, taken: BTreeMap::new(), scarcity, falsely_released: None }
    }

    /// The child is installed; false if its SPI was not reserved for this tunnel.
    pub(crate) fn install(&mut self, tunnel: TunnelId, spi: u32) -> bool {
        let reserved = self.taken.get_mut(&spi).filter(|(of, installed)| *of == tunnel && !installed);
        reserved.map(|(_, installed)| *installed = true).is_some()
    }

    /// The child is removed, so its SPI is free.
    pub(crate) fn remove(&mut self, spi: u32) {
        self.taken.remove(&spi);
    }

    pub(crate) fn plenty(&mut self) {
        self.scarcity = 0;
    }

    pub(crate) fn taken(&self) -> usize {
        self.taken.len()
    }

    pub(crate) fn reserved(&self) -> usize {
        self.taken.values().filter(|(_, installed)| !installed).count()
    }
}

impl SpiAllocator for Spis {
    fn allocate(&mut self, tunnel: TunnelId) -> Option<u32> {
        if self.scarcity > 0 && self.rng.next_u32() % 1000 < self.scarcity {
            return None;
        }
        loop {
            let spi = self.rng.next_u32() | 0x1000;
            if let Entry::Vacant(free) = self.taken.entry(spi) {
                free.insert((tunnel, false));
                return Some(spi);
            }
        }
    }

    fn release(&mut self, tunnel: TunnelId, spi: u32) {
        match self.taken.remove(&spi) {
            Some((of, false)) if of == tunnel => {}
            Some(_) | None => self.falsely_released = Some((tunnel, spi)),
        }
    }
}
