//! What goes straight on is what becomes of the packet in the general way.

#[allow(dead_code, reason = "shared with the other scenes")]
mod house;

use bordergate_worker::DropReason;
use esp::{DontFragment, HeaderRules};
use house::{House, Negotiated, Plan, SPI, VPC, WAN, frame, ipv4, rechecked, sealed};
use proptest::prelude::*;
use tables::{SaSlot, Traffic};
use wire::ecn;

/// What is to be seen of a house from outside: what came out of its ports, why packets were dropped, and what was counted.
type Seen = ([Vec<Vec<u8>>; 3], Vec<(DropReason, u64)>, Vec<[u64; 2]>);

fn seen(house: &House, out: [Vec<Vec<u8>>; 3]) -> Seen {
    let slots = [SaSlot::of(6), SaSlot::of(SPI)].map(|slot| house.handle.sa_counters(slot).unwrap());
    (out, house.drops(), slots.iter().map(|counters| [counters.packets, counters.bytes]).collect())
}

/// What is to be seen when packets go straight on where they can, and when none does.
fn both(plan: impl Fn() -> Plan, port: usize, frames: impl Fn(&House) -> Vec<Vec<u8>>) -> [Seen; 2] {
    [House::pass, House::pass_generally].map(|pass| {
        let mut house = House::new(plan());
        let frames = frames(&house);
        let out = pass(&mut house, port, &frames);
        seen(&house, out)
    })
}

/// Whether the tunnel has a limit, which nothing reaches.
fn traffic() -> impl Strategy<Value = Traffic> {
    prop_oneof![Just(Traffic::Free), Just(Traffic::Limited)]
}

/// As TCP, a segment that begins a connection: flags at 13, an offset of six words, the option behind them.
fn payload(size: usize) -> Vec<u8> {
    let mut payload = vec![0x5a; size];
    let begins = [0x60, 0x02, 0xff, 0xff, 0, 0, 0, 0, 2, 4, 0x05, 0xb4];
    payload.iter_mut().skip(12).zip(begins).for_each(|(to, from)| *to = from);
    payload
}

/// A packet of IPv4 in which most is as it should be.
fn packet(from: [u8; 3], to: [u8; 3]) -> impl Strategy<Value = Vec<u8>> {
    let host = prop_oneof![8 => Just(2_u8), 1 => Just(1), 1 => any::<u8>()];
    let network = |most: [u8; 3]| {
        const OTHERS: [[u8; 3]; 7] =
            [[10, 2, 66], [10, 2, 77], [10, 2, 88], [10, 2, 200], [10, 1, 0], [10, 0, 0], [172, 16, 0]];
        prop_oneof![9 => Just(most), 1 => prop::sample::select(&OTHERS[..])]
    };
    let protocol = prop_oneof![3 => Just(17_u8), 4 => Just(6), 1 => any::<u8>()];
    let hops = prop_oneof![6 => Just(64_u8), 1 => 0..4_u8];
    let fragment = prop_oneof![5 => Just(0_u16), 5 => Just(0x4000), 1 => any::<u16>()];
    let size = prop_oneof![6 => 20..120_usize, 1 => 1300..1480_usize];
    // What may be wrong with it, or rare: another length, options, a bad sum, a byte that is another.
    let flaw = prop_oneof![12 => Just(None), 1 => (0..5_u8, any::<u8>()).prop_map(Some)];
    let addresses = (network(from), host.clone(), network(to), host);
    (addresses, protocol, hops, fragment, any::<u8>(), size, flaw).prop_map(
        |((from, source, to, destination), protocol, hops, fragment, class, size, flaw)| {
            let [a, b, c] = from;
            let [e, f, g] = to;
            let mut packet = ipv4([a, b, c, source], [e, f, g, destination], protocol, &payload(size));
            (packet[1], packet[8]) = (class, hops);
            packet[6..8].copy_from_slice(&fragment.to_be_bytes());
            let mut packet = rechecked(packet);
            match flaw {
                Some((0, value)) => packet.truncate(usize::from(value) % packet.len()),
                Some((1, value)) => packet.extend(std::iter::repeat_n(0, usize::from(value))),
                Some((2, _)) => packet[0] = 0x46,
                Some((3, value)) => packet[10] ^= value,
                Some((_, value)) => packet[usize::from(value) % 20] ^= 0x10,
                None => {}
            }
            packet
        },
    )
}

