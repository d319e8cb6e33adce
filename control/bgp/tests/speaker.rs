//! Speakers in a network, in virtual time: what they learn of each other, and how traffic moves when something ends.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use bordergate_bgp::{
    Attributes, Condition, ConnectionId, Context, DownReason, Drain, Event, Excess, Families, Family, Filter,
    GracefulRestart, Ipv4Prefix, NeighborConfig, NextHops, PeerConfig, Prefix, PrefixLimit, SourceId, Speaker,
    SpeakerAction, State, Worth,
};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

const SECOND: Duration = Duration::from_secs(1);
const MILLISECOND: Duration = Duration::from_millis(1);
const OWN: SourceId = SourceId(0);
const BOTH: Families = Families { ipv4: true, ipv6: true };
const NONE: Families = Families { ipv4: false, ipv6: false };

/// A link between two speakers: each one's number and the other's name there.
type Link = [(usize, SourceId); 2];

enum Happening {
    Syn { link: usize, from: usize, connection: ConnectionId },
    Bytes { pipe: u64, to: usize, bytes: Vec<u8> },
    Fin { pipe: u64, to: usize },
    Written { link: usize, end: usize, bytes: usize },
}

struct Node {
    speaker: Speaker,
    number: u32,
    routes: BTreeMap<Prefix, Vec<u16>>,
    events: Vec<(Duration, SourceId, Event)>,
    /// When traffic of a prefix took another way.
    moves: Vec<(Duration, Prefix)>,
}

struct Net {
    nodes: Vec<Node>,
    links: Vec<Link>,
    cut: Vec<bool>,
    /// By pipe: its link, and each end's name for it.
    pipes: BTreeMap<u64, (usize, [ConnectionId; 2])>,
    happenings: BTreeMap<(Instant, u64), Happening>,
    rng: ChaCha8Rng,
    start: Instant,
    now: Instant,
    counter: u64,
    restart: Option<GracefulRestart>,
    limit: Option<PrefixLimit>,
}

impl Net {
    /// Speakers with these AS numbers, and links between them; none is configured yet.
    fn new(numbers: &[u32], links: &[Link]) -> Self {
        let now = Instant::now();
        let mut net = Self {
            nodes: Vec::new(),
            links: links.to_vec(),
            cut: vec![false; links.len()],
            pipes: BTreeMap::new(),
            happenings: BTreeMap::new(),
            rng: ChaCha8Rng::seed_from_u64(4),
            start: now,
            now,
            counter: 0,
            restart: None,
            limit: None,
        };
        for number in numbers {
            let node = net.node(*number, None);
            net.nodes.push(node);
        }
        net
    }

    fn node(&self, number: u32, deferral: Option<Duration>) -> Node {
        let mut speaker = Speaker::new(11, deferral, self.now);
        speaker.add_own(OWN, Worth { preference: 100, distance: 120 });
        Node { speaker, number, routes: BTreeMap::new(), events: Vec::new(), moves: Vec::new() }
    }

    fn address(&self, link: usize, end: usize) -> Ipv4Addr {
        Ipv4Addr::new(169, 254, link as u8, 1 + end as u8)
    }

    fn session(&self, link: usize, end: usize, restarting: bool) -> NeighborConfig {
        let [here, there] = [self.links[link][end].0, self.links[link][1 - end].0];
        NeighborConfig {
            local: self.address(link, end).into(),
            remote: self.address(link, 1 - end).into(),
            local_as: self.nodes[here].number,
            remote_as: self.nodes[there].number,
            router_id: Ipv4Addr::new(10, 0, 0, 1 + here as u8),
            hold_time: 90,
            connect_retry: 10 * SECOND,
            passive: false,
            families: BOTH,
            graceful_restart: self.restart.map(|restart| GracefulRestart { restarting, ..restart }),
        }
    }

