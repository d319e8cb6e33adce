"""Makes the first inputs of the corpora with scapy, so that hunts start from what the network really sends.

It writes corpus/TARGET/scapy-*, of resource files example-*, of certificates openssl-*,
of exchanges program-*, and of bgp session-*. What an input is made of stands in src/, at each target.

Run it with a Python that has scapy: /usr/bin/python3 fuzz/make_seeds.py
"""

import base64
import pathlib
import re
import struct

import scapy.contrib.ikev2 as ike
from scapy.all import (
    ESP,
    ICMP,
    IP,
    TCP,
    UDP,
    Dot1AD,
    Dot1Q,
    Ether,
    ICMPv6DestUnreach,
    ICMPv6EchoRequest,
    ICMPv6PacketTooBig,
    ICMPv6TimeExceeded,
    IPOption,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
    IPv6ExtHdrRouting,
    Packet,
    PadN,
    Raw,
    raw,
)
from scapy.contrib.bfd import BFD

HERE = pathlib.Path(__file__).parent
EXAMPLES = HERE.parent / "examples"
VECTORS = HERE.parent / "control/ike/tests/vectors"
BGP_VECTORS = HERE.parent / "control/bgp/tests/vectors"
CERTIFICATES = HERE.parent / "control/ike/tests/certificates"
VPC4, IDC4, OWN4, PEER4 = "10.1.0.2", "10.2.0.2", "203.0.113.1", "198.51.100.2"
VPC6, IDC6 = "2001:db8:1::2", "2001:db8:2::2"
DATA = Raw(b"bordergate")
ETHER = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")


def seed(target: str, name: str, content: bytes | Packet) -> None:
    folder = HERE / "corpus" / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"scapy-{name}").write_bytes(raw(content) if isinstance(content, Packet) else content)


def packets() -> dict[str, Packet]:
    """From the VPC to the data centre, of every shape that a router meets."""
    v4 = {"src": VPC4, "dst": IDC4}
    v6 = {"src": VPC6, "dst": IDC6}
    udp = UDP(sport=1000, dport=2000) / DATA
    syn = TCP(sport=1, dport=2, flags="S", options=[("NOP", None), ("MSS", 8960), ("WScale", 7)])
    options = [IPOption(b"\x94\x04\x00\x00"), IPOption(b"\x07\x07\x04" + bytes(4))]
    hop, dest = IPv6ExtHdrHopByHop(options=[PadN(optdata=b"1234")]), IPv6ExtHdrDestOpt(options=[PadN(optdata=bytes(12))])
    route = IPv6ExtHdrRouting(type=0, segleft=0, addresses=["::1"])
    piece = IPv6ExtHdrFragment(id=7, m=1, offset=0)
    return {
        "udp": IP(**v4) / udp,
        "tcp": IP(**v4) / syn,
        "options": IP(options=options, **v4) / udp,
        "fragment": IP(flags="MF", **v4) / udp,
        "later-fragment": IP(frag=3, proto=17, **v4) / DATA,
        "dont-fragment": IP(flags="DF", **v4) / UDP() / Raw(bytes(1300)),
        "long": IP(**v4) / UDP() / Raw(bytes(1300)),
        "last-hop": IP(ttl=1, **v4) / udp,
        "echo": IP(**v4) / ICMP() / DATA,
        "udp6": IPv6(**v6) / udp,
        "tcp6": IPv6(**v6) / syn,
        "chain6": IPv6(**v6) / hop / route / dest / udp,
        "fragment6": IPv6(**v6) / hop / piece / udp,
        "whole6": IPv6(**v6) / IPv6ExtHdrFragment(id=9) / udp,
        "echo6": IPv6(**v6) / ICMPv6EchoRequest(data=b"bordergate"),
        "blackhole": IP(src=VPC4, dst="10.2.66.1") / udp,
        "reject": IP(src=VPC4, dst="10.2.77.1") / udp,
        "host": IP(src=VPC4, dst="10.0.0.1") / ICMP(),
    }


