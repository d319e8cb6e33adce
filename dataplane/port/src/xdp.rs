//! A port on one queue of a network interface, through an AF_XDP socket.
//!
//! # The invariant all `unsafe` here rests on
//! Every frame of the frame area has one owner at any time: the kernel, the free list, the current batch, or the current
//! reservation. The first half of the frames belongs to [`XdpRx`] for good and goes fill ring -> kernel -> batch ->
//! fill ring; the second half belongs to [`XdpTx`] and goes free list -> reservation -> transmit ring -> kernel ->
//! completion ring -> free list. A frame's memory is touched only while the batch or the reservation owns it,
//! through a borrow of the side that holds it. Where a packet may take several frames, transmit frames are handed about in
//! groups of neighbours, and what is said of a frame holds for a group. Builds with debug assertions keep a [`Ledger`] that panics when a frame
//! is lost, doubled, or comes back to the wrong side.

mod gathering;
mod scattering;

use std::num::NonZeroU32;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::thread::sleep;
use std::time::Duration;
use std::{io, mem, ptr, slice};

use thiserror::Error;
use xsk_rs::config::{BindFlags, FrameSize, Interface, LibxdpFlags, QueueSize, SocketConfig, UmemConfig};
use xsk_rs::{CompQueue, FillQueue, FrameDesc, RxQueue, Socket, TxQueue, Umem};

use self::gathering::Gathering;
use self::scattering::{Frames, Scattering};
use crate::queues::queue_count;
use crate::{BATCH, Port, Receive, Transmit};

/// Frame areas on huge pages are a multiple of this long.
const HUGE_PAGE: u32 = 2 << 20;

/// Bytes of the kernel's headroom in a frame (`XDP_PACKET_HEADROOM`).
const HEADROOM: u32 = 256;
/// Bytes of an Ethernet header with two VLAN tags, which an interface's MTU does not count.
const LINK_HEADER: u32 = 22;
/// `XDP_PKT_CONTD` of `linux/if_xdp.h`: the packet goes on in the next frame.
const CONTINUED: u32 = 1;

/// How often and how long to wait for the kernel to let go of a queue whose last socket was just closed.
const BUSY_RETRIES: u32 = 25;
const BUSY_WAIT: Duration = Duration::from_millis(20);

/// Most descriptors the kernel sends for one wake-up in copy mode, if it lets us choose (Linux 6.17).
const TX_BUDGET: u32 = 256;
/// `XDP_MAX_TX_SKB_BUDGET` of `linux/if_xdp.h`, which the libc crate does not have.
const XDP_MAX_TX_SKB_BUDGET: libc::c_int = 9;

/// An AF_XDP socket bound to one queue of one interface, with a frame area of its own.
///
/// It receives nothing until it is registered with the program that steers to it, under the same interface and queue.
#[derive(Debug)]
pub struct XdpPort {
    rx: XdpRx,
    tx: XdpTx,
    zero_copy: bool,
    interface: String,
    queue: u32,
}

/// How to open an [`XdpPort`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct XdpOptions {
    /// The interface's name, in the current network namespace.
    pub interface: String,
    /// The receive queue, from 0.
    pub queue: u32,
    /// Whether the driver shares its buffers with us.
    pub zero_copy: ZeroCopy,
    /// Entries of the receive and of the transmit ring: a power of two, at least [`BATCH`].
    pub ring_size: u32,
    /// Frames in all, half of them to receive, half to transmit; at least twice [`BATCH`].
    pub frames: u32,
    /// Bytes of a frame, 2048 or 4096, of which 256 are the kernel's headroom. The kernel takes none that is longer than a
    /// page.
    pub frame_size: u32,
    /// Frames that one packet may take, 1 to 3. More than one needs Linux 6.6, a driver that takes packets in pieces, and a
    /// program that does (its section `xdp.frags`), and costs a copy of each packet that does not fit a single one.
    pub frames_per_packet: u32,
    /// Whether the frame area lies on huge pages.
    pub huge_pages: bool,
    /// Whether the driver is polled from our system calls instead of interrupts.
    pub busy_poll: Option<BusyPoll>,
}

/// Whether frames are copied between driver and socket.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ZeroCopy {
    /// Zero-copy where the driver can, otherwise copy.
    #[default]
    Auto,
    /// Copy. The only one that works where the steering program is attached in generic mode.
    Never,
    /// Zero-copy or not at all.
    Always,
}

/// Parameters of preferred busy polling (Linux 5.11).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BusyPoll {
    /// Microseconds to poll the driver for, per system call (`SO_BUSY_POLL`).
    pub microseconds: u32,
    /// Most packets the driver handles per poll (`SO_BUSY_POLL_BUDGET`).
    pub budget: u32,
}