    fn policy(&self, link: usize, end: usize) -> PeerConfig {
        let [here, there] = [self.links[link][end].0, self.links[link][1 - end].0];
        PeerConfig {
            worth: Worth { preference: 140, distance: 150 },
            local_as: self.nodes[here].number,
            remote_as: self.nodes[there].number,
            address: self.address(link, 1 - end).into(),
            next_hop: NextHops { ipv4: Some(self.address(link, end)), ipv6: None },
            allow_own_as: 0,
            override_as: false,
            import: Some(Filter::ALL),
            export: Some(Filter::ALL),
            prefix_limit: self.limit,
            drain: None,
        }
    }

    fn configure(&mut self, restarting: bool) {
        for link in 0..self.links.len() {
            for end in 0..2 {
                self.configure_end(link, end, restarting);
            }
        }
    }

    fn configure_end(&mut self, link: usize, end: usize, restarting: bool) {
        let (session, policy) = (self.session(link, end, restarting), self.policy(link, end));
        let (node, id) = self.links[link][end];
        self.on(node, |speaker, ctx| speaker.configure(id, session, policy, ctx).unwrap());
    }

    fn on<R>(&mut self, node: usize, call: impl FnOnce(&mut Speaker, &mut Context<'_>) -> R) -> R {
        let mut ctx = Context { now: self.now, rng: &mut self.rng };
        let result = call(&mut self.nodes[node].speaker, &mut ctx);
        self.collect(node);
        result
    }

    fn originate(&mut self, node: usize, prefixes: &[Prefix]) {
        for prefix in prefixes {
            let attributes = Attributes::originated(Ipv4Addr::UNSPECIFIED.into());
            self.on(node, |speaker, _| speaker.originate(OWN, *prefix, attributes));
        }
    }

    fn run_for(&mut self, time: Duration) {
        let until = self.now + time;
        loop {
            let timeouts = self.nodes.iter().filter_map(|node| node.speaker.next_timeout());
            let next = timeouts.chain(self.happenings.keys().next().map(|(at, _)| *at)).min();
            let Some(next) = next.filter(|next| *next <= until) else { break };
            self.now = self.now.max(next);
            while let Some(entry) = self.happenings.first_entry().filter(|entry| entry.key().0 <= self.now) {
                let happening = entry.remove();
                self.happen(happening);
            }
            for node in 0..self.nodes.len() {
                if self.nodes[node].speaker.next_timeout().is_some_and(|at| at <= self.now) {
                    self.on(node, |speaker, ctx| speaker.handle_timeout(ctx));
                }
            }
        }
        self.now = until;
    }

    fn elapsed(&self) -> Duration {
        self.now - self.start
    }

    fn routes(&self, node: usize) -> Vec<(Prefix, Vec<u16>)> {
        self.nodes[node].routes.iter().map(|(prefix, sources)| (*prefix, sources.clone())).collect()
    }

    fn state(&self, link: usize, end: usize) -> State {
        let (node, id) = self.links[link][end];
        self.nodes[node].speaker.status(id).unwrap().state
    }

    fn events(&self, node: usize, since: Duration) -> Vec<(SourceId, Event)> {
        let events = self.nodes[node].events.iter().filter(|(at, ..)| *at >= since);
        events.filter(|(.., event)| !matches!(event, Event::Up(_))).map(|(_, id, event)| (*id, event.clone())).collect()
    }

    /// A speaker dies without a word, and another one takes its place.
    fn crash(&mut self, node: usize, deferral: Option<Duration>, tell: bool) {
        let number = self.nodes[node].number;
        let links: Vec<_> = (0..self.links.len())
            .flat_map(|link| [0, 1].map(|end| (link, end)))
            .filter(|(link, end)| self.links[*link][*end].0 == node)
            .collect();
        let mine = |link: usize| links.iter().find(|(of, _)| *of == link).map(|(_, end)| *end);
        let pipes: Vec<_> = self.pipes.iter().map(|(pipe, (link, _))| (*pipe, *link)).collect();
        for (pipe, link) in pipes {
            if let Some(end) = mine(link) {
                if tell {
                    self.later(Happening::Fin { pipe, to: 1 - end });
                } else {
                    self.pipes.remove(&pipe);
                }
            }
        }
        self.nodes[node] = self.node(number, deferral);
        for (link, end) in links {
            self.configure_end(link, end, true);
        }
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Syn { link, from, connection } => {
                let ((node, id), (other, theirs)) = (self.links[link][from], self.links[link][1 - from]);
                let mut ctx = Context { now: self.now, rng: &mut self.rng };
                let accepted = if self.cut[link] { None } else { self.nodes[other].speaker.accepted(theirs, &mut ctx) };
                match accepted {
                    Some(name) => {
                        self.counter += 1;
                        let names = if from == 0 { [connection, name] } else { [name, connection] };
                        self.pipes.insert(self.counter, (link, names));
                        self.on(other, |speaker, ctx| speaker.follow(theirs, ctx));
                        self.on(node, |speaker, ctx| speaker.connected(id, connection, ctx));
                    }
                    None => self.on(node, |speaker, ctx| speaker.connect_failed(id, connection, ctx)),
                }
            }
            Happening::Bytes { pipe, to, bytes } => {
                let Some((link, names)) = self.pipes.get(&pipe).filter(|(link, _)| !self.cut[*link]).copied() else {
                    return;
                };
                let (node, id) = self.links[link][to];
                self.later(Happening::Written { link, end: 1 - to, bytes: bytes.len() });
                for piece in bytes.chunks(10_000) {
                    self.on(node, |speaker, ctx| speaker.received(id, names[to], piece, ctx));
                }
            }
            Happening::Fin { pipe, to } => {
                let Some((link, names)) = self.pipes.get(&pipe).filter(|(link, _)| !self.cut[*link]).copied() else {
                    return;
                };
                self.pipes.remove(&pipe);
                let (node, id) = self.links[link][to];
                self.on(node, |speaker, ctx| speaker.closed(id, names[to], ctx));
            }
            Happening::Written { link, end, bytes } => {
                let (node, id) = self.links[link][end];
                self.on(node, |speaker, _| speaker.written(id, bytes));
            }
        }
    }

