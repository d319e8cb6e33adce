//! Packets of several frames, from an AF_XDP port and from the kernel, over a pair of veth with long MTUs.

#[path = "../../../ebpf/tests/namespace/mod.rs"]
mod namespace;

use std::time::{Duration, Instant};

use bordergate_port::{BATCH, OpenError, Port, Receive, Transmit, XdpOptions, XdpPort};
use namespace::Namespace;
use steer::{LoadOptions, Mode, Side, Steer, XdpMode};

const DEADLINE: Duration = Duration::from_secs(20);
/// Bytes of an Ethernet header with two tags, for which there is room beside the MTU.
const LINK: usize = 22;

/// A port on each end of a link of this MTU, whose dimensions follow from it; the steering stays as long as that lives.
fn pair(namespace: &Namespace, mtu: u32, mode: XdpMode) -> (Steer, [XdpPort; 2]) {
    let mut steer = Steer::load(LoadOptions { pin_dir: None, ..LoadOptions::default() }).unwrap();
    for interface in ["left", "right"] {
        namespace.ip(&["link", "set", interface, "mtu", &mtu.to_string()]);
    }
    let ports = ["left", "right"].map(|interface| {
        let attached = steer.attach(interface, Side::Vpc, mode).unwrap();
        assert_eq!(attached.mode == Mode::Generic, mode == XdpMode::Generic);
        let few = XdpOptions { ring_size: 256, frames: 1024, ..XdpOptions::new(interface, 0) };
        let port = XdpPort::open(few.with_mtu(mtu).unwrap()).unwrap();
        steer.register_socket(interface, 0, port.socket()).unwrap();
        port
    });
    (steer, ports)
}

/// A frame's bytes: an IPv4 packet that ends where the frame does, different from that of any other number.
fn bytes(number: usize, length: usize, macs: [[u8; 6]; 2]) -> Vec<u8> {
    let mut frame = [macs[1], macs[0]].concat();
    frame.extend([0x08, 0x00, 0x45, 0, 0, 0, 0, 0, 0, 0, 64, 17, 0, 0, 10, 1, 0, 1, 10, 2, 0, 1]);
    frame[16..18].copy_from_slice(&(length as u16 - 14).to_be_bytes());
    frame.extend((frame.len()..length).map(|position| (position * 7 + position / 256 + number) as u8));
    frame
}

fn mac(interface: &str) -> [u8; 6] {
    nix::ifaddrs::getifaddrs()
        .unwrap()
        .filter(|entry| entry.interface_name == interface)
        .find_map(|entry| entry.address?.as_link_addr()?.addr())
        .unwrap()
}

/// Sends what `left` takes, and looks at each frame that comes out on the other side, until all have.
fn send_all(ports: &mut [XdpPort; 2], lengths: &[usize]) {
    let macs = [mac("left"), mac("right")];
    let [left, right] = ports;
    let (mut sent, mut received, start) = (0, 0, Instant::now());
    while received < lengths.len() {
        assert!(start.elapsed() < DEADLINE, "{sent} sent, {received} received: {:?}", right.statistics());
        let (_, tx) = left.split();
        // A quarter of the frames that there are to receive with.
        let reserved = tx.reserve((lengths.len() - sent).min(BATCH).min(40 - (sent - received)));
        let mut used = [0; BATCH];
        for (frame, used) in tx.frames().take(reserved).zip(&mut used) {
            let packet = bytes(sent, lengths[sent], macs);
            frame[..packet.len()].copy_from_slice(&packet);
            *used = packet.len() as u16;
            sent += 1;
        }
        tx.commit(&used[..reserved]);
        tx.flush();
        let (rx, _) = right.split();
        let count = rx.receive(BATCH);
        for position in 0..count {
            assert_eq!(rx.frame(position).len(), lengths[received + position]);
        }
        for frame in rx.frames() {
            assert!(*frame == bytes(received, lengths[received], macs), "packet {received} is not what was sent");
            received += 1;
        }
        rx.release();
    }
    let statistics = right.statistics().unwrap();
    assert_eq!((sent, statistics.rx_dropped, statistics.rx_ring_full), (lengths.len(), 0, 0));
}

