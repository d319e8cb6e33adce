//! The programs, run by the kernel over frames made here.
//!
//! Without a registered socket, taking a frame shows as [`Counter::NoSocket`]; that such a frame reaches a socket is
//! shown where sockets are, in the port crate.

use std::net::IpAddr;

use aya::programs::{TestRun, TestRunOptions};

use super::*;

const MAC: [u8; 6] = [0x02, 0, 0, 0, 0, 0x01];
const OTHER_MAC: [u8; 6] = [0x02, 0, 0, 0, 0, 0x99];
const BROADCAST: [u8; 6] = [0xff; 6];
const XDP_DROP: u32 = 1;
const XDP_PASS: u32 = 2;

const TAKEN: (u32, Counter) = (XDP_DROP, Counter::NoSocket);
const TO_KERNEL: (u32, Counter) = (XDP_PASS, Counter::ToKernel);
const MALFORMED: (u32, Counter) = (XDP_DROP, Counter::Malformed);

/// Loads a program as `attach` does, or says why this test cannot run.
fn loaded(side: Side, addresses: &[&str]) -> Option<Instance> {
    if !nix::unistd::geteuid().is_root() {
        println!("SKIP: loading XDP programs needs root");
        return None;
    }
    let mut instance = Instance::load(side, &LoadOptions { pin_dir: None, ..LoadOptions::default() }).unwrap();
    let addresses = addresses.iter().map(|address| address.parse().unwrap()).collect();
    instance.replace_addresses(&addresses).unwrap();
    instance.set_mac(MAC).unwrap();
    Some(instance)
}

impl Instance {
    /// The action for a frame, and the one counter that moved.
    fn run(&mut self, frame: &[u8]) -> (u32, Counter) {
        let before = self.counters().unwrap();
        let options = TestRunOptions { data_in: Some(frame), ..TestRunOptions::default() };
        let result = program_mut(&mut self._ebpf, self.side).unwrap().test_run(options).unwrap();
        let after = self.counters().unwrap();
        let moved: Vec<_> = Counter::ALL.into_iter().filter(|&counter| after[counter] != before[counter]).collect();
        let [counter] = moved[..] else { panic!("counters moved: {moved:?}") };
        assert_eq!(after[counter], before[counter] + 1);
        (result.return_value, counter)
    }
}

/// Ethernet with the tags given, outermost first.
fn ethernet(destination: [u8; 6], tags: &[u16], protocol: u16, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::from(destination);
    frame.extend([0x02, 0, 0, 0, 0, 0x02]);
    for (position, tag) in tags.iter().enumerate() {
        let outermost_of_two = position == 0 && tags.len() == 2;
        frame.extend(if outermost_of_two { [0x88, 0xa8] } else { [0x81, 0x00] });
        frame.extend(tag.to_be_bytes());
    }
    frame.extend(protocol.to_be_bytes());
    frame.extend(payload);
    frame
}

/// IPv4 with options of `options` bytes and the fragment field given.
fn v4(destination: &str, protocol: u8, options: usize, fragment: u16, payload: &[u8]) -> Vec<u8> {
    let IpAddr::V4(destination) = destination.parse().unwrap() else { panic!("not IPv4") };
    let mut packet = vec![0x40 | (5 + options / 4) as u8, 0];
    packet.extend(((20 + options + payload.len()) as u16).to_be_bytes());
    packet.extend([0, 1]);
    packet.extend(fragment.to_be_bytes());
    packet.extend([64, protocol, 0, 0, 203, 0, 113, 9]);
    packet.extend(destination.octets());
    packet.extend(vec![1; options]);
    packet.extend(payload);
    packet
}

fn v6(destination: &str, next_header: u8, payload: &[u8]) -> Vec<u8> {
    let IpAddr::V6(destination) = destination.parse().unwrap() else { panic!("not IPv6") };
    let mut packet = vec![0x60, 0, 0, 0];
    packet.extend((payload.len() as u16).to_be_bytes());
    packet.extend([next_header, 64]);
    packet.extend([0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9]);
    packet.extend(destination.octets());
    packet.extend(payload);
    packet
}

fn udp(port: u16) -> Vec<u8> {
    let mut datagram = vec![0x30, 0x39];
    datagram.extend(port.to_be_bytes());
    datagram.extend([0, 16, 0, 0]);
    datagram.extend([0; 8]);
    datagram
}

fn esp() -> Vec<u8> {
    vec![0; 40]
}

const ESP: u8 = 50;
const UDP: u8 = 17;
const TCP: u8 = 6;
const ICMPV6: u8 = 58;
const FRAGMENT_HEADER: u8 = 44;
const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;
const ARP: u16 = 0x0806;

