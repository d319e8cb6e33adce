"""Makes packets with scapy, and what is to become of them, for tests/scapy.rs.

It writes tests/packets.txt, one case a line: what is asked, its arguments, and bytes in hexadecimal; `-` is none.

Run it with a Python that has scapy: /usr/bin/python3 dataplane/wire/tests/make_vectors.py
"""

import pathlib
import struct
from collections.abc import Iterable

from scapy.all import (
    AH,
    ESP,
    ICMP,
    IP,
    TCP,
    UDP,
    Dot1AD,
    Dot1Q,
    Ether,
    ICMPv6DestUnreach,
    ICMPv6EchoReply,
    ICMPv6EchoRequest,
    ICMPv6PacketTooBig,
    ICMPv6ParamProblem,
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
    defragment,
    raw,
)
from scapy.layers.inet6 import ICMPv6ND_NS

A4, B4, GATEWAY4 = "10.1.0.2", "10.2.0.2", "203.0.113.1"
A6, B6, GATEWAY6 = "2001:db8:1::2", "2001:db8:2::2", "2001:db8::1"
DATA = b"bordergate"
COPIED, RECORD_ROUTE = b"\x94\x04\x00\x00", b"\x07\x07\x04" + bytes(4)
LINES: list[str] = []


def line(*fields: object) -> None:
    """One case: bytes and packets as hexadecimal, nothing as `-`."""

    def text(field: object) -> str:
        if isinstance(field, Packet):
            field = raw(field)
        if isinstance(field, bytes):
            return field.hex()
        return "-" if field is None else str(field)

    LINES.append(" ".join(text(field) for field in fields))


def v4(**fields: object) -> IP:
    return IP(**({"src": A4, "dst": B4, "id": 7} | fields))


def v6(**fields: object) -> IPv6:
    return IPv6(**({"src": A6, "dst": B6} | fields))


def parsing() -> None:
    """packet BYTES PROTOCOL HEADERS CLASS HOPS DF FRAGMENT PORTS: the fragment as identification/offset/more."""
    udp = UDP(sport=1000, dport=2000) / Raw(DATA)
    hop = IPv6ExtHdrHopByHop(options=[PadN(optdata=b"1234")])
    dest = IPv6ExtHdrDestOpt(options=[PadN(optdata=bytes(12))])
    route = IPv6ExtHdrRouting(type=0, segleft=0, addresses=["::1"])
    first = IPv6ExtHdrFragment(id=0xDEADBEEF, m=1, offset=0)
    last = IPv6ExtHdrFragment(id=0xDEADBEEF, m=0, offset=181, nh=17)
    for packet, *expected in [
        (v4(ttl=3, tos=0xB9) / udp, 17, 20, 0xB9, 3, 0, None, "1000/2000"),
        (v4(flags="DF") / TCP(sport=1, dport=65535), 6, 20, 0, 64, 1, None, "1/65535"),
        (v4(options=IPOption(COPIED)) / udp, 17, 24, 0, 64, 0, None, "1000/2000"),
        (v4() / ICMP() / Raw(DATA), 1, 20, 0, 64, 0, None, None),
        (v4(flags="MF") / udp, 17, 20, 0, 64, 0, "7/0/1", None),
        (v4(flags="MF", frag=3, proto=17) / Raw(DATA), 17, 20, 0, 64, 0, "7/24/1", None),
        (v4(frag=8191, proto=17, id=65535) / Raw(DATA), 17, 20, 0, 64, 0, "65535/65528/0", None),
        (v4(proto=17) / Raw(b"abc"), 17, 20, 0, 64, 0, None, None),
        (v6(tc=0xB9, hlim=3, fl=0xFFFFF) / udp, 17, 40, 0xB9, 3, 1, None, "1000/2000"),
        (v6() / hop / udp, 17, 48, 0, 64, 1, None, "1000/2000"),
        (v6() / hop / route / dest / TCP(sport=1, dport=2), 6, 88, 0, 64, 1, None, "1/2"),
        (v6() / hop / IPv6ExtHdrFragment(id=9) / dest / udp, 17, 72, 0, 64, 1, None, "1000/2000"),
        (v6() / hop / first / udp, 17, 56, 0, 64, 1, "3735928559/0/1", None),
        (v6() / first / dest / udp, 60, 48, 0, 64, 1, "3735928559/0/1", None),
        (v6() / last / Raw(DATA), 17, 48, 0, 64, 1, "3735928559/1448/0", None),
        (v6() / AH(spi=1, seq=1, icv=bytes(12), nh=17) / udp, 51, 40, 0, 64, 1, None, None),
        (v6() / dest / ESP(spi=0x100, seq=1, data=DATA), 50, 56, 0, 64, 1, None, None),
        (chain(8) / udp, 17, 104, 0, 64, 1, None, "1000/2000"),
        (chain(9) / udp, 60, 104, 0, 64, 1, None, None),
        (v6(nh=59), 59, 40, 0, 64, 1, None, None),
    ]:
        line("packet", packet, *expected)
    line("malformed", v6(nh=0))
    line("malformed", v6(nh=60) / Raw(bytes([17, 1]) + bytes(13)))
    line("malformed", v6(nh=44) / Raw(bytes([17, 0, 0, 0, 0, 0, 0])))