    fn collect(&mut self, node: usize) {
        let at = self.elapsed();
        let mut actions = VecDeque::new();
        let known = &mut self.nodes[node];
        while let Some(change) = known.speaker.poll_route() {
            known.moves.push((at, change.prefix));
            match change.selection {
                Some(selection) => {
                    let sources = known.speaker.rib().sources(selection).iter().map(|source| source.0).collect();
                    known.routes.insert(change.prefix, sources);
                }
                None => drop(known.routes.remove(&change.prefix)),
            }
        }
        while let Some(action) = known.speaker.poll_action() {
            actions.push_back(action);
        }
        for action in actions {
            match action {
                SpeakerAction::Connect { peer, connection } => {
                    let (link, from) = self.end_of(node, peer);
                    self.later(Happening::Syn { link, from, connection });
                }
                SpeakerAction::Transmit { peer, connection, bytes } => {
                    let (link, end) = self.end_of(node, peer);
                    if let Some(pipe) = self.pipe(link, end, connection) {
                        self.later(Happening::Bytes { pipe, to: 1 - end, bytes: bytes.to_vec() });
                    }
                }
                SpeakerAction::Close { peer, connection } => {
                    let (link, end) = self.end_of(node, peer);
                    if let Some(pipe) = self.pipe(link, end, connection) {
                        self.later(Happening::Fin { pipe, to: 1 - end });
                    }
                }
                SpeakerAction::Event { peer, event } => self.nodes[node].events.push((at, peer, event)),
            }
        }
    }

    fn end_of(&self, node: usize, peer: SourceId) -> (usize, usize) {
        let ends = (0..self.links.len()).flat_map(|link| [0, 1].map(|end| (link, end)));
        ends.into_iter().find(|(link, end)| self.links[*link][*end] == (node, peer)).unwrap()
    }

