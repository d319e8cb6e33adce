//! Floods of what anybody can send in a peer's name: they are bounded in work, answers and memory, and the peer gets through.

mod pair;

use std::net::SocketAddr;
use std::time::Duration;

use bordergate_ike::*;
use pair::*;

fn at(address_: &str) -> SocketAddr {
    SocketAddr::new(address(address_), 500)
}

/// First messages in A's name, no two alike: each a real one but for its SPI and nonce.
struct Forger {
    model: Vec<u8>,
    count: u32,
}

impl Forger {
    fn new(change: impl FnOnce(&mut TunnelConfig)) -> Self {
        let mut side = Side::new(1234);
        let mut model = config(A, B, Startup::Initiate);
        change(&mut model);
        side.with(std::time::Instant::now(), |e, ctx| e.configure(TUNNEL, model, ctx).unwrap());
        let Some(Action::Transmit { datagram, .. }) = side.endpoint.poll_action() else { panic!("nothing is sent") };
        Self { model: datagram, count: 0 }
    }

    fn next(&mut self) -> Vec<u8> {
        self.count += 1;
        let mut message = self.model.clone();
        message[..4].copy_from_slice(&self.count.to_be_bytes());
        message
    }

    /// Sends so many at once; gives the bytes of their answers.
    fn flood(&mut self, pair: &mut Pair, messages: usize) -> usize {
        let before = pair.b.sent.len();
        for _ in 0..messages {
            let message = self.next();
            pair.inject(false, at(A), at(B), &message);
        }
        pair.b.sent[before..].iter().map(Vec::len).sum()
    }
}

/// B alone, in A's absence.
fn waiting() -> Pair {
    let mut pair = Pair::new(1);
    pair.on_b(|e, ctx| e.configure(TUNNEL, config(B, A, Startup::Respond), ctx).unwrap());
    pair
}

fn begin(pair: &mut Pair) {
    pair.on_a(|e, ctx| e.configure(TUNNEL, config(A, B, Startup::Initiate), ctx).unwrap());
}

/// The value of the KE payload is set to what no key exchange has as a value, so nothing half-open is left behind.
fn with_broken_value(mut message: Vec<u8>) -> Vec<u8> {
    let mut place = 28;
    let mut kind = message[16];
    while kind != 34 {
        kind = message[place];
        place += usize::from(u16::from_be_bytes([message[place + 2], message[place + 3]]));
    }
    let length = usize::from(u16::from_be_bytes([message[place + 2], message[place + 3]]));
    message[place + 8..place + length].fill(0xff);
    message
}

#[test]
fn key_exchanges_that_leave_no_trace_are_bounded_too() {
    let mut pair = waiting();
    let mut forger = Forger::new(|config| config.ike.key_exchange = vec![KeGroup::Ecp256]);
    forger.model = with_broken_value(forger.model);
    let answered = forger.flood(&mut pair, 3000);
    let counters = pair.b.endpoint.counters();
    assert_eq!(pair.b.endpoint.sa_count(), 0);
    // Half of the allowance goes without a cookie; nobody who does not receive gets at the other half.
    let tried = pair.b.status().counters.failed;
    assert_eq!((tried, counters.cookies_asked), (8, 2992));
    assert!(answered <= 3000 * forger.model.len(), "the answers are longer than the flood");
    // So the peer, who receives, comes up amidst all that.
    begin(&mut pair);
    for _ in 0..100 {
        pair.run_for(Duration::from_millis(10));
        forger.flood(&mut pair, 100);
    }
    pair.assert_joined();
}

#[test]
fn an_established_tunnel_lives_on_in_a_flood() {
    let mut pair = Pair::plain(2);
    pair.run(1);
    pair.assert_joined();
    let mut forger = Forger::new(|_| {});
    let (children, before) = (pair.a.child().inbound_spi, pair.a.status().counters);
    for _ in 0..600 {
        pair.run_for(Duration::from_millis(100));
        forger.flood(&mut pair, 20);
        assert!(pair.b.endpoint.sa_count() <= 1 + 8, "{}", pair.b.endpoint.sa_count());
        assert!(pair.b.endpoint.poll_action().is_none());
    }
    pair.assert_joined();
    assert_eq!((pair.a.child().inbound_spi, pair.b.downs().len()), (children, 0));
    let after = pair.a.status().counters;
    assert!(after.received >= before.received + 5, "liveness is answered");
    assert_eq!(after.retransmitted, 0);
}

