//! The path MTUs of tunnels, as routers on the way have told (RFC 4301 §8.2.1): which of them are believed, and for how
//! long.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use ike::TunnelId;
use wire::icmp::{Message, Problem, Quote};
use wire::{Packet, Protocol};

/// RFC 1191 §6.3: how long nothing larger is tried.
const AGE: Duration = Duration::from_secs(600);
/// How far behind the last packet sent a packet may be that an error is about: a second of a million packets a second.
/// Who does not see our packets thus guesses one number in 4096 right, after the SPI, and none of a quiet tunnel's.
const RECENT: u32 = 1 << 20;
/// The least that is believed: RFC 791 §3.1 has every IPv4 host take this much, and lower values serve attackers alone
/// (RFC 5927 §7.2). IPv6's least is [`wire::icmp::Problem::parse_v6`]'s to check.
const LEAST: u16 = 576;
/// RFC 1191 §7, table 7-1: what links there are.
const PLATEAUS: [u16; 10] = [65535, 32000, 17914, 8166, 4352, 2002, 1492, 1006, 508, 296];

/// What was learned, by tunnel: it outlives the SAs that it was learned by.
#[derive(Debug, Default)]
pub struct PathMtus(BTreeMap<TunnelId, Learned>);

/// The path MTU of one tunnel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Learned {
    /// Bytes of the longest outer packet.
    pub mtu: u16,
    /// The router that told it.
    pub router: IpAddr,
    /// When more is tried again.
    pub until: Instant,
}

impl PathMtus {
    /// Remembers what `router` told: an MTU that [`Sender::lower`] has believed.
    pub fn learn(&mut self, tunnel: TunnelId, mtu: u16, router: IpAddr, now: Instant) {
        self.0.insert(tunnel, Learned { mtu, router, until: now + AGE });
    }

    /// Forgets what has been known for too long; the tunnels whose packets may be longer from now on.
    pub fn expire(&mut self, now: Instant) -> Vec<TunnelId> {
        self.0.extract_if(.., |_, learned| learned.until <= now).map(|(tunnel, _)| tunnel).collect()
    }

    /// Forgets a tunnel's: it is gone, or leads elsewhere.
    pub fn forget(&mut self, tunnel: TunnelId) {
        self.0.remove(&tunnel);
    }

    /// What was learned of a tunnel.
    pub fn of(&self, tunnel: TunnelId) -> Option<&Learned> {
        self.0.get(&tunnel)
    }
}

/// What a router tells: the packet was longer than a link takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooBig<'a> {
    /// Bytes that the link takes; `None` from a router that precedes RFC 1191.
    pub mtu: Option<u16>,
    /// The packet.
    pub quote: Quote<'a>,
}

impl<'a> TooBig<'a> {
    /// "Fragmentation needed" (RFC 792, RFC 1191 §4), from its IP header on.
    ///
    /// # Errors
    /// [`Ignored::Malformed`]
    pub fn parse_v4(packet: &'a [u8]) -> Result<Self, Ignored> {
        let packet = Packet::parse(packet).map_err(|_| Ignored::Malformed)?;
        match Message::parse(&packet) {
            Ok(Message::Error { problem: Problem::TooBig { mtu }, quote }) => Ok(Self { mtu, quote }),
            Ok(Message::Error { .. } | Message::EchoRequest(_) | Message::Other) | Err(_) => Err(Ignored::Malformed),
        }
    }

    /// "Packet too big" (RFC 4443 §3.2), without its IP header and with a checksum that was found right.
    ///
    /// # Errors
    /// [`Ignored::Malformed`]
    pub fn parse_v6(message: &'a [u8]) -> Result<Self, Ignored> {
        match Problem::parse_v6(message) {
            Ok(Some((Problem::TooBig { mtu }, quote))) => Ok(Self { mtu, quote }),
            Ok(_) | Err(_) => Err(Ignored::Malformed),
        }
    }
}

/// Why an error changes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ignored {
    /// No message that can be read; of ICMPv6 also one with an MTU that no IPv6 link has (RFC 8201 §4).
    Malformed,
    /// It quotes no ESP packet.
    NotEsp,
    /// It quotes too little to tell which SA's packet it is about: of UDP no more than the ports.
    CutShort,
    /// It quotes a packet that is of none of our outbound SAs.
    UnknownSa,
    /// It quotes a packet that was not sent recently, if ever.
    NotRecent,
    /// It tells of no smaller MTU than is in force or than the packet had bytes.
    NotLower,
}

