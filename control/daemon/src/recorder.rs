//! `bordergate capture`: asks the gateway for packets and writes them to a file.

#[cfg(test)]
mod tests;

use std::io::{self, BufRead, BufReader, BufWriter, IsTerminal, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use tokio::signal::unix::{SignalKind, signal};

use crate::api::capture::{self as api, Counts, Event, MOST_KEPT};
use crate::api::{Request, Response};
use crate::cli;
use crate::client;
use crate::failure::Failure;
use crate::pcapng::Writer;
use crate::private_file;

/// Bytes of the longest event's line.
const LONGEST_EVENT: u64 = 16 << 20;

/// Captures until it is told to stop, there is enough, or the gateway ends.
///
/// # Errors
/// No gateway answers or it refuses; the file cannot be written; the gateway ends before the capture does.
pub fn run(options: &cli::Capture) -> Result<(), Failure> {
    let to_standard_output = options.write == Path::new("-");
    if to_standard_output && io::stdout().is_terminal() {
        return Err(Failure::configuration(
            "a capture is not for the terminal: name a file with --write FILE, or pipe it into `tshark -r -`",
        ));
    }
    let request = Request::Capture(Box::new(api::Capture {
        tunnels: options.tunnels.clone(),
        side: options.side.only(),
        host: options.host,
        protocols: options.protocol.as_ref().map_or_else(Vec::new, |protocols| protocols.0.clone()),
        port: options.port,
        sample: options.sample,
        snap_length: options.snap_length,
    }));
    let (response, mut events) = client::converse(&options.socket, &request)?;
    let Response::Capture(tunnels) = response else { return Err(client::unexpected(&response)) };
    let there = options.write.display();
    let out: Box<dyn Write> = if to_standard_output {
        Box::new(io::stdout())
    } else {
        Box::new(private_file::create(&options.write).with_context(|| format!("cannot write {there}"))?)
    };
    stop_later(events.get_ref(), options.duration)?;
    eprintln!("capturing {}; Ctrl-C ends it", names(&tunnels));
    let written = record(&mut events, out, tunnels, options);
    let Recorded { packets, counts, ended } = match written {
        // Whoever reads along, as `head` does, has seen enough.
        Err(error) if is_broken_pipe(&error) => return Ok(()),
        written => written.with_context(|| format!("capturing to {there}"))?,
    };
    eprintln!("{}", told(packets, &counts));
    if ended { Ok(()) } else { Err(Failure::runtime("the gateway went away; what came before is written")) }
}

/// What came of it.
struct Recorded {
    packets: u64,
    counts: Counts,
    /// Whether the gateway told the end of it.
    ended: bool,
}

fn record(
    events: &mut BufReader<UnixStream>,
    out: Box<dyn Write>,
    tunnels: Vec<String>,
    options: &cli::Capture,
) -> anyhow::Result<Recorded> {
    let enough = options.count.unwrap_or(u64::MAX);
    let mut file = Writer::new(BufWriter::with_capacity(1 << 16, out), tunnels, options.snap_length)?;
    let mut bytes = vec![0; MOST_KEPT as usize];
    let mut counts = Counts::default();
    let ended = loop {
        match next(events)? {
            None => break false,
            Some(Event::Packet(packet)) => {
                let kept = bytes.get_mut(..packet.kept as usize).context("a packet is longer than any")?;
                events.read_exact(kept)?;
                if file.packets() < enough {
                    file.packet(&packet, kept)?;
                    if file.packets() == enough {
                        stop(events.get_ref());
                    }
                }
            }
            Some(Event::Progress(now)) => {
                counts = now;
                if io::stderr().is_terminal() {
                    eprint!("\r{}", told(file.packets(), &counts));
                }
            }
            Some(Event::End(last)) => {
                counts = last;
                break true;
            }
        }
        // Whoever reads along is not kept waiting for what comes next.
        if events.buffer().is_empty() {
            file.flush()?;
        }
    };
    let packets = file.packets();
    file.finish(&counts)?;
    if io::stderr().is_terminal() {
        eprintln!();
    }
    Ok(Recorded { packets, counts, ended })
}

/// `None` where the gateway is no more.
fn next(events: &mut BufReader<UnixStream>) -> anyhow::Result<Option<Event>> {
    let mut line = Vec::new();
    events.take(LONGEST_EVENT).read_until(b'\n', &mut line)?;
    if line.is_empty() {
        return Ok(None);
    }
    ensure!(line.ends_with(b"\n"), "the gateway's last event is cut short");
    match serde_json::from_slice(&line) {
        Ok(event) => Ok(Some(event)),
        Err(error) => bail!("an event of the gateway is not understood: {error}; are the versions the same?"),
    }
}

/// Has the gateway end the capture on a signal, or when its time is over.
fn stop_later(events: &UnixStream, duration: Option<Duration>) -> anyhow::Result<()> {
    let events = events.try_clone()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (mut interrupt, mut terminate) = {
        // Signals count from now on.
        let _inside = runtime.enter();
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?)
    };
    thread::spawn(move || {
        runtime.block_on(async {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
                () = tokio::time::sleep(duration.unwrap_or(Duration::MAX)) => {}
            }
        });
        stop(&events);
    });
    Ok(())
}

fn stop(events: &UnixStream) {
    // Where it is closed already, the capture has ended.
    let _ = events.shutdown(Shutdown::Write);
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

fn names(tunnels: &[String]) -> String {
    match tunnels {
        [] => "nothing, for there is no tunnel".to_owned(),
        [one] => one.clone(),
        several => format!("{} tunnels", several.len()),
    }
}

fn told(packets: u64, counts: &Counts) -> String {
    let (missed, filtered) = (counts.missed(), counts.filtered);
    format!("{packets} captured, {missed} missed for the queue was full, {filtered} left out by the filter")
}
