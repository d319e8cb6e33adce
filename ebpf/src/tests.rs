//! The programs, run by the kernel over frames made here.
