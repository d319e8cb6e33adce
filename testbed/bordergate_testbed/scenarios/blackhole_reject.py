"""A blackhole route and a reject route drop what is for them under their own names, and nothing beside them."""

from __future__ import annotations

from dataclasses import replace

from ..gateway import Site
from ..scenario import Bed, expect
from ..topology import IDC_HOST
from ..traffic import must_ping, ping

BLACKHOLE = ("10.2.66.0/24", "blackhole")
REJECT = ("10.2.77.0/24", "reject")


def run(bed: Bed) -> None:
    topology = bed.topology
    gateway, _ = bed.up_with_strongswan()
    bed.step("add both routes within the prefix of the tunnel")
    gateway.reload(replace(Site(), discarded=(BLACKHOLE, REJECT)).render())
    for target, reason in (("10.2.66.1", "blackhole"), ("10.2.77.1", "rejected")):
        bed.step(f"ping {target}")
        counted = gateway.counted()
        sealed = gateway.tunnel()["counters"]["packets_out"]
        expect(ping(topology.vpc_host, target, count=3, patience=0.3).received == 0, f"{target} answers")
        gateway.wait_counted(f"pings to {target}", (reason,), counted, 3)
        expect(gateway.tunnel()["counters"]["packets_out"] == sealed, f"pings to {target} were sealed")
    must_ping(topology.vpc_host, IDC_HOST)
