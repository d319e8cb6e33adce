//! Publication of immutable values to workers, RCU-style: quiescent states, no locks, no counted pointers.
//!
//! A worker's load is one acquire load and, when the value has changed, one release store of the version it now
//! holds. The publisher frees an old value once every reader's announced version is newer. Values are dropped on the
//! publisher's side alone, so a worker never frees.
//!
//! What the orderings are for, and what breaks without them:
//! - `current` is stored with release and loaded with acquire: else a reader could see a pointer before the value.
//! - `seen` is stored with release and loaded with acquire: else the publisher could free a value while a reader's
//!   earlier reads of it are still under way.
//! - A parked reader announces that it holds nothing, so it pins no memory. On its way back it must announce itself
//!   *before* it loads the pointer, and the publisher must replace the pointer *before* it looks at the
//!   announcements: a sequentially consistent fence on both sides. Without them both could miss each other, and the
//!   reader would use what the publisher frees.
//!
//! `publication/model.rs` proves it: each of these orderings, weakened alone, makes a test fail there.
#![allow(unsafe_code)]

use std::collections::VecDeque;
mod atomic;
#[cfg(all(test, loom))]
mod model;

use std::time::{Duration, Instant};
use std::{ptr, thread};

use atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};
use atomic::{Arc, AtomicPtr, AtomicU64, Mutex, fence, free};
use crossbeam_utils::CachePadded;

struct Versioned<T> {
    version: u64,
    value: T,
}

struct Shared<T> {
    /// Owned by `Shared`; replaced by the publisher only. Never null.
    current: AtomicPtr<Versioned<T>>,
    /// One per reader: the version it holds, or [`PARKED`]. Everything older than the least of them is not held.
    seen: Box<[CachePadded<AtomicU64>]>,
    /// What a dropped publisher could not free yet.
    orphans: Mutex<Vec<Box<Versioned<T>>>>,
}

const PARKED: u64 = u64::MAX;
/// Announced by a reader that is about to load: older than every version.
const ENTERING: u64 = 0;
/// How often a waiting publisher looks at what was announced.
const LOOK: Duration = Duration::from_micros(100);

/// Makes the publisher of `value`, version 1, and `readers` readers, all parked.
#[must_use]
pub fn publication<T>(value: T, readers: usize) -> (Publisher<T>, Vec<Reader<T>>) {
    let shared = Arc::new(Shared {
        current: AtomicPtr::new(Box::into_raw(Box::new(Versioned { version: 1, value }))),
        seen: (0..readers).map(|_| CachePadded::new(AtomicU64::new(PARKED))).collect(),
        orphans: Mutex::new(Vec::new()),
    });
    let readers = (0..readers).map(|index| Reader { shared: Arc::clone(&shared), index, held: ptr::null() }).collect();
    (Publisher { shared, retired: VecDeque::new(), version: 1 }, readers)
}

/// The writing side: the only one that replaces and frees values.
pub struct Publisher<T> {
    shared: Arc<Shared<T>>,
    /// Replaced values that readers may still hold, oldest first.
    retired: VecDeque<Box<Versioned<T>>>,
    version: u64,
}

impl<T> Publisher<T> {
    /// Replaces the published value, frees what no reader holds any more, and returns the new value's version.
    pub fn publish(&mut self, value: T) -> u64 {
        self.version += 1;
        let new = Box::into_raw(Box::new(Versioned { version: self.version, value }));
        let old = self.shared.current.swap(new, Release);
        // SAFETY: `current` always holds a pointer from `Box::into_raw`, and only this publisher takes one out, once.
        self.retired.push_back(unsafe { Box::from_raw(old) });
        self.reclaim();
        self.version
    }

    /// Frees what no reader holds any more; returns how many replaced values are still held.
    pub fn reclaim(&mut self) -> usize {
        let observed = self.observed();
        while let Some(retired) = self.retired.pop_front_if(|retired| retired.version < observed) {
            free(retired);
        }
        self.retired.len()
    }

    /// The oldest version that any reader may still hold, or the newest there is when all are parked: a value that
    /// is older is not read any more, and every later batch of every worker sees at least this one.
    #[must_use]
    pub fn observed(&self) -> u64 {
        fence(SeqCst);
        self.shared.seen.iter().map(|seen| seen.load(Acquire)).min().map_or(self.version, |seen| seen.min(self.version))
    }

    /// Waits until [`observed`](Self::observed) reaches `version`, for `limit` at most. Whether it has. Readers never
    /// wake anybody, so this looks again and again and sleeps in between.
    #[must_use]
    pub fn wait_observed(&self, version: u64, limit: Duration) -> bool {
        let begun = Instant::now();
        loop {
            if self.observed() >= version {
                return true;
            }
            if begun.elapsed() >= limit {
                return false;
            }
            thread::sleep(LOOK);
        }
    }
}

impl<T> Drop for Publisher<T> {
    fn drop(&mut self) {
        self.reclaim();
        let mut orphans = self.shared.orphans.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        orphans.extend(self.retired.drain(..));
    }
}

/// A worker's side.
pub struct Reader<T> {
    shared: Arc<Shared<T>>,
    index: usize,
    /// What the last load returned, or null while parked. Not freed while `seen` says this version.
    held: *const Versioned<T>,
}

// SAFETY: a reader gives out shared references to `T` on whichever thread it is on, which `T: Sync` allows, and may
// be the last owner of values, which `T: Send` allows. `held` is used by the reader alone.
unsafe impl<T: Send + Sync> Send for Reader<T> {}

