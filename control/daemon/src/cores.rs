//! Which cores the workers have, and that nothing else of ours runs on them.

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::cli::Run;
use crate::failure::Failure;

/// Has the calling thread run on one core alone; whether that is allowed.
pub fn pin(core: usize) -> bool {
    core < CpuSet::MAX_CPU && sched_setaffinity(None, &set([core])).is_ok()
}

/// Keeps the calling thread, and those it makes from now on, off the workers' cores, if that leaves it any.
///
/// A worker fills its core. What shares it with control holds packets up for as long as the kernel gives a thread at a time,
/// which is longer than a ring of a busy link lasts.
pub fn leave_to_workers(workers: &[usize]) {
    let rest: Vec<usize> = allowed().into_iter().filter(|core| !workers.contains(core)).collect();
    if !rest.is_empty() && sched_setaffinity(None, &set(rest)).is_err() {
        tracing::warn!("control could not be kept off the workers' cores");
    }
}

/// The workers' cores, one per queue, and what is to be said about the choice.
///
/// # Errors
/// Cores that cannot be run on, or fewer cores or queues than asked for.
pub fn choose(options: &Run, queues: &[(&str, u32)]) -> Result<(Vec<usize>, Vec<String>), Failure> {
    let present = allowed();
    // Cores that were set aside for this (isolcpus) are nobody's until they are asked for.
    if let Some(refused) = options.cores.iter().find(|core| !may_run_on(**core)) {
        return Err(Failure::configuration(format!(
            "--cores: core {refused} does not exist, or this process may not run on it; without asking it runs on {present:?}"
        )));
    }
    assign(options, &present, queues)
}

/// The cores that the calling thread may run on as things are.
fn allowed() -> Vec<usize> {
    let set = sched_getaffinity(None).unwrap_or_default();
    (0..CpuSet::MAX_CPU).filter(|core| set.is_set(*core)).collect()
}

fn set(cores: impl IntoIterator<Item = usize>) -> CpuSet {
    let mut set = CpuSet::new();
    cores.into_iter().for_each(|core| set.set(core));
    set
}

fn may_run_on(core: usize) -> bool {
    let Ok(before) = sched_getaffinity(None) else { return false };
    let may = pin(core);
    // What was allowed a moment ago is allowed now.
    may && sched_setaffinity(None, &before).is_ok()
}

fn assign(options: &Run, present: &[usize], queues: &[(&str, u32)]) -> Result<(Vec<usize>, Vec<String>), Failure> {
    // The first core is left to control where there is more than one.
    let default: &[usize] = if present.len() > 1 { &present[1..] } else { present };
    let available = if options.cores.is_empty() { default } else { &options.cores };
    let fewest = queues.iter().map(|(_, count)| *count).min().unwrap_or(1);
    let wanted = options.queues.unwrap_or(fewest) as usize;
    if let Some((name, count)) = queues.iter().find(|(_, count)| *count < wanted as u32) {
        return Err(Failure::configuration(format!(
            "--queues {wanted}: {name} has {count} (ethtool -L {name} combined N sets their number)"
        )));
    }
    if options.queues.is_some() && wanted > available.len() {
        let given = available.len();
        return Err(Failure::configuration(format!("--queues {wanted}: each takes a core, and there are {given}")));
    }
    let cores: Vec<usize> = available.iter().copied().take(wanted).collect();
    let workers = cores.len();
    let unserved = queues.iter().filter(|(_, count)| *count as usize > workers).map(|(name, count)| {
        format!(
            "{name} spreads packets over {count} queues and {workers} are served, the rest is dropped: \
             ethtool -L {name} combined {workers}"
        )
    });
    Ok((cores, unserved.collect()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::tests::run;

    #[test]
    fn one_worker_per_queue_and_one_core_for_control() {
        let chosen = |arguments: &[&str], present: &[usize], queues: &[(&str, u32)]| {
            assign(&run(arguments).unwrap(), present, queues).map(|(cores, warnings)| (cores, warnings.len()))
        };
        assert_eq!(chosen(&[], &[0], &[("a", 1), ("b", 1)]).unwrap(), (vec![0], 0));
        assert_eq!(chosen(&[], &[0, 1], &[("a", 1), ("b", 1)]).unwrap(), (vec![1], 0));
        assert_eq!(chosen(&[], &[0, 1, 2, 3], &[("a", 8), ("b", 2)]).unwrap(), (vec![1, 2], 1));
        assert_eq!(chosen(&["--cores", "0,3"], &[0, 1, 2, 3], &[("a", 2)]).unwrap(), (vec![0, 3], 0));
        assert_eq!(chosen(&["--queues", "1"], &[0, 1, 2], &[("a", 2)]).unwrap(), (vec![1], 1));
        assert_eq!(chosen(&["--queues", "2"], &[0, 1, 2], &[("a", 1)]).unwrap_err().exit_code(), 2);
        assert_eq!(chosen(&["--queues", "2"], &[0, 1], &[("a", 2)]).unwrap_err().exit_code(), 2);
    }

    #[test]
    fn a_thread_and_those_it_makes_leave_the_workers_cores_alone() {
        let on_its_own = |work: fn()| std::thread::spawn(work).join().unwrap();
        on_its_own(|| {
            let before = allowed();
            let (worker, rest) = before.split_first().unwrap();
            leave_to_workers(&[*worker]);
            let left = std::thread::spawn(allowed).join().unwrap();
            assert_eq!(left, if rest.is_empty() { before.clone() } else { rest.to_vec() });
            leave_to_workers(&before);
            assert_eq!(allowed(), left, "somewhere it has to run");
            assert!(may_run_on(*worker), "one that it keeps off is still there for workers");
            assert_eq!(allowed(), left, "and asking changes nothing");
            assert!(!may_run_on(CpuSet::MAX_CPU - 1) && !may_run_on(usize::MAX));
        });
    }
}
