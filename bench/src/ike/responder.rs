//! Who answers: a process of its own on a core of its own.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Stdio};

use anyhow::{Context, Result, ensure};

use super::method::Method;
use super::strongswan::{self, Folder};
use crate::namespace::Pair;
use crate::process::Process;

/// Whose it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Bordergate,
    StrongSwan,
}

impl Kind {
    /// The name in figures.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bordergate => "bordergate",
            Self::StrongSwan => "strongswan",
        }
    }
}

/// The process, ended when dropped.
pub struct Responder {
    child: Child,
    /// Bytes that it had in memory before it knew of tunnels; only Bordergate knows each.
    pub bare: Option<u64>,
    _folder: Option<Folder>,
}

impl Responder {
    /// Starts it, and waits until it answers for so many tunnels.
    pub fn start(kind: Kind, method: Method, tunnels: u32, place: &Pair, core: usize) -> Result<Self> {
        match kind {
            Kind::Bordergate => Self::bordergate(method, tunnels, place, core),
            Kind::StrongSwan => {
                let folder = Folder::make(method)?;
                let charon = folder.start(place, core)?;
                // Ended even where it does not listen.
                let mut responder = Self { child: charon, bare: None, _folder: None };
                folder.load()?;
                responder._folder = Some(folder);
                Ok(responder)
            }
        }
    }

    /// What the kernel knows of it.
    pub fn process(&self) -> Process {
        Process(self.child.id())
    }

    fn bordergate(method: Method, tunnels: u32, place: &Pair, core: usize) -> Result<Self> {
        let child = place
            .at_device("taskset")
            .args(["--cpu-list", &core.to_string()])
            .arg(std::env::current_exe()?)
            .args(["ike", "--serve", &method.to_string(), "--tunnels", &tunnels.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("starting this program once more")?;
        let mut responder = Self { child, bare: None, _folder: None };
        let mut lines = BufReader::new(responder.child.stdout.take().context("its output")?).lines();
        let mut hear = |word: &str| {
            let line = lines.next().transpose()?.unwrap_or_default();
            ensure!(line == word, "the responder did not start: {line:?}");
            Ok(())
        };
        hear("open")?;
        responder.bare = Some(responder.process().memory()?.resident);
        responder.child.stdin.as_mut().context("its input")?.write_all(b"\n")?;
        hear("configured")?;
        Ok(responder)
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        // No Deletes: they would be load for whoever comes next.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Those that can be measured here: strongSwan only where it is installed and wanted.
pub fn present(without_strongswan: bool) -> Vec<Kind> {
    if without_strongswan {
        return vec![Kind::Bordergate];
    }
    if strongswan::is_installed() {
        return vec![Kind::Bordergate, Kind::StrongSwan];
    }
    eprintln!("without strongswan: {} is not installed", strongswan::CHARON);
    vec![Kind::Bordergate]
}
