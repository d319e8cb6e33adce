//! The endpoint: all IKE SAs of this gateway, and which datagram belongs to which.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use rand_core::CryptoRng;

use crate::action::Action;
use crate::allowance::FAILED_AUTHENTICATION;
use crate::authentication::Authentication;
use crate::child::{ChildSa, SpiAllocator};
use crate::config::{Admin, ConfigError, Startup, TunnelConfig, TunnelId};
use crate::cookie::CookieJar;
use crate::crash_secret::CrashSecret;
use crate::message::{Header, ParseError};
use crate::reason::{DownReason, Protocol};
use crate::sa::{Env, IkeSa, NAT_T_PORT, Path, Verdict};
use crate::status::{EndpointCounters, TunnelStatus};
use crate::timing::{Deadlines, Owner};
use crate::trace::{TraceEntry, TraceMark};
use crate::tunnel::Tunnel;

/// What every event brings along: the time, randomness, and the source of inbound ESP SPIs.
pub struct Context<'a> {
    /// The current time; it never runs backwards.
    pub now: Instant,
    /// The time of day, in seconds since 1970: certificates say from when to when they are valid.
    pub unix_time: u64,
    /// The random source.
    pub rng: &'a mut dyn CryptoRng,
    /// Where inbound ESP SPIs come from.
    pub spis: &'a mut dyn SpiAllocator,
}

/// All tunnels and IKE SAs of one gateway.
///
/// # When both ends begin at once
/// Each tunnel has one *current* SA, whose child carries the traffic. An SA that comes up while
/// there is a current one takes its place: the newest authenticated one wins, as a peer that has
/// restarted knows nothing of the old one. The exception are two SAs that both ends began before
/// either was up: then both ends keep the one whose initiator chose the smaller SPI, which both can see,
/// and the end that initiated it deletes the other. The tunnel stays up throughout.
#[derive(Default)]
pub struct Endpoint {
    pub(crate) tunnels: BTreeMap<TunnelId, Tunnel>,
    pub(crate) by_addresses: BTreeMap<(IpAddr, IpAddr), TunnelId>,
    /// By our SPI.
    pub(crate) sas: BTreeMap<u64, IkeSa>,
    pub(crate) deadlines: Deadlines,
    pub(crate) actions: VecDeque<Action>,
    pub(crate) counters: EndpointCounters,
    pub(crate) cookies: CookieJar,
    pub(crate) crash_secret: Option<CrashSecret>,
    pub(crate) half_open: usize,
    /// Where peers are sent that can be (RFC 5685).
    pub(crate) draining: Option<IpAddr>,
    /// Counts events, to tell which SA began before which was established.
    pub(crate) event: u64,
}

impl Endpoint {
    /// An endpoint without tunnels.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a tunnel, or gives it another configuration: then it is deleted and set up anew, unless
    /// nothing has changed.
    ///
    /// # Errors
    /// [`ConfigError`] names the field that is not acceptable; nothing has changed then.
    pub fn configure(
        &mut self,
        tunnel: TunnelId,
        config: TunnelConfig,
        ctx: &mut Context<'_>,
    ) -> Result<(), ConfigError> {
        config.check()?;
        let addresses = (config.local, config.remote);
        if let Some(by) = self.by_addresses.get(&addresses).filter(|by| **by != tunnel) {
            return Err(ConfigError::AddressesTaken { local: addresses.0, remote: addresses.1, by: *by });
        }
        if self.tunnels.get(&tunnel).is_some_and(|t| t.config == config) {
            return Ok(());
        }
        self.remove(tunnel, ctx);
        self.by_addresses.insert(addresses, tunnel);
        let wanted = config.admin == Admin::Up && config.startup == Startup::Initiate;
        self.tunnels.insert(tunnel, Tunnel::new(config, ctx.now));
        if wanted {
            self.begin(tunnel, ctx);
        }
        Ok(())
    }