    fn pipe(&self, link: usize, end: usize, connection: ConnectionId) -> Option<u64> {
        let found = self.pipes.iter().find(|(_, (of, names))| *of == link && names[end] == connection);
        found.map(|(pipe, _)| *pipe)
    }

    fn later(&mut self, happening: Happening) {
        self.counter += 1;
        self.happenings.insert((self.now + MILLISECOND, self.counter), happening);
    }
}

fn prefix(number: u32) -> Prefix {
    Prefix::V4(Ipv4Prefix::new(Ipv4Addr::from(0x0a00_0000 | number << 8), 24))
}

/// A gateway with two tunnels to one customer.
fn two_tunnels() -> Net {
    let mut net =
        Net::new(&[65000, 65010], &[[(0, SourceId(1)), (1, SourceId(1))], [(0, SourceId(2)), (1, SourceId(2))]]);
    net.configure(false);
    net
}

#[test]
fn two_tunnels_share_the_traffic_and_the_other_has_it_when_one_is_lost() {
    let mut net = two_tunnels();
    let prefixes: Vec<_> = (0..3000).map(prefix).collect();
    net.originate(1, &prefixes);
    net.originate(0, &[prefix(9000)]);
    net.run_for(5 * SECOND);
    assert_eq!(net.routes(0).len(), 3001);
    assert!(prefixes.iter().all(|prefix| net.nodes[0].routes[prefix] == [1, 2]));
    assert_eq!(net.nodes[1].routes[&prefix(9000)], [1, 2]);
    // BFD or the tunnel says that one is gone: all its routes move in the same moment.
    let since = net.elapsed();
    net.cut[0] = true;
    net.on(0, |speaker, ctx| speaker.set_path(SourceId(1), false, ctx));
    assert!(prefixes.iter().all(|prefix| net.nodes[0].routes[prefix] == [2]));
    assert_eq!(net.events(0, since), [(SourceId(1), Event::Down { reason: DownReason::PathLost, retain: NONE })]);
    net.cut[0] = false;
    net.on(0, |speaker, ctx| speaker.set_path(SourceId(1), true, ctx));
    net.run_for(120 * SECOND);
    assert!(prefixes.iter().all(|prefix| net.nodes[0].routes[prefix] == [1, 2]));
    // Nothing was moved but by that.
    let moved: Vec<_> = net.nodes[0].moves.iter().filter(|(at, _)| *at > since).collect();
    assert!(moved.len() <= 2 * 3001, "{}", moved.len());
}

#[test]
fn a_customer_is_told_of_other_networks_and_never_of_its_own() {
    // Two customers, and one gateway between them.
    let mut net =
        Net::new(&[65000, 65010, 65020], &[[(0, SourceId(1)), (1, SourceId(1))], [(0, SourceId(2)), (2, SourceId(1))]]);
    net.configure(false);
    net.originate(1, &[prefix(1)]);
    net.originate(2, &[prefix(2)]);
    net.run_for(2 * SECOND);
    assert_eq!(net.routes(1), [(prefix(1), vec![0]), (prefix(2), vec![1])]);
    assert_eq!(net.routes(2), [(prefix(1), vec![1]), (prefix(2), vec![0])]);
    let path = |node: usize, number: u32| {
        let candidates = net.nodes[node].speaker.rib().candidates(&prefix(number));
        candidates[0].received.as_numbers().collect::<Vec<_>>()
    };
    assert_eq!((path(1, 2), path(2, 1)), (vec![65000, 65020], vec![65000, 65010]));
    net.on(1, |speaker, _| speaker.retract(OWN, &prefix(1)));
    net.run_for(SECOND);
    assert_eq!(net.routes(2), [(prefix(2), vec![0])]);
}

