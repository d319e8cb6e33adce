//! What a seed decides before anything happens.

use std::net::{IpAddr, Ipv4Addr};
use std::ops::RangeInclusive;
use std::time::Duration;

use ike::{
    Admin, EspCipher, EspProposal, Identity, IkeCipher, IkeProposal, Integrity, KeGroup, PrfAlgorithm, Psk, Retry,
    Startup, TrafficSelector, TunnelConfig,
};

use crate::dice::Dice;

/// How much goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weather {
    /// IKE messages are lost, doubled and delayed, and rekeys are forced; nothing else. No packet may be lost.
    Fair,
    /// Partitions, crashes and operators, now and then.
    Rough,
    /// All of that all the time, and damaged and very late messages.
    Hell,
}

/// What the network does to IKE messages; per mille.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Treatment {
    pub(crate) loss: u32,
    pub(crate) duplication: u32,
    pub(crate) damage: u32,
    /// A message takes between the first and the second.
    pub(crate) delay: (Duration, Duration),
    /// A doubled message's second copy may be late by so much more.
    pub(crate) late: Duration,
}

impl Treatment {
    /// After the last fault.
    pub(crate) const CLEAR: Self = Self {
        loss: 0,
        duplication: 0,
        damage: 0,
        delay: (Duration::from_millis(5), Duration::from_millis(20)),
        late: Duration::ZERO,
    };
}

/// One run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// How many nodes there are; each pair of them has a tunnel.
    pub nodes: usize,
    /// How much goes wrong.
    pub weather: Weather,
    /// Whether node 0 is behind a NAT.
    pub nat: bool,
    /// How long things go wrong.
    pub troubled: Duration,
    pub(crate) treatment: Treatment,
    /// ESP takes between the first and the second.
    pub(crate) esp_delay: (Duration, Duration),
    /// The time between two packets of one direction.
    pub(crate) packet_interval: Duration,
    /// The mean time between two faults.
    pub(crate) fault_interval: Duration,
    /// Timers are late by at most so much, as a real caller's are.
    pub(crate) lateness: Duration,
    /// Whether endpoints are told of the traffic that comes in.
    pub(crate) notes_traffic: bool,
    /// In so many of a thousand cases there is no SPI to be had.
    pub(crate) scarcity: u32,
    retry: Retry,
    liveness: Option<Duration>,
    /// Of IKE SAs and of children, at the end with the smaller number and at the other one.
    lifetimes: [(Duration, Duration); 2],
    groups: (Vec<KeGroup>, Vec<KeGroup>),
    /// What follows the first key exchange, of both ends (RFC 9370).
    additional: Vec<Vec<KeGroup>>,
    /// The groups of rekeyed children, at the end with the smaller number and at the other one.
    secrecy: (Vec<KeGroup>, Vec<KeGroup>),
    /// What follows those, at both ends.
    more_secrecy: Vec<Vec<KeGroup>>,
    cipher: IkeCipher,
    force_encapsulation: bool,
    both_start: bool,
    /// How many children with the same selectors either end wants (RFC 9611).
    resources: u16,
}

