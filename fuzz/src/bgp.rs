//! A BGP neighbour and whatever its peer sends, in whatever pieces: what it says is well-formed, what it passes on is of the
//! families that were agreed on, and a peer that behaves gets a session afterwards.

use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use bgp::{Action, ConnectionId, Context, Families, Family, GracefulRestart, Neighbor, NeighborConfig, Prefix, State};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use crate::input::head;

const MOST_STEPS: usize = 100;

/// Input: how the neighbour is configured, and how far the session is; then messages, each behind how long it is waited
/// before, its type, or 0 for bytes without a header, its length, and into how many pieces it falls.
pub fn holds(input: &[u8]) {
    let ([how, far], mut rest) = head(input);
    let mut end = End::new(how);
    if far & 1 != 0 {
        end.take(&open(), 1);
    }
    if far & 2 != 0 {
        end.take(&message(4, &[]), 1);
    }
    for _ in 0..MOST_STEPS {
        let ([wait, kind, length, pieces], behind) = head(rest);
        if behind.is_empty() {
            break;
        }
        let (body, behind) = behind.split_at(behind.len().min(usize::from(length)));
        rest = behind;
        end.wait(Duration::from_secs(u64::from(wait)));
        end.take(&if kind == 0 { body.to_vec() } else { message(kind, body) }, usize::from(pieces));
    }
    end.call(|neighbor, ctx| neighbor.reset("", ctx));
    let id = end.attempt.expect("it begins anew");
    end.call(|neighbor, ctx| neighbor.connected(id, ctx));
    end.take(&open(), 1);
    end.take(&message(4, &[]), 1);
    assert_eq!(end.neighbor.status().state, State::Established);
}

struct End {
    neighbor: Neighbor,
    rng: ChaCha8Rng,
    now: Instant,
    attempt: Option<ConnectionId>,
    open: Option<ConnectionId>,
    agreed: Families,
}

impl End {
    fn new(how: u8) -> Self {
        let now = Instant::now();
        let address = |last| IpAddr::V4(Ipv4Addr::new(169, 254, 9, last));
        let restart = GracefulRestart { restart_time: 120, long_lived_stale_time: 3600, restarting: how & 8 != 0 };
        let config = NeighborConfig {
            local: address(1),
            remote: address(2),
            local_as: if how & 1 != 0 { 65010 } else { 65000 },
            remote_as: 65010,
            router_id: Ipv4Addr::new(10, 0, 0, 1),
            hold_time: 90,
            connect_retry: Duration::from_secs(10),
            passive: false,
            families: Families { ipv4: true, ipv6: how & 2 != 0 },
            graceful_restart: (how & 4 != 0).then_some(restart),
        };
        let neighbor = Neighbor::new(config, now).expect("a configuration");
        let rng = ChaCha8Rng::seed_from_u64(1);
        let mut end = Self { neighbor, rng, now, attempt: None, open: None, agreed: Families::default() };
        end.call(Neighbor::start);
        let id = end.attempt.expect("it begins");
        end.call(|neighbor, ctx| neighbor.connected(id, ctx));
        end
    }

    fn call(&mut self, call: impl FnOnce(&mut Neighbor, &mut Context<'_>)) {
        call(&mut self.neighbor, &mut Context { now: self.now, rng: &mut self.rng });
        while let Some(action) = self.neighbor.poll_action() {
            self.check(action);
        }
        assert!(self.neighbor.next_timeout().is_none_or(|at| at >= self.now), "a deadline that has passed");
    }

    fn check(&mut self, action: Action) {
        match action {
            Action::Connect(id) => {
                assert_eq!(self.open, None, "one at a time");
                self.attempt = Some(id);
            }
            Action::Transmit { connection, bytes } => {
                assert_eq!(self.attempt, Some(connection));
                self.open = Some(connection);
                assert!(bytes.starts_with(&[0xff; 16]) && (1..=5).contains(&bytes[18]));
                assert_eq!(usize::from(u16::from_be_bytes([bytes[16], bytes[17]])), bytes.len());
            }
            Action::Close(id) => {
                assert_eq!(self.attempt, Some(id));
                self.open = None;
            }
            Action::Up(negotiated) => {
                self.agreed = negotiated.families;
                assert!(self.agreed != Families::default() && negotiated.peer_as == 65010);
                assert!(negotiated.hold_time <= 90 && !matches!(negotiated.hold_time, 1 | 2));
            }
            Action::Update(update) => {
                let announced = update.announced.iter().flat_map(|announcement| &announcement.prefixes);
                for prefix in update.withdrawn.iter().chain(announced) {
                    assert!(self.agreed.contains(Family::of(prefix)) && is_canonical(prefix), "{prefix:?}");
                }
                assert!(update.announced.is_empty() || update.faults.iter().all(|fault| !fault.withdraws));
            }
            Action::Refresh(family) | Action::RefreshBegins(family) | Action::RefreshEnds(family) => {
                assert!(self.agreed.contains(family));
            }
            Action::Down { reason, retain } => {
                assert!(retain.iter().all(|family| self.neighbor.config().families.contains(family)));
                assert!(!reason.to_string().is_empty() && !reason.hint().is_empty());
                self.agreed = Families::default();
            }
        }
    }

    fn wait(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some(at) = self.neighbor.next_timeout().filter(|at| *at <= until) {
            self.now = at;
            self.call(Neighbor::handle_timeout);
        }
        self.now = until;
    }

    fn take(&mut self, bytes: &[u8], pieces: usize) {
        let Some(id) = self.open else { return };
        for piece in bytes.chunks(bytes.len().div_ceil(pieces.max(1)).max(1)) {
            self.call(|neighbor, ctx| neighbor.received(id, piece, ctx));
        }
    }
}

/// No bit is set behind its length.
fn is_canonical(prefix: &Prefix) -> bool {
    match prefix {
        Prefix::V4(prefix) => {
            prefix.len <= 32 && u32::from(prefix.addr).checked_shl(prefix.len.into()).unwrap_or(0) == 0
        }
        Prefix::V6(prefix) => {
            prefix.len <= 128 && u128::from(prefix.addr).checked_shl(prefix.len.into()).unwrap_or(0) == 0
        }
    }
}

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = (19 + body.len()) as u16;
    [&[0xff; 16][..], &length.to_be_bytes(), &[kind], body].concat()
}

/// AS 65010, 90 seconds, 10.0.0.2; both families, route refresh, four octets.
fn open() -> Vec<u8> {
    let capabilities = [1, 4, 0, 1, 0, 1, 1, 4, 0, 2, 0, 1, 2, 0, 65, 4, 0, 0, 0xfd, 0xf2];
    let length = capabilities.len() as u8;
    let head = [4, 0xfd, 0xf2, 0, 90, 10, 0, 0, 2, length + 2, 2, length];
    message(1, &[&head[..], &capabilities].concat())
}
