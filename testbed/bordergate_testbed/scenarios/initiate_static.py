"""Bordergate initiates to strongSwan: ping and TCP pass both ways in ESP over UDP, and SIGTERM leaves nothing behind.

strongSwan's user-space ESP always asks for UDP encapsulation, so this is the encapsulated half of ESP.
"""

from __future__ import annotations

from ..demo import check_it_went_through
from ..gateway import xdp_mode
from ..process import wait_for
from ..scenario import Bed, expect
from ..topology import IDC_HOST, VPC_HOST
from ..traffic import iperf_both_ways, must_ping


def run(bed: Bed) -> None:
    topology = bed.topology
    gateway, strongswan = bed.up_with_strongswan()
    tunnel = gateway.tunnel()
    expect(tunnel["esp"]["encapsulation"] == "udp", f"encapsulation is {tunnel['esp']['encapsulation']}, not udp")
    expect(tunnel["reason"] is None, f"UP with a reason: {tunnel['reason']}")

    bed.step("ping from either side, small and as large as the hosts' MTU lets them")
    for size in (0, 1, 56, 1371, 1372):
        must_ping(topology.vpc_host, IDC_HOST, size=size)
        must_ping(topology.idc_host, VPC_HOST, size=size)

    bed.step("run iperf3 both ways")
    both = iperf_both_ways(topology.idc_host, topology.vpc_host, bed.directory / "iperf3.log")
    check_it_went_through(gateway, strongswan, both)

    bed.step("compare both ends' SPIs")
    child = strongswan.wait_established().child
    tunnel = gateway.tunnel()
    expect(int(child["spi-in"], 16) == _number(tunnel["esp"]["spi_out"]) and
           int(child["spi-out"], 16) == _number(tunnel["esp"]["spi_in"]),
           f"strongSwan says in {child['spi-in']} out {child['spi-out']}, Bordergate {tunnel['esp']}")

    bed.step("look at how XDP is attached")
    for interface in ("wan0", "vpc0"):
        expect(xdp_mode(topology.bordergate, interface) == "native",
               f"{interface}: XDP is {xdp_mode(topology.bordergate, interface)}, and veth has native mode")
        told = next(i for i in gateway.status()["interfaces"] if i["name"] == interface)
        expect(told["xdp_mode"] == "native" and told["queues"], f"{interface}: the status says {told}")

    gateway.check_accounting()
    bed.step("stop with SIGTERM")
    gateway.stop()
    strongswan.wait_gone(5)
    expect("received DELETE for IKE_SA" in strongswan.daemon.output(), "strongSwan was not told by a delete")
    for interface in ("wan0", "vpc0"):
        wait_for(f"{interface} to be without XDP", lambda name=interface: xdp_mode(topology.bordergate, name) is None, 3)


def _number(spi: int | str) -> int:
    return spi if isinstance(spi, int) else int(spi, 16)
