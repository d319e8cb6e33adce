//! AF_XDP ports on real interfaces: a pair of veth in a namespace, the steering program on both ends.

#[path = "../../../ebpf/tests/namespace/mod.rs"]
mod namespace;

use std::ops::Range;
use std::time::{Duration, Instant};

use bordergate_port::{
    BATCH, BusyPoll, MemoryOptions, MemoryPort, OpenError, Port, Receive, Transmit, XdpOptions, XdpPort, ZeroCopy,
    queue_count,
};
use namespace::Namespace;
use steer::{Counter, LoadOptions, Mode, Side, Steer, XdpMode};

const DEADLINE: Duration = Duration::from_secs(20);

/// A port on each end, steered to.
struct Pair {
    steer: Steer,
    a: XdpPort,
    b: XdpPort,
    macs: [[u8; 6]; 2],
}

impl Pair {
    fn open(mode: XdpMode, frames: u32) -> Self {
        Self::open_with(mode, |interface| XdpOptions { ring_size: 64, frames, ..XdpOptions::new(interface, 0) })
    }

    fn open_with(mode: XdpMode, options: impl Fn(&str) -> XdpOptions) -> Self {
        let mut steer = Steer::load(LoadOptions { pin_dir: None, ..LoadOptions::default() }).unwrap();
        let mut open = |interface: &str| {
            let attached = steer.attach(interface, Side::Vpc, mode).unwrap();
            let port = XdpPort::open(options(interface)).unwrap();
            steer.register_socket(interface, 0, port.socket()).unwrap();
            (port, attached.mode)
        };
        let (a, mode_a) = open("left");
        let (b, mode_b) = open("right");
        let expected = if mode == XdpMode::Generic { Mode::Generic } else { Mode::Native };
        assert_eq!((mode_a, mode_b), (expected, expected));
        Self { steer, a, b, macs: [mac("left"), mac("right")] }
    }

    /// Sends `count` numbered frames from `a` to `b`, which sends each back, never with more than `window` on the way.
    fn echo(&mut self, count: u32, window: u32) {
        let (mut sent, mut returned) = (0, 0);
        let start = Instant::now();
        while returned < count {
            assert!(start.elapsed() < DEADLINE, "{sent} sent, {returned} returned: {:?}", self.lost());

            let (rx, tx) = self.a.split();
            let want = (count - sent).min(window - (sent - returned)).min(BATCH as u32);
            let reserved = tx.reserve(want as usize);
            let mut lengths = [0; BATCH];
            for (frame, length) in tx.frames().zip(&mut lengths) {
                *length = write_frame(frame, self.macs, sent);
                sent += 1;
            }
            tx.commit(&lengths[..reserved]);
            tx.flush();

            bounce(&mut self.b);

            let received = rx.receive(BATCH);
            for i in 0..received {
                let mut expected = vec![0; 2048];
                let length = write_frame(&mut expected, [self.macs[1], self.macs[0]], returned);
                assert_eq!(rx.frame(i), &expected[..usize::from(length)], "frame {returned}");
                returned += 1;
            }
            rx.release();
        }
        assert_eq!((sent, returned), (count, count));
    }

    /// Writes one frame per number on `a`, and sends those that `used` names.
    fn send(&mut self, numbers: Range<u32>, used: impl Fn(u32) -> bool) {
        let (_, tx) = self.a.split();
        let start = Instant::now();
        while tx.reserve(numbers.len()) < numbers.len() {
            assert!(start.elapsed() < DEADLINE, "transmit frames are missing");
        }
        let lengths: Vec<u16> = numbers
            .zip(tx.frames())
            .map(|(number, frame)| {
                let length = write_frame(frame, self.macs, number);
                if used(number) { length } else { 0 }
            })
            .collect();
        tx.commit(&lengths);
        tx.flush();
    }

    /// Takes `count` frames on `b` and returns the numbers they carry, or fewer if no more come for a while.
    fn receive_numbers(&mut self, count: usize) -> Vec<u32> {
        let (rx, _) = self.b.split();
        let mut numbers = Vec::new();
        let start = Instant::now();
        while numbers.len() < count && start.elapsed() < Duration::from_secs(2) {
            for i in 0..rx.receive(BATCH) {
                numbers.push(u32::from_be_bytes(rx.frame(i)[34..38].try_into().unwrap()));
            }
            rx.release();
        }
        numbers
    }

    /// Waits until `count` frames in all were steered to the socket of an interface.
    fn wait_until_steered(&self, interface: &str, count: u64) {
        let start = Instant::now();
        while self.steer.counters(interface).unwrap()[Counter::Steered] < count {
            assert!(start.elapsed() < DEADLINE, "{:?}", self.lost());
        }
    }

    fn lost(&self) -> impl std::fmt::Debug {
        let counters = ["left", "right"].map(|interface| self.steer.counters(interface).unwrap());
        (counters, self.a.statistics(), self.b.statistics())
    }
}

