"""Neighbours nobody has asked for yet are resolved by asking the kernel, and a neighbour's new MAC address is followed.

Packets that meet an unresolved neighbour are dropped and counted, never sent elsewhere.
"""

from __future__ import annotations

from ..capture import mac_address
from ..namespace import Namespace
from ..process import wait_for
from ..scenario import Bed, expect
from ..topology import IDC_HOST, VPC_HOST
from ..traffic import must_ping, ping

UNRESOLVED = ("neighbour_unresolved",)


def run(bed: Bed) -> None:
    topology = bed.topology
    gateway, _ = bed.up_with_strongswan()
    must_ping(topology.vpc_host, IDC_HOST)

    bed.step("forget the VPC's host and send to it from the data centre")
    before = gateway.counted()
    forget(topology.bordergate, "vpc0")
    wait_for("an answer from a host that was forgotten",
             lambda: ping(topology.idc_host, VPC_HOST, count=1, patience=0.5).received == 1, 10)
    gateway.wait_counted("a packet for the forgotten host", UNRESOLVED, before, 1)

    bed.step("forget the router on the WAN side and send to the data centre")
    forget(topology.bordergate, "wan0")
    wait_for("an answer through a router that was forgotten",
             lambda: ping(topology.vpc_host, IDC_HOST, count=1, patience=0.5).received == 1, 10)

    for name, owner, interface in (("the VPC's host", topology.vpc_host, "vpc0"),
                                   ("the router on the WAN side", topology.internet, "bordergate0")):
        bed.step(f"give {name} another MAC address")
        change_mac(owner, interface)
        wait_for(f"traffic to follow {name}",
                 lambda: ping(topology.vpc_host, IDC_HOST, count=1, patience=0.5).received == 1, 10)
        must_ping(topology.idc_host, VPC_HOST)

    bed.step("send to an address in the VPC where nobody is")
    before = gateway.counted()
    nobody = "10.1.77.77"
    expect(ping(topology.idc_host, nobody, count=3, patience=0.5).received == 0, f"{nobody} answers")
    gateway.wait_counted(f"packets to {nobody}", UNRESOLVED, before, 1)
    must_ping(topology.idc_host, VPC_HOST)


def forget(namespace: Namespace, interface: str) -> None:
    """Empty the kernel's neighbour table of an interface."""
    namespace.ip("neigh", "flush", "dev", interface)


def change_mac(namespace: Namespace, interface: str) -> None:
    """As a failover or a new virtual machine does it, gratuitous ARP included."""
    old = mac_address(namespace, interface)
    namespace.sysctl({f"net/ipv4/conf/{interface}/arp_notify": "1"})
    # Locally administered, and another one for sure.
    new = "02:" + old[3:-2] + f"{int(old[-2:], 16) ^ 0x55:02x}"
    namespace.ip("link", "set", "dev", interface, "address", new)