    /// Has a tunnel authenticate in another way from now on. What is up stays up if what its peer has proved still
    /// holds: the pre-shared key it used is still one of ours, its certificate is still good. Otherwise it is deleted
    /// and set up anew.
    ///
    /// # Errors
    /// [`ConfigError`] as [`Endpoint::configure`] has it; nothing has changed then.
    pub fn set_authentication(
        &mut self,
        tunnel: TunnelId,
        authentication: Authentication,
        ctx: &mut Context<'_>,
    ) -> Result<(), ConfigError> {
        let Some(known) = self.tunnels.get_mut(&tunnel) else { return Ok(()) };
        let config = TunnelConfig { authentication, ..known.config.clone() };
        config.check()?;
        let current = known.current.and_then(|spi| self.sas.get(&spi));
        let doubt = current.and_then(|sa| Some((sa.spi, sa.doubt(&known.config, &config, ctx.unix_time)?)));
        known.config = config;
        if let Some((spi, reason)) = doubt {
            self.close_sa(spi, ctx);
            self.on_ended(tunnel, spi, reason, ctx);
        }
        Ok(())
    }

    /// Deletes a tunnel's SAs, says so to the peer once, and forgets the tunnel.
    pub fn remove(&mut self, tunnel: TunnelId, ctx: &mut Context<'_>) {
        self.terminate(tunnel, DownReason::AdminDown, ctx);
        let Some(known) = self.tunnels.get(&tunnel) else { return };
        for spi in known.sas.clone() {
            self.with_sa(spi, ctx, |sa, env| {
                sa.discard(env);
                Verdict::Continue
            });
        }
        if let Some(known) = self.tunnels.remove(&tunnel) {
            self.by_addresses.remove(&(known.config.local, known.config.remote));
            self.deadlines.set(Owner::Tunnel(tunnel), None);
        }
    }

    /// Sets a tunnel's administrative state: up starts it as configured, down deletes its SAs.
    pub fn set_admin(&mut self, tunnel: TunnelId, admin: Admin, ctx: &mut Context<'_>) {
        match (admin, self.tunnels.get(&tunnel).map(|t| (t.config.admin, t.config.startup))) {
            (Admin::Down, Some(_)) => self.terminate(tunnel, DownReason::AdminDown, ctx),
            (Admin::Up, Some((Admin::Down, Startup::Respond))) => {
                if let Some(known) = self.tunnels.get_mut(&tunnel) {
                    known.enable(ctx.now);
                }
            }
            (Admin::Up, Some((Admin::Down, Startup::Initiate))) => self.initiate(tunnel, ctx),
            (Admin::Up, Some((Admin::Up, _)) | None) | (Admin::Down, None) => {}
        }
    }

    /// Starts a tunnel now, whatever its `startup` says, unless it is up or being set up.
    pub fn initiate(&mut self, tunnel: TunnelId, ctx: &mut Context<'_>) {
        if let Some(known) = self.tunnels.get_mut(&tunnel) {
            known.enable(ctx.now);
            if known.current.is_none() && known.attempt.is_none() {
                self.begin(tunnel, ctx);
            }
        }
    }

    /// Deletes a tunnel's SAs, tells the peer, and keeps the tunnel down for this reason until
    /// [`Endpoint::initiate`] or [`Endpoint::set_admin`].
    pub fn terminate(&mut self, tunnel: TunnelId, reason: DownReason, ctx: &mut Context<'_>) {
        let Some(known) = self.tunnels.get_mut(&tunnel) else { return };
        known.config.admin = Admin::Down;
        known.retry_at = None;
        let sas = known.sas.clone();
        self.deadlines.set(Owner::Tunnel(tunnel), None);
        for spi in sas {
            self.close_sa(spi, ctx);
        }
        let Some(known) = self.tunnels.get_mut(&tunnel) else { return };
        known.current = None;
        known.attempt = None;
        let action = known.go_down(tunnel, reason, ctx.now);
        self.actions.extend(action);
    }

    /// Terminates every tunnel. The Deletes are in the action queue afterwards.
    pub fn shutdown(&mut self, ctx: &mut Context<'_>) {
        for tunnel in self.tunnels.keys().copied().collect::<Vec<_>>() {
            self.terminate(tunnel, DownReason::Shutdown, ctx);
        }
    }

    /// Takes the UDP payload of a datagram to port 500, or to port 4500 without the non-ESP marker.
    pub fn handle_datagram(&mut self, local: SocketAddr, remote: SocketAddr, datagram: &[u8], ctx: &mut Context<'_>) {
        let tunnel = self.addressee(local, remote, datagram);
        self.receive(tunnel, local, remote, datagram, ctx);
        if let Some(known) = tunnel.and_then(|tunnel| self.tunnels.get_mut(&tunnel)) {
            known.trace.settle();
        }
    }

