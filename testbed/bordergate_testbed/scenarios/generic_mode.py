"""`--xdp-mode generic` runs the same traffic for drivers without native XDP, and says so."""

from __future__ import annotations

from ..demo import check_it_went_through
from ..gateway import xdp_mode
from ..scenario import Bed, expect
from ..topology import IDC_HOST, VPC_HOST
from ..traffic import iperf_both_ways, must_ping


def run(bed: Bed) -> None:
    topology = bed.topology
    gateway, strongswan = bed.up_with_strongswan(arguments=("--xdp-mode", "generic"))
    for interface in ("wan0", "vpc0"):
        attached = xdp_mode(topology.bordergate, interface)
        expect(attached == "generic", f"{interface}: XDP is {attached}")
        told = next(i for i in gateway.status()["interfaces"] if i["name"] == interface)
        expect(told["xdp_mode"] == "generic", f"{interface}: the status says {told['xdp_mode']}")
    expect("generic" in gateway.daemon.output(), "the log does not say that the mode is generic")

    bed.step("ping and iperf3 both ways")
    for size in (0, 56, 1372):
        must_ping(topology.vpc_host, IDC_HOST, size=size)
        must_ping(topology.idc_host, VPC_HOST, size=size)
    both = iperf_both_ways(topology.idc_host, topology.vpc_host, bed.directory / "iperf3.log")
    check_it_went_through(gateway, strongswan, both)
