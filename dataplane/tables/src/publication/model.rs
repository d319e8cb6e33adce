//! All ways in which a publisher and a reader can meet, tried by loom: interleavings, and what the memory model lets a
//! thread see late. It knows the fences and every ordering that the module's documentation speaks of: weaken one, and a
//! test here fails.
//!
//! `RUSTFLAGS='--cfg loom' cargo test -p bordergate-tables --release --lib model`

use loom::cell::UnsafeCell;
use loom::thread;

use super::atomic::AtomicUsize;
use super::*;

/// A number in memory that loom watches: a read that may meet its making or its end fails.
struct Canary {
    number: UnsafeCell<u64>,
    alive: Arc<AtomicUsize>,
}

// SAFETY: that nobody writes while others read is what the tests prove.
unsafe impl Sync for Canary {}
// SAFETY: as above.
unsafe impl Send for Canary {}

impl Canary {
    fn new(number: u64, alive: &Arc<AtomicUsize>) -> Self {
        alive.fetch_add(1, Relaxed);
        let canary = Self { number: UnsafeCell::new(0), alive: Arc::clone(alive) };
        // SAFETY: it is not shared yet.
        canary.number.with_mut(|place| unsafe { *place = number });
        canary
    }

    fn read(&self) -> u64 {
        // SAFETY: it is not written while it is published.
        self.number.with(|place| unsafe { *place })
    }
}

impl Drop for Canary {
    fn drop(&mut self) {
        // SAFETY: nobody reads what is dropped, or loom says so.
        self.number.with_mut(|place| unsafe { *place = u64::MAX });
        self.alive.fetch_sub(1, Relaxed);
    }
}

/// A publication with one reader, and what counts the values alive.
fn one_reader() -> (Publisher<Canary>, Reader<Canary>, Arc<AtomicUsize>) {
    let alive = Arc::new(AtomicUsize::new(0));
    let (publisher, mut readers) = publication(Canary::new(1, &alive), 1);
    (publisher, readers.pop().unwrap(), alive)
}

#[test]
fn a_reader_meets_whole_values_in_order() {
    loom::model(|| {
        let (mut publisher, mut reader, alive) = one_reader();
        let thread = thread::spawn(move || {
            let first = reader.load().read();
            let second = reader.load().read();
            assert!(1 <= first && first <= second && second <= 3, "{first}, {second}");
            reader
        });
        publisher.publish(Canary::new(2, &alive));
        publisher.publish(Canary::new(3, &alive));
        let mut reader = thread.join().unwrap();
        assert_eq!(reader.load().read(), 3);
        assert_eq!(publisher.reclaim(), 0);
        assert_eq!(alive.load(Relaxed), 1);
    });
}

#[test]
fn a_parked_reader_comes_back_to_a_value_that_is_there() {
    loom::model(|| {
        let (mut publisher, mut reader, alive) = one_reader();
        let thread = thread::spawn(move || {
            let first = reader.load().read();
            reader.park();
            assert!(reader.load().read() >= first);
            reader.park();
            reader
        });
        publisher.publish(Canary::new(2, &alive));
        publisher.publish(Canary::new(3, &alive));
        drop(thread.join().unwrap());
        assert_eq!(publisher.reclaim(), 0);
    });
}

/// What readers of the first value use may be changed once the second is observed: so a slot is used again, and a peer
/// answered.
#[test]
fn what_was_observed_is_what_readers_use() {
    loom::model(|| {
        let (mut publisher, mut reader, alive) = one_reader();
        let used = Arc::new(Canary::new(7, &alive));
        let theirs = Arc::clone(&used);
        let thread = thread::spawn(move || {
            for _ in 0..2 {
                if reader.load().read() == 1 {
                    assert_eq!(theirs.read(), 7);
                }
            }
        });
        let version = publisher.publish(Canary::new(2, &alive));
        if publisher.observed() >= version {
            // SAFETY: no reader looks at it any more, or loom says so.
            used.number.with_mut(|place| unsafe { *place = 8 });
        }
        thread.join().unwrap();
    });
}

#[test]
fn whoever_goes_last_frees_what_is_left() {
    loom::model(|| {
        let (mut publisher, mut reader, alive) = one_reader();
        let thread = thread::spawn(move || {
            assert!(reader.load().read() >= 1);
            drop(reader);
        });
        publisher.publish(Canary::new(2, &alive));
        drop(publisher);
        thread.join().unwrap();
        assert_eq!(alive.load(Relaxed), 0);
    });
}

#[test]
fn two_readers_are_waited_for() {
    loom::model(|| {
        let alive = Arc::new(AtomicUsize::new(0));
        let (mut publisher, readers) = publication(Canary::new(1, &alive), 2);
        let threads: Vec<_> =
            readers.into_iter().map(|mut reader| thread::spawn(move || assert!(reader.load().read() >= 1))).collect();
        publisher.publish(Canary::new(2, &alive));
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(publisher.reclaim(), 0);
    });
}
