"""BGP with FRR over two tunnels of one connection, watched by BFD at 10 ms: routes are learnt, told and put into the VPC's
kernel, flows use both tunnels both ways, a tunnel that is cut costs less than 50 ms, and one that is drained nothing.

A cut costs fewer packets than are sent in the time that BFD takes to detect it, both ways at FRR's own pace of BFD. At the
fastest one that holds of what goes to FRR; what FRR sends into such a tunnel it sends for longer, as it lets 50 ms go by before
it chooses another route. `bgp_bfd` has a peer that does not.

That a packet's way follows from BGP and nothing else is seen by what it is without: before FRR speaks, and for what it has
withdrawn, the VPC's host has no route, and there is no default route either.
"""

from __future__ import annotations

import contextlib
import json
import math
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from ..bgp import Bfd, Bgp, Propagation
from ..blockade import Blockade
from ..frr import Frr
from ..gateway import ROUTED_SITE, Gateway, Site
from ..meter import Meter, Reading
from ..process import wait_for
from ..scenario import Bed, expect
from ..topology import (BORDERGATE_INNER, CUSTOMER_INNER, IDC_HOST, IDC_PREFIX, SECOND_BORDERGATE_INNER,
                        SECOND_BORDERGATE_WAN, SECOND_CUSTOMER_INNER, SECOND_CUSTOMER_WAN, VPC_GATEWAY, VPC_HOST,
                        VPC_PREFIX)
from ..traffic import UdpFlows, kernel_routes, must_have_route, must_lack_route, must_ping, udp_echo

LIMIT_SECONDS = 240
BOTH = ("tun-1", "tun-2")
SECOND_ENDS = (SECOND_CUSTOMER_WAN, SECOND_BORDERGATE_WAN)
INNER = ((BORDERGATE_INNER, CUSTOMER_INNER), (SECOND_BORDERGATE_INNER, SECOND_CUSTOMER_INNER))
FURTHER_PREFIX = "10.4.0.0/14"
FLOWS = 400
# Four standard deviations of as many throws of a coin: a sound hash is outside once in 16 000 runs.
SPREAD = 4 * math.sqrt(FLOWS / 4)
# What FRR asks for, the slower one by default; Bordergate would always speak at the faster pace.
FAST_MS, SLOW_MS = 10, 300
MULTIPLIER = 3
METERED_FLOWS = 32
METERED_RATE = 1000
# From the VPC, and to it: what either end may take to act on BFD's word. FRR takes 50 to 60 ms on an idle machine; 10 more
# without `zebra work-queue 0`.
LONGEST_DELAY_SECONDS = (0.02, 0.12)

CONFIGURATION = f"""
frr defaults traditional
zebra work-queue 0
log stdout informational
bfd
 profile watched
  transmit-interval {SLOW_MS}
  receive-interval {SLOW_MS}
  detect-multiplier {MULTIPLIER}
 exit
exit
router bgp 65001
 bgp router-id 10.255.0.2
 bgp log-neighbor-changes
 coalesce-time 0
 no bgp ebgp-requires-policy
 no bgp network import-check
{"".join(f'''
 neighbor {ours} remote-as 65000
 neighbor {ours} bfd
 neighbor {ours} bfd profile watched
 neighbor {ours} timers connect 1
 neighbor {ours} advertisement-interval 0''' for ours, _ in INNER)}
 address-family ipv4 unicast
  network {IDC_PREFIX}
  network {FURTHER_PREFIX}
  maximum-paths 2
 exit-address-family
exit
"""


def run(bed: Bed) -> None:
    topology = bed.topology
    topology.vpc_host.ip("route", "delete", "default")
    gateway, site = bed.up_with_two_tunnels(replace(
        ROUTED_SITE, routes=None, bgp=Bgp(), bfd=Bfd(interval_ms=FAST_MS, multiplier=MULTIPLIER),
        propagation=Propagation(via=(VPC_GATEWAY,), namespace=topology.vpc_host.name)))
    expect(not kernel_routes(topology.vpc_host, IDC_PREFIX), "the VPC has a route to the customer before there is one")

    bed.step("start FRR on the customer's router")
    frr = bed.frr().start(CONFIGURATION)
    both_up(gateway, frr)
    learnt_and_told(bed, gateway, frr)
    balanced(bed, gateway)
    bed.undisturbed(lambda: cut(bed, gateway, frr))
    restored(bed, gateway, frr)
    drained(bed, gateway, frr, site)
    withdrawn(bed, gateway, frr)