def messages() -> dict[str, Packet]:
    """ICMP errors about ESP of ours."""
    esp = IP(src=OWN4, dst=PEER4) / ESP(spi=0x12300005, seq=9, data=bytes(40))
    in_udp = IP(src=OWN4, dst=PEER4) / UDP(sport=4500, dport=4500) / ESP(spi=0x12300005, seq=9, data=bytes(40))
    inner6 = IPv6(src=VPC6, dst=IDC6) / IPv6ExtHdrHopByHop() / UDP(sport=4500, dport=4500) / ESP(spi=0x12300005, seq=9)
    error = IP(src="192.0.2.1", dst=OWN4)
    error6 = IPv6(src="2001:db8::9", dst=VPC6)
    return {
        "too-big": error / ICMP(type=3, code=4, nexthopmtu=1400) / esp,
        "unreachable": error / ICMP(type=3, code=1) / in_udp,
        "time": error / ICMP(type=11) / esp,
        "parameter": error / ICMP(type=12) / esp,
        "too-big6": error6 / ICMPv6PacketTooBig(mtu=1400) / inner6,
        "unreachable6": error6 / ICMPv6DestUnreach() / inner6,
        "time6": error6 / ICMPv6TimeExceeded() / inner6,
    }


def record(kind: int, content: bytes) -> bytes:
    return struct.pack("!BH", kind, len(content)) + content


def text(packet: Packet, next_header: int) -> bytes:
    """A packet with what ESP puts behind it (RFC 4303 section 2.4)."""
    content = raw(packet)
    padding = -(len(content) + 2) % 4
    return content + bytes(range(1, padding + 1)) + bytes([padding, next_header])


def backwards(packet: Packet) -> Packet:
    """The packet as the data centre would send it, without checksums of before."""
    packet = packet.copy()
    packet.src, packet.dst = packet.dst, packet.src
    return packet.__class__(raw(packet))


def workers() -> None:
    """The house's byte, then records: a frame to the WAN 0 or a VPC 1, packets 2 and 3, texts 4 to 6, the host's 7."""
    for name, packet in packets().items():
        version = 4 if packet.version == 4 else 41
        there, back = raw(packet), text(backwards(packet), version)
        both = record(2, there) + record(4, back) + record(7, there)
        seed("worker", name, bytes([2]) + both)
        seed("worker", f"{name}-in-udp", bytes([1]) + both)
    back = text(IP(src=IDC4, dst=VPC4) / UDP() / Raw(bytes(300)), 4)
    for name, order in [("in-order", (9, 9, 0)), ("backwards", (9, 9, 1)), ("twice", (1, 9, 0)), ("lost", (9, 1, 0))]:
        seed("worker", f"fragments-{name}", bytes([2]) + record(6, bytes([8, *order]) + back))
    seed("worker", "mutated", bytes([2]) + record(5, struct.pack("!HB", 60, 1) + back) + record(4, back))
    seed("worker", "dummy", bytes([2]) + record(4, bytes([0, 0, 0, 59])) + record(4, bytes([1, 2, 9, 4])))
    # What follows a packet does not leave with it.
    seed("worker", "host-to-vpc", bytes([2]) + record(7, raw(IP(src="10.0.0.1", dst=VPC4) / ICMP()) + b"tail"))
    init = bytes.fromhex((VECTORS / "scapy-ike-sa-init.txt").read_text())
    wan = IP(src=PEER4, dst=OWN4)
    seed("worker", "ike", bytes([2]) + record(3, raw(wan / UDP(sport=500, dport=500) / Raw(init))))
    marked = wan / UDP(sport=4500, dport=4500) / Raw(bytes(4) + init)
    keepalive = wan / UDP(sport=4500, dport=4500) / Raw(b"\xff")
    seed("worker", "port-4500", bytes([1]) + record(3, raw(marked)) + record(3, raw(keepalive)))
    vlan = ETHER / Dot1AD(vlan=7) / Dot1Q(vlan=9) / packets()["udp"]
    unknown = wan / ESP(spi=0x12300006, seq=1, data=bytes(40))
    seed("worker", "frames", bytes([2]) + record(1, raw(vlan)) + record(0, raw(ETHER / unknown)) + record(3, raw(wan / ICMP())))