#[test]
fn packets_of_every_length_come_whole_and_in_order() {
    for mode in [XdpMode::Native, XdpMode::Generic] {
        for mtu in [1500, 1771, 3818, 3819, 7658, 9000, 11498] {
            let Some(namespace) = Namespace::with_veth() else { return };
            namespace.run(|| {
                let (_steer, mut ports) = pair(&namespace, mtu, mode);
                let longest = mtu as usize + 14;
                assert!(ports[0].split().1.capacity() >= mtu as usize + LINK);
                let mut lengths: Vec<usize> = (0..3000).map(|number| 60 + number * 37 % (longest - 59)).collect();
                // Around where a packet takes one frame more, and the longest, many in a row.
                let edges = [3840, 7680].into_iter().flat_map(|edge| edge - 2..edge + 3);
                lengths.extend(edges.filter(|length| *length <= longest));
                lengths.extend([longest; 300]);
                send_all(&mut ports, &lengths);
                // All transmit frames come back.
                let start = Instant::now();
                while ports[0].split().1.reserve(BATCH) < BATCH {
                    assert!(start.elapsed() < DEADLINE, "transmit frames are missing");
                }
            });
        }
    }
}

#[test]
fn limits_cut_no_packet_in_two() {
    let Some(namespace) = Namespace::with_veth() else { return };
    namespace.run(|| {
        let (_steer, mut ports) = pair(&namespace, 9000, XdpMode::Native);
        let macs = [mac("left"), mac("right")];
        let [left, right] = &mut ports;
        let (_, tx) = left.split();
        assert_eq!(tx.reserve(20), 20);
        for (number, frame) in tx.frames().enumerate() {
            let packet = bytes(number, 9000, macs);
            frame[..packet.len()].copy_from_slice(&packet);
        }
        tx.commit(&[9000; 20]);
        tx.flush();
        // A packet takes three frames, and no more than two are looked at at once.
        let (rx, _) = right.split();
        let (mut received, start) = (0, Instant::now());
        while received < 20 {
            assert!(start.elapsed() < DEADLINE, "{received} received");
            for position in 0..rx.receive(2) {
                assert!(*rx.frame(position) == bytes(received, 9000, macs), "packet {received} is not what was sent");
                received += 1;
            }
        }
    });
}

#[test]
fn moving_long_packets_does_not_allocate() {
    let Some(namespace) = Namespace::with_veth() else { return };
    namespace.run(|| {
        let (_steer, mut ports) = pair(&namespace, 9000, XdpMode::Native);
        send_all(&mut ports, &[9000; 100]);
        let [left, right] = &mut ports;
        let info = allocation_counter::measure(|| {
            let (_, tx) = left.split();
            let reserved = tx.reserve(20);
            tx.commit(&[8000; 20][..reserved]);
            tx.flush();
            let (rx, _) = right.split();
            for _ in 0..3 {
                let _ = (rx.receive(BATCH), rx.frames().count());
                rx.release();
            }
        });
        assert_eq!((info.count_total, info.count_current), (0, 0));
    });
}

#[test]
fn an_mtu_has_the_smallest_frames_that_carry_it() {
    let dimensions = |mtu| {
        let options = XdpOptions::new("a", 0).with_mtu(mtu);
        options.map(|options| (options.frame_size, options.frames_per_packet, options.longest_mtu()))
    };
    assert_eq!([68, 1770].map(dimensions), [Ok((2048, 1, 1770)), Ok((2048, 1, 1770))]);
    assert_eq!([1771, 3818].map(dimensions), [Ok((4096, 1, 3818)), Ok((4096, 1, 3818))]);
    assert_eq!([3819, 7658].map(dimensions), [Ok((4096, 2, 7658)), Ok((4096, 2, 7658))]);
    assert_eq!([7659, 11498].map(dimensions), [Ok((4096, 3, 11498)), Ok((4096, 3, 11498))]);
    assert_eq!(dimensions(11499), Err(OpenError::Mtu { interface: "a".into(), mtu: 11499, allowed: 11498 }));
}
