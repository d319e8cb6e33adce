//! The border gateways' own hosts: each one's TUN device, in a network namespace of its own, and the packets to and fro.

use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::Context;
use gateway::{GatewayIndex, InterfaceAddress, Resources};
use peering::OpenSocket;
use socket2::Socket;
use tun_rs::{DeviceBuilder, SyncDevice};
use wire::Packet;
use worker::Handle;

use crate::kernel::Requests;
use crate::network_namespace::NetworkNamespace;

/// Bytes of the longest packet of a device: what fits a tunnel over an ordinary WAN, whatever its suite.
const MTU: u16 = 1400;
/// Packets taken from one worker or one device in a turn.
const PACKETS_PER_TURN: usize = 64;
/// How long to wait before looking for more of them.
const LOOK: Duration = Duration::from_micros(500);
/// The index of every namespace's loopback interface.
const LOOPBACK: u32 = 1;

/// The hosts of all border gateways, and the thread that carries their packets.
pub struct Hosts {
    /// By place in the file; `None` for one without inner addresses.
    hosts: Vec<Option<Host>>,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Host {
    plan: Plan,
    device: Arc<SyncDevice>,
    /// Goes after the device.
    namespace: NetworkNamespace,
}

/// What a host is to be like.
#[derive(PartialEq, Eq)]
struct Plan {
    namespace: String,
    interface: String,
    addresses: Vec<InterfaceAddress>,
}

impl Hosts {
    /// Without any host. `handles` are the workers'.
    ///
    /// # Errors
    /// The kernel's.
    pub fn start(handles: Vec<Handle>) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let theirs = Arc::clone(&shared);
        let thread = thread::Builder::new().name("hosts".to_owned()).spawn(move || carry(&theirs, &handles))?;
        Ok(Self { hosts: Vec::new(), shared, thread: Some(thread) })
    }

    /// Makes those that the resources want and are not there, and lets go of those that they no longer want.
    pub fn take_up(&mut self, resources: &Resources) {
        let mut old: Vec<Host> = std::mem::take(&mut self.hosts).into_iter().flatten().collect();
        let mut host = |gateway: u32| {
            let plan = Plan::of(resources, GatewayIndex(gateway))?;
            let known = old.iter().position(|host| host.plan.namespace == plan.namespace);
            match known.map(|position| old.swap_remove(position)) {
                Some(host) if host.plan == plan => Some(host),
                // The namespace stays, for others may be in it.
                known => open(plan, known.map(|host| host.namespace)),
            }
        };
        self.hosts = (0..resources.gateways().len() as u32).map(&mut host).collect();
        let devices = self.hosts.iter().map(|host| Some(Arc::clone(&host.as_ref()?.device))).collect();
        *self.shared.devices.lock().unwrap_or_else(PoisonError::into_inner) = devices;
        self.wake();
    }

    fn wake(&self) {
        self.thread.iter().for_each(|thread| thread.thread().unpark());
    }

    /// Opens sockets in a gateway's network namespace, or, for those of our addresses that are `outside`, in our own.
    pub fn socket_opener(&self, gateway: GatewayIndex, outside: Arc<Mutex<BTreeSet<IpAddr>>>) -> OpenSocket {
        let namespace = self.host(gateway.0).and_then(|host| host.namespace.same().ok());
        Box::new(move |local, kind| {
            let open = || Socket::new(peering::domain(local), kind, None);
            if outside.lock().unwrap_or_else(PoisonError::into_inner).contains(&local) {
                return open();
            }
            match &namespace {
                Some(namespace) => namespace.inside(open),
                // The gateway had no inner address when BGP began.
                None => Err(io::ErrorKind::AddrNotAvailable.into()),
            }
        })
    }

    /// Whether a gateway has a network namespace of its own.
    pub fn has_host(&self, gateway: GatewayIndex) -> bool {
        self.host(gateway.0).is_some()
    }

    fn host(&self, gateway: u32) -> Option<&Host> {
        self.hosts.get(gateway as usize)?.as_ref()
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        self.shared.stop.store(true, Relaxed);
        self.wake();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that carries the hosts' packets has panicked");
        }
    }
}

