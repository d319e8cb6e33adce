//! Two ends whose messages a test delivers, holds back, or drops one by one, and whose nonces it chooses.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bordergate_ike::*;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng, TryCryptoRng, TryRng};

use crate::pair::{A, B, TUNNEL, config};
use crate::{ASK, GRANT};

pub use Peer::{Left, Right};

/// One of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    Left,
    Right,
}

impl Peer {
    pub const BOTH: [Self; 2] = [Left, Right];

    pub fn other(self) -> Self {
        match self {
            Left => Right,
            Right => Left,
        }
    }
}

/// A generator whose long answers begin with a chosen byte: so do the nonces, and the lowest nonce decides.
pub struct Nonces {
    rng: ChaCha8Rng,
    first: Option<u8>,
}

impl TryRng for Nonces {
    type Error = std::convert::Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        Ok(self.rng.next_u32())
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        Ok(self.rng.next_u64())
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Self::Error> {
        self.rng.fill_bytes(bytes);
        if let (Some(first), [byte, rest @ ..]) = (self.first, bytes)
            && rest.len() >= 31
        {
            *byte = first;
        }
        Ok(())
    }
}

impl TryCryptoRng for Nonces {}

/// SPIs in a row: the order tells which exchange a child comes from.
#[derive(Default)]
pub struct Spis {
    pub given: Vec<u32>,
    live: BTreeSet<u32>,
}

impl SpiAllocator for Spis {
    fn allocate(&mut self, _: TunnelId) -> Option<u32> {
        let spi = 0x1000 + self.given.len() as u32;
        self.given.push(spi);
        self.live.insert(spi);
        Some(spi)
    }

    fn release(&mut self, _: TunnelId, spi: u32) {
        assert!(self.live.remove(&spi), "SPI {spi:#x} was given back twice");
    }
}

/// A message on its way.
#[derive(Clone)]
pub struct Message {
    from: Peer,
    local: SocketAddr,
    remote: SocketAddr,
    payload: Vec<u8>,
}

impl Message {
    /// Its exchange and whether it is a request.
    pub fn kind(&self) -> String {
        let exchange = match self.payload[18] {
            34 => "IKE_SA_INIT",
            35 => "IKE_AUTH",
            36 => "CREATE_CHILD_SA",
            37 => "INFORMATIONAL",
            43 => "IKE_INTERMEDIATE",
            44 => "IKE_FOLLOWUP_KE",
            _ => "?",
        };
        format!("{exchange} {}", if self.payload[19] & 0x20 == 0 { "request" } else { "response" })
    }

    /// Whether its sender is the original initiator of the IKE SA.
    fn is_initiators(&self) -> bool {
        self.payload[19] & 0x08 != 0
    }
}

/// One end.
pub struct Node {
    pub endpoint: Endpoint,
    rng: Nonces,
    pub spis: Spis,
    pub installed: BTreeMap<u32, ChildSa>,
    pub sending: Option<u32>,
    /// Its messages that are neither delivered nor dropped, oldest first.
    pub sent: VecDeque<Message>,
    pub ups: usize,
    pub downs: Vec<&'static str>,
    /// The last message of all.
    last: Option<Message>,
}

/// Both ends.
pub struct Duo {
    left: Node,
    right: Node,
    now: Instant,
    /// At no moment may either end seal with what the other one cannot open, or have nothing to seal with.
    pub strict: bool,
}

impl Duo {
    /// A tunnel that is up, whose IKE SA this end began.
    pub fn up(initiator: Peer) -> Self {
        Self::configured(initiator, |_, _| {})
    }

    /// The same, with configurations changed before.
    pub fn configured(initiator: Peer, change: impl FnOnce(&mut TunnelConfig, &mut TunnelConfig)) -> Self {
        let startup = |of| if of == initiator { Startup::Initiate } else { Startup::Respond };
        let (mut left, mut right) = (config(A, B, startup(Left)), config(B, A, startup(Right)));
        change(&mut left, &mut right);
        let mut duo = Self { left: node(1), right: node(2), now: Instant::now(), strict: false };
        let (first, second) =
            if initiator == Left { ((Right, right), (Left, left)) } else { ((Left, left), (Right, right)) };
        for (of, config) in [first, second] {
            duo.on(of, |e, ctx| e.configure(TUNNEL, config, ctx).unwrap());
        }
        duo.run(1);
        duo.assert_joined();
        duo.strict = true;
        duo
    }

    /// This end's next nonces begin with this byte.
    pub fn nonce(&mut self, of: Peer, first: u8) {
        self.node_mut(of).rng.first = Some(first);
    }

    /// This end asks for another child in the place of the one there is.
    pub fn rekey_child(&mut self, of: Peer, nonce: u8) {
        self.nonce(of, nonce);
        self.on(of, |e, ctx| e.rekey_children(TUNNEL, ctx));
        assert_eq!(self.waiting(of).last().map(String::as_str), Some("CREATE_CHILD_SA request"));
    }