def both_up(gateway: Gateway, frr: Frr) -> None:
    """Both ends have both sessions up and watched, and use both ways."""
    gateway.bgp.wait_established(*BOTH)
    for name, (ours, _) in zip(BOTH, INNER, strict=True):
        frr.wait_established(ours)
        gateway.bgp.wait_neighbor(name, "to be watched by BFD", bfd="up")
    wait_for("FRR to have BFD up", lambda: {peer["status"] for peer in frr.vtysh_json("show bfd peers")} == {"up"})
    gateway.bgp.wait_routes(IDC_PREFIX, BOTH)
    wait_for("FRR to have both ways to the VPC", lambda: ways(frr) == {ours for ours, _ in INNER})


def learnt_and_told(bed: Bed, gateway: Gateway, frr: Frr) -> None:
    """Routes are where they are needed, and packets go their way."""
    bed.step("look for FRR's routes at Bordergate and in the VPC")
    topology = bed.topology
    for prefix in (IDC_PREFIX, FURTHER_PREFIX):
        for route in gateway.bgp.wait_routes(prefix, BOTH):
            expect(route["as_path"] == [65001], f"its path is another one: {route}")
        found = must_have_route(topology.vpc_host, prefix)
        expect([route.next_hops for route in found] == [(VPC_GATEWAY,)], f"the VPC's kernel has {found}")
    told = frr.vtysh_json(f"show bgp ipv4 unicast {VPC_PREFIX}")["paths"]
    paths = sorted((path["aspath"]["string"], path["nexthops"][0]["ip"]) for path in told)
    expect(paths == [("65000", ours) for ours, _ in INNER], f"FRR was told {paths}")
    for name in BOTH:
        routes = gateway.bgp.routes(learnt=name)
        taken = {route["prefix"] for route in routes if not route["refused"]}
        expect(taken == {IDC_PREFIX, FURTHER_PREFIX}, f"taken of {name}: {taken}")
        # FRR also tells what it was told, by ourselves.
        expect({route["prefix"] for route in routes} - taken <= {VPC_PREFIX}, f"refused of {name}: {routes}")
        count = gateway.bgp.neighbor(name)["prefixes_received"]["ipv4"]
        expect(count == len(routes), f"{count} prefixes were received of {name}: {routes}")
    must_ping(topology.vpc_host, IDC_HOST)
    must_ping(topology.idc_host, VPC_HOST)


def balanced(bed: Bed, gateway: Gateway) -> None:
    """Half of the flows use either tunnel, both ways."""
    bed.step(f"{FLOWS} flows there and back")
    before = [gateway.tunnel(name)["counters"] for name in BOTH]
    shares = exchanged(bed)
    for way, share in shares.items():
        expect(sum(share) == FLOWS, f"{sum(share)} of {FLOWS} packets went {way} the VPC: {share}")
        expect(abs(share[0] - FLOWS / 2) <= SPREAD, f"flows {way} the VPC by tunnel: {share}, not half of them each")
    after = [gateway.tunnel(name)["counters"] for name in BOTH]
    for number, name in enumerate(BOTH):
        for way, counter in (("from", "packets_out"), ("to", "packets_in")):
            risen = after[number][counter] - before[number][counter]
            expect(risen >= shares[way][number], f"{name}'s {counter} rose by {risen} for {shares[way][number]} packets")
    bed.note(f"{FLOWS} flows by tunnel, from the VPC: {shares['from']}, to the VPC: {shares['to']}")


def cut(bed: Bed, gateway: Gateway, frr: Frr) -> None:
    """BFD finds out in time that a tunnel does not carry, and its flows go over the other one."""
    want_bfd(frr, SLOW_MS)
    both_up(gateway, frr)
    slowly = cut_at(bed, gateway, frr, SLOW_MS)
    both_up(gateway, frr)
    bed.step(f"have BFD speak every {FAST_MS} ms, without an interruption (RFC 5880 §6.8.3)")
    ups = [gateway.bgp.neighbor(name)["times_up"] for name in BOTH]
    want_bfd(frr, FAST_MS)
    wait_for("BFD to speak faster", lambda: bfd_rate(frr) > 0.8 * 1000 / FAST_MS)
    expect([gateway.bgp.neighbor(name)["times_up"] for name in BOTH] == ups, "the sessions were interrupted")
    fast = cut_at(bed, gateway, frr, FAST_MS)
    for interval_ms, ways in ((SLOW_MS, slowly.ways), (FAST_MS, fast.ways[:1])):
        for way in ways:
            way.must_lose_less_than(METERED_RATE * MULTIPLIER * interval_ms / 1000)


