"""What is put in front of ESP, read on the wire: DF copied, set or cleared, and UDP without a checksum, over IPv4 and IPv6."""

from __future__ import annotations

from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.packet import Packet

from ..capture import Capture, is_udp_esp
from ..gateway import Tunnel
from ..process import wait_for
from ..scenario import Bed, expect
from ..topology import BORDERGATE_WAN, BORDERGATE_WAN6, CUSTOMER_WAN6, IDC_HOST, Options
from ..traffic import must_ping

# RFC 4301 §8.1, by policy: what becomes of an inner packet with DF, and of one without.
POLICIES = {"set": (True, True), "copy": (True, False), "clear": (False, False)}


def run(bed: Bed) -> None:
    topology = bed.topology
    gateway, _ = bed.up_with_strongswan()
    must_ping(topology.vpc_host, IDC_HOST)
    wan = bed.capture_wan()
    text = gateway.file.read_text()
    for policy, expected in POLICIES.items():
        bed.step(f"send packets with and without DF, which the gateway is to {policy}")
        gateway.reload(text.replace('df = "set"', f'df = "{policy}"'))
        for inner, outer in zip(("do", "dont"), expected):
            seen = len(wan.frames)
            topology.vpc_host.run("ping", "-n", "-c", "3", "-i", "0.1", "-M", inner, IDC_HOST)
            for packet in sent(wan, seen):
                expect(bool(packet[IP].flags.DF) is outer, f"{policy}, ping -M {inner}: {packet[IP].flags}")
                expect(packet[UDP].chksum == 0, f"the UDP checksum is {packet[UDP].chksum:#x}")
                # RFC 6864 §4: what may be fragmented is told apart.
                expect(outer or packet[IP].id != 0, "a packet that may be fragmented has no identification")
        expect(gateway.tunnel()["state"] == "UP", "the tunnel is not UP")

    topology = bed.build(Options(ipv6=True))
    gateway, _ = bed.up_with_bordergate(tunnel=Tunnel(
        local=BORDERGATE_WAN6, remote=CUSTOMER_WAN6, udp_encapsulation="always"))
    wan = bed.capture("wan6", topology.internet, "bordergate0")
    bed.step("send ESP in UDP over IPv6")
    must_ping(topology.vpc_host, IDC_HOST)
    # RFC 6935 §5 allows it to tunnels.
    for packet in sent(wan, 0):
        expect(packet[UDP].chksum == 0, f"the UDP checksum is {packet[UDP].chksum:#x}")


def sent(wan: Capture, begin: int) -> list[Packet]:
    """The gateway's ESP since frame `begin`, three packets at least."""

    def found() -> list[Packet] | None:
        packets = [packet for packet in wan.packets(begin) if is_udp_esp(packet) and (
            packet[IP].src == BORDERGATE_WAN if IP in packet else packet[IPv6].src == BORDERGATE_WAN6)]
        return packets if len(packets) >= 3 else None

    return wait_for("the gateway's ESP on the wire", found)