impl Plan {
    /// Draws a plan.
    pub(crate) fn draw(dice: &mut Dice) -> Self {
        let weather = match dice.below(100) {
            0..40 => Weather::Fair,
            40..75 => Weather::Rough,
            _ => Weather::Hell,
        };
        let nodes = match dice.below(100) {
            0..75 => 2,
            75..92 => 3,
            92..98 => 4,
            _ => 5,
        };
        let fair = weather == Weather::Fair;
        let hell = weather == Weather::Hell;
        let slowest = if fair { dice.millis(10, 300) } else { dice.millis(10, 1500) };
        let fast = Duration::from_millis(5);
        let treatment = Treatment {
            // A request of a fair run is given up once in more than a thousand million times.
            loss: dice.below(if fair { 150 } else { 450 }) as u32,
            duplication: dice.below(300) as u32,
            damage: if hell { dice.below(50) as u32 } else { 0 },
            delay: (fast, slowest),
            late: if hell { dice.millis(0, 20_000) } else { dice.millis(0, 500) },
        };
        let x25519 = || vec![KeGroup::X25519];
        let groups = match dice.below(100) {
            // The first guess is wrong on one side.
            0..3 => (vec![KeGroup::Ecp256, KeGroup::X25519], x25519()),
            3..5 => (vec![KeGroup::X25519, KeGroup::Ecp256], vec![KeGroup::Ecp256, KeGroup::X25519]),
            _ => (x25519(), x25519()),
        };
        let additional = further(dice, 10, 2);
        let secrecy = match dice.below(100) {
            0..50 => (Vec::new(), Vec::new()),
            50..53 => (vec![KeGroup::Ecp256, KeGroup::X25519], x25519()),
            _ => (x25519(), x25519()),
        };
        let mut more_secrecy = further(dice, 20, 3);
        if secrecy.0.is_empty() {
            more_secrecy.clear();
        }
        let retry = Retry {
            retransmit: dice.millis(300, 1000),
            retransmit_cap: dice.millis(1000, if fair { 2000 } else { 4000 }),
            give_up: if fair { Duration::from_secs(30) } else { dice.millis(6000, 30_000) },
            reconnect: dice.millis(200, 1000),
            reconnect_cap: dice.millis(2000, 8000),
        };
        // A rekey is begun at least a tenth before the end of life. In fair weather that has to be time for it.
        let lifetime = |dice: &mut Dice| match (dice.below(3), fair) {
            (0, _) => LONG,
            (_, true) => dice.millis(400_000, 700_000),
            (_, false) => dice.millis(60_000, 300_000),
        };
        let liveness = dice.millis(4000, 20_000);
        Self {
            nodes,
            weather,
            nat: dice.chance(250),
            troubled: if fair { dice.millis(60_000, 800_000) } else { dice.millis(60_000, 200_000) },
            treatment,
            esp_delay: (fast, fast + dice.millis(0, 300)),
            packet_interval: dice.millis(100, 600) * (nodes as u32 - 1),
            fault_interval: if hell { dice.millis(500, 6000) } else { dice.millis(5000, 40_000) },
            lateness: if dice.chance(500) { dice.millis(0, 50) } else { Duration::ZERO },
            notes_traffic: dice.chance(700),
            scarcity: if hell && dice.chance(300) { 30 } else { 0 },
            retry,
            // Without probes nobody notices a peer that is gone.
            liveness: (!fair || dice.chance(700)).then_some(liveness),
            lifetimes: if dice.chance(300) {
                [(LONG, lifetime(dice)), (LONG, lifetime(dice))]
            } else {
                std::array::from_fn(|_| (lifetime(dice), lifetime(dice)))
            },
            groups,
            additional,
            secrecy,
            more_secrecy,
            cipher: if dice.chance(150) { IkeCipher::Aes128Cbc } else { IkeCipher::Aes128Gcm16 },
            force_encapsulation: dice.chance(100),
            both_start: dice.chance(500),
            resources: if dice.chance(400) { 2 + dice.below(3) as u16 } else { 1 },
        }
    }

    /// The longest that one end may keep a child which the other end does not have.
    ///
    /// It has made the child for a request whose answers are all lost, and hears that request until the other end gives
    /// up after `give_up`. From then on there is silence: it asks after `liveness`, and gives up after `give_up`. What it
    /// still hears meanwhile belongs to an SA that has been replaced and goes within [`REPLACED`].
    pub fn horizon(&self) -> Duration {
        self.liveness.unwrap_or_default() + self.retry.give_up * 2 + REPLACED + SLACK
    }

    /// The longest that it may take after the last fault until a tunnel is up: a dead SA is noticed, an
    /// attempt that was begun in trouble is given up, and the next one comes after the longest wait.
    pub fn recovery(&self) -> Duration {
        self.liveness.unwrap_or_default() + self.retry.give_up * 2 + self.retry.reconnect_cap + SLACK
    }

    /// When, after the last fault, everything that was replaced or closed has been forgotten too.
    pub(crate) fn settling(&self) -> Duration {
        self.recovery() + REPLACED + REDUNDANT + self.treatment.late + self.retry.give_up * 2
    }

    /// For how long a run is looked at, when it ought to have settled, to meet a moment without a rekey under way.
    pub(crate) fn patience(&self) -> Duration {
        self.retry.give_up * 2 + REPLACED + SLACK
    }

