//! All ways in which members of a team can meet, tried by loom: interleavings, and what the memory model lets a thread see
//! late. Weaken an ordering that the ring's documentation speaks of, and a test here fails.
//!
//! `RUSTFLAGS='--cfg loom' cargo test -p bordergate-port --release --lib model`

use loom::cell::UnsafeCell;
use loom::thread;

use super::*;

/// A number in memory that loom watches: two that touch it without order fail.
struct Item(UnsafeCell<u32>);

// SAFETY: that only one thread touches it at a time is what the tests prove.
unsafe impl Send for Item {}
// SAFETY: as above.
unsafe impl Sync for Item {}

impl Item {
    fn new(number: u32) -> Self {
        Self(UnsafeCell::new(number))
    }

    fn add(&self, number: u32) {
        // SAFETY: nobody else touches it, or loom says so.
        self.0.with_mut(|place| unsafe { *place += number });
    }

    fn value(&self) -> u32 {
        // SAFETY: nobody writes it, or loom says so.
        self.0.with(|place| unsafe { *place })
    }
}

/// A posted task is worked on once, by whoever gets it, and the producer sees what became of it.
#[test]
fn a_task_is_claimed_or_taken_back() {
    loom::model(|| {
        let items: [Arc<Item>; 2] = std::array::from_fn(|_| Arc::new(Item::new(1)));
        let theirs = items.clone();
        let (mut producer, mut consumer) = ring::<usize>();
        items.iter().for_each(|item| item.add(1));
        let thread = thread::spawn(move || {
            let mut claimed = 0;
            for _ in 0..2 {
                if let Some(claim) = consumer.claim() {
                    theirs[claim.task].add(2);
                    claimed += 1;
                }
            }
            claimed
        });
        assert_eq!(producer.post(0..2), 2);
        let mut taken_back = 0;
        while let Some(task) = producer.take_back() {
            items[task].add(2);
            taken_back += 1;
        }
        while !producer.is_settled() {
            wait();
        }
        items.iter().for_each(|item| assert_eq!(item.value(), 4));
        assert_eq!(thread.join().unwrap() + taken_back, 2);
    });
}

/// A slot is used again though the consumer looked at the ring before.
#[test]
fn what_was_taken_back_is_not_found_again() {
    loom::model(|| {
        let item = Arc::new(Item::new(0));
        let theirs = Arc::clone(&item);
        let (mut producer, mut consumer) = ring::<u32>();
        let thread = thread::spawn(move || {
            if let Some(claim) = consumer.claim() {
                theirs.add(claim.task);
            }
        });
        for task in [3, 5] {
            assert_eq!(producer.post(std::iter::once(task)), 1);
            if let Some(task) = producer.take_back() {
                item.add(task);
            }
            while !producer.is_settled() {
                wait();
            }
        }
        assert_eq!(item.value(), 8);
        thread.join().unwrap();
    });
}

/// A ring that is full takes no more until a task has ended.
#[test]
fn a_slot_is_written_when_its_task_has_ended() {
    loom::model(|| {
        let item = Arc::new(Item::new(0));
        let theirs = Arc::clone(&item);
        let (mut producer, mut consumer) = ring::<u32>();
        assert_eq!(producer.post(1..100), CAPACITY);
        let thread = thread::spawn(move || {
            if let Some(claim) = consumer.claim() {
                theirs.add(claim.task);
            }
            consumer
        });
        while producer.post(std::iter::once(100)) == 0 {
            wait();
        }
        assert_eq!(item.value(), 1);
        let mut consumer = thread.join().unwrap();
        assert_eq!(consumer.claim().map(|claim| claim.task), Some(2));
        assert_eq!(producer.take_back(), Some(100));
    });
}

/// A fork returns when all items are done, whatever the helper does, and they are the caller's again.
#[test]
fn a_fork_ends_with_all_done() {
    // Outside of the model, to see that it went through what it is to prove.
    static HELPED: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
    loom::model(|| {
        let mut members = team(2);
        let mut other = members.pop().unwrap();
        let mut home = members.pop().unwrap();
        let thread = thread::spawn(move || {
            other.set_free(true);
            let helped = other.help();
            wait();
            (helped + other.help(), other)
        });
        while !home.others[0].free.load(Relaxed) {
            wait();
        }
        let mut items: Vec<Item> = (0..3).map(Item::new).collect();
        let shares = home.fork(&mut items, 1, &|items: &mut [Item]| items.iter().for_each(|item| item.add(5)));
        (0..).zip(&items).for_each(|(number, item)| assert_eq!(item.value(), number + 5));
        assert_eq!(shares.handed_over + shares.taken_back, 1);
        let (helped, _) = thread.join().unwrap();
        assert_eq!(helped, shares.handed_over);
        HELPED.fetch_add(helped, std::sync::atomic::Ordering::Relaxed);
    });
    assert_ne!(HELPED.load(std::sync::atomic::Ordering::Relaxed), 0, "no execution in which the helper helped");
}
