//! One TCP connection with a peer: its bytes, its timers, and the states of RFC 4271 §8 from OpenSent on.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use rustbgpd_fsm::{Action as Step, Event, NegotiatedSession, PeerConfig, Session, SessionState, TimerType};
use rustbgpd_wire::notification::{cease_subcode, open_subcode};
use rustbgpd_wire::{
    Capability, EXTENDED_MAX_MESSAGE_LEN, MAX_MESSAGE_LEN, Message, NotificationCode, NotificationMessage, OpenMessage,
    RouteRefreshSubtype, decode_message, encode_message, encode_message_with_limit, peek_message_length,
};

use crate::config::NeighborConfig;
use crate::family::{Families, Family};
use crate::neighbor::Context;
use crate::observation::{Ending, Opens};
use crate::reason::DownReason;
use crate::update::{Reading, Update};

/// A TCP connection, as the neighbour names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u64);

/// Who opened it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Opener {
    Us,
    Peer,
}

/// What comes of a connection's events.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// The peer has said who it is: now it is to be settled whether this connection is one too many, before anything is
    /// answered. If it is not, [`Connection::confirm`] goes on.
    Opened,
    Established,
    /// What an UPDATE says, and the message itself.
    Update(Update, Bytes),
    /// The peer wants all routes of a family again (RFC 2918); with RFC 7313 it also says when it has sent all of its own.
    Refresh(Family, RouteRefreshSubtype),
    /// The connection is to be closed when all that was transmitted is written.
    Ended(DownReason),
}

#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) id: ConnectionId,
    pub(crate) opener: Opener,
    /// From the peer's OPEN.
    pub(crate) peer_identifier: Option<Ipv4Addr>,
    /// That OPEN, until it is settled whether the connection stays.
    opened: Option<OpenMessage>,
    /// What both ends have begun with.
    pub(crate) opens: Opens,
    /// The NOTIFICATION that has ended it, if there was one.
    pub(crate) ending: Option<Ending>,
    /// What is to be written, in order.
    pub(crate) output: Vec<Bytes>,
    session: Session,
    config: NeighborConfig,
    input: BytesMut,
    hold: Option<Instant>,
    keepalive: Option<Instant>,
    ended: bool,
}

impl Connection {
    /// TCP has come up: OPEN goes out.
    pub(crate) fn new(id: ConnectionId, opener: Opener, config: &NeighborConfig, ctx: &mut Context<'_>) -> Self {
        let mut connection = Self {
            id,
            opener,
            peer_identifier: None,
            opened: None,
            opens: Opens::default(),
            ending: None,
            output: Vec::new(),
            session: Session::new(peer_config(config)),
            config: config.clone(),
            input: BytesMut::new(),
            hold: None,
            keepalive: None,
            ended: false,
        };
        // When to connect is the neighbour's to say; a connection begins where it has one.
        let mut outcomes = Vec::new();
        connection.step(Event::ManualStart, &mut outcomes, ctx);
        let up = match opener {
            Opener::Us => Event::TcpConnectionConfirmed,
            Opener::Peer => Event::TcpConnectionAcknowledged,
        };
        connection.step(up, &mut outcomes, ctx);
        connection
    }

    /// Bytes have arrived.
    pub(crate) fn receive(&mut self, bytes: &[u8], ctx: &mut Context<'_>) -> Vec<Outcome> {
        self.input.extend_from_slice(bytes);
        self.advance(ctx)
    }

    /// The connection stays: the peer's OPEN is answered, and what has come behind it is read.
    pub(crate) fn confirm(&mut self, ctx: &mut Context<'_>) -> Vec<Outcome> {
        let mut outcomes = Vec::new();
        if let Some(open) = self.opened.take() {
            self.step(Event::OpenReceived(open), &mut outcomes, ctx);
            outcomes.append(&mut self.advance(ctx));
        }
        outcomes
    }

