"""Two border gateways in one daemon use the same inner addresses on both sides; neither sees the other's packets."""

from __future__ import annotations

from scapy.layers.inet import ICMP, IP
from scapy.packet import Packet

from ..scenario import Bed, expect
from ..topology import IDC_HOST, VPC_HOST
from ..traffic import must_ping


def run(bed: Bed) -> None:
    topology = bed.topology
    bed.up_with_two_tenants()

    bed.step("ping in both tenants, with sizes that tell them apart")
    captures = {name: bed.capture(name, topology[name], interface, incoming_only=True)
                for name, interface in (("vpc-host", "vpc0"), ("vpc-host-2", "vpc0"),
                                        ("idc-host", "lan0"), ("idc-host-2", "lan0"))}
    for size, idc, vpc in ((101, "idc-host", "vpc-host"), (202, "idc-host-2", "vpc-host-2")):
        must_ping(topology[idc], VPC_HOST, size=size)
        must_ping(topology[vpc], IDC_HOST, size=size)

    bed.step("see that nobody got the other's packets")
    for name, capture in captures.items():
        capture.stop()
        sizes = {len(packet[ICMP].payload) for packet in capture.packets() if is_echo(packet)}
        expected = {202} if name.endswith("-2") else {101}
        expect(sizes == expected, f"{name} got echoes of {sorted(sizes)} bytes, not {sorted(expected)}")


def is_echo(packet: Packet) -> bool:
    """An echo request or reply."""
    return packet.haslayer(IP) and packet.haslayer(ICMP) and packet[ICMP].type in (0, 8)