/// `None` where it cannot be made, which is told: tunnels work without.
fn open(plan: Plan, namespace: Option<NetworkNamespace>) -> Option<Host> {
    let (inside, interface) = (plan.namespace.clone(), plan.interface.clone());
    match Host::open(plan, namespace) {
        Ok(host) => {
            tracing::info!(namespace = inside, interface, "the gateway's own addresses are there");
            Some(host)
        }
        Err(error) => {
            let error = format!("{error:#}");
            tracing::error!(namespace = inside, interface, error, "the gateway's own addresses do not answer");
            None
        }
    }
}

impl Plan {
    fn of(resources: &Resources, index: GatewayIndex) -> Option<Self> {
        let addresses: Vec<_> = resources.inner_addresses(index).collect();
        let gateway = resources.gateway(index);
        (!addresses.is_empty()).then(|| Self {
            namespace: gateway.namespace.as_str().to_owned(),
            interface: gateway.host_interface.as_str().to_owned(),
            addresses,
        })
    }
}

impl Host {
    fn open(plan: Plan, namespace: Option<NetworkNamespace>) -> anyhow::Result<Self> {
        let namespace = match namespace {
            Some(namespace) => namespace,
            None => NetworkNamespace::open(&plan.namespace).context("its network namespace (needs CAP_SYS_ADMIN)")?,
        };
        let device = namespace.inside(|| set_up(&plan)).context("its TUN device")?;
        Ok(Self { plan, device: Arc::new(device), namespace })
    }
}

fn set_up(plan: &Plan) -> io::Result<SyncDevice> {
    let device = DeviceBuilder::new().name(&plan.interface).mtu(MTU).build_sync()?;
    device.set_nonblocking(true)?;
    let index = device.if_index()?;
    let mut requests = Requests::open()?;
    // A host reaches its own addresses over loopback.
    requests.up(LOOPBACK)?;
    requests.up(index)?;
    for address in &plan.addresses {
        requests.add_address(index, *address)?;
    }
    for is_v4 in [true, false] {
        let mut of_family = plan.addresses.iter().map(InterfaceAddress::address).filter(|a| a.is_ipv4() == is_v4);
        match of_family.next().map(|address| requests.add_default_route(index, address)) {
            Some(Err(error)) if error.kind() == io::ErrorKind::AlreadyExists => {
                tracing::warn!(namespace = plan.namespace, "it has a default route of its own, which replies follow");
            }
            Some(Err(error)) => return Err(error),
            Some(Ok(())) | None => {}
        }
    }
    Ok(device)
}

/// What the thread that carries packets shares with control.
#[derive(Default)]
struct Shared {
    /// By the gateway's place in the file.
    devices: Mutex<Vec<Option<Arc<SyncDevice>>>>,
    stop: AtomicBool,
}

/// Carries packets between the workers and the hosts, for as long as there is a device, until it is told to stop. Workers make no
/// system calls, so they cannot wake it: it looks, often enough for BFD, and at a priority at which no load keeps it from that.
fn carry(shared: &Shared, handles: &[Handle]) {
    peering::be_first("hosts");
    let mut buffer = [0; MTU as usize];
    while !shared.stop.load(Relaxed) {
        let devices = shared.devices.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if devices.iter().all(Option::is_none) {
            thread::park();
            continue;
        }
        for handle in handles {
            for _ in 0..PACKETS_PER_TURN {
                let Some(packet) = handle.to_host() else { break };
                if let Some(Some(device)) = devices.get(packet.gateway.0 as usize) {
                    // What the device does not take is lost, as on any link that is full.
                    let _ = device.send(packet.packet());
                }
            }
        }
        for (gateway, device) in (0..).zip(&devices) {
            let Some(device) = device else { continue };
            for _ in 0..PACKETS_PER_TURN {
                let Ok(length) = device.recv(&mut buffer) else { break };
                let packet = buffer.get(..length).unwrap_or_default();
                if leaves_its_link(packet) {
                    // One of them has room, or it is lost.
                    let _ =
                        handles.iter().any(|handle| handle.from_host(tables::GatewayIndex(gateway), packet).is_ok());
                }
            }
        }
        thread::sleep(LOOK);
    }
}

/// RFC 4291 §2.5.6, RFC 4861 §4: what a host asks its link for, routers and groups, is for nobody beyond it.
fn leaves_its_link(packet: &[u8]) -> bool {
    Packet::parse(packet).is_ok_and(|packet| match packet.destination.into() {
        IpAddr::V4(destination) => !destination.is_multicast() && !destination.is_broadcast(),
        IpAddr::V6(destination) => !destination.is_multicast() && !destination.is_unicast_link_local(),
    })
}
