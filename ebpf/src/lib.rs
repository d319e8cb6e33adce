//! The XDP program that steers packets into AF_XDP rings, and its loader.
//!
//! [`Steer`] attaches one program per interface, for one of two [`Side`]s. What the program takes goes to the AF_XDP
//! socket registered for the receiving queue; ARP, neighbour discovery, SSH and all else stay with the kernel.
//!
//! # Failing closed
//! The attachment is pinned in a bpffs and outlives the process: after a crash or a SIGKILL the program keeps
//! running, finds no socket and drops what is the gateway's, so that the kernel never routes it in clear. The next
//! start takes the pinned link over with one atomic replacement. Only [`Steer::detach`] and [`detach_pinned`]
//! take the program off; dropping a [`Steer`] does not. See [`LoadOptions::pin_dir`] for where pins live.
//!
//! # Limits
//! - A tag that the NIC strips is not visible to XDP; where VLANs are in use, switch that off
//!   (`ethtool -K IFACE rxvlan off`).
//! - Fragments of UDP for the gateway's addresses are all taken, for only the first one tells its port. They meet in one
//!   worker where the NIC spreads fragments by addresses alone, as NICs do that cannot put them together.
//! - One XDP program per interface; another one is refused with [`SteerError::OtherProgram`].
#![forbid(unsafe_code)]

mod error;
mod layout;
mod pin;
#[cfg(test)]
mod tests;

pub use error::SteerError;
pub use layout::{Counter, Counters};
pub use pin::{Detached, detach_pinned};

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;
use std::os::fd::BorrowedFd;
use std::path::PathBuf;

use aya::maps::{Array, HashMap, Map, MapData, PerCpuArray, XskMap};
use aya::programs::links::FdLink;
use aya::programs::xdp::XdpLink;
use aya::programs::{ProgramError, Xdp};
use aya::{Ebpf, EbpfLoader, include_bytes_aligned};
use nix::libc;

use crate::error::{os_error, reason};
use crate::pin::PinDirectory;

/// Where links are pinned unless [`LoadOptions::pin_dir`] says otherwise: under `/run`, since `ip netns exec` hides
/// the mounts under `/sys`.
pub const DEFAULT_PIN_DIR: &str = "/run/bordergate/bpf";

static OBJECT: &[u8] = include_bytes_aligned!(concat!(env!("OUT_DIR"), "/steer.bpf.o"));

/// The loaded programs and the interfaces they are attached to.
#[derive(Debug)]
pub struct Steer {
    options: LoadOptions,
    pins: Option<PinDirectory>,
    gateway_addresses: BTreeSet<IpAddr>,
    local_addresses: BTreeSet<IpAddr>,
    interfaces: BTreeMap<String, Instance>,
}

/// How to load the programs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadOptions {
    /// The directory where links are pinned; `None` pins nothing, and the programs vanish with the process.
    ///
    /// It has to be on a bpffs. Where it is not, it is created and a bpffs mounted on it, unless this process is in
    /// a mount namespace of its own (as under `ip netns exec`): a bpffs mounted there would vanish with the process,
    /// and the pins with it. Whoever starts such a process mounts one beforehand, outside:
    /// `mkdir -p /run/bordergate/bpf && mount -t bpf bpf /run/bordergate/bpf`.
    pub pin_dir: Option<PathBuf>,
    /// Most receive queues of one interface.
    pub queues: u32,
    /// Most addresses of one kind.
    pub addresses: u32,
}

/// Which side of the gateway an interface is on, and so which of its frames are ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Towards the customers: ESP, and UDP to 500 and 4500, for one of the gateway's addresses.
    Wan,
    /// Towards the VPC: unicast IP sent to this interface's MAC that is not for the host itself.
    Vpc,
}

/// How a program is wanted to be attached.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum XdpMode {
    /// Native where the driver can, otherwise generic.
    #[default]
    Auto,
    /// Native or not at all.
    Native,
    /// Generic, also where the driver could do native.
    Generic,
}

