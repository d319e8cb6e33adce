//! What publication is made of: the standard library's, or under `--cfg loom` that of loom, which tries all ways in which
//! threads can meet.

#[cfg(loom)]
pub use loom::sync::{Arc, Mutex, atomic::*};
#[cfg(not(loom))]
pub use std::sync::{Arc, Mutex, atomic::*};

/// Drops a value that was published.
#[cfg(not(loom))]
pub fn free<T>(value: Box<T>) {
    drop(value);
}

/// Drops a value that was published, but keeps its memory: a reader that is not to be there then meets loom and not a
/// crash.
#[cfg(loom)]
pub fn free<T>(value: Box<T>) {
    // SAFETY: the value was a box's own, and what remains is never used nor freed.
    unsafe { std::ptr::drop_in_place(Box::leak(value)) };
}
