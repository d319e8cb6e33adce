"""A traceroute through the tunnel shows each hop by an address its sender knows; errors come at a limited rate."""

from __future__ import annotations

import re
import socket

from ..namespace import Namespace
from ..process import Failure, wait_for
from ..scenario import Bed, expect
from ..topology import BORDERGATE_INNER, CUSTOMER_INNER, IDC_GATEWAY, IDC_HOST, VPC_GATEWAY, VPC_HOST
from ..traffic import must_ping

# More than a burst and what comes in while it is sent.
FLOOD = 400


def run(bed: Bed) -> None:
    topology = bed.topology
    gateway, _ = bed.up_with_inner_addresses()
    must_ping(topology.vpc_host, IDC_HOST)
    bed.step("trace the way from the VPC")
    # The customer's kernel answers from its end of the tunnel, where the packet came in.
    expect_hops(topology.vpc_host, IDC_HOST, (VPC_GATEWAY, CUSTOMER_INNER, IDC_HOST))
    bed.step("trace the way from the data centre")
    expect_hops(topology.idc_host, VPC_HOST, (IDC_GATEWAY, BORDERGATE_INNER, VPC_HOST))

    bed.step("send packets with a single hop, more than errors are sent about")
    with topology.vpc_host.inside(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, 1)
        for _ in range(FLOOD):
            sender.sendto(b"too far", (IDC_HOST, 33434))
    told = wait_for("errors to be suppressed", lambda: next(
        (g for g in gateway.status()["gateways"] if g["errors_suppressed"] > 0), None))
    expect(told["errors_sent"] >= 50, f"the burst was not let through: {told}")


def expect_hops(source: Namespace, target: str, expected: tuple[str, ...]) -> None:
    """Echo requests with one hop more each time, answered by these."""
    found = tuple(hop(source, target, hops + 1) for hops in range(len(expected)))
    if found != expected:
        raise Failure(f"from {source.name} the hops to {target} are {found}, not {expected}")


def hop(source: Namespace, target: str, hops: int) -> str | None:
    """Who answers an echo request that has so many hops."""
    output = source.run("ping", "-n", "-c", "1", "-W", "2", "-t", str(hops), target, check=False).stdout
    answer = re.search(r"From (\S+) icmp_seq=1 Time to live exceeded|bytes from (\S+): icmp_seq=1", output)
    return (answer[1] or answer[2]) if answer else None