    /// Reads what has come, up to an OPEN that is to be confirmed.
    fn advance(&mut self, ctx: &mut Context<'_>) -> Vec<Outcome> {
        let mut outcomes = Vec::new();
        while !self.ended && self.opened.is_none() {
            let message = match peek_message_length(&self.input, self.longest()) {
                Ok(Some(length)) if usize::from(length) <= self.input.len() => {
                    let bytes = self.input.split_to(usize::from(length)).freeze();
                    decode_message(&mut bytes.clone(), self.longest()).map(|message| (message, bytes))
                }
                Ok(_) => break,
                Err(error) => Err(error),
            };
            match message {
                Ok((message, bytes)) => self.handle(message, bytes, &mut outcomes, ctx),
                Err(error) => {
                    let reason = DownReason::Malformed(error.to_string());
                    self.end_by(Event::DecodeError(error), reason, &mut outcomes, ctx);
                }
            }
        }
        outcomes
    }

    /// TCP is gone.
    pub(crate) fn closed(&mut self) {
        self.ended = true;
    }

    /// The moment of [`Connection::deadline`] has come.
    pub(crate) fn handle_timeout(&mut self, ctx: &mut Context<'_>) -> Vec<Outcome> {
        let mut outcomes = Vec::new();
        if self.hold.is_some_and(|at| at <= ctx.now) {
            self.hold = None;
            // RFC 4271 §8.2.2: four minutes for an OPEN, then what was agreed on.
            let seconds = self.session.negotiated().map_or(240, |agreed| agreed.hold_time);
            self.end_by(Event::HoldTimerExpires, DownReason::HoldTimerExpired(seconds), &mut outcomes, ctx);
        }
        if !self.ended && self.keepalive.is_some_and(|at| at <= ctx.now) {
            self.keepalive = None;
            self.step(Event::KeepaliveTimerExpires, &mut outcomes, ctx);
        }
        outcomes
    }

    /// Ends the connection with a Cease (RFC 4486). `hard` says that our routes are not to outlive it (RFC 8538).
    pub(crate) fn cease(&mut self, subcode: u8, data: Bytes, hard: bool) {
        let agreed = self.session.negotiated().is_some_and(|agreed| agreed.peer_notification_gr);
        let (subcode, data) = if hard && agreed && self.session.state() == SessionState::Established {
            let mut wrapped = BytesMut::from(&[NotificationCode::Cease.as_u8(), subcode][..]);
            wrapped.extend_from_slice(&data);
            (cease_subcode::HARD_RESET, wrapped.freeze())
        } else {
            (subcode, data)
        };
        self.notify(NotificationMessage::new(NotificationCode::Cease, subcode, data));
    }

    /// Ends the connection for the peer does not read it (RFC 9687 §4.3); it is told in case that it does after all.
    pub(crate) fn give_up(&mut self) {
        self.notify(NotificationMessage::new(NotificationCode::SendHoldTimerExpired, 0, Bytes::new()));
    }

    /// Asks for all routes of a family again, if the peer can be asked (RFC 2918).
    pub(crate) fn ask_refresh(&mut self, family: Family) -> bool {
        let (afi, safi) = family.code();
        let able = self
            .session
            .negotiated()
            .is_some_and(|agreed| agreed.peer_route_refresh && agreed.negotiated_families.contains(&(afi, safi)));
        if able {
            let message = rustbgpd_wire::RouteRefreshMessage::new(afi, safi);
            self.send(&Message::RouteRefresh(message));
        }
        able
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        [self.hold, self.keepalive].into_iter().flatten().min()
    }

    pub(crate) fn state(&self) -> SessionState {
        self.session.state()
    }

    pub(crate) fn negotiated(&self) -> Option<Arc<NegotiatedSession>> {
        self.session.negotiated_shared()
    }

