//! libFuzzer over one target; its own arguments are libFuzzer's. `testbed/fuzz` builds and calls it.
#![forbid(unsafe_code)]
#![no_main]

use std::env;
use std::sync::OnceLock;

use bordergate_fuzz::{TARGETS, Target};
use libfuzzer_sys::fuzz_target;

/// Says which target.
const VARIABLE: &str = "BORDERGATE_FUZZ_TARGET";

static TARGET: OnceLock<Target> = OnceLock::new();

fuzz_target!(
    init: {
        let name = env::var(VARIABLE).unwrap_or_default();
        let names: Vec<_> = TARGETS.iter().map(|target| target.name).collect();
        let target = TARGETS.iter().find(|target| target.name == name);
        let target = target.unwrap_or_else(|| panic!("{VARIABLE}={name:?}; allowed: {}", names.join(", ")));
        TARGET.set(*target).expect("set once");
    },
    |bytes: &[u8]| (TARGET.get().expect("set by init").holds)(bytes)
);
