//! BGP messages as bytes (RFC 4271 §4), as far as the feeder says them.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::IpNet;

use super::family::Family;

/// RFC 4271 §4.1: no message is longer.
const LONGEST: usize = 4096;
/// Marker, length and type.
pub const HEADER: usize = 19;
/// The header, and the two lengths of an UPDATE.
const FIXED: usize = HEADER + 4;
/// Type, flags and two octets of length of `MP_UNREACH_NLRI`, and its family.
const UNREACHABLE: usize = 4 + 3;
/// Unicast (RFC 4760 §6).
const UNICAST: u8 = 1;
const OPTIONAL: u8 = 0x80;
const TRANSITIVE: u8 = 0x40;
const EXTENDED_LENGTH: u8 = 0x10;

/// What kinds of messages there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Open,
    Update,
    Notification,
    Keepalive,
}

impl Kind {
    /// RFC 4271 §4.1.
    pub fn code(self) -> u8 {
        match self {
            Self::Open => 1,
            Self::Update => 2,
            Self::Notification => 3,
            Self::Keepalive => 4,
        }
    }
}

/// Appends a message.
fn put(kind: Kind, body: &[&[u8]], to: &mut Vec<u8>) {
    let length = HEADER + body.iter().map(|part| part.len()).sum::<usize>();
    assert!(length <= LONGEST, "a message of {length} bytes");
    to.extend([0xff; 16]);
    to.extend((length as u16).to_be_bytes());
    to.push(kind.code());
    body.iter().for_each(|part| to.extend_from_slice(part));
}

/// OPEN: both families, AS numbers of four octets (RFC 6793), and no limit to how long either end may be silent.
pub fn open(number: u32, identifier: Ipv4Addr) -> Vec<u8> {
    let mut capabilities = Vec::new();
    for family in Family::ALL {
        // RFC 4760 §8.
        capabilities.extend([1, 4]);
        capabilities.extend(family.code().to_be_bytes());
        capabilities.extend([0, UNICAST]);
    }
    capabilities.extend([65, 4]);
    capabilities.extend(number.to_be_bytes());
    // RFC 6793 §9: AS_TRANS stands for numbers that two octets cannot hold.
    let short = u16::try_from(number).unwrap_or(23456);
    let mut body = vec![4];
    body.extend(short.to_be_bytes());
    body.extend(0_u16.to_be_bytes());
    body.extend(identifier.octets());
    body.extend([capabilities.len() as u8 + 2, 2, capabilities.len() as u8]);
    body.extend(capabilities);
    let mut message = Vec::new();
    put(Kind::Open, &[&body], &mut message);
    message
}

/// KEEPALIVE.
pub fn keepalive() -> Vec<u8> {
    let mut message = Vec::new();
    put(Kind::Keepalive, &[], &mut message);
    message
}

/// Appends a path attribute.
pub fn put_attribute(optional: bool, code: u8, value: &[u8], to: &mut Vec<u8>) {
    let flags = if optional { OPTIONAL | TRANSITIVE } else { TRANSITIVE };
    put_attribute_with(flags, code, value, to);
}

/// Appends MULTI_EXIT_DISC, which is not transitive (RFC 4271 §5.1.4).
pub fn put_med(med: u32, to: &mut Vec<u8>) {
    put_attribute_with(OPTIONAL, 4, &med.to_be_bytes(), to);
}

fn put_attribute_with(flags: u8, code: u8, value: &[u8], to: &mut Vec<u8>) {
    match u8::try_from(value.len()) {
        Ok(length) => to.extend([flags, code, length]),
        Err(_) => {
            to.extend([flags | EXTENDED_LENGTH, code]);
            to.extend((value.len() as u16).to_be_bytes());
        }
    }
    to.extend_from_slice(value);
}

/// Appends an UPDATE that announces prefixes of one family with the same attributes, which are without a next hop.
pub fn put_announcement(prefixes: &[IpNet], attributes: &[u8], next_hop: IpAddr, to: &mut Vec<u8>) {
    let mut names = Vec::new();
    prefixes.iter().for_each(|prefix| put_prefix(prefix, &mut names));
    match next_hop {
        IpAddr::V4(address) => {
            let mut all = attributes.to_vec();
            put_attribute(false, 3, &address.octets(), &mut all);
            put_update(&[], &all, &names, to);
        }
        IpAddr::V6(address) => {
            // RFC 4760 §3.
            let mut reachable = Family::Ipv6.code().to_be_bytes().to_vec();
            reachable.extend([UNICAST, 16]);
            reachable.extend(address.octets());
            reachable.push(0);
            reachable.extend(names);
            let mut all = Vec::new();
            // RFC 7606 §5.1: it comes first.
            put_attribute_with(OPTIONAL, 14, &reachable, &mut all);
            all.extend_from_slice(attributes);
            put_update(&[], &all, &[], to);
        }
    }
}

