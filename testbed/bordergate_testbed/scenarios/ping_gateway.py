"""The gateway's address inside the tunnel answers ping from the VPC and through the tunnel, and its host pings back.

Its host is a network namespace of its own, which a clean stop takes away again.
"""

from __future__ import annotations

from ..scenario import Bed, expect
from ..topology import BORDERGATE_INNER, CUSTOMER_INNER, IDC_HOST, VPC_HOST
from ..traffic import must_ping


def run(bed: Bed) -> None:
    topology = bed.topology
    gateway, host = bed.up_with_inner_addresses()
    for what, source, target in (
            ("the gateway from the VPC", topology.vpc_host, BORDERGATE_INNER),
            ("the gateway through the tunnel", topology.idc_host, BORDERGATE_INNER),
            ("the peer inside the tunnel from the gateway", host, CUSTOMER_INNER),
            ("the VPC from the gateway", host, VPC_HOST),
            ("the gateway from itself", host, BORDERGATE_INNER)):
        bed.step(f"ping {what}")
        must_ping(source, target)
    bed.step("ping the data centre's host from the gateway, longer than its link carries")
    for size in (56, 1372, 3000):
        must_ping(host, IDC_HOST, size=size)

    bed.step("stop with SIGTERM")
    expect(host.path.exists(), f"{host.path} is not there")
    gateway.stop()
    expect(not host.path.exists(), f"{host.path} is left behind")