    /// Does everything whose time has come.
    pub fn handle_timeout(&mut self, ctx: &mut Context<'_>) {
        self.event += 1;
        for owner in self.deadlines.due(ctx.now) {
            match owner {
                Owner::Sa(spi) => self.with_sa(spi, ctx, |sa, env| sa.handle_timeout(env)),
                Owner::Tunnel(tunnel) => {
                    self.deadlines.set(owner, None);
                    self.begin(tunnel, ctx);
                }
            }
        }
    }

    /// Notes that ESP of the tunnel's peer was authenticated, which counts as a sign of life.
    pub fn note_inbound_traffic(&mut self, tunnel: TunnelId, now: Instant) {
        let current = self.tunnels.get(&tunnel).and_then(|t| t.current);
        if let Some(sa) = current.and_then(|spi| self.sas.get_mut(&spi)) {
            // The deadline stays as it was: when it comes, the SA sees that it has moved.
            sa.note_traffic(now);
        }
    }

    /// The next thing to do, in order; `None` when there is nothing left.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// When [`Endpoint::handle_timeout`] has to be called.
    pub fn next_timeout(&self) -> Option<Instant> {
        self.deadlines.next()
    }

    /// A tunnel's observed state; `None` if it is not configured.
    pub fn status(&self, tunnel: TunnelId) -> Option<TunnelStatus> {
        let known = self.tunnels.get(&tunnel)?;
        let sa = known.current.and_then(|spi| self.sas.get(&spi));
        let suites = sa.and_then(IkeSa::suites);
        Some(TunnelStatus {
            state: known.state(),
            since: known.since,
            reason: known.reason.clone(),
            ike: suites.map(|(ike, _)| ike),
            esp: suites.map(|(_, esp)| esp),
            ppk: sa.is_some_and(IkeSa::uses_ppk),
            encapsulated: sa.is_some_and(IkeSa::encapsulated),
            uses_next_psk: sa.is_some_and(IkeSa::uses_next_psk),
            counters: known.counters,
        })
    }

    /// A tunnel's last messages with a larger sequence number than this one, oldest first; 0 asks for all there are.
    pub fn trace(&self, tunnel: TunnelId, after: u64) -> impl Iterator<Item = &TraceEntry> {
        self.tunnels.get(&tunnel).map_or_else(Vec::new, |known| known.trace.after(after)).into_iter()
    }

    /// Replaces a tunnel's IKE SA by CREATE_CHILD_SA, now; its child SAs go on.
    pub fn rekey_ike(&mut self, tunnel: TunnelId, ctx: &mut Context<'_>) {
        self.with_current(tunnel, ctx, IkeSa::rekey);
    }

    /// Replaces all child SAs of a tunnel, now.
    pub fn rekey_children(&mut self, tunnel: TunnelId, ctx: &mut Context<'_>) {
        self.with_current(tunnel, ctx, IkeSa::rekey_children);
    }

    /// Replaces one child SA of a tunnel, as when it has carried nearly what it may.
    pub fn rekey_child(&mut self, tunnel: TunnelId, inbound_spi: u32, ctx: &mut Context<'_>) {
        self.with_current(tunnel, ctx, |sa| sa.rekey_child(inbound_spi));
    }

    fn with_current(&mut self, tunnel: TunnelId, ctx: &mut Context<'_>, ask: impl FnOnce(&mut IkeSa)) {
        self.event += 1;
        let Some(spi) = self.tunnels.get(&tunnel).and_then(|known| known.current) else { return };
        self.with_sa(spi, ctx, |sa, env| {
            ask(sa);
            sa.pursue(env);
            Verdict::Continue
        });
    }

