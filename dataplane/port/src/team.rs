//! Workers that help each other: a batch is forked into chunks, those of the team that have nothing else to do work on some
//! of them, and the fork is over when all chunks are done.
//!
//! Packets keep their owner: what a member lends out is a part of a slice, for the time of one call, as with
//! [`std::thread::scope`]. Nothing is promised by those who help. A chunk that nobody has begun is taken back, so that a
//! member that became busy or went to sleep costs nothing; what is waited for is the end of a chunk that somebody is in
//! the middle of.
//!
//! Chunks go over a ring of their own for each ordered pair of members ([`ring`]), so that nobody competes for them but the two.
//! Nothing here allocates, locks or makes a system call once the team is made.

mod atomic;
#[cfg(all(test, loom))]
mod model;
mod ring;

use arrayvec::ArrayVec;
use crossbeam_utils::CachePadded;

use atomic::{Arc, AtomicBool, Ordering::Relaxed, wait};
use ring::{CAPACITY, Consumer, Producer, ring};

/// Most others that one fork is shared with: a batch has no more chunks.
const MOST_HELPERS: usize = 7;

/// A part of a slice, and what to do with it.
///
/// Invariant: from its post until it has ended or was taken back, `items` and `work` are valid for what `run` does with them
/// on another thread, and nothing else refers to the items. [`Member::fork`] sees to it: it does not return before.
#[derive(Clone, Copy)]
struct Task {
    run: unsafe fn(*mut (), usize, *const ()),
    items: *mut (),
    count: usize,
    work: *const (),
}

// SAFETY: `Member::fork` makes tasks of `&mut [T]` with `T: Send` and of `&F` with `F: Sync`.
unsafe impl Send for Task {}

impl Task {
    /// # Safety
    /// The invariant holds, and whoever calls has claimed the task or taken it back.
    unsafe fn run(self) {
        // SAFETY: the caller's.
        unsafe { (self.run)(self.items, self.count, self.work) }
    }
}

/// What [`Task::run`] calls, for items and work of known types.
///
/// # Safety
/// `items` are so many initialised `T` that nothing else refers to, and `work` is an `F`.
unsafe fn run<T, F: Fn(&mut [T])>(items: *mut (), count: usize, work: *const ()) {
    // SAFETY: the caller's.
    let (items, work) = unsafe { (std::slice::from_raw_parts_mut(items.cast::<T>(), count), &*work.cast::<F>()) };
    work(items);
}

/// What became of a batch's items.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Shares {
    /// Done by others.
    pub handed_over: usize,
    /// Offered to others, and done by this member because no one had begun.
    pub taken_back: usize,
    /// Whether nobody had time, so that nothing was offered.
    pub alone: bool,
}

/// One worker's place in a team.
pub struct Member {
    /// Whether this member looks at what others offer.
    free: Arc<CachePadded<AtomicBool>>,
    /// What was stored there last.
    is_free: bool,
    others: Vec<Other>,
    /// Whom to ask first, and whom to help first: the one behind the one that was last.
    asked: usize,
    helped: usize,
}

/// Another member, as one member sees it.
struct Other {
    free: Arc<CachePadded<AtomicBool>>,
    outbox: Producer<Task>,
    inbox: Consumer<Task>,
}

/// Makes a team of so many members, none of whom is free yet.
#[must_use]
pub fn team(count: usize) -> Vec<Member> {
    let free = || Arc::new(CachePadded::new(AtomicBool::new(false)));
    let mut members: Vec<Member> =
        (0..count).map(|_| Member { free: free(), is_free: false, others: Vec::new(), asked: 0, helped: 0 }).collect();
    for later in 1..count {
        let (earlier, rest) = members.split_at_mut(later);
        let Some(member) = rest.first_mut() else { break };
        for other in earlier {
            let ((to_other, from_member), (to_member, from_other)) = (ring(), ring());
            member.others.push(Other { free: Arc::clone(&other.free), outbox: to_other, inbox: from_other });
            other.others.push(Other { free: Arc::clone(&member.free), outbox: to_member, inbox: from_member });
        }
    }
    members
}

