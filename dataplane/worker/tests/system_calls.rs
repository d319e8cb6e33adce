//! A worker makes no system call for a packet: it goes on where the kernel ends whoever makes one.

use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus, exit};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use house::{House, Plan, VPC, WAN, clear, frame, ipv4, part, returning, sealed, udp};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, apply_filter};

#[allow(dead_code, reason = "shared with the other scenes")]
mod house;

/// Names what the process below this one is to do; without it, it is not below one.
const DEED: &str = "BORDERGATE_TEST_DEED";
/// The signal that ends who makes a system call.
const SIGSYS: i32 = 31;

#[test]
fn a_turn_makes_no_system_call() {
    assert_eq!(deed("turn").code(), Some(0), "a system call, or a turn without end");
    assert_eq!(deed("call").signal(), Some(SIGSYS), "a system call went unnoticed");
}

/// What becomes of a process of this test that does the deed.
fn deed(deed: &str) -> ExitStatus {
    let arguments = ["--exact", "the_deed", "--nocapture", "--test-threads=1"];
    Command::new(std::env::current_exe().unwrap()).args(arguments).env(DEED, deed).status().unwrap()
}

#[test]
fn the_deed() {
    let Ok(deed) = std::env::var(DEED) else { return };
    let done = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&done);
    thread::spawn(move || {
        let mut house = House::new(Plan::default());
        let frames = frames(&house);
        no_system_calls_from_here();
        if deed == "call" {
            thread::yield_now();
        }
        for _ in 0..1000 {
            turn(&mut house, &frames);
        }
        let counters = house.handle.counters();
        told.store(counters.received == 9000 && counters.transmitted >= 2000, Relaxed);
        // There is no way out of a thread without a system call.
        loop {
            std::hint::spin_loop();
        }
    });
    let began = Instant::now();
    while !done.load(Relaxed) && began.elapsed() < Duration::from_secs(30) {
        thread::sleep(Duration::from_millis(10));
    }
    exit(i32::from(!done.load(Relaxed)));
}

/// Packets of every way through a worker.
fn frames(house: &House) -> Vec<(usize, Vec<u8>)> {
    let whole = sealed(&house.outbound, 1, &returning(600, [10, 1, 0, 2]), 4, false);
    vec![
        (VPC, frame(&clear(64))),
        (VPC, frame(&clear(1400))),
        (VPC, frame(&clear(1480))),
        (VPC, frame(&ipv4([10, 1, 0, 2], [192, 0, 2, 1], 17, &[0; 8]))),
        (WAN, frame(&whole)),
        (WAN, frame(&part(&whole, 0..96))),
        (WAN, frame(&part(&whole, 96..2000))),
        (WAN, frame(&udp(500, &[1; 200]))),
        (WAN, vec![0; 20]),
    ]
}

fn turn(house: &mut House, frames: &[(usize, Vec<u8>)]) {
    for (port, frame) in frames {
        house.worker.ports()[*port].inject(frame).unwrap();
    }
    house.worker.poll();
    house.worker.ports().iter_mut().for_each(|port| {
        port.drain_with(|_| {});
    });
    while house.handle.receive_ike().is_some() {}
}

/// The kernel ends the process when this thread makes a system call.
fn no_system_calls_from_here() {
    let none = [].into();
    let architecture = std::env::consts::ARCH.try_into().unwrap();
    let filter = SeccompFilter::new(none, SeccompAction::KillProcess, SeccompAction::Allow, architecture).unwrap();
    apply_filter(&BpfProgram::try_from(filter).unwrap()).unwrap();
}
