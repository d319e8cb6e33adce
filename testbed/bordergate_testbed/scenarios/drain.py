"""A gateway that is drained sends its peers to another one; they go only where they may, and keep their traffic (RFC 5685)."""

from __future__ import annotations

from dataclasses import replace

from ..gateway import Site, Tunnel, mirrored
from ..process import CommandFailed, Failure
from ..scenario import Bed, expect
from ..strongswan import Connection
from ..topology import BORDERGATE_WAN, IDC_HOST, SECOND_CUSTOMER_WAN, VPC_HOST
from ..traffic import must_ping

LIMIT_SECONDS = 240
MOSTLY_WAITS = True
NOWHERE = "192.0.2.77"
ONE_CORE = ("--cores", "0")


def run(bed: Bed) -> None:
    topology = bed.topology
    topology.add_second_tenant()

    bed.step("strongSwan asks a Bordergate that is drained")
    gateway = bed.gateway(name="bordergate-drained").start(Site(tunnel=Tunnel(startup="respond")))
    gateway.drain(NOWHERE)
    strongswan = bed.strongswan().start(Connection())
    try:
        strongswan.initiate(timeout=5)
    except (Failure, CommandFailed):
        pass
    else:
        raise Failure("the tunnel came up")
    expect("redirect" in strongswan.daemon.output() and NOWHERE in strongswan.daemon.output(),
           f"strongSwan does not speak of being redirected:\n{strongswan.daemon.tail(10)}")
    strongswan.stop()
    gateway.stop()

    bed.step("a Bordergate is sent where it may not go")
    site = Site(alternates=(SECOND_CUSTOMER_WAN,))
    first = bed.gateway(name="bordergate-first", namespace=topology.customer).start(mirrored(site), arguments=ONE_CORE)
    first.drain(NOWHERE)
    cloud = bed.gateway().start(site)
    told = cloud.wait_down("redirected", timeout=60)["reason"]
    expect(NOWHERE in told["text"], f"the reason does not say where: {told}")

    bed.step("end that: the tunnel comes up where it belongs")
    first.drain(None)
    cloud.wait_up(timeout=60)
    must_ping(topology.vpc_host, IDC_HOST)

    bed.step("start another Bordergate for the same customer, and drain the first one to it")
    there = replace(mirrored(site), tunnel=replace(mirrored(site).tunnel, local=SECOND_CUSTOMER_WAN,
                                                   local_id=site.tunnel.remote))
    second = bed.gateway(name="bordergate-second", namespace=topology["customer-2"]).start(there, arguments=ONE_CORE)
    first.drain(SECOND_CUSTOMER_WAN)
    second.wait_up()
    told = first.wait_down("drained", timeout=30)["reason"]
    expect(SECOND_CUSTOMER_WAN in told["text"], f"the reason does not say where: {told}")
    expect(cloud.tunnel()["state"] == "UP", f"the cloud's tunnel is {cloud.tunnel()}")
    expect("DOWN" not in cloud.daemon.output().rpartition(" UP")[2], "the cloud's tunnel went down on the way")
    must_ping(topology.vpc_host, IDC_HOST)
    must_ping(topology["idc-host-2"], VPC_HOST)
    expect(second.tunnel()["counters"]["packets_in"] > 0, f"nothing of {BORDERGATE_WAN}'s came to the second one")
