//! A port in memory, for tests and benches, with the behaviour of a real one: bounded rings, frames that
//! have to come back, no allocation once it is made.

use std::collections::VecDeque;
use std::fmt;
use std::os::fd::BorrowedFd;

use thiserror::Error;

use crate::{BATCH, Port, Receive, Transmit};

/// Frames start at a multiple of this, as they do in an AF_XDP frame area.
const ALIGNMENT: usize = 256;

/// A port whose network is the test that owns it.
///
/// [`inject`](Self::inject) puts frames on its receive ring, [`drain`](Self::drain) takes what was transmitted
/// and thereby completes it. [`replay`](Self::replay) makes one for benches: it receives a fixed set of
/// frames endlessly and completes what is transmitted at once, so that neither side costs anything but memory.
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
    frames: usize,
    frame_size: usize,
    source: Source,
    received: u64,
}

/// The transmitting side of a [`MemoryPort`].
#[derive(Debug)]
pub struct MemoryTx {
    frames: usize,
    frame_size: usize,
    free: Vec<Buffer>,
    reserved: Vec<Buffer>,
    sent: VecDeque<(Buffer, u16)>,
    completion: Completion,
    transmitted: u64,
}

impl MemoryPort {
    /// A port whose rings are empty.
    ///
    /// # Panics
    /// If `frame_size` exceeds 65535, since lengths are `u16`.
    pub fn new(options: MemoryOptions) -> Self {
        Self { rx: MemoryRx::new(options, Source::queue(options)), tx: MemoryTx::new(options, Completion::WhenDrained) }
    }

    /// A port that receives `frames` over and over, always as many as asked for, and discards what is
    /// transmitted.
    ///
    /// # Panics
    /// If `frames` is empty, one of them exceeds `frame_size`, or `frame_size` exceeds 65535.
    pub fn replay(frames: &[impl AsRef<[u8]>], options: MemoryOptions) -> Self {
        assert!(!frames.is_empty(), "nothing to replay");
        let buffers = frames
            .iter()
            .map(|frame| {
                let frame = frame.as_ref();
                let mut buffer = Buffer::new(options.frame_size);
                buffer.bytes_mut()[..frame.len()].copy_from_slice(frame);
                (buffer, frame.len() as u16)
            })
            .collect();
        let source = Source::Loop { buffers, next: 0, batch: 0 };
        Self { rx: MemoryRx::new(options, source), tx: MemoryTx::new(options, Completion::AtOnce) }
    }

    /// Puts one frame on the receive ring.
    ///
    /// # Errors
    /// [`InjectError`], by which nothing changed.
    ///
    /// # Panics
    /// If this port replays.
    pub fn inject(&mut self, frame: &[u8]) -> Result<(), InjectError> {
        self.rx.inject(frame)
    }

    /// Has `fill` write a frame where it will be received, and say how long it is; `None`, and not called, where every
    /// receive frame is taken. Does not allocate.
    ///
    /// # Panics
    /// If this port replays, or the length is greater than the frame.
    pub fn inject_with(&mut self, fill: impl FnOnce(&mut [u8]) -> usize) -> Option<usize> {
        self.rx.inject_with(fill)
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
        while let Some((buffer, length)) = self.tx.sent.pop_front() {
            each(&buffer.bytes()[..usize::from(length)]);
            self.tx.free.push(buffer);
        }
        count
    }

    /// Frames that wait to be received.
    pub fn waiting(&self) -> usize {
        match &self.rx.source {
            Source::Queue { waiting, .. } => waiting.len(),
            Source::Loop { buffers, .. } => buffers.len(),
        }
    }

    /// Frames received since the port was made.
    pub fn received(&self) -> u64 {
        self.rx.received
    }

    /// Frames transmitted since the port was made, drained or not.
    pub fn transmitted(&self) -> u64 {
        self.tx.transmitted
    }
}

impl Port for MemoryPort {
    type Rx = MemoryRx;
    type Tx = MemoryTx;

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

impl MemoryRx {
    fn new(options: MemoryOptions, source: Source) -> Self {
        Self { frames: options.rx_frames, frame_size: options.frame_size, source, received: 0 }
    }

    fn inject(&mut self, frame: &[u8]) -> Result<(), InjectError> {
        if frame.len() > self.frame_size {
            return Err(InjectError::TooLong { length: frame.len(), capacity: self.frame_size });
        }
        let fill = |buffer: &mut [u8]| {
            buffer[..frame.len()].copy_from_slice(frame);
            frame.len()
        };
        self.inject_with(fill).map(|_| ()).ok_or(InjectError::Full { frames: self.frames })
    }

    fn inject_with(&mut self, fill: impl FnOnce(&mut [u8]) -> usize) -> Option<usize> {
        match &mut self.source {
            Source::Queue { free, waiting, .. } => {
                let mut buffer = free.pop()?;
                let length = fill(buffer.bytes_mut());
                assert!(length <= self.frame_size, "{length} bytes in a frame of {}", self.frame_size);
                waiting.push_back((buffer, length as u16));
                Some(length)
            }
            Source::Loop { .. } => panic!("a port that replays takes no frames"),
        }
    }
}

impl Receive for MemoryRx {
    fn receive(&mut self, limit: usize) -> usize {
        self.release();
        let limit = limit.min(BATCH);
        let count = match &mut self.source {
            Source::Queue { waiting, batch, .. } => {
                let count = limit.min(waiting.len());
                batch.extend(waiting.drain(..count));
                count
            }
            Source::Loop { batch, .. } => {
                *batch = limit;
                limit
            }
        };
        self.received += count as u64;
        count
    }

