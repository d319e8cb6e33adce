//! One end of a BFD session and whatever somebody on its link sends: it takes what RFC 5880 §6.8.6 has it take, changes its
//! state as that section says, and answers a datagram with one packet at most.

use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use bfd::{Action, Algorithm, Arrival, Authentication, Distance, Endpoint, Key, SessionConfig, SessionId, State};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use crate::input::head;

const SESSION: SessionId = SessionId(1);
const LOCAL: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 9, 0, 1));
const REMOTE: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 9, 0, 2));
const PASSWORD: &[u8] = b"hush";
const MOST_STEPS: usize = 200;

/// Input: how the session is configured, then datagrams, each behind how long it is waited before, its length, and 1 if it is to
/// bear our discriminator.
pub fn holds(input: &[u8]) {
    let ([how], mut rest) = head(input);
    let mut end = End::new(how);
    for _ in 0..MOST_STEPS {
        let ([wait, length, known], behind) = head(rest);
        if behind.is_empty() {
            break;
        }
        let (datagram, behind) = behind.split_at(behind.len().min(usize::from(length)));
        rest = behind;
        let mut datagram = datagram.to_vec();
        if known & 1 != 0 && datagram.len() >= 12 {
            datagram[8..12].copy_from_slice(&end.discriminator.to_be_bytes());
        }
        end.wait(Duration::from_millis(u64::from(wait) * 4));
        end.take(&datagram);
    }
}

struct End {
    endpoint: Endpoint,
    rng: ChaCha8Rng,
    now: Instant,
    discriminator: u32,
    authenticated: bool,
}

impl End {
    fn new(how: u8) -> Self {
        let (mut endpoint, mut rng, now) = (Endpoint::new(), ChaCha8Rng::seed_from_u64(1), Instant::now());
        let authenticated = how & 1 != 0;
        let config = SessionConfig {
            local: LOCAL,
            remote: REMOTE,
            distance: Distance::SingleHop,
            desired_min_tx: Duration::from_millis(10),
            required_min_rx: Duration::from_millis(20),
            detect_multiplier: 3,
            passive: how & 2 != 0,
            authentication: authenticated
                .then(|| Authentication { algorithm: Algorithm::SimplePassword, keys: vec![Key::new(1, PASSWORD)] }),
        };
        endpoint.configure(SESSION, config, now, &mut rng).expect("a configuration");
        endpoint.set_admin(SESSION, how & 4 == 0, now, &mut rng);
        let discriminator = endpoint.status(SESSION).expect("a session").discriminator;
        let mut end = Self { endpoint, rng, now, discriminator, authenticated };
        // What is said of the beginning comes of no datagram.
        end.collect();
        end
    }

    fn wait(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some(at) = self.endpoint.next_timeout().filter(|at| *at <= until) {
            assert!(at >= self.now, "a deadline that has passed");
            self.now = at;
            self.endpoint.handle_timeout(self.now, &mut self.rng);
            let (sent, _) = self.collect();
            assert!(sent.len() <= 1 && sent.iter().all(|packet| packet[1] & FINAL == 0));
        }
        self.now = until;
    }

    fn take(&mut self, datagram: &[u8]) {
        let before = self.endpoint.status(SESSION).expect("a session");
        let arrival = Arrival { local: LOCAL, remote: REMOTE, port: 3784, ttl: 255, payload: datagram };
        let taken = self.endpoint.handle_datagram(arrival, self.now, &mut self.rng);
        let (sent, changes) = self.collect();
        let after = self.endpoint.status(SESSION).expect("a session");
        assert_eq!(taken.is_ok(), self.acceptable(datagram), "{taken:?}");
        if taken.is_err() {
            assert_eq!((sent.len(), changes, after.received), (0, 0, before.received));
            assert_eq!((after.state, after.remote_discriminator), (before.state, before.remote_discriminator));
            return;
        }
        let received = datagram[1] >> 6;
        let expected = match (before.state, received) {
            (State::AdminDown, _) => State::AdminDown,
            (State::Down, 1) => State::Init,
            (State::Down, 2) | (State::Init, 2 | 3) | (State::Up, 2 | 3) => State::Up,
            (State::Init, 1) => State::Init,
            (State::Down | State::Init | State::Up, _) => State::Down,
        };
        assert_eq!((after.state, changes), (expected, usize::from(expected != before.state)));
        let polled = datagram[1] & POLL != 0 && before.state != State::AdminDown;
        assert_eq!(sent.len(), usize::from(polled));
        assert!(sent.iter().all(|packet| packet[1] & (POLL | FINAL) == FINAL));
        assert_eq!(after.remote_discriminator.to_be_bytes(), datagram[4..8]);
    }

    /// RFC 5880 §6.8.6, read anew.
    fn acceptable(&self, datagram: &[u8]) -> bool {
        let Some(packet) = datagram.get(..24) else { return false };
        let length = usize::from(packet[3]);
        let zero = |at: usize| packet[at..at + 4] == [0; 4];
        let named = if zero(8) { packet[1] >> 6 <= 1 } else { packet[8..12] == self.discriminator.to_be_bytes() };
        let section = datagram.get(24..length);
        let password = [&[1, 3 + PASSWORD.len() as u8, 1], PASSWORD].concat();
        packet[0] >> 5 == 1
            && length >= 24
            && packet[2] != 0
            && packet[1] & 1 == 0
            && !zero(4)
            && named
            && section.is_some_and(|section| {
                let authenticated = packet[1] & 4 != 0;
                authenticated == self.authenticated && (!authenticated || section.starts_with(&password))
            })
    }

    /// Gives what was sent and how many changes of state there were.
    fn collect(&mut self) -> (Vec<Vec<u8>>, usize) {
        let (mut sent, mut changes) = (Vec::new(), 0);
        while let Some(action) = self.endpoint.poll_action() {
            match action {
                Action::Transmit { payload, .. } => {
                    assert_eq!((payload[0] >> 5, usize::from(payload[3])), (1, payload.len()));
                    assert_eq!(payload[4..8], self.discriminator.to_be_bytes());
                    assert_eq!(payload[1] & 4 != 0, self.authenticated);
                    sent.push(payload);
                }
                Action::StateChanged { from, to, .. } => {
                    assert_ne!(from, to);
                    changes += 1;
                }
            }
        }
        (sent, changes)
    }
}

const POLL: u8 = 0x20;
const FINAL: u8 = 0x10;
