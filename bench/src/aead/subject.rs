//! What is measured alike: an implementation with its keys.

use std::hint::black_box;
use std::time::{Duration, Instant};

use ::aead::Kernel;

use super::case::Case;
use super::frames::{Frames, Place};
use super::traffic::Traffic;

/// An implementation that has expanded the keys of one case's traffic.
pub trait Subject {
    /// The name under which figures show it.
    fn implementation(&self) -> &'static str;

    /// Of Bordergate's own.
    fn kernel(&self) -> Option<Kernel> {
        None
    }

    /// Does the batch once to warm up, then `passes` times, and says how long these took. `None` where a packet that was
    /// opened was not authentic.
    fn turn(&self, case: &Case, traffic: &Traffic, frames: &mut Frames, passes: usize) -> Option<Duration>;
}

/// Does `pass` once to warm up, then `passes` times. It says whether all went well.
pub fn time(passes: usize, mut pass: impl FnMut() -> bool) -> Option<Duration> {
    let mut well = pass();
    let start = Instant::now();
    for _ in 0..passes {
        well &= black_box(pass());
    }
    let took = start.elapsed();
    well.then_some(took)
}

/// What every implementation does before it opens again in place, and nothing else.
pub struct Restoring;

impl Subject for Restoring {
    fn implementation(&self) -> &'static str {
        "restoring"
    }

    fn turn(&self, case: &Case, traffic: &Traffic, frames: &mut Frames, passes: usize) -> Option<Duration> {
        let mut places = frames.places(case, traffic);
        time(passes, || {
            restore(case, traffic, black_box(&mut places));
            true
        })
    }
}

/// Puts a batch back where the case wants that.
pub fn restore(case: &Case, traffic: &Traffic, places: &mut [Place<'_>]) {
    if case.restores() {
        places.iter_mut().zip(&traffic.packets).for_each(|(place, packet)| place.restore(packet));
    }
}