/// How a program is attached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mode {
    /// In the driver, before the kernel made a socket buffer of the frame.
    Native,
    /// In the kernel's receive path, after it did. Sockets of such an interface can only copy.
    Generic,
}

/// What came of attaching a program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attached {
    /// The interface's index in its network namespace.
    pub index: u32,
    /// The mode that was chosen.
    pub mode: Mode,
    /// Why it is not native, where native was tried first.
    pub native_refused: Option<String>,
    /// Whether a link that an earlier process left was taken over: there was no moment without a program.
    pub taken_over: bool,
    /// Where the link is pinned.
    pub pin: Option<PathBuf>,
}

/// One attached program with maps of its own, so that every interface can have a queue 0.
struct Instance {
    // Keeps the program and those maps loaded that are not taken out below.
    _ebpf: Ebpf,
    sockets: XskMap<MapData>,
    addresses: HashMap<MapData, [u8; 16], u8>,
    settings: Array<MapData, [u8; 8]>,
    counters: PerCpuArray<MapData, u64>,
    link: Option<FdLink>,
    side: Side,
    attached: Attached,
}

impl Steer {
    /// Checks that the kernel takes both programs, and that links can be pinned.
    ///
    /// # Errors
    /// [`SteerError`] that names what is missing: the privilege, the kernel feature, the bpffs.
    pub fn load(options: LoadOptions) -> Result<Self, SteerError> {
        for side in [Side::Wan, Side::Vpc] {
            load_program(side, &options)?;
        }
        let pins = options.pin_dir.as_deref().map(PinDirectory::open).transpose()?;
        Ok(Self {
            options,
            pins,
            gateway_addresses: BTreeSet::new(),
            local_addresses: BTreeSet::new(),
            interfaces: BTreeMap::new(),
        })
    }

    /// Attaches the program of `side` to an interface of the current network namespace.
    ///
    /// The addresses set so far are in place before the first frame is seen, so set them first: on the VPC side
    /// an address not yet known as local is steered away from the kernel. A link pinned by an earlier process is taken
    /// over atomically if its mode suits; otherwise it is detached first.
    ///
    /// # Errors
    /// [`SteerError`]; nothing stays attached then that was not before.
    pub fn attach(&mut self, interface: &str, side: Side, mode: XdpMode) -> Result<Attached, SteerError> {
        if self.interfaces.contains_key(interface) {
            return Err(SteerError::AlreadyAttached { interface: interface.into() });
        }
        let index = interface_index(interface)?;
        let mut instance = Instance::load(side, &self.options)?;
        instance.attached.index = index;
        instance.replace_addresses(self.addresses(side))?;
        instance.set_mac(hardware_address(interface)?)?;

        let (link, attached) = self.attach_link(&mut instance, interface, index, mode)?;
        instance.link = Some(link);
        instance.attached = attached.clone();
        self.interfaces.insert(interface.into(), instance);
        Ok(attached)
    }

    /// Replaces the gateway's public addresses, which decide what the WAN side takes.
    ///
    /// # Errors
    /// [`SteerError::TooManyAddresses`], or the kernel's reason. Interfaces may then differ.
    pub fn set_gateway_addresses(&mut self, addresses: &[IpAddr]) -> Result<(), SteerError> {
        self.gateway_addresses = self.checked_addresses(addresses)?;
        self.apply_addresses(Side::Wan)
    }

    /// Replaces the host's own addresses, traffic for which the VPC side leaves to the kernel, and reads the
    /// interfaces' own MACs anew. To be called whenever one of them changes.
    ///
    /// # Errors
    /// [`SteerError::TooManyAddresses`], or the kernel's reason. Interfaces may then differ.
    pub fn set_local_addresses(&mut self, addresses: &[IpAddr]) -> Result<(), SteerError> {
        self.local_addresses = self.checked_addresses(addresses)?;
        self.apply_addresses(Side::Vpc)?;
        for (interface, instance) in &mut self.interfaces {
            instance.set_mac(hardware_address(interface)?)?;
        }
        Ok(())
    }

