//! What the rings are made of: the standard library's, or under `--cfg loom` that of loom, which tries all ways in which
//! threads can meet.

#[cfg(loom)]
pub use loom::{
    cell::UnsafeCell,
    sync::{Arc, atomic::*},
    thread::yield_now as wait,
};
#[cfg(not(loom))]
pub use std::{
    hint::spin_loop as wait,
    sync::{Arc, atomic::*},
};

/// The standard library's cell with the methods of loom's.
#[cfg(not(loom))]
pub struct UnsafeCell<T>(std::cell::UnsafeCell<T>);

#[cfg(not(loom))]
impl<T> UnsafeCell<T> {
    pub fn new(value: T) -> Self {
        Self(std::cell::UnsafeCell::new(value))
    }

    #[inline(always)]
    pub fn with<R>(&self, read: impl FnOnce(*const T) -> R) -> R {
        read(self.0.get())
    }

    #[inline(always)]
    pub fn with_mut<R>(&self, write: impl FnOnce(*mut T) -> R) -> R {
        write(self.0.get())
    }
}
