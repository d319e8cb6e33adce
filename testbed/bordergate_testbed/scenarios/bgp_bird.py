"""BGP with BIRD: MD5 signatures, AS numbers of four octets, IPv4 and IPv6, filters and communities, refreshed routes, withdrawn
ones, a limit on prefixes; and tshark finds nothing wrong with what was said.

The session of the first tunnel runs over IPv4, the second one's over IPv6, with routes of both families (RFC 8950).
"""

from __future__ import annotations

import re
from dataclasses import replace

from scapy.layers.inet import IP, TCP

from ..bgp import Bgp, Propagation, RouteFilter, Rule
from ..bird import Bird, Route, Router, Session
from ..capture import Capture
from ..crafted_speaker import OPEN, ROUTE_REFRESH, UPDATE
from ..gateway import ROUTED_SITE, ROUTED_TUNNELS, Gateway, Site
from ..process import run as run_command, wait_for
from ..scenario import Bed, expect
from ..topology import (BORDERGATE_INNER, CUSTOMER_INNER, IDC_HOST, IDC_HOST6, IDC_PREFIX, IDC_PREFIX6, VPC_GATEWAY,
                        VPC_GATEWAY6, VPC_HOST, VPC_HOST6, VPC_PREFIX, VPC_PREFIX6, Options)
from ..traffic import kernel_routes, must_have_route, must_lack_route, must_ping

LIMIT_SECONDS = 180
KEY = "a_shared_key"
ASN, BORDERGATE_ASN = 4200000001, 4200000064
BOTH = ("tun-1", "tun-2")
SECOND_INNER6, SECOND_PEER_INNER6 = "fd00:11::1", "fd00:11::2"
FURTHER_PREFIX = "10.4.0.0/16"
PREFIX_LIMIT = 8

TAKEN = RouteFilter("from-idc", (
    Rule(community="65001:666", action="reject"),
    Rule(prefixes=(IDC_PREFIX, "10.4.0.0/14 16-24", "2001:db8:2::/48 48-64"), add_community="65000:7",
         remove_community="65001:100", set_local_pref=200)))
TOLD = RouteFilter("to-idc", (
    Rule(prefixes=(VPC_PREFIX, VPC_PREFIX6), set_med=10, add_community="65000:9"),))
BGP = Bgp(local_asn=BORDERGATE_ASN, md5_key=KEY, import_=TAKEN.name, export=TOLD.name)
SITE = replace(
    ROUTED_SITE, asn=65000, customer_asn=ASN, routes=None, bgp=BGP, filters=(TAKEN, TOLD),
    # What the filter does not tell is 10.3.0.0/16.
    prefixes=(VPC_PREFIX, VPC_PREFIX6, "10.3.0.0/16"),
    further=(replace(ROUTED_TUNNELS[1], inner=f"{SECOND_INNER6}/126", peer_inner=SECOND_PEER_INNER6),))

ROUTES = (
    Route(IDC_PREFIX, f"bgp_community.add((65001,100)); bgp_large_community.add(({ASN}, 1, 2));"),
    Route(FURTHER_PREFIX, "bgp_community.add((65001,200));"),
    Route(IDC_PREFIX6),
)
# With what Bordergate says of each.
REFUSED = (
    (Route("10.5.7.0/24", "bgp_community.add((65001,666));"), "rule 1"),
    (Route("10.5.7.128/25"), "no rule"),
    (Route("10.9.0.0/16"), "no rule"),
)
ROUTER = Router((
    Session(asn=ASN, remote_asn=BORDERGATE_ASN, password=KEY),
    # IPv4 goes through the first tunnel, as long as that is there.
    Session(name="bgp_2", local=SECOND_PEER_INNER6, remote=SECOND_INNER6, asn=ASN, remote_asn=BORDERGATE_ASN, password=KEY,
            families=("ipv4", "ipv6"), preference=90)), ROUTES + tuple(route for route, _ in REFUSED))


def run(bed: Bed) -> None:
    topology = bed.build(Options(ipv6=True))
    for family in ("-4", "-6"):
        topology.vpc_host.ip(family, "route", "delete", "default")
    gateway, site = bed.up_with_two_tunnels(replace(
        SITE, propagation=Propagation(via=(VPC_GATEWAY, VPC_GATEWAY6), namespace=topology.vpc_host.name)))
    session = bed.capture("bgp", topology.customer, "tun1")
    bed.step("start BIRD on the customer's router")
    bird = bed.bird().start(ROUTER)
    for name in ("bgp_1", "bgp_2"):
        bird.wait_established(name)
    gateway.bgp.wait_established(*BOTH)

    learnt(bed, gateway)
    told(bed, bird)
    explained(bed, gateway)
    refreshed(bed, gateway, bird, session)
    reset(bed, gateway, bird)
    bed.step("withdraw a prefix at BIRD")
    bird.reconfigure(replace(ROUTER, routes=tuple(route for route in ROUTER.routes if route.prefix != FURTHER_PREFIX)))
    gateway.bgp.wait_routes(FURTHER_PREFIX, ())
    must_lack_route(topology.vpc_host, FURTHER_PREFIX)
    must_ping(topology.vpc_host, IDC_HOST)
    limited(bed, gateway, bird, site)
    sound(bed, session)