    fn handle(&mut self, message: Message, bytes: Bytes, outcomes: &mut Vec<Outcome>, ctx: &mut Context<'_>) {
        let state = self.session.state();
        let name = match &message {
            Message::Open(_) => "OPEN",
            Message::Update(_) => "UPDATE",
            Message::Notification(_) => "NOTIFICATION",
            Message::Keepalive => "KEEPALIVE",
            Message::RouteRefresh(_) => "ROUTE-REFRESH",
            _ => "message",
        };
        let unexpected = DownReason::Unexpected { message: name, state: state_name(state) };
        match message {
            Message::Open(open) => {
                self.peer_identifier = Some(open.bgp_identifier);
                match refusal(&open, &self.config).filter(|_| state == SessionState::OpenSent) {
                    None if state == SessionState::OpenSent => {
                        self.opened = Some(open);
                        self.opens.received = Bytes::copy_from_slice(&bytes);
                        outcomes.push(Outcome::Opened);
                    }
                    refused => self.end_by(Event::OpenReceived(open), refused.unwrap_or(unexpected), outcomes, ctx),
                }
            }
            Message::Keepalive => self.end_by(Event::KeepaliveReceived, unexpected, outcomes, ctx),
            Message::Notification(notification) => {
                let reason = DownReason::notified(&notification);
                self.ending = Some(Ending::Notified(Bytes::copy_from_slice(&bytes)));
                self.end_by(Event::NotificationReceived(notification), reason, outcomes, ctx);
            }
            Message::RouteRefresh(refresh) => {
                let known = refresh.afi().zip(refresh.safi());
                let (afi, safi) = known.unwrap_or(Family::Ipv4.code());
                self.end_by(Event::RouteRefreshReceived { afi, safi }, unexpected, outcomes, ctx);
                // RFC 2918 §4: of a family that was not agreed on it is ignored.
                let family = known.and_then(Family::from_code).filter(|family| self.families().contains(*family));
                if let Some(family) = family.filter(|_| !self.ended) {
                    outcomes.push(Outcome::Refresh(family, refresh.subtype()));
                }
            }
            Message::Update(update) => {
                self.end_by(Event::UpdateReceived, unexpected, outcomes, ctx);
                if self.ended {
                    return;
                }
                match Update::read(&update, self.reading()) {
                    Ok(update) => outcomes.push(Outcome::Update(update, bytes)),
                    Err(fatal) => {
                        let reason = DownReason::Malformed(fatal.words);
                        self.end_by(Event::UpdateValidationError(fatal.notification), reason, outcomes, ctx);
                    }
                }
            }
            // The codec has no others; a new one would have no place here.
            _ => self.end_by(Event::KeepaliveTimerExpires, unexpected, outcomes, ctx),
        }
    }

    /// An event that may end the connection, and why if it does.
    fn end_by(&mut self, event: Event, reason: DownReason, outcomes: &mut Vec<Outcome>, ctx: &mut Context<'_>) {
        self.step(event, outcomes, ctx);
        if self.ended {
            outcomes.push(Outcome::Ended(reason));
        }
    }

    fn step(&mut self, event: Event, outcomes: &mut Vec<Outcome>, ctx: &mut Context<'_>) {
        let before = self.session.state();
        for step in self.session.handle_event(event) {
            match step {
                Step::SendOpen(open) => {
                    let open = with_restart(open, &self.config);
                    self.send(&Message::Open(open));
                    self.opens.sent = self.output.last().cloned().unwrap_or_default();
                }
                Step::SendKeepalive => self.send(&Message::Keepalive),
                Step::SendNotification(notification) => self.notify(with_state(notification, before)),
                Step::StartTimer(TimerType::Hold, seconds) => {
                    self.hold = Some(ctx.now + Duration::from_secs(seconds.into()));
                }
                Step::StartTimer(TimerType::Keepalive, seconds) => {
                    // RFC 4271 §10: up to a quarter earlier, so that they do not all go at once.
                    let milliseconds = seconds * 1000 / 4 * 3 + ctx.rng.next_u32() % (seconds * 250 + 1);
                    self.keepalive = Some(ctx.now + Duration::from_millis(milliseconds.into()));
                }
                Step::StopTimer(TimerType::Hold) => self.hold = None,
                Step::StopTimer(TimerType::Keepalive) => self.keepalive = None,
                Step::CloseTcpConnection => self.ended = true,
                Step::SessionEstablished(_) => outcomes.push(Outcome::Established),
                // The rest is the neighbour's own affair: when to connect, and what follows from an end.
                _ => {}
            }
        }
    }

    fn notify(&mut self, notification: NotificationMessage) {
        self.send(&Message::Notification(notification));
        self.ending = self.output.last().cloned().map(Ending::Notifying);
        (self.hold, self.keepalive, self.ended) = (None, None, true);
    }

    fn send(&mut self, message: &Message) {
        let encoded = match message {
            Message::Open(_) | Message::Keepalive => encode_message(message),
            _ => encode_message_with_limit(message, self.longest()),
        };
        // What is too long is a NOTIFICATION that quotes what it complains of; it is as good without.
        if let Ok(encoded) = encoded {
            self.output.push(encoded.freeze());
        } else if let Message::Notification(NotificationMessage { code, subcode, .. }) = message {
            self.send(&Message::Notification(NotificationMessage::new(*code, *subcode, Bytes::new())));
        }
    }

