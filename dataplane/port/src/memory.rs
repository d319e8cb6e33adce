//! A port in memory, for tests and benches, with the behaviour of a real one: bounded rings, frames that
//! have to come back, no allocation once it is made.

use std::cell::UnsafeCell;
use std::fmt;
use std::os::fd::BorrowedFd;
use std::slice;

use thiserror::Error;

use crate::{BATCH, Port, Receive, Transmit};

/// Frames start at a multiple of this, as they do in an AF_XDP frame area.
const ALIGNMENT: usize = 256;

/// A port whose network is the test that owns it.
///
/// [`inject`](Self::inject) puts frames on its receive ring, [`drain`](Self::drain) takes what was transmitted
/// and thereby completes it.
#[derive(Debug)]
pub struct MemoryPort {
    rx: MemoryRx,
    tx: MemoryTx,
}

/// The dimensions of a [`MemoryPort`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryOptions {
    /// Writable bytes of one frame.
    pub frame_size: usize,
    /// Frames of the receiving side: as many can wait to be received.
    pub rx_frames: usize,
    /// Frames of the transmitting side: as many can be sent before they are drained.
    pub tx_frames: usize,
}

/// Why a frame could not be injected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum InjectError {
    /// Every receive frame is waiting to be received or held by the current batch.
    #[error("all {frames} receive frames are taken")]
    Full {
        /// Frames of the receiving side.
        frames: usize,
    },
    /// The frame is longer than a frame of this port.
    #[error("{length} bytes do not fit a frame of {capacity}")]
    TooLong {
        /// Bytes of the frame given.
        length: usize,
        /// Bytes of a frame of this port.
        capacity: usize,
    },
}

/// The receiving side of a [`MemoryPort`].
#[derive(Debug)]
pub struct MemoryRx {
    area: Area,
    free: Vec<Frame>,
    /// The batch first, `held` frames, then those that wait: with `free`, every frame of the area once.
    waiting: Vec<(Frame, u16)>,
    held: usize,
    received: u64,
}

/// The transmitting side of a [`MemoryPort`].
#[derive(Debug)]
pub struct MemoryTx {
    area: Area,
    /// The three together hold every frame of the area once.
    free: Vec<Frame>,
    /// With lengths that are said at last.
    reserved: Vec<(Frame, u16)>,
    sent: Vec<(Frame, u16)>,
    transmitted: u64,
}

impl MemoryPort {
    /// A port whose rings are empty.
    ///
    /// # Panics
    /// If `frame_size` exceeds 65535, since lengths are `u16`.
    #[must_use]
    pub fn new(options: MemoryOptions) -> Self {
        let MemoryOptions { frame_size, rx_frames, tx_frames } = options;
        let (rx_area, rx_free) = Area::new(rx_frames, frame_size);
        let (tx_area, tx_free) = Area::new(tx_frames, frame_size);
        let waiting = Vec::with_capacity(rx_frames);
        Self {
            rx: MemoryRx { area: rx_area, free: rx_free, waiting, held: 0, received: 0 },
            tx: MemoryTx {
                area: tx_area,
                free: tx_free,
                reserved: Vec::with_capacity(BATCH),
                sent: Vec::with_capacity(tx_frames),
                transmitted: 0,
            },
        }
    }

    /// Puts one frame on the receive ring.
    ///
    /// # Errors
    /// [`InjectError`], by which nothing changed.
    pub fn inject(&mut self, frame: &[u8]) -> Result<(), InjectError> {
        let capacity = self.rx.area.frame_size;
        if frame.len() > capacity {
            return Err(InjectError::TooLong { length: frame.len(), capacity });
        }
        let fill = |buffer: &mut [u8]| {
            buffer[..frame.len()].copy_from_slice(frame);
            frame.len()
        };
        self.inject_with(fill).map(|_| ()).ok_or(InjectError::Full { frames: self.rx.area.frames })
    }

    /// Has `fill` write a frame where it will be received, and say how long it is; `None`, and not called, where every
    /// receive frame is taken. Does not allocate.
    ///
    /// # Panics
    /// If the length is greater than the frame.
    pub fn inject_with(&mut self, fill: impl FnOnce(&mut [u8]) -> usize) -> Option<usize> {
        let mut frame = self.rx.free.pop()?;
        let length = fill(self.rx.area.bytes_mut(&mut frame));
        let capacity = self.rx.area.frame_size;
        assert!(length <= capacity, "{length} bytes in a frame of {capacity}");
        self.rx.waiting.push((frame, length as u16));
        Some(length)
    }

