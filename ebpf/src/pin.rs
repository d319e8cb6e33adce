//! Links pinned in a bpffs, so that programs outlive the process that attached them.
//!
//! A pin is named `<network namespace>-<interface index>-<mode>`: an index means something only within its namespace,
//! and the kernel does not tell the mode of a link.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use aya::programs::Xdp;
use aya::programs::links::{FdLink, PinnedLink};
use aya::programs::xdp::XdpLink;
use nix::libc;
use nix::mount::{MsFlags, mount};
use nix::sys::statfs::{BPF_FS_MAGIC, statfs};

use crate::error::{os_error, reason};
use crate::{Mode, SteerError, XdpMode};

/// A link that [`detach_pinned`] took off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Detached {
    /// The index of the interface the program was attached to; `None` if that interface no longer exists.
    pub index: Option<u32>,
    /// The mode it was attached in.
    pub mode: Mode,
}

/// Takes off every program that an earlier process left pinned under `pin_dir` for an interface of the current network
/// namespace, and removes the pins of interfaces that no longer exist. The kernel then handles their traffic again.
///
/// # Errors
/// [`SteerError::PinDirectory`]. A directory that does not exist holds no pins and is no error.
pub fn detach_pinned(pin_dir: &Path) -> Result<Vec<Detached>, SteerError> {
    let pins = PinDirectory { path: pin_dir.into() };
    let namespace = network_namespace()?;
    let mut detached = Vec::new();
    for (path, name) in pins.list()? {
        let link = open(&path)?;
        let index = interface_of(&link)?;
        if name.namespace == namespace || index.is_none() {
            // In this order the link's last reference is `link`, and detaching is done when it is dropped.
            remove(&path)?;
            detached.push(Detached { index, mode: name.mode });
        }
        drop(link);
    }
    Ok(detached)
}

/// A directory on a bpffs.
#[derive(Debug)]
pub(crate) struct PinDirectory {
    path: PathBuf,
}

impl PinDirectory {
    /// Makes sure that the directory exists and is on a bpffs that outlives this process.
    pub(crate) fn open(path: &Path) -> Result<Self, SteerError> {
        let failed = |reason: String| SteerError::PinDirectory { path: path.into(), reason };
        fs::create_dir_all(path).map_err(|error| failed(error.to_string()))?;
        let system = statfs(path).map_err(|errno| failed(errno.desc().into()))?;
        if system.filesystem_type() != BPF_FS_MAGIC {
            let by_hand = format!("mkdir -p {0} && mount -t bpf bpf {0}", path.display());
            if in_mount_namespace_of_its_own() {
                return Err(failed(format!(
                    "it is not on a bpffs, and one mounted from here would vanish with this mount namespace; \
                     run outside of it (outside of `ip netns exec`): {by_hand}"
                )));
            }
            mount(Some("bpf"), path, Some("bpf"), MsFlags::empty(), Some("mode=0700")).map_err(|errno| {
                failed(format!("it is not on a bpffs and mounting one failed ({}); as root: {by_hand}", errno.desc()))
            })?;
        }
        Ok(Self { path: path.into() })
    }

    /// Removes the pins of interfaces that no longer exist.
    pub(crate) fn sweep(&self) -> Result<(), SteerError> {
        for (path, _) in self.list()? {
            // Another process may have removed it since.
            if let Ok(link) = open(&path)
                && interface_of(&link)?.is_none()
            {
                remove(&path)?;
            }
        }
        Ok(())
    }

    /// Puts `program` in place of what an earlier process left on the interface, if its mode suits. If it does not,
    /// what is there is taken off, since an interface cannot have programs in both modes.
    pub(crate) fn take_over(
        &self,
        program: &mut Xdp,
        index: u32,
        wanted: XdpMode,
    ) -> Result<Option<(FdLink, Mode)>, SteerError> {
        for mode in [Mode::Native, Mode::Generic] {
            let path = self.path(index, mode)?;
            if !path.exists() {
                continue;
            }
            let link = open(&path)?;
            if !wanted.allows(mode) || interface_of(&link)? != Some(index) {
                remove(&path)?;
                continue;
            }
            let failed = |error: &(dyn std::error::Error + 'static)| {
                SteerError::kernel(format!("taking over {}", path.display()), error)
            };
            let link = XdpLink::try_from(link).map_err(|error| failed(&error))?;
            match program.attach_to_link(link) {
                Ok(id) => {
                    let link = program.take_link(id).map_err(|error| failed(&error))?;
                    return Ok(Some((link.try_into().map_err(|error| failed(&error))?, mode)));
                }
                // The interface vanished meanwhile.
                Err(error) if os_error(&error) == Some(libc::ENOLINK) => remove(&path)?,
                Err(error) => return Err(failed(&error)),
            }
        }
        Ok(None)
    }