def chain(count: int) -> Packet:
    packet = v6()
    for _ in range(count):
        packet /= IPv6ExtHdrDestOpt(options=[PadN(optdata=bytes(4))])
    return packet


def rewriting() -> None:
    """hops BEFORE AFTER, and class CLASS BEFORE AFTER."""
    for hops in (255, 64, 2, 1, 0):
        for make in (lambda n: v4(ttl=n) / Raw(DATA), lambda n: v6(hlim=n, fl=0x12345, tc=0x9A) / Raw(DATA)):
            line("hops", make(hops), make(hops - 1) if hops > 1 else None)
    for before, after in ((0, 0xFF), (0xFF, 0), (0xB8, 0xBB), (1, 2)):
        line("class", after, v4(tos=before) / Raw(DATA), v4(tos=after) / Raw(DATA))
        line("class", after, v6(tc=before, fl=0xABCDE) / Raw(DATA), v6(tc=after, fl=0xABCDE) / Raw(DATA))


def clamping() -> None:
    """mss LIMIT BEFORE AFTER; after is none where the packet stays as it is."""
    nop, sack, scale = ("NOP", None), ("SAckOK", b""), ("WScale", 7)

    def syn(options: list, size: int, flags: str = "S", ip: Packet | None = None, **fields: object) -> Packet:
        options = [("MSS", size) if option == "mss" else option for option in options]
        return (ip or v4()) / TCP(sport=1, dport=2, seq=99, flags=flags, options=options, **fields) / Raw(b"odd")

    for options in (["mss"], [nop, "mss", nop, nop, nop], [scale, "mss"], [nop, nop, sack, "mss"], [sack, nop, "mss"]):
        line("mss", 1360, syn(options, 1460), syn(options, 1360))
        line("mss", 536, syn(options, 65535, flags="SA", ip=v6()), syn(options, 536, flags="SA", ip=v6()))
    ip6 = v6() / IPv6ExtHdrDestOpt(options=[PadN(optdata=bytes(4))])
    line("mss", 1200, syn(["mss"], 1460, ip=ip6), syn(["mss"], 1200, ip=ip6))
    line("mss", 1360, syn(["mss"], 1360), None)
    line("mss", 1360, syn(["mss"], 1200), None)
    line("mss", 1360, syn(["mss"], 1460, flags="A"), None)
    line("mss", 1360, syn([nop, nop, sack], 0), None)
    line("mss", 1360, syn(["mss"], 1460, dataofs=15), None)
    line("mss", 1360, syn(["mss"], 1460, dataofs=4), None)
    header = struct.pack(">HHIIBBHHH", 1, 2, 99, 0, 0x70, 2, 0x2000, 0, 0)
    for options in ("0204ffff0300ffff", "0205ffff00000000", "0202ffff02040000", "00000000020405b4", "1e00020405b40101",
                    "1e01020405b40101", "1e09020405b40101", "0101010101010102"):
        line("mss", 1360, v4(proto=6) / Raw(header + bytes.fromhex(options)), None)


