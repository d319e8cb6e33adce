//! Memory that will soon be read.

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
use std::ptr;

/// Bytes of a cache line.
pub(crate) const LINE: usize = 64;

/// Has the cache lines of `place` brought near, and does not wait for them.
///
/// It comes to the second-level cache: of lines on their way there the processor keeps count of many more than of those to
/// the first, and what is fetched for a whole batch would not stay in the first.
#[inline(always)]
pub fn prefetch<T>(place: &T) {
    for line in 0..size_of::<T>().div_ceil(LINE) {
        prefetch_at(ptr::from_ref(place).wrapping_byte_add(LINE * line));
    }
}

/// The same of any address, valid or not.
#[inline(always)]
pub(crate) fn prefetch_at<T>(place: *const T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: every x86-64 has the instruction, and it takes any address.
    unsafe {
        _mm_prefetch::<_MM_HINT_T1>(place.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = place;
}
