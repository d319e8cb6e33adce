//! Workers that help each other: whatever the helper does meanwhile, every packet comes out once, whole and in its order.

#[allow(dead_code, reason = "shared with the other scenes")]
mod house;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use aead::Suite;
use allocation_counter::AllocationInfo;
use bordergate_worker::{DropReason, Handle, Sleep};
use esp::{InboundSa, Opening};
use house::{House, KEY, Plan, SPI, VPC, WAN, clear, frame, ipv4, sealed};
use wire::Spi;

/// Flows in each direction.
const FLOWS: u64 = 8;
/// Batches in each direction; more, until something was handed over.
const ROUNDS: u64 = 400;
const LIMIT: Duration = Duration::from_secs(60);

/// Numbers that look random, the same in every run.
struct Dice(u64);

impl Dice {
    fn throw(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

/// Packets of several flows, numbered in each.
#[derive(Default)]
struct Flows {
    sent: BTreeMap<u64, u64>,
    received: BTreeMap<u64, u64>,
}

impl Flows {
    fn next(&mut self, dice: &mut Dice, source: [u8; 4], destination: [u8; 4]) -> Vec<u8> {
        let flow = dice.throw(FLOWS);
        let number = self.sent.entry(flow).or_default();
        *number += 1;
        packet(flow, *number, source, destination)
    }

    /// The packet has to be the next one of its flow, byte for byte but for its hops.
    fn receive(&mut self, bytes: &[u8], source: [u8; 4], destination: [u8; 4]) {
        let flow = u64::from(bytes[29]);
        let number = self.received.entry(flow).or_default();
        *number += 1;
        let expected = packet(flow, *number, source, destination);
        assert_eq!(bytes[8], expected[8] - 1, "hops");
        assert!(
            bytes[20..] == expected[20..],
            "packet {number} of flow {flow} is not what came out: {:?}",
            &bytes[28..38]
        );
    }
}

/// UDP; its length is of its number, too.
fn packet(flow: u64, number: u64, source: [u8; 4], destination: [u8; 4]) -> Vec<u8> {
    let mut payload = vec![(number * 7 + flow) as u8; 600 + (number * 37 % 800) as usize];
    payload[..10].copy_from_slice(&[&wire::udp::header(4000 + flow as u16, 53, 10)[..], &[0, flow as u8]].concat());
    payload[10..18].copy_from_slice(&number.to_be_bytes());
    ipv4(source, destination, 17, &payload)
}

/// What a helper does until it is told to end: helps, has packets of its own, sleeps, stops and starts again.
fn live(mut helper: House, end: &AtomicBool) -> (AllocationInfo, House) {
    let (mut dice, mut allocated) = (Dice(7), AllocationInfo::default());
    while !end.load(Relaxed) {
        for _ in 0..dice.throw(3) {
            let frames = vec![frame(&clear(200)); dice.throw(64) as usize];
            helper.pass(VPC, &frames);
        }
        let House { worker, handle, .. } = &mut helper;
        thread::scope(|scope| {
            let patience = Duration::from_micros(dice.throw(2000));
            scope.spawn(move || control(handle, patience));
            allocated += allocation_counter::measure(|| worker.run());
        });
    }
    (allocated, helper)
}

/// Wakes the worker, which sleeps by then, and stops it.
fn control(handle: &Handle, patience: Duration) {
    thread::sleep(patience);
    handle.wake();
    thread::sleep(patience / 2);
    handle.stop();
}

#[test]
fn packets_stay_whole_and_in_order_whatever_the_helper_does() {
    let (inside, outside) = ([10, 1, 0, 2], [10, 2, 0, 2]);
    let mut house = House::new(Plan::default());
    let mut helper = House::new(Plan { sleep: Sleep::After(Duration::from_micros(500)), ..Plan::default() });
    for (worker, member) in [&mut house.worker, &mut helper.worker].into_iter().zip(port::team(2)) {
        worker.join(member);
    }
    let spi = Spi::new(SPI).unwrap();
    let peer = esp::Inbound {
        spi,
        suite: Suite::Aes128Gcm16,
        key: &KEY,
        salt: [1, 2, 3, 4],
        extended: true,
        replay_window: 64,
    };
    let peer = InboundSa::new(peer).unwrap();

    let (mut dice, mut out, mut back) = (Dice(1), Flows::default(), Flows::default());
    let (mut number, mut forged, mut allocated) = (0, 0, AllocationInfo::default());
    let (end, began) = (AtomicBool::new(false), Instant::now());
    let (allocated_helping, helper) = thread::scope(|scope| {
        let helping = scope.spawn(|| live(helper, &end));
        let mut rounds = 0;
        while rounds < ROUNDS || house.handle.counters().hand_over.handed_over == 0 && began.elapsed() < LIMIT {
            rounds += 1;
            for _ in 0..64 {
                house.worker.ports()[VPC].inject(&frame(&out.next(&mut dice, inside, outside))).unwrap();
                number += 1;
                let is_forged = dice.throw(20) == 0;
                let content = if is_forged { clear(900) } else { back.next(&mut dice, outside, inside) };
                let mut esp = sealed(&house.outbound, number, &content, 4, false);
                if is_forged {
                    forged += 1;
                    esp[60] ^= 1;
                }
                house.worker.ports()[WAN].inject(&frame(&esp)).unwrap();
            }
            allocated += allocation_counter::measure(|| {
                house.worker.poll();
            });
            for frame in house.worker.ports()[VPC].drain() {
                back.receive(&frame[14..], outside, inside);
            }
            for frame in house.worker.ports()[WAN].drain() {
                let mut inner = vec![0; frame.len()];
                let mut opening = Opening::default();
                opening.push(&peer, &frame[34..], &mut inner).unwrap();
                let length = opening.finish()[0].unwrap().length;
                out.receive(&inner[..length], inside, outside);
            }
        }
        end.store(true, Relaxed);
        helping.join().unwrap()
    });

    assert_eq!((&out.sent, &back.sent), (&out.received, &back.received), "lost");
    assert_eq!(house.drops(), [(DropReason::NotAuthentic, forged)]);
    house.check_sums();
    helper.check_sums();
    let (counters, helped) = (house.handle.counters(), helper.handle.counters().hand_over);
    assert_eq!(counters.received, 2 * number);
    let handed_over = counters.hand_over;
    assert_eq!(handed_over.handed_over, helped.helped);
    assert_eq!((handed_over.helped, helped.handed_over), (0, 0));
    assert!(handed_over.handed_over > 0, "{handed_over:?}");
    let offered = handed_over.handed_over + handed_over.taken_back;
    assert!(offered + handed_over.unhelped <= counters.received, "{handed_over:?}");
    assert_eq!(house.handle.wants_help(), handed_over.unhelped > 0);
    assert!(!house.handle.wants_help(), "asked twice");
    assert_eq!((allocated.count_total, allocated_helping.count_total), (0, 0));
    eprintln!("{number} packets each way, {handed_over:?}");
}
