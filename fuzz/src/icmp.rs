//! ICMP of both versions: what is said to us, and what we say about any packet.

use std::net::IpAddr;

use wire::Packet;
use wire::icmp::{Message, Report, may_report};

use crate::input::with_right_message;

const REPORTS: [Report; 5] = [
    Report::NoRoute,
    Report::AddressUnreachable,
    Report::Prohibited,
    Report::TooBig { mtu: 1400 },
    Report::HopsExceeded,
];

/// Input: a packet, whose lengths and checksums are made right.
pub fn holds(input: &[u8]) {
    let bytes = with_right_message(input);
    let Ok(packet) = Packet::parse(&bytes) else { return };
    let mut buffer = vec![0; bytes.len().max(1280)];
    match Message::parse(&packet) {
        Ok(Message::EchoRequest(request)) => {
            if let Some(length) = request.reply(&mut buffer) {
                let reply = Packet::parse(&buffer[..length]).expect("a right header");
                assert_eq!((reply.source, reply.destination), (packet.destination, packet.source));
                assert_eq!(reply.payload()[4..], packet.payload()[4..], "what came goes back");
                assert_eq!(Message::parse(&reply), Ok(Message::Other), "a right checksum");
            }
        }
        Ok(Message::Error { quote, .. }) => {
            assert_eq!(quote.source.is_ipv4(), packet.source.is_ipv4());
            assert!(packet.payload().ends_with(quote.payload) || quote.payload.is_empty());
            let _ = quote.ports();
            assert!(quote.esp().is_none() || quote.payload.len() >= 8);
        }
        Ok(Message::Other) | Err(_) => {}
    }
    for source in [IpAddr::from([203, 0, 113, 1]), IpAddr::from([0x20; 16])] {
        REPORTS.iter().for_each(|report| report_holds(*report, &packet, source, &mut buffer));
    }
}

fn report_holds(report: Report, about: &Packet<'_>, source: IpAddr, buffer: &mut [u8]) {
    let Some(length) = report.write(about, source, buffer) else { return };
    assert!(may_report(report, about) && source.is_ipv4() == about.source.is_ipv4());
    assert!(length <= if source.is_ipv4() { 576 } else { 1280 });
    let error = Packet::parse(&buffer[..length]).expect("a right header");
    assert_eq!((IpAddr::from(error.source), error.destination), (source, about.source));
    assert!(error.payload()[8..].len() >= about.bytes.len().min(512), "as much of the packet as there is room for");
    match Message::parse(&error) {
        Ok(Message::Error { quote, .. }) => {
            let addresses = (about.source.into(), about.destination.into());
            assert_eq!((quote.source, quote.destination, quote.protocol), (addresses.0, addresses.1, about.protocol));
        }
        // What is quoted ends within the extension headers.
        Err(_) => assert!(!source.is_ipv4() && about.header_length > error.payload().len() - 8),
        Ok(other) => panic!("{other:?}"),
    }
    assert!(REPORTS.iter().all(|report| !may_report(*report, &error)), "no error is told of an error");
}