    /// Hands what is steered on `queue` of `interface` to an AF_XDP socket bound to that queue.
    ///
    /// The kernel forgets the socket when it is closed; from then on the queue's frames are dropped and
    /// counted as [`Counter::NoSocket`].
    ///
    /// # Errors
    /// [`SteerError::NotAttached`], [`SteerError::QueueOutOfRange`], or the kernel's reason.
    pub fn register_socket(&mut self, interface: &str, queue: u32, socket: BorrowedFd<'_>) -> Result<(), SteerError> {
        let queues = self.options.queues;
        let instance = self.instance_mut(interface)?;
        if queue >= queues {
            return Err(SteerError::QueueOutOfRange { interface: interface.into(), queue, queues });
        }
        instance.sockets.set(queue, socket, 0).map_err(|error| {
            SteerError::kernel(format!("registering a socket for queue {queue} of {interface}"), &error)
        })
    }

    /// Takes the program off an interface: its traffic is the kernel's again.
    ///
    /// # Errors
    /// [`SteerError::NotAttached`], or [`SteerError::PinDirectory`] when the pin could not be removed.
    pub fn detach(&mut self, interface: &str) -> Result<(), SteerError> {
        let instance = self.instance_mut(interface)?;
        if let Some(pin) = &instance.attached.pin {
            pin::remove(pin)?;
        }
        self.interfaces.remove(interface);
        Ok(())
    }

    /// Takes the program off all interfaces.
    ///
    /// # Errors
    /// The first that occurred; the others are tried all the same.
    pub fn detach_all(&mut self) -> Result<(), SteerError> {
        let interfaces: Vec<String> = self.interfaces.keys().cloned().collect();
        interfaces.iter().map(|interface| self.detach(interface)).fold(Ok(()), Result::and)
    }

    /// What became of the frames of an interface since it was attached, summed over the CPUs.
    ///
    /// # Errors
    /// [`SteerError::NotAttached`], or the kernel's reason.
    pub fn counters(&self, interface: &str) -> Result<Counters, SteerError> {
        self.instance(interface)?.counters()
    }

    /// How an interface is attached, if it is.
    pub fn attached(&self, interface: &str) -> Option<&Attached> {
        self.interfaces.get(interface).map(|instance| &instance.attached)
    }

    /// The names of the attached interfaces, with their sides.
    pub fn interfaces(&self) -> impl Iterator<Item = (&str, Side)> {
        self.interfaces.iter().map(|(name, instance)| (name.as_str(), instance.side))
    }

    fn apply_addresses(&mut self, side: Side) -> Result<(), SteerError> {
        let wanted = self.addresses(side).clone();
        for instance in self.interfaces.values_mut().filter(|instance| instance.side == side) {
            instance.replace_addresses(&wanted)?;
        }
        Ok(())
    }

    fn attach_link(
        &mut self,
        instance: &mut Instance,
        interface: &str,
        index: u32,
        wanted: XdpMode,
    ) -> Result<(FdLink, Attached), SteerError> {
        let program = program_mut(&mut instance._ebpf, instance.side)?;
        if let Some(pins) = &self.pins {
            pins.sweep()?;
            if let Some((link, mode)) = pins.take_over(program, index, wanted)? {
                let pin = Some(pins.path(index, mode)?);
                return Ok((link, Attached { index, mode, native_refused: None, taken_over: true, pin }));
            }
        }

        let (link, mode, native_refused) = match wanted {
            XdpMode::Native => (new_link(program, interface, index, Mode::Native)?, Mode::Native, None),
            XdpMode::Generic => (new_link(program, interface, index, Mode::Generic)?, Mode::Generic, None),
            XdpMode::Auto => match new_link(program, interface, index, Mode::Native) {
                Ok(link) => (link, Mode::Native, None),
                Err(SteerError::ModeRefused { reason, .. }) => {
                    (new_link(program, interface, index, Mode::Generic)?, Mode::Generic, Some(reason))
                }
                Err(error) => return Err(error),
            },
        };
        let (link, pin) = match &self.pins {
            Some(pins) => {
                let (link, path) = pins.pin(link, index, mode)?;
                (link, Some(path))
            }
            None => (link, None),
        };
        Ok((link, Attached { index, mode, native_refused, taken_over: false, pin }))
    }