    /// All configured tunnels, in order.
    pub fn tunnels(&self) -> impl Iterator<Item = TunnelId> + '_ {
        self.tunnels.keys().copied()
    }

    /// Datagrams that belong to no tunnel.
    pub fn counters(&self) -> EndpointCounters {
        self.counters
    }

    /// How many IKE SAs there are, in whatever state.
    pub fn sa_count(&self) -> usize {
        self.sas.len()
    }

    /// Begins an attempt of ours, unless the tunnel is up, being set up, or not wanted.
    fn begin(&mut self, tunnel: TunnelId, ctx: &mut Context<'_>) {
        let Some(known) = self.tunnels.get_mut(&tunnel) else { return };
        known.retry_at = None;
        if known.config.admin == Admin::Up && known.current.is_none() && known.attempt.is_none() {
            self.start(tunnel, None, ctx);
        }
    }

    /// Begins an attempt of ours; elsewhere if the peer has sent us.
    fn start(&mut self, tunnel: TunnelId, redirect: Option<(IpAddr, IpAddr)>, ctx: &mut Context<'_>) {
        let spi = self.fresh_spi(ctx);
        let event = self.event;
        let Some(known) = self.tunnels.get_mut(&tunnel) else { return };
        known.counters.attempts += 1;
        known.attempt = Some(spi);
        let alone = known.current.is_none();
        let mut env = Env {
            config: &known.config,
            counters: &mut known.counters,
            trace: &mut known.trace,
            ctx,
            event,
            alone,
            crash_secret: self.crash_secret.as_ref(),
            address_taken: false,
            out: Vec::new(),
        };
        let sa = IkeSa::initiate(tunnel, spi, redirect, &mut env);
        self.actions.extend(env.out);
        self.store(sa);
    }

    /// The tunnel that a datagram is for: that of its addresses, unless it is for an SA whose peer may send from anywhere.
    fn addressee(&self, local: SocketAddr, remote: SocketAddr, datagram: &[u8]) -> Option<TunnelId> {
        let ours = |header: Header| if header.from_initiator { header.responder_spi } else { header.initiator_spi };
        let sa = Header::parse(datagram).ok().and_then(|header| self.sas.get(&ours(header)));
        let by_addresses = || self.by_addresses.get(&(local.ip(), remote.ip())).copied();
        // A gateway that we were sent to is not at the address that is configured, either.
        let there =
            |sa: &&IkeSa| sa.is_mobile() || (sa.path.local.ip(), sa.path.remote.ip()) == (local.ip(), remote.ip());
        sa.filter(there).map(|sa| sa.tunnel).or_else(by_addresses)
    }

    fn receive(
        &mut self,
        tunnel: Option<TunnelId>,
        local: SocketAddr,
        remote: SocketAddr,
        datagram: &[u8],
        ctx: &mut Context<'_>,
    ) {
        self.event += 1;
        if local.port() == NAT_T_PORT && datagram == [0xff] {
            self.counters.keepalives += 1;
            return;
        }
        let path = Path { local, remote };
        let Some(tunnel) = tunnel else {
            self.counters.unknown_peer += 1;
            return;
        };
        if let Some(known) = self.tunnels.get_mut(&tunnel) {
            known.trace.received(datagram, path, ctx.now);
        }
        let header = match Header::parse(datagram) {
            Ok(header) => header,
            Err(ParseError::Version(version)) => {
                self.counters.unsupported_version += 1;
                self.handle_other_version(tunnel, version, path, datagram, ctx.now);
                return;
            }
            Err(_) => {
                self.counters.malformed += 1;
                self.mark(tunnel, TraceMark::Malformed);
                return;
            }
        };
        let ours = if header.from_initiator { header.responder_spi } else { header.initiator_spi };
        if header.from_initiator && ours == 0 {
            self.handle_init(tunnel, header, datagram, path, ctx);
        } else if self.sas.get(&ours).is_some_and(|sa| sa.tunnel == tunnel) {
            let taken = self.by_addresses.get(&(local.ip(), remote.ip())).is_some_and(|by| *by != tunnel);
            self.with_sa(ours, ctx, |sa, env| {
                env.address_taken = taken;
                sa.handle(header, datagram, path, env)
            });
        } else {
            self.counters.unknown_spi += 1;
            self.mark(tunnel, TraceMark::Unexpected);
            self.show_token(tunnel, header, datagram, path, ctx);
        }
    }

    /// Lets an SA handle an event, and draws the consequences.
    pub(crate) fn with_sa(
        &mut self,
        spi: u64,
        ctx: &mut Context<'_>,
        handle: impl FnOnce(&mut IkeSa, &mut Env<'_, '_>) -> Verdict,
    ) {
        let Some(mut sa) = self.take(spi) else { return };
        let tunnel = sa.tunnel;
        let Some(known) = self.tunnels.get_mut(&tunnel) else { return };
        let mut env = Env {
            config: &known.config,
            counters: &mut known.counters,
            trace: &mut known.trace,
            ctx,
            event: self.event,
            alone: known.current.is_none(),
            crash_secret: self.crash_secret.as_ref(),
            address_taken: false,
            out: Vec::new(),
        };
        let verdict = handle(&mut sa, &mut env);
        let out = env.out;
        match verdict {
            Verdict::Continue => {
                self.actions.extend(out);
                self.store(sa);
            }
            Verdict::Established { child, initial_contact } => {
                self.on_established(sa, child, initial_contact, out, ctx);
            }
            Verdict::Rekeyed(successor) => {
                self.actions.extend(out);
                self.store(sa);
                self.succeed(spi, *successor, ctx);
            }
            Verdict::Spare(spare) => {
                self.actions.extend(out);
                self.store(sa);
                self.store(*spare);
            }
            Verdict::Yielded { to, estate, loser } => {
                self.actions.extend(out);
                if let Some(loser) = loser {
                    self.store(*loser);
                }
                match self.take(to) {
                    Some(mut successor) if successor.is_established() => {
                        self.store(sa);
                        successor.inherit(estate);
                        self.succeed(spi, successor, ctx);
                    }
                    gone => {
                        if let Some(gone) = gone {
                            self.store(gone);
                        }
                        // The peer has deleted that one, too.
                        sa.inherit(estate);
                        self.store(sa);
                        self.close_sa(spi, ctx);
                        self.on_ended(tunnel, spi, DownReason::PeerDeleted(Protocol::Ike), ctx);
                    }
                }
            }
            Verdict::Redirected { to, from } => {
                self.actions.extend(out);
                self.store(sa);
                let known = self.tunnels.get(&tunnel).filter(|known| known.current == Some(spi));
                if known.is_some_and(|known| known.attempt.is_none()) {
                    self.start(tunnel, Some((to, from)), ctx);
                }
            }
            Verdict::Renew(reason) => {
                self.actions.extend(out);
                self.store(sa);
                self.renew(tunnel, spi, reason, ctx);
            }
            Verdict::Ended(reason) => {
                self.actions.extend(out);
                self.store(sa);
                self.on_ended(tunnel, spi, reason, ctx);
            }
            Verdict::Abandoned(reason) => {
                self.actions.extend(out);
                self.store(sa);
                // Anyone can begin an SA in the peer's name, so this must not hide a better reason.
                if let Some(known) = self.tunnels.get_mut(&tunnel)
                    && known.reason == DownReason::Connecting
                    && known.current.is_none()
                {
                    let action = known.go_down(tunnel, reason, ctx.now);
                    self.actions.extend(action);
                }
            }
        }
        self.note_child(tunnel, ctx.now);
    }

    /// The tunnel is up as soon as its SA has a child to send on, which may come long after the SA itself (RFC 6023).
    fn note_child(&mut self, tunnel: TunnelId, now: Instant) {
        let Some(known) = self.tunnels.get_mut(&tunnel).filter(|known| !known.is_up()) else { return };
        let sa = known.current.and_then(|spi| self.sas.get(&spi)).filter(|sa| sa.sending().is_some());
        if let Some((ike, esp)) = sa.and_then(IkeSa::suites) {
            known.go_up(now);
            self.actions.push_back(Action::Up { tunnel, ike, esp });
        }
    }

    /// An IKE SA has taken another one's place, with its children.
    fn succeed(&mut self, old: u64, mut successor: IkeSa, ctx: &mut Context<'_>) {
        let (tunnel, spi) = (successor.tunnel, successor.spi);
        if let Some(known) = self.tunnels.get_mut(&tunnel) {
            if known.current == Some(old) {
                known.current = Some(spi);
            } else {
                // A newer one is in use: this one goes as the old one would have.
                successor.retire_at = Some(ctx.now + REPLACED_GRACE);
            }
        }
        self.store(successor);
        self.pursue(spi, ctx);
    }

    /// Has an SA ask for what it wants, now that it is in use.
    fn pursue(&mut self, spi: u64, ctx: &mut Context<'_>) {
        self.with_sa(spi, ctx, |sa, env| {
            sa.pursue(env);
            Verdict::Continue
        });
    }

    /// The peer does not rekey: sets another IKE SA up while the old one goes on, if that is ours to do.
    fn renew(&mut self, tunnel: TunnelId, spi: u64, reason: DownReason, ctx: &mut Context<'_>) {
        let Some(known) = self.tunnels.get_mut(&tunnel) else { return };
        known.reason = reason;
        if known.current == Some(spi) && known.config.startup == Startup::Initiate && known.attempt.is_none() {
            self.start(tunnel, None, ctx);
        }
    }

    /// An SA is authenticated: decide which SA of the tunnel stays. `out` holds what the SA sends
    /// and comes after the child's installation.
    fn on_established(
        &mut self,
        mut sa: IkeSa,
        child: Option<Box<ChildSa>>,
        initial_contact: bool,
        out: Vec<Action>,
        ctx: &mut Context<'_>,
    ) {
        let (tunnel, spi, now) = (sa.tunnel, sa.spi, ctx.now);
        let Some(known) = self.tunnels.get_mut(&tunnel) else { return };
        known.counters.established += 1;
        if !sa.initiator {
            known.allowances.handshakes.give_back(1);
        }
        known.failures = 0;
        known.retry_at = None;
        self.deadlines.set(Owner::Tunnel(tunnel), None);
        let old = known.current.and_then(|old| self.sas.get(&old)).map(|old| {
            let crossed = old.established.is_some_and(|at| sa.begun < at);
            let simultaneous = sa.initiator != old.initiator && crossed;
            (old.spi, old.initiator, simultaneous, old.initiator_spi())
        });
        if known.attempt == Some(spi) {
            known.attempt = None;
        }
        if let Some((old_spi, old_is_ours, true, old_initiator_spi)) = old
            && old_initiator_spi < sa.initiator_spi()
        {
            // The one that is up stays; the new one is never used.
            self.actions.extend(out);
            if !old_is_ours {
                sa.retire_at = Some(now + LOSER_GRACE);
            }
            self.store(sa);
            debug_assert_ne!(old_spi, spi);
            self.with_sa(spi, ctx, |sa, env| {
                sa.drop_children(env);
                if sa.retire_at.is_none() {
                    sa.delete(env);
                }
                Verdict::Continue
            });
            return;
        }
        let old_sa = known.current.and_then(|old| self.sas.get_mut(&old)).filter(|_| child.is_some());
        let replaced = old_sa.map_or_else(Vec::new, IkeSa::stop_sending);
        known.current = Some(spi);
        let attempt = known.attempt;
        sa.child_installed();
        let ours = sa.initiator;
        self.store(sa);
        let inbound_spi = child.as_ref().map(|child| child.inbound_spi);
        self.actions.extend(child.map(Action::InstallChild));
        self.actions.extend(out);
        // After our answer, so that the peer is ready for what follows it.
        if let Some(inbound_spi) = inbound_spi {
            let each = if replaced.is_empty() { vec![None] } else { replaced.into_iter().map(Some).collect() };
            let uses = each.into_iter().map(|instead_of| Action::UseChild { tunnel, inbound_spi, instead_of });
            self.actions.extend(uses);
        }
        self.note_child(tunnel, now);
        if let Some(attempt) = attempt.filter(|a| self.sas.get(a).is_some_and(IkeSa::is_opening)) {
            // The peer has not seen ours being accepted, so giving it up cannot confuse it.
            self.discard_sa(attempt, ctx);
            if let Some(known) = self.tunnels.get_mut(&tunnel) {
                known.attempt = None;
            }
        }
        match old {
            Some((old_spi, _, true, _)) if ours => self.close_sa(old_spi, ctx),
            Some((old_spi, _, false, _)) if initial_contact => {
                self.discard_sa(old_spi, ctx);
                if inbound_spi.is_none()
                    && let Some(known) = self.tunnels.get_mut(&tunnel)
                {
                    // It has lost the child that there was, and the next one is still to come.
                    let reason = DownReason::PeerRestarted { remote: known.config.remote };
                    let action = known.go_down(tunnel, reason, now);
                    self.actions.extend(action);
                }
            }
            // The peer still sends on the old one, and deletes it if it is a good peer.
            Some((old_spi, ..)) => self.with_sa(old_spi, ctx, |sa, env| {
                sa.retire_at = Some(env.ctx.now + REPLACED_GRACE);
                Verdict::Continue
            }),
            None => {}
        }
        self.pursue(spi, ctx);
    }

    /// An SA is over: if it was the one in use the tunnel is down, and is tried again.
    fn on_ended(&mut self, tunnel: TunnelId, spi: u64, reason: DownReason, ctx: &mut Context<'_>) {
        let peer_began = self.sas.get(&spi).is_some_and(|sa| !sa.initiator && sa.established.is_none());
        let leaving = self.sas.get(&spi).is_some_and(IkeSa::is_leaving);
        let Some(known) = self.tunnels.get_mut(&tunnel) else { return };
        if peer_began {
            known.allowances.handshakes.charge(FAILED_AUTHENTICATION, ctx.now);
        }
        let was_current = known.current == Some(spi);
        if was_current {
            known.current = None;
        } else if known.current.is_none() {
            known.counters.failed += 1;
        }
        if known.attempt == Some(spi) {
            known.attempt = None;
        }
        if known.current.is_some() {
            return;
        }
        let at_once = matches!(reason, DownReason::LifetimeExpired { .. } | DownReason::PeerRestarted { .. });
        let peers_turn = matches!(reason, DownReason::PeerDeleted(Protocol::Ike)) && !was_current;
        if !peers_turn {
            let action = known.go_down(tunnel, reason, ctx.now);
            self.actions.extend(action);
        }
        let Some(known) = self.tunnels.get_mut(&tunnel) else { return };
        let others: Vec<u64> = if was_current { known.sas.iter().copied().collect() } else { Vec::new() };
        let again = !leaving
            && known.attempt.is_none()
            && known.retry_at.is_none()
            && known.config.admin == Admin::Up
            && known.config.startup == Startup::Initiate;
        if again && !at_once {
            known.retry_at = Some(ctx.now + known.next_delay());
            self.deadlines.set(Owner::Tunnel(tunnel), known.retry_at);
        }
        for other in others {
            if self.sas.get(&other).is_some_and(IkeSa::is_established) {
                self.close_sa(other, ctx);
            }
        }
        if again && at_once {
            self.begin(tunnel, ctx);
        }
    }

    /// Deletes an established SA, forgets one that is still being set up. One that is over already keeps no children.
    fn close_sa(&mut self, spi: u64, ctx: &mut Context<'_>) {
        self.with_sa(spi, ctx, |sa, env| {
            if sa.is_established() {
                sa.delete(env);
            } else if sa.is_pending() {
                sa.discard(env);
            } else {
                sa.drop_children(env);
            }
            Verdict::Continue
        });
    }

    fn discard_sa(&mut self, spi: u64, ctx: &mut Context<'_>) {
        self.with_sa(spi, ctx, |sa, env| {
            sa.discard(env);
            Verdict::Continue
        });
    }

    /// Has the tunnel's trace say what became of the message being handled.
    pub(crate) fn mark(&mut self, tunnel: TunnelId, mark: TraceMark) {
        if let Some(known) = self.tunnels.get_mut(&tunnel) {
            known.trace.mark(mark);
        }
    }

    fn take(&mut self, spi: u64) -> Option<IkeSa> {
        let sa = self.sas.remove(&spi)?;
        self.half_open -= usize::from(sa.is_half_open());
        Some(sa)
    }

    /// Puts an SA back, with its deadline; one that is over is forgotten.
    pub(crate) fn store(&mut self, sa: IkeSa) {
        let owner = Owner::Sa(sa.spi);
        let Some(known) = self.tunnels.get_mut(&sa.tunnel) else { return };
        if sa.is_over() {
            known.sas.remove(&sa.spi);
            self.deadlines.set(owner, None);
            return;
        }
        known.sas.insert(sa.spi);
        self.deadlines.set(owner, sa.deadline(&known.config));
        self.half_open += usize::from(sa.is_half_open());
        self.sas.insert(sa.spi, sa);
    }

    pub(crate) fn fresh_spi(&self, ctx: &mut Context<'_>) -> u64 {
        loop {
            let spi = ctx.rng.next_u64();
            if spi != 0 && !self.sas.contains_key(&spi) {
                return spi;
            }
        }
    }
}

/// How long a replaced SA still receives.
const REPLACED_GRACE: Duration = Duration::from_secs(10);
/// How long we wait for the peer to delete the SA of ours that lost a simultaneous start.
const LOSER_GRACE: Duration = Duration::from_secs(2);

/// A tunnel's SAs, by our SPI.
pub(crate) type Spis = BTreeSet<u64>;