/// Why a port could not be opened.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum OpenError {
    /// No interface of that name in this network namespace.
    #[error("there is no interface {interface} in this network namespace (ip link shows those there are)")]
    NoSuchInterface {
        /// The name given.
        interface: String,
    },
    /// The interface has fewer queues.
    #[error(
        "{interface} has no queue {queue}: allowed are 0 to {} (ethtool -L {interface} combined N sets their number)",
        queues - 1
    )]
    QueueOutOfRange {
        /// The interface.
        interface: String,
        /// The queue given.
        queue: u32,
        /// Receive queues the interface has.
        queues: u32,
    },
    /// Another socket is bound to the queue.
    #[error("queue {queue} of {interface} is taken by another AF_XDP socket; stop the process that has it")]
    QueueBusy {
        /// The interface.
        interface: String,
        /// The queue.
        queue: u32,
    },
    /// The process may not open AF_XDP sockets.
    #[error("opening an AF_XDP socket is not permitted: run as root, or grant CAP_NET_RAW and CAP_NET_ADMIN")]
    Privilege,
    /// The kernel knows no AF_XDP.
    #[error("the kernel has no AF_XDP: Linux 5.4 or later built with CONFIG_XDP_SOCKETS is needed")]
    NoAfXdp,
    /// Not enough huge pages are set aside.
    #[error(
        "{megabytes} MiB of huge pages are needed and not free: reserve them \
         (sysctl -w vm.nr_hugepages={}), or do without", megabytes.div_ceil(2)
    )]
    NoHugePages {
        /// What the frame area needs.
        megabytes: u32,
    },
    /// The frame area may not be locked in memory.
    #[error(
        "{megabytes} MiB of frames exceed the limit on locked memory: raise it (ulimit -l unlimited), or grant \
         CAP_IPC_LOCK"
    )]
    MemoryLock {
        /// What the frame area needs.
        megabytes: u32,
    },
    /// Zero-copy was demanded and the driver cannot, or not now.
    #[error("{interface} refuses zero-copy on queue {queue} ({reason}); allow copying")]
    ZeroCopyRefused {
        /// The interface.
        interface: String,
        /// The queue.
        queue: u32,
        /// The kernel's words.
        reason: String,
    },
    /// The interface's MTU is more than frames can be put together for.
    #[error("the MTU of {interface} is {mtu}; allowed is up to {allowed} (ip link set {interface} mtu {allowed})")]
    Mtu {
        /// The interface.
        interface: String,
        /// Its MTU.
        mtu: u32,
        /// The longest.
        allowed: u32,
    },
    /// Packets of several frames are needed, and refused.
    #[error(
        "{interface} refuses packets of several frames ({reason}), which its MTU needs; Linux 6.6 is needed, or an MTU of up to \
         {allowed} (ip link set {interface} mtu {allowed})"
    )]
    SeveralFramesRefused {
        /// The interface.
        interface: String,
        /// The longest MTU without them.
        allowed: u32,
        /// The kernel's words.
        reason: String,
    },
    /// Preferred busy polling was asked for and refused.
    #[error("{interface} refuses busy polling ({reason}); Linux 5.11 and CAP_NET_ADMIN are needed, or do without")]
    BusyPollRefused {
        /// The interface.
        interface: String,
        /// The kernel's words.
        reason: String,
    },
    /// An option has a value that cannot be.
    #[error("{option} is {value}; allowed is {allowed}")]
    Option {
        /// The option's name, as in [`XdpOptions`].
        option: &'static str,
        /// The value given.
        value: u32,
        /// What is allowed.
        allowed: &'static str,
    },
    /// The kernel refused something else.
    #[error("{doing} on queue {queue} of {interface}: {reason}")]
    Kernel {
        /// What was tried.
        doing: &'static str,
        /// The interface.
        interface: String,
        /// The queue.
        queue: u32,
        /// The kernel's words.
        reason: String,
    },
}

/// What the kernel and we counted of one socket, in packets, since it was opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Received and dropped for other reasons than those below, such as being longer than a frame.
    pub rx_dropped: u64,
    /// Received and dropped because the receive ring was full: we were too slow.
    pub rx_ring_full: u64,
    /// Times the driver found no frame in the fill ring.
    pub rx_fill_ring_empty: u64,
    /// Received and dropped because of an invalid frame in the fill ring; a fault of ours.
    pub rx_invalid_descriptors: u64,
    /// Not sent because of an invalid descriptor; a fault of ours.
    pub tx_invalid_descriptors: u64,
    /// Times the driver found nothing to send.
    pub tx_ring_empty: u64,
    /// Wake-ups that the kernel answered with an error.
    pub wakeup_errors: u64,
}

