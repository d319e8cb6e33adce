//! From the workers' end of a capture to a file that tshark and capinfos read.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use clap::Parser;
use tables::{Capture, Direction, SaSlot, Side, Wanted};
use worker::DropReason;

use super::*;
use crate::capture::Session;

/// scapy: `IP(src="10.1.0.2", dst="10.2.0.2", id=1) / ICMP()`, and back.
const ECHO: [u8; 28] = [
    0x45, 0x00, 0x00, 0x1c, 0x00, 0x01, 0x00, 0x00, 0x40, 0x01, 0x66, 0xda, 0x0a, 0x01, 0x00, 0x02, 0x0a, 0x02, 0x00,
    0x02, 0x08, 0x00, 0xf7, 0xff, 0x00, 0x00, 0x00, 0x00,
];
/// scapy: `IP(src="203.0.113.1", dst="198.51.100.2", id=1) / ESP(spi=0x12300005, seq=7, data=b"\x5a" * 40)`.
const ESP: [u8; 20 + 48] = {
    let mut packet = [0x5a; 68];
    let header = [
        0x45, 0x00, 0x00, 0x44, 0x00, 0x01, 0x00, 0x00, 0x40, 0x32, 0x14, 0x50, 0xcb, 0x00, 0x71, 0x01, 0xc6, 0x33,
        0x64, 0x02, 0x12, 0x30, 0x00, 0x05, 0x00, 0x00, 0x00, 0x07,
    ];
    let mut at = 0;
    while at < header.len() {
        packet[at] = header[at];
        at += 1;
    }
    packet
};

fn options(arguments: &[&str]) -> cli::Capture {
    match cli::Cli::parse_from([&["bordergate", "capture"], arguments].concat()).command {
        cli::Command::Capture(options) => *options,
        other => panic!("{other:?}"),
    }
}

/// What a worker does with `packets` packets of each tunnel, a few of which find no record.
fn fill(capture: &Capture, packets: usize) {
    for slot in [5, 6] {
        for nth in 0..packets {
            let time = std::time::UNIX_EPOCH + Duration::new(1_700_000_000, 123_456_789 + nth as u32);
            let admitted = capture.admit(SaSlot::of(slot), Some(&ECHO)).unwrap();
            let direction = if slot == 5 { Direction::FromPeer } else { Direction::ToPeer };
            for (side, packet) in [(Side::Inner, &ECHO[..]), (Side::Outer, &ESP[..])] {
                if let Some(mut record) = capture.record(admitted, (side, direction), time, packet) {
                    record.dropped = (slot == 6 && nth == 1).then(|| DropReason::HopsExceeded.name());
                    capture.hand_over(record);
                }
            }
        }
    }
}

/// Has a session write what `records` records hold, and the client what it reads of it.
fn recorded(name: &str, records: usize, arguments: &[&str]) -> (PathBuf, Recorded) {
    let wanted = Wanted { side: None, host: None, protocols: vec![], port: None, sample: 1, snap_length: 60 };
    let tunnels = vec!["tun-1".to_owned(), "tun-2".to_owned()];
    let capture = Arc::new(Capture::new(wanted, 2, 16, records));
    capture.assign([(SaSlot::of(5), 0), (SaSlot::of(6), 1)]);
    fill(&capture, 3);
    let (ours, theirs) = UnixStream::pair().unwrap();
    let session = Session::new(capture, tunnels.clone());
    let serving = thread::spawn(move || session.serve(&theirs));
    let mut events = BufReader::new(ours);
    let mut line = String::new();
    events.read_line(&mut line).unwrap();
    assert_eq!(line, "{\"capture\":[\"tun-1\",\"tun-2\"]}\n");
    let path = std::env::temp_dir().join(format!("bordergate-{name}-{}.pcapng", std::process::id()));
    let out = Box::new(private_file::create(&path).unwrap());
    if !arguments.contains(&"--count") {
        // As a signal does.
        stop(events.get_ref());
    }
    let recorded = record(&mut events, out, tunnels, &options(arguments)).unwrap();
    serving.join().unwrap().unwrap();
    (path, recorded)
}