def error4(**fields: object) -> Packet:
    return IP(src=GATEWAY4, dst=A4, tos=0xC0, id=0, flags="DF", ttl=64) / ICMP(**fields)


def error6(message: Packet, source: str = A6) -> Packet:
    return IPv6(src=GATEWAY6, dst=source, tc=0xC0, hlim=64) / message


def reporting() -> None:
    """report KIND MTU PACKET ERROR; the error is none where none may be sent."""
    udp = UDP(sport=1, dport=2)
    short4, long4 = (v4(flags="DF") / udp / Raw(data) for data in (DATA, bytes(1472)))
    short6, long6 = (v6() / udp / Raw(data) for data in (DATA, bytes(1452)))
    for kind, of4, of6 in [
        ("no_route", {"type": 3, "code": 0}, ICMPv6DestUnreach(code=0)),
        ("address_unreachable", {"type": 3, "code": 1}, ICMPv6DestUnreach(code=3)),
        ("prohibited", {"type": 3, "code": 13}, ICMPv6DestUnreach(code=1)),
        ("too_big", {"type": 3, "code": 4, "nexthopmtu": 1422}, ICMPv6PacketTooBig(mtu=1422)),
        ("hops_exceeded", {"type": 11, "code": 0}, ICMPv6TimeExceeded(code=0)),
    ]:
        for packet in (short4, long4) if kind == "too_big" else (short4,):
            line("report", kind, 1422, packet, error4(**of4) / Raw(raw(packet)[: 576 - 28]))
        for packet in (short6, long6) if kind == "too_big" else (short6,):
            line("report", kind, 1422, packet, error6(of6) / Raw(raw(packet)[: 1280 - 48]))

    def about(packet: Packet) -> None:
        error = error4(type=3, code=0) if IP in packet else error6(ICMPv6DestUnreach(code=0))
        line("report", "no_route", 0, packet, error / Raw(raw(packet)))

    def silent(packet: Packet, kind: str = "no_route") -> None:
        line("report", kind, 1422, packet, None)

    for kind in (0, 8, 13, 14, 17):
        about(v4(proto=1) / Raw(bytes([kind]) + bytes(19)))
    for kind in (3, 4, 5, 11, 12):
        silent(v4() / ICMP(type=kind))
    silent(v4(proto=1))
    about(v4(flags="MF") / udp)
    silent(v4(flags="MF") / ICMP(type=3))
    silent(v4(frag=1, proto=17) / Raw(DATA))
    silent(v4(dst="224.0.0.5") / udp, "too_big")
    silent(v4(dst="255.255.255.255") / udp)
    for source in ("0.0.0.0", "0.1.2.3", "127.0.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255"):
        silent(v4(src=source) / udp)
    about(v6() / ICMPv6EchoRequest())
    about(v6() / IPv6ExtHdrFragment(id=1, offset=9, nh=17) / Raw(DATA))
    silent(v6() / IPv6ExtHdrFragment(id=1, offset=9, nh=58) / Raw(b"\x80" + DATA))
    for message in (ICMPv6DestUnreach(), ICMPv6PacketTooBig(), ICMPv6TimeExceeded(), ICMPv6ParamProblem()):
        silent(v6() / message)
    silent(v6(nh=58) / Raw(b"\x89" + bytes(39)))
    silent(v6(nh=58) / Raw(b"\x7f" + bytes(7)))
    silent(v6(nh=58))
    silent(v6(dst="ff02::1") / udp)
    group = v6(dst="ff0e::1") / udp
    line("report", "too_big", 1422, group, error6(ICMPv6PacketTooBig(mtu=1422)) / Raw(raw(group)))
    for source in ("::", "::1", "ff02::1"):
        silent(v6(src=source) / udp)
        silent(v6(src=source) / udp, "too_big")


