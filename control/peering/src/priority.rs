//! Threads that wait for nobody.

use thread_priority::{
    RealtimeThreadSchedulePolicy, ThreadPriority, ThreadSchedulePolicy, set_thread_priority_and_policy,
    thread_native_id,
};

/// Among real-time threads, above those with none to hurry.
const PRIORITY: u8 = 50;

/// Puts the calling thread before all that are not real-time, if that is permitted: workers that busy-poll share their cores with
/// it. For threads that do little, and without which sessions of BFD go down; `what` names it to whoever reads the log.
pub fn be_first(what: &str) {
    let priority = ThreadPriority::try_from(PRIORITY).unwrap_or(ThreadPriority::Max);
    let policy = ThreadSchedulePolicy::Realtime(RealtimeThreadSchedulePolicy::Fifo);
    if let Err(error) = set_thread_priority_and_policy(thread_native_id(), priority, policy) {
        tracing::warn!(
            ?error,
            thread = what,
            "no real-time priority: under load BFD's sessions may go down by mistake"
        );
    }
}
