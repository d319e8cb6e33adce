"""A link on the way takes less than the gateway's: what its router tells is believed, the sender in the VPC learns what
fits, and TCP gets through; forged errors change nothing. With ESP in UDP, and as protocol 50 over IPv4 and IPv6."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from scapy.layers.inet import ICMP, IP
from scapy.layers.inet6 import ICMPv6PacketTooBig, IPv6
from scapy.packet import Packet, Raw

from ..capture import Capture, is_raw_esp, is_udp_esp
from ..gateway import Gateway, Tunnel
from ..scenario import Bed, expect
from ..topology import (BORDERGATE_WAN, BORDERGATE_WAN6, CUSTOMER_WAN6, IDC_HOST, INNER_MTU, INTERNET_AT_BORDERGATE,
                        INTERNET_AT_BORDERGATE6, VPC_GATEWAY, Options)
from ..traffic import iperf, iperf_server, must_ping

LINK_MTU = 1300
# Bytes of an IPv4 header and an echo's.
ECHO = 28


@dataclass(frozen=True)
class Outer:
    """How the gateway's packets are wrapped, and what a router says about them."""

    name: str
    local: str
    router: str
    headers: int
    """Bytes in front of ESP."""
    error: Callable[[int], Packet]
    """What comes in front of the quote."""


def needed(mtu: int) -> Packet:
    """RFC 1191 §4."""
    return IP(src=INTERNET_AT_BORDERGATE, dst=BORDERGATE_WAN) / ICMP(type=3, code=4, nexthopmtu=mtu)


def too_big(mtu: int) -> Packet:
    """RFC 4443 §3.2."""
    return IPv6(src=INTERNET_AT_BORDERGATE6, dst=BORDERGATE_WAN6) / ICMPv6PacketTooBig(mtu=mtu)


def run(bed: Bed) -> None:
    v6 = Tunnel(local=BORDERGATE_WAN6, remote=CUSTOMER_WAN6)
    for outer, bring_up in (
            (Outer("in UDP", BORDERGATE_WAN, INTERNET_AT_BORDERGATE, 28, needed), bed.up_with_strongswan),
            (Outer("raw", BORDERGATE_WAN, INTERNET_AT_BORDERGATE, 20, needed), bed.up_with_bordergate),
            (Outer("raw over IPv6", BORDERGATE_WAN6, INTERNET_AT_BORDERGATE6, 40, too_big),
             partial(bed.up_with_bordergate, tunnel=v6))):
        topology = bed.build(Options(ipv6=outer.local == BORDERGATE_WAN6))
        gateway = bring_up()[0]
        wan = bed.capture(f"wan-{outer.name.replace(' ', '-')}", topology.internet, "bordergate0")
        bed.step(f"ping with as much as fits the VPC's link, ESP {outer.name}")
        must_ping(topology.vpc_host, IDC_HOST, size=INNER_MTU - ECHO)
        before = gateway.tunnel()["path_mtu"]
        expect(before["bytes"] == 1500 and before["learned"] is None, f"the path MTU is {before}")
        bed.step(f"forge errors about ESP {outer.name}")
        forge(bed, gateway, outer, genuine(wan, outer))
        expect(gateway.tunnel()["path_mtu"] == before, "a forged error was believed")
        bed.step(f"have a link take no more than {LINK_MTU} bytes of ESP {outer.name}")
        topology.internet.ip("link", "set", "customer0", "mtu", str(LINK_MTU))
        learns(bed, gateway, outer, wan)
        bed.step(f"move bytes by TCP through ESP {outer.name}")
        with iperf_server(topology.idc_host, IDC_HOST, bed.directory / "iperf3.log"):
            iperf(topology.vpc_host, IDC_HOST, kilobytes=1000)
        gateway.check_accounting()


def genuine(wan: Capture, outer: Outer) -> bytes:
    """The last long ESP packet that the gateway has sent."""
    layer = IPv6 if outer.local == BORDERGATE_WAN6 else IP
    sent = [bytes(packet[layer]) for packet in wan.packets() if layer in packet and packet[layer].src == outer.local
            and (is_raw_esp(packet) or is_udp_esp(packet))]
    return next(packet for packet in reversed(sent) if len(packet) > INNER_MTU)


def forge(bed: Bed, gateway: Gateway, outer: Outer, packet: bytes) -> None:
    """Errors about packets that were not sent, or that say nothing, each counted under its name."""
    esp = outer.headers

    def changed(at: int) -> bytes:
        return packet[:at] + bytes([packet[at] ^ 0x40]) + packet[at + 1:]

    forgeries = [
        ("unknown_sa", outer.error(1280) / Raw(changed(esp)[:100])),
        ("not_recent", outer.error(1280) / Raw(changed(esp + 4)[:100])),
        ("not_lower", outer.error(len(packet)) / Raw(packet[:100])),
        ("cut_short", outer.error(1280) / Raw(packet[:esp + 7])),
    ]
    with bed.inject_from_internet() as internet:
        for name, error in forgeries:
            counts = gateway.counted()
            internet.send(error)
            gateway.wait_counted(f"an error that is {name}", (name,), counts, 1)


def learns(bed: Bed, gateway: Gateway, outer: Outer, wan: Capture) -> None:
    """One packet vanishes, and with it the gateway learns; the next one's sender is told."""
    topology = bed.topology
    vpc = bed.capture(f"vpc-{outer.name.replace(' ', '-')}", topology.vpc_host, "vpc0", incoming_only=True)
    expect("Frag" not in ping_whole(bed, INNER_MTU), "the sender was told before the gateway could know")
    told = gateway.tunnel()["path_mtu"]
    learned = told["learned"]
    expect(told["bytes"] == LINK_MTU and learned is not None, f"the path MTU is {told}")
    expect(learned["router"] == outer.router and 590 < learned["expires_seconds"] <= 600, f"it is learned as {learned}")
    expect(f"tun-1: path MTU {LINK_MTU} as {outer.router} told" in gateway.status_text(), gateway.status_text())

    ping_whole(bed, INNER_MTU)
    error = vpc.wait_for("fragmentation needed", lambda p: ICMP in p and (p[ICMP].type, p[ICMP].code) == (3, 4))
    mtu = error[ICMP].nexthopmtu
    expect(error[IP].src == VPC_GATEWAY, f"it is from {error[IP].src}, not from {VPC_GATEWAY}")
    expect(mtu == told["inner_bytes"], f"the sender is told of {mtu} bytes, the status of {told}")
    seen = len(wan.frames)
    topology.vpc_host.ip("route", "flush", "cache")
    expect("1 received" in ping_whole(bed, mtu), f"{mtu} bytes were said to fit, and do not")
    longest = max(len(frame) - 14 for frame in wan.frames[seen:])
    # Ciphertext comes in steps of four bytes.
    expect(LINK_MTU - 4 < longest <= LINK_MTU, f"{mtu} bytes inside are {longest} outside: not the most that fits")


def ping_whole(bed: Bed, length: int) -> str:
    """What ping says of one echo of so many bytes that must not be fragmented."""
    command = ("ping", "-n", "-c", "1", "-W", "1", "-M", "do", "-s", str(length - ECHO), IDC_HOST)
    done = bed.topology.vpc_host.run(*command, check=False)
    return done.stdout + done.stderr
