"""Two tenants with the same addresses share one VPC interface by VLAN tag; what bears another tag is nobody's."""

from __future__ import annotations

import struct
import time
from dataclasses import replace

from scapy.layers.inet import ICMP, IP
from scapy.layers.l2 import Dot1Q
from scapy.packet import Packet, Raw

from ..capture import Injector
from ..gateway import SECOND_SITE, Site
from ..scenario import Bed, expect
from ..topology import IDC_HOST, VPC_HOST

# By VLAN: what the echoes carry, so that they are told apart.
SIZES = {100: 101, 200: 202}
STRANGE = (300, 0)


def run(bed: Bed) -> None:
    topology = bed.topology
    # Their VPCs are VLANs of one interface.
    gateway, *_ = bed.up_with_two_tenants(
        Site(vlan=100), replace(SECOND_SITE, vpc_interface=Site.vpc_interface, vlan=200))
    vpc = bed.capture("vpc-host", topology.vpc_host, "vpc0", incoming_only=True)
    idc = {vlan: bed.capture(name, topology[name], "lan0", incoming_only=True)
           for vlan, name in ((100, "idc-host"), (200, "idc-host-2"))}
    with Injector(topology.vpc_host, "vpc0", topology.bordergate, "vpc0") as trunk:
        for vlan, size in SIZES.items():
            bed.step(f"ping from VLAN {vlan}")
            # The kernel does not know the VLAN's neighbours: the echoes show who it is, and control looks ten times a second.
            for sequence in range(1, 11):
                trunk.send(echo(size, sequence), vlan=tag(vlan))
                time.sleep(0.1)
            idc[vlan].wait_for(f"the echo from VLAN {vlan}", is_icmp(8, size))
            answer = vpc.wait_for(f"an answer of {size} bytes", is_icmp(0, size))
            expect(answer.haslayer(Dot1Q) and answer[Dot1Q].vlan == vlan, f"it bears not VLAN {vlan}: {answer.summary()}")
        for vlan in STRANGE:
            bed.step(f"send {f'in VLAN {vlan}' if vlan else 'without a tag'}")
            before = gateway.counted()
            trunk.send(echo(303, 1), vlan=tag(vlan) if vlan else b"")
            gateway.wait_counted("what no attachment has", ("unknown_vlan",), before, 1)

    bed.step("see that nobody got the other's packets")
    vpc.stop()
    answers = {(packet[Dot1Q].vlan, len(packet[Raw])) for packet in vpc.packets()
               if packet.haslayer(Dot1Q) and packet.haslayer(ICMP) and packet[ICMP].type == 0}
    expect(answers == set(SIZES.items()), f"answers by VLAN and size: {answers}")
    for vlan, capture in idc.items():
        capture.stop()
        sizes = {len(packet[Raw]) for packet in capture.packets() if packet.haslayer(ICMP) and packet[ICMP].type == 8}
        expect(sizes == {SIZES[vlan]}, f"behind VLAN {vlan}'s tunnel arrived echoes of {sizes} bytes")


def tag(vlan: int) -> bytes:
    """IEEE 802.1Q's, of the usual priority."""
    return struct.pack("!HH", 0x8100, vlan)


def echo(size: int, sequence: int) -> Packet:
    """An echo request from the VPC with so many bytes."""
    return IP(src=VPC_HOST, dst=IDC_HOST) / ICMP(type=8, id=7, seq=sequence) / Raw(bytes(size))


def is_icmp(kind: int, size: int):
    """Whether a frame is of this type and size."""
    return lambda frame: frame.haslayer(ICMP) and frame[ICMP].type == kind and len(frame[Raw]) == size