def cut_at(bed: Bed, gateway: Gateway, frr: Frr, interval_ms: int) -> Reading:
    """Cut the second tunnel when BFD speaks so often; what was lost. At its end BFD is slow again, and the tunnel not yet up."""
    bed.step(f"cut the second tunnel under load, BFD at {interval_ms} ms x {MULTIPLIER}")
    with metered(bed) as meter, Blockade(bed.topology, ends=SECOND_ENDS) as blockade:
        one_way(gateway, frr)
        reading = stopped(meter)
        want_bfd(frr, SLOW_MS)
        dropped = blockade.dropped
    bed.note(f"cut, BFD at {interval_ms} ms x {MULTIPLIER}: {reading}")
    expect(all(dropped.values()), f"the cut has dropped {dropped}")
    for way, delay in zip(reading.ways, LONGEST_DELAY_SECONDS, strict=True):
        way.must_be_short_of(MULTIPLIER * interval_ms / 1000 + delay)
    return reading


def restored(bed: Bed, gateway: Gateway, frr: Frr) -> None:
    """A tunnel that carries again is used again, which costs nothing."""
    both_up(gateway, frr)
    bed.step("cut the second tunnel, and let it come back under load")
    with contextlib.ExitStack() as until_later:
        until_later.enter_context(Blockade(bed.topology, ends=SECOND_ENDS))
        one_way(gateway, frr)
        with metered(bed) as meter:
            until_later.close()
            both_up(gateway, frr)
            nothing_lost(bed, "back", stopped(meter))


def one_way(gateway: Gateway, frr: Frr) -> None:
    """Wait until both ends have given the second tunnel up."""
    gateway.bgp.wait_routes(IDC_PREFIX, BOTH[:1], timeout=5)
    gateway.bgp.wait_neighbor("tun-2", "to be down by BFD", bfd="down")
    wait_for("FRR to have one way only", lambda: ways(frr) == {BORDERGATE_INNER}, 5)


def drained(bed: Bed, gateway: Gateway, frr: Frr, site: Site) -> None:
    """Its flows leave a tunnel that is drained, and only then it goes down, with a word to the peer."""
    down = replace(site, further=(replace(site.further[0], admin="down"),))
    with metered(bed) as meter:
        bed.step("drain the second tunnel under load")
        gateway.bgp.drain("tun-2")
        wait_for("FRR to prefer the other tunnel", lambda: ways(frr) == {BORDERGATE_INNER}, 10)
        gateway.bgp.wait_neighbor("tun-2", "to be drained", drained=True, state="established")
        nothing_lost(bed, "drained", stopped(meter))
    bed.step("see that nothing uses it any more")
    shares = exchanged(bed)
    expect(shares == {"from": (FLOWS, 0), "to": (FLOWS, 0)}, f"flows by tunnel: {shares}, not all in tun-1")
    with metered(bed) as meter:
        bed.step("take it down under load")
        gateway.reload(down.render())
        wait_for("FRR to see its session end", lambda: frr.neighbor(SECOND_BORDERGATE_INNER)["bgpState"] != "Established")
        nothing_lost(bed, "taken down", stopped(meter))
    # Its own memory of that lasts until the tunnel takes BFD down, too.
    told = re.search(rf'neighbor {SECOND_BORDERGATE_INNER} 6/2 \(Cease/Administrative Shutdown\) "[^"]*out of service"',
                     frr.daemon("bgpd").output())
    expect(told is not None, f"FRR was not told in words why:\n{frr.daemon('bgpd').tail(8)}")

    with metered(bed) as meter:
        bed.step("bring it up again under load")
        gateway.reload(site.render())
        gateway.wait_up("tun-2")
        gateway.bgp.undrain("tun-2")
        both_up(gateway, frr)
        nothing_lost(bed, "up again", stopped(meter))


