"""ESP over IPv6 between two Bordergates, with IPv4 and IPv6 inside: ping and TCP pass, the traffic class is copied
outward, and a router's congestion mark arrives inside (RFC 6040)."""

from __future__ import annotations

from scapy.layers.inet import IP
from scapy.layers.inet6 import IPv6
from scapy.packet import Packet

from ..capture import Capture, is_raw_esp
from ..gateway import Gateway, Tunnel
from ..process import wait_for
from ..scenario import Bed, expect
from ..topology import (BORDERGATE_WAN6, CUSTOMER_WAN6, IDC_HOST, IDC_HOST6, IDC_PREFIX, IDC_PREFIX6, VPC_HOST,
                        VPC_HOST6, VPC_PREFIX, VPC_PREFIX6, Options)
from ..traffic import iperf, iperf_server, must_ping

# Expedited forwarding, assured forwarding with ECT(0), and ECT(1) alone.
CLASSES = (0xB8, 0x2A, 0x01)
ECT0, CE = 0x02, 0x03
CONGESTED = """
    table ip6 congested {
        chain forward {
            type filter hook forward priority mangle
            ip6 nexthdr esp ip6 ecn set ce
        }
    }"""


def run(bed: Bed) -> None:
    topology = bed.build(Options(ipv6=True))
    _, customer = bed.up_with_bordergate(tunnel=Tunnel(
        local=BORDERGATE_WAN6, remote=CUSTOMER_WAN6, local_prefixes=(VPC_PREFIX, VPC_PREFIX6),
        remote_prefixes=(IDC_PREFIX, IDC_PREFIX6)))
    wan = bed.capture_wan()
    for version, vpc, idc in ((4, VPC_HOST, IDC_HOST), (6, VPC_HOST6, IDC_HOST6)):
        bed.step(f"ping and TCP, IPv{version} inside")
        must_ping(topology.vpc_host, idc)
        must_ping(topology.idc_host, vpc)
        with iperf_server(topology.vpc_host, vpc, bed.directory / f"iperf3-{version}.log"):
            iperf(topology.idc_host, vpc, kilobytes=500)
        bed.step(f"see that the traffic class is copied, IPv{version} inside")
        for traffic_class in CLASSES:
            begin = len(wan.frames)
            echo(bed, idc, traffic_class)
            copied(wan, begin, traffic_class)
    expect(not any(IP in packet and is_raw_esp(packet) for packet in wan.packets()), "there is ESP over IPv4")

    bed.step("mark all ESP as congested")
    topology.internet.run("nft", "-f", "-", stdin=CONGESTED)
    inside = bed.capture("idc-host", topology.idc_host, "lan0", incoming_only=True)
    for layer, source, target in ((IP, VPC_HOST, IDC_HOST), (IPv6, VPC_HOST6, IDC_HOST6)):
        congested(bed, customer, inside, layer, source, target)


def congested(bed: Bed, customer: Gateway, inside: Capture, layer: type[Packet], source: str, target: str) -> None:
    """RFC 6040 §4.2: the mark arrives where its sender understands it, and else the packet does not."""
    begin = len(inside.frames)
    echo(bed, target, ECT0)

    def marked() -> list[Packet]:
        return [packet for packet in inside.packets(begin) if layer in packet and packet[layer].src == source]

    packets = wait_for(f"packets for {target}", marked)
    expect(all(class_of(packet) == CE for packet in packets), f"they are marked {[class_of(p) for p in packets]}")
    before = customer.counted()
    echo(bed, target, 0)
    customer.wait_counted("packets whose sender knows no congestion marks", ("congestion_unknown",), before, 1)


def echo(bed: Bed, target: str, traffic_class: int) -> None:
    """Three echo requests of this class, answered or not."""
    bed.topology.vpc_host.run("ping", "-n", "-c", "3", "-i", "0.05", "-W", "0.5", "-Q", str(traffic_class), target,
                              check=False)


def copied(wan: Capture, begin: int, traffic_class: int) -> None:
    """Wait for three packets of this class from the gateway since frame `begin`; what TCP has left there is of class 0."""

    def found() -> bool:
        packets = (packet for packet in wan.packets(begin) if is_raw_esp(packet))
        return sum(class_of(p) == traffic_class for p in packets if p[IPv6].src == BORDERGATE_WAN6) >= 3

    wait_for(f"ESP of class {traffic_class:#04x} on the wire", found)


def class_of(packet: Packet) -> int:
    """Traffic class of the outermost IP header."""
    return packet[IP].tos if IP in packet else packet[IPv6].tc
