//! Every field of the resource file with values it refuses, and the exact text that is shown.

use broken::refused;

mod broken;

#[test]
fn values() {
    refused(&[
        (
            "asn = 65000",
            "asn = 0",
            "f:{}: border_gateway \"bgw-1\": asn = 0 is out of range; allowed: 1 to 4294967294, without 23456 and 65535",
        ),
        (
            "asn = 65000",
            "asn = 65535",
            "f:{}: border_gateway \"bgw-1\": asn = 65535 is out of range; allowed: 1 to 4294967294, without 23456 and 65535",
        ),
        (
            "asn = 65000",
            "asn = \"65000\"",
            "f:{}: border_gateway \"bgw-1\": asn = \"65000\" is a string; allowed: 1 to 4294967294, without 23456 and 65535",
        ),
        (
            "asn = 65000",
            "asn = 65000.5",
            "f:{}: border_gateway \"bgw-1\": asn = 65000.5 is a fraction; allowed: 1 to 4294967294, without 23456 and 65535",
        ),
        (
            "asn = 65001",
            "asn = 23456",
            "f:{}: customer_gateway \"idc-1\": asn = 23456 is out of range; allowed: 1 to 4294967294, without 23456 and 65535",
        ),
        (
            "asn = 65001",
            "asn = 4294967295",
            "f:{}: customer_gateway \"idc-1\": asn = 4294967295 is out of range; allowed: 1 to 4294967294, without 23456 and 65535",
        ),
        (
            "name = \"bgw-1\"",
            "name = \"\"",
            "f:{}: border_gateway \"\": name = \"\" is empty; allowed: 1 to 32 letters, digits, _ and -",
        ),
        (
            "name = \"tun-1\"",
            "name = \"tun 1\"",
            "f:{}: vpn_tunnel \"tun 1\": name = \"tun 1\" contains ' '; allowed: 1 to 32 letters, digits, _ and -",
        ),
        (
            "name = \"tun-1\"",
            "name = \"abcdefghijklmnopqrstuvwxyz-1234567\"",
            "f:{}: vpn_tunnel \"abcdefghijklmnopqrstuvwxyz-1234567\": name = \"abcdefghijklmnopqrstuvwxyz-1234567\" is too long; allowed: 1 to 32 letters, digits, _ and -",
        ),
        (
            "interface = \"vpc0\"",
            "interface = \"vpc/0\"",
            "f:{}: vpc_attachment \"vpc-1\": interface = \"vpc/0\" contains '/'; allowed: 1 to 15 bytes without spaces, / and :",
        ),
        (
            "interface = \"vpc0\"",
            "interface = \"interface-name-too-long\"",
            "f:{}: vpc_attachment \"vpc-1\": interface = \"interface-name-too-long\" is too long; allowed: 1 to 15 bytes without spaces, / and :",
        ),
        (
            "prefixes = [\"10.1.0.0/16\"]               # what",
            "prefixes = [\"10.1.0.1/16\"] # what",
            "f:{}: vpc_attachment \"vpc-1\": prefixes = \"10.1.0.1/16\" has host bits set; allowed: 10.1.0.0/16",
        ),
        (
            "prefixes = [\"10.1.0.0/16\"]               # what",
            "prefixes = [\"10.1.0.0/33\"] # what",
            "f:{}: vpc_attachment \"vpc-1\": prefixes = \"10.1.0.0/33\" has too long a length; allowed: a length of 0 to 32",
        ),
        (
            "prefixes = [\"10.1.0.0/16\"]               # what",
            "prefixes = [\"10.1.0.0\"] # what",
            "f:{}: vpc_attachment \"vpc-1\": prefixes = \"10.1.0.0\" has no length; allowed: an address and a length, such as 10.1.0.0/32",
        ),
        (
            "prefixes = [\"10.1.0.0/16\"]               # what",
            "prefixes = [\"ten/8\"] # what",
            "f:{}: vpc_attachment \"vpc-1\": prefixes = \"ten/8\" is not a prefix; allowed: an address and a length, such as 10.1.0.0/16 or 2001:db8::/32",
        ),
        (
            "prefixes = [\"10.1.0.0/16\"]               # what",
            "prefixes = \"10.1.0.0/16\" # what",
            "f:{}: vpc_attachment \"vpc-1\": prefixes = \"10.1.0.0/16\" is a string; allowed: a list in square brackets",
        ),
        (
            "prefixes = [\"10.1.0.0/16\"]               # what",
            "prefixes = [] # what",
            "f:{}: vpc_attachment \"vpc-1\": prefixes is an empty list; allowed: at least one entry",
        ),
        (
            "prefixes = [\"10.1.0.0/16\"]               # what",
            "prefixes = [\"10.1.0.0/16\", \"10.1.0.0/16\"] # what",
            "f:{}: vpc_attachment \"vpc-1\": prefixes = \"10.1.0.0/16\" is listed twice; allowed: each entry once",
        ),
        (
            "remote_prefixes = [\"10.2.0.0/16\"]",
            "remote_prefixes = [\"2001:db8::/32\"]",
            "f:{}: vpn_tunnel \"tun-1\": remote_prefixes has no prefix of the family of local_prefixes; allowed: local and remote prefixes of one family",
        ),
        (
            "destination = \"10.2.0.0/16\"",
            "destination = \"10.2.0.1/16\"",
            "f:{}: static_route \"10.2.0.1/16\": destination = \"10.2.0.1/16\" has host bits set; allowed: 10.2.0.0/16",
        ),
        (
            "addresses = [\"198.51.100.2\"]",
            "addresses = [\"198.51.100.2\", \"198.51.100.2\"]",
            "f:{}: customer_gateway \"idc-1\": addresses = \"198.51.100.2\" is listed twice; allowed: each entry once",
        ),
        (
            "addresses = [\"198.51.100.2\"]",
            "addresses = [\"198.51.100.2\", \"not-an-address\"]",
            "f:{}: customer_gateway \"idc-1\": addresses = \"not-an-address\" is not an address; allowed: an IPv4 or IPv6 address",
        ),
        (
            "addresses = [\"203.0.113.1\"]",
            "addresses = [\"203.0.113.1\", \"0.0.0.0\"]",
            "f:{}: vpn_connection \"conn-1\": addresses = \"0.0.0.0\" is the unspecified address; allowed: an address that is routed between the two ends",
        ),
        (
            "addresses = [\"203.0.113.1\"]",
            "addresses = [\"203.0.113.1\", \"127.0.0.1\"]",
            "f:{}: vpn_connection \"conn-1\": addresses = \"127.0.0.1\" is a loopback address; allowed: an address that is routed between the two ends",
        ),
        (
            "addresses = [\"203.0.113.1\"]",
            "addresses = [\"203.0.113.1\", \"ff02::1\"]",
            "f:{}: vpn_connection \"conn-1\": addresses = \"ff02::1\" is a multicast address; allowed: an address that is routed between the two ends",
        ),
        (
            "addresses = [\"203.0.113.1\"]",
            "addresses = [\"203.0.113.1\", \"255.255.255.255\"]",
            "f:{}: vpn_connection \"conn-1\": addresses = \"255.255.255.255\" is the broadcast address; allowed: an address that is routed between the two ends",
        ),
        (
            "addresses = [\"203.0.113.1\"]",
            "addresses = [\"203.0.113.1\", \"fe80::1\"]",
            "f:{}: vpn_connection \"conn-1\": addresses = \"fe80::1\" is a link-local address; allowed: an address that is routed between the two ends",
        ),
        (
            "routing = \"static\"",
            "routing = \"ospf\"",
            "f:{}: vpn_connection \"conn-1\": routing = \"ospf\" is not known; allowed: static, bgp",
        ),
        (
            "local_id = \"203.0.113.1\"",
            "local_id = \"\"",
            "f:{}: vpn_tunnel \"tun-1\": local_id = \"\" is empty; allowed: an IPv4 or IPv6 address, a domain name, user@domain, a distinguished name (CN=...), or keyid:...",
        ),
        (
            "local_id = \"203.0.113.1\"",
            "local_id = \"300.0.113.1\"",
            "f:{}: vpn_tunnel \"tun-1\": local_id = \"300.0.113.1\" is not an identity; allowed: an IPv4 or IPv6 address, a domain name, user@domain, a distinguished name (CN=...), or keyid:...",
        ),
        (
            "local_id = \"203.0.113.1\"",
            "local_id = \"@gateway.example\"",
            "f:{}: vpn_tunnel \"tun-1\": local_id = \"@gateway.example\" begins with @: write the name alone; allowed: an IPv4 or IPv6 address, a domain name, user@domain, a distinguished name (CN=...), or keyid:...",
        ),
        (
            "local_id = \"203.0.113.1\"",
            "local_id = \"C=CN, CN\"",
            "f:{}: vpn_tunnel \"tun-1\": local_id = \"C=CN, CN\" is not a distinguished name; allowed: CN=gw.example, O=Example: types out of CN, SN, serialNumber, C, L, ST, STREET, O, OU, title, GN, DC, UID, E, emailAddress",
        ),
        (
            "local_id = \"203.0.113.1\"",
            "local_id = \"keyid:0xabc\"",
            "f:{}: vpn_tunnel \"tun-1\": local_id = \"keyid:0xabc\" is not a key-ID; allowed: keyid: and 1 to 128 characters of ASCII without spaces, or 0x and hexadecimal",
        ),
        (
            "admin = \"up\"",
            "admin = \"UP\"",
            "f:{}: vpn_tunnel \"tun-1\": admin = \"UP\" is not known; allowed: up, down",
        ),
        (
            "startup = \"initiate\"",
            "startup = \"wait\"",
            "f:{}: vpn_tunnel \"tun-1\": startup = \"wait\" is not known; allowed: initiate, respond",
        ),
        (
            "udp_encapsulation = \"auto\"",
            "udp_encapsulation = true",
            "f:{}: vpn_tunnel \"tun-1\": udp_encapsulation = true is a truth value; allowed: auto, always",
        ),
        (
            "esn = true",
            "esn = \"yes\"",
            "f:{}: vpn_tunnel \"tun-1\": esn = \"yes\" is a string; allowed: true or false",
        ),
        (
            "esn = true",
            "child_sas = 17",
            "f:{}: vpn_tunnel \"tun-1\": child_sas = 17 is out of range; allowed: 1 to 16",
        ),
        (
            "replay_window = 1024",
            "replay_window = 32",
            "f:{}: vpn_tunnel \"tun-1\": replay_window = 32 is out of range; allowed: 64 to 4096",
        ),
        (
            "replay_window = 1024",
            "replay_window = 4097",
            "f:{}: vpn_tunnel \"tun-1\": replay_window = 4097 is out of range; allowed: 64 to 4096",
        ),
        (
            "replay_window = 1024",
            "replay_window = -9999999999999999999999999999999999999999999",
            "f:{}: vpn_tunnel \"tun-1\": replay_window = -9999999999999999999999999999999999999999999 is out of range; allowed: 64 to 4096",
        ),
        (
            "liveness_seconds = 10",
            "liveness_seconds = 3601",
            "f:{}: vpn_tunnel \"tun-1\": liveness_seconds = 3601 is out of range; allowed: 0 to 3600",
        ),
        (
            "lifetime_seconds = 14400",
            "lifetime_seconds = 59",
            "f:{}: vpn_tunnel \"tun-1\": lifetime_seconds = 59 is out of range; allowed: 60 to 86400",
        ),
        (
            "lifetime_seconds = 3600",
            "lifetime_seconds = 86401",
            "f:{}: vpn_tunnel \"tun-1\": lifetime_seconds = 86401 is out of range; allowed: 60 to 86400",
        ),
        (
            "key_exchange = [\"x25519\", \"ecp256\"]",
            "key_exchange = [\"x25519\", \"modp768\"]",
            "f:{}: vpn_tunnel \"tun-1\": key_exchange = \"modp768\" is not known; allowed: x25519, x448, ecp256, ecp384, ecp521, modp1024, modp1536, modp2048, modp3072, modp4096, modp6144, modp8192, mlkem512, mlkem768, mlkem1024",
        ),
        (
            "liveness_seconds = 10",
            "additional_key_exchange = [\"mlkem768\", [\"x448\", \"mlkem\"]]",
            "f:{}: vpn_tunnel \"tun-1\": additional_key_exchange = \"mlkem\" is not known; allowed: x25519, x448, ecp256, ecp384, ecp521, modp1024, modp1536, modp2048, modp3072, modp4096, modp6144, modp8192, mlkem512, mlkem768, mlkem1024",
        ),
        (
            "liveness_seconds = 10",
            "additional_key_exchange = [\"mlkem768\", []]",
            "f:{}: vpn_tunnel \"tun-1\": additional_key_exchange has an empty round; allowed: at least one method a round",
        ),
        (
            "liveness_seconds = 10",
            "additional_key_exchange = [\"x448\", \"ecp256\", \"ecp384\", \"ecp521\", \"mlkem512\", \"mlkem768\", \"mlkem1024\", \"modp2048\"]",
            "f:{}: vpn_tunnel \"tun-1\": additional_key_exchange has 8 rounds; allowed: at most 7",
        ),
        (
            "esn = true",
            "additional_key_exchange = [\"mlkem768\"]",
            "f:{}: vpn_tunnel \"tun-1\": additional_key_exchange has no key exchange to follow; allowed: together with key_exchange",
        ),
        (
            "esn = true",
            "key_exchange = [\"none\"]",
            "f:{}: vpn_tunnel \"tun-1\": key_exchange = \"none\" is not known; allowed: x25519, x448, ecp256, ecp384, ecp521, modp1024, modp1536, modp2048, modp3072, modp4096, modp6144, modp8192, mlkem512, mlkem768, mlkem1024",
        ),
        (
            "encryption = [\"aes128gcm16\", \"aes128\"]",
            "encryption = [\"des\"]",
            "f:{}: vpn_tunnel \"tun-1\": encryption = \"des\" is not known; allowed: aes128gcm16, aes192gcm16, aes256gcm16, chacha20poly1305, aes128, aes192, aes256, 3des",
        ),
        (
            "integrity = [\"sha256\"]",
            "integrity = [\"md5\"]",
            "f:{}: vpn_tunnel \"tun-1\": integrity = \"md5\" is not known; allowed: sha256, sha384, sha512, sha1",
        ),
        (
            "integrity = [\"sha256\"]",
            "integrity = []",
            "f:{}: vpn_tunnel \"tun-1\": integrity is an empty list; allowed: at least one entry",
        ),
        (
            "prf = [\"sha256\"]",
            "prf = [\"md5\"]",
            "f:{}: vpn_tunnel \"tun-1\": prf = \"md5\" is not known; allowed: sha256, sha384, sha512, sha1",
        ),
        (
            "prf = [\"sha256\"]",
            "prf = [\"sha256\", \"sha256\"]",
            "f:{}: vpn_tunnel \"tun-1\": prf = \"sha256\" is listed twice; allowed: each entry once",
        ),
        (
            "encryption = [\"aes128gcm16\"]             # aes",
            "encryption = [\"3des\"] # aes",
            "f:{}: vpn_tunnel \"tun-1\": encryption = \"3des\" is not known; allowed: aes128gcm16, aes192gcm16, aes256gcm16, chacha20poly1305, aes128, aes192, aes256",
        ),
        (
            "liveness_seconds = 10",
            "version = \"v1\"",
            "f:{}: vpn_tunnel \"tun-1\": version = \"v1\" is not offered: IKEv1 is deprecated by RFC 9395; allowed: v2",
        ),
        (
            "liveness_seconds = 10",
            "version = \"v3\"",
            "f:{}: vpn_tunnel \"tun-1\": version = \"v3\" is not known; allowed: v2",
        ),
    ]);
}