/// Sends all that waits on a port back to where it came from.
fn bounce(port: &mut impl Port) {
    let (rx, tx) = port.split();
    let free = tx.reserve(BATCH);
    let received = rx.receive(free);
    let mut lengths = [0; BATCH];
    for (i, (to, length)) in tx.frames().take(received).zip(&mut lengths).enumerate() {
        let from = rx.frame(i);
        to[..from.len()].copy_from_slice(from);
        to[..6].copy_from_slice(&from[6..12]);
        to[6..12].copy_from_slice(&from[..6]);
        *length = from.len() as u16;
    }
    tx.commit(&lengths[..received]);
    rx.release();
    tx.flush();
}

/// An IPv4 packet from `macs[0]` to `macs[1]` that carries `number`, of a length that depends on it.
fn write_frame(frame: &mut [u8], macs: [[u8; 6]; 2], number: u32) -> u16 {
    let length = 60 + (number * 37 % 1440) as usize;
    frame[..6].copy_from_slice(&macs[1]);
    frame[6..12].copy_from_slice(&macs[0]);
    frame[12..14].copy_from_slice(&[0x08, 0x00]);
    frame[14..34].copy_from_slice(&[0x45, 0, 0, 0, 0, 0, 0, 0, 64, 17, 0, 0, 10, 1, 0, 1, 10, 2, 0, 1]);
    frame[16..18].copy_from_slice(&(length as u16 - 14).to_be_bytes());
    frame[34..38].copy_from_slice(&number.to_be_bytes());
    for (position, byte) in frame[38..length].iter_mut().enumerate() {
        *byte = (position as u32 ^ number) as u8;
    }
    length as u16
}

fn mac(interface: &str) -> [u8; 6] {
    nix::ifaddrs::getifaddrs()
        .unwrap()
        .filter(|entry| entry.interface_name == interface)
        .find_map(|entry| entry.address?.as_link_addr()?.addr())
        .unwrap()
}

#[test]
fn frames_come_back_in_order_in_native_and_in_generic_mode() {
    for mode in [XdpMode::Native, XdpMode::Generic] {
        let Some(namespace) = Namespace::with_veth() else { return };
        namespace.run(|| {
            let mut pair = Pair::open(mode, 512);
            for count in [67, 1, 64, 65, 1000] {
                pair.echo(count, 64);
            }
            let total = 67 + 1 + 64 + 65 + 1000;
            for interface in ["left", "right"] {
                let counters = pair.steer.counters(interface).unwrap();
                assert_eq!(counters[Counter::Steered], total, "{mode:?} {interface} {counters:?}");
                assert_eq!(counters[Counter::NoSocket], 0);
            }
            assert_eq!(pair.a.statistics().unwrap().rx_dropped, 0);
        });
    }
}

#[test]
fn no_frame_is_lost_in_a_long_run_with_few_of_them() {
    for mode in [XdpMode::Native, XdpMode::Generic] {
        let Some(namespace) = Namespace::with_veth() else { return };
        namespace.run(|| {
            let frames = 128;
            let mut pair = Pair::open(mode, frames);
            pair.echo(64 * frames, 60);
            // What was sent is completed in the end, and every transmit frame can be had again.
            for port in [&mut pair.a, &mut pair.b] {
                let start = Instant::now();
                while port.split().1.reserve(BATCH) < BATCH {
                    assert!(start.elapsed() < DEADLINE, "transmit frames are missing");
                }
                port.split().1.commit(&[]);
            }
            // And every receive frame can hold a packet: all of them do at once.
            let every = frames / 2;
            let before = pair.steer.counters("right").unwrap()[Counter::Steered];
            pair.send(0..every, |_| true);
            pair.wait_until_steered("right", before + u64::from(every));
            assert_eq!(pair.receive_numbers(every as usize), Vec::from_iter(0..every), "{:?}", pair.lost());
        });
    }
}

#[test]
fn unused_frames_are_not_sent_and_the_others_keep_their_order() {
    let Some(namespace) = Namespace::with_veth() else { return };
    namespace.run(|| {
        let mut pair = Pair::open(XdpMode::Native, 128);
        for step in 1..10 {
            let used = |number: u32| number % step == step - 1;
            pair.send(0..64, used);
            let expected: Vec<u32> = (0..64).filter(|&number| used(number)).collect();
            assert_eq!(pair.receive_numbers(expected.len()), expected);
        }
    });
}

#[test]
fn busy_polling_moves_the_same_frames() {
    let Some(namespace) = Namespace::with_veth() else { return };
    namespace.run(|| {
        let busy_poll = Some(BusyPoll { microseconds: 20, budget: 64 });
        let mut pair = Pair::open_with(XdpMode::Native, |interface| XdpOptions {
            busy_poll,
            frame_size: 4096,
            ..XdpOptions::new(interface, 0)
        });
        assert_eq!(pair.a.split().1.capacity(), 4096 - 256);
        pair.echo(1000, 64);
    });
}

