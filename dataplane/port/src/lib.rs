//! Where packets come from and where they go.
//!
//! A worker owns one [`Port`] per interface and queue and knows nothing of what is behind it: an
//! AF_XDP socket ([`XdpPort`]) or plain memory ([`MemoryPort`], for tests and benches). Dispatch is static.
//!
//! A port's two sides are independent values with frames of their own. A received frame is read, its headers are
//! changed where a router changes them, and it goes back to where it came from; a transmit frame is written, sent and
//! reclaimed. No frame
//! ever moves from one side to the other, nor from port to port, so ports share nothing and
//! each can account for every one of its frames.
//!
//! Nothing on these traits allocates, locks, logs or makes a system call, except the ring wake-up in
//! [`Receive::release`] and [`Transmit::flush`].
//!
//! Workers that have nothing to do help others over rings between them: see [`team`].

mod memory;
mod queues;
mod team;
mod xdp;

pub use memory::{InjectError, MemoryOptions, MemoryPort, MemoryRx, MemoryTx};
pub use queues::queue_count;
pub use team::{Member, Shares, team};
pub use xdp::{BusyPoll, OpenError, Statistics, XdpOptions, XdpPort, XdpRx, XdpTx, ZeroCopy};

use std::os::fd::BorrowedFd;

/// Most packets of one batch.
pub const BATCH: usize = 64;

/// The receiving side of a port.
pub trait Receive {
    /// Takes up to `limit` (at most [`BATCH`]) received frames and returns how many.
    ///
    /// They stay readable until [`release`](Self::release). A batch that was not released is released first.
    fn receive(&mut self, limit: usize) -> usize;

    /// Gives the current batch back to where it came from, and wakes the kernel if it asks to be woken
    /// for that.
    fn release(&mut self);

    /// The `i`-th frame of the current batch, from its Ethernet header on.
    ///
    /// # Panics
    /// If `i` is not below what [`receive`](Self::receive) returned.
    fn frame(&self, i: usize) -> &[u8];

    /// The frames of the current batch in order, each from its Ethernet header on. They are disjoint and may be held
    /// together.
    fn frames(&mut self) -> impl Iterator<Item = &mut [u8]>;
}

/// The transmitting side of a port.
pub trait Transmit {
    /// Makes up to `n` (at most [`BATCH`]) free frames ready to be written, reclaiming sent ones, and
    /// returns how many.
    ///
    /// An earlier reservation that was not committed counts towards `n`; nothing of it is lost.
    fn reserve(&mut self, n: usize) -> usize;

    /// The reserved frames in order, each its whole writable area of at least
    /// [`capacity`](Self::capacity) bytes. They are disjoint and may be held together.
    fn frames(&mut self) -> impl Iterator<Item = &mut [u8]>;

    /// Hands the reserved frames over for sending and clears the reservation.
    ///
    /// Frame `i` is sent with `lengths[i]` bytes. A length of 0, or a missing one, means unused: the
    /// frame goes back to the free ones.
    ///
    /// # Panics
    /// If there are more lengths than reserved frames, or a length exceeds [`capacity`](Self::capacity).
    fn commit(&mut self, lengths: &[u16]);

    /// Wakes the kernel if it asked to be woken.
    fn flush(&mut self);

    /// Writable bytes of one frame.
    fn capacity(&self) -> usize;
}

/// One place where packets come from and go to: an interface's queue, or memory.
pub trait Port {
    /// The receiving side.
    type Rx: Receive;
    /// The transmitting side.
    type Tx: Transmit;

    /// Both sides, to be used at the same time.
    fn split(&mut self) -> (&mut Self::Rx, &mut Self::Tx);

    /// The descriptor to sleep on until frames arrive, if there is one.
    fn fd(&self) -> Option<BorrowedFd<'_>>;
}

/// A port is made by one thread and used by another: its worker.
const fn moves_to_its_worker<T: Port + Send>() {}
const _: () = moves_to_its_worker::<MemoryPort>();
const _: () = moves_to_its_worker::<XdpPort>();
