//! `bordergate tunnel`: what an operator asks of one tunnel, and how control answers.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ike::{DownReason, TraceDirection, TraceEntry, TraceMark, TunnelId, TunnelState};

use crate::api::tunnel::{Message, Payload, Rekey, Reset, Sa, Trace};
use crate::api::{Request, Response};
use crate::capture::unknown_tunnel;
use crate::cli;
use crate::client;
use crate::control::Control;
use crate::failure::Failure;
use crate::show;

/// How often a trace that is followed is looked into.
const LOOK: Duration = Duration::from_millis(200);

/// Runs a subcommand of `tunnel`.
///
/// # Errors
/// No gateway answers, it knows no tunnel of this name, or it cannot do what is asked.
pub fn run(command: &cli::Tunnel) -> Result<(), Failure> {
    match command {
        cli::Tunnel::Trace(options) => trace(options),
        cli::Tunnel::Rekey(options) => {
            let sa = if options.ike { Sa::Ike } else { Sa::Child };
            let request = Request::Rekey(Rekey { tunnel: options.name.clone(), sa });
            done(client::ask(&options.socket, &request)?)
        }
        cli::Tunnel::Reset(options) => {
            done(client::ask(&options.socket, &Request::Reset(Reset { tunnel: options.name.clone() }))?)
        }
    }
}

fn done(response: Response) -> Result<(), Failure> {
    match response {
        Response::Done(told) => show(&told),
        other => Err(client::unexpected(&other)),
    }
}

fn trace(options: &cli::Trace) -> Result<(), Failure> {
    let mut after = 0;
    loop {
        let request = Request::Trace(Trace { tunnel: options.name.clone(), after });
        let messages = match client::ask(&options.socket, &request)? {
            Response::Trace(messages) => messages,
            other => return Err(client::unexpected(&other)),
        };
        for message in &messages {
            show(&if options.json {
                serde_json::to_string(message).map_err(Failure::runtime)?
            } else {
                block(message)
            })?;
        }
        if messages.is_empty() && !options.follow {
            eprintln!("{}: no IKE message was sent or received since it was configured", options.name);
        }
        if !options.follow {
            return Ok(());
        }
        after = messages.last().map_or(after, |last| last.number);
        std::thread::sleep(LOOK);
    }
}

/// A message for people: a line about it, its SPIs, and a line for each payload.
fn block(message: &Message) -> String {
    let Message { number, time, local, remote, exchange, kind, message_id, bytes, .. } = message;
    let arrow = if message.direction == "sent" { "->" } else { "<-" };
    let mut lines =
        vec![format!("{time} #{number} {local} {arrow} {remote}  {exchange} {kind} {message_id}, {bytes} bytes")];
    let told = match message.outcome.as_str() {
        "retransmission" => "the same again, for there was no answer",
        "not_opened" => "ignored: it could not be opened",
        "unexpected" => "ignored: not expected here",
        "malformed" => "ignored: malformed",
        "too_many" => "ignored: there were too many",
        "other_version" if message.version == 1 => "ignored: this is IKEv1",
        "other_version" => "ignored: of a version that is not spoken here",
        _ => "",
    };
    if !told.is_empty() {
        lines.push(format!("    ({told})"));
    }
    if message.earlier > 0 {
        lines.push(format!("    (and {} like it before)", message.earlier));
    }
    lines.push(format!("    SPIs    {} {}", message.initiator_spi, message.responder_spi));
    let mut indent = 4;
    for Payload { name, text } in &message.payloads {
        lines.push(format!("{:indent$}{name:<7} {text}", "").trim_end().to_owned());
        if name == "SK" || name == "SKF" {
            indent = 6;
        }
    }
    lines.join("\n")
}

impl Control {
    /// A tunnel's last IKE messages.
    ///
    /// # Errors
    /// There is no such tunnel.
    pub(crate) fn trace(&self, asked: &Trace) -> Result<Vec<Message>, String> {
        let tunnel = self.known_tunnel(&asked.tunnel)?;
        let (wall, now) = (SystemTime::now(), Instant::now());
        let time = |entry: &TraceEntry| {
            let when = wall.checked_sub(now.saturating_duration_since(entry.at())).unwrap_or(UNIX_EPOCH);
            rfc3339(when.duration_since(UNIX_EPOCH).unwrap_or_default())
        };
        Ok(self.endpoint.trace(tunnel, asked.after).map(|entry| message(entry, time(entry))).collect())
    }

    /// Has IKE agree on new keys for a tunnel that is up.
    ///
    /// # Errors
    /// There is no such tunnel, or it is not up.
    pub(crate) fn rekey(&mut self, asked: &Rekey) -> Result<String, String> {
        let tunnel = self.known_tunnel(&asked.tunnel)?;
        let name = &asked.tunnel;
        if self.state(tunnel) != Some(TunnelState::Up) {
            return Err(format!("{name} is not UP, so there is nothing to rekey; `bordergate status` says why"));
        }
        tracing::info!(tunnel = name, sa = ?asked.sa, "rekeying was asked for");
        let what = match asked.sa {
            Sa::Child => {
                self.with_ike(|endpoint, context| endpoint.rekey_children(tunnel, context));
                "child SAs are"
            }
            Sa::Ike => {
                self.with_ike(|endpoint, context| endpoint.rekey_ike(tunnel, context));
                "IKE SA is"
            }
        };
        Ok(format!("{name}: the {what} being rekeyed"))
    }

