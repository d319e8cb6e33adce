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
        let posted = producer.post(std::iter::once(100));
        if posted == 1 {
            assert_eq!(item.value(), 1);
        }
        let mut consumer = thread.join().unwrap();
        assert_eq!(item.value(), 1);
        assert_eq!(consumer.claim().map(|claim| claim.task), Some(2));
        let last = if posted == 1 { 100 } else { CAPACITY };
        assert_eq!(producer.take_back(), Some(last));
    });
}

/// A fork returns when all items are done, whatever the helper does, and they are the caller's again.
#[test]
fn a_fork_ends_with_all_done() {
    loom::model(|| {
        let mut members = team(2);
        let mut other = members.pop().unwrap();
        let mut home = members.pop().unwrap();
        let thread = thread::spawn(move || {
            other.set_free(true);
            let helped = other.help();
            other.set_free(false);
            helped
        });
        let mut handed_over = 0;
        for round in 1..=2 {
            let mut items: Vec<Item> = (0..3).map(Item::new).collect();
            let shares = home.fork(&mut items, 1, &|items: &mut [Item]| items.iter().for_each(|item| item.add(round)));
            handed_over += shares.handed_over;
            (0..).zip(&items).for_each(|(number, item)| assert_eq!(item.value(), number + round));
        }
        assert_eq!(thread.join().unwrap(), handed_over);
    });
}