/// The receiving side of an [`XdpPort`].
#[derive(Debug)]
pub struct XdpRx {
    umem: Umem,
    ring: RxQueue,
    fill: FillQueue,
    batch: [FrameDesc; BATCH],
    held: usize,
    /// Where a packet may lie in several frames.
    gathering: Option<Gathering>,
    busy_poll: bool,
    wakeup_errors: u64,
    ledger: Ledger,
}

/// The transmitting side of an [`XdpPort`].
#[derive(Debug)]
pub struct XdpTx {
    umem: Umem,
    ring: TxQueue,
    completion: CompQueue,
    free: Vec<FrameDesc>,
    reserved: [FrameDesc; BATCH],
    reserved_len: usize,
    // Submitted and not completed, so that they are either in the ring or in the driver.
    in_flight: usize,
    ring_size: usize,
    /// Bytes that are written of one frame, and of one transmit frame, which may be several.
    writable: usize,
    capacity: usize,
    /// Where a packet may take several frames.
    scattering: Option<Scattering>,
    wakeup_errors: u64,
    ledger: Ledger,
}

impl XdpPort {
    /// Opens a socket, binds it to its queue and gives the kernel all receive frames.
    ///
    /// Waits up to half a second for a queue whose last socket was closed just now.
    ///
    /// # Errors
    /// [`OpenError`], which names what is missing and how to get it.
    pub fn open(options: XdpOptions) -> Result<Self, OpenError> {
        options.check()?;
        let XdpOptions { ref interface, queue, .. } = options;
        let queues = queue_count(interface)?;
        if queue >= queues {
            return Err(OpenError::QueueOutOfRange { interface: interface.clone(), queue, queues });
        }

        let frames = options.frame_count();
        let (umem, mut descriptors) =
            Umem::new(options.umem_config(), frames, options.huge_pages).map_err(|error| options.umem_error(&error))?;
        let (tx_ring, rx_ring, fill, completion) = bind(&options, &umem)?;
        let fd = rx_ring.fd().as_raw_fd();
        let zero_copy = is_zero_copy(fd).map_err(|error| options.kernel_error("reading its mode", &error))?;
        if let Some(busy_poll) = options.busy_poll {
            prefer_busy_poll(fd, busy_poll).map_err(|error| OpenError::BusyPollRefused {
                interface: interface.clone(),
                reason: error.to_string(),
            })?;
        }
        // Older kernels send 32 per wake-up; `flush` copes.
        let budget = TX_BUDGET.min(options.ring_size);
        let _ = set_option(fd, libc::SOL_XDP, XDP_MAX_TX_SKB_BUDGET, budget);

        let tx_frames = descriptors.split_off(descriptors.len() / 2);
        let rx = XdpRx::new(&options, umem.clone(), rx_ring, fill, &descriptors);
        let tx = XdpTx::new(&options, umem, tx_ring, completion, tx_frames);
        Ok(Self { rx, tx, zero_copy, interface: options.interface, queue })
    }

    /// Whether the driver shares its buffers with us.
    pub fn zero_copy(&self) -> bool {
        self.zero_copy
    }

    /// The interface the port is on.
    pub fn interface(&self) -> &str {
        &self.interface
    }

    /// The queue the port is on.
    pub fn queue(&self) -> u32 {
        self.queue
    }

    /// The socket, to be registered with the steering program and to be slept on.
    pub fn socket(&self) -> BorrowedFd<'_> {
        // SAFETY: the socket is closed only when its last queue is dropped, and `self` holds queues for as long as the
        // borrow lives.
        unsafe { BorrowedFd::borrow_raw(self.rx.ring.fd().as_raw_fd()) }
    }

    /// What was counted since the socket was opened. Makes a system call.
    ///
    /// # Errors
    /// The kernel's.
    pub fn statistics(&self) -> io::Result<Statistics> {
        let kernel = self.rx.ring.fd().xdp_statistics()?;
        Ok(Statistics {
            rx_dropped: kernel.rx_dropped(),
            rx_ring_full: kernel.rx_ring_full(),
            rx_fill_ring_empty: kernel.rx_fill_ring_empty_descs(),
            rx_invalid_descriptors: kernel.rx_invalid_descs(),
            tx_invalid_descriptors: kernel.tx_invalid_descs(),
            tx_ring_empty: kernel.tx_ring_empty_descs(),
            wakeup_errors: self.rx.wakeup_errors + self.tx.wakeup_errors,
        })
    }
}

impl Port for XdpPort {
    type Rx = XdpRx;
    type Tx = XdpTx;

    #[inline]
    fn split(&mut self) -> (&mut XdpRx, &mut XdpTx) {
        (&mut self.rx, &mut self.tx)
    }

    fn fd(&self) -> Option<BorrowedFd<'_>> {
        Some(self.socket())
    }
}