impl Ignored {
    /// A stable name for counters.
    pub fn name(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::NotEsp => "not_esp",
            Self::CutShort => "cut_short",
            Self::UnknownSa => "unknown_sa",
            Self::NotRecent => "not_recent",
            Self::NotLower => "not_lower",
        }
    }
}

/// What of an outbound SA must show in the quote of its packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sender {
    pub tunnel: TunnelId,
    /// Our outer address, and the peer's.
    pub addresses: (IpAddr, IpAddr),
    /// Our UDP port, and the peer's; `None` where ESP is not encapsulated.
    pub ports: Option<(u16, u16)>,
    pub spi: u32,
    /// Packets sealed so far, which is the last one's sequence number.
    pub sealed: u64,
}

impl Sender {
    /// Whose packet is quoted: RFC 4301 §8.2.1 finds the SA by what the quote has of the outer header and of ESP.
    ///
    /// # Errors
    /// Why the quote is not believed.
    pub fn find(quote: &Quote<'_>, mut senders: impl Iterator<Item = Self>) -> Result<Self, Ignored> {
        let Some((spi, sequence)) = quote.esp() else {
            let needed = if quote.protocol == Protocol::ESP { 8 } else { 16 };
            let is_cut = matches!(quote.protocol, Protocol::ESP | Protocol::UDP) && quote.payload.len() < needed;
            return Err(if is_cut { Ignored::CutShort } else { Ignored::NotEsp });
        };
        let seen = (quote.source, quote.destination);
        let sender =
            senders.find(|sender| sender.spi == spi && sender.addresses == seen && sender.ports == quote.ports());
        let sender = sender.ok_or(Ignored::UnknownSa)?;
        // Of an extended number the low half is quoted, and the last packet tells the rest.
        let behind = (sender.sealed as u32).wrapping_sub(sequence);
        let was_sent = behind < RECENT && u64::from(behind) < sender.sealed;
        if was_sent { Ok(sender) } else { Err(Ignored::NotRecent) }
    }
}