def echoing() -> None:
    """echo REQUEST REPLY."""
    for data in (b"", DATA, b"odd", bytes(range(256))):
        line(
            "echo",
            v4(tos=0xBB, ttl=3, options=IPOption(COPIED)) / ICMP(type=8, id=0x1234, seq=0xFFFF) / Raw(data),
            v4(src=B4, dst=A4, tos=0xB8) / ICMP(type=0, id=0x1234, seq=0xFFFF) / Raw(data),
        )
        line(
            "echo",
            v4(flags="DF") / ICMP(type=8, id=1, seq=2) / Raw(data),
            v4(src=B4, dst=A4, id=0, flags="DF") / ICMP(type=0, id=1, seq=2) / Raw(data),
        )
        line(
            "echo",
            v6(tc=0xBB, fl=7, hlim=3) / ICMPv6EchoRequest(id=0x1234, seq=0xFFFF, data=data),
            v6(src=B6, dst=A6, tc=0xB8) / ICMPv6EchoReply(id=0x1234, seq=0xFFFF, data=data),
        )
    line("echo", v4(dst="10.2.255.255") / ICMP(), v4(src="10.2.255.255", dst=A4) / ICMP(type=0))
    line("echo", v4(dst="255.255.255.255") / ICMP(), None)
    line("echo", v4(dst="224.0.0.1") / ICMP(), None)
    line("echo", v4(src="0.0.0.0") / ICMP(), None)
    line("echo", v6(dst="ff02::1") / ICMPv6EchoRequest(), None)
    line("echo", v6(src="::") / ICMPv6EchoRequest(), None)