def withdrawn(bed: Bed, gateway: Gateway, frr: Frr) -> None:
    """What FRR withdraws goes everywhere, and what is left goes with Bordergate."""
    vpc = bed.topology.vpc_host
    bed.step("withdraw one prefix at FRR")
    frr.configure("router bgp 65001", "address-family ipv4 unicast", f"no network {FURTHER_PREFIX}")
    gateway.bgp.wait_routes(FURTHER_PREFIX, ())
    must_lack_route(vpc, FURTHER_PREFIX)
    expect(bool(kernel_routes(vpc, IDC_PREFIX)), "the other prefix went, too")
    must_ping(vpc, IDC_HOST)
    bed.step("stop FRR")
    frr.stop()
    gateway.bgp.wait_routes(IDC_PREFIX, ())
    must_lack_route(vpc, IDC_PREFIX)

    bed.step("start it again, and stop Bordergate")
    frr.start(CONFIGURATION)
    must_have_route(vpc, IDC_PREFIX, patience=20)
    gateway.stop()
    expect(not kernel_routes(vpc, IDC_PREFIX), "a clean stop leaves a route behind")


def want_bfd(frr: Frr, interval_ms: int) -> None:
    """Have FRR speak BFD, and want to hear it, so often."""
    frr.configure("bfd", "profile watched", f"transmit-interval {interval_ms}", f"receive-interval {interval_ms}")


def bfd_rate(frr: Frr) -> float:
    """How many BFD packets a second come to FRR, of either tunnel on average."""

    def heard() -> int:
        return sum(peer["control-packet-input"] for peer in frr.vtysh_json("show bfd peers counters"))

    before, begin = heard(), time.monotonic()
    time.sleep(0.3)
    return (heard() - before) / (time.monotonic() - begin) / len(BOTH)


@contextmanager
def metered(bed: Bed) -> Iterator[Meter]:
    """Many flows both ways, a while before anything is done."""
    topology = bed.topology
    with Meter(topology.vpc_host, VPC_HOST, topology.idc_host, IDC_HOST, rate=METERED_RATE,
               flows=METERED_FLOWS) as meter:
        time.sleep(0.3)
        yield meter


def stopped(meter: Meter) -> Reading:
    """What it has seen until a while from now."""
    time.sleep(0.3)
    return meter.stop()


def nothing_lost(bed: Bed, what: str, reading: Reading) -> None:
    """Every packet has arrived."""
    bed.note(f"{what}: {reading}")
    reading.must_be_whole()


def ways(frr: Frr) -> set[str]:
    """The next hops that FRR has put into its kernel for the VPC."""
    routes = frr.vtysh_json(f"show ip route {VPC_PREFIX}").get(VPC_PREFIX, [])
    return {hop["ip"] for route in routes if route.get("selected") for hop in route["nexthops"] if hop.get("fib")}


def exchanged(bed: Bed) -> dict[str, tuple[int, ...]]:
    """Lets every flow send one packet and have it back; how many `tun1` and `tun2` carried from the VPC and to it."""
    topology = bed.topology
    with udp_echo(topology.idc_host, IDC_HOST) as port, UdpFlows(topology.vpc_host, (IDC_HOST, port), FLOWS) as flows:
        rules = "\n".join(f'{side}name "tun{number}" udp {field} {port} counter name {way}{number}'
                          for number in (1, 2) for way, side, field in (("from", "iif", "dport"), ("to", "oif", "sport")))
        names = " ".join(f"counter {way}{number} {{ }};" for way in ("from", "to") for number in (1, 2))
        topology.customer.run("nft", "-f", "-", stdin=f"""
            table ip flows {{
                {names}
                chain forward {{
                    type filter hook forward priority filter
                    {rules}
                }}
            }}""")
        lost = flows.exchange()
        expect(lost == 0, f"{lost} of {FLOWS} packets did not come back")
    listed = json.loads(topology.customer.run("nft", "--json", "list", "counters", "table", "ip", "flows").stdout)
    topology.customer.run("nft", "delete", "table", "ip", "flows")
    seen = {entry["counter"]["name"]: entry["counter"]["packets"] for entry in listed["nftables"] if "counter" in entry}
    return {way: (seen[f"{way}1"], seen[f"{way}2"]) for way in ("from", "to")}
