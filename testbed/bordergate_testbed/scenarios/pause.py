"""A paused tunnel stays UP with the SAs it has and carries nothing either way; resumed, it carries on."""

from __future__ import annotations

from dataclasses import replace

from ..gateway import Site, Tunnel
from ..scenario import Bed, expect
from ..topology import IDC_HOST, VPC_HOST
from ..traffic import must_ping, ping


def run(bed: Bed) -> None:
    topology = bed.topology
    gateway, _ = bed.up_with_strongswan()
    must_ping(topology.vpc_host, IDC_HOST)
    before = gateway.tunnel()["esp"]

    bed.step("pause the tunnel")
    site = Site()
    gateway.reload(replace(site, tunnel=Tunnel(paused=True)).render())
    for source, target, reason in ((topology.vpc_host, IDC_HOST, "no_tunnel_up"),
                                   (topology.idc_host, VPC_HOST, "tunnel_paused")):
        counted = gateway.counted()
        expect(ping(source, target, count=3, patience=0.3).received == 0, f"{source.name} gets through a paused tunnel")
        gateway.wait_counted(f"pings from {source.name}", (reason,), counted, 3)
    expect(gateway.tunnel()["state"] == "UP", f"a paused tunnel is {gateway.tunnel()['state']}")

    bed.step("resume it")
    gateway.reload(site.render())
    must_ping(topology.vpc_host, IDC_HOST)
    must_ping(topology.idc_host, VPC_HOST)
    after = gateway.tunnel()["esp"]
    expect((after["spi_in"], after["spi_out"]) == (before["spi_in"], before["spi_out"]), "it was set up anew")
