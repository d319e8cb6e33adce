//! Network namespaces by name, as `ip netns` knows them.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::thread;

use rustix::mount::{UnmountFlags, mount_bind, unmount};
use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space};

/// Where the names stand.
const DIRECTORY: &str = "/run/netns";

/// A network namespace; one that was made here goes when this is dropped.
pub struct NetworkNamespace {
    file: File,
    made: Option<PathBuf>,
}

impl NetworkNamespace {
    /// The one of this name, made if there is none.
    ///
    /// # Errors
    /// The kernel's: to make or enter one takes CAP_SYS_ADMIN.
    pub fn open(name: &str) -> io::Result<Self> {
        let path = Path::new(DIRECTORY).join(name);
        let missing = !path.try_exists()?;
        if missing {
            make(&path)?;
        }
        Ok(Self { file: File::open(&path)?, made: missing.then_some(path) })
    }

    /// The one of this name, which has to be there.
    ///
    /// # Errors
    /// The kernel's.
    pub fn existing(name: &str) -> io::Result<Self> {
        Ok(Self { file: File::open(Path::new(DIRECTORY).join(name))?, made: None })
    }

    /// The same one; it stays where it is when this is dropped.
    ///
    /// # Errors
    /// The kernel's.
    pub fn same(&self) -> io::Result<Self> {
        Ok(Self { file: self.file.try_clone()?, made: None })
    }

    /// Does `work` on a thread of its own whose network is this one: what it opens stays there.
    ///
    /// # Errors
    /// Those of entering, and of `work`.
    pub fn inside<T: Send>(&self, work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
        apart(|| {
            move_into_link_name_space(self.file.as_fd(), Some(LinkNameSpaceType::Network))?;
            work()
        })
    }
}

impl Drop for NetworkNamespace {
    fn drop(&mut self) {
        if let Some(path) = &self.made
            && let Err(error) = unname(path)
        {
            tracing::warn!(namespace = %path.display(), %error, "a network namespace could not be removed");
        }
    }
}

fn make(path: &Path) -> io::Result<()> {
    fs::create_dir_all(DIRECTORY)?;
    File::create_new(path)?;
    let made = apart(|| {
        // Deprecated for flags that take a thread's files from it; its network is none of them, and what is to be used
        // instead is an unsafe function.
        #[allow(deprecated)]
        rustix::thread::unshare(UnshareFlags::NEWNET)?;
        Ok(mount_bind("/proc/thread-self/ns/net", path)?)
    });
    if made.is_err() {
        // The first error is the one to be told.
        let _ = fs::remove_file(path);
    }
    made
}

fn unname(path: &Path) -> io::Result<()> {
    unmount(path, UnmountFlags::DETACH)?;
    fs::remove_file(path)
}

/// On a thread of its own, which may change its network for good.
fn apart<T: Send>(work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    let ended = thread::scope(|scope| scope.spawn(work).join());
    ended.unwrap_or_else(|_| Err(io::Error::other("a thread of ours ended in a panic")))
}