const GATEWAY4: &str = "198.51.100.1";
const GATEWAY6: &str = "2001:db8::1";

#[test]
fn the_verifier_takes_both_programs() {
    for side in [Side::Wan, Side::Vpc] {
        let _ = loaded(side, &[]);
    }
}

#[test]
fn wan_takes_esp_and_ike_for_the_gateway() {
    let Some(mut wan) = loaded(Side::Wan, &[GATEWAY4, GATEWAY6]) else { return };
    for tags in [&[][..], &[5], &[5, 6]] {
        for (packet, expected) in [
            (v4(GATEWAY4, ESP, 0, 0, &esp()), TAKEN),
            (v4(GATEWAY4, ESP, 8, 0x4000, &esp()), TAKEN),
            (v4(GATEWAY4, UDP, 0, 0, &udp(500)), TAKEN),
            (v4(GATEWAY4, UDP, 40, 0, &udp(4500)), TAKEN),
            (v4(GATEWAY4, UDP, 0, 0, &udp(53)), TO_KERNEL),
            (v4(GATEWAY4, TCP, 0, 0, &udp(22)), TO_KERNEL),
            (v4("198.51.100.2", ESP, 0, 0, &esp()), TO_KERNEL),
            (v4("198.51.100.2", UDP, 0, 0, &udp(500)), TO_KERNEL),
        ] {
            let frame = ethernet(MAC, tags, IPV4, &packet);
            assert_eq!(wan.run(&frame), expected, "{tags:?} {packet:02x?}");
        }
        for (packet, expected) in [
            (v6(GATEWAY6, ESP, &esp()), TAKEN),
            (v6(GATEWAY6, UDP, &udp(500)), TAKEN),
            (v6(GATEWAY6, UDP, &udp(4500)), TAKEN),
            (v6(GATEWAY6, UDP, &udp(53)), TO_KERNEL),
            (v6(GATEWAY6, TCP, &udp(22)), TO_KERNEL),
            (v6(GATEWAY6, ICMPV6, &esp()), TO_KERNEL),
            (v6("2001:db8::2", ESP, &esp()), TO_KERNEL),
        ] {
            let frame = ethernet(MAC, tags, IPV6, &packet);
            assert_eq!(wan.run(&frame), expected, "{tags:?} {packet:02x?}");
        }
    }
}

#[test]
fn wan_takes_all_fragments_whatever_their_port() {
    let Some(mut wan) = loaded(Side::Wan, &[GATEWAY4, GATEWAY6]) else { return };
    // First, middle and last fragment.
    for field in [0x2000, 0x2001, 0x00b9] {
        for (protocol, expected) in [(ESP, TAKEN), (UDP, TAKEN), (TCP, TO_KERNEL)] {
            let frame = ethernet(MAC, &[], IPV4, &v4(GATEWAY4, protocol, 0, field, &udp(53)));
            assert_eq!(wan.run(&frame), expected, "{field:#x} {protocol}");
        }
    }
    for (protocol, expected) in [(ESP, TAKEN), (UDP, TAKEN), (ICMPV6, TO_KERNEL)] {
        let mut payload = vec![protocol, 0, 0, 1, 0, 0, 0, 7];
        payload.extend(udp(500));
        let frame = ethernet(MAC, &[], IPV6, &v6(GATEWAY6, FRAGMENT_HEADER, &payload));
        assert_eq!(wan.run(&frame), expected, "{protocol}");
    }
    let cut = ethernet(MAC, &[], IPV6, &v6(GATEWAY6, FRAGMENT_HEADER, &[ESP, 0, 0, 1, 0, 0, 0]));
    assert_eq!(wan.run(&cut), MALFORMED);
}

