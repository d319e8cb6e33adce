"""A peer that sets the IKE SA up without a child, and asks for the child afterwards (RFC 6023), is served as any other."""

from __future__ import annotations

from ..gateway import Site, Tunnel
from ..process import wait_for
from ..scenario import Bed, expect
from ..strongswan import Connection
from ..topology import IDC_HOST, VPC_HOST
from ..traffic import must_ping


def run(bed: Bed) -> None:
    topology = bed.topology
    gateway = bed.gateway().start(Site(tunnel=Tunnel(startup="respond")))
    strongswan = bed.strongswan().start(Connection(childless="force"))

    bed.step("bring up the IKE SA alone")
    strongswan.initiate_ike()
    wait_for("strongSwan to hold the IKE SA",
             lambda: any(sa.values.get("state") == "ESTABLISHED" and not sa.children for sa in strongswan.sas()))
    expect(gateway.tunnel()["state"] == "DOWN", "the tunnel is UP without a child")

    bed.step("ask for its child")
    strongswan.initiate()
    gateway.wait_up()
    must_ping(topology.idc_host, VPC_HOST)
    must_ping(topology.vpc_host, IDC_HOST)
    expect(gateway.tunnel()["messages"]["established"] == 1, "the child came with another IKE SA")

    bed.step("rekey both kinds of SA, from either side")
    for rekey in (lambda: strongswan.rekey(child="tun-1"), lambda: strongswan.rekey(ike="tun-1"),
                  gateway.rekey, lambda: gateway.rekey(ike=True)):
        spi = gateway.tunnel()["esp"]["spi_in"]
        rekey()
        must_ping(topology.vpc_host, IDC_HOST)
        expect(gateway.tunnel()["state"] == "UP", f"after a rekey of {spi} it is {gateway.tunnel()}")
