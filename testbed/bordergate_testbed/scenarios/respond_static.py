"""strongSwan initiates and Bordergate answers; traffic passes both ways; a delete by strongSwan is the reason shown."""

from __future__ import annotations

from ..demo import check_it_went_through
from ..gateway import Site, Tunnel
from ..scenario import Bed
from ..strongswan import Connection
from ..topology import IDC_HOST, VPC_HOST
from ..traffic import iperf_both_ways, must_ping


def run(bed: Bed) -> None:
    topology = bed.topology
    bed.step("start Bordergate, which waits")
    gateway = bed.gateway().start(Site(tunnel=Tunnel(startup="respond")))
    bed.step("start strongSwan, which initiates")
    strongswan = bed.strongswan().start(Connection())
    strongswan.initiate()
    gateway.wait_up()

    bed.step("ping and iperf3 both ways")
    must_ping(topology.idc_host, VPC_HOST)
    must_ping(topology.vpc_host, IDC_HOST)
    both = iperf_both_ways(topology.idc_host, topology.vpc_host, bed.directory / "iperf3.log")
    check_it_went_through(gateway, strongswan, both)

    bed.step("let strongSwan delete the tunnel")
    strongswan.terminate()
    gateway.wait_down("peer_deleted")

    bed.step("let strongSwan initiate again")
    strongswan.initiate()
    gateway.wait_up()
    must_ping(topology.idc_host, VPC_HOST)
