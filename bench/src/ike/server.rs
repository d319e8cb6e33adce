//! The process that answers for Bordergate.

use std::io::{self, Read, Write};
use std::process;
use std::thread;

use anyhow::Result;

use super::method::Method;
use super::node::Node;
use super::tunnels::End;

/// Says that it has its sockets, learns of the tunnels when told to go on, says so, and answers until standard input
/// closes.
pub fn serve(method: Method, tunnels: u32) -> Result<()> {
    let mut node = Node::open(End::Responder)?;
    say("open")?;
    io::stdin().read_exact(&mut [0])?;
    node.configure(method, tunnels)?;
    say("configured")?;
    thread::spawn(|| {
        let _ = io::stdin().read_to_end(&mut Vec::new());
        process::exit(0);
    });
    loop {
        // Keys would go to the data plane, which is no part of this question.
        node.turn(&mut |_| Ok(()))?;
    }
}

fn say(word: &str) -> Result<()> {
    println!("{word}");
    io::stdout().flush()?;
    Ok(())
}