    /// Takes all transmitted frames in order; their frames become free again.
    pub fn drain(&mut self) -> Vec<Vec<u8>> {
        let mut taken = Vec::new();
        self.drain_with(|frame| taken.push(frame.to_vec()));
        taken
    }

    /// Shows all transmitted frames in order to `each` and returns how many there were; their frames become
    /// free again. Does not allocate.
    pub fn drain_with(&mut self, mut each: impl FnMut(&[u8])) -> usize {
        let count = self.tx.sent.len();
        for (frame, length) in self.tx.sent.drain(..) {
            each(&self.tx.area.bytes(&frame)[..usize::from(length)]);
            self.tx.free.push(frame);
        }
        count
    }

    /// Frames that wait to be received.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.rx.waiting.len() - self.rx.held
    }

    /// Frames received since the port was made.
    #[must_use]
    pub fn received(&self) -> u64 {
        self.rx.received
    }

    /// Frames transmitted since the port was made, drained or not.
    #[must_use]
    pub fn transmitted(&self) -> u64 {
        self.tx.transmitted
    }
}

impl Port for MemoryPort {
    type Rx = MemoryRx;
    type Tx = MemoryTx;

    #[inline]
    fn split(&mut self) -> (&mut MemoryRx, &mut MemoryTx) {
        (&mut self.rx, &mut self.tx)
    }

    fn fd(&self) -> Option<BorrowedFd<'_>> {
        None
    }
}

impl Default for MemoryOptions {
    fn default() -> Self {
        Self { frame_size: 2048, rx_frames: 1024, tx_frames: 1024 }
    }
}

impl Receive for MemoryRx {
    #[inline]
    fn receive(&mut self, limit: usize) -> usize {
        self.release();
        self.held = limit.min(BATCH).min(self.waiting.len());
        self.received += self.held as u64;
        self.held
    }

    #[inline]
    fn release(&mut self) {
        self.free.extend(self.waiting.drain(..self.held).map(|(frame, _)| frame));
        self.held = 0;
    }

    #[inline]
    fn frame(&self, i: usize) -> &[u8] {
        assert!(i < self.held, "frame {i} of a batch of {}", self.held);
        let (frame, length) = &self.waiting[i];
        &self.area.bytes(frame)[..usize::from(*length)]
    }

    #[inline]
    fn frames(&mut self) -> impl Iterator<Item = &mut [u8]> {
        let area = &self.area;
        let batch = &mut self.waiting[..self.held];
        batch.iter_mut().map(|(frame, length)| &mut area.bytes_mut(frame)[..usize::from(*length)])
    }
}

impl Transmit for MemoryTx {
    #[inline]
    fn reserve(&mut self, n: usize) -> usize {
        let missing = n.min(BATCH).saturating_sub(self.reserved.len()).min(self.free.len());
        let keep = self.free.len() - missing;
        self.reserved.extend(self.free.drain(keep..).map(|frame| (frame, 0)));
        self.reserved.len().min(n)
    }

    #[inline]
    fn frames(&mut self) -> impl Iterator<Item = &mut [u8]> {
        let area = &self.area;
        self.reserved.iter_mut().map(|(frame, _)| area.bytes_mut(frame))
    }

    #[inline]
    fn commit(&mut self, lengths: &[u16]) {
        let (reserved, capacity) = (self.reserved.len(), self.area.frame_size);
        assert!(lengths.len() <= reserved, "{} lengths for {reserved} reserved frames", lengths.len());
        let longest = lengths.iter().copied().fold(0, u16::max);
        assert!(usize::from(longest) <= capacity, "{longest} bytes in a frame of {capacity}");
        let sent = self.sent.len();
        self.reserved.iter_mut().zip(lengths).for_each(|((_, own), length)| *own = *length);
        if lengths.len() == reserved && !lengths.contains(&0) {
            self.sent.append(&mut self.reserved);
        } else {
            // Frames that are not among them have no length either.
            let used = self.reserved.extract_if(.., |(_, length)| *length != 0);
            self.sent.extend(used);
            self.free.extend(self.reserved.drain(..).map(|(frame, _)| frame));
        }
        self.transmitted += (self.sent.len() - sent) as u64;
        debug_assert_eq!(self.free.len() + self.sent.len(), self.area.frames, "a transmit frame was lost");
    }