/// The same of IPv6.
fn packet_v6(from: u8, to: u8) -> impl Strategy<Value = Vec<u8>> {
    let host = prop_oneof![8 => Just(2_u8), 1 => any::<u8>()];
    let network = |most: u8| prop_oneof![9 => Just(most), 1 => 0..4_u8];
    let protocol = prop_oneof![3 => Just(17_u8), 4 => Just(6), 1 => any::<u8>()];
    let hops = prop_oneof![6 => Just(64_u8), 1 => 0..4_u8];
    let size = prop_oneof![6 => 20..120_usize, 1 => 1280..1460_usize];
    let flaw = prop_oneof![8 => Just(None), 1 => (0..6_u8, any::<u8>()).prop_map(Some)];
    // A header of options in front of what is carried, one that it may be followed by, or none.
    let extension = prop_oneof![6 => Just(None), 1 => prop::sample::select(&[0_u8, 43, 44, 60][..]).prop_map(Some)];
    let addresses = (network(from), host.clone(), network(to), host);
    (addresses, protocol, hops, extension, any::<u8>(), size, flaw).prop_map(
        |((from, source, to, destination), protocol, hops, extension, class, size, flaw)| {
            let before = extension.map_or(vec![], |_| vec![protocol, 0, 0, 1, 0, 0, 0, 0]);
            let address = |network, host| {
                let mut address = [0x20, 1, 0x0d, 0xb8, 0, network, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
                address[15] = host;
                address
            };
            let mut packet = vec![0x60 | class >> 4, class << 4, 0, 0, 0, 0, extension.unwrap_or(protocol), hops];
            packet.extend(address(from, source).into_iter().chain(address(to, destination)));
            packet.extend(before.into_iter().chain(payload(size)));
            let length = packet.len() as u16 - 40;
            packet[4..6].copy_from_slice(&length.to_be_bytes());
            match flaw {
                Some((0, value)) => packet.truncate(usize::from(value) % packet.len()),
                Some((1, value)) => packet.extend(std::iter::repeat_n(0, usize::from(value))),
                Some((2..5, value)) => packet[0] ^= value << 4,
                Some((_, value)) => packet[usize::from(value) % 48] ^= 0x10,
                None => {}
            }
            packet
        },
    )
}

fn either(from: (u8, u8), to: (u8, u8)) -> impl Strategy<Value = Vec<u8>> {
    let v4 = |network: (u8, u8)| [10, network.0, 0];
    prop_oneof![2 => packet(v4(from), v4(to)), 1 => packet_v6(from.1, to.1)]
}

fn negotiated() -> impl Strategy<Value = Negotiated> {
    prop_oneof![Just(Negotiated::Ranges), Just(Negotiated::All), Just(Negotiated::Lists)]
}

fn rules() -> impl Strategy<Value = HeaderRules> {
    let dont_fragment = prop_oneof![Just(DontFragment::Copy), Just(DontFragment::Set), Just(DontFragment::Clear)];
    let mode = prop_oneof![Just(ecn::Mode::Normal), Just(ecn::Mode::Compatibility)];
    (prop::option::of(0..64_u8), mode, dont_fragment).prop_map(|(code_point, ecn, dont_fragment)| HeaderRules {
        code_point,
        ecn,
        dont_fragment,
        ..HeaderRules::default()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn what_is_sealed_is_the_same(
        packets in prop::collection::vec((either((1, 1), (2, 2)), 0..6_u8), 1..150),
        rules in rules(),
        symmetric in prop::option::of(any::<bool>()),
        negotiated in negotiated(),
        traffic in traffic(),
    ) {
        let tagged = |packet: &[u8], kind: u8| {
            let plain = frame(packet);
            // A tag of no VLAN's, with a priority only; one of a VLAN that there is none of; another version's type.
            match kind {
                2 => [&plain[..12], if plain[12] == 8 { &[0x86, 0xdd] } else { &[8, 0] }, &plain[14..]].concat(),
                0 => [&plain[..12], &[0x81, 0, 0xe0, 0], &plain[12..]].concat(),
                1 => [&plain[..12], &[0x81, 0, 0, 7], &plain[12..]].concat(),
                _ => plain,
            }
        };
        let frames: Vec<_> = packets.iter().map(|(packet, kind)| tagged(packet, *kind)).collect();
        let plan = || Plan { negotiated, rules, symmetric, traffic, limit: 1_000_000, ..Plan::default() };
        let [straight, general] = both(plan, VPC, |_| frames.clone());
        prop_assert_eq!(straight, general);
    }

    /// Among packets that are not opened, or not for this reason or that, each keeps what is its own.
    #[test]
    fn what_is_opened_together_is_opened_one_by_one(
        packets in prop::collection::vec((either((2, 2), (1, 1)), any::<u8>(), 0..12_u8), 1..150),
        traffic in traffic(),
    ) {
        let [mut together, mut apart] =
            [(); 2].map(|()| House::new(Plan { traffic, limit: 1_000_000, ..Plan::default() }));
        let seal = |(number, (packet, class, bad)): (u64, &(Vec<u8>, u8, u8))| {
            let is_v6 = packet.first().is_some_and(|byte| byte >> 4 == 6);
            // One with the number of the one before, one without room for its parts, one that ends on no boundary, one that is forged.
            let number = if *bad == 0 { number.max(2) - 1 } else { number };
            let mut outer = sealed(&together.outbound, number, packet, if is_v6 { 41 } else { 4 }, false);
            match bad {
                1 => outer.truncate(outer.len().min(50)),
                2 => outer.push(0),
                3 => *outer.last_mut().unwrap() ^= 1,
                _ => {}
            }
            let length = outer.len() as u16;
            outer[2..4].copy_from_slice(&length.to_be_bytes());
            outer[1] = *class;
            frame(&rechecked(outer))
        };
        let frames: Vec<_> = (1..).zip(&packets).map(seal).collect();
        let mut out = [Vec::new(), Vec::new(), Vec::new()];
        for one in &frames {
            out.iter_mut().zip(apart.pass(WAN, std::slice::from_ref(one))).for_each(|(out, new)| out.extend(new));
        }
        let out_together = together.pass(WAN, &frames);
        prop_assert_eq!(seen(&together, out_together), seen(&apart, out));
    }

    #[test]
    fn what_is_opened_is_the_same(
        packets in prop::collection::vec((either((2, 2), (1, 1)), any::<u8>(), 0..6_u8), 1..150),
        encapsulated in any::<bool>(),
        reverse_path in any::<bool>(),
        negotiated in negotiated(),
        traffic in traffic(),
    ) {
        let limit = 1_000_000;
        let plan =
            || Plan { negotiated, reverse_path, segments_in: [1200, 1180], traffic, limit, ..Plan::default() };
        let frames = |house: &House| {
            let seal = |(number, (packet, class, next)): (u64, &(Vec<u8>, u8, u8))| {
                let is_v6 = packet.first().is_some_and(|byte| byte >> 4 == 6);
                let next_header = match next { 0 => 59, 1 => 41, 2 => 4, _ if is_v6 => 41, _ => 4 };
                let mut outer = sealed(&house.outbound, number, packet, next_header, encapsulated);
                outer[1] = *class;
                frame(&rechecked(outer))
            };
            (1..).zip(&packets).map(seal).collect()
        };
        let [straight, general] = both(plan, WAN, frames);
        prop_assert_eq!(straight, general);
    }
}