def learnt(bed: Bed, gateway: Gateway) -> None:
    """BIRD's routes as the filter has them, in the VPC's kernel, and packets of both families go their way."""
    vpc, idc = bed.topology.vpc_host, bed.topology.idc_host
    bed.step("look for BIRD's routes at Bordergate and in the VPC")
    for prefix, sources, via, communities in (
            (IDC_PREFIX, BOTH, VPC_GATEWAY, ["65000:7"]), (FURTHER_PREFIX, BOTH, VPC_GATEWAY, ["65000:7", "65001:200"]),
            (IDC_PREFIX6, BOTH[1:], VPC_GATEWAY6, ["65000:7"])):
        for route in gateway.bgp.wait_routes(prefix, sources):
            seen = (route["as_path"], route["local_pref"], sorted(route["communities"]))
            expect(seen == ([ASN], 200, communities), f"the filter has made {route} of it")
        found = must_have_route(vpc, prefix)
        expect([route.next_hops for route in found] == [(via,)], f"the VPC's kernel has {found}")
    for refused, words in REFUSED:
        for name in BOTH:
            said = [route["refused"] or "" for route in gateway.bgp.routes(refused.prefix, learnt=name)]
            expect(len(said) == 1 and words in said[0], f"{refused.prefix} of {name} is refused because {said}, not {words!r}")
        expect(not kernel_routes(vpc, refused.prefix), f"the VPC's kernel has {refused.prefix}, which was refused")
    for source, target in ((vpc, IDC_HOST), (idc, VPC_HOST), (vpc, IDC_HOST6), (idc, VPC_HOST6)):
        must_ping(source, target)


def told(bed: Bed, bird: Bird) -> None:
    """What BIRD is told is what the filter lets through, as it changes it."""
    bed.step("look at BIRD for Bordergate's routes")
    for prefix, session in ((VPC_PREFIX, "bgp_1"), (VPC_PREFIX, "bgp_2"), (VPC_PREFIX6, "bgp_2")):
        said = bird.wait_route(prefix, session)
        for words in (f"BGP.as_path: {BORDERGATE_ASN}\n", "BGP.med: 10\n", "BGP.community: (65000,9)"):
            expect(words in said, f"{words.strip()!r} is not in what BIRD says of {prefix}:\n{said}")
    for session in ("bgp_1", "bgp_2"):
        expect(not bird.routes("10.3.0.0/16", session), f"{session} has told BIRD what the filter does not tell")


def explained(bed: Bed, gateway: Gateway) -> None:
    """People are told who a neighbour is, and why traffic goes where it goes."""
    bed.step("ask for words")
    for said, wanted in ((gateway.bgp.described("tun-1"), (str(ASN), str(BORDERGATE_ASN), CUSTOMER_INNER)),
                         (gateway.bgp.explain(IDC_PREFIX), (IDC_PREFIX, *BOTH)),
                         (gateway.bgp.explain(REFUSED[0][0].prefix, "bgw-1"), (REFUSED[0][1],))):
        for words in wanted:
            expect(words in said, f"{words!r} is not in:\n{said}")


def reset(bed: Bed, gateway: Gateway, bird: Bird) -> None:
    """A session that is reset tells the peer so, and comes up again."""
    bed.step("reset the first tunnel's session")
    told = len(bird.daemon.output())
    gateway.bgp.reset("tun-1")
    wait_for("BIRD to be told", lambda: "Administrative reset" in bird.daemon.output()[told:])
    bird.wait_established("bgp_1")
    gateway.bgp.wait_established(*BOTH)
    gateway.bgp.wait_routes(IDC_PREFIX, BOTH)
    expect("bgp_2: State changed to" not in bird.daemon.output()[told:], "the other session was reset, too")


