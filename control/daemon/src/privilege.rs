//! What the process may do, looked at before anything is begun.

use std::fs;

use crate::failure::Failure;

/// What `run` needs, by bit of the effective set (`linux/capability.h`), each with what may stand in for it.
const NEEDED: [(&str, &[u32]); 4] = [
    ("CAP_NET_ADMIN", &[12]),
    ("CAP_NET_RAW", &[13]),
    ("CAP_BPF", &[39, SYS_ADMIN]),
    ("CAP_PERFMON", &[38, SYS_ADMIN]),
];
const SYS_ADMIN: u32 = 21;

/// Checks that the process may attach programs and open AF_XDP sockets.
///
/// # Errors
/// Names what is missing.
pub fn check() -> Result<(), Failure> {
    // Where the kernel does not tell, it will when it refuses.
    let Ok(status) = fs::read_to_string("/proc/thread-self/status") else { return Ok(()) };
    match missing(&status).as_slice() {
        [] => Ok(()),
        missing => Err(Failure::runtime(format!(
            "`run` lacks {}: run it as root, or grant them (systemd: AmbientCapabilities=CAP_NET_ADMIN CAP_NET_RAW \
             CAP_BPF CAP_PERFMON)",
            missing.join(", ")
        ))),
    }
}

fn missing(status: &str) -> Vec<&'static str> {
    let effective = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .and_then(|set| u64::from_str_radix(set.trim(), 16).ok())
        .unwrap_or(u64::MAX);
    let held = |bits: &[u32]| bits.iter().any(|bit| effective >> bit & 1 == 1);
    NEEDED.iter().filter(|(_, bits)| !held(bits)).map(|(name, _)| *name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named() {
        assert!(missing("Name:\tx\nCapEff:\t000001ffffffffff\n").is_empty());
        assert_eq!(missing("CapEff:\t0000000000000000"), ["CAP_NET_ADMIN", "CAP_NET_RAW", "CAP_BPF", "CAP_PERFMON"]);
        assert_eq!(missing("CapEff:\t0000000000203000"), [""; 0], "CAP_SYS_ADMIN stands in for the BPF ones");
        assert_eq!(missing("CapEff:\t000000c000001000"), ["CAP_NET_RAW"]);
    }
}
