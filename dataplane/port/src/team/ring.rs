//! A bounded ring from one producer to one consumer, out of which the producer takes back what was not claimed yet.
//!
//! The positions of the oldest and of the next task stand in one word, so that one compare-and-swap claims a task, or takes it
//! back, and never both. Positions only become equal again when nothing waits; there is nothing to reset.
//!
//! Orderings:
//! - A post releases, a claim acquires: whoever claims a task sees all that was written before it was posted, the slot
//!   included. Claims and take-backs in between are read-modify-writes, so they carry on what the post released. A slot is
//!   read after its claim alone; that what stood in it was replaced since the consumer looked does not matter, then.
//! - A task's end releases, and the producer acquires it in [`Producer::is_settled`] and before it posts: it sees all that the
//!   consumer wrote, and writes a slot only once what was in it has ended.

use crossbeam_utils::CachePadded;

use super::atomic::{
    Arc, AtomicBool, AtomicU32, AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
    UnsafeCell,
};

/// Tasks that a ring holds, claimed ones included until they have ended.
pub const CAPACITY: u32 = 8;

struct Ring<T> {
    /// A [`Span`]: written by both.
    span: CachePadded<AtomicU64>,
    /// How many tasks have ended: written by the consumer.
    ended: CachePadded<AtomicU32>,
    /// Whether one of them ended in a panic.
    poisoned: AtomicBool,
    /// Written by the producer.
    slots: CachePadded<[UnsafeCell<Option<T>>; CAPACITY as usize]>,
}

// SAFETY: a slot is written by the producer alone, while no task is in it, and read by the consumer alone, between the claim
// and the end of the task in it: the module's documentation says why each sees what the other did. There is one of each.
unsafe impl<T: Send> Sync for Ring<T> {}
// SAFETY: it owns its tasks.
unsafe impl<T: Send> Send for Ring<T> {}

/// The tasks that wait, from `first` up to but not including `next`; positions wrap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Span {
    first: u32,
    next: u32,
}

impl Span {
    #[inline(always)]
    fn of(word: u64) -> Self {
        Self { first: word as u32, next: (word >> 32) as u32 }
    }

    #[inline(always)]
    fn word(self) -> u64 {
        u64::from(self.first) | u64::from(self.next) << 32
    }
}

impl<T> Ring<T> {
    /// Changes the span unless nothing waits, and returns what it was.
    #[inline(always)]
    fn shrink(&self, change: impl Fn(Span) -> Span) -> Option<Span> {
        let change = |word| {
            let span = Span::of(word);
            (span.first != span.next).then(|| change(span).word())
        };
        self.span.fetch_update(Acquire, Relaxed, change).ok().map(Span::of)
    }

    #[inline(always)]
    fn slot(&self, position: u32) -> &UnsafeCell<Option<T>> {
        &self.slots[(position % CAPACITY) as usize]
    }
}

/// Makes a ring's two ends.
pub fn ring<T: Copy>() -> (Producer<T>, Consumer<T>) {
    let ring = Arc::new(Ring {
        span: CachePadded::new(AtomicU64::new(0)),
        ended: CachePadded::new(AtomicU32::new(0)),
        poisoned: AtomicBool::new(false),
        slots: CachePadded::new(std::array::from_fn(|_| UnsafeCell::new(None))),
    });
    (Producer(Arc::clone(&ring)), Consumer(ring))
}

/// The end that posts.
pub struct Producer<T>(Arc<Ring<T>>);

impl<T: Copy> Producer<T> {
    /// Posts as many of the tasks as there is room for, in order, all at once.
    pub fn post(&mut self, tasks: impl Iterator<Item = T>) -> u32 {
        let ring = &*self.0;
        let next = Span::of(ring.span.load(Relaxed)).next;
        let taken = next.wrapping_sub(ring.ended.load(Acquire));
        let mut count = 0;
        for task in tasks.take((CAPACITY - taken) as usize) {
            // SAFETY: what was in this slot has ended or was taken back, and no other is posted in it: nobody reads it.
            ring.slot(next.wrapping_add(count)).with_mut(|slot| unsafe { *slot = Some(task) });
            count += 1;
        }
        // The carry out of the upper half is lost, as it should be.
        ring.span.fetch_add(u64::from(count) << 32, Release);
        count
    }

    /// Takes back the task that was posted last, unless it was claimed.
    #[inline]
    pub fn take_back(&mut self) -> Option<T> {
        let Span { next, .. } = self.0.shrink(|span| Span { next: span.next.wrapping_sub(1), ..span })?;
        // SAFETY: the task is not claimed any more by anybody, and only this producer writes slots.
        self.0.slot(next.wrapping_sub(1)).with(|slot| unsafe { *slot })
    }

    /// Whether nothing waits and all that was claimed has ended. Once it has, and until the next post, it stays so.
    #[inline]
    pub fn is_settled(&self) -> bool {
        let Span { first, next } = Span::of(self.0.span.load(Relaxed));
        first == next && self.0.ended.load(Acquire) == next
    }

    /// Whether a task ended in a panic; to be asked when all is settled.
    #[inline]
    pub fn is_poisoned(&self) -> bool {
        self.0.poisoned.load(Relaxed)
    }
}

/// The end that claims.
pub struct Consumer<T>(Arc<Ring<T>>);

impl<T: Copy> Consumer<T> {
    /// Claims the task that waits longest.
    #[inline]
    pub fn claim(&mut self) -> Option<Claim<'_, T>> {
        // An empty ring is looked at and left in peace: its line stays with the producer.
        let Span { first, .. } = self.0.shrink(|span| Span { first: span.first.wrapping_add(1), ..span })?;
        // SAFETY: the slot holds the task that was just claimed, and is not written before that has ended.
        let task = self.0.slot(first).with(|slot| unsafe { *slot })?;
        Some(Claim { ring: &self.0, task })
    }
}

/// A task that was claimed. It ends when this is dropped; in a panic, the producer is told.
pub struct Claim<'a, T> {
    ring: &'a Ring<T>,
    pub task: T,
}

impl<T> Drop for Claim<'_, T> {
    #[inline]
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.ring.poisoned.store(true, Relaxed);
        }
        let ended = self.ring.ended.load(Relaxed);
        self.ring.ended.store(ended.wrapping_add(1), Release);
    }
}