def refreshed(bed: Bed, gateway: Gateway, bird: Bird, session: Capture) -> None:
    """Either end asks for everything again, and gets it (RFC 2918)."""
    for who, asks, answers, ask in (
            ("Bordergate", BORDERGATE_INNER, CUSTOMER_INNER, lambda: gateway.bgp.refresh("tun-1")),
            ("BIRD", CUSTOMER_INNER, BORDERGATE_INNER, lambda: bird.birdc("reload in bgp_1"))):
        bed.step(f"have {who} ask for all routes again")
        begin = len(session.frames)
        ask()
        wait_for(f"{who}'s request", lambda: ROUTE_REFRESH in kinds(session, asks, begin))
        wait_for("the other end's routes", lambda: UPDATE in kinds(session, answers, begin))
        gateway.bgp.wait_routes(IDC_PREFIX, BOTH)
        expect(bool(bird.routes(VPC_PREFIX, "bgp_1")), "BIRD has lost what it had")


def limited(bed: Bed, gateway: Gateway, bird: Bird, site: Site) -> None:
    """At four fifths of a limit there is a warning; beyond it nothing more is taken, and the session goes on."""
    few = tuple(Route(f"10.6.{number}.0/24") for number in range(1, PREFIX_LIMIT - 3))
    many = tuple(Route(f"10.7.{number}.0/24") for number in range(1, PREFIX_LIMIT))

    def announced() -> int:
        return len([route for route in gateway.bgp.routes(learnt="tun-1") if ":" not in route["prefix"]])

    bed.step(f"allow {PREFIX_LIMIT} prefixes, and announce one less")
    gateway.reload(replace(site, bgp=replace(BGP, prefix_limit=PREFIX_LIMIT)).render())
    bird.reconfigure(replace(ROUTER, routes=(*ROUTES[::2], *few, REFUSED[0][0], REFUSED[1][0])))
    wait_for("a warning of tun-1", lambda: re.search(r"tun-1\b.*\bprefix", gateway.bgp.events()), 15)
    gateway.bgp.wait_established(*BOTH)
    wait_for("all of them to be there", lambda: announced() == PREFIX_LIMIT - 1)

    bed.step("announce more than the limit")
    bird.reconfigure(replace(ROUTER, routes=(*ROUTES[::2], *few, *many, REFUSED[0][0], REFUSED[1][0])))
    wait_for("as many to be there as may be", lambda: announced() >= PREFIX_LIMIT)
    # BIRD's routes come in one go; had the limit not held, they would be there by now.
    must_ping(bed.topology.vpc_host, IDC_HOST, count=20)
    expect((count := announced()) == PREFIX_LIMIT, f"{count} prefixes were taken, of {PREFIX_LIMIT} that may be")
    gateway.bgp.wait_established(*BOTH, timeout=1)

    bed.step("take the limit away, and ask for what was left out")
    gateway.reload(site.render())
    gateway.bgp.wait_established(*BOTH)
    gateway.bgp.refresh("tun-1")
    wait_for("all of them to be there", lambda: announced() == PREFIX_LIMIT - 1 + len(many))


def sound(bed: Bed, session: Capture) -> None:
    """tshark reads every message of the first tunnel's session."""
    bed.step("have tshark read what was said")
    session.stop()
    decoded = run_command(["tshark", "-n", "-r", str(session.path), "-Y", "bgp", "-T", "fields", "-E", "separator=;",
                           "-e", "ip.src", "-e", "bgp.type", "-e", "bgp.update.path_attribute.as_path_segment.as4"]).stdout
    for source, asn in ((BORDERGATE_INNER, BORDERGATE_ASN), (CUSTOMER_INNER, ASN)):
        lines = [line.split(";") for line in decoded.splitlines() if line.startswith(f"{source};")]
        seen = {int(kind) for _, found, _ in lines for kind in found.split(",") if kind}
        expect({OPEN, UPDATE, ROUTE_REFRESH} <= seen, f"tshark sees of {source} messages of types {sorted(seen)} alone")
        paths = {number for _, _, found in lines for number in found.split(",") if number}
        expect(paths == {str(asn)}, f"tshark sees paths of {source} with {sorted(paths)}, not {asn}")
    wrong = run_command(["tshark", "-n", "-r", str(session.path), "-Y", "_ws.malformed || bgp && _ws.expert.severity >= error"])
    expect(not wrong.stdout.strip(), f"tshark complains:\n{wrong.stdout[-1500:]}")


def kinds(session: Capture, source: str, begin: int) -> set[int]:
    """The types of the messages from one end since frame `begin`."""
    packets = (packet for packet in session.packets(begin) if TCP in packet and packet[IP].src == source)
    return {found[1][0] for packet in packets
            for found in re.finditer(rb"\xff{16}..(.)", bytes(packet[TCP].payload), re.DOTALL)}
