//! What only a peer with the keys can send.

mod certificates;
mod childless;
mod gateway;
mod moving;
mod reauthentication;
mod resources;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use super::authentication::AUTH_SHARED_KEY;
use super::exchange::digest;
use super::*;
use crate::algorithm::{EspCipher, IkeCipher, KeGroup, PrfAlgorithm};
use crate::authentication::Psk;
use crate::child::SpiAllocator;
use crate::config::{Admin, EspProposal, IkeProposal, Retry, Startup};
use crate::identity::Identity;
use crate::message::{Delete, HEADER_BYTES, ParseError, Payloads, kind, notify_kind};
use crate::reason::Protocol;
use crate::selector::TrafficSelector;
use zeroize::Zeroizing;

/// A day on which the certificates are valid.
const NOON: u64 = 1_767_225_600;
const A: &str = "192.0.2.1";
const B: &str = "198.51.100.2";

/// The next one; A's are odd, B's even.
struct Spis(u32);

impl SpiAllocator for Spis {
    fn allocate(&mut self, _: TunnelId) -> Option<u32> {
        self.0 += 2;
        Some(self.0 - 2)
    }

    fn release(&mut self, _: TunnelId, spi: u32) {
        assert!(spi < self.0);
    }
}

struct End {
    config: TunnelConfig,
    counters: TunnelCounters,
    trace: Trace,
    rng: ChaCha8Rng,
    spis: Spis,
    sa: Option<Box<IkeSa>>,
    path: Path,
}

impl End {
    fn new(local: &str, remote: &str) -> Self {
        let at = |text: &str| SocketAddr::new(text.parse().unwrap(), 500);
        let config = TunnelConfig {
            local: at(local).ip(),
            remote: at(remote).ip(),
            local_id: Identity::from_text(local),
            remote_id: Identity::from_text(remote),
            authentication: Psk::new("secret").into(),
            ppk: None,
            admin: Admin::Up,
            startup: Startup::Initiate,
            ike: IkeProposal {
                key_exchange: vec![KeGroup::X25519],
                additional_key_exchange: Vec::new(),
                encryption: vec![IkeCipher::Aes128Gcm16],
                integrity: Vec::new(),
                prf: vec![PrfAlgorithm::HmacSha256],
            },
            esp: EspProposal {
                encryption: vec![EspCipher::Aes128Gcm16],
                integrity: Vec::new(),
                key_exchange: Vec::new(),
                additional_key_exchange: Vec::new(),
                esn: true,
            },
            local_selectors: vec![TrafficSelector::ANY_IPV4],
            remote_selectors: vec![TrafficSelector::ANY_IPV4],
            resources: 1,
            force_encapsulation: false,
            mobike: true,
            redirects: Vec::new(),
            liveness: None,
            ike_lifetime: Duration::from_secs(3600),
            child_lifetime: Duration::from_secs(3600),
            retry: Retry::default(),
        };
        let seed = if local == A { 1 } else { 2 };
        Self {
            config,
            counters: TunnelCounters::default(),
            trace: Trace::default(),
            rng: ChaCha8Rng::seed_from_u64(seed),
            spis: Spis(0x1000 + seed as u32),
            sa: None,
            path: Path { local: at(local), remote: at(remote) },
        }
    }

    /// Runs something with an environment; gives the datagrams that were sent.
    fn with<T>(&mut self, f: impl FnOnce(&mut Option<Box<IkeSa>>, &mut Env<'_, '_>) -> T) -> (T, Vec<Vec<u8>>) {
        let mut ctx = Context { now: Instant::now(), unix_time: NOON, rng: &mut self.rng, spis: &mut self.spis };
        let mut env = Env {
            config: &self.config,
            counters: &mut self.counters,
            trace: &mut self.trace,
            ctx: &mut ctx,
            event: 1,
            alone: true,
            crash_secret: None,
            address_taken: false,
            out: Vec::new(),
        };
        let result = f(&mut self.sa, &mut env);
        let sent = env.out.into_iter().filter_map(|action| match action {
            Action::Transmit { local, datagram, .. } => Some(unmarked(local, &datagram)),
            _ => None,
        });
        (result, sent.collect())
    }

    fn hear(&mut self, datagram: &[u8]) -> (Verdict, Vec<Vec<u8>>) {
        let (header, path) = (Header::parse(datagram).unwrap(), self.path);
        self.with(|sa, env| sa.as_mut().unwrap().handle(header, datagram, path, env))
    }

