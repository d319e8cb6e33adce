//! Monitoring stations: what is read, what is refused, and what a change is.

use bordergate_gateway::{Change, GatewayIndex, Resources, StationField, StationIndex, Step, difference};
use broken::{GOOD, errors, shown};

#[allow(dead_code, reason = "other tests break more")]
mod broken;

const FULL: &str = include_str!("../../../examples/full.toml");
const STATION: &str =
    "[[bmp_station]]\nname = \"noc\"\nborder_gateway = \"bgw-1\"\naddress = \"192.0.2.9\"\nport = 11019\n";

/// What is wrong with the good file and these stations, without the lines.
fn problems(stations: &str) -> Vec<String> {
    let strip = |line: String| line.split_once(": ").map(|(_, rest)| rest.to_owned()).unwrap_or_default();
    shown(&errors(&format!("{GOOD}\n{stations}"))).into_iter().map(strip).collect()
}

#[test]
fn everything_that_can_be_said_is_read() {
    let resources = Resources::parse("f", FULL).unwrap();
    let [station] = resources.stations() else { panic!("{:?}", resources.stations()) };
    assert_eq!((station.name.as_str(), station.gateway, station.port.number()), ("noc-1", GatewayIndex(0), 11019));
    assert_eq!(station.address, "192.0.2.200".parse::<std::net::IpAddr>().unwrap());
    assert_eq!(station.local_address, Some("192.0.2.1".parse().unwrap()));
}

#[test]
fn little_has_to_be_said_and_a_station_may_be_on_this_host() {
    for address in ["192.0.2.9", "127.0.0.1", "::1", "2001:db8::9"] {
        let text = format!("{GOOD}\n{}", STATION.replace("192.0.2.9", address));
        let resources = Resources::parse("f", &text).unwrap();
        assert_eq!(resources.stations()[0].local_address, None);
        assert_eq!(resources.stations()[0].address.to_string(), address);
    }
}

#[test]
fn what_is_wrong_is_named_with_what_is_allowed() {
    let edited = |from: &str, to: &str| {
        assert!(STATION.contains(from), "{from}");
        STATION.replace(from, to)
    };
    let host = "allowed: the address of one host";
    let port = "allowed: 1 to 65535";
    for (text, expected) in [
        (edited("address = \"192.0.2.9\"\n", ""), "address is missing; allowed: the station's address".to_owned()),
        (edited("192.0.2.9", "224.0.0.9"), format!("address = \"224.0.0.9\" is a multicast address; {host}")),
        (edited("192.0.2.9", "0.0.0.0"), format!("address = \"0.0.0.0\" is the unspecified address; {host}")),
        (edited("192.0.2.9", "fe80::9"), format!("address = \"fe80::9\" is a link-local address; {host}")),
        (
            edited("192.0.2.9", "noc.example"),
            "address = \"noc.example\" is not an address; allowed: an IPv4 or IPv6 address".to_owned(),
        ),
        (edited("port = 11019\n", ""), format!("port is missing; {port}")),
        (edited("11019", "0"), format!("port = 0 is out of range; {port}")),
        (edited("11019", "65536"), format!("port = 65536 is out of range; {port}")),
        (edited("11019", "\"bmp\""), "port = \"bmp\" is a string; allowed: a whole number, 1 to 65535".to_owned()),
        (
            edited("bgw-1", "bgw-9"),
            "border_gateway = \"bgw-9\" names no border_gateway (did you mean \"bgw-1\"?); allowed: \"bgw-1\""
                .to_owned(),
        ),
        (
            edited("port", "local_address = \"::1\"\nport"),
            "local_address = \"::1\" is of another family than address 192.0.2.9; allowed: both IPv4 or both IPv6"
                .to_owned(),
        ),
        (
            edited("port", "statistics_seconds = 60\nport"),
            "statistics_seconds is not a field here; allowed: name, border_gateway, address, port, local_address"
                .to_owned(),
        ),
    ] {
        assert_eq!(problems(&text), [format!("bmp_station \"noc\": {expected}")]);
    }
}

#[test]
fn a_station_is_told_of_a_border_gateway_once() {
    let second = STATION.replace("\"noc\"", "\"noc-2\"");
    assert_eq!(
        problems(&format!("{STATION}{second}")),
        ["bmp_station \"noc-2\": address = \"192.0.2.9\" is already told of border_gateway \"bgw-1\" as bmp_station \
          \"noc\", at port 11019; allowed: one bmp_station for a border_gateway, an address and a port"]
    );
    let elsewhere = second.replace("11019", "11020");
    assert!(Resources::parse("f", &format!("{GOOD}\n{STATION}{elsewhere}")).is_ok());
    let of_another = format!("{}[[border_gateway]]\nname = \"bgw-2\"\n", second.replace("bgw-1", "bgw-2"));
    assert!(Resources::parse("f", &format!("{GOOD}\n{STATION}{of_another}")).is_ok());
}

#[test]
fn a_gateway_without_bgp_has_nothing_to_tell() {
    let resources = Resources::parse("f", &format!("{GOOD}\n{STATION}")).unwrap();
    let warnings: Vec<_> = resources.warnings().iter().map(ToString::to_string).collect();
    let line = GOOD.lines().count() + 4;
    assert_eq!(
        warnings,
        [format!(
            "f:{line}: bmp_station \"noc\": border_gateway = \"bgw-1\" speaks no BGP: there is nothing that the station \
             could be told"
        )]
    );
    assert_eq!(Resources::parse("f", FULL).unwrap().warnings(), []);
}

#[test]
fn a_change_names_its_fields() {
    let parse = |text: &str| Resources::parse("f", text).unwrap();
    let before = parse(FULL);
    for (from, to, field) in [
        ("\"192.0.2.200\"", "\"192.0.2.201\"", StationField::Address),
        ("port = 11019", "port = 1790", StationField::Port),
        ("\"192.0.2.1\"", "\"192.0.2.2\"", StationField::LocalAddress),
    ] {
        assert!(FULL.contains(from), "{from}");
        let (old, new) = (StationIndex(0), StationIndex(0));
        assert_eq!(
            difference(&before, &parse(&FULL.replacen(from, to, 1))),
            [Change::BmpStation(Step::Modify { old, new, fields: vec![field] })],
            "{field}"
        );
    }
    let gateway = "[[border_gateway]]\nname = \"bgw-2\"\n";
    let moved =
        FULL.replace("name = \"noc-1\"\nborder_gateway = \"bgw-1\"", "name = \"noc-1\"\nborder_gateway = \"bgw-2\"");
    let (old, new) = (StationIndex(0), StationIndex(0));
    assert_eq!(
        difference(&parse(&format!("{FULL}{gateway}")), &parse(&format!("{moved}{gateway}"))),
        [Change::BmpStation(Step::Modify { old, new, fields: vec![StationField::BorderGateway] })]
    );
    let behind = parse(&format!("{GOOD}\n{STATION}"));
    let in_front = parse(&format!("{GOOD}\n{}{STATION}", STATION.replace("noc", "first").replace("11019", "11020")));
    assert_eq!(
        difference(&behind, &in_front),
        [
            Change::BmpStation(Step::Add { new: StationIndex(0) }),
            Change::BmpStation(Step::Renumber { old: StationIndex(0), new: StationIndex(1) }),
        ]
    );
    assert_eq!(difference(&in_front, &behind)[0], Change::BmpStation(Step::Remove { old: StationIndex(0) }));
}