#[test]
fn wrong_keys_are_tried_at_a_bounded_rate_and_right_ones_at_any() {
    let mut pair = waiting();
    let mut attempts = 0;
    for seed in 0..60 {
        // Whoever it is does not wait between two attempts.
        pair.a = Side::new(seed + 1000);
        let mut wrong = config(A, B, Startup::Initiate);
        wrong.authentication = Psk::new("guess").into();
        pair.on_a(|e, ctx| e.configure(TUNNEL, wrong, ctx).unwrap());
        pair.run_for(Duration::from_millis(100));
        attempts += u64::from(pair.a.reason().code() == "authentication_rejected");
    }
    let limited = pair.b.endpoint.counters().handshakes_limited;
    // Sixteen tokens, four a second for six seconds, four for each failure.
    assert!((8..=12).contains(&attempts), "{attempts}");
    assert_eq!((pair.b.status().counters.failed, limited > 40), (attempts, true), "{limited}");
    pair.a = Side::new(1);
    pair.run(9);

    for seed in 0..100 {
        pair.a = Side::new(seed + 2000);
        begin(&mut pair);
        pair.run_for(Duration::from_millis(100));
        assert!(pair.both_up(), "attempt {seed}: {:?}", pair.a.reason());
    }
    assert_eq!(pair.b.endpoint.counters().handshakes_limited, limited, "who authenticates is not limited");
    assert!(pair.b.endpoint.sa_count() <= 24);
}

#[test]
fn nothing_without_proof_is_answered_without_end() {
    // A first message again and again, and one of a version yet to come.
    for version in [0x20, 0x30] {
        let mut pair = waiting();
        let mut message = Forger::new(|_| {}).next();
        message[17] = version;
        for _ in 0..1000 {
            pair.inject(false, at(A), at(B), &message);
        }
        assert!((16..=17).contains(&pair.b.sent.len()), "{}", pair.b.sent.len());
        assert!(pair.b.endpoint.counters().answers_limited >= 983);
        pair.run(1);
        for _ in 0..1000 {
            pair.inject(false, at(A), at(B), &message);
        }
        assert!((21..=22).contains(&pair.b.sent.len()), "five a second");
    }
}

#[test]
fn what_is_too_short_for_a_first_message_gets_no_cookie() {
    let mut pair = waiting();
    Forger::new(|_| {}).flood(&mut pair, 100);
    let before = pair.b.sent.len();
    // A nonce and nothing else: shorter than the answer would be.
    let mut tiny = [9; 16].to_vec();
    tiny[8..].fill(0);
    tiny.extend_from_slice(&[40, 0x20, 34, 8, 0, 0, 0, 0, 0, 0, 0, 48, 0, 0, 0, 20]);
    tiny.extend_from_slice(&[1; 16]);
    for _ in 0..100 {
        pair.inject(false, at(A), at(B), &tiny);
    }
    assert_eq!(pair.b.sent.len(), before);
    assert_eq!(pair.b.endpoint.counters().answers_limited, 100);
}

/// Who authenticates, is refused its child, and never answers our Delete: its SAs linger, and are bounded all the same.
#[test]
fn what_an_authentic_peer_leaves_behind_is_bounded() {
    let mut pair = waiting();
    pair.filter = Box::new(|_, _, message| message[18] == 37);
    for seed in 0..400 {
        pair.a = Side::new(seed + 3000);
        let mut wrong = config(A, B, Startup::Initiate);
        wrong.remote_selectors = vec![prefix("10.77.0.0", 16)];
        pair.on_a(|e, ctx| e.configure(TUNNEL, wrong, ctx).unwrap());
        pair.run_for(Duration::from_millis(100));
        assert!(pair.b.endpoint.sa_count() <= 24, "{}", pair.b.endpoint.sa_count());
    }
    assert!(pair.b.endpoint.counters().surplus_sas > 0, "{:?}", pair.b.endpoint.counters());
    assert!(pair.b.spis.live.is_empty());
}
