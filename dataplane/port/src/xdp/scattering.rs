//! Packets to send that take several frames: each transmit frame is a group of neighbouring frames of the area, written as
//! one piece of memory. The kernel wants each of a packet's frames to begin behind its headroom, so of a packet that is longer
//! than one frame the rest moves up before it is handed over. Of a shorter one nothing moves.

use std::ptr;

use arrayvec::ArrayVec;
use xsk_rs::{FrameDesc, Umem};

use super::CONTINUED;
use crate::BATCH;

/// Most frames of one packet.
pub(super) const MOST: usize = 3;

/// The frames of a batch in the order in which the kernel gets them.
pub(super) type Frames = ArrayVec<FrameDesc, { MOST * BATCH }>;

/// The transmit frames of a port, in groups.
#[derive(Debug)]
pub(super) struct Scattering {
    /// In the order of their addresses, which grow from one to the next by the size of a frame.
    frames: Vec<FrameDesc>,
    /// By group, how many of its frames the kernel has.
    sent: Vec<u8>,
    /// Frames of a group.
    group: usize,
    /// Bytes of a frame, and those of them that are written.
    frame_size: usize,
    writable: usize,
}

impl Scattering {
    /// Groups of so many frames; also the first frame of each.
    pub(super) fn new(
        frames: Vec<FrameDesc>,
        group: usize,
        frame_size: usize,
        writable: usize,
    ) -> (Self, Vec<FrameDesc>) {
        assert!((1..=MOST).contains(&group), "checked with the options");
        let firsts: Vec<_> = frames.chunks_exact(group).map(|group| group[0]).collect();
        (Self { sent: vec![0; firsts.len()], frames, group, frame_size, writable }, firsts)
    }

    /// Groups that fit so many entries of a ring.
    pub(super) fn fitting(&self, entries: usize) -> usize {
        entries / self.group
    }

    /// The memory of a group, from where its first frame is written.
    ///
    /// # Safety
    /// `first` is the first frame of a group, of `umem`, and whoever calls owns the group for as long as the memory is used:
    /// that of all its frames, which are neighbours in one mapping that lives as long as `umem`.
    pub(super) unsafe fn memory(&self, umem: &Umem, first: &FrameDesc) -> *mut [u8] {
        // SAFETY: it is a frame of this area, which the caller owns.
        let start = unsafe { umem.data(first) }.contents().as_ptr();
        // The area as a whole was given to the kernel, so its addresses are known outside; a slice of one frame may not
        // be stretched over others.
        let start = ptr::with_exposed_provenance_mut(start.expose_provenance());
        ptr::slice_from_raw_parts_mut(start, (self.group - 1) * self.frame_size + self.writable)
    }

    /// The frames of a packet of `length` bytes that was written to the memory of the group `first` begins, each with its
    /// length.
    ///
    /// # Safety
    /// As for [`Scattering::memory`].
    pub(super) unsafe fn scatter(&mut self, umem: &Umem, first: &FrameDesc, length: usize, to: &mut Frames) {
        let number = self.number(first);
        let (group, count) = (number / self.group, length.div_ceil(self.writable).max(1));
        if count > 1 {
            // SAFETY: as the caller promises, and no other slice of the group is left.
            let memory = unsafe { &mut *self.memory(umem, first) };
            for part in (1..count).rev() {
                let from = part * self.writable;
                memory.copy_within(from..length.min(from + self.writable), part * self.frame_size);
            }
        }
        for part in 0..count {
            let mut frame = self.frames[number + part];
            let from = part * self.writable;
            // SAFETY: the caller owns the frame, and no slice of it lives.
            unsafe { umem.data_mut(&mut frame) }.cursor().set_pos(self.writable.min(length - from));
            frame.set_options(if part + 1 < count { CONTINUED } else { 0 });
            to.push(frame);
        }
        self.sent[group] = count as u8;
    }

    /// Takes a frame back that was sent; the group's first one if it was the last that the kernel had of it.
    pub(super) fn completed(&mut self, frame: &FrameDesc) -> Option<FrameDesc> {
        let group = self.number(frame) / self.group;
        self.sent[group] -= 1;
        (self.sent[group] == 0).then(|| self.frames[group * self.group])
    }

    /// A frame's place among the frames.
    fn number(&self, frame: &FrameDesc) -> usize {
        (frame.addr() - self.frames[0].addr()) / self.frame_size
    }
}
