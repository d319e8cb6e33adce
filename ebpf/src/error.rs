//! What can keep a program from being loaded or attached.

use std::error::Error;
use std::io;
use std::path::PathBuf;

use nix::libc;
use thiserror::Error;

use crate::{Mode, Side};

/// What keeps a program from being loaded or attached, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SteerError {
    /// The process may not use BPF.
    #[error(
        "loading and attaching XDP programs is not permitted: run as root, or grant CAP_BPF, CAP_NET_ADMIN and \
         CAP_PERFMON (before Linux 5.11 also raise the limit on locked memory: ulimit -l unlimited)"
    )]
    Privilege,
    /// No interface of that name in this network namespace.
    #[error("there is no interface {interface} in this network namespace (ip link shows those there are)")]
    NoSuchInterface {
        /// The name given.
        interface: String,
    },
    /// The interface has no MAC, so its frames have no Ethernet header.
    #[error("{interface} is no Ethernet interface: it has no 6-byte MAC")]
    NotEthernet {
        /// The interface.
        interface: String,
    },
    /// This process has a program there already.
    #[error("{interface} is attached already")]
    AlreadyAttached {
        /// The interface.
        interface: String,
    },
    /// Another process has a program there; one interface takes one.
    #[error(
        "another XDP program is attached to {interface}, and an interface takes only one: stop its owner, or remove it \
         (ip link set dev {interface} xdp off)"
    )]
    OtherProgram {
        /// The interface.
        interface: String,
    },
    /// The driver does not do that mode, or not with the interface's present settings.
    #[error("{interface} refuses XDP in {mode} mode: {reason}")]
    ModeRefused {
        /// The interface.
        interface: String,
        /// The mode refused.
        mode: Mode,
        /// The kernel's words.
        reason: String,
    },
    /// No program of ours is on that interface.
    #[error("{interface} is not attached")]
    NotAttached {
        /// The interface.
        interface: String,
    },
    /// More queues than the program was loaded for.
    #[error("queue {queue} of {interface} is out of range: loaded for queues 0 to {}", queues - 1)]
    QueueOutOfRange {
        /// The interface.
        interface: String,
        /// The queue given.
        queue: u32,
        /// Queues the program was loaded for.
        queues: u32,
    },
    /// More addresses than the program was loaded for.
    #[error("{given} addresses are more than the {room} the program was loaded for")]
    TooManyAddresses {
        /// Addresses given.
        given: usize,
        /// Addresses the program was loaded for.
        room: usize,
    },
    /// Links cannot be pinned there.
    #[error("cannot pin in {}: {reason}", path.display())]
    PinDirectory {
        /// The directory or the pin in it.
        path: PathBuf,
        /// What is wrong with it, and what to do.
        reason: String,
    },
    /// The kernel's verifier refused the program.
    #[error("the kernel's verifier refuses the {side} program: {log}")]
    Verifier {
        /// Which program.
        side: Side,
        /// The verifier's log.
        log: String,
    },
    /// The object built into this binary is not the one this loader is for.
    #[error("the built-in BPF object has no {missing}; this is a fault of the build")]
    Object {
        /// The program or map looked for.
        missing: &'static str,
    },
    /// The kernel refused something else.
    #[error("{doing}: {reason}")]
    Kernel {
        /// What was tried.
        doing: String,
        /// The kernel's words.
        reason: String,
    },
}

impl SteerError {
    pub(crate) fn loading(error: &(dyn Error + 'static)) -> Self {
        Self::kernel("loading the XDP program".into(), error)
    }

    pub(crate) fn kernel(doing: String, error: &(dyn Error + 'static)) -> Self {
        match os_error(error) {
            Some(libc::EPERM | libc::EACCES) => SteerError::Privilege,
            Some(libc::ENOSYS) => {
                SteerError::Kernel { doing, reason: "the kernel is built without CONFIG_BPF_SYSCALL".into() }
            }
            Some(_) | None => SteerError::Kernel { doing, reason: reason(error) },
        }
    }
}

/// The kernel's error number at the root of an error.
pub(crate) fn os_error(error: &(dyn Error + 'static)) -> Option<i32> {
    causes(error).find_map(|cause| cause.downcast_ref::<io::Error>()?.raw_os_error())
}

/// An error with its causes, in one line.
pub(crate) fn reason(error: &(dyn Error + 'static)) -> String {
    let mut words: Vec<String> = causes(error).map(ToString::to_string).collect();
    words.dedup();
    words.join(": ")
}

fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error: &&'a (dyn Error + 'static)| (*error).source())
}