/// What the path MTU is lowered to where a packet of `length` bytes met a link of `mtu` bytes and `in_force` is what is
/// kept to. `None` is what routers tell that precede RFC 1191.
///
/// # Errors
/// [`Ignored::NotLower`]
pub fn lower(mtu: Option<u16>, length: usize, in_force: u16) -> Result<u16, Ignored> {
    // One that is longer than what is in force was on its way when that was lowered, and has nothing new to tell.
    if length > usize::from(in_force) {
        return Err(Ignored::NotLower);
    }
    let plateau = || PLATEAUS.into_iter().find(|plateau| usize::from(*plateau) < length);
    // RFC 5927 §7.2: a link that takes the packet is no reason to complain.
    let told = mtu.or_else(plateau).filter(|mtu| usize::from(*mtu) < length).ok_or(Ignored::NotLower)?;
    Some(told.max(LEAST)).filter(|mtu| *mtu < in_force).ok_or(Ignored::NotLower)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// scapy, of a router's error only the first 28 bytes of what it quotes:
    /// `IP(src="192.0.2.1", dst="203.0.113.1") / ICMP(type=3, code=4, nexthopmtu=1300) /
    /// (IP(src="203.0.113.1", dst="198.51.100.2", len=1480, flags="DF") / ESP(spi=0xc0ffee01, seq=99))`
    const NEEDED: &str = "450000380001000040017cc1c0000201cb0071010304488300000514450005c8000140004032cecbcb007101\
                          c6336402c0ffee0100000063";
    /// The same with `UDP(sport=4500, dport=40000, chksum=0)` in front of ESP, 36 bytes of 1436 quoted.
    const NEEDED_IN_UDP: &str = "450000400001000040017cb9c0000201cb00710103049526000005144500059c000140004011cf18cb00\
                                 7101c633640211949c4005880000c0ffee0100000063";
    /// `ICMPv6PacketTooBig(mtu=1300) / (IPv6(src="2001:db8::1", dst="2001:db8:f::2") / ESP(spi=0xc0ffee01, seq=99))`, 48
    /// bytes of 1480 quoted.
    const TOO_BIG: &str = "02000000000005146000000005a0324020010db800000000000000000000000120010db8000f0000000000000000\
                           0002c0ffee0100000063";

    fn bytes(hexadecimal: &str) -> Vec<u8> {
        let digits = hexadecimal.as_bytes().chunks(2).map(|pair| str::from_utf8(pair).unwrap());
        digits.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect()
    }

    fn sender(ports: Option<(u16, u16)>) -> Sender {
        let addresses = ([203, 0, 113, 1].into(), [198, 51, 100, 2].into());
        Sender { tunnel: TunnelId(7), addresses, ports, spi: 0xc0ff_ee01, sealed: 120 }
    }

    /// The tunnel whose path MTU `message` is about, what it tells, and the length of the packet.
    fn judged(message: &str, sender: Sender) -> Result<(u32, Option<u16>, usize), Ignored> {
        let bytes = bytes(message);
        let is_v4 = message.starts_with('4');
        let told = if is_v4 { TooBig::parse_v4(&bytes) } else { TooBig::parse_v6(&bytes) }?;
        // Another SA stands in front, that of another tunnel to the same peer.
        let other = Sender { tunnel: TunnelId(1), spi: 0xc0ff_ee02, ..sender };
        let found = Sender::find(&told.quote, [other, sender].into_iter())?;
        Ok((found.tunnel.0, told.mtu, told.quote.length))
    }

    #[test]
    fn the_packet_quoted_tells_the_tunnel() {
        let v6 = ("2001:db8::1".parse().unwrap(), "2001:db8:f::2".parse().unwrap());
        assert_eq!(judged(NEEDED, sender(None)), Ok((7, Some(1300), 1480)));
        assert_eq!(judged(NEEDED_IN_UDP, sender(Some((4500, 40000)))), Ok((7, Some(1300), 1436)));
        assert_eq!(judged(TOO_BIG, Sender { addresses: v6, ..sender(None) }), Ok((7, Some(1300), 1480)));
    }

    #[test]
    fn what_is_not_of_an_sa_is_ignored() {
        let plain = sender(None);
        let (local, remote) = plain.addresses;
        for other in [
            Sender { spi: 0xc0ff_ee00, ..plain },
            Sender { addresses: (remote, local), ..plain },
            Sender { addresses: (local, [198, 51, 100, 3].into()), ..plain },
            Sender { ports: Some((4500, 40000)), ..plain },
        ] {
            assert_eq!(judged(NEEDED, other), Err(Ignored::UnknownSa), "{other:?}");
        }
        for ports in [None, Some((4500, 4500)), Some((4501, 40000))] {
            assert_eq!(judged(NEEDED_IN_UDP, sender(ports)), Err(Ignored::UnknownSa), "{ports:?}");
        }
        let wrong_checksum = NEEDED.replace("4883", "4884");
        assert_eq!(judged(&wrong_checksum, plain), Err(Ignored::Malformed));
        assert_eq!(judged(&TOO_BIG.replace("0514", "04ff"), plain), Err(Ignored::Malformed), "1279 bytes");
        assert_eq!(judged(&TOO_BIG[..90], plain), Err(Ignored::Malformed), "a quote of less than a header");
    }

    #[test]
    fn what_is_quoted_too_short_is_ignored() {
        let quote = |protocol, payload| Quote {
            source: [203, 0, 113, 1].into(),
            destination: [198, 51, 100, 2].into(),
            length: 1480,
            protocol,
            payload,
        };
        let found = |quote: Quote<'_>| Sender::find(&quote, std::iter::once(sender(Some((4500, 40000)))));
        // RFC 792 has 8 bytes quoted: of UDP that is the header.
        let udp = bytes("11949c4005880000c0ffee0100000063");
        assert!(found(quote(Protocol::UDP, &udp)).is_ok());
        for length in 0..16 {
            assert_eq!(found(quote(Protocol::UDP, &udp[..length])), Err(Ignored::CutShort), "{length}");
        }
        assert_eq!(found(quote(Protocol::ESP, &udp[..7])), Err(Ignored::CutShort));
        assert_eq!(found(quote(Protocol::TCP, &udp)), Err(Ignored::NotEsp));
        let ike = bytes("11949c400588000000000000c0ffee01");
        assert_eq!(found(quote(Protocol::UDP, &ike)), Err(Ignored::NotEsp));
    }

    #[test]
    fn only_recent_packets_count() {
        let judged = |sealed| judged(NEEDED, Sender { sealed, ..sender(None) }).map(|(tunnel, ..)| tunnel);
        let recent = u64::from(RECENT);
        for sealed in [99, 100, 98 + recent, (1 << 32) + 99, (5 << 32) + 98 + recent] {
            assert_eq!(judged(sealed), Ok(7), "{sealed}");
        }
        for sealed in [0, 1, 98, 99 + recent, (1 << 32) + 98, (1 << 32) + 99 + recent] {
            assert_eq!(judged(sealed), Err(Ignored::NotRecent), "{sealed}");
        }
        // The low half has run over since.
        let late = Sender { sealed: (1 << 32) + 5, ..sender(None) };
        let run_over = bytes("c0ffee01fffffff0");
        let quote = Quote {
            source: late.addresses.0,
            destination: late.addresses.1,
            length: 1480,
            protocol: Protocol::ESP,
            payload: &run_over,
        };
        assert_eq!(Sender::find(&quote, std::iter::once(late)), Ok(late));
        let early = Sender { sealed: 5, ..late };
        assert_eq!(Sender::find(&quote, std::iter::once(early)), Err(Ignored::NotRecent), "never sent");
    }

    #[test]
    fn it_is_only_ever_lowered() {
        assert_eq!(lower(Some(1300), 1480, 1500), Ok(1300));
        assert_eq!(lower(Some(1480), 1480, 1500), Err(Ignored::NotLower), "the link takes the packet");
        assert_eq!(lower(Some(1400), 1480, 1300), Err(Ignored::NotLower), "was on its way when it was lowered");
        assert_eq!(lower(Some(68), 1480, 1500), Ok(LEAST));
        assert_eq!(lower(Some(68), 576, 576), Err(Ignored::NotLower));
        // RFC 1191 §5: the next plateau below the packet's length.
        assert_eq!(lower(None, 1500, 1500), Ok(1492));
        assert_eq!(lower(None, 1480, 1492), Ok(1006));
        assert_eq!(lower(None, 1492, 1492), Ok(1006));
        assert_eq!(lower(None, 1000, 1006), Ok(LEAST));
        assert_eq!(lower(None, 1500, 1492), Err(Ignored::NotLower));
        assert_eq!(lower(None, 200, 1006), Err(Ignored::NotLower), "no link takes less");
    }

    #[test]
    fn what_was_learned_holds_for_ten_minutes() {
        let (mut path_mtus, start, tunnel) = (PathMtus::default(), Instant::now(), TunnelId(7));
        let at = |seconds| start + Duration::from_secs(seconds);
        path_mtus.learn(tunnel, 1400, [192, 0, 2, 1].into(), start);
        path_mtus.learn(tunnel, 1300, [192, 0, 2, 2].into(), at(60));
        assert_eq!(path_mtus.expire(at(659)), []);
        let learned = Learned { mtu: 1300, router: [192, 0, 2, 2].into(), until: at(660) };
        assert_eq!(path_mtus.of(tunnel), Some(&learned));
        assert_eq!(path_mtus.expire(at(660)), [tunnel]);
        assert_eq!(path_mtus.expire(at(660)), []);
        assert_eq!(path_mtus.of(tunnel), None);
        path_mtus.learn(tunnel, 1300, [192, 0, 2, 2].into(), at(700));
        path_mtus.forget(tunnel);
        assert_eq!(path_mtus.of(tunnel), None);
    }

    proptest! {
        #[test]
        fn whatever_is_told(told in any::<Option<u16>>(), length in any::<u16>(), in_force in any::<u16>()) {
            if let Ok(mtu) = lower(told, length.into(), in_force) {
                prop_assert!((LEAST..in_force).contains(&mtu) && length <= in_force);
            }
        }

        #[test]
        fn whatever_arrives(bytes in prop::collection::vec(any::<u8>(), 0..120), position in 0..56_usize, byte: u8) {
            let changed = |message: &str| {
                let mut message = super::tests::bytes(message);
                let position = position % message.len();
                message[position] = byte;
                message
            };
            for bytes in [bytes, changed(NEEDED), changed(NEEDED_IN_UDP), changed(TOO_BIG)] {
                for told in [TooBig::parse_v4(&bytes), TooBig::parse_v6(&bytes)].into_iter().flatten() {
                    if let Ok(found) = Sender::find(&told.quote, std::iter::once(sender(None))) {
                        prop_assert_eq!(found, sender(None));
                    }
                }
            }
        }
    }
}