#[test]
fn moving_frames_does_not_allocate() {
    let Some(namespace) = Namespace::with_veth() else { return };
    namespace.run(|| {
        let mut pair = Pair::open(XdpMode::Native, 128);
        pair.echo(64, 64);
        let (_, tx) = pair.a.split();
        assert_eq!(tx.reserve(32), 32);
        let lengths: Vec<u16> = tx.frames().map(|frame| write_frame(frame, pair.macs, 0)).collect();
        tx.commit(&lengths);
        tx.flush();
        let before = pair.steer.counters("left").unwrap()[Counter::Steered];
        let start = Instant::now();
        while pair.steer.counters("left").unwrap()[Counter::Steered] < before + 32 {
            assert!(start.elapsed() < DEADLINE, "{:?}", pair.lost());
            let info = allocation_counter::measure(|| bounce(&mut pair.b));
            assert_eq!((info.count_total, info.count_current), (0, 0));
        }
    });

    let mut memory = MemoryPort::new(MemoryOptions::default());
    for number in 0..32 {
        let mut frame = [0; 2048];
        let length = write_frame(&mut frame, [[2; 6], [4; 6]], number);
        memory.inject(&frame[..usize::from(length)]).unwrap();
    }
    let info = allocation_counter::measure(|| {
        bounce(&mut memory);
        memory.drain_with(|_| ());
    });
    assert_eq!((info.count_total, info.count_current), (0, 0));
    assert_eq!(memory.transmitted(), 32);
}

#[test]
fn a_reservation_is_kept_until_it_is_committed() {
    let Some(namespace) = Namespace::with_veth() else { return };
    namespace.run(|| {
        let mut port = XdpPort::open(XdpOptions { ring_size: 64, frames: 128, ..XdpOptions::new("left", 0) }).unwrap();
        let (_, tx) = port.split();
        assert_eq!(tx.reserve(10), 10);
        assert_eq!(tx.reserve(40), 40);
        assert_eq!(tx.reserve(BATCH + 1), BATCH);
        assert_eq!(tx.frames().count(), BATCH);
        let frames: Vec<&mut [u8]> = tx.frames().collect();
        assert!(frames.iter().all(|frame| frame.len() == 2048 - 256));
        tx.commit(&[0; BATCH]);
        assert_eq!(tx.reserve(BATCH), BATCH);
        tx.commit(&[]);
    });
}

#[test]
fn frames_for_a_closed_socket_are_dropped() {
    let Some(namespace) = Namespace::with_veth() else { return };
    namespace.run(|| {
        let Pair { steer, mut a, b, macs } = Pair::open(XdpMode::Native, 128);
        drop(b);
        // The kernel takes a closed socket out of the map in the background; until then it takes frames, and loses them.
        let start = Instant::now();
        while steer.counters("right").unwrap()[Counter::NoSocket] == 0 {
            assert!(start.elapsed() < DEADLINE, "{:?}", steer.counters("right"));
            let (_, tx) = a.split();
            let reserved = tx.reserve(5);
            let lengths: Vec<u16> = tx.frames().map(|frame| write_frame(frame, macs, 0)).collect();
            tx.commit(&lengths[..reserved]);
            tx.flush();
            std::thread::sleep(Duration::from_millis(1));
        }
        // And the queue can be had again, once that is done in the background, too.
        while let Err(error) = XdpPort::open(XdpOptions::new("right", 0)) {
            assert_eq!(error, OpenError::QueueBusy { interface: "right".into(), queue: 0 });
            assert!(start.elapsed() < DEADLINE, "{error}");
        }
    });
}

#[test]
fn what_cannot_be_opened_says_why() {
    let Some(namespace) = Namespace::with_veth() else { return };
    namespace.run(|| {
        let interface = || String::from("left");
        let open = |options: XdpOptions| XdpPort::open(options).map(drop);

        assert_eq!(open(XdpOptions::new("absent", 0)), Err(OpenError::NoSuchInterface { interface: "absent".into() }));
        assert_eq!(queue_count("left"), Ok(1));
        assert_eq!(
            open(XdpOptions::new("left", 1)),
            Err(OpenError::QueueOutOfRange { interface: interface(), queue: 1, queues: 1 })
        );
        let refused = open(XdpOptions { zero_copy: ZeroCopy::Always, ..XdpOptions::new("left", 0) });
        assert!(matches!(refused, Err(OpenError::ZeroCopyRefused { queue: 0, .. })), "{refused:?}");

        let first = XdpPort::open(XdpOptions::new("left", 0)).unwrap();
        assert!(!first.zero_copy());
        assert_eq!(open(XdpOptions::new("left", 0)), Err(OpenError::QueueBusy { interface: interface(), queue: 0 }));

        for (options, option) in [
            (XdpOptions { ring_size: 100, ..XdpOptions::new("left", 0) }, "ring_size"),
            (XdpOptions { frames: 127, ..XdpOptions::new("left", 0) }, "frames"),
            (XdpOptions { frame_size: 3000, ..XdpOptions::new("left", 0) }, "frame_size"),
        ] {
            let refused = open(options);
            assert!(matches!(&refused, Err(OpenError::Option { option: o, .. }) if *o == option), "{refused:?}");
        }
        // More than any machine that runs this sets aside.
        let huge = XdpOptions { huge_pages: true, frames: 1 << 20, frame_size: 4096, ..XdpOptions::new("right", 0) };
        assert_eq!(open(huge), Err(OpenError::NoHugePages { megabytes: 4096 }));
    });
}