    /// This end asks for another IKE SA in the place of the one there is.
    pub fn rekey_ike(&mut self, of: Peer, nonce: u8) {
        self.nonce(of, nonce);
        self.on(of, |e, ctx| e.rekey_ike(TUNNEL, ctx));
        assert_eq!(self.waiting(of).last().map(String::as_str), Some("CREATE_CHILD_SA request"));
    }

    /// Both ends ask for another of a kind, and both requests arrive before either answer.
    pub fn collide(&mut self, rekey: fn(&mut Self, Peer, u8), nonces: [u8; 4]) {
        rekey(self, Left, nonces[0]);
        rekey(self, Right, nonces[1]);
        self.nonce(Right, nonces[2]);
        self.pass(Left, ASK);
        self.nonce(Left, nonces[3]);
        self.pass(Right, ASK);
    }

    /// Both ends ask; left's request is held back, and right's is answered.
    pub fn miss(&mut self, rekey: fn(&mut Self, Peer, u8), [left, right, answer]: [u8; 3]) -> Message {
        rekey(self, Left, left);
        rekey(self, Right, right);
        let held = self.hold(Left, ASK);
        self.nonce(Left, answer);
        self.pass(Right, ASK);
        self.pass(Left, GRANT);
        held
    }

    /// Delivers this end's oldest message, which has to be of this kind.
    pub fn pass(&mut self, from: Peer, kind: &str) {
        let message = self.hold(from, kind);
        self.deliver(message);
    }

    /// Takes this end's oldest message off the wire.
    pub fn hold(&mut self, from: Peer, kind: &str) -> Message {
        let message = self.node_mut(from).sent.pop_front();
        let message = message.unwrap_or_else(|| panic!("{from:?} has sent no {kind}"));
        assert_eq!(message.kind(), kind, "from {from:?}");
        message
    }

    /// Delivers a message that was held back.
    pub fn deliver(&mut self, message: Message) {
        let Message { from, local, remote, payload } = message;
        self.on(from.other(), |e, ctx| e.handle_datagram(remote, local, &payload, ctx));
    }

    /// Nothing is on its way from this end.
    pub fn assert_silent(&self, of: Peer) {
        assert!(self.node(of).sent.is_empty(), "{of:?} has sent {:?}", self.waiting(of));
    }

    /// Delivers everything at once as it is sent, and lets time pass.
    pub fn run(&mut self, seconds: u64) {
        let end = self.now + Duration::from_secs(seconds);
        for _ in 0..100_000 {
            if let Some(message) = Peer::BOTH.iter().find_map(|of| self.node_mut(*of).sent.pop_front()) {
                self.deliver(message);
                continue;
            }
            let due = Peer::BOTH.iter().filter_map(|of| self.node(*of).endpoint.next_timeout().map(|at| (at, *of)));
            let Some((at, of)) = due.min_by_key(|(at, _)| *at).filter(|(at, _)| *at <= end) else {
                self.now = end;
                return;
            };
            self.now = self.now.max(at);
            self.on(of, |e, ctx| e.handle_timeout(ctx));
        }
        panic!("the machine spins");
    }

    /// Lets time pass in which nothing is delivered; what is sent again meanwhile is dropped.
    pub fn wait(&mut self, time: Duration) {
        let end = self.now + time;
        let held: Vec<VecDeque<Message>> = Peer::BOTH.iter().map(|of| self.node(*of).sent.clone()).collect();
        for of in Peer::BOTH {
            self.let_time_out(of, end);
        }
        self.now = end;
        for (of, held) in Peer::BOTH.into_iter().zip(held) {
            self.node_mut(of).sent = held;
        }
    }

    /// Time passes for this end alone, as if the other one's timers were late; nothing is delivered.
    pub fn wait_for(&mut self, of: Peer, time: Duration) {
        let end = self.now + time;
        self.let_time_out(of, end);
        self.now = end;
        self.node_mut(of).sent.clear();
    }

    fn let_time_out(&mut self, of: Peer, end: Instant) {
        for turn in 0.. {
            let Some(at) = self.node(of).endpoint.next_timeout().filter(|at| *at <= end) else { break };
            self.now = self.now.max(at);
            self.on(of, |e, ctx| e.handle_timeout(ctx));
            assert!(turn < 1000, "the machine spins");
        }
    }

    /// Whatever is still on its way arrives, and some time later there is one child and one IKE SA, the same at both ends.
    /// Neither end has ever seen the tunnel go down.
    pub fn settle(&mut self) {
        self.run(100);
        self.assert_joined();
        for of in Peer::BOTH {
            assert_eq!(self.node(of).ups, 1, "{of:?}");
            assert!(self.node(of).downs.is_empty(), "{of:?}: {:?}", self.node(of).downs);
        }
    }