    pub(crate) fn pin(&self, link: FdLink, index: u32, mode: Mode) -> Result<(FdLink, PathBuf), SteerError> {
        let path = self.path(index, mode)?;
        let pinned =
            link.pin(&path).map_err(|error| SteerError::PinDirectory { path: path.clone(), reason: reason(&error) })?;
        Ok((pinned.into(), path))
    }

    pub(crate) fn path(&self, index: u32, mode: Mode) -> Result<PathBuf, SteerError> {
        Ok(self.path.join(format!("{}-{index}-{mode}", network_namespace()?)))
    }

    fn list(&self) -> Result<Vec<(PathBuf, PinName)>, SteerError> {
        let failed = |error: io::Error| SteerError::PinDirectory { path: self.path.clone(), reason: error.to_string() };
        let entries = match fs::read_dir(&self.path) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(failed(error)),
        };
        let mut pins = Vec::new();
        for entry in entries {
            let entry = entry.map_err(failed)?;
            if let Some(name) = entry.file_name().to_str().and_then(|name| name.parse().ok()) {
                pins.push((entry.path(), name));
            }
        }
        Ok(pins)
    }
}

/// The name of a pin.
#[derive(Debug, PartialEq, Eq)]
struct PinName {
    namespace: u64,
    mode: Mode,
}

/// A file in the directory that is no pin of ours.
#[derive(Debug, PartialEq, Eq)]
struct NotOurs;

impl FromStr for PinName {
    type Err = NotOurs;

    fn from_str(name: &str) -> Result<Self, NotOurs> {
        let mut parts = name.split('-');
        let mut part = || parts.next().ok_or(NotOurs);
        let namespace = part()?.parse().map_err(|_| NotOurs)?;
        let _index: u32 = part()?.parse().map_err(|_| NotOurs)?;
        let mode = match part()? {
            "native" => Mode::Native,
            "generic" => Mode::Generic,
            _ => return Err(NotOurs),
        };
        match parts.next() {
            None => Ok(Self { namespace, mode }),
            Some(_) => Err(NotOurs),
        }
    }
}

/// Removes a pin; it is fine if somebody else did.
pub(crate) fn remove(path: &Path) -> Result<(), SteerError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(SteerError::PinDirectory { path: path.into(), reason: error.to_string() })
        }
        _ => Ok(()),
    }
}

fn open(path: &Path) -> Result<FdLink, SteerError> {
    PinnedLink::from_pin(path)
        .map(FdLink::from)
        .map_err(|error| SteerError::PinDirectory { path: path.into(), reason: reason(&error) })
}

/// The index of the interface a link is attached to, or `None` once that is gone.
///
/// aya shows no more of a link than its id, but the kernel describes every open link under `fdinfo`.
fn interface_of(link: &FdLink) -> Result<Option<u32>, SteerError> {
    let failed = |reason: String| SteerError::Kernel { doing: "reading a link's interface".into(), reason };
    let id = link.info().map_err(|error| failed(reason(&error)))?.id().to_string();
    for entry in fs::read_dir("/proc/thread-self/fdinfo").map_err(|error| failed(error.to_string()))?.flatten() {
        // Another thread may have closed it since.
        let Ok(text) = fs::read_to_string(entry.path()) else { continue };
        let value = |key: &str| text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':').map(str::trim));
        if value("link_id") == Some(&id) {
            let index = value("ifindex").and_then(|index| index.parse().ok()).unwrap_or(0);
            return Ok((index != 0).then_some(index));
        }
    }
    Err(failed("it is not listed under /proc/self/fdinfo".into()))
}

/// The network namespace of this thread, by its inode.
fn network_namespace() -> Result<u64, SteerError> {
    use std::os::unix::fs::MetadataExt;
    fs::metadata("/proc/thread-self/ns/net").map(|metadata| metadata.ino()).map_err(|error| SteerError::Kernel {
        doing: "reading the network namespace".into(),
        reason: error.to_string(),
    })
}

/// Whether one of the processes this one descends from has another mount namespace, as after `ip netns exec`.
fn in_mount_namespace_of_its_own() -> bool {
    let namespace = |process: &str| fs::read_link(format!("/proc/{process}/ns/mnt")).ok();
    let parent = |process: &str| -> Option<String> {
        let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
        status.lines().find_map(|line| line.strip_prefix("PPid:").map(|id| id.trim().to_owned()))
    };
    let own = namespace("self");
    std::iter::successors(parent("self"), |process| parent(process))
        .take_while(|process| process != "0")
        // Unreadable: a process above our privileges tells us nothing.
        .filter_map(|process| namespace(&process))
        .any(|other| Some(other) != own)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_pins_of_ours_are_recognised() {
        assert_eq!("4026531840-7-native".parse(), Ok(PinName { namespace: 4026531840, mode: Mode::Native }));
        for name in ["", "7-native", "4026531840-7-offload", "4026531840-x-native", "4026531840-7-native-old"] {
            assert_eq!(name.parse::<PinName>(), Err(NotOurs), "{name}");
        }
    }
}