#[test]
fn a_drained_tunnel_loses_its_traffic_before_its_session() {
    let mut net = two_tunnels();
    net.originate(0, &[prefix(7)]);
    net.run_for(2 * SECOND);
    assert_eq!(net.nodes[1].routes[&prefix(7)], [1, 2]);
    let drained = PeerConfig { drain: Some(Drain { med: Some(1000), prepend: 2 }), ..net.policy(0, 0) };
    let session = net.session(0, 0, false);
    net.on(0, |speaker, ctx| speaker.configure(SourceId(1), session, drained, ctx).unwrap());
    net.run_for(SECOND);
    // The customer has moved, and both sessions are up; now the end of one of them is no news for any packet.
    assert_eq!(net.nodes[1].routes[&prefix(7)], [2]);
    let since = net.nodes[1].moves.len();
    net.on(0, |speaker, ctx| speaker.stop(SourceId(1), "maintenance", ctx));
    net.run_for(SECOND);
    assert_eq!((net.nodes[1].moves.len(), net.state(1, 1)), (since, State::Established));
}

fn restart(seconds: u16, long_lived: u32) -> Option<GracefulRestart> {
    Some(GracefulRestart { restart_time: seconds, long_lived_stale_time: long_lived, restarting: false })
}

#[test]
fn traffic_flows_on_while_a_peer_restarts_and_moves_nowhere() {
    for tell in [true, false] {
        let mut net = two_tunnels();
        net.restart = restart(120, 0);
        net.configure(false);
        let prefixes: Vec<_> = (0..500).map(prefix).collect();
        net.originate(1, &prefixes);
        net.run_for(5 * SECOND);
        let moved = net.nodes[0].moves.len();
        let since = net.elapsed();
        net.crash(1, Some(60 * SECOND), tell);
        net.originate(1, &prefixes[..400]);
        net.run_for(30 * SECOND);
        // What it does not have any more goes when it has said all, from one tunnel after the other; nothing else has moved.
        assert_eq!(net.routes(0).len(), 400);
        assert!(prefixes[..400].iter().all(|prefix| net.nodes[0].routes[prefix] == [1, 2]));
        let moves = &net.nodes[0].moves[moved..];
        assert!(moves.len() == 200 && moves.iter().all(|(_, moved)| prefixes[400..].contains(moved)), "told: {tell}");
        let reason = if tell { DownReason::ConnectionClosed } else { DownReason::Restarted };
        let down = |id| (SourceId(id), Event::Down { reason: reason.clone(), retain: BOTH });
        let events = net.events(0, since);
        assert!(events.contains(&down(1)) && events.contains(&down(2)), "{events:?}");
        assert!(events.contains(&(SourceId(1), Event::EndOfRib(Family::Ipv4))));
        assert!(!events.iter().any(|(_, event)| matches!(event, Event::StaleDropped(..))));
    }
}

#[test]
fn what_a_peer_leaves_behind_goes_when_its_time_is_over() {
    let mut net = two_tunnels();
    net.restart = restart(20, 100);
    net.configure(false);
    net.originate(1, &[prefix(1)]);
    net.run_for(5 * SECOND);
    let since = net.elapsed();
    net.crash(1, None, true);
    // That it is gone still arrives; that it is back does not.
    net.run_for(MILLISECOND);
    net.cut = vec![true; 2];
    net.run_for(19 * SECOND);
    assert_eq!(net.nodes[0].routes[&prefix(1)], [1, 2]);
    net.run_for(2 * SECOND);
    let events = net.events(0, since);
    assert!(events.contains(&(SourceId(1), Event::LastResort(Family::Ipv4))), "{events:?}");
    assert_eq!(net.nodes[0].routes[&prefix(1)], [1, 2]);
    net.run_for(100 * SECOND);
    let events = net.events(0, since);
    assert!(events.contains(&(SourceId(1), Event::StaleDropped(Family::Ipv4, 1))), "{events:?}");
    assert!(net.routes(0).is_empty());
}