impl XdpOptions {
    /// The usual dimensions for a queue of an interface: 2048 descriptors a ring, 8192 frames of 2048 bytes, normal pages,
    /// interrupts, and zero-copy where possible.
    pub fn new(interface: impl Into<String>, queue: u32) -> Self {
        Self {
            interface: interface.into(),
            queue,
            zero_copy: ZeroCopy::Auto,
            ring_size: 2048,
            frames: 8192,
            frame_size: 2048,
            frames_per_packet: 1,
            huge_pages: false,
            busy_poll: None,
        }
    }

    /// The same with frames for packets of this MTU: the smallest that do.
    ///
    /// # Errors
    /// [`OpenError::Mtu`]
    pub fn with_mtu(self, mtu: u32) -> Result<Self, OpenError> {
        let sized = |(frame_size, frames_per_packet)| Self { frame_size, frames_per_packet, ..self.clone() };
        let sizes = [(2048, 1), (4096, 1), (4096, 2), (4096, 3)].map(sized);
        let allowed = sizes[3].longest_mtu();
        let found = sizes.into_iter().find(|options| mtu <= options.longest_mtu());
        found.ok_or(OpenError::Mtu { interface: self.interface, mtu, allowed })
    }

    /// The longest IP packet that its frames carry, behind any link header.
    pub fn longest_mtu(&self) -> u32 {
        (self.frame_size - HEADROOM) * self.frames_per_packet - LINK_HEADER
    }

    fn check(&self) -> Result<(), OpenError> {
        let batch = BATCH as u32;
        if !self.ring_size.is_power_of_two() || !(batch..=1 << 16).contains(&self.ring_size) {
            let allowed = "a power of two from 64 to 65536";
            return Err(OpenError::Option { option: "ring_size", value: self.ring_size, allowed });
        }
        if !(2 * batch..=1 << 20).contains(&self.frames) {
            return Err(OpenError::Option { option: "frames", value: self.frames, allowed: "128 to 1048576" });
        }
        if self.frame_size != 2048 && self.frame_size != 4096 {
            let allowed = "2048 or 4096";
            return Err(OpenError::Option { option: "frame_size", value: self.frame_size, allowed });
        }
        if !(1..=scattering::MOST as u32).contains(&self.frames_per_packet) {
            let (option, value) = ("frames_per_packet", self.frames_per_packet);
            return Err(OpenError::Option { option, value, allowed: "1 to 3" });
        }
        // A batch of the longest packets fits the ring, and half of the frames.
        let several = batch * self.frames_per_packet;
        if self.ring_size < several {
            let allowed = "64 for each of the frames that a packet of the interface's MTU takes, or more";
            return Err(OpenError::Option { option: "ring_size", value: self.ring_size, allowed });
        }
        if self.frames < 2 * several {
            let allowed = "128 for each of the frames that a packet of the interface's MTU takes, or more";
            return Err(OpenError::Option { option: "frames", value: self.frames, allowed });
        }
        Ok(())
    }

    /// The frames asked for, rounded up to an even number, and to whole huge pages where they lie on such.
    fn frame_count(&self) -> NonZeroU32 {
        let unit = if self.huge_pages { HUGE_PAGE / self.frame_size } else { 2 };
        NonZeroU32::new(self.frames.next_multiple_of(unit)).expect("at least the frames asked for")
    }

    /// Fill and completion rings hold every frame of their side, so that giving one back never fails. The fill ring
    /// has as much room again: the kernel shows a received frame on the receive ring a moment before it gives the
    /// frame's place on the fill ring free, and on another core than ours that moment can be seen.
    fn umem_config(&self) -> UmemConfig {
        let frames = (self.frame_count().get() / 2).next_power_of_two();
        let (fill, side) = (queue_size(frames * 2), queue_size(frames));
        UmemConfig::builder()
            .frame_size(FrameSize::new(self.frame_size).expect("checked to be 2048 or 4096"))
            .fill_queue_size(fill)
            .comp_queue_size(side)
            .build()
            .expect("a frame is longer than the kernel's headroom")
    }

    fn socket_config(&self) -> SocketConfig {
        let ring = queue_size(self.ring_size);
        let mode = match self.zero_copy {
            ZeroCopy::Auto => BindFlags::empty(),
            ZeroCopy::Never => BindFlags::XDP_COPY,
            ZeroCopy::Always => BindFlags::XDP_ZEROCOPY,
        };
        let several = if self.frames_per_packet > 1 { BindFlags::XDP_USE_SG } else { BindFlags::empty() };
        SocketConfig::builder()
            .rx_queue_size(ring)
            .tx_queue_size(ring)
            .bind_flags(mode | BindFlags::XDP_USE_NEED_WAKEUP | several)
            // The steering program is attached by its own loader.
            .libxdp_flags(LibxdpFlags::XSK_LIBXDP_FLAGS_INHIBIT_PROG_LOAD)
            .build()
    }