/// Appends UPDATEs that withdraw prefixes, in as few messages as hold those of each family.
pub fn put_withdrawals(prefixes: &[IpNet], to: &mut Vec<u8>) {
    for family in Family::ALL {
        let mut names = Vec::new();
        for prefix in prefixes.iter().filter(|prefix| Family::of(prefix) == family) {
            let before = names.len();
            put_prefix(prefix, &mut names);
            if names.len() > LONGEST - FIXED - UNREACHABLE {
                let next = names.split_off(before);
                put_withdrawal(family, &names, to);
                names = next;
            }
        }
        if !names.is_empty() {
            put_withdrawal(family, &names, to);
        }
    }
}

/// Appends what says that a family's table is complete (RFC 4724 §2).
pub fn put_end_of_rib(family: Family, to: &mut Vec<u8>) {
    put_withdrawal(family, &[], to);
}

fn put_withdrawal(family: Family, names: &[u8], to: &mut Vec<u8>) {
    match family {
        Family::Ipv4 => put_update(names, &[], &[], to),
        Family::Ipv6 => {
            // RFC 4760 §4.
            let mut unreachable = family.code().to_be_bytes().to_vec();
            unreachable.push(UNICAST);
            unreachable.extend_from_slice(names);
            let mut attribute = Vec::new();
            put_attribute_with(OPTIONAL, 15, &unreachable, &mut attribute);
            put_update(&[], &attribute, &[], to);
        }
    }
}

fn put_update(withdrawn: &[u8], attributes: &[u8], announced: &[u8], to: &mut Vec<u8>) {
    let length = |bytes: &[u8]| (bytes.len() as u16).to_be_bytes();
    let body = [&length(withdrawn), withdrawn, &length(attributes), attributes, announced];
    put(Kind::Update, &body, to);
}

/// RFC 4271 §4.3: the length in bits, and as many octets as hold them.
fn put_prefix(prefix: &IpNet, to: &mut Vec<u8>) {
    let (length, octets) = (prefix.prefix_len(), usize::from(prefix.prefix_len()).div_ceil(8));
    to.push(length);
    match prefix {
        IpNet::V4(prefix) => to.extend_from_slice(&prefix.addr().octets()[..octets]),
        IpNet::V6(prefix) => to.extend_from_slice(&prefix.addr().octets()[..octets]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(hexadecimal: &str) -> Vec<u8> {
        let digits: Vec<char> = hexadecimal.chars().filter(|digit| !digit.is_whitespace()).collect();
        digits.chunks(2).map(|pair| u8::from_str_radix(&pair.iter().collect::<String>(), 16).unwrap()).collect()
    }

    fn prefixes(texts: &[&str]) -> Vec<IpNet> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    const MARKER: &str = "ffffffffffffffffffffffffffffffff";

    #[test]
    fn messages_are_as_the_rfcs_write_them() {
        let opened = open(65001, [10, 66, 0, 1].into());
        let expected = "0031 01 04 fde9 0000 0a420001 14 02 12 0104 0001 0001 0104 0002 0001 4104 0000fde9";
        assert_eq!(opened, bytes(&(MARKER.to_owned() + expected)));
        assert_eq!(keepalive(), bytes(&(MARKER.to_owned() + "0013 04")));
        let mut ends = Vec::new();
        put_end_of_rib(Family::Ipv4, &mut ends);
        assert_eq!(ends, bytes(&(MARKER.to_owned() + "0017 02 0000 0000")));
        ends.clear();
        put_end_of_rib(Family::Ipv6, &mut ends);
        assert_eq!(ends, bytes(&(MARKER.to_owned() + "001d 02 0000 0006 80 0f 03 0002 01")));
    }

    #[test]
    fn prefixes_share_their_attributes() {
        let mut origin = Vec::new();
        put_attribute(false, 1, &[0], &mut origin);
        let mut update = Vec::new();
        let four = prefixes(&["192.0.2.0/24", "10.0.0.0/7"]);
        put_announcement(&four, &origin, [10, 66, 0, 1].into(), &mut update);
        let expected = "0028 02 0000 000b 40010100 4003040a420001 18c00002 070a";
        assert_eq!(update, bytes(&(MARKER.to_owned() + expected)));
        update.clear();
        put_announcement(&prefixes(&["2001:db8::/32"]), &origin, "fd66::1".parse().unwrap(), &mut update);
        let expected = "0038 02 0000 0021 800e1a 0002 01 10 fd660000000000000000000000000001 00 2020010db8 40010100";
        assert_eq!(update, bytes(&(MARKER.to_owned() + expected)));
    }

    #[test]
    fn what_is_withdrawn_fills_messages() {
        let many: Vec<IpNet> =
            (0..3000_u32).map(|number| IpNet::new(Ipv4Addr::from(number << 8).into(), 24).unwrap()).collect();
        let mut messages = Vec::new();
        put_withdrawals(&many, &mut messages);
        let first = usize::from(u16::from_be_bytes([messages[16], messages[17]]));
        assert!((LONGEST - 16..=LONGEST).contains(&first), "{first}");
        let of_prefixes = messages.len() - FIXED * messages.len().div_ceil(LONGEST);
        assert_eq!(of_prefixes, 3000 * 4);
    }
}