#[test]
fn a_restarted_speaker_tells_nothing_until_it_knows_everything() {
    let mut net = two_tunnels();
    net.restart = restart(120, 0);
    net.configure(false);
    net.originate(1, &[prefix(1)]);
    net.run_for(5 * SECOND);
    let since = net.elapsed();
    // One tunnel comes back, the other does not: only time ends the wait.
    net.crash(0, Some(60 * SECOND), true);
    net.cut[1] = true;
    net.originate(0, &[prefix(2)]);
    net.run_for(50 * SECOND);
    assert_eq!(net.state(0, 0), State::Established);
    // Traffic takes what there is: there is no older way that would be better.
    assert_eq!(net.nodes[0].routes[&prefix(1)], [1]);
    assert!(!net.events(1, since).contains(&(SourceId(1), Event::EndOfRib(Family::Ipv4))));
    net.run_for(11 * SECOND);
    assert_eq!(net.nodes[0].routes[&prefix(1)], [1]);
    assert!(net.events(1, since).contains(&(SourceId(1), Event::EndOfRib(Family::Ipv4))));
    // Where all peers come back, they end it.
    net.cut[1] = false;
    net.run_for(60 * SECOND);
    net.crash(0, Some(600 * SECOND), true);
    net.run_for(5 * SECOND);
    assert_eq!(net.nodes[0].routes[&prefix(1)], [1, 2]);
    // It says that it has restarted until that is over.
    let restarting = |net: &Net| {
        let negotiated = net.nodes[1].speaker.status(SourceId(1)).unwrap().negotiated.unwrap();
        negotiated.restart.as_ref().unwrap().restarting
    };
    assert!(restarting(&net));
    net.on(0, |speaker, ctx| speaker.reset(SourceId(1), "", ctx));
    net.run_for(5 * SECOND);
    assert!(!restarting(&net));
    // Nor does a configuration that says so still begin anything anew.
    let since = net.elapsed();
    net.configure_end(0, 0, true);
    net.run_for(5 * SECOND);
    assert_eq!((net.events(0, since), restarting(&net)), (vec![], false));
    // Peers that know nothing of restarts are not waited for once they are up.
    net.restart = None;
    net.configure(false);
    net.run_for(60 * SECOND);
    net.crash(0, Some(600 * SECOND), true);
    net.run_for(20 * SECOND);
    assert_eq!(net.nodes[0].routes[&prefix(1)], [1, 2]);
}

#[test]
fn a_peer_that_is_back_and_says_nothing_keeps_its_routes_for_six_minutes() {
    let mut net = two_tunnels();
    net.restart = restart(120, 0);
    net.configure(false);
    net.originate(1, &[prefix(1)]);
    net.run_for(5 * SECOND);
    // It waits for the other tunnel before it says anything.
    net.crash(1, Some(10_000 * SECOND), true);
    net.run_for(MILLISECOND);
    net.cut[1] = true;
    net.run_for(350 * SECOND);
    assert_eq!((net.state(0, 0), net.nodes[0].routes[&prefix(1)].clone()), (State::Established, vec![1]));
    net.run_for(20 * SECOND);
    assert!(net.routes(0).is_empty());
    let dropped = (SourceId(1), Event::StaleDropped(Family::Ipv4, 1));
    assert!(net.events(0, Duration::ZERO).contains(&dropped));
}