def quoting() -> None:
    """error PACKET PROBLEM MTU SOURCE DESTINATION LENGTH PROTOCOL ESP PORTS, and other PACKET, and not_icmp PACKET."""
    esp = ESP(spi=0x12345678, seq=99, data=bytes(20))
    nat = UDP(sport=4500, dport=40000) / esp
    ike = UDP(sport=4500, dport=4500) / Raw(bytes(4) + DATA)
    on4, on6 = {"src": GATEWAY4, "dst": B4}, {"src": GATEWAY6, "dst": B6}
    router4, router6 = IP(src="192.0.2.1", dst=GATEWAY4), IPv6(src="2001:db8:9::1", dst=GATEWAY6)
    found, needed, optioned = f"{0x12345678}/99", ICMP(type=3, code=4, nexthopmtu=1400), IPOption(COPIED)
    for quoted, protocol, length, key, ports in [
        (IP(**on4) / esp, 50, 28, found, None),
        (IP(**on4) / esp, 50, 27, None, None),
        (IP(**on4, options=optioned) / esp, 50, 32, found, None),
        (IP(**on4) / nat, 17, 36, found, "4500/40000"),
        (IP(**on4) / nat, 17, 28, None, "4500/40000"),
        (IP(**on4) / ike, 17, 60, None, "4500/4500"),
        (IP(**on4) / UDP(sport=53, dport=40000) / esp, 17, 60, None, "53/40000"),
        (IP(**on4, flags="MF") / esp, 50, 100, found, None),
        (IP(**on4, frag=1, proto=50) / Raw(bytes(100)), 50, 100, None, None),
    ]:
        about = (GATEWAY4, B4, len(quoted), protocol, key, ports)
        line("error", router4 / needed / Raw(raw(quoted)[:length]), "too_big", 1400, *about)
    wrapped = IPv6ExtHdrDestOpt(options=[PadN(optdata=bytes(4))])
    for quoted, protocol, length, key, ports in [
        (IPv6(**on6) / esp, 50, 48, found, None),
        (IPv6(**on6) / nat, 17, 1000, found, "4500/40000"),
        (IPv6(**on6) / wrapped / nat, 17, 1000, found, "4500/40000"),
        (IPv6(**on6) / IPv6ExtHdrFragment(id=1, m=1) / esp, 50, 1000, found, None),
        (IPv6(**on6) / IPv6ExtHdrFragment(id=1, offset=1, nh=50) / Raw(bytes(99)), 50, 1000, None, None),
    ]:
        message = ICMPv6PacketTooBig(mtu=1400) / Raw(raw(quoted)[:length])
        line("error", router6 / message, "too_big", 1400, GATEWAY6, B6, len(quoted), protocol, key, ports)
    quote4, quote6 = Raw(raw(IP(**on4) / esp)[:28]), Raw(raw(IPv6(**on6) / esp))
    for message, problem, mtu in [
        (ICMP(type=3, code=4, nexthopmtu=0), "too_big", None),
        (ICMP(type=3, code=3), "unreachable", None),
        (ICMP(type=11), "time_exceeded", None),
        (ICMP(type=12), "parameter_problem", None),
    ]:
        line("error", router4 / message / quote4, problem, mtu, GATEWAY4, B4, 48, 50, found, None)
    for message, problem, mtu in [
        (ICMPv6PacketTooBig(mtu=1280), "too_big", 1280),
        (ICMPv6PacketTooBig(mtu=0x10000), "too_big", 65535),
        (ICMPv6DestUnreach(code=1), "unreachable", None),
        (ICMPv6TimeExceeded(), "time_exceeded", None),
        (ICMPv6ParamProblem(), "parameter_problem", None),
    ]:
        line("error", router6 / message / quote6, problem, mtu, GATEWAY6, B6, 68, 50, found, None)
    line("other", v4() / ICMP(type=0))
    line("other", v4() / ICMP(type=5) / quote4)
    line("other", v6() / ICMPv6EchoReply())
    line("other", v6() / ICMPv6ND_NS())
    line("not_icmp", router6 / ICMPv6PacketTooBig(mtu=1279) / quote6)
    line("not_icmp", router4 / needed / quote6)
    line("not_icmp", router4 / needed / Raw(raw(quote4)[:19]))
    line("not_icmp", router6 / ICMPv6PacketTooBig(mtu=1400) / Raw(raw(quote6)[:39]))
    line("not_icmp", v4() / UDP())
    line("not_icmp", v4(proto=58) / Raw(raw(ICMP())))
    line("not_icmp", v4() / ICMP(chksum=1))
    line("not_icmp", v6() / ICMPv6EchoRequest(cksum=1))
    line("not_icmp", v4(flags="MF") / ICMP())
    line("not_icmp", v4(proto=1) / Raw(bytes(7)))