    /// Deletes a tunnel's SAs and begins anew.
    ///
    /// # Errors
    /// There is no such tunnel, or it is not wanted.
    pub(crate) fn reset(&mut self, asked: &Reset) -> Result<String, String> {
        let tunnel = self.known_tunnel(&asked.tunnel)?;
        let name = &asked.tunnel;
        if self.state(tunnel) == Some(TunnelState::AdminDown) {
            return Err(format!("{name} is administratively down; set admin = \"up\" in the resource file"));
        }
        tracing::info!(tunnel = name, "a reset was asked for");
        self.with_ike(|endpoint, context| {
            endpoint.terminate(tunnel, DownReason::Reset, context);
            endpoint.set_admin(tunnel, ike::Admin::Up, context);
        });
        Ok(match self.state(tunnel) {
            Some(TunnelState::Connecting) => format!("{name}: its SAs are deleted, and it is being set up anew"),
            _ => format!("{name}: its SAs are deleted; it waits for the peer to begin"),
        })
    }

    fn state(&self, tunnel: TunnelId) -> Option<TunnelState> {
        self.endpoint.status(tunnel).map(|status| status.state)
    }

    pub(crate) fn known_tunnel(&self, name: &str) -> Result<TunnelId, String> {
        let all = self.resources.tunnels_indexed();
        let found = all.filter(|(_, tunnel)| tunnel.name.as_str() == name).find_map(|(index, _)| self.ids.id(index));
        found.ok_or_else(|| {
            let there: Vec<&str> = self.resources.tunnels().iter().map(|tunnel| tunnel.name.as_str()).collect();
            unknown_tunnel(name, &there)
        })
    }
}

fn message(entry: &TraceEntry, time: String) -> Message {
    let header = entry.header();
    let outcome = match entry.mark() {
        TraceMark::Clear => "clear",
        TraceMark::Protected => "protected",
        TraceMark::NotOpened => "not_opened",
        TraceMark::Retransmission => "retransmission",
        TraceMark::Unexpected => "unexpected",
        TraceMark::Malformed => "malformed",
        TraceMark::TooMany => "too_many",
        TraceMark::OtherVersion => "other_version",
    };
    let direction = match entry.direction() {
        TraceDirection::Received => "received",
        TraceDirection::Sent => "sent",
    };
    let payload = |payload: ike::TracePayload| Payload { name: payload.name, text: payload.text };
    Message {
        number: entry.sequence(),
        time,
        direction: direction.to_owned(),
        local: entry.local().to_string(),
        remote: entry.remote().to_string(),
        initiator_spi: format!("{:016x}", header.initiator_spi),
        responder_spi: format!("{:016x}", header.responder_spi),
        version: header.version,
        exchange: entry.exchange(),
        kind: if entry.is_response() { "response" } else { "request" }.to_owned(),
        message_id: header.message_id,
        bytes: header.length,
        outcome: outcome.to_owned(),
        earlier: entry.earlier(),
        payloads: entry.payloads().into_iter().map(payload).collect(),
    }
}

/// A time since 1970 as people and programs read it.
pub fn rfc3339(since: Duration) -> String {
    let (days, second) = (since.as_secs() / 86400, since.as_secs() % 86400);
    // The year is taken to begin in March, so that the day that comes and goes is its last; 400 years have 146 097 days.
    let shifted = days + 719_468;
    let (era, day) = (shifted / 146_097, shifted % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, later) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    let year = era * 400 + year + later;
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:06}Z", since.subsec_micros())
}

#[cfg(test)]
mod tests {
    use super::*;

    // What `date --utc --date=@N` says.
    #[test]
    fn times_read_as_dates() {
        let at = |seconds| rfc3339(Duration::new(seconds, 123_456_789));
        assert_eq!(at(0), "1970-01-01T00:00:00.123456Z");
        assert_eq!(at(951_782_399), "2000-02-28T23:59:59.123456Z");
        assert_eq!(at(951_782_400), "2000-02-29T00:00:00.123456Z");
        assert_eq!(at(951_868_800), "2000-03-01T00:00:00.123456Z");
        assert_eq!(at(1_782_864_000), "2026-07-01T00:00:00.123456Z");
        assert_eq!(at(4_107_542_399), "2100-02-28T23:59:59.123456Z");
        assert_eq!(at(4_107_542_400), "2100-03-01T00:00:00.123456Z");
    }

    #[test]
    fn a_message_is_a_block_whose_inside_is_indented() {
        let payload = |name: &str, text: &str| Payload { name: name.into(), text: text.into() };
        let message = Message {
            number: 7,
            time: "2026-07-01T00:00:00.000001Z".into(),
            direction: "received".into(),
            local: "203.0.113.1:500".into(),
            remote: "198.51.100.2:500".into(),
            initiator_spi: "0000000000000001".into(),
            responder_spi: "0000000000000002".into(),
            version: 2,
            exchange: "IKE_AUTH".into(),
            kind: "response".into(),
            message_id: 1,
            bytes: 100,
            outcome: "protected".into(),
            earlier: 2,
            payloads: vec![payload("SK", "72 bytes, holds"), payload("N", "AUTHENTICATION_FAILED")],
        };
        let shown = "\
2026-07-01T00:00:00.000001Z #7 203.0.113.1:500 <- 198.51.100.2:500  IKE_AUTH response 1, 100 bytes
    (and 2 like it before)
    SPIs    0000000000000001 0000000000000002
    SK      72 bytes, holds
      N       AUTHENTICATION_FAILED";
        assert_eq!(block(&message), shown);
    }
}