#[test]
fn references() {
    refused(&[
        (
            "border_gateway = \"bgw-1\"\ninterface",
            "border_gateway = \"bgw-2\"\ninterface",
            "f:{}: vpc_attachment \"vpc-1\": border_gateway = \"bgw-2\" names no border_gateway (did you mean \"bgw-1\"?); allowed: \"bgw-1\"",
        ),
        (
            "customer_gateway = \"idc-1\"",
            "customer_gateway = \"data-centre\"",
            "f:{}: vpn_connection \"conn-1\": customer_gateway = \"data-centre\" names no customer_gateway; allowed: \"idc-1\"",
        ),
        (
            "vpn_connection = \"conn-1\"\nlocal",
            "vpn_connection = \"con-1\"\nlocal",
            "f:{}: vpn_tunnel \"tun-1\": vpn_connection = \"con-1\" names no vpn_connection (did you mean \"conn-1\"?); allowed: \"conn-1\"",
        ),
        (
            "vpn_connection = \"conn-1\"\nlocal",
            "vpn_connection = 1\nlocal",
            "f:{}: vpn_tunnel \"tun-1\": vpn_connection = 1 is a whole number; allowed: a string",
        ),
        (
            "local_address = \"203.0.113.1\"",
            "local_address = \"203.0.113.9\"",
            "f:{}: vpn_tunnel \"tun-1\": local_address = \"203.0.113.9\" is not an address of vpn_connection \"conn-1\"; allowed: 203.0.113.1",
        ),
        (
            "remote_address = \"198.51.100.2\"",
            "remote_address = \"198.51.100.9\"",
            "f:{}: vpn_tunnel \"tun-1\": remote_address = \"198.51.100.9\" is not an address of customer_gateway \"idc-1\"; allowed: 198.51.100.2",
        ),
    ]);
}