    /// RFC 8654: 4096 bytes, unless both ends take more.
    pub(crate) fn longest(&self) -> u16 {
        let extended = self.session.negotiated().is_some_and(|agreed| agreed.peer_extended_message);
        if extended { EXTENDED_MAX_MESSAGE_LEN } else { MAX_MESSAGE_LEN }
    }

    pub(crate) fn families(&self) -> Families {
        let agreed = self.session.negotiated().map(|agreed| agreed.negotiated_families.as_slice()).unwrap_or_default();
        agreed.iter().filter_map(|code| Family::from_code(*code)).collect()
    }

    fn reading(&self) -> Reading {
        let agreed = self.session.negotiated();
        Reading {
            four_octet_as: agreed.is_some_and(|agreed| agreed.four_octet_as),
            internal: self.config.is_internal(),
            families: self.families(),
            link_local_next_hop: agreed.is_some_and(|agreed| agreed.link_local_next_hop),
        }
    }
}

pub(crate) fn state_name(state: SessionState) -> &'static str {
    match state {
        SessionState::Idle => "Idle",
        SessionState::Connect => "Connect",
        SessionState::Active => "Active",
        SessionState::OpenSent => "OpenSent",
        SessionState::OpenConfirm => "OpenConfirm",
        SessionState::Established => "Established",
    }
}

fn peer_config(config: &NeighborConfig) -> PeerConfig {
    let mut peer = PeerConfig::new(config.local_as, config.remote_as, config.router_id);
    peer.hold_time = config.hold_time;
    peer.families = config.families.iter().map(Family::code).collect();
    peer.disable_ipv4_unicast = !config.families.ipv4;
    if let Some(restart) = config.graceful_restart {
        peer.graceful_restart = true;
        peer.gr_restart_time = restart.restart_time;
        peer.llgr_stale_time = restart.long_lived_stale_time;
    }
    peer
}

/// RFC 4724 §3: the R bit says that we have restarted, the F bits that we forward as before.
fn with_restart(mut open: OpenMessage, config: &NeighborConfig) -> OpenMessage {
    let restarting = config.graceful_restart.is_some_and(|restart| restart.restarting);
    for capability in &mut open.capabilities {
        match capability {
            Capability::GracefulRestart { restart_state, families, .. } => {
                *restart_state = restarting;
                families.iter_mut().for_each(|family| family.forwarding_preserved = restarting);
            }
            Capability::LongLivedGracefulRestart(families) => {
                families.iter_mut().for_each(|family| family.forwarding_preserved = restarting);
            }
            _ => {}
        }
    }
    open
}

/// RFC 6608: a Finite State Machine Error names the state.
fn with_state(mut notification: NotificationMessage, state: SessionState) -> NotificationMessage {
    if notification.code == NotificationCode::FsmError {
        notification.subcode = match state {
            SessionState::OpenSent => 1,
            SessionState::OpenConfirm => 2,
            SessionState::Established => 3,
            SessionState::Idle | SessionState::Connect | SessionState::Active => 0,
        };
    }
    notification
}

/// What is wrong with an OPEN, in the terms of what is configured; `None` if nothing is.
fn refusal(open: &OpenMessage, config: &NeighborConfig) -> Option<DownReason> {
    let notification = rustbgpd_fsm::negotiation::validate_open(open, &peer_config(config)).err()?;
    Some(match notification.subcode {
        open_subcode::BAD_PEER_AS => DownReason::PeerAs { received: open.four_byte_as(), expected: config.remote_as },
        open_subcode::BAD_BGP_IDENTIFIER => DownReason::PeerIdentifier(open.bgp_identifier),
        open_subcode::UNACCEPTABLE_HOLD_TIME => DownReason::PeerHoldTime(open.hold_time),
        open_subcode::UNSUPPORTED_CAPABILITY => DownReason::NoCommonFamily,
        subcode => {
            DownReason::Malformed(rustbgpd_wire::notification::description(notification.code, subcode).to_owned())
        }
    })
}
