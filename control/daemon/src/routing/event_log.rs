//! What has happened to BGP and BFD sessions, in words: to the log, and the last of it for whoever asks.

use std::collections::VecDeque;
use std::time::SystemTime;

use bfd::{Diagnostic, State};
use bgp::{Event, Excess, Family};
use peering::{StateChange, StationEvent};

/// Events that are kept.
const KEPT: usize = 1000;

/// The last events of all gateways.
#[derive(Debug, Default)]
pub struct EventLog {
    entries: VecDeque<Entry>,
    last: u64,
}

/// One event.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Counts all events, from 1.
    pub number: u64,
    pub at: SystemTime,
    pub gateway: String,
    /// Or the name of a VPC router, or of a monitoring station.
    pub tunnel: String,
    pub text: String,
}

impl EventLog {
    /// Logs an event and keeps it.
    pub fn note(&mut self, gateway: &str, tunnel: &str, text: &str) {
        tracing::info!(tunnel, gateway, "{text}");
        self.last += 1;
        if self.entries.len() == KEPT {
            self.entries.pop_front();
        }
        self.entries.push_back(Entry {
            number: self.last,
            at: SystemTime::now(),
            gateway: gateway.to_owned(),
            tunnel: tunnel.to_owned(),
            text: text.to_owned(),
        });
    }

    /// Those behind the one with this number, oldest first.
    pub fn after(&self, number: u64) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(move |entry| entry.number > number)
    }
}

/// What BFD has seen of a peer, and whether it has lost it.
pub fn bfd_words(change: &StateChange, lost: bool) -> String {
    let reason = match change.diagnostic {
        Diagnostic::None => "no reason is given",
        Diagnostic::DetectionTimeExpired => "nothing was heard for the detection time",
        Diagnostic::EchoFailed => "the echo function has failed",
        Diagnostic::NeighborSignaledDown => "the peer says that it is down",
        Diagnostic::ForwardingPlaneReset => "the forwarding plane was reset",
        Diagnostic::PathDown => "the path is down",
        Diagnostic::ConcatenatedPathDown => "a part of the path beyond the peer is down",
        Diagnostic::AdministrativelyDown => "it is held down by an operator",
        Diagnostic::ReverseConcatenatedPathDown => "a part of the way back is down",
        Diagnostic::Reserved(_) => "for a reason that has no name",
    };
    match (change.to, lost) {
        (State::Up, _) => "BFD is up".to_owned(),
        (_, true) => format!("BFD has lost the peer: {reason}; traffic leaves the tunnel"),
        (_, false) => format!("BFD was taken down by the peer's operator; {reason}"),
    }
}

fn family(family: Family) -> &'static str {
    match family {
        Family::Ipv4 => "IPv4",
        Family::Ipv6 => "IPv6",
    }
}

/// What has happened to a peer.
pub fn words(event: &Event) -> String {
    match event {
        Event::Up(negotiated) => {
            let families: Vec<&str> = negotiated.families.iter().map(family).collect();
            let (families, hold) = (families.join(" and "), negotiated.hold_time);
            format!("BGP is up with AS {} for {families}, hold time {hold} s", negotiated.peer_as)
        }
        Event::NotUp(reason) => format!("BGP does not come up: {reason} ({})", reason.hint()),
        Event::Down { reason, retain } => {
            let kept: Vec<&str> = retain.iter().map(family).collect();
            let kept = if kept.is_empty() {
                "its routes are gone".to_owned()
            } else {
                format!("its routes of {} are kept for now", kept.join(" and "))
            };
            format!("BGP is down: {reason}; {kept}")
        }
        Event::EndOfRib(of) => format!("the peer has told all its {} routes", family(*of)),
        Event::StaleDropped(of, count) => {
            format!("{count} {} routes that outlived their session are gone", family(*of))
        }
        Event::LastResort(of) => format!("{} routes of the peer are kept as a last resort", family(*of)),
        Event::PrefixWarning(of, most) => {
            format!("the peer announces four fifths of the {most} {} prefixes it may, or more", family(*of))
        }
        Event::PrefixLimit(of, limit) => {
            let excess = match limit.excess {
                Excess::Discard => "those beyond it are not taken".to_owned(),
                Excess::Warn => "they are taken".to_owned(),
                Excess::Restart(after) => format!("the session ends for {} s", after.as_secs()),
            };
            format!("the peer announces more than {} {} prefixes: {excess}", limit.most, family(*of))
        }
        Event::Fault(fault) => {
            let what = if fault.withdraws { "its routes are taken as withdrawn" } else { "the attribute is left out" };
            format!("an UPDATE was not as it should be: {}; {what}", fault.words)
        }
    }
}

/// What has become of the connection to a monitoring station.
pub fn station_words(event: &StationEvent) -> String {
    match event {
        StationEvent::Connected => {
            "the monitoring station is connected, and is told what all peers announce".to_owned()
        }
        StationEvent::Unreachable(why) => {
            format!("the monitoring station cannot be reached: {why}; it is tried again and again")
        }
        StationEvent::Lost => {
            "the monitoring station has closed its connection, or it is lost; it is tried again".to_owned()
        }
        StationEvent::NotReading => {
            "the monitoring station did not read what it was told, and was given up; it is tried again".to_owned()
        }
    }
}