#[test]
fn fields() {
    refused(&[
        (
            "replay_window = 1024",
            "replay_windw = 1024",
            "f:{}: vpn_tunnel \"tun-1\": replay_windw is not a field here; did you mean replay_window?",
        ),
        (
            "replay_window = 1024",
            "bandwidth = 1024",
            "f:{}: vpn_tunnel \"tun-1\": bandwidth is not a field here; allowed: encryption, integrity, key_exchange, additional_key_exchange, esn, child_sas, replay_window, lifetime_seconds, lifetime_packets, lifetime_bytes",
        ),
        (
            "liveness_seconds = 10",
            "dpd = 10",
            "f:{}: vpn_tunnel \"tun-1\": dpd is not a field here; allowed: version, key_exchange, additional_key_exchange, encryption, integrity, prf, liveness_seconds, lifetime_seconds",
        ),
        ("asn = 65000", "ans = 65000", "f:{}: border_gateway \"bgw-1\": ans is not a field here; did you mean asn?"),
        (
            "admin = \"up\"",
            "ikeVersion = \"v1\"",
            "f:{}: vpn_tunnel \"tun-1\": ikeVersion is not a field here; allowed: name, vpn_connection, local_address, remote_address, psk, psk_file, psk_next, psk_next_file, certificate_file, private_key_file, ca_files, crl_files, crl, rsa_padding, ppk, ppk_file, ppk_id, ppk_required, local_id, remote_id, admin, paused, startup, local_prefixes, remote_prefixes, udp_encapsulation, mobike, bandwidth_mbps, weight, inner_address, peer_inner_address, outer, ike, esp",
        ),
        (
            "[vpn_tunnel.esp]",
            "[vpn_tunnel.esq]",
            "f:{}: vpn_tunnel \"tun-1\": esq is not a field here; did you mean esp?",
        ),
        (
            "[[static_route]]",
            "[[static_rout]]",
            "f:{}: static_rout is not a kind of resource; did you mean static_route?",
        ),
        (
            "[[border_gateway]]",
            "[[router]]\n[[border_gateway]]",
            "f:{}: router is not a kind of resource; allowed: border_gateway, vpc_attachment, customer_gateway, vpn_connection, vpn_tunnel, vpc_router, route_filter, bmp_station, static_route",
        ),
    ]);
}
