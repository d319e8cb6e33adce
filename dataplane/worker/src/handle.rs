//! Control's end of a worker: queues in both directions, counters, and the bell that wakes it.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use arrayvec::ArrayVec;
use crossbeam_queue::ArrayQueue;
use rustix::event::{EventfdFlags, eventfd};
use tables::{Direction, GatewayIndex, PortIndex, SaSlot, Seen, Unresolved};

use crate::counters::{Counters, SaCounters, SharedCounters};
use crate::host_queue::HostQueue;
use crate::latency::{Latencies, LatencyCounts};
use crate::turn::Notice;

/// Bytes of the longest message that a queue takes: a frame of the largest kind that AF_XDP has.
pub(crate) const MOST_BYTES: usize = 4096;
/// Messages that a queue holds. A flood of IKE beyond that is dropped and counted.
pub(crate) const QUEUE: usize = 256;

/// A message in a queue, inline: neither side allocates for it.
pub(crate) type Bytes = ArrayVec<u8, MOST_BYTES>;

/// An IKE message that arrived through the rings.
#[derive(Debug, Clone)]
pub struct IkeDatagram {
    /// Who sent it.
    pub source: SocketAddr,
    /// Our address, and the port that tells whether NAT traversal is in use.
    pub destination: SocketAddr,
    pub(crate) message: Bytes,
}

impl IkeDatagram {
    /// The IKE message, without a non-ESP marker.
    #[must_use]
    pub fn message(&self) -> &[u8] {
        &self.message
    }
}

/// An IP packet to or from a border gateway's own host.
#[derive(Debug, Clone)]
pub struct HostPacket {
    /// The gateway.
    pub gateway: GatewayIndex,
    pub(crate) packet: Bytes,
}

impl HostPacket {
    /// The packet, from its IP header on.
    #[must_use]
    pub fn packet(&self) -> &[u8] {
        &self.packet
    }
}

/// The queue to the worker holds no more: it is behind, or stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueFull;

/// What worker and control share.
pub(crate) struct Shared {
    /// IKE messages of SAs that there are, as they say.
    pub(crate) ike: ArrayQueue<IkeDatagram>,
    /// First IKE messages, which anybody can send and many do in a flood: they do not take the place of the others.
    pub(crate) first_ike: ArrayQueue<IkeDatagram>,
    /// Those that bring back a cookie: a flood in names that are not its senders' has none that is right.
    pub(crate) cookie_ike: ArrayQueue<IkeDatagram>,
    pub(crate) unresolved: ArrayQueue<Unresolved>,
    pub(crate) seen: ArrayQueue<Seen>,
    pub(crate) notices: ArrayQueue<Notice>,
    pub(crate) to_host: HostQueue,
    pub(crate) from_host: HostQueue,
    /// What control itself has to say to hosts, its errors.
    pub(crate) from_control: HostQueue,
    pub(crate) frames: ArrayQueue<(PortIndex, Bytes)>,
    pub(crate) counters: SharedCounters,
    pub(crate) latencies: Box<Latencies>,
    pub(crate) stop: AtomicBool,
    /// The worker looked for help and all others were busy or asleep.
    wants_help: AtomicBool,
    pub(crate) bell: OwnedFd,
}

impl Shared {
    /// Has control wake those who may help: a worker makes no system call that could.
    #[inline]
    pub(crate) fn want_help(&self) {
        if !self.wants_help.load(Relaxed) {
            self.wants_help.store(true, Relaxed);
        }
    }
}

/// Control's end of a worker. Clones are ends of the same one: of what is in a queue each gets what the others have not taken.
#[derive(Clone)]
pub struct Handle(pub(crate) Arc<Shared>);

impl Handle {
    pub(crate) fn new(slots: u32) -> io::Result<Self> {
        Ok(Self(Arc::new(Shared {
            ike: ArrayQueue::new(QUEUE),
            first_ike: ArrayQueue::new(QUEUE),
            cookie_ike: ArrayQueue::new(QUEUE),
            unresolved: ArrayQueue::new(QUEUE),
            seen: ArrayQueue::new(QUEUE),
            notices: ArrayQueue::new(QUEUE),
            to_host: HostQueue::new(),
            from_host: HostQueue::new(),
            from_control: HostQueue::new(),
            frames: ArrayQueue::new(QUEUE),
            counters: SharedCounters::new(slots),
            latencies: Latencies::new(),
            stop: AtomicBool::new(false),
            wants_help: AtomicBool::new(false),
            bell: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?,
        })))
    }