fn output(command: &str, arguments: &[&str], path: &Path) -> String {
    let done = Command::new(command).args(arguments).arg(path).output();
    let done = done.unwrap_or_else(|error| panic!("{command}: {error}; run testbed/install-packages"));
    assert!(done.status.success(), "{command}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap()
}

#[test]
fn tshark_and_capinfos_read_what_was_captured() {
    let (path, recorded) = recorded("all", 64, &["--snap-length", "60"]);
    assert_eq!((recorded.packets, recorded.counts.missed(), recorded.ended), (12, 0, true));
    let fields = [
        "frame.interface_name",
        "frame.packet_flags_direction",
        "frame.packet_id",
        "frame.time_epoch",
        "frame.len",
        "frame.cap_len",
        "ip.dst",
        "ip.proto",
        "frame.comment",
    ];
    let mut arguments = vec!["-n", "-T", "fields", "-E", "separator=/s", "-E", "quote=n"];
    arguments.extend(fields.iter().flat_map(|field| ["-e", field]));
    arguments.push("-r");
    let text = output("tshark", &arguments, &path);
    let line = |tunnel: u32, side: &str, direction: u32, nth: u32, packet: &str, comment: &str| {
        let id = (tunnel - 1) * 3 + nth;
        let time = 1_700_000_000_123_456_789 + u64::from(nth);
        let (whole, part) = (time / 1_000_000_000, time % 1_000_000_000);
        format!("tun-{tunnel}/{side} 0x{direction:08x} {id} {whole}.{part:09} {packet} {comment}")
    };
    let mut expected = Vec::new();
    for (tunnel, direction) in [(1, 1), (2, 2)] {
        for nth in 0..3 {
            let comment = if (tunnel, nth) == (2, 1) { "tun-2: dropped: hops_exceeded" } else { "" };
            expected.push(line(tunnel, "inner", direction, nth, "28 28 10.2.0.2 1", comment));
            expected.push(line(tunnel, "outer", direction, nth, "68 60 198.51.100.2 50", comment));
        }
    }
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines, expected);
    let about = output("capinfos", &[], &path);
    for told in [
        concat!("Capture application: bordergate ", env!("CARGO_PKG_VERSION")),
        "Number of packets:   12",
        "Name = tun-2/outer",
        "Description = VPN tunnel tun-1, in clear",
        "Encapsulation = Raw IP",
        "Time precision = nanoseconds (9)",
        "Number of stat entries = 1",
    ] {
        assert!(about.contains(told), "{told} is missing:\n{about}");
    }
    fs::remove_file(path).unwrap();
}

#[test]
fn what_was_missed_stands_in_the_statistics() {
    let (path, recorded) = recorded("missed", 7, &["--snap-length", "60"]);
    assert_eq!((recorded.packets, recorded.counts.missed()), (7, 5));
    let bytes = fs::read(&path).unwrap();
    // draft-ietf-opsawg-pcapng §4.6: walked by hand, for neither tool shows them.
    let (mut statistics, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
        if word(at) == 5 {
            assert_eq!((word(at + 20), word(at + 32)), (4 | 8 << 16, 5 | 8 << 16));
            statistics.push((word(at + 8), word(at + 24), word(at + 36)));
        }
        at += word(at + 4) as usize;
    }
    statistics.sort_unstable();
    // Of three packets on each side of two tunnels, the first seven were kept.
    assert_eq!(statistics, [(0, 3, 0), (1, 3, 0), (2, 3, 2), (3, 3, 3)]);
    fs::remove_file(path).unwrap();
}

#[test]
fn enough_is_enough() {
    let (path, recorded) = recorded("count", 64, &["--count", "5"]);
    assert_eq!((recorded.packets, recorded.ended), (5, true));
    assert!(output("capinfos", &[], &path).contains("Number of packets:   5\n"));
    fs::remove_file(path).unwrap();
}
