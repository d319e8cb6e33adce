//! A network namespace for the whole run.

use std::fs::File;
use std::os::fd::AsFd;
use std::path::Path;

use anyhow::{Context, Result};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::veth::ip;

/// A namespace with nothing but its loopback, removed when dropped.
pub struct Namespace(String);

impl Namespace {
    /// Makes it, and moves this thread and all that it starts from now on into it.
    pub fn enter() -> Result<Self> {
        let namespace = Self(format!("bgbench-{}-ike", std::process::id()));
        let name = namespace.0.as_str();
        ip(&["netns", "add", name]).context("bordergate-bench ike needs root and iproute2")?;
        ip(&["-n", name, "link", "set", "lo", "up"])?;
        let file = File::open(Path::new("/run/netns").join(name))?;
        move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))?;
        Ok(namespace)
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        if let Err(error) = ip(&["netns", "delete", &self.0]) {
            eprintln!("left behind: {error:#}");
        }
    }
}
