//! A network namespace of a bench's own.

mod pair;

use std::ffi::OsStr;
use std::fs::File;
use std::iter;
use std::os::fd::AsFd;
use std::path::Path;
use std::process::Command;
use std::thread;

use anyhow::{Context, Result, bail};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

pub use pair::{INTERFACE, Pair};

/// A namespace, removed when dropped. Each run has namespaces of its own.
pub struct Namespace(String);

impl Namespace {
    /// Makes one for this part of what `question` is about, its loopback up.
    ///
    /// # Errors
    /// Without root or iproute2.
    pub fn new(question: &str, part: &str) -> Result<Self> {
        let name = name(part);
        ip(&["netns", "add", &name]).with_context(|| format!("bordergate-bench {question} needs root and iproute2"))?;
        let namespace = Self(name);
        namespace.ip(&["link", "set", "lo", "up"])?;
        Ok(namespace)
    }

    /// As iproute2 knows it.
    pub fn name(&self) -> &str {
        &self.0
    }

    /// Runs iproute2 in it.
    pub fn ip(&self, arguments: &[&str]) -> Result<String> {
        ip(&[&["-n", self.name()], arguments].concat())
    }

    /// Gives an interface there its addresses, and takes it up.
    pub fn set_up(&self, interface: &str, addresses: &[&str]) -> Result<()> {
        for address in addresses {
            self.ip(&["address", "add", address, "dev", interface])?;
        }
        self.ip(&["link", "set", interface, "up"])?;
        Ok(())
    }

    /// A command that runs in it; its process is the program's own.
    pub fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", self.name()]).arg(program.as_ref());
        command
    }

    /// Moves this thread into it.
    pub fn enter(&self) -> Result<()> {
        let path = Path::new("/run/netns").join(self.name());
        let namespace = File::open(&path).with_context(|| format!("opening {}", path.display()))?;
        Ok(move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?)
    }

    /// Does `work` on a thread of its own in it: sockets that it opens stay there, and programs that it starts run there.
    pub fn inside<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        let done = thread::scope(|scope| {
            let entered = scope.spawn(|| {
                self.enter()?;
                work()
            });
            entered.join()
        });
        done.unwrap_or_else(|_| bail!("a thread in the namespace {} panicked", self.name()))
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        if let Err(error) = ip(&["netns", "delete", self.name()]) {
            eprintln!("left behind: {error:#}");
        }
    }
}

/// A name for a namespace of this run.
pub fn name(part: &str) -> String {
    format!("bgbench-{}-{part}", std::process::id())
}

/// Runs iproute2.
fn ip(arguments: &[&str]) -> Result<String> {
    output(Command::new("ip").args(arguments))
}

/// Runs a program to its end; what it prints.
///
/// # Errors
/// Where it cannot be run, and what it says where it fails.
pub fn output(command: &mut Command) -> Result<String> {
    let words: Vec<_> =
        iter::once(command.get_program()).chain(command.get_args()).map(OsStr::to_string_lossy).collect();
    let words = words.join(" ");
    let output = command.output().with_context(|| format!("running {words}: is it installed?"))?;
    if !output.status.success() {
        bail!("{words} ended with {}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