def certificates() -> dict[str, bytes]:
    """Chains, revocation lists, names, AUTH payloads and a file, by OpenSSL; control/ike/tests/certificates/generate.py.

    Of what its root has signed and is good, only what the target knows to be so is among them.
    """
    def values(name: str) -> list[bytes]:
        text = (CERTIFICATES / f"{name}.pem").read_text()
        bodies = re.findall(r"-----BEGIN [^-]+-----(.+?)-----END", text, re.DOTALL)
        return [base64.b64decode(body) for body in bodies]

    found = {}
    for name in ("branch-chain", "p256", "root", "pss", "ed25519", "strange", "forged", "critical", "expired",
                 "below-end-chain", "below-deep-chain", "below-critical-chain"):
        found[name] = b"\0" + b"".join(struct.pack("!H", len(value)) + value for value in values(name))
    for name in ("root-crl", "root-crl-forged", "root-crl-delta", "branches-crl"):
        found[name] = b"\1" + values(name)[0]
    found["name"] = b"\2" + bytes.fromhex(
        "3046310b300906035504061302434831193017060355040a0c104c696e7578207374726f6e675377616e"
        "311c301a06035504030c136d6f6f6e2e7374726f6e677377616e2e6f7267")
    for number, line in enumerate((CERTIFICATES / "signatures.txt").read_text().splitlines()):
        _, method, data = line.split()
        found[f"signature-{number}"] = bytes([3, int(method)]) + bytes.fromhex(data)
    found["file"] = b"\4" + (CERTIFICATES / "p256.pem").read_bytes() + (CERTIFICATES / "p256.key").read_bytes()
    return found


def programs() -> dict[str, bytes]:
    """Steps of src/exchanges.rs: the ordinary course of a tunnel, and messages of a peer that has the keys."""
    settle, later, rekey_ike, rekey_children, terminate, forge = 6, bytes([5, 15]), 7, 8, 9, 13
    left, right = 0, 128
    request = bytes([4, 0])
    create_child, informational = bytes([2]) + request, bytes([3]) + request
    up = bytes([settle])
    child = bytes([7, 1, 1, 9, 5, 11, 0])
    found = {
        "up": up,
        "rekeys": up + bytes([left | rekey_ike, settle, right | rekey_children, settle]) + later,
        "collision": up + bytes([left | rekey_children, right | rekey_children, left, right, left, right, settle]),
        "ike-collision": up + bytes([left | rekey_ike, right | rekey_ike, left, right, left, right, settle]),
        "lost": bytes([right, 2, right, 5, 12, 4, 0, 0, 4, 1, 7]) + up,
        "terminated": up + bytes([left | rekey_ike, left | terminate, right, left, right, settle]) + later,
        "deletes": up + bytes([forge, 0]) + informational + bytes([4, 0, 0, right | forge, 0]) + informational + b"\5\0",
        "creates": up + (bytes([forge, 0]) + create_child + child) * 3 + bytes([settle]),
        "replaces": up + bytes([forge, 0]) + create_child + bytes([6, 0]) + child + bytes([settle]) + later,
        "succeeds": up + (bytes([forge, 0]) + create_child + bytes([8, 1, 9, 5, 10, 0])) * 2 + later,
        "tells": up + bytes([forge, 0]) + informational + bytes([2, 64, 4, 3, 1, 2, 3, 3, 64, 9, 0, 0]),
        "answers": bytes([right, left, forge, 0, 1, 1, 255, 1, 39, 8, 2, 0, 0, 0, 1, 2, 3, 4, 0]) + up,
        "fragment": up + bytes([forge, 0, 3, 6, 0, 1, 2, 5, 0, forge, 0, 3, 2, 255, 2, 2, 1, 41, 2, 0, 0, 0]) + up,
        "changed": bytes([right | 3, 40, 1, right | 3, 80, 255]) + up,
    }
    return {f"{name}-{how:02x}{more:02x}": bytes([how, more]) + steps
            for number, (name, steps) in enumerate(found.items())
            for how, more in ((0, 0), (0x13 + 0x20 * (number % 2), 2 - number % 2), (0xCC, number % 2))}