impl<T> Reader<T> {
    /// Its place among the readers.
    #[must_use]
    pub fn index(&self) -> usize {
        self.index
    }

    /// The newest value. To be called at the start of a batch: the value before it may be freed from now on.
    pub fn load(&mut self) -> &T {
        self.load_versioned().1
    }

    /// [`Reader::load`], with the value's version.
    pub fn load_versioned(&mut self) -> (u64, &T) {
        if self.held.is_null() {
            self.seen().store(ENTERING, Relaxed);
            fence(SeqCst);
        }
        let current = self.shared.current.load(Acquire);
        if !ptr::eq(current, self.held) {
            // SAFETY: `seen` still says an older version (or ENTERING), so the publisher does not free `current`,
            // which is at least as new as anything it could have replaced after looking at `seen`.
            let version = unsafe { (*current).version };
            self.seen().store(version, Release);
            self.held = current;
        }
        // SAFETY: `seen` says this value's version, so it lives until the next load or park, and both take `&mut self`.
        let held = unsafe { &*self.held };
        (held.version, &held.value)
    }

    /// Announces that nothing is held, before the worker sleeps: an idle worker pins no memory.
    pub fn park(&mut self) {
        self.held = ptr::null();
        self.seen().store(PARKED, Release);
    }

    fn seen(&self) -> &AtomicU64 {
        &self.shared.seen[self.index]
    }
}

impl<T> Drop for Reader<T> {
    fn drop(&mut self) {
        self.park();
    }
}

impl<T> Drop for Shared<T> {
    fn drop(&mut self) {
        // SAFETY: the last owner is here, so nobody holds the value, and `current` came from `Box::into_raw`.
        free(unsafe { Box::from_raw(self.current.load(Relaxed)) });
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::atomic::{AtomicBool, AtomicUsize};
    use super::*;

    /// A value that shows when it is used after it was dropped, and counts how many are alive.
    struct Canary<'a> {
        words: [u64; 16],
        alive: &'a AtomicUsize,
    }

    impl<'a> Canary<'a> {
        fn new(word: u64, alive: &'a AtomicUsize) -> Self {
            alive.fetch_add(1, Relaxed);
            Self { words: [word; 16], alive }
        }
    }

    impl Drop for Canary<'_> {
        fn drop(&mut self) {
            self.words = [u64::MAX; 16];
            self.alive.fetch_sub(1, Relaxed);
        }
    }

    #[test]
    fn readers_see_whole_values_and_old_ones_are_freed() {
        let (alive, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
        let (mut publisher, readers) = publication(Canary::new(1, &alive), 3);
        std::thread::scope(|scope| {
            for (number, mut reader) in readers.into_iter().enumerate() {
                let stop = &stop;
                scope.spawn(move || {
                    let mut last = 0;
                    for turn in 0_usize.. {
                        let words = reader.load().words;
                        assert!(
                            words.iter().all(|word| *word == words[0]) && words[0] >= last,
                            "{words:?} after {last}"
                        );
                        last = words[0];
                        if number == 2 && turn.is_multiple_of(7) {
                            reader.park();
                        }
                        if stop.load(Relaxed) {
                            break;
                        }
                    }
                });
            }
            for word in 2..20_000 {
                publisher.publish(Canary::new(word, &alive));
            }
            stop.store(true, Relaxed);
        });
        assert_eq!(publisher.reclaim(), 0);
        assert_eq!(alive.load(Relaxed), 1);
        drop(publisher);
        assert_eq!(alive.load(Relaxed), 0);
    }

    #[test]
    fn a_held_value_stays_and_a_parked_reader_pins_nothing() {
        let alive = AtomicUsize::new(0);
        let (mut publisher, mut readers) = publication(Canary::new(1, &alive), 1);
        let mut reader = readers.pop().unwrap();
        assert_eq!(reader.load().words[0], 1);
        let second = publisher.publish(Canary::new(2, &alive));
        assert_eq!((publisher.observed(), alive.load(Relaxed)), (1, 2));
        assert_eq!(reader.load().words[0], 2);
        assert_eq!((publisher.observed(), publisher.reclaim()), (second, 0));
        reader.park();
        publisher.publish(Canary::new(3, &alive));
        assert_eq!((publisher.observed(), alive.load(Relaxed)), (3, 1));
    }

    #[test]
    fn waiting_ends_with_the_last_reader_or_the_time() {
        let (mut publisher, mut readers) = publication(1, 2);
        readers.iter_mut().for_each(|reader| assert_eq!(*reader.load(), 1));
        let version = publisher.publish(2);
        readers[0].load();
        assert!(!publisher.wait_observed(version, Duration::from_millis(2)));
        std::thread::scope(|scope| {
            scope.spawn(|| readers[1].load());
            assert!(publisher.wait_observed(version, Duration::from_secs(60)));
        });
    }

    #[test]
    fn what_a_dropped_publisher_leaves_is_freed_with_the_last_reader() {
        let alive = AtomicUsize::new(0);
        let (mut publisher, mut readers) = publication(Canary::new(1, &alive), 1);
        readers[0].load();
        publisher.publish(Canary::new(2, &alive));
        drop(publisher);
        assert_eq!(alive.load(Relaxed), 2);
        drop(readers);
        assert_eq!(alive.load(Relaxed), 0);
    }
}
