//! The capture that is on: from the workers' queue to the client that asked for it.

use std::collections::BTreeMap;
use std::io::{self, BufWriter, Write};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Weak};
use std::thread;
use std::time::{Duration, Instant, UNIX_EPOCH};

use rustix::net::{RecvFlags, recv};
use tables::{Capture, Record, Wanted};
use wire::Protocol;

use crate::api::Response;
use crate::api::capture::{self as api, Counts, Event, MOST_KEPT, Missed, Side};
use crate::control::Control;

/// Bytes of all records, and most records.
const ROOM: usize = 16 << 20;
const MOST_RECORDS: usize = 1 << 16;
/// Records that are passed on before anything else is looked at.
const AT_ONCE: usize = 256;
/// How often the queue is looked into: workers make no system calls, so they cannot tell of packets.
const LOOK: Duration = Duration::from_millis(1);
/// How often the client is told how it goes.
const PROGRESS: Duration = Duration::from_millis(200);
/// How long the client may take to read.
const PATIENCE: Duration = Duration::from_secs(10);
/// Names of an error's list.
const MOST_NAMES: usize = 20;

/// What control keeps of the capture that is on.
pub struct Capturing {
    capture: Arc<Capture>,
    tunnels: BTreeMap<String, u32>,
    /// Gone when its client is.
    session: Weak<Session>,
}

/// The client's part: whoever has it reads the packets.
#[derive(Debug)]
pub struct Session {
    capture: Arc<Capture>,
    tunnels: Vec<String>,
}

impl Control {
    /// Begins a capture; once it returns, every worker knows of it.
    ///
    /// # Errors
    /// What is wrong with what was asked for, for the client.
    pub(crate) fn begin_capture(&mut self, asked: &api::Capture) -> Result<Arc<Session>, String> {
        self.end_capture();
        if self.capturing.is_some() {
            return Err("a capture is on; one at a time: end the other one first".to_owned());
        }
        let there: Vec<&str> = self.resources.tunnels().iter().map(|tunnel| tunnel.name.as_str()).collect();
        let tunnels = chosen(&asked.tunnels, &there)?;
        let capture = Arc::new(Capture::new(
            wanted(asked)?,
            tunnels.len(),
            self.options.associations,
            records(asked.snap_length),
        ));
        let session = Arc::new(Session::new(Arc::clone(&capture), tunnels));
        tracing::info!(tunnels = session.tunnels.join(", "), "a capture begins");
        self.capturing = Some(Capturing {
            capture: Arc::clone(&capture),
            tunnels: session.tunnels.iter().cloned().zip(0..).collect(),
            session: Arc::downgrade(&session),
        });
        self.snapshot.capture = Some(capture);
        self.publish();
        self.dataplane.wait_observed();
        Ok(session)
    }

    /// Ends the capture whose client is gone.
    pub(crate) fn end_capture(&mut self) {
        if self.capturing.as_ref().is_some_and(|capturing| capturing.session.strong_count() == 0) {
            tracing::info!("the capture has ended");
            self.capturing = None;
            self.snapshot.capture = None;
            self.publish();
        }
    }

    /// Tells the capture whose packets are whose: to be called before what workers read changes.
    pub(crate) fn assign_capture(&self) {
        let Some(capturing) = &self.capturing else { return };
        let associations = self.associations.children().iter().filter_map(|child| {
            let tunnel = *capturing.tunnels.get(self.name(child.sa.tunnel))?;
            Some([(child.slots.inbound, tunnel), (child.slots.outbound, tunnel)])
        });
        capturing.capture.assign(associations.flatten());
    }
}

impl Session {
    /// The packets of a capture of these tunnels.
    pub fn new(capture: Arc<Capture>, tunnels: Vec<String>) -> Self {
        Self { capture, tunnels }
    }

    /// Writes packets to the client until it wants no more of them, and then the end.
    ///
    /// # Errors
    /// The client went away, or did not read.
    pub fn serve(&self, stream: &UnixStream) -> io::Result<()> {
        stream.set_write_timeout(Some(PATIENCE))?;
        let mut out = BufWriter::with_capacity(1 << 16, stream);
        line(&mut out, &Response::Capture(self.tunnels.clone()))?;
        let mut told = Instant::now();
        loop {
            let found = self.pass_on(&mut out, AT_ONCE)?;
            if told.elapsed() >= PROGRESS {
                told = Instant::now();
                line(&mut out, &Event::Progress(self.counts()))?;
            }
            if found < AT_ONCE {
                out.flush()?;
                if closed(stream) {
                    break;
                }
                thread::sleep(LOOK);
            } else if closed(stream) {
                break;
            }
        }
        // What waits now is still passed on, and not what workers add to it.
        self.pass_on(&mut out, self.capture.waiting())?;
        line(&mut out, &Event::End(self.counts()))?;
        out.flush()
    }