impl Member {
    /// Runs `work` over all items, a part of them on other members, in chunks of so many items. Whichever of them runs it,
    /// it is given each item once, and when this returns all is done.
    ///
    /// # Panics
    /// Where `work` does, here or on another member, once nobody works on the items any more: they are then in whichever state
    /// it left them in, and not to be used.
    pub fn fork<T: Send, F: Fn(&mut [T]) + Sync>(&mut self, items: &mut [T], chunk: usize, work: &F) -> Shares {
        let chunks = items.len().div_ceil(chunk.max(1));
        let (count, first) = (self.others.len(), self.asked);
        let (before, after) = self.others.split_at_mut(first);
        let mut positions = (first..count).chain(0..first);
        let mut helpers: ArrayVec<&mut Producer<Task>, MOST_HELPERS> = ArrayVec::new();
        for (other, position) in after.iter_mut().chain(before).zip(&mut positions) {
            if helpers.len() + 1 >= chunks || helpers.is_full() {
                break;
            }
            if other.free.load(Relaxed) {
                helpers.push(&mut other.outbox);
                self.asked = (position + 1) % count;
            }
        }
        if helpers.is_empty() {
            work(items);
            return Shares { alone: true, ..Shares::default() };
        }

        // The own share, which is the largest, is in front, and the others' follow.
        let each = (chunks / (helpers.len() + 1)).min(CAPACITY as usize) * chunk;
        let (own, rest) = items.split_at_mut(items.len() - (each * helpers.len()).min(items.len()));
        let mut shares = Shares { handed_over: rest.len(), ..Shares::default() };
        let mut fork = Fork { helpers };
        for (helper, share) in fork.helpers.iter_mut().zip(rest.chunks_mut(each)) {
            let tasks = share.chunks_mut(chunk).map(|items| Task {
                run: run::<T, F>,
                items: items.as_mut_ptr().cast(),
                count: items.len(),
                work: std::ptr::from_ref(work).cast(),
            });
            // All of a share fits into a ring that nothing was left in.
            helper.post(tasks);
        }
        work(own);
        for helper in &mut fork.helpers {
            while let Some(task) = helper.take_back() {
                shares.handed_over -= task.count;
                shares.taken_back += task.count;
                // SAFETY: it was taken back, and the items are still lent to this call.
                unsafe { task.run() };
            }
        }
        fork.settle();
        assert!(!fork.helpers.iter().any(|helper| helper.is_poisoned()), "a member of the team panicked over a chunk");
        shares
    }

    /// Says whether this member is free to [`help`](Self::help): others offer it something only then. One that is not free may
    /// find what was offered just before.
    #[inline]
    pub fn set_free(&mut self, free: bool) {
        if self.is_free != free {
            self.is_free = free;
            self.free.store(free, Relaxed);
        }
    }

    /// Works on what others offer, until one of them has nothing more to offer; returns how many items that were.
    ///
    /// # Panics
    /// Where another's work does: that one is told.
    pub fn help(&mut self) -> usize {
        let mut helped = 0;
        let count = self.others.len();
        for position in (self.helped..count).chain(0..self.helped) {
            while let Some(claim) = self.others[position].inbox.claim() {
                // SAFETY: it is claimed, and `Member::fork` does not return before the claim is dropped.
                unsafe { claim.task.run() };
                helped += claim.task.count;
            }
            if helped > 0 {
                self.helped = (position + 1) % count;
                break;
            }
        }
        helped
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.set_free(false);
    }
}

/// A fork under way: it does not end before the others are through with what they claimed, on whichever way it is left.
struct Fork<'a> {
    helpers: ArrayVec<&'a mut Producer<Task>, MOST_HELPERS>,
}

impl Fork<'_> {
    /// Takes back what is not claimed and waits for the rest.
    fn settle(&mut self) {
        for helper in &mut self.helpers {
            while helper.take_back().is_some() {}
            while !helper.is_settled() {
                wait();
            }
        }
    }
}

impl Drop for Fork<'_> {
    fn drop(&mut self) {
        self.settle();
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