    fn release(&mut self) {
        match &mut self.source {
            Source::Queue { free, batch, .. } => free.extend(batch.drain(..).map(|(buffer, _)| buffer)),
            Source::Loop { buffers, next, batch } => {
                *next = (*next + *batch) % buffers.len();
                *batch = 0;
            }
        }
    }

    #[inline]
    fn frame(&self, i: usize) -> &[u8] {
        let (buffer, length) = match &self.source {
            Source::Queue { batch, .. } => &batch[i],
            Source::Loop { buffers, next, batch } => {
                assert!(i < *batch, "frame {i} of a batch of {batch}");
                let mut at = *next + i;
                while at >= buffers.len() {
                    at -= buffers.len();
                }
                &buffers[at]
            }
        };
        &buffer.bytes()[..usize::from(*length)]
    }
}

impl MemoryTx {
    fn new(options: MemoryOptions, completion: Completion) -> Self {
        assert!(options.frame_size <= usize::from(u16::MAX), "lengths are u16");
        Self {
            frames: options.tx_frames,
            frame_size: options.frame_size,
            free: (0..options.tx_frames).map(|_| Buffer::new(options.frame_size)).collect(),
            reserved: Vec::with_capacity(BATCH),
            sent: VecDeque::with_capacity(options.tx_frames),
            completion,
            transmitted: 0,
        }
    }
}

impl Transmit for MemoryTx {
    fn reserve(&mut self, n: usize) -> usize {
        let missing = n.min(BATCH).saturating_sub(self.reserved.len()).min(self.free.len());
        let keep = self.free.len() - missing;
        self.reserved.extend(self.free.drain(keep..));
        self.reserved.len().min(n)
    }

    fn frames(&mut self) -> impl Iterator<Item = &mut [u8]> {
        self.reserved.iter_mut().map(Buffer::bytes_mut)
    }

    fn commit(&mut self, lengths: &[u16]) {
        assert!(
            lengths.len() <= self.reserved.len(),
            "{} lengths for {} reserved frames",
            lengths.len(),
            self.reserved.len()
        );
        let all = lengths.iter().copied().chain(std::iter::repeat(0));
        for (buffer, length) in self.reserved.drain(..).zip(all) {
            assert!(usize::from(length) <= self.frame_size, "{length} bytes in a frame of {}", self.frame_size);
            if length == 0 {
                self.free.push(buffer);
                continue;
            }
            self.transmitted += 1;
            match self.completion {
                Completion::WhenDrained => self.sent.push_back((buffer, length)),
                Completion::AtOnce => self.free.push(buffer),
            }
        }
        debug_assert_eq!(self.free.len() + self.sent.len(), self.frames, "a transmit frame was lost");
    }

    fn flush(&mut self) {}

    fn capacity(&self) -> usize {
        self.frame_size
    }
}

/// Where received frames come from.
enum Source {
    /// From [`MemoryPort::inject`]; the three together hold every receive frame exactly once.
    Queue { free: Vec<Buffer>, waiting: VecDeque<(Buffer, u16)>, batch: Vec<(Buffer, u16)> },
    /// From a fixed set, over and over. The batch is the `batch` frames from `next` on.
    Loop { buffers: Vec<(Buffer, u16)>, next: usize, batch: usize },
}

impl Source {
    fn queue(options: MemoryOptions) -> Self {
        Source::Queue {
            free: (0..options.rx_frames).map(|_| Buffer::new(options.frame_size)).collect(),
            waiting: VecDeque::with_capacity(options.rx_frames),
            batch: Vec::with_capacity(BATCH),
        }
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Queue { free, waiting, batch } => f
                .debug_struct("Queue")
                .field("free", &free.len())
                .field("waiting", &waiting.len())
                .field("batch", &batch.len())
                .finish(),
            Source::Loop { buffers, next, batch } => f
                .debug_struct("Loop")
                .field("frames", &buffers.len())
                .field("next", next)
                .field("batch", batch)
                .finish(),
        }
    }
}

/// When a transmitted frame becomes free again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Completion {
    /// Once the test took it.
    WhenDrained,
    /// On commit: nobody looks at it.
    AtOnce,
}

/// The memory of one frame. Moving it moves ownership of the frame, so that no frame can be in two places.
struct Buffer {
    memory: Box<[u8]>,
    start: usize,
    size: usize,
}

impl Buffer {
    fn new(size: usize) -> Self {
        let memory = vec![0; size + ALIGNMENT].into_boxed_slice();
        let start = memory.as_ptr().align_offset(ALIGNMENT).min(ALIGNMENT);
        Self { memory, start, size }
    }

    #[inline]
    fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.memory[self.start..self.start + self.size]
    }

    #[inline]
    fn bytes(&self) -> &[u8] {
        &self.memory[self.start..self.start + self.size]
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Buffer").field("size", &self.size).finish_non_exhaustive()
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
    #[should_panic(expected = "index out of bounds: the len is 1 but the index is 1")]
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

    #[test]
    fn replay_is_endless_and_discards() {
        let frames = [vec![1; 60], vec![2; 61], vec![3; 62]];
        let mut port = MemoryPort::replay(&frames, MemoryOptions { tx_frames: 64, ..MemoryOptions::default() });
        let mut seen = Vec::new();
        for limit in [1, BATCH, 2, BATCH + 1] {
            let (rx, tx) = port.split();
            let count = rx.receive(limit);
            assert_eq!(count, limit.min(BATCH));
            seen.extend((0..count).map(|i| rx.frame(i).to_vec()));
            assert_eq!(tx.reserve(BATCH), BATCH);
            tx.commit(&[60; BATCH]);
        }
        assert!(seen.iter().eq(frames.iter().cycle().take(seen.len())));
        assert!(port.drain().is_empty());
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
                prop_assert_eq!(port.split().1.frames().count(), reserved);
                prop_assert_eq!(port.waiting(), waiting.len());
            }
        }
    }
}