    fn instance_mut(&mut self, interface: &str) -> Result<&mut Instance, SteerError> {
        self.interfaces.get_mut(interface).ok_or_else(|| SteerError::NotAttached { interface: interface.into() })
    }

    fn instance(&self, interface: &str) -> Result<&Instance, SteerError> {
        self.interfaces.get(interface).ok_or_else(|| SteerError::NotAttached { interface: interface.into() })
    }

    fn addresses(&self, side: Side) -> &BTreeSet<IpAddr> {
        match side {
            Side::Wan => &self.gateway_addresses,
            Side::Vpc => &self.local_addresses,
        }
    }

    fn checked_addresses(&self, addresses: &[IpAddr]) -> Result<BTreeSet<IpAddr>, SteerError> {
        let addresses: BTreeSet<IpAddr> = addresses.iter().copied().collect();
        let room = self.options.addresses as usize;
        match addresses.len() {
            given if given > room => Err(SteerError::TooManyAddresses { given, room }),
            _ => Ok(addresses),
        }
    }
}

impl Default for LoadOptions {
    fn default() -> Self {
        Self { pin_dir: Some(DEFAULT_PIN_DIR.into()), queues: layout::QUEUES, addresses: layout::ADDRESSES }
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Side::Wan => "WAN",
            Side::Vpc => "VPC",
        })
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Mode::Native => "native",
            Mode::Generic => "generic",
        })
    }
}

impl XdpMode {
    fn allows(self, mode: Mode) -> bool {
        match (self, mode) {
            (XdpMode::Auto, _) | (XdpMode::Native, Mode::Native) | (XdpMode::Generic, Mode::Generic) => true,
            (XdpMode::Native, Mode::Generic) | (XdpMode::Generic, Mode::Native) => false,
        }
    }
}

impl Instance {
    fn load(side: Side, options: &LoadOptions) -> Result<Self, SteerError> {
        let mut ebpf = load_program(side, options)?;
        let addresses = match side {
            Side::Wan => "gateway_addresses",
            Side::Vpc => "local_addresses",
        };
        Ok(Self {
            sockets: take_map(&mut ebpf, "sockets")?,
            addresses: take_map(&mut ebpf, addresses)?,
            settings: take_map(&mut ebpf, "settings")?,
            counters: take_map(&mut ebpf, "counters")?,
            _ebpf: ebpf,
            link: None,
            side,
            attached: Attached { index: 0, mode: Mode::Generic, native_refused: None, taken_over: false, pin: None },
        })
    }

    /// New ones are added before old ones go: an address that stays is known all the time.
    fn replace_addresses(&mut self, wanted: &BTreeSet<IpAddr>) -> Result<(), SteerError> {
        let failed = |error| SteerError::kernel("setting addresses".into(), &error);
        let wanted: BTreeSet<[u8; 16]> = wanted.iter().map(layout::address_key).collect();
        let present = self.addresses.keys().collect::<Result<BTreeSet<_>, _>>().map_err(failed)?;
        for key in wanted.difference(&present) {
            self.addresses.insert(key, 1, 0).map_err(failed)?;
        }
        for key in present.difference(&wanted) {
            self.addresses.remove(key).map_err(failed)?;
        }
        Ok(())
    }

    fn set_mac(&mut self, mac: [u8; 6]) -> Result<(), SteerError> {
        self.settings
            .set(0, layout::settings(mac), 0)
            .map_err(|error| SteerError::kernel("setting the interface's MAC".into(), &error))
    }

