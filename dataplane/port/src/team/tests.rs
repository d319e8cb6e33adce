use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread;

use super::*;

fn two() -> (Member, Member) {
    let mut members = team(2);
    let second = members.pop().unwrap();
    (members.pop().unwrap(), second)
}

/// Helps until it is told to stop.
fn helping<R>(mut member: Member, during: impl FnOnce() -> R) -> (R, usize) {
    let stop = AtomicBool::new(false);
    let stop = &stop;
    member.set_free(true);
    thread::scope(|scope| {
        let helper = scope.spawn(move || {
            let mut helped = 0;
            while !stop.load(Relaxed) {
                helped += member.help();
            }
            helped
        });
        let result = during();
        stop.store(true, Relaxed);
        (result, helper.join().unwrap())
    })
}

#[test]
fn every_item_is_worked_on_once_whoever_does_it() {
    let (mut home, other) = two();
    let (shares, helped) = helping(other, || {
        let mut all = Shares::default();
        for count in (0..=64).cycle().take(20_000) {
            let mut items: Vec<Box<u64>> = (0..count).map(Box::new).collect();
            let shares = home.fork(&mut items, 4, &|items: &mut [Box<u64>]| {
                assert!(items.len() <= 36);
                items.iter_mut().for_each(|item| **item += 1000);
            });
            assert!(items.into_iter().map(|item| *item).eq(1000..1000 + count), "{count} items");
            all.handed_over += shares.handed_over;
            all.taken_back += shares.taken_back;
        }
        all
    });
    assert_eq!(helped, shares.handed_over);
}

#[test]
fn nothing_is_offered_to_those_that_are_not_free() {
    let (mut home, mut other) = two();
    let mut items = [0; 64];
    let alone = Shares { alone: true, ..Shares::default() };
    let work = |items: &mut [i32]| items.iter_mut().for_each(|item| *item += 1);
    assert_eq!(home.fork(&mut items, 8, &work), alone);
    other.set_free(true);
    // One that says it is free and then does nothing is not waited for.
    assert_eq!(home.fork(&mut items, 8, &work), Shares { taken_back: 32, ..Shares::default() });
    assert_eq!(home.fork(&mut items[..8], 8, &work), alone, "a single chunk");
    drop(other);
    assert_eq!(home.fork(&mut items, 8, &work), alone);
    assert_eq!((items[0], items[8], items[63]), (4, 3, 3));
}

#[test]
fn a_share_for_each_that_is_free() {
    let mut members = team(4);
    let mut home = members.remove(1);
    members.iter_mut().for_each(|member| member.set_free(true));
    let calls = AtomicUsize::new(0);
    let work = |items: &mut [i32]| {
        calls.fetch_add(1, SeqCst);
        items.iter_mut().for_each(|item| *item += 1);
    };
    let mut items = [0; 64];
    assert_eq!(home.fork(&mut items, 4, &work), Shares { taken_back: 48, ..Shares::default() });
    assert_eq!((items, calls.load(SeqCst)), ([1; 64], 13));
    // With fewer chunks than members, fewer are asked, and others each time.
    assert_eq!(home.fork(&mut items[..8], 4, &work), Shares { taken_back: 4, ..Shares::default() });
}

/// Whoever panics, the fork only ends when nobody works on the items any more, and it does not end well.
#[test]
fn a_panic_reaches_both() {
    let (mut home, mut other) = two();
    other.set_free(true);
    let begun = AtomicBool::new(false);
    thread::scope(|scope| {
        let helper = scope.spawn(|| {
            while !begun.load(Relaxed) {
                // A chunk that was begun fails its helper.
                let ended = catch_unwind(AssertUnwindSafe(|| other.help()));
                assert_eq!(ended.is_err(), begun.load(Relaxed));
            }
            drop(other);
        });
        let mut items: Vec<u32> = (0..64).collect();
        let ended = catch_unwind(AssertUnwindSafe(|| {
            home.fork(&mut items, 8, &|items: &mut [u32]| {
                if items[0] == 0 {
                    while !begun.load(Relaxed) {
                        std::hint::spin_loop();
                    }
                } else {
                    begun.store(true, Relaxed);
                    panic!("a chunk that cannot be done");
                }
            })
        }));
        assert!(ended.is_err());
        helper.join().unwrap();
    });
    let ended = catch_unwind(AssertUnwindSafe(|| home.fork(&mut [0], 8, &|_: &mut [i32]| panic!("at home"))));
    assert!(ended.is_err());
}
