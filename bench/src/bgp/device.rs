//! Who is measured: a process of its own, started anew for each round.

use std::fmt;
use std::path::Path;
use std::process::Child;
use std::str::FromStr;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::bird::{self, Bird};
use super::bordergate::Bordergate;
use super::frr::{self, Frr};
use crate::namespace::Pair;
use crate::process::Process;

/// Whose it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Bordergate,
    Peer(Peer),
}

/// Whom Bordergate is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Peer {
    Bird,
    Frr,
}

/// How a running device is asked how far it is, at a price that does not grow with its table.
pub trait Watch {
    /// Whether it has received and chosen routes to so many prefixes, no more and no less.
    fn has(&mut self, prefixes: u64) -> Result<bool>;

    /// Looks whether what it has chosen is right, as far as it can be asked.
    fn check(&mut self) -> Result<()> {
        Ok(())
    }
}

impl Kind {
    /// The name in figures.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bordergate => "bordergate",
            Self::Peer(peer) => peer.name(),
        }
    }

    /// Whether what it chooses reaches a forwarding table.
    pub fn publishes(self) -> bool {
        self == Self::Bordergate
    }
}

impl Peer {
    pub const ALL: [Self; 2] = [Self::Bird, Self::Frr];

    /// The name in figures.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bird => "bird",
            Self::Frr => "frr",
        }
    }

    fn program(self) -> &'static str {
        match self {
            Self::Bird => bird::PROGRAM,
            Self::Frr => frr::PROGRAM,
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Peer {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let named = Self::ALL.into_iter().find(|peer| peer.name() == name);
        named.ok_or_else(|| format!("no such peer; allowed: {}", Self::ALL.map(Self::name).join(", ")))
    }
}

/// Those that can be measured here: of the peers those that are installed.
pub fn present(peers: &[Peer]) -> Vec<Kind> {
    let installed = |peer: &&Peer| {
        let there = Path::new(peer.program()).exists();
        if !there {
            eprintln!("without {peer}: {} is not installed", peer.program());
        }
        there
    };
    std::iter::once(Kind::Bordergate).chain(peers.iter().filter(installed).copied().map(Kind::Peer)).collect()
}

/// The process, ended when dropped.
pub struct Device {
    child: Child,
    watch: Box<dyn Watch>,
}

impl Device {
    /// Starts it for a table of so many prefixes of IPv4 and IPv6. It listens soon.
    pub fn start(kind: Kind, place: &Pair, prefixes: [usize; 2]) -> Result<Self> {
        let (child, watch): (Child, Box<dyn Watch>) = match kind {
            Kind::Bordergate => {
                let (child, watch) = Bordergate::start(place, prefixes)?;
                (child, Box::new(watch))
            }
            Kind::Peer(Peer::Bird) => {
                let (child, watch) = Bird::start(place)?;
                (child, Box::new(watch))
            }
            Kind::Peer(Peer::Frr) => {
                let (child, watch) = Frr::start(place)?;
                (child, Box::new(watch))
            }
        };
        Ok(Self { child, watch })
    }

    /// What the kernel knows of it.
    pub fn process(&self) -> Process {
        Process(self.child.id())
    }

    /// Waits until it has routes to so many prefixes, and looks as often as is said; `ended` says why there is no hope.
    ///
    /// # Errors
    /// Where it does not within `limit`, or cannot be asked.
    pub fn wait_until(
        &mut self,
        prefixes: u64,
        look: Duration,
        limit: Duration,
        ended: impl Fn() -> Option<String>,
    ) -> Result<()> {
        let began = Instant::now();
        while !self.watch.has(prefixes)? {
            if let Some(reason) = ended() {
                bail!("{reason}");
            }
            if began.elapsed() > limit {
                bail!("the device has no routes to {prefixes} prefixes after {} s", limit.as_secs());
            }
            thread::sleep(look);
        }
        Ok(())
    }

    /// Looks whether what it has chosen is right, as far as it can be asked.
    ///
    /// # Errors
    /// Where it is not.
    pub fn check(&mut self) -> Result<()> {
        self.watch.check()
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Tries until a device that has just been started answers.
pub fn patiently<T>(what: &str, attempt: impl Fn() -> std::io::Result<T>) -> Result<T> {
    let began = Instant::now();
    loop {
        match attempt() {
            Ok(done) => return Ok(done),
            Err(error) if began.elapsed() > Duration::from_secs(10) => {
                return Err(error).with_context(|| format!("{what} did not start; --peers leaves it out"));
            }
            Err(_) => thread::sleep(Duration::from_millis(20)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_is_named_as_in_the_figures() {
        assert_eq!("frr".parse(), Ok(Peer::Frr));
        assert_eq!("gobgp".parse::<Peer>(), Err("no such peer; allowed: bird, frr".to_owned()));
        assert_eq!(present(&[]), [Kind::Bordergate]);
    }
}