    fn megabytes(&self) -> u32 {
        let bytes = u64::from(self.frame_count().get()) * u64::from(self.frame_size);
        bytes.div_ceil(1 << 20) as u32
    }

    fn umem_error(&self, error: &(dyn std::error::Error + 'static)) -> OpenError {
        match os_error(error) {
            Some(libc::ENOMEM) if self.huge_pages => OpenError::NoHugePages { megabytes: self.megabytes() },
            Some(libc::ENOBUFS | libc::EAGAIN) => OpenError::MemoryLock { megabytes: self.megabytes() },
            Some(libc::EAFNOSUPPORT) => OpenError::NoAfXdp,
            Some(libc::EPERM | libc::EACCES) => OpenError::Privilege,
            Some(_) | None => self.kernel_error("making a frame area", error),
        }
    }

    fn bind_error(&self, error: &(dyn std::error::Error + 'static)) -> OpenError {
        let interface = self.interface.clone();
        match os_error(error) {
            Some(libc::EBUSY) => OpenError::QueueBusy { interface, queue: self.queue },
            Some(libc::ENODEV) => OpenError::NoSuchInterface { interface },
            Some(libc::EPERM | libc::EACCES) => OpenError::Privilege,
            Some(number) if self.zero_copy == ZeroCopy::Always => OpenError::ZeroCopyRefused {
                interface,
                queue: self.queue,
                reason: io::Error::from_raw_os_error(number).to_string(),
            },
            Some(number @ (libc::EINVAL | libc::EOPNOTSUPP)) if self.frames_per_packet > 1 => {
                let single = Self { frames_per_packet: 1, ..self.clone() };
                let reason = io::Error::from_raw_os_error(number).to_string();
                OpenError::SeveralFramesRefused { interface, allowed: single.longest_mtu(), reason }
            }
            Some(_) | None => self.kernel_error("binding an AF_XDP socket", error),
        }
    }

    fn kernel_error(&self, doing: &'static str, error: &(dyn std::error::Error + 'static)) -> OpenError {
        let reason = match os_error(error) {
            Some(number) => io::Error::from_raw_os_error(number).to_string(),
            None => error.to_string(),
        };
        OpenError::Kernel { doing, interface: self.interface.clone(), queue: self.queue, reason }
    }
}

impl XdpRx {
    fn new(options: &XdpOptions, umem: Umem, ring: RxQueue, fill: FillQueue, frames: &[FrameDesc]) -> Self {
        let mut rx = Self {
            umem,
            ring,
            fill,
            batch: [FrameDesc::default(); BATCH],
            held: 0,
            gathering: (options.frames_per_packet > 1)
                .then(|| Gathering::new(options.longest_mtu() as usize + LINK_HEADER as usize)),
            busy_poll: options.busy_poll.is_some(),
            wakeup_errors: 0,
            ledger: Ledger::new(options.frame_size, frames),
        };
        for frame in frames {
            rx.ledger.moves(frame, Owner::User, Owner::Kernel);
        }
        // SAFETY: these frames are of this area, and nobody but the fill ring gets them here.
        let filled = unsafe { rx.fill.produce(frames) };
        assert_eq!(filled, frames.len(), "the fill ring holds every receive frame");
        rx.wake();
        rx
    }

    /// Has the driver look at the fill ring, or poll the device.
    fn wake(&mut self) {
        // SAFETY: no buffers are passed, and the socket is open as long as `self.ring` is.
        let done = unsafe {
            libc::recvfrom(
                self.ring.fd().as_raw_fd(),
                ptr::null_mut(),
                0,
                libc::MSG_DONTWAIT,
                ptr::null_mut(),
                ptr::null_mut(),
            )
        };
        if done < 0 {
            match io::Error::last_os_error().raw_os_error() {
                Some(libc::EAGAIN | libc::EBUSY | libc::ENOBUFS | libc::ENETDOWN | libc::EINTR) => {}
                Some(_) | None => self.wakeup_errors += 1,
            }
        }
    }
}

impl Receive for XdpRx {
    fn receive(&mut self, limit: usize) -> usize {
        if self.held > 0 || self.gathering.as_ref().is_some_and(Gathering::holds) {
            self.release();
        }
        // SAFETY: the descriptors come from the receive ring of the socket that uses this frame area.
        self.held = unsafe { self.ring.consume(&mut self.batch[..limit.min(BATCH)]) };
        for frame in &self.batch[..self.held] {
            self.ledger.moves(frame, Owner::Kernel, Owner::User);
            // Another core or the device wrote it. Asked for together, the misses of a whole batch overlap.
            // SAFETY: the batch owns this frame, as in `frame`.
            prefetch(unsafe { self.umem.data(frame) }.contents());
        }
        if let Some(gathering) = &mut self.gathering {
            // SAFETY: the frames are of this area, and the batch owns them.
            self.held = unsafe { gathering.take(&self.umem, &mut self.batch[..self.held]) };
        }
        // With preferred busy polling interrupts are off, and it is we who make the driver look.
        if self.held == 0 && self.busy_poll {
            self.wake();
        }
        self.held
    }