#[test]
fn a_peer_that_announces_too_much_loses_its_session_for_a_while_and_no_other_does() {
    let mut net = two_tunnels();
    net.limit = Some(PrefixLimit { most: 10, excess: Excess::Restart(30 * SECOND) });
    net.configure_end(0, 0, false);
    net.originate(1, &(0..8).map(prefix).collect::<Vec<_>>());
    net.run_for(2 * SECOND);
    assert!(net.events(0, Duration::ZERO).contains(&(SourceId(1), Event::PrefixWarning(Family::Ipv4, 10))));
    let since = net.elapsed();
    net.originate(1, &(8..20).map(prefix).collect::<Vec<_>>());
    net.run_for(2 * SECOND);
    let limit = net.limit.unwrap();
    assert!(net.events(0, since).contains(&(SourceId(1), Event::PrefixLimit(Family::Ipv4, limit))));
    assert_eq!(net.nodes[0].routes.len(), 20);
    assert!(net.nodes[0].routes.values().all(|sources| *sources == [2]));
    assert_eq!((net.state(0, 0), net.state(1, 0)), (State::Idle, State::Established));
    net.nodes[1].events.clear();
    net.run_for(28 * SECOND);
    assert_eq!(net.state(0, 0), State::Idle);
    // It is let in again, and sent away again.
    net.run_for(12 * SECOND);
    let ups = net.nodes[1].events.iter().filter(|(_, id, event)| *id == SourceId(1) && matches!(event, Event::Up(_)));
    assert_eq!(ups.count(), 1);
}

#[test]
fn a_peer_that_reads_slowly_is_told_only_what_still_holds() {
    let mut net = two_tunnels();
    net.run_for(SECOND);
    // Nothing is reported as written from here on.
    let mut ctx_rng = ChaCha8Rng::seed_from_u64(1);
    let mut bytes = 0;
    for round in 0..20u32 {
        for number in 0..20_000 {
            let mut attributes = Attributes::originated(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
            attributes.add_community(round);
            net.nodes[0].speaker.originate(OWN, prefix(number), attributes);
        }
        let mut ctx = Context { now: net.now, rng: &mut ctx_rng };
        net.nodes[0].speaker.follow(SourceId(1), &mut ctx);
        while let Some(action) = net.nodes[0].speaker.poll_action() {
            if let SpeakerAction::Transmit { peer: SourceId(1), bytes: more, .. } = action {
                bytes += more.len();
            }
        }
    }
    // 400 000 changes wait as 20 000 prefixes; what is under way is bounded.
    assert!((100_000..300_000).contains(&bytes), "{bytes}");
    // What was under way is forgotten with its connection, and the next one is told everything.
    net.on(0, |speaker, ctx| speaker.reset(SourceId(1), "", ctx));
    net.run_for(20 * SECOND);
    assert_eq!(net.state(0, 0), State::Established);
    let told = net.nodes[1].speaker.rib().candidates(&prefix(19_999));
    assert!(told.iter().any(|candidate| candidate.source == SourceId(1) && !candidate.stale));
}

#[test]
fn another_policy_changes_routes_and_no_session() {
    let mut net = two_tunnels();
    net.originate(1, &[prefix(1), prefix(2)]);
    net.run_for(2 * SECOND);
    let within = bordergate_bgp::PrefixRange { within: prefix(1), at_least: 24, at_most: 32 };
    let rule = bordergate_bgp::Rule {
        conditions: vec![Condition::Prefix(vec![within])],
        changes: vec![],
        verdict: Some(bordergate_bgp::Verdict::Reject),
    };
    let import = Filter { rules: vec![rule], otherwise: bordergate_bgp::Verdict::Accept };
    let (session, policy) = (net.session(0, 0, false), PeerConfig { import: Some(import), ..net.policy(0, 0) });
    net.on(0, |speaker, ctx| speaker.configure(SourceId(1), session, policy, ctx).unwrap());
    assert_eq!(net.routes(0), [(prefix(1), vec![2]), (prefix(2), vec![1, 2])]);
    net.run_for(2 * SECOND);
    assert_eq!(net.nodes[0].speaker.status(SourceId(1)).unwrap().times_up, 1);
    net.on(0, |speaker, ctx| speaker.remove(SourceId(2), "gone", ctx));
    net.run_for(SECOND);
    assert_eq!(net.routes(0), [(prefix(2), vec![1])]);
    let communication = Some("gone".to_owned());
    let notified = DownReason::Notified { code: 6, subcode: 2, hard: false, communication };
    assert!(net.events(1, Duration::ZERO).contains(&(SourceId(2), Event::Down { reason: notified, retain: NONE })));
}