    fn flush(&mut self) {}

    #[inline]
    fn capacity(&self) -> usize {
        self.area.frame_size
    }
}

/// The memory of one side's frames.
struct Area {
    memory: Box<[UnsafeCell<u8>]>,
    frames: usize,
    frame_size: usize,
}

/// The right to one frame of an area: there is one for each frame, made with the area and never copied. So whoever holds it
/// alone has the frame alone. It says where in the area's memory the frame starts.
#[derive(Debug)]
struct Frame(usize);

impl Area {
    /// An area, and the right to each of its frames.
    fn new(frames: usize, frame_size: usize) -> (Self, Vec<Frame>) {
        assert!(frame_size <= usize::from(u16::MAX), "lengths are u16");
        // An odd multiple: at a power of two the starts of all frames would compete for two sets of the first-level cache.
        let stride = frame_size.next_multiple_of(ALIGNMENT) | ALIGNMENT;
        let memory: Box<[UnsafeCell<u8>]> = (0..frames * stride + ALIGNMENT).map(|_| UnsafeCell::new(0)).collect();
        let start = memory.as_ptr().align_offset(ALIGNMENT).min(ALIGNMENT);
        let rights = (0..frames).map(|number| Frame(start + number * stride)).collect();
        (Self { memory, frames, frame_size }, rights)
    }

    #[inline]
    fn bytes(&self, frame: &Frame) -> &[u8] {
        debug_assert!(frame.0 + self.frame_size <= self.memory.len());
        // SAFETY: a right is made with its area, which owns the frame's whole bytes there, and stays beside it. Only who holds it
        // gets at them, and here it is borrowed for as long as they are.
        unsafe { slice::from_raw_parts(self.memory.as_ptr().add(frame.0).cast(), self.frame_size) }
    }

    #[inline]
    #[allow(clippy::mut_from_ref, reason = "the right to the frame is borrowed mutably")]
    fn bytes_mut<'a>(&'a self, frame: &'a mut Frame) -> &'a mut [u8] {
        debug_assert!(frame.0 + self.frame_size <= self.memory.len());
        // SAFETY: as in `bytes`. There is one right to each frame of this area, it is borrowed mutably for as long as the bytes
        // are, and the bytes of two frames do not overlap.
        unsafe { slice::from_raw_parts_mut(UnsafeCell::raw_get(self.memory.as_ptr().add(frame.0)), self.frame_size) }
    }
}