    fn ask(&mut self, exchange: ExchangeType, chain: &Chain) -> Vec<u8> {
        let send = |sa: &mut Option<Box<IkeSa>>, env: &mut Env<'_, '_>| {
            sa.as_mut().unwrap().send_request(exchange, Purpose::Close, chain, env);
        };
        self.with(send).1.remove(0)
    }

    fn opened(&mut self, datagram: &[u8]) -> (u8, Zeroizing<Vec<u8>>) {
        let header = Header::parse(datagram).unwrap();
        let (opened, _) = self.with(|sa, env| sa.as_mut().unwrap().open(header, datagram, env));
        opened.map(|opened| (opened.first, opened.plain)).expect("the message opens")
    }
}

/// A datagram without the marker of port 4500.
fn unmarked(local: SocketAddr, datagram: &[u8]) -> Vec<u8> {
    datagram.get(if local.port() == NAT_T_PORT { 4 } else { 0 }..).unwrap().to_vec()
}

/// Both ends after IKE_SA_INIT, and A's IKE_AUTH request.
fn opening() -> (End, End, Vec<u8>) {
    let (mut a, mut b) = (End::new(A, B), End::new(B, A));
    let (sa, mut sent) = a.with(|_, env| IkeSa::initiate(TunnelId(1), 0xa, None, env));
    a.sa = Some(Box::new(sa));
    let request = sent.remove(0);
    let header = Header::parse(&request).unwrap();
    let payloads = Payloads::parse(header.next_payload, &request[HEADER_BYTES..]).unwrap();
    let path = b.path;
    let (accepted, mut sent) =
        b.with(|_, env| IkeSa::respond(TunnelId(1), 0xb, header, &payloads, &request, path, env));
    let Accepted::Begun(sa) = accepted else { panic!("refused") };
    b.sa = Some(sa);
    let (_, mut sent) = a.hear(&sent.remove(0));
    (a, b, sent.remove(0))
}

fn established() -> (End, End) {
    let (mut a, mut b, request) = opening();
    let (verdict, mut sent) = b.hear(&request);
    assert!(matches!(verdict, Verdict::Established { initial_contact: true, .. }));
    let (verdict, _) = a.hear(&sent.remove(0));
    assert!(matches!(verdict, Verdict::Established { .. }));
    for end in [&mut a, &mut b] {
        end.sa.as_mut().unwrap().child_installed();
    }
    (a, b)
}

/// A asks, B answers; the notifications in the answer.
fn notifies(a: &mut End, b: &mut End, exchange: ExchangeType, chain: &Chain) -> (Vec<u16>, Verdict) {
    let request = a.ask(exchange, chain);
    let (verdict, sent) = b.hear(&request);
    // The same request again gets the same answer again.
    assert_eq!(b.hear(&request).1[0], sent[0]);
    let (first, plain) = a.opened(&sent[0]);
    let kinds = Payloads::parse(first, &plain).unwrap().notifies.iter().map(|n| n.kind).collect();
    a.hear(&sent[0]);
    (kinds, verdict)
}

#[test]
fn the_initiator_finds_a_wrong_key_and_says_so() {
    let (mut a, mut b, request) = opening();
    let header = Header::parse(&request).unwrap();
    let (path, mut chain) = (b.path, Chain::new());
    chain.push(kind::ID_R, &Identity::from_text(B).to_payload());
    chain.push_auth(AUTH_SHARED_KEY, &[7; 32]);
    let (_, sent) = b.with(|sa, env| sa.as_mut().unwrap().answer(header, digest(&request), &chain, path, env));
    let (verdict, sent) = a.hear(&sent[0]);
    let Verdict::Ended(reason) = verdict else { panic!("{verdict:?}") };
    assert_eq!(reason, DownReason::WrongPsk { peer: Identity::from_text(B) });
    let (first, plain) = b.opened(&sent[0]);
    let told = Payloads::parse(first, &plain).unwrap();
    assert_eq!(told.notifies[0].kind, notify_kind::AUTHENTICATION_FAILED);
}

