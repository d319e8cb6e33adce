//! Network namespaces for tests, each with a pair of Ethernet interfaces joined back to back.

use std::fs::{self, File};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use nix::sched::{CloneFlags, setns};
use nix::unistd::geteuid;

/// A namespace of its own with the interfaces `left` and `right`, removed when dropped.
pub struct Namespace {
    pub name: String,
}

impl Namespace {
    /// Makes one, or says why the test cannot run here.
    pub fn with_veth() -> Option<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        if !geteuid().is_root() {
            println!("SKIP: network namespaces and XDP need root");
            return None;
        }
        let name = format!("bp-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        ip(&["netns", "add", &name]);
        let namespace = Self { name };
        // Quiet: nothing but the test sends on these links.
        namespace.run(|| {
            for which in ["all", "default"] {
                let _ = fs::write(format!("/proc/sys/net/ipv6/conf/{which}/disable_ipv6"), "1");
            }
        });
        namespace.ip(&["link", "add", "left", "type", "veth", "peer", "name", "right"]);
        for interface in ["left", "right"] {
            namespace.ip(&["link", "set", interface, "up"]);
        }
        Some(namespace)
    }

    /// Runs `test` on a thread in this namespace.
    pub fn run<T: Send>(&self, test: impl FnOnce() -> T + Send) -> T {
        thread::scope(|scope| {
            let inside = scope.spawn(|| {
                let file = File::open(format!("/run/netns/{}", self.name)).unwrap();
                setns(file, CloneFlags::CLONE_NEWNET).unwrap();
                test()
            });
            inside.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Runs `ip` on this namespace and returns what it prints.
    pub fn ip(&self, arguments: &[&str]) -> String {
        ip(&[&["-n", &self.name], arguments].concat())
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "del", &self.name]).status();
    }
}

fn ip(arguments: &[&str]) -> String {
    let output = Command::new("ip").args(arguments).output().expect("ip(8) of iproute2 is installed");
    assert!(output.status.success(), "ip {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}
