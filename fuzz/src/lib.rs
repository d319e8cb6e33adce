//! What reads bytes of strangers, each reader with what has to hold whatever the bytes.
//!
//! A [`Target`] is a function that panics where something does not hold. `testbed/fuzz` hunts for bytes that make it
//! panic; `tests/corpus.rs` gives every target all inputs of its corpus, in every test run.
#![forbid(unsafe_code)]

mod bfd;
mod bgp;
mod checksum;
mod esp;
mod exchanges;
mod fragment;
#[allow(dead_code)]
#[path = "../../dataplane/worker/tests/house/mod.rs"]
mod house;
mod icmp;
mod input;
mod link;
mod packet;
mod resource_file;
mod tcp;
mod worker;

/// One reader, and what has to hold of it.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Its name on the command line, and its folder in `corpus/`.
    pub name: &'static str,
    /// Panics where something does not hold.
    pub holds: fn(&[u8]),
}

/// All targets.
pub const TARGETS: &[Target] = &[
    Target { name: "bfd", holds: bfd::holds },
    Target { name: "bgp", holds: bgp::holds },
    Target { name: "certificate", holds: ike::fuzz::certificate_holds },
    Target { name: "checksum", holds: checksum::holds },
    Target { name: "esp", holds: esp::holds },
    Target { name: "exchanges", holds: exchanges::holds },
    Target { name: "fragment", holds: fragment::holds },
    Target { name: "icmp", holds: icmp::holds },
    Target { name: "ike", holds: ike::fuzz::message_holds },
    Target { name: "link", holds: link::holds },
    Target { name: "packet", holds: packet::holds },
    Target { name: "resource_file", holds: resource_file::holds },
    Target { name: "tcp", holds: tcp::holds },
    Target { name: "worker", holds: worker::holds },
];
