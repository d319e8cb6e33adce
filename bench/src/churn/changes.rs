//! What control does to the tables.

use std::mem;
use std::thread;
use std::time::Duration;

use anyhow::Result;
use tables::{Selectors, Snapshot};

use super::Progress;
use crate::pipeline::case::Case;
use crate::pipeline::world::{self, Control};

/// What the core beside the worker's does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beside {
    /// It sleeps.
    Rest,
    /// It changes tables that nobody reads.
    Unpublished,
    /// It changes those of the worker.
    Published,
}

impl Beside {
    pub const ALL: [Self; 3] = [Self::Rest, Self::Unpublished, Self::Published];

    /// The name in figures.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rest => "rest",
            Self::Unpublished => "unpublished",
            Self::Published => "published",
        }
    }
}

/// Whether traffic may use a tunnel: every other one is rekeyed, and is not to lose a packet by it; the others go down and
/// come up again.
pub fn is_in_use(tunnel: u32) -> bool {
    tunnel.is_multiple_of(2)
}

/// Tables, and the next change of them.
pub struct Changes {
    case: Case,
    control: Control,
    /// Tables of the same content that nobody reads, and the version before.
    private: [Snapshot; 2],
    selectors: Selectors,
    /// The tunnel to be changed next, by whether the tables are published.
    next: [u32; 2],
}

impl Changes {
    /// Gives each tunnel an inbound association beside the outbound one it has.
    ///
    /// # Errors
    /// Where the suite's key is none.
    pub fn new(case: Case, mut control: Control) -> Result<Self> {
        let selectors = world::selectors();
        for number in 0..case.sas {
            let inbound = world::opening(&case, number, &selectors)?;
            control.snapshot.inbound.insert(number as usize, inbound);
        }
        control.publisher.publish(control.snapshot.clone());
        let private = [control.snapshot.clone(), control.snapshot.clone()];
        Ok(Self { case, control, private, selectors, next: [0; 2] })
    }

    /// All that happens to one tunnel.
    ///
    /// # Errors
    /// Where the suite's key is none.
    pub fn step(&mut self, beside: Beside, progress: &mut Progress) -> Result<()> {
        let published = match beside {
            Beside::Rest => {
                thread::sleep(Duration::from_millis(1));
                return Ok(());
            }
            Beside::Unpublished => false,
            Beside::Published => true,
        };
        let count = self.case.sas;
        let next = &mut self.next[usize::from(published)];
        let (number, odd_lap) = (*next % count, *next / count % 2);
        *next += 1;
        let position = number as usize;
        // A new inbound association has a slot of its own, and the old one's rests until the next lap.
        let (old, new) = ((number + odd_lap * count) as usize, number + (1 - odd_lap) * count);
        let inbound = world::opening(&self.case, new, &self.selectors)?;
        let outbound = world::outbound(&self.case, number, &self.selectors)?;
        progress.made += 2;
        let mut change = |edit: &mut dyn FnMut(&mut Snapshot)| {
            self.change(published, edit);
            progress.changes += 1;
        };
        let (mut inbound, mut outbound) = (Some(inbound), Some(outbound));
        let mut install_inbound = |tables: &mut Snapshot| {
            inbound.take().into_iter().for_each(|inbound| tables.inbound.insert(new as usize, inbound));
        };
        let mut switch_outbound = |tables: &mut Snapshot| {
            outbound.take().into_iter().for_each(|outbound| tables.tunnels.insert(position, outbound));
        };
        if is_in_use(number) {
            // A rekey: RFC 7296 §2.8.
            change(&mut install_inbound);
            change(&mut switch_outbound);
            change(&mut |tables| tables.inbound.remove(old));
        } else {
            change(&mut |tables| tables.tunnels.remove(position));
            change(&mut |tables| tables.inbound.remove(old));
            change(&mut install_inbound);
            change(&mut switch_outbound);
        }
        Ok(())
    }

    fn change(&mut self, published: bool, edit: &mut dyn FnMut(&mut Snapshot)) {
        if published {
            edit(&mut self.control.snapshot);
            self.control.publisher.publish(self.control.snapshot.clone());
        } else {
            // The version before shares what the change then has to copy, as a published one does.
            let [present, before] = &mut self.private;
            drop(mem::replace(before, present.clone()));
            edit(present);
        }
    }
}
