//! A whole endpoint at B, and a peer at A that says in IKE_AUTH what our own initiator does not.

use super::*;
use crate::endpoint::Endpoint;
use crate::message::selectors_body;
use crate::sa::authentication::our_identity;

pub(super) const TUNNEL: TunnelId = TunnelId(1);

/// The endpoint and what its caller sees.
pub(super) struct Gateway {
    pub(super) endpoint: Endpoint,
    pub(super) now: Instant,
    rng: ChaCha8Rng,
    spis: Counting,
}

struct Counting(u32);

impl SpiAllocator for Counting {
    fn allocate(&mut self, _: TunnelId) -> Option<u32> {
        self.0 += 1;
        Some(self.0)
    }

    fn release(&mut self, _: TunnelId, _: u32) {}
}

impl Gateway {
    pub(super) fn new(config: &TunnelConfig) -> Self {
        let rng = ChaCha8Rng::seed_from_u64(9);
        let mut gateway = Self { endpoint: Endpoint::new(), now: Instant::now(), rng, spis: Counting(0x2000) };
        gateway.with(|endpoint, ctx| endpoint.configure(TUNNEL, config.clone(), ctx).unwrap());
        gateway
    }

    /// Runs something; gives what is to be done.
    pub(super) fn with<T>(&mut self, f: impl FnOnce(&mut Endpoint, &mut Context<'_>) -> T) -> Vec<Action> {
        let mut ctx = Context { now: self.now, unix_time: 0, rng: &mut self.rng, spis: &mut self.spis };
        f(&mut self.endpoint, &mut ctx);
        std::iter::from_fn(|| self.endpoint.poll_action()).collect()
    }

    /// Takes a message of A's as it comes along this path of A's.
    pub(super) fn hear(&mut self, path: Path, datagram: &[u8]) -> Vec<Action> {
        self.with(|endpoint, ctx| endpoint.handle_datagram(path.remote, path.local, datagram, ctx))
    }

    pub(super) fn wait(&mut self, time: Duration) -> Vec<Action> {
        self.now += time;
        self.with(|endpoint, ctx| endpoint.handle_timeout(ctx))
    }

    pub(super) fn status(&self) -> crate::status::TunnelStatus {
        self.endpoint.status(TUNNEL).unwrap()
    }
}

/// What is sent, without the marker, with where it goes.
pub(super) fn sent(actions: &[Action]) -> Vec<(SocketAddr, Vec<u8>)> {
    let transmit = |action: &Action| match action {
        Action::Transmit { local, remote, datagram } => Some((*remote, unmarked(*local, datagram))),
        _ => None,
    };
    actions.iter().filter_map(transmit).collect()
}

/// What is done, by name.
pub(super) fn names(actions: &[Action]) -> Vec<&'static str> {
    let name = |action: &Action| match action {
        Action::Transmit { .. } => "transmit",
        Action::InstallChild(_) => "install",
        Action::UseChild { .. } => "use",
        Action::RemoveChild { .. } => "remove",
        Action::MoveChild { .. } => "move",
        Action::Up { .. } => "up",
        Action::Down { .. } => "down",
    };
    actions.iter().map(name).collect()
}

/// A after IKE_SA_INIT with this gateway, and the notifications in the gateway's answer.
pub(super) fn opened(gateway: &mut Gateway) -> (End, Vec<u16>) {
    let mut a = End::new(A, B);
    let (sa, out) = a.with(|_, env| IkeSa::initiate(TUNNEL, 0xa, None, env));
    a.sa = Some(Box::new(sa));
    let (_, answer) = sent(&gateway.hear(a.path, &out[0])).remove(0);
    let header = Header::parse(&answer).unwrap();
    let payloads = Payloads::parse(header.next_payload, &answer[HEADER_BYTES..]).unwrap();
    let kinds = payloads.notifies.iter().map(|notify| notify.kind).collect();
    a.hear(&answer);
    (a, kinds)
}

/// A's IKE_AUTH with these notifications, with or without a child, in the place of that which A has sent.
pub(super) fn authentication(a: &mut End, child: bool, notifies: &[u16]) -> Vec<u8> {
    let send = |sa: &mut Option<Box<IkeSa>>, env: &mut Env<'_, '_>| {
        let sa = sa.as_mut().unwrap();
        let Phase::Authenticating(kept) = &sa.phase else { panic!("{:?}", sa.phase) };
        let mut chain = Chain::new();
        let init_request = kept.init_request.clone();
        chain.push(kind::ID_I, &our_identity(env.config));
        sa.push_authentication(&mut chain, &init_request, env).unwrap();
        if child {
            chain.push_proposals(&env.config.esp.offer(sa.reserved.unwrap(), false));
            chain.push(kind::TS_I, &selectors_body(&env.config.local_selectors));
            chain.push(kind::TS_R, &selectors_body(&env.config.remote_selectors));
        }
        for notify in notifies {
            chain.push_notify(*notify, &[]);
        }
        sa.next_id = 1;
        sa.send_request(ExchangeType::IkeAuth, Purpose::IkeAuth, &chain, env);
    };
    a.with(send).1.remove(0)
}