def bfd_sessions() -> dict[str, bytes]:
    """A peer that comes up, asks, is held down, and comes back; the same with a password; one that wants no packets."""

    def step(wait: int, known: int, section: bytes = b"", **fields: object) -> bytes:
        packet = raw(BFD(len=24 + len(section), my_discriminator=7, **{"your_discriminator": 0} | fields)) + section
        return bytes([wait, len(packet), known]) + packet

    password = b"\x01\x07\x01hush"
    fast = {"min_tx_interval": 20000, "min_rx_interval": 10000}
    found = {}
    for name, how, section in (("plain", 0, b""), ("password", 1, password)):
        flags = "A" if section else ""
        found[name] = bytes([how]) + b"".join(
            step(wait, int(state != "Down"), section, sta=state, flags=flags + more, diag=diag, **fast)
            for wait, state, more, diag in (
                (0, "Down", "", 0), (1, "Init", "", 0), (1, "Up", "P", 0), (2, "Up", "F", 0), (1, "Up", "D", 0),
                (1, "AdminDown", "", 7), (1, "Down", "", 3), (30, "Down", "", 0), (1, "Init", "", 0), (200, "Up", "", 0),
            )
        )
    found["unwanted"] = bytes([2]) + step(1, 0, sta="Down", min_rx_interval=0) + step(1, 1, sta="Init", min_rx_interval=0)
    found["held"] = bytes([4]) + step(1, 0, sta="Down", flags="P") + step(1, 1, sta="Up", flags="P")
    return found


def bgp_sessions() -> dict[str, bytes]:
    """What BIRD and FRR have said, and one of each attribute; an AS number of ours stands in for theirs."""

    def step(message: bytes, pieces: int = 1) -> bytes:
        return bytes([1, message[18], len(message) - 19, pieces]) + message[19:]

    found = {}
    for name in ("bird", "frr"):
        lines = (BGP_VECTORS / f"{name}.txt").read_text().splitlines()[1:]
        messages = [bytes.fromhex(line.replace("fa56ea0a", "0000fdf2")) for line in lines]
        found[name] = bytes([6, 3]) + b"".join(step(message, 1 + len(message) % 3) for message in messages[2:])
        found[f"{name}-open"] = bytes([6, 0]) + b"".join(step(message) for message in messages[:3])
    marker = b"\xff" * 16 + b"\0\0"
    refreshes = b"".join(step(marker + bytes([5, 0, 2, kind, 1])) for kind in (0, 1, 2))
    found["refresh"] = bytes([6, 3]) + refreshes + step(marker + bytes([3, 6, 2, 4]) + b"bye!")
    attributes = bytes([0x40, 1, 1, 0, 0x40, 2, 6, 2, 1, 0, 0, 0xFD, 0xF2, 0x40, 3, 4, 169, 254, 9, 2, 0x80, 4, 4, 0, 0, 0, 1])
    attributes += bytes([0x40, 5, 4, 0, 0, 0, 9, 0x40, 6, 0, 0xC0, 7, 8, 0, 0, 0xFD, 0xF2, 10, 0, 0, 2])
    attributes += bytes([0x80, 9, 4, 10, 0, 0, 3, 0x80, 10, 4, 10, 0, 0, 4, 0xC0, 99, 1, 0])
    body = struct.pack("!H", 3) + bytes([16, 10, 9]) + struct.pack("!H", len(attributes)) + attributes + bytes([8, 10, 0])
    for how in (6, 7):
        found[f"attributes-{how}"] = bytes([how, 3]) + step(marker + b"\2" + body)
    return found