    /// The next IKE message that arrived and names an IKE SA of ours, or answers us.
    #[must_use]
    pub fn receive_ike(&self) -> Option<IkeDatagram> {
        self.0.ike.pop()
    }

    /// The next IKE message that arrived and asks for a new IKE SA, or is too short to say what it is: those with a cookie
    /// come before the others.
    #[must_use]
    pub fn receive_first_ike(&self) -> Option<IkeDatagram> {
        self.0.cookie_ike.pop().or_else(|| self.0.first_ike.pop())
    }

    /// The next neighbour that a packet waited for in vain. The same one may come many times.
    #[must_use]
    pub fn unresolved(&self) -> Option<Unresolved> {
        self.0.unresolved.pop()
    }

    /// The next neighbour to be learnt. The same one comes again until the snapshot has it.
    #[must_use]
    pub fn seen(&self) -> Option<Seen> {
        self.0.seen.pop()
    }

    /// The next packet whose sender is to be told why it was not sent on.
    #[must_use]
    pub fn notice(&self) -> Option<Notice> {
        self.0.notices.pop()
    }

    /// The next packet for a gateway's own host.
    #[must_use]
    pub fn to_host(&self) -> Option<HostPacket> {
        self.0.to_host.pop()
    }

    /// Has an IP packet of a gateway's own host sent where the gateway's routes lead. For one thread at a time, the same as
    /// [`Handle::to_host`].
    ///
    /// # Errors
    /// [`QueueFull`] where the worker is behind, or the packet is longer than any port takes.
    pub fn from_host(&self, gateway: GatewayIndex, packet: &[u8]) -> Result<(), QueueFull> {
        self.hand_over(&self.0.from_host, gateway, packet)
    }

    /// The same of a packet of control's. For one thread at a time, which need not be that of the hosts.
    ///
    /// # Errors
    /// As [`Handle::from_host`].
    pub fn from_control(&self, gateway: GatewayIndex, packet: &[u8]) -> Result<(), QueueFull> {
        self.hand_over(&self.0.from_control, gateway, packet)
    }

    fn hand_over(&self, queue: &HostQueue, gateway: GatewayIndex, packet: &[u8]) -> Result<(), QueueFull> {
        let packet = Bytes::try_from(packet).map_err(|_| QueueFull)?;
        queue.push(HostPacket { gateway, packet })?;
        self.wake();
        Ok(())
    }

    /// Has a whole frame sent through one of the worker's ports.
    ///
    /// # Errors
    /// [`QueueFull`] where the worker is behind, or the frame is longer than any port takes.
    pub fn send_frame(&self, port: PortIndex, frame: &[u8]) -> Result<(), QueueFull> {
        let bytes = Bytes::try_from(frame).map_err(|_| QueueFull)?;
        self.0.frames.push((port, bytes)).map_err(|_| QueueFull)?;
        self.wake();
        Ok(())
    }

    /// Whether the worker has taken every frame that it was given to send: they leave before [`Worker::run`] returns.
    ///
    /// [`Worker::run`]: crate::Worker::run
    #[must_use]
    pub fn is_drained(&self) -> bool {
        self.0.frames.is_empty()
    }

    /// Wakes the worker if it sleeps.
    pub fn wake(&self) {
        // Full means that the bell rings already.
        let _ = rustix::io::write(&self.0.bell, &1_u64.to_ne_bytes());
    }

    /// Whether the worker found nobody to help it since this was asked last: the others are then to be [woken](Self::wake).
    #[must_use]
    pub fn wants_help(&self) -> bool {
        self.0.wants_help.load(Relaxed) && self.0.wants_help.swap(false, Relaxed)
    }

    /// Lets [`Worker::run`](crate::Worker::run) return after its present turn.
    pub fn stop(&self) {
        self.0.stop.store(true, Relaxed);
        self.wake();
    }

    /// The worker's totals.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.0.counters.totals()
    }

    /// How long the worker took over the packets that it sent in this direction.
    #[must_use]
    pub fn latency(&self, direction: Direction) -> LatencyCounts {
        self.0.latencies.counts(direction)
    }

    /// The totals of the security association in `slot`; `None` for a slot beyond those the worker counts.
    #[must_use]
    pub fn sa_counters(&self, slot: SaSlot) -> Option<SaCounters> {
        self.0.counters.association_totals(slot)
    }
}