    fn release(&mut self) {
        let batch = &self.batch[..self.held];
        let gathered = self.gathering.as_mut().map(|gathering| gathering.finish(batch));
        let batch = gathered.as_deref().unwrap_or(batch);
        for frame in batch {
            self.ledger.moves(frame, Owner::User, Owner::Kernel);
        }
        // SAFETY: the batch owns these frames and is emptied, so that only the kernel has them; `frame` borrows `self`,
        // so nobody reads them any more.
        let filled = unsafe { self.fill.produce(batch) };
        assert_eq!(filled, batch.len(), "the fill ring holds every receive frame");
        self.held = 0;
        if self.fill.needs_wakeup() {
            self.wake();
        }
    }

    #[inline]
    fn frame(&self, i: usize) -> &[u8] {
        let frame = &self.batch[..self.held][i];
        if frame.has_more_frames()
            && let Some(gathering) = &self.gathering
        {
            return gathering.packet(self.batch[..i].iter().filter(|frame| frame.has_more_frames()).count());
        }
        // SAFETY: the batch owns this frame until `release`, which needs `&mut self`, and its address and length were
        // set by the kernel within one frame of this area.
        unsafe { self.umem.data(frame) }.contents()
    }

    #[inline]
    fn frames(&mut self) -> impl Iterator<Item = &mut [u8]> {
        let umem = &self.umem;
        let mut gathered = self.gathering.iter_mut().flat_map(Gathering::packets_mut);
        self.batch[..self.held].iter_mut().map(move |frame| {
            if frame.has_more_frames() {
                return gathered.next().unwrap_or_default();
            }
            // SAFETY: the batch owns this frame until `release`, and its address and length were set by the kernel within
            // one frame of this area.
            let mut data = unsafe { umem.data_mut(frame) };
            let contents = data.contents_mut();
            // SAFETY: the memory is mapped as long as `umem`, which `self` holds, is. The batch holds each frame once, so that
            // the slices are disjoint and the kernel has none of them; it can lose it only in `release`, which needs
            // `&mut self` and so the end of the borrow this slice lives for.
            unsafe { slice::from_raw_parts_mut(contents.as_mut_ptr(), contents.len()) }
        })
    }
}

/// Has the start of a frame brought into the cache: its headers, and of a small packet all.
#[inline]
fn prefetch(frame: &[u8]) {
    #[cfg(target_arch = "x86_64")]
    for line in frame.chunks(64).take(2) {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a prefetch of any address has no effect that the program sees, and this one is readable.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(line.as_ptr().cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = frame;
}

impl XdpTx {
    fn new(options: &XdpOptions, umem: Umem, ring: TxQueue, completion: CompQueue, frames: Vec<FrameDesc>) -> Self {
        let (writable, group) = (options.umem_config().mtu() as usize, options.frames_per_packet as usize);
        let ledger = Ledger::new(options.frame_size, &frames);
        let (scattering, free) = if group > 1 {
            let (scattering, free) = Scattering::new(frames, group, options.frame_size as usize, writable);
            (Some(scattering), free)
        } else {
            (None, frames)
        };
        Self {
            umem,
            ring,
            completion,
            ledger,
            free,
            reserved: [FrameDesc::default(); BATCH],
            reserved_len: 0,
            in_flight: 0,
            ring_size: options.ring_size as usize,
            writable,
            capacity: writable * group,
            scattering,
            wakeup_errors: 0,
        }
    }

    /// As [`Transmit::commit`], where a packet may take several frames.
    fn commit_scattered(&mut self, lengths: &[u16]) {
        let Some(scattering) = &mut self.scattering else { return };
        let mut frames = Frames::new();
        for (position, first) in self.reserved[..self.reserved_len].iter().enumerate() {
            let length = lengths.get(position).map_or(0, |&length| usize::from(length));
            assert!(length <= self.capacity, "{length} bytes in a frame of {}", self.capacity);
            if length == 0 {
                self.free.push(*first);
            } else {
                // SAFETY: the reservation owns this group; no slice of it lives, since those borrow `self`.
                unsafe { scattering.scatter(&self.umem, first, length, &mut frames) };
            }
        }
        self.reserved_len = 0;
        for frame in &frames {
            self.ledger.moves(frame, Owner::User, Owner::Kernel);
        }
        // SAFETY: the reservation owned these frames and is emptied, so that only the kernel has them.
        let submitted = unsafe { self.ring.produce(&frames) };
        assert_eq!(submitted, frames.len(), "`reserve` left room in the transmit ring");
        self.in_flight += frames.len();
    }

    /// Takes sent frames back, at least one batch of them where there are so many.
    fn reclaim(&mut self) {
        let mut sent = [FrameDesc::default(); BATCH];
        while self.in_flight > 0 {
            // SAFETY: the descriptors come from the completion ring of the socket that uses this frame area.
            let count = unsafe { self.completion.consume(&mut sent) };
            for frame in &sent[..count] {
                self.ledger.moves(frame, Owner::Kernel, Owner::User);
                match &mut self.scattering {
                    None => self.free.push(*frame),
                    Some(scattering) => self.free.extend(scattering.completed(frame)),
                }
            }
            self.in_flight -= count;
            if count < BATCH || self.free.len() >= BATCH {
                break;
            }
        }
    }
}

impl Transmit for XdpTx {
    fn reserve(&mut self, n: usize) -> usize {
        let n = n.min(BATCH);
        self.reclaim();
        // What is in flight may all still be in the ring. Hence `commit` never meets a full one.
        let room = self.ring_size - self.in_flight;
        let room = self.scattering.as_ref().map_or(room, |scattering| scattering.fitting(room));
        while self.reserved_len < n.min(room) {
            let Some(frame) = self.free.pop() else { break };
            self.reserved[self.reserved_len] = frame;
            self.reserved_len += 1;
        }
        self.reserved_len.min(n)
    }

    #[inline]
    fn frames(&mut self) -> impl Iterator<Item = &mut [u8]> {
        let (umem, writable, scattering) = (&self.umem, self.writable, self.scattering.as_ref());
        self.reserved[..self.reserved_len].iter_mut().map(move |frame| {
            if let Some(scattering) = scattering {
                // SAFETY: the reservation owns this group and holds it once, as below.
                return unsafe { &mut *scattering.memory(umem, frame) };
            }
            // SAFETY: the reservation owns this frame, which is one of this area.
            let mut data = unsafe { umem.data_mut(frame) };
            data.cursor().set_pos(writable);
            let contents = data.contents_mut();
            // SAFETY: the memory is mapped as long as `umem`, which `self` holds, is. The reservation owns the frame and
            // holds it once, so that the slices are disjoint and the kernel has none of them; it can lose
            // it only in `commit`, which needs `&mut self` and so the end of the borrow this slice lives for.
            unsafe { slice::from_raw_parts_mut(contents.as_mut_ptr(), contents.len()) }
        })
    }

    fn commit(&mut self, lengths: &[u16]) {
        assert!(
            lengths.len() <= self.reserved_len,
            "{} lengths for {} reserved frames",
            lengths.len(),
            self.reserved_len
        );
        if self.scattering.is_some() {
            return self.commit_scattered(lengths);
        }
        // The used ones move to the front, in order; the others go back to the free ones.
        let mut used = 0;
        for i in 0..self.reserved_len {
            let mut frame = self.reserved[i];
            let length = lengths.get(i).map_or(0, |&length| usize::from(length));
            assert!(length <= self.capacity, "{length} bytes in a frame of {}", self.capacity);
            if length == 0 {
                self.free.push(frame);
                continue;
            }
            // SAFETY: the reservation owns this frame, which is one of this area; no slice of it lives, since those
            // borrow `self`.
            unsafe { self.umem.data_mut(&mut frame) }.cursor().set_pos(length);
            frame.set_options(0);
            self.ledger.moves(&frame, Owner::User, Owner::Kernel);
            self.reserved[used] = frame;
            used += 1;
        }
        self.reserved_len = 0;
        // SAFETY: the reservation owned these frames and is emptied, so that only the kernel has them.
        let submitted = unsafe { self.ring.produce(&self.reserved[..used]) };
        assert_eq!(submitted, used, "`reserve` left room in the transmit ring");
        self.in_flight += used;
        self.ledger.balance(self.free.len(), self.in_flight);
    }

    fn flush(&mut self) {
        // In copy mode one call sends a budget of frames, on older kernels half a batch, and the rest needs another.
        for _ in 0..2 * BATCH.div_ceil(32) {
            if self.in_flight == 0 || !self.ring.needs_wakeup() {
                return;
            }
            let before = self.ring.nb_free_exact();
            if before as usize == self.ring_size {
                return;
            }
            if self.ring.wakeup().is_err() {
                self.wakeup_errors += 1;
                return;
            }
            // No progress: the kernel's send buffer is full, and the next flush will find room in it.
            if self.ring.nb_free_exact() == before {
                return;
            }
        }
    }

    fn capacity(&self) -> usize {
        self.capacity
    }
}

/// Who may touch a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owner {
    /// Batch, reservation or free list.
    User,
    /// A ring or the driver.
    Kernel,
}

/// The owner of each frame of one side, kept to catch a frame that is lost or doubled; nothing in release builds.
#[derive(Debug)]
struct Ledger {
    #[cfg(debug_assertions)]
    owners: Vec<Owner>,
    #[cfg(debug_assertions)]
    first: usize,
    #[cfg(debug_assertions)]
    frame_size: usize,
}

#[cfg(debug_assertions)]
impl Ledger {
    fn new(frame_size: u32, frames: &[FrameDesc]) -> Self {
        let frame_size = frame_size as usize;
        let first = frames.first().map_or(0, |frame| frame.addr() / frame_size);
        Self { owners: vec![Owner::User; frames.len()], first, frame_size }
    }

    #[inline]
    fn moves(&mut self, frame: &FrameDesc, from: Owner, to: Owner) {
        let number = frame.addr() / self.frame_size;
        let owner = number
            .checked_sub(self.first)
            .and_then(|position| self.owners.get_mut(position))
            .unwrap_or_else(|| panic!("frame {number} belongs to the other side"));
        assert_eq!(*owner, from, "frame {number} is not where it was");
        *owner = to;
    }

    fn balance(&self, free: usize, in_flight: usize) {
        assert_eq!(free + in_flight, self.owners.len(), "a frame was lost or doubled");
    }
}

#[cfg(not(debug_assertions))]
impl Ledger {
    fn new(_: u32, _: &[FrameDesc]) -> Self {
        Self {}
    }

    #[inline]
    fn moves(&mut self, _: &FrameDesc, _: Owner, _: Owner) {}

    #[inline]
    fn balance(&self, _: usize, _: usize) {}
}

fn bind(options: &XdpOptions, umem: &Umem) -> Result<(TxQueue, RxQueue, FillQueue, CompQueue), OpenError> {
    let interface: Interface =
        options.interface.parse().map_err(|_| OpenError::NoSuchInterface { interface: options.interface.clone() })?;
    let mut retries = BUSY_RETRIES;
    let (tx, rx, rings) = loop {
        // SAFETY: the frame area is new and shared with no other socket, which is what the contract asks about.
        match unsafe { Socket::new(options.socket_config(), umem, &interface, options.queue) } {
            Ok(queues) => break queues,
            // The kernel unbinds a closed socket in the background.
            Err(error) if os_error(&error) == Some(libc::EBUSY) && retries > 0 => {
                retries -= 1;
                sleep(BUSY_WAIT);
            }
            Err(error) => return Err(options.bind_error(&error)),
        }
    };
    let (fill, completion) = rings.expect("the first socket of a frame area gets its rings");
    Ok((tx, rx, fill, completion))
}

fn is_zero_copy(fd: RawFd) -> io::Result<bool> {
    let mut options = libc::xdp_options { flags: 0 };
    let mut length = mem::size_of_val(&options) as libc::socklen_t;
    // SAFETY: the kernel writes at most `length` bytes to `options`, a plain struct of that size.
    let done =
        unsafe { libc::getsockopt(fd, libc::SOL_XDP, libc::XDP_OPTIONS, (&raw mut options).cast(), &raw mut length) };
    match done {
        0 => Ok(options.flags & libc::XDP_OPTIONS_ZEROCOPY != 0),
        _ => Err(io::Error::last_os_error()),
    }
}

fn prefer_busy_poll(fd: RawFd, busy_poll: BusyPoll) -> io::Result<()> {
    set_option(fd, libc::SOL_SOCKET, libc::SO_PREFER_BUSY_POLL, 1)?;
    set_option(fd, libc::SOL_SOCKET, libc::SO_BUSY_POLL, busy_poll.microseconds)?;
    set_option(fd, libc::SOL_SOCKET, libc::SO_BUSY_POLL_BUDGET, busy_poll.budget)
}

fn set_option(fd: RawFd, level: libc::c_int, option: libc::c_int, value: u32) -> io::Result<()> {
    let length = mem::size_of_val(&value) as libc::socklen_t;
    // SAFETY: the kernel reads `length` bytes from `value`, a plain integer of that size.
    match unsafe { libc::setsockopt(fd, level, option, (&raw const value).cast(), length) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

fn queue_size(size: u32) -> QueueSize {
    QueueSize::new(size).expect("a power of two")
}

/// The kernel's error number at the root of an error.
fn os_error(error: &(dyn std::error::Error + 'static)) -> Option<i32> {
    std::iter::successors(Some(error), |error: &&(dyn std::error::Error + 'static)| (*error).source())
        .find_map(|cause| cause.downcast_ref::<io::Error>()?.raw_os_error())
}