def main() -> None:
    for pattern in ("*/scapy-*", "*/example-*", "*/openssl-*", "*/program-*", "*/session-*"):
        for old in (HERE / "corpus").glob(pattern):
            old.unlink()
    for name, packet in packets().items():
        seed("packet", name, bytes([1, 0xB9]) + raw(packet))
        seed("esp", name, bytes([len(name), 0, 60, len(name) % 2]) + raw(packet))
        seed("icmp", name, packet)
    for name in ("udp", "options", "long", "fragment", "later-fragment"):
        for mtu in (28, 68, 600):
            seed("fragment", f"{name}-{mtu}", struct.pack("!H", mtu) + raw(packets()[name]))
    for name in ("tcp", "tcp6"):
        seed("tcp", name, struct.pack("!H", 1360) + raw(packets()[name][TCP]))
    late = TCP(flags="S", options=[("SAckOK", b""), ("Timestamp", (1, 0)), ("NOP", None), ("MSS", 9000)])
    seed("tcp", "late", struct.pack("!H", 1360) + raw(late))
    for name, content in certificates().items():
        folder = HERE / "corpus" / "certificate"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"openssl-{name}").write_bytes(content)
    for name, program in programs().items():
        folder = HERE / "corpus" / "exchanges"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"program-{name}").write_bytes(program)
    for name, message in messages().items():
        seed("icmp", name, message)
    for name, session in bfd_sessions().items():
        seed("bfd", name, session)
    for name, session in bgp_sessions().items():
        folder = HERE / "corpus" / "bgp"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"session-{name}").write_bytes(session)
    header = raw(packets()["udp"])[:20]
    seed("checksum", "header", bytes([4, 63, 17]) + header)
    seed("checksum", "odd", bytes([1, 1, 2]) + header + b"123")
    udp = packets()["udp"]
    for name, frame in {
        "untagged": ETHER / udp,
        "tagged": ETHER / Dot1Q(vlan=7, prio=5) / udp,
        "service": ETHER / Dot1AD(vlan=7) / Dot1Q(vlan=9) / packets()["udp6"],
        "three": ETHER / Dot1AD(vlan=7) / Dot1Q(vlan=9) / Dot1Q(vlan=1) / udp,
    }.items():
        seed("link", name, frame)
    for name in ("scapy-ike-sa-init", "scapy-ike-auth"):
        message = bytes.fromhex((VECTORS / f"{name}.txt").read_text())
        # The second is a chain that begins with IDi.
        seed("ike", name.removeprefix("scapy-ike-"), bytes([35 if name.endswith("auth") else 0]) + message)
    notify = ike.IKEv2(init_SPI=b"bordergt", next_payload="Notify", exch_type=37, id=1, flags=8)
    seed("ike", "notify", bytes([0]) + raw(notify / ike.IKEv2_payload_Notify(type=16390, load=b"cookie")))
    # RFC 7296 section 3.11, from its words: scapy's delete has fields of other versions.
    seed("ike", "delete", bytes([42]) + struct.pack("!BBHBBHII", 0, 0, 16, 3, 4, 2, 0x10203, 0x10204))
    folder = HERE / "corpus/resource_file"
    folder.mkdir(parents=True, exist_ok=True)
    for example in sorted(EXAMPLES.glob("*.toml")):
        # Without comments, which keep a hunt from what has a meaning.
        lines = (line.partition("#")[0].rstrip() for line in example.read_text().splitlines())
        (folder / f"example-{example.stem}").write_text("\n".join(filter(None, lines)) + "\n")
    workers()


if __name__ == "__main__":
    main()
