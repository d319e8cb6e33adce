//! Implementations taking turns.

use ::aead::Kernel;
use anyhow::{Context, Result, ensure};

use super::case::Case;
use super::frames::Frames;
use super::subject::{Restoring, Subject};
use super::traffic::Traffic;

/// Nanoseconds that a turn takes at least: far more than the two looks at the clock around it.
const TURN: u128 = 100_000;

/// What the rounds of one implementation found.
#[derive(Debug)]
pub struct Measured {
    pub implementation: &'static str,
    pub kernel: Option<Kernel>,
    /// Nanoseconds per packet, of each round.
    pub rounds: Vec<f64>,
}

/// Checks each implementation, then lets them take turns.
///
/// # Errors
/// Where one of them does it wrong: no figure is worth anything then.
pub fn measure(
    case: &Case,
    traffic: &Traffic,
    subjects: &[Box<dyn Subject + '_>],
    frames: &mut Frames,
    rounds: usize,
) -> Result<Vec<Measured>> {
    let name = |subject: &dyn Subject| match subject.kernel() {
        Some(kernel) => format!("{} {kernel}", subject.implementation()),
        None => subject.implementation().to_owned(),
    };
    let wrong = |subject: &dyn Subject| format!("{} does not open what was sealed: {case}", name(subject));
    let mut passes = Vec::new();
    for subject in subjects {
        let subject = &**subject;
        frames.fill(case, traffic);
        subject.turn(case, traffic, frames, 0).with_context(|| wrong(subject))?;
        ensure!(
            frames.are_right(case, traffic),
            "{} makes other bytes than the portable kernel: {case}",
            name(subject)
        );
        passes.push(calibrate(case, traffic, subject, frames).with_context(|| wrong(subject))?);
    }
    let restoring = calibrate(case, traffic, &Restoring, frames).filter(|_| case.restores());

    let mut measured: Vec<_> = subjects
        .iter()
        .map(|subject| Measured {
            implementation: subject.implementation(),
            kernel: subject.kernel(),
            rounds: Vec::new(),
        })
        .collect();
    for _ in 0..rounds {
        let restoring = match restoring {
            Some(passes) => turn(case, traffic, &Restoring, frames, passes).context("restoring cannot fail")?,
            None => 0.0,
        };
        for ((subject, passes), measured) in subjects.iter().zip(&passes).zip(&mut measured) {
            let whole = turn(case, traffic, &**subject, frames, *passes).with_context(|| wrong(&**subject))?;
            measured.rounds.push(whole - restoring);
        }
    }
    Ok(measured)
}

/// How many passes a turn takes to be long enough.
fn calibrate(case: &Case, traffic: &Traffic, subject: &dyn Subject, frames: &mut Frames) -> Option<usize> {
    let mut passes = 1;
    while subject.turn(case, traffic, frames, passes)?.as_nanos() < TURN {
        passes *= 2;
    }
    Some(passes)
}

/// Nanoseconds per packet.
fn turn(case: &Case, traffic: &Traffic, subject: &dyn Subject, frames: &mut Frames, passes: usize) -> Option<f64> {
    let took = subject.turn(case, traffic, frames, passes)?;
    Some(took.as_nanos() as f64 / (passes * case.batch) as f64)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use ::aead::Suite;

    use super::super::frames::Place;
    use super::super::{Peer, Peers};
    use super::*;
    use crate::operation::Operation;

    fn cases() -> impl Iterator<Item = Case> {
        let suites = Suite::ALL.into_iter();
        suites.flat_map(|suite| {
            [(Operation::Seal, false), (Operation::Open, false), (Operation::Seal, true), (Operation::Open, true)]
                .map(|(operation, in_place)| Case { suite, operation, size: 80, batch: 5, keys: 2, in_place })
        })
    }

    #[test]
    fn every_implementation_is_right_in_every_suite() {
        let peers = Peers::load(&[]);
        let mut frames = Frames::new(8);
        for case in cases() {
            let traffic = Traffic::new(&case);
            let subjects = peers.subjects(&Kernel::ALL, &traffic);
            assert!(subjects.len() >= 3, "{case}: portable, its crate and aws-lc-rs at least");
            let measured = measure(&case, &traffic, &subjects, &mut frames, 1).unwrap();
            assert!(measured.iter().all(|measured| measured.rounds.len() == 1), "{case}");
        }
    }

    #[test]
    fn who_is_left_out_does_not_take_part() {
        let peers = Peers::load(&[Peer::Ring, Peer::Intel]);
        let case = cases().next().unwrap();
        let traffic = Traffic::new(&case);
        let subjects = peers.subjects(&[Kernel::Portable], &traffic);
        let names: Vec<_> = subjects.iter().map(|subject| subject.implementation()).collect();
        assert_eq!(names, ["bordergate", "aes-gcm", "aws-lc-rs"]);
    }

    /// Does nothing, or spoils a byte.
    struct Wrong {
        spoils: bool,
    }

    impl Subject for Wrong {
        fn implementation(&self) -> &'static str {
            "wrong"
        }

        fn turn(&self, case: &Case, traffic: &Traffic, frames: &mut Frames, _: usize) -> Option<Duration> {
            if self.spoils {
                let peers = Peers::load(&[]);
                peers.subjects(&[Kernel::Portable], traffic)[0].turn(case, traffic, frames, 0)?;
                let mut places = frames.places(case, traffic);
                let (Place::Apart { destination: place, .. } | Place::InPlace(place)) = places.last_mut().unwrap();
                let middle = place.len() / 2;
                place[middle] ^= 1;
            }
            Some(Duration::from_secs(1))
        }
    }

    #[test]
    fn who_makes_other_bytes_is_not_measured() {
        let mut frames = Frames::new(8);
        for case in cases() {
            let traffic = Traffic::new(&case);
            for spoils in [false, true] {
                let error = measure(&case, &traffic, &[Box::new(Wrong { spoils })], &mut frames, 1).unwrap_err();
                assert_eq!(error.to_string(), format!("wrong makes other bytes than the portable kernel: {case}"));
            }
        }
    }

    /// Says that nothing is authentic.
    struct Strict;

    impl Subject for Strict {
        fn implementation(&self) -> &'static str {
            "strict"
        }

        fn turn(&self, _: &Case, _: &Traffic, _: &mut Frames, _: usize) -> Option<Duration> {
            None
        }
    }

    #[test]
    fn who_does_not_open_is_not_measured() {
        let case = cases().nth(1).unwrap();
        let traffic = Traffic::new(&case);
        let error = measure(&case, &traffic, &[Box::new(Strict)], &mut Frames::new(8), 1).unwrap_err();
        assert_eq!(error.to_string(), format!("strict does not open what was sealed: {case}"));
    }
}