    pub fn assert_joined(&self) {
        for of in Peer::BOTH {
            let (here, there) = (self.node(of), self.node(of.other()));
            assert_eq!(here.endpoint.status(TUNNEL).map(|s| s.state), Some(TunnelState::Up), "{of:?}");
            assert_eq!(here.installed.len(), 1, "{of:?} has {:x?}", here.installed.keys());
            assert!(here.spis.live.iter().eq(here.installed.keys()), "{of:?} has SPIs left over");
            assert_eq!(here.endpoint.sa_count(), 1, "{of:?}");
            let (ours, theirs) = (here.child(), there.child());
            assert_eq!((ours.inbound_spi, ours.outbound_spi), (theirs.outbound_spi, theirs.inbound_spi));
            assert_eq!(ours.inbound_key, theirs.outbound_key);
            assert_eq!(ours.local_selectors, theirs.remote_selectors);
        }
    }

    /// This end, which took the tunnel down, starts it again, and it comes up as it was.
    pub fn assert_comes_back(&mut self, of: Peer) {
        self.run(20);
        assert!(self.node(of).installed.is_empty(), "{of:?}");
        self.on(of, |e, ctx| e.initiate(TUNNEL, ctx));
        self.run(100);
        self.assert_joined();
    }

    /// The end that began the IKE SA now in use, and the SA's SPIs, as the next probe shows them.
    pub fn ike_sa(&mut self) -> (Peer, [u8; 16]) {
        self.node_mut(Left).last = None;
        self.run(60);
        let probe = self.node(Left).last.clone().expect("an idle tunnel is probed");
        let spis = probe.payload[..16].try_into().unwrap();
        (if probe.is_initiators() { Left } else { Right }, spis)
    }

    pub fn node(&self, of: Peer) -> &Node {
        match of {
            Left => &self.left,
            Right => &self.right,
        }
    }

    pub fn on(&mut self, of: Peer, happens: impl FnOnce(&mut Endpoint, &mut Context<'_>)) {
        let now = self.now;
        let node = self.node_mut(of);
        let mut ctx = Context { now, unix_time: 0, rng: &mut node.rng, spis: &mut node.spis };
        happens(&mut node.endpoint, &mut ctx);
        node.act(of);
        if self.strict {
            self.assert_open();
        }
    }

    /// What each end seals the other one can open.
    fn assert_open(&self) {
        for of in Peer::BOTH {
            let (here, there) = (self.node(of), self.node(of.other()));
            let sealing = here.sending.map(|spi| &here.installed[&spi]);
            let sealing = sealing.unwrap_or_else(|| panic!("{of:?} has nothing to send with"));
            let opening = there.installed.get(&sealing.outbound_spi);
            let opening = opening.unwrap_or_else(|| panic!("{of:?} sends what the other end cannot open"));
            assert!(sealing.outbound_key == opening.inbound_key, "{of:?} seals with another key");
        }
    }

    fn waiting(&self, of: Peer) -> Vec<String> {
        self.node(of).sent.iter().map(Message::kind).collect()
    }

    fn node_mut(&mut self, of: Peer) -> &mut Node {
        match of {
            Left => &mut self.left,
            Right => &mut self.right,
        }
    }
}

impl Node {
    /// The child that sends.
    pub fn child(&self) -> &ChildSa {
        &self.installed[&self.sending.expect("a child is in use")]
    }

    fn act(&mut self, of: Peer) {
        while let Some(action) = self.endpoint.poll_action() {
            match action {
                Action::Transmit { local, remote, datagram } => {
                    let message = Message { from: of, local, remote, payload: datagram };
                    self.last = Some(message.clone());
                    self.sent.push_back(message);
                }
                Action::InstallChild(child) => {
                    assert!(self.spis.live.contains(&child.inbound_spi));
                    assert!(self.installed.insert(child.inbound_spi, *child).is_none());
                }
                Action::UseChild { inbound_spi, .. } => {
                    assert!(self.installed.contains_key(&inbound_spi));
                    self.sending = Some(inbound_spi);
                }
                Action::RemoveChild { inbound_spi, .. } => {
                    assert!(self.installed.remove(&inbound_spi).is_some(), "{inbound_spi:#x} was removed twice");
                    assert!(self.spis.live.remove(&inbound_spi));
                    self.sending = self.sending.filter(|spi| *spi != inbound_spi);
                }
                Action::MoveChild { .. } => panic!("nobody has moved"),
                Action::Up { .. } => self.ups += 1,
                Action::Down { reason, .. } => self.downs.push(reason.code()),
            }
        }
    }
}

fn node(seed: u64) -> Node {
    Node {
        endpoint: Endpoint::new(),
        rng: Nonces { rng: ChaCha8Rng::seed_from_u64(seed), first: None },
        spis: Spis::default(),
        installed: BTreeMap::new(),
        sending: None,
        sent: VecDeque::new(),
        ups: 0,
        downs: Vec::new(),
        last: None,
    }
}
