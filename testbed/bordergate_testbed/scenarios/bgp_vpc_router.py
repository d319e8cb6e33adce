"""BGP with a router of the VPC in our own AS: it is told what the customer says, the customer is told what it says, packets go both
ways, and what either withdraws goes at the other, and from the kernel of Bordergate's host.

Nothing but BGP leads anywhere here: the VPC's host has no default route, and its further network is none of the attachment's.
"""

from __future__ import annotations

from dataclasses import replace

from ..bgp import Bfd, Bgp, VpcRouter
from ..bird import Bird, Route, Router, Session
from ..gateway import ROUTED_SITE, Gateway
from ..process import wait_for
from ..scenario import Bed, expect
from ..topology import (IDC_HOST, IDC_PREFIX, SECOND_BORDERGATE_INNER, SECOND_CUSTOMER_INNER, VPC_GATEWAY, VPC_HOST,
                        VPC_PREFIX)
from ..traffic import kernel_routes, must_have_route, must_lack_route, must_ping

LIMIT_SECONDS = 120
BEHIND_PREFIX, BEHIND_HOST = "10.7.0.0/16", "10.7.0.1"
CUSTOMER = Router((Session(), Session(name="bgp_2", local=SECOND_CUSTOMER_INNER, remote=SECOND_BORDERGATE_INNER)),
                  (Route(IDC_PREFIX),))
# By iBGP, over the attachment's link.
VPC_SESSION = Session(name="to_gateway", local=VPC_HOST, remote=VPC_GATEWAY, asn=65000, remote_asn=65000, bfd=True, direct=True)
VPC_ROUTER = Router((VPC_SESSION,), (Route(BEHIND_PREFIX),), bfd="interval 100 ms; multiplier 3;")


def run(bed: Bed) -> None:
    topology = bed.topology
    topology.vpc_host.ip("route", "delete", "default")
    topology.vpc_host.ip("addr", "add", f"{BEHIND_HOST}/32", "dev", "lo")
    gateway, _ = bed.up_with_two_tunnels(replace(
        ROUTED_SITE, routes=None, bgp=Bgp(), anti_spoofing=False,
        router=VpcRouter(VPC_GATEWAY, VPC_HOST, bfd=Bfd(interval_ms=100))))
    bed.step("start BIRD on the customer's router, and another one in the VPC")
    customer = bed.bird(name="bird-customer").start(CUSTOMER)
    router = bed.bird(name="bird-vpc", namespace=topology.vpc_host).start(VPC_ROUTER)
    gateway.bgp.wait_established("tun-1", "tun-2", "router-1")
    gateway.bgp.wait_neighbor("router-1", "to be watched by BFD", bfd="up")
    exchanged(bed, gateway, customer, router)
    withdrawn(bed, gateway, customer, router)


def exchanged(bed: Bed, gateway: Gateway, customer: Bird, router: Bird) -> None:
    """Each side has the other's routes, and packets go their way."""
    topology = bed.topology
    bed.step("look for the customer's route in the VPC, and for the VPC's at the customer")
    found = must_have_route(topology.vpc_host, IDC_PREFIX)
    expect([route.next_hops for route in found] == [(VPC_GATEWAY,)], f"the VPC's kernel has {found}")
    expect(not router.routes(VPC_PREFIX, "to_gateway"), "the router was told of the network it is in")
    for prefix in (VPC_PREFIX, BEHIND_PREFIX):
        for session in ("bgp_1", "bgp_2"):
            said = customer.wait_route(prefix, session)
            expect("BGP.as_path: 65000\n" in said, f"the customer was told of {prefix}: {said}")
    route, = gateway.bgp.wait_routes(BEHIND_PREFIX, ("router-1",))
    expect((route["as_path"], route["next_hop"]) == ([], VPC_HOST), f"the router has said {route}")
    ours = must_have_route(topology.bordergate, BEHIND_PREFIX)
    expect([route.next_hops for route in ours] == [(VPC_HOST,)], f"the host of Bordergate has {ours}")
    for source, target in ((topology.vpc_host, IDC_HOST), (topology.idc_host, VPC_HOST), (topology.idc_host, BEHIND_HOST)):
        must_ping(source, target)


def withdrawn(bed: Bed, gateway: Gateway, customer: Bird, router: Bird) -> None:
    """What either side withdraws, the other loses."""
    topology = bed.topology
    bed.step("withdraw the router's network")
    router.reconfigure(replace(VPC_ROUTER, routes=()))
    gateway.bgp.wait_routes(BEHIND_PREFIX, ())
    for session in ("bgp_1", "bgp_2"):
        customer.wait_no_route(BEHIND_PREFIX, session)
    must_lack_route(topology.bordergate, BEHIND_PREFIX)
    must_ping(topology.vpc_host, IDC_HOST)
    bed.step("stop the customer's BIRD")
    customer.stop()
    must_lack_route(topology.vpc_host, IDC_PREFIX)
    bed.step("bring everything back, and stop Bordergate")
    router.reconfigure(VPC_ROUTER)
    must_have_route(topology.bordergate, BEHIND_PREFIX)
    gateway.stop()
    expect(not kernel_routes(topology.bordergate, BEHIND_PREFIX), "a clean stop leaves a route behind")
    wait_for("the router to see its session end", lambda: not router.established("to_gateway"))