    fn pass_on(&self, out: &mut impl Write, limit: usize) -> io::Result<usize> {
        for passed in 0..limit {
            let Some(record) = self.capture.receive() else { return Ok(passed) };
            line(out, &Event::Packet(packet(&record)))?;
            out.write_all(record.bytes())?;
            self.capture.give_back(record);
        }
        Ok(limit)
    }

    fn counts(&self) -> Counts {
        let of = |tunnel: u32| {
            [(Side::Inner, tables::Side::Inner), (Side::Outer, tables::Side::Outer)].map(|(side, counted)| Missed {
                tunnel,
                side,
                packets: self.capture.missed(tunnel as usize, counted),
            })
        };
        let missed = (0..self.tunnels.len() as u32).flat_map(of).filter(|missed| missed.packets > 0).collect();
        Counts { filtered: self.capture.filtered(), missed }
    }
}

/// The names asked for, each once, in the order of the resource file; all of them if none is.
fn chosen(asked: &[String], there: &[&str]) -> Result<Vec<String>, String> {
    if let Some(unknown) = asked.iter().find(|name| !there.contains(&name.as_str())) {
        return Err(unknown_tunnel(unknown, there));
    }
    let is_chosen = |name: &&&str| asked.is_empty() || asked.iter().any(|asked| asked == **name);
    Ok(there.iter().filter(is_chosen).map(|name| (*name).to_owned()).collect())
}

/// What a client is told who names a tunnel that is not there.
pub(crate) fn unknown_tunnel(unknown: &str, there: &[&str]) -> String {
    let names = there.iter().take(MOST_NAMES).copied().collect::<Vec<_>>().join(", ");
    let more = there.len().saturating_sub(MOST_NAMES);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("there is no tunnel \"{unknown}\"; there are {names}{more}")
}

fn wanted(asked: &api::Capture) -> Result<Wanted, String> {
    let snap_length = asked.snap_length;
    if snap_length == 0 || snap_length > MOST_KEPT {
        return Err(format!("snap_length {snap_length}; allowed: 1 to {MOST_KEPT}"));
    }
    if asked.sample == 0 {
        return Err("sample 0; allowed: 1 and more".to_owned());
    }
    Ok(Wanted {
        side: asked.side.map(|side| match side {
            Side::Inner => tables::Side::Inner,
            Side::Outer => tables::Side::Outer,
        }),
        host: asked.host,
        protocols: asked.protocols.iter().map(|number| Protocol(*number)).collect(),
        port: asked.port,
        sample: asked.sample,
        snap_length: snap_length as usize,
    })
}

fn records(snap_length: u32) -> usize {
    (ROOM / snap_length.max(1) as usize).clamp(1, MOST_RECORDS)
}

fn packet(record: &Record) -> api::Packet {
    api::Packet {
        nanoseconds: record.time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64),
        tunnel: record.tunnel,
        number: record.number,
        side: match record.side {
            tables::Side::Inner => Side::Inner,
            tables::Side::Outer => Side::Outer,
        },
        direction: match record.direction {
            tables::Direction::ToPeer => api::Direction::ToPeer,
            tables::Direction::FromPeer => api::Direction::FromPeer,
        },
        length: record.length as u32,
        kept: record.bytes().len() as u32,
        dropped: record.dropped.map(str::to_owned),
    }
}

fn line(out: &mut impl Write, message: &impl serde::Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *out, message)?;
    out.write_all(b"\n")
}

/// Whether the client has closed its side: it has nothing else to say.
fn closed(stream: &UnixStream) -> bool {
    !matches!(recv(stream, &mut [0; 1], RecvFlags::DONTWAIT), Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tunnels_are_chosen_by_name_and_unknown_ones_told() {
        let there = ["tun-1", "tun-2", "tun-3"];
        let choose = |asked: &[&str]| chosen(&asked.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>(), &there);
        assert_eq!(choose(&[]).unwrap(), there);
        assert_eq!(choose(&["tun-3", "tun-1", "tun-3"]).unwrap(), ["tun-1", "tun-3"]);
        let refused = choose(&["tun-1", "tun-9"]).unwrap_err();
        assert_eq!(refused, "there is no tunnel \"tun-9\"; there are tun-1, tun-2, tun-3");
    }

    #[test]
    fn short_packets_leave_room_for_more_of_them() {
        assert_eq!([1, 128, 4096, 65535].map(records), [65536, 65536, 4096, 256]);
    }
}