    fn counters(&self) -> Result<Counters, SteerError> {
        let mut sums = [0; Counter::ALL.len()];
        for counter in Counter::ALL {
            let per_cpu = self
                .counters
                .get(&(counter as u32), 0)
                .map_err(|error| SteerError::kernel("reading counters".into(), &error))?;
            sums[counter as usize] = per_cpu.iter().sum();
        }
        Ok(Counters::new(sums))
    }
}

impl fmt::Debug for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Instance").field("side", &self.side).field("attached", &self.attached).finish_non_exhaustive()
    }
}

/// Loads the object with the program of one side, through the verifier.
fn load_program(side: Side, options: &LoadOptions) -> Result<Ebpf, SteerError> {
    let mut ebpf = EbpfLoader::new()
        .map_max_entries("sockets", options.queues)
        .map_max_entries("gateway_addresses", options.addresses)
        .map_max_entries("local_addresses", options.addresses)
        .load(OBJECT)
        .map_err(|error| SteerError::loading(&error))?;
    match program_mut(&mut ebpf, side)?.load() {
        Ok(()) => Ok(ebpf),
        Err(ProgramError::LoadError { io_error, verifier_log })
            if !matches!(io_error.raw_os_error(), Some(libc::EPERM)) =>
        {
            Err(SteerError::Verifier { side, log: format!("{io_error}: {verifier_log}") })
        }
        Err(error) => Err(SteerError::loading(&error)),
    }
}

fn program_mut(ebpf: &mut Ebpf, side: Side) -> Result<&mut Xdp, SteerError> {
    let name = match side {
        Side::Wan => "steer_wan",
        Side::Vpc => "steer_vpc",
    };
    ebpf.program_mut(name).and_then(|program| program.try_into().ok()).ok_or(SteerError::Object { missing: name })
}

fn take_map<M: TryFrom<Map>>(ebpf: &mut Ebpf, name: &'static str) -> Result<M, SteerError> {
    ebpf.take_map(name).and_then(|map| map.try_into().ok()).ok_or(SteerError::Object { missing: name })
}

/// Attaches a program where none is.
fn new_link(program: &mut Xdp, interface: &str, index: u32, mode: Mode) -> Result<FdLink, SteerError> {
    let flags = match mode {
        Mode::Native => aya::programs::xdp::XdpMode::Driver,
        Mode::Generic => aya::programs::xdp::XdpMode::Skb,
    };
    let id = program.attach_to_if_index(index, flags).map_err(|error| match os_error(&error) {
        // Bound by a link or by netlink, in this mode or (EEXIST) in the other.
        Some(libc::EBUSY | libc::EEXIST) => SteerError::OtherProgram { interface: interface.into() },
        Some(libc::EPERM | libc::EACCES) => SteerError::Privilege,
        Some(libc::ENODEV) => SteerError::NoSuchInterface { interface: interface.into() },
        _ => SteerError::ModeRefused { interface: interface.into(), mode, reason: reason(&error) },
    })?;
    let link: XdpLink =
        program.take_link(id).map_err(|error| SteerError::kernel(format!("attaching to {interface}"), &error))?;
    // Where the kernel has no links for XDP, aya attached over netlink, which cannot be pinned.
    link.try_into().map_err(|_| SteerError::Kernel {
        doing: format!("attaching to {interface}"),
        reason: "the kernel has no BPF links for XDP; Linux 5.9 or later is needed".into(),
    })
}

fn interface_index(interface: &str) -> Result<u32, SteerError> {
    nix::net::if_::if_nametoindex(interface).map_err(|_| SteerError::NoSuchInterface { interface: interface.into() })
}

/// The MAC of an interface of the current network namespace. Not from sysfs, which shows the namespace it was
/// mounted in.
fn hardware_address(interface: &str) -> Result<[u8; 6], SteerError> {
    nix::ifaddrs::getifaddrs()
        .map_err(|errno| SteerError::Kernel { doing: "listing interfaces".into(), reason: errno.desc().into() })?
        .filter(|entry| entry.interface_name == interface)
        .find_map(|entry| entry.address?.as_link_addr()?.addr())
        .ok_or_else(|| SteerError::NotEthernet { interface: interface.into() })
}
