"""Packets too long for the tunnel: with DF the sender learns what fits, without DF pieces arrive; TCP is held to it."""

from __future__ import annotations

import socket

from scapy.layers.inet import ICMP, IP, TCP
from scapy.packet import Packet

from ..scenario import Bed, expect
from ..topology import IDC_HOST, INNER_MTU, VPC_GATEWAY, VPC_HOST
from ..traffic import iperf_both_ways, must_ping

PORT = 4242


def run(bed: Bed) -> None:
    topology = bed.topology
    bed.step("have the hosts send what the tunnel does not carry")
    for namespace, interface in ((topology.idc_host, "lan0"), (topology.customer, "lan0"),
                                 (topology.bordergate, "vpc0"), (topology.vpc_host, "vpc0")):
        namespace.ip("link", "set", interface, "mtu", "1500")
    gateway, _ = bed.up_with_strongswan()
    must_ping(topology.vpc_host, IDC_HOST)
    vpc = bed.capture("vpc-host", topology.vpc_host, "vpc0", incoming_only=True)
    idc = bed.capture("idc-host", topology.idc_host, "lan0", incoming_only=True)
    wan = bed.capture_wan()

    bed.step("send 1500 bytes with DF")
    ping_whole(bed, 1472)
    error = vpc.wait_for("fragmentation needed", lambda p: ICMP in p and (p[ICMP].type, p[ICMP].code) == (3, 4))
    mtu = error[ICMP].nexthopmtu
    expect(error[IP].src == VPC_GATEWAY, f"it is from {error[IP].src}, not from {VPC_GATEWAY}")
    expect(INNER_MTU < mtu < 1500, f"it says that {mtu} bytes fit")
    topology.vpc_host.ip("route", "flush", "cache")
    expect(ping_whole(bed, mtu - 28), f"{mtu} bytes were said to fit, and do not")
    longest = max(len(frame) - 14 for frame in wan.frames)
    # Ciphertext comes in steps of four bytes.
    expect(1496 < longest <= 1500, f"{mtu} bytes inside are {longest} outside, so it is not the most that fits")
    topology.vpc_host.ip("route", "flush", "cache")
    expect(not ping_whole(bed, mtu - 27), f"{mtu + 1} bytes with DF went through")

    bed.step("send 1500 bytes without DF")
    before = len(idc.frames)
    output = topology.vpc_host.run("ping", "-n", "-c", "3", "-i", "0.1", "-M", "dont", "-s", "1472", IDC_HOST).stdout
    expect("3 received" in output, f"fragments were not put together: {output}")
    pieces = [p for p in idc.packets(before) if IP in p and p[IP].src == VPC_HOST]
    expect(len(pieces) == 6 and sum(p[IP].frag == 0 for p in pieces) == 3, f"they came as {pieces}")

    bed.step("open TCP connections either way, and see what they announce")
    for client, server, target, capture in ((topology.vpc_host, topology.idc_host, IDC_HOST, idc),
                                            (topology.idc_host, topology.vpc_host, VPC_HOST, vpc)):
        with server.inside(), socket.create_server((target, PORT)):
            with client.inside(), socket.create_connection((target, PORT), timeout=5):
                pass
        syn = capture.wait_for("a SYN", lambda p, to=target: TCP in p and p[IP].dst == to and p[TCP].dport == PORT)
        expect(mss(syn) == mtu - 40, f"the SYN to {target} announces {mss(syn)}, not {mtu - 40}")
    bed.step("run iperf3 both ways")
    iperf_both_ways(topology.idc_host, topology.vpc_host, bed.directory / "iperf3.log")
    gateway.check_accounting()


def ping_whole(bed: Bed, size: int) -> bool:
    """Whether an echo of so many bytes, not to be fragmented, comes back."""
    command = ("ping", "-n", "-c", "1", "-W", "2", "-M", "do", "-s", str(size), IDC_HOST)
    return " 1 received" in bed.topology.vpc_host.run(*command, check=False).stdout


def mss(syn: Packet) -> int | None:
    """The maximum segment size that a SYN announces."""
    return dict(option for option in syn[TCP].options if len(option) == 2).get("MSS")
