//! Connections over the loopback interface, through the kernel's own TCP.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use bordergate_tcp_protection::{Md5Key, Md5KeyError, set_least_ttl, set_md5_key};
use socket2::{Domain, Socket, Type};

const LOOPBACK: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
/// Segments that are dropped come again after a second.
const PATIENCE: Duration = Duration::from_millis(700);

fn socket(address: IpAddr) -> Socket {
    Socket::new(Domain::for_address(SocketAddr::new(address, 0)), Type::STREAM, None).unwrap()
}

fn listening(socket: &Socket, address: IpAddr) -> SocketAddr {
    socket.bind(&SocketAddr::new(address, 0).into()).unwrap();
    socket.listen(4).unwrap();
    socket.local_addr().unwrap().as_socket().unwrap()
}

/// Whether something that is sent arrives.
fn reaches(client: &Socket, server: &Socket, to: SocketAddr) -> bool {
    if let Err(error) = client.connect_timeout(&to.into(), PATIENCE) {
        assert_eq!(error.kind(), io::ErrorKind::TimedOut, "{error}");
        return false;
    }
    server.set_read_timeout(Some(PATIENCE)).unwrap();
    let Ok((accepted, _)) = server.accept() else { return false };
    client.send(b"OPEN").unwrap();
    accepted.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut received = [std::mem::MaybeUninit::uninit(); 4];
    accepted.recv(&mut received).is_ok_and(|length| length == 4)
}

#[test]
fn segments_arrive_with_the_same_key_at_both_ends_only() {
    let [key, other] = [&b"secret"[..], &[7; 80]].map(|key| Md5Key::new(key).unwrap());
    for address in LOOPBACK {
        for (ours, theirs, arrives) in [
            (Some(&key), Some(&key), true),
            (Some(&other), Some(&other), true),
            (Some(&key), Some(&other), false),
            (Some(&key), None, false),
            (None, Some(&key), false),
            (None, None, true),
        ] {
            let (client, server) = (socket(address), socket(address));
            for (socket, key) in [(&client, ours), (&server, theirs)] {
                if key.is_some() {
                    set_md5_key(socket, address, key).unwrap();
                }
            }
            let to = listening(&server, address);
            assert_eq!(reaches(&client, &server, to), arrives, "{address} {ours:?} {theirs:?}");
        }
    }
}

#[test]
fn a_key_can_be_another_one_and_none() {
    let [key, other] = [&b"one"[..], b"two"].map(|key| Md5Key::new(key).unwrap());
    for address in LOOPBACK {
        let server = socket(address);
        set_md5_key(&server, address, Some(&key)).unwrap();
        let to = listening(&server, address);
        set_md5_key(&server, address, Some(&other)).unwrap();
        let client = socket(address);
        set_md5_key(&client, address, Some(&other)).unwrap();
        assert!(reaches(&client, &server, to));
        set_md5_key(&server, address, None).unwrap();
        assert!(reaches(&socket(address), &server, to));
        let gone = set_md5_key(&server, address, None).unwrap_err();
        assert_eq!(gone.kind(), io::ErrorKind::NotFound);
    }
}

#[test]
fn who_is_too_far_away_is_not_heard() {
    for address in LOOPBACK {
        for (ttl, least, arrives) in [(255, 255, true), (254, 255, false), (64, 255, false), (250, 250, true)] {
            let (client, server) = (socket(address), socket(address));
            match address {
                IpAddr::V4(_) => client.set_ttl_v4(ttl).unwrap(),
                IpAddr::V6(_) => client.set_unicast_hops_v6(ttl).unwrap(),
            }
            set_least_ttl(&server, address, least).unwrap();
            let to = listening(&server, address);
            assert_eq!(reaches(&client, &server, to), arrives, "{address} {ttl} {least}");
        }
    }
}

#[test]
fn keys_have_1_to_80_bytes_and_are_not_formatted() {
    assert_eq!(Md5Key::new(b"").unwrap_err(), Md5KeyError(0));
    assert_eq!(Md5Key::new(&[1; 81]).unwrap_err().to_string(), "a key of 81 bytes; allowed: 1 to 80");
    assert_eq!(format!("{:?}", Md5Key::new(b"hush").unwrap()), "Md5Key([redacted])");
}