#[test]
fn vpc_takes_unicast_that_is_not_for_the_host() {
    let Some(mut vpc) = loaded(Side::Vpc, &["10.0.0.1", "2001:db8:1::1"]) else { return };
    for tags in [&[][..], &[5], &[5, 6]] {
        for (mac, destination, expected) in [
            (MAC, "172.16.0.9", TAKEN),
            (MAC, "8.8.8.8", TAKEN),
            (MAC, "169.254.10.1", TAKEN),
            (MAC, "10.0.0.1", TO_KERNEL),
            (MAC, "224.0.0.5", TO_KERNEL),
            (MAC, "239.255.255.250", TO_KERNEL),
            (MAC, "255.255.255.255", TO_KERNEL),
            (BROADCAST, "10.0.0.255", TO_KERNEL),
            (BROADCAST, "172.16.0.9", TO_KERNEL),
            (OTHER_MAC, "172.16.0.9", TO_KERNEL),
        ] {
            let frame = ethernet(mac, tags, IPV4, &v4(destination, TCP, 0, 0, &udp(22)));
            assert_eq!(vpc.run(&frame), expected, "{tags:?} {mac:02x?} {destination}");
        }
        for (mac, destination, expected) in [
            (MAC, "2001:db8:2::9", TAKEN),
            (MAC, "2001:db8:1::1", TO_KERNEL),
            (MAC, "fe80::1", TO_KERNEL),
            (MAC, "febf::1", TO_KERNEL),
            (MAC, "fec0::1", TAKEN),
            (MAC, "ff02::1:ff00:1", TO_KERNEL),
            ([0x33, 0x33, 0xff, 0, 0, 1], "ff02::1:ff00:1", TO_KERNEL),
            (OTHER_MAC, "2001:db8:2::9", TO_KERNEL),
        ] {
            let frame = ethernet(mac, tags, IPV6, &v6(destination, ICMPV6, &[135; 24]));
            assert_eq!(vpc.run(&frame), expected, "{tags:?} {mac:02x?} {destination}");
        }
    }
    // A fragment is a packet like any other here: the tunnel carries it.
    let fragment = ethernet(MAC, &[], IPV4, &v4("172.16.0.9", UDP, 0, 0x00b9, &[0; 32]));
    assert_eq!(vpc.run(&fragment), TAKEN);
}

#[test]
fn what_is_not_ip_stays_with_the_kernel() {
    for side in [Side::Wan, Side::Vpc] {
        let Some(mut instance) = loaded(side, &[GATEWAY4]) else { return };
        for tags in [&[][..], &[5], &[5, 6]] {
            for protocol in [ARP, 0x88cc, 0x0000] {
                let frame = ethernet(BROADCAST, tags, protocol, &[0; 46]);
                assert_eq!(instance.run(&frame), TO_KERNEL, "{side} {tags:?} {protocol:#x}");
            }
        }
        let three_tags = ethernet(MAC, &[5, 6, 7], IPV4, &v4("172.16.0.9", ESP, 0, 0, &esp()));
        assert_eq!(instance.run(&three_tags), TO_KERNEL, "{side}");
    }
}

#[test]
fn a_header_cut_off_anywhere_is_malformed() {
    let Some(mut wan) = loaded(Side::Wan, &[GATEWAY4, GATEWAY6]) else { return };
    let Some(mut vpc) = loaded(Side::Vpc, &[]) else { return };
    for tags in [&[][..], &[5], &[5, 6]] {
        for (protocol, packet, network) in [
            (IPV4, v4(GATEWAY4, UDP, 0, 0, &udp(500)), 20),
            (IPV4, v4(GATEWAY4, UDP, 40, 0, &udp(500)), 60),
            (IPV6, v6(GATEWAY6, UDP, &udp(500)), 40),
        ] {
            let frame = ethernet(MAC, tags, protocol, &packet);
            let headers = 14 + 4 * tags.len() + network;
            // The kernel gives a program no frame shorter than an Ethernet header.
            for length in 14..=frame.len() {
                let cut = &frame[..length];
                let expected = if length < headers + 8 { MALFORMED } else { TAKEN };
                assert_eq!(wan.run(cut), expected, "{tags:?} {protocol:#x} {length}");
                let expected = if length < headers { MALFORMED } else { TAKEN };
                assert_eq!(vpc.run(cut), expected, "{tags:?} {protocol:#x} {length}");
            }
        }
    }
}

#[test]
fn a_header_that_contradicts_itself_is_malformed() {
    let Some(mut vpc) = loaded(Side::Vpc, &[]) else { return };
    let packet = v4("172.16.0.9", UDP, 0, 0, &udp(500));
    // Versions 6 and 0 under IPv4's type, and header lengths below 20 or past the frame's end.
    for first in [0x65, 0x05, 0x40, 0x44, 0x4f] {
        let mut packet = packet.clone();
        packet[0] = first;
        assert_eq!(vpc.run(&ethernet(MAC, &[], IPV4, &packet)), MALFORMED, "{first:#x}");
    }
    let mut packet = v6("2001:db8:2::9", UDP, &udp(500));
    packet[0] = 0x40;
    assert_eq!(vpc.run(&ethernet(MAC, &[], IPV6, &packet)), MALFORMED);
}

#[test]
fn replacing_addresses_adds_and_removes() {
    let Some(mut wan) = loaded(Side::Wan, &[GATEWAY4]) else { return };
    let frame = |address| ethernet(MAC, &[], IPV4, &v4(address, ESP, 0, 0, &esp()));
    wan.replace_addresses(&["198.51.100.7".parse().unwrap()].into()).unwrap();
    assert_eq!(wan.run(&frame("198.51.100.7")), TAKEN);
    assert_eq!(wan.run(&frame(GATEWAY4)), TO_KERNEL);
}
