//! Received packets that lie in several frames: put together in memory of our own, for what reads a packet wants it in one
//! piece, and the next frame that the kernel fills is anywhere.

use arrayvec::ArrayVec;
use xsk_rs::{FrameDesc, Umem};

use super::CONTINUED;
use crate::BATCH;

/// Most packets of one batch that lie in several frames: each has two, but for one whose first ones came with the batch
/// before. One more may be under way.
const MOST: usize = BATCH / 2 + 2;

/// The packets of a batch that lay in several frames, and the one whose last frame has not come yet.
#[derive(Debug)]
pub(super) struct Gathering {
    buffers: Box<[Box<[u8]>]>,
    lengths: [usize; MOST],
    /// Packets of the batch that stand in the first buffers.
    count: usize,
    /// Bytes so far of the packet that is under way, in the buffer behind those.
    begun: Option<usize>,
    /// Frames whose contents were copied.
    copied: ArrayVec<FrameDesc, BATCH>,
}

impl Gathering {
    /// For packets of so many bytes; of a longer one the rest is left out.
    pub(super) fn new(longest: usize) -> Self {
        let buffers = (0..MOST).map(|_| vec![0; longest].into_boxed_slice()).collect();
        Self { buffers, lengths: [0; MOST], count: 0, begun: None, copied: ArrayVec::new() }
    }

    /// Takes the frames of a batch in. Those that are whole packets move to the front, with one that stands for each packet
    /// that is put together here, and still says that it goes on; returns how many packets that are.
    ///
    /// # Safety
    /// The frames are of `umem`, and nobody writes to them meanwhile.
    pub(super) unsafe fn take(&mut self, umem: &Umem, batch: &mut [FrameDesc]) -> usize {
        self.buffers.swap(0, self.count);
        self.count = 0;
        let mut packets = 0;
        for position in 0..batch.len() {
            let mut frame = batch[position];
            let is_last = !frame.has_more_frames();
            if self.begun.is_some() || !is_last {
                // SAFETY: as the caller promises.
                self.append(unsafe { umem.data(&frame) }.contents());
                self.copied.push(frame);
                if !is_last {
                    continue;
                }
                frame.set_options(CONTINUED);
                self.lengths[self.count] = self.begun.take().unwrap_or(0);
                self.count += 1;
            }
            batch[packets] = frame;
            packets += 1;
        }
        packets
    }

    fn append(&mut self, part: &[u8]) {
        let begun = self.begun.unwrap_or(0);
        let room = &mut self.buffers[self.count][begun..];
        let length = part.len().min(room.len());
        room[..length].copy_from_slice(&part[..length]);
        self.begun = Some(begun + length);
    }

    /// The frames to give back of a batch that began with `packets`: they are given away.
    pub(super) fn finish(&mut self, packets: &[FrameDesc]) -> ArrayVec<FrameDesc, BATCH> {
        let mut frames = std::mem::take(&mut self.copied);
        frames.extend(packets.iter().filter(|frame| !frame.has_more_frames()).copied());
        frames
    }

    /// Whether frames are held though no packet is.
    pub(super) fn holds(&self) -> bool {
        !self.copied.is_empty()
    }

    /// The packets of the batch that stand here, in order.
    pub(super) fn packets_mut(&mut self) -> impl Iterator<Item = &mut [u8]> {
        self.buffers.iter_mut().zip(self.lengths).take(self.count).map(|(buffer, length)| &mut buffer[..length])
    }

    /// One of them.
    pub(super) fn packet(&self, number: usize) -> &[u8] {
        &self.buffers[number][..self.lengths[number]]
    }
}