#[test]
fn an_answer_without_proof_asks_for_eap() {
    let (mut a, mut b, request) = opening();
    let header = Header::parse(&request).unwrap();
    let (path, mut chain) = (b.path, Chain::new());
    chain.push(kind::ID_R, &Identity::from_text(B).to_payload());
    let (_, sent) = b.with(|sa, env| sa.as_mut().unwrap().answer(header, digest(&request), &chain, path, env));
    let (verdict, _) = a.hear(&sent[0]);
    let Verdict::Ended(reason) = verdict else { panic!("{verdict:?}") };
    assert_eq!(reason, DownReason::UnsupportedAuthentication { method: None, expected: "a pre-shared key" });
}

#[test]
fn what_cannot_be_created_is_refused_by_name() {
    let (mut a, mut b) = established();
    let (kinds, verdict) = notifies(&mut a, &mut b, ExchangeType::CreateChildSa, &Chain::new());
    assert_eq!(kinds, [notify_kind::INVALID_SYNTAX]);
    assert!(matches!(verdict, Verdict::Continue) && b.sa.as_ref().unwrap().is_established());
    let mut chain = Chain::new();
    chain.push_notify_about(3, &[0, 0, 0x99, 0x99], notify_kind::REKEY_SA, &[]);
    let (kinds, _) = notifies(&mut a, &mut b, ExchangeType::CreateChildSa, &chain);
    assert_eq!(kinds, [notify_kind::CHILD_SA_NOT_FOUND]);
}

#[test]
fn critical_and_strange_requests_are_answered() {
    let (mut a, mut b) = established();
    let mut chain = Chain::new();
    chain.push_critical(200, &[1, 2, 3]);
    let (kinds, _) = notifies(&mut a, &mut b, ExchangeType::Informational, &chain);
    assert_eq!(kinds, [notify_kind::UNSUPPORTED_CRITICAL_PAYLOAD]);
    let (kinds, _) = notifies(&mut a, &mut b, ExchangeType::Other(99), &Chain::new());
    assert_eq!(kinds, [notify_kind::INVALID_SYNTAX]);
    let (kinds, _) = notifies(&mut a, &mut b, ExchangeType::Informational, &Chain::new());
    assert!(kinds.is_empty(), "{kinds:?}");
    assert!(b.sa.as_ref().unwrap().is_established());
}

#[test]
fn a_protected_message_that_does_not_parse_ends_the_sa() {
    let (mut a, mut b) = established();
    let mut chain = Chain::new();
    chain.push(kind::NONCE, &[1; 4]);
    let (kinds, verdict) = notifies(&mut a, &mut b, ExchangeType::Informational, &chain);
    assert_eq!(kinds, [notify_kind::INVALID_SYNTAX]);
    let Verdict::Ended(reason) = verdict else { panic!("{verdict:?}") };
    let expected = DownReason::Malformed { exchange: Exchange::Informational, error: ParseError::Illegal(kind::NONCE) };
    assert_eq!(reason, expected);
}

#[test]
fn a_deleted_child_is_answered_with_ours_and_takes_the_ike_sa_along() {
    let (mut a, mut b) = established();
    let mut chain = Chain::new();
    chain.push_delete_esp(0x1001);
    let request = a.ask(ExchangeType::Informational, &chain);
    let (verdict, sent) = b.hear(&request);
    let Verdict::Ended(reason) = verdict else { panic!("{verdict:?}") };
    assert_eq!(reason, DownReason::PeerDeleted(Protocol::Esp));
    let mut deletes = |datagram: &[u8]| {
        let (first, plain) = a.opened(datagram);
        Payloads::parse(first, &plain).unwrap().deletes
    };
    assert_eq!(deletes(&sent[0]), [Delete::Esp(vec![0x1002])]);
    assert_eq!(deletes(&sent[1]), [Delete::Ike]);
}

#[test]
fn without_a_nat_nobody_moves() {
    let (mut a, mut b) = established();
    let before = b.sa.as_ref().unwrap().path;
    let request = a.ask(ExchangeType::Informational, &Chain::new());
    b.path.remote.set_port(999);
    let (_, sent) = b.hear(&request);
    // It is answered where it came from, and the SA stays where it was.
    assert_eq!(sent.len(), 1);
    assert_eq!(b.sa.as_ref().unwrap().path, before);
}

#[test]
fn a_delete_for_another_child_is_ignored() {
    let (mut a, mut b) = established();
    let mut chain = Chain::new();
    chain.push_delete_esp(0x9999);
    let (_, verdict) = notifies(&mut a, &mut b, ExchangeType::Informational, &chain);
    assert!(matches!(verdict, Verdict::Continue) && b.sa.as_ref().unwrap().is_established());
}