impl fmt::Debug for Area {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Area").field("frames", &self.frames).field("frame_size", &self.frame_size).finish()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn small() -> MemoryPort {
        MemoryPort::new(MemoryOptions { frame_size: 64, rx_frames: 4, tx_frames: 4 })
    }

    #[test]
    fn injected_frames_are_received_in_order_and_stay_until_released() {
        let mut port = small();
        for byte in 0..4 {
            port.inject(&[byte; 10]).unwrap();
        }
        assert_eq!(port.inject(&[9]), Err(InjectError::Full { frames: 4 }));
        let rx = port.split().0;
        assert_eq!(rx.receive(3), 3);
        assert_eq!((rx.frame(0), rx.frame(2)), (&[0; 10][..], &[2; 10][..]));
        // Held frames are still taken.
        assert_eq!(port.inject(&[9]), Err(InjectError::Full { frames: 4 }));
        port.split().0.release();
        port.inject(&[9]).unwrap();
        let rx = port.split().0;
        assert_eq!(rx.receive(BATCH), 2);
        assert_eq!((rx.frame(0), rx.frame(1)), (&[3; 10][..], &[9][..]));
        assert_eq!(port.received(), 5);
    }

    #[test]
    fn a_frame_that_does_not_fit_is_refused() {
        assert_eq!(small().inject(&[0; 65]), Err(InjectError::TooLong { length: 65, capacity: 64 }));
    }

    #[test]
    #[should_panic(expected = "frame 1 of a batch of 1")]
    fn a_frame_beyond_the_batch_is_a_fault() {
        let mut port = small();
        port.inject(&[1]).unwrap();
        let rx = port.split().0;
        rx.receive(BATCH);
        rx.frame(1);
    }

    #[test]
    fn unused_frames_return_and_sent_ones_only_when_drained() {
        let mut port = small();
        let tx = port.split().1;
        assert_eq!(tx.reserve(BATCH), 4);
        for (byte, frame) in (0..).zip(tx.frames()) {
            frame.fill(byte);
        }
        tx.commit(&[0, 5, 0, 6]);
        assert_eq!(tx.reserve(BATCH), 2);
        tx.commit(&[]);
        assert_eq!(port.drain(), [vec![1; 5], vec![3; 6]]);
        assert_eq!(port.split().1.reserve(BATCH), 4);
        assert_eq!(port.transmitted(), 2);
    }

    #[test]
    #[should_panic(expected = "65 bytes in a frame of 64")]
    fn a_length_beyond_the_frame_is_a_fault() {
        let mut port = small();
        let tx = port.split().1;
        tx.reserve(1);
        tx.commit(&[65]);
    }

    #[derive(Debug, Clone)]
    enum Operation {
        Inject(u8),
        Receive(usize),
        Release,
        Reserve(usize),
        Commit(Vec<bool>),
        Drain,
    }

    fn operation() -> impl Strategy<Value = Operation> {
        prop_oneof![
            any::<u8>().prop_map(Operation::Inject),
            (0..6usize).prop_map(Operation::Receive),
            Just(Operation::Release),
            (0..6usize).prop_map(Operation::Reserve),
            prop::collection::vec(any::<bool>(), 0..4).prop_map(Operation::Commit),
            Just(Operation::Drain),
        ]
    }

    proptest! {
        /// In any order of operations, frames keep their order, none appears from nowhere, and each is either free or in
        /// exactly one of the places where it can be.
        #[test]
        fn behaves_as_two_bounded_queues(operations in prop::collection::vec(operation(), 0..200)) {
            let mut port = small();
            let (mut waiting, mut batch, mut reserved, mut sent) = (Vec::new(), Vec::new(), 0, Vec::new());
            let mut stamp = 0;
            for operation in operations {
                match operation {
                    Operation::Inject(byte) => {
                        let fits = waiting.len() + batch.len() < 4;
                        prop_assert_eq!(port.inject(&[byte; 3]).is_ok(), fits);
                        if fits {
                            waiting.push(byte);
                        }
                    }
                    Operation::Receive(limit) => {
                        let rx = port.split().0;
                        let count = rx.receive(limit);
                        prop_assert_eq!(count, limit.min(waiting.len()));
                        batch = waiting.drain(..count).collect();
                    }
                    Operation::Release => {
                        port.split().0.release();
                        batch.clear();
                    }
                    Operation::Reserve(n) => {
                        let count = port.split().1.reserve(n);
                        reserved = reserved.max(n.min(4 - sent.len()));
                        prop_assert_eq!(count, reserved.min(n));
                    }
                    Operation::Commit(mut used) => {
                        used.truncate(reserved);
                        let tx = port.split().1;
                        let lengths: Vec<u16> = used.iter().map(|&used| u16::from(used)).collect();
                        for (frame, used) in tx.frames().zip(&used) {
                            frame[0] = stamp;
                            if *used {
                                sent.push(stamp);
                            }
                            stamp = stamp.wrapping_add(1);
                        }
                        tx.commit(&lengths);
                        reserved = 0;
                    }
                    Operation::Drain => {
                        let drained: Vec<u8> = port.drain().iter().map(|frame| frame[0]).collect();
                        prop_assert_eq!(&drained, &sent);
                        sent.clear();
                    }
                }
                let rx = port.split().0;
                for (i, byte) in batch.iter().enumerate() {
                    prop_assert_eq!(rx.frame(i), &[*byte; 3]);
                }
                prop_assert!(rx.frames().map(|frame| frame[2]).eq(batch.iter().copied()));
                prop_assert_eq!(port.split().1.frames().count(), reserved);
                prop_assert_eq!(port.waiting(), waiting.len());
            }
        }
    }
}