def pieces(packet: IP, mtu: int, options: bytes, later: bytes) -> Iterable[IP]:
    """RFC 791 §3.2, written from the RFC alone: the fragments of a packet, options padded to words."""
    payload, at = raw(packet.payload), 0
    while at == 0 or at < len(payload):
        chosen = options if at == 0 else later
        room = mtu - 20 - len(chosen)
        last = len(payload) - at <= room
        length = len(payload) - at if last else room // 8 * 8
        more = "MF" if not last or packet.flags.MF else 0
        header = {"src": A4, "dst": B4, "id": packet.id, "tos": packet.tos, "ttl": packet.ttl, "proto": packet.proto}
        header |= {"options": IPOption(chosen)} if chosen else {}
        yield IP(raw(IP(**header, flags=more, frag=packet.frag + at // 8) / Raw(payload[at : at + length])))
        at += length


def fragmenting() -> None:
    """fragments MTU PACKET FRAGMENTS; the fragments are none where there can be none."""
    data = bytes(range(256)) * 2
    route = b"\x83\x0b\x04" + bytes(8)
    nothing = b""
    for size, options, later in [
        (400, nothing, nothing),
        (100, nothing, nothing),
        (272, nothing, nothing),
        (273, nothing, nothing),
        (0, nothing, nothing),
        (400, COPIED, COPIED),
        (400, RECORD_ROUTE + b"\x00", nothing),
        (400, RECORD_ROUTE + b"\x01" + COPIED, COPIED),
        (400, b"\x01" + route + RECORD_ROUTE + b"\x00", route + b"\x00"),
        (400, b"\x01" + route + COPIED + RECORD_ROUTE + b"\x00", route + COPIED + b"\x00"),
        (400, b"\x94\x02\x94\xff", b"\x94\x02\x00\x00"),
    ]:
        extra = {"options": IPOption(options)} if options else {}
        packet = IP(raw(v4(tos=0xB8, ttl=9, **extra) / UDP(sport=1, dport=2) / Raw(data[:size])))
        for mtu in (300, 131, 68):
            fragments = list(pieces(packet, mtu, options, later))
            assert all(len(fragment) <= mtu for fragment in fragments)
            if len(fragments) > 1:
                (whole,) = defragment(fragments)
                assert raw(IP(raw(whole))) == raw(packet), (size, options, mtu)
            line("fragments", mtu, packet, ",".join(raw(fragment).hex() for fragment in fragments))
    whole = IP(raw(v4() / UDP(sport=1, dport=2) / Raw(data)))
    for part in pieces(whole, 300, nothing, nothing):
        smaller = list(pieces(part, 100, nothing, nothing))
        others = [other for other in pieces(whole, 300, nothing, nothing) if other.frag != part.frag]
        (again,) = defragment(others + smaller)
        assert raw(IP(raw(again))) == raw(whole)
        line("fragments", 100, part, ",".join(raw(fragment).hex() for fragment in smaller))
    line("fragments", 200, v4(flags="DF") / Raw(data), None)
    line("fragments", 200, v6() / Raw(data), None)
    line("fragments", 27, v4() / Raw(data), None)
    line("fragments", 31, v4(options=IPOption(COPIED)) / Raw(data), None)
    line("fragments", 200, v4(frag=8191) / Raw(data), None)


def framing() -> None:
    """frame BYTES TYPE LENGTH VLAN PRIORITY, and header VLAN PRIORITY BYTES: towards 2:0:0:0:0:1, from 2:0:0:0:0:2."""
    ether, packet = Ether(dst="02:00:00:00:00:01", src="02:00:00:00:00:02"), v4() / Raw(DATA)
    line("frame", ether / packet, 0x0800, 14, None, None)
    line("frame", ether / v6(), 0x86DD, 14, None, None)
    for vlan, priority in ((0, 7), (1, 0), (100, 5), (4095, 7)):
        tagged = ether / Dot1Q(vlan=vlan, prio=priority)
        line("frame", tagged / packet, 0x0800, 18, vlan, priority)
        service = ether / Dot1AD(vlan=vlan, prio=priority)
        line("frame", service / Dot1Q(vlan=9, prio=1) / packet, 0x0800, 22, vlan, priority)
        line("header", vlan, priority, raw(tagged / packet)[:18])
    line("frame", ether / Dot1Q(vlan=5, prio=3, id=1) / packet, 0x0800, 18, 5, 3)
    line("header", None, None, raw(ether / packet)[:14])


def main() -> None:
    for make in (parsing, rewriting, clamping, reporting, echoing, quoting, fragmenting, framing):
        make()
    head = "# Written by make_vectors.py, which says what the fields are."
    (pathlib.Path(__file__).parent / "packets.txt").write_text("\n".join([head, *LINES]) + "\n")


if __name__ == "__main__":
    main()