    /// How many IKE SAs a tunnel may have when all is settled. One that was replaced is kept to repeat its last answer; where
    /// lives are short there may always be one.
    pub(crate) fn sas(&self) -> usize {
        let short = self.lifetimes.iter().any(|(ike, _)| *ike < LONG);
        1 + usize::from(short)
    }

    /// How many children a tunnel has. What was refused, or has been lost, because of what went wrong is not asked for again.
    pub(crate) fn children(&self) -> RangeInclusive<usize> {
        let wanted = usize::from(self.resources);
        // Of several in each of many tunnels there is always one that is being replaced.
        let most = if wanted > 1 { wanted * 2 } else { wanted };
        match self.weather {
            Weather::Fair => wanted..=most,
            Weather::Rough | Weather::Hell => 1..=most,
        }
    }

    /// The configuration of one end of the tunnel between two nodes.
    pub(crate) fn config(&self, node: usize, peer: usize) -> TunnelConfig {
        let first = node < peer;
        let behind =
            |n: usize| TrafficSelector::prefix(IpAddr::from([10, n as u8, 0, 0]), 16).ok().into_iter().collect();
        let natted = self.nat && (node == 0 || peer == 0);
        // From outside nobody gets through a NAT first.
        let starts = if natted { node == 0 } else { self.both_start || (first == (node + peer).is_multiple_of(2)) };
        let [ours, theirs] = self.lifetimes;
        let (ike_lifetime, child_lifetime) = if first { ours } else { theirs };
        TunnelConfig {
            local: inside(node),
            remote: self.reachable(peer),
            local_id: Identity::Name(format!("node-{node}.example")),
            remote_id: Identity::Name(format!("node-{peer}.example")),
            authentication: Psk::new("correct_horse_battery").into(),
            ppk: None,
            admin: Admin::Up,
            startup: if starts { Startup::Initiate } else { Startup::Respond },
            ike: IkeProposal {
                key_exchange: if first { self.groups.0.clone() } else { self.groups.1.clone() },
                additional_key_exchange: self.additional.clone(),
                encryption: vec![self.cipher],
                integrity: vec![Integrity::HmacSha256],
                prf: vec![PrfAlgorithm::HmacSha256],
            },
            esp: EspProposal {
                encryption: vec![EspCipher::Aes128Gcm16],
                integrity: Vec::new(),
                key_exchange: if first { self.secrecy.0.clone() } else { self.secrecy.1.clone() },
                additional_key_exchange: self.more_secrecy.clone(),
                esn: true,
            },
            local_selectors: behind(node),
            remote_selectors: behind(peer),
            resources: self.resources,
            force_encapsulation: self.force_encapsulation && first,
            mobike: false,
            redirects: Vec::new(),
            liveness: self.liveness,
            ike_lifetime,
            child_lifetime,
            retry: self.retry,
        }
    }

    /// The address under which others see a node.
    pub(crate) fn reachable(&self, node: usize) -> IpAddr {
        if self.nat && node == 0 { OUTSIDE } else { inside(node) }
    }
}

/// A node's own address.
pub(crate) fn inside(node: usize) -> IpAddr {
    IpAddr::from([192, 0, 2, node as u8 + 1])
}

/// Rounds of key exchange behind the first one (RFC 9370): in so many of a hundred cases one, in so many two.
fn further(dice: &mut Dice, one: u64, two: u64) -> Vec<Vec<KeGroup>> {
    let rounds = match dice.below(100) {
        drawn if drawn < one => 1,
        drawn if drawn < one + two => 2,
        _ => 0,
    };
    [KeGroup::MlKem512, KeGroup::X448].into_iter().take(rounds).map(|group| vec![group]).collect()
}

/// What the NAT before node 0 turns its address into.
pub(crate) const OUTSIDE: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 9));
/// A life that no run sees the end of.
const LONG: Duration = Duration::from_secs(14_400);
/// A replaced SA receives for ten seconds more.
const REPLACED: Duration = Duration::from_secs(10);
/// What lost a collision is waited for to be deleted for half a minute.
const REDUNDANT: Duration = Duration::from_secs(30);
/// Round trips, late timers, and the second between two looks.
const SLACK: Duration = Duration::from_secs(6);
