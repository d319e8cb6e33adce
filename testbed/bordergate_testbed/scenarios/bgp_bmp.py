"""A monitoring station is told by BMP (RFC 7854) what BIRD says, octet by octet and before any filter: sessions that come up and
how they end, routes that come and go, and, on a new connection, what there is; and tshark finds nothing wrong with it.

The session of the first tunnel runs over IPv4, the second one's over IPv6, with routes of both families.
"""

from __future__ import annotations

import time
from dataclasses import replace

from scapy.layers.inet import IP, TCP

from ..bgp import Bgp, RouteFilter, Rule
from ..bird import Bird, Route, Router, Session
from ..bmp import DOWN, INITIATION, ROUTES, STATISTICS, TERMINATION, UP, Message, MonitoredSite, Station
from ..capture import Capture
from ..crafted_speaker import UPDATE
from ..gateway import ROUTED_TUNNELS, Gateway, Site
from ..process import wait_for
from ..scenario import Bed, expect
from ..topology import BORDERGATE_INNER, CUSTOMER_INNER, IDC_HOST, IDC_PREFIX, IDC_PREFIX6, VPC_PREFIX, Options
from ..traffic import must_ping

MOSTLY_WAITS = True
LIMIT_SECONDS = 240
ASN, BORDERGATE_ASN = 4200000001, 65000
IDENTIFIER = "10.255.0.2"
INNER6, PEER_INNER6 = "fd00:11::1", "fd00:11::2"
# By tunnel: our address and the peer's, and the flags of BMP, of which V says that the peer's is of IPv6.
PEERS = {"tun-1": (BORDERGATE_INNER, CUSTOMER_INNER, 0), "tun-2": (INNER6, PEER_INNER6, 0x80)}
REFUSED_PREFIX, FURTHER_PREFIX = "10.9.0.0/16", "10.4.0.0/16"
ROUTES_OF_BIRD = (
    Route(IDC_PREFIX, "bgp_community.add((65001,100));"), Route(FURTHER_PREFIX), Route(REFUSED_PREFIX),
    Route(IDC_PREFIX6))
PREFIXES = {CUSTOMER_INNER: {IDC_PREFIX, FURTHER_PREFIX, REFUSED_PREFIX},
            PEER_INNER6: {IDC_PREFIX, FURTHER_PREFIX, REFUSED_PREFIX, IDC_PREFIX6}}
TAKEN = RouteFilter("from-idc", (Rule(prefixes=(REFUSED_PREFIX,), action="reject"),), otherwise="accept")
ROUTER = Router((
    Session(asn=ASN),
    Session(name="bgp_2", local=PEER_INNER6, remote=INNER6, asn=ASN, families=("ipv4", "ipv6"), preference=90)),
    ROUTES_OF_BIRD)
SITE = MonitoredSite(
    customer_asn=ASN, tunnel=ROUTED_TUNNELS[0],
    further=(replace(ROUTED_TUNNELS[1], inner=f"{INNER6}/126", peer_inner=PEER_INNER6),), prefixes=(VPC_PREFIX,),
    bgp=Bgp(import_=TAKEN.name), filters=(TAKEN,))
# Of NOTIFICATION (RFC 4271 §4.5, RFC 4486 §4).
CEASE, SHUTDOWN, RESET = 6, 2, 4
# Of Peer Down (RFC 7854 §4.9).
WE_SAID, PEER_SAID = 1, 3
STATISTICS_SECONDS = 60


def run(bed: Bed) -> None:
    topology = bed.build(Options(ipv6=True))
    station = Station(topology.bordergate, bed.directory)
    try:
        gateway, site = bed.up_with_two_tunnels(SITE)
        first = station.wait_connection(0)
        begin = time.monotonic()
        session = bed.capture("bgp", topology.customer, "tun1")
        bed.step("start BIRD on the customer's router")
        bird = bed.bird().start(ROUTER)
        gateway.bgp.wait_established(*PEERS)
        messages = station.wait_told(first, "of all routes", lambda told: known(told) == PREFIXES)
        begun(bed, messages)
        verbatim(bed, session, station, messages)
        changes(bed, bird, station)
        ends(bed, gateway, bird, station)
        statistics(bed, station, begin)
        again(bed, gateway, station)
        must_ping(topology.vpc_host, IDC_HOST)
        taken_out(bed, gateway, site, station)
        over(bed, gateway, station)
        bed.step("have tshark look for mistakes")
        for told in station.connections:
            expect(not (wrong := station.complaints(told)), f"tshark complains:\n{wrong[-1500:]}")
    finally:
        station.close()


def begun(bed: Bed, messages: list[Message]) -> None:
    """It is said who speaks, and of each session who its ends are and what they have said."""
    bed.step("look how it has begun")
    name, description = messages[0].all("bmp.init.info")[::-1]
    expect((messages[0].kind, name) == (INITIATION, "bgw-1") and description.startswith("Bordergate "),
           f"the first message is {messages[0]}")
    ups = {message.peer: message for message in messages if message.kind == UP}
    expect(ups.keys() == PREFIXES.keys(), f"sessions with {sorted(ups)} are up")
    for ours, theirs, flags in PEERS.values():
        up = ups[theirs]
        seen = (int(up.one("bmp.peer.flags"), 0), int(up.one("bmp.peer.asn")), up.one("bmp.peer.id"))
        expect(seen == (flags, ASN, IDENTIFIER), f"of {theirs} it was said: {seen}")
        local = up.all("bmp.peer.up.ip.addr") or up.all("bmp.peer.up.ipv6.addr")
        ports = {int(up.one(f"bmp.peer.up.port.{end}")) for end in ("local", "remote")}
        expect(local == (ours,) and 179 in ports and min(ports) > 0, f"its session is with {local} on ports {ports}")
        expect(0 <= time.time() - since(up) < LIMIT_SECONDS, f"it is up since {since(up)}")
        # Two OPENs, ours in front.
        expect(up.all("bgp.type") == ("1", "1"), f"there are messages of types {up.all('bgp.type')} in it")
        expect(up.all("bgp.cap.4as") == (str(BORDERGATE_ASN), str(ASN)), f"their numbers are {up.all('bgp.cap.4as')}")


def verbatim(bed: Bed, session: Capture, station: Station, messages: list[Message]) -> None:
    """What is told of the first tunnel's session is what was seen in the tunnel, and no filter has touched it."""
    bed.step("compare it with what was seen in the first tunnel")
    up = next(message for message in messages if message.kind == UP and message.peer == CUSTOMER_INNER)
    ports = tuple(int(up.one(f"bmp.peer.up.port.{end}")) for end in ("remote", "local"))

    def seen() -> list[bytes]:
        segments = {packet[TCP].seq: bytes(packet[TCP].payload) for packet in session.packets()
                    if TCP in packet and packet[IP].src == CUSTOMER_INNER and (packet[TCP].sport, packet[TCP].dport) == ports}
        stream = b"".join(payload for _, payload in sorted(segments.items()))
        return [each for each in bgp_messages(stream) if each[18] == UPDATE]

    told = [message.bgp for message in messages if message.kind == ROUTES and message.peer == CUSTOMER_INNER]
    expect(len(told) >= 2, f"there are {len(told)} UPDATEs alone")
    wait_for("as much to be seen in the tunnel", lambda: len(seen()) >= len(told))
    expect(seen()[:len(told)] == told, f"in the tunnel there was {seen()}, and the station was told {told}")
    with_community = [message for message in messages if IDC_PREFIX in message.announced]
    expect(all("100" in message.all("bgp.update.path_attribute.community_value") for message in with_community),
           f"the community is missing in {with_community}")
    expect(all(set(message.all("bgp.update.path_attribute.as_path_segment.as4")) == {str(ASN)} for message in with_community),
           f"the path is another one in {with_community}")
    expect(len(station.connections) == 1, "the station was connected to more than once")


def changes(bed: Bed, bird: Bird, station: Station) -> None:
    """A route that is withdrawn goes, and one that is announced comes, in both sessions."""
    told = station.connections[0]
    bed.step("withdraw a prefix at BIRD")
    bird.reconfigure(replace(ROUTER, routes=tuple(route for route in ROUTES_OF_BIRD if route.prefix != FURTHER_PREFIX)))
    less = {peer: prefixes - {FURTHER_PREFIX} for peer, prefixes in PREFIXES.items()}
    station.wait_told(told, "that it is gone", lambda messages: known(messages) == less)
    bed.step("announce it again")
    bird.reconfigure(ROUTER)
    station.wait_told(told, "that it is there", lambda messages: known(messages) == PREFIXES)


def ends(bed: Bed, gateway: Gateway, bird: Bird, station: Station) -> None:
    """How a session has ended is told by the very NOTIFICATION, be it ours or the peer's."""
    told = station.connections[0]
    for what, peer, reason, subcode, end, begin in (
            ("Bordergate reset the first session", CUSTOMER_INNER, WE_SAID, RESET,
             lambda: gateway.bgp.reset("tun-1"), lambda: None),
            ("BIRD stop the second one", PEER_INNER6, PEER_SAID, SHUTDOWN,
             lambda: bird.birdc("disable bgp_2"), lambda: bird.birdc("enable bgp_2"))):
        bed.step(f"have {what}")
        end()
        messages = station.wait_told(
            told, "of its end", lambda messages, peer=peer: any(each.kind == DOWN and each.peer == peer for each in messages))
        down = [each for each in messages if each.kind == DOWN]
        expect([each.peer for each in down][-1] == peer, f"sessions have ended: {down}")
        seen = tuple(int(down[-1].one(name)) for name in (
            "bmp.peer.down.reason", "bgp.type", "bgp.notify.major_error", "bgp.notify.minor_error_cease"))
        expect(seen == (reason, 3, CEASE, subcode), f"it has ended by {seen}")
        begin()
        station.wait_told(told, "that it is up again", lambda messages: known(messages) == PREFIXES, 20)
    gateway.bgp.wait_established(*PEERS)


def statistics(bed: Bed, station: Station, begin: float) -> None:
    """Every minute it is told how much there is of each peer's."""
    told = station.connections[0]
    bed.step("wait for statistics")
    left = STATISTICS_SECONDS + 10 - (time.monotonic() - begin)
    messages = station.wait_told(
        told, "how much there is", lambda messages: {each.peer for each in messages if each.kind == STATISTICS} == PREFIXES.keys(),
        max(left, 10))
    for message in (each for each in messages if each.kind == STATISTICS):
        announced = PREFIXES[message.peer]
        both = message.peer == PEER_INNER6
        four = sum(":" not in prefix for prefix in announced)
        of_each = (str(four), str(len(announced) - four)) if both else (str(four),)
        expect(message.all("bmp.stats.type") == ("0", "4", "7", "11", "15", *("9",) * len(of_each), *("17",) * len(of_each)),
               f"its values are of types {message.all('bmp.stats.type')}")
        expect(message.one("bmp.stats.data.routes_adj_rib_in") == str(len(announced)), f"there are other counts in {message}")
        expect(message.all("bmp.stats.data.routes_per_adj_rib_in") == of_each, f"there are other counts in {message}")
        expect(int(message.one("bmp.stats.data.prefix_rej")) >= 1, f"nothing was refused, says {message}")


def again(bed: Bed, gateway: Gateway, station: Station) -> None:
    """A station that hangs up is connected to again, and told what there is."""
    bed.step("hang up")
    station.hang_up()
    told = station.wait_connection(1, 20)
    messages = station.wait_told(told, "what there is", lambda messages: known(messages) == PREFIXES and complete(messages))
    begun(bed, messages)
    before = {each.peer: since(each) for each in station.decoded(station.connections[0]) if each.kind == UP}
    for up in (each for each in messages if each.kind == UP):
        expect(abs(since(up) - before[up.peer]) <= 1, f"it is up since {since(up)}, and was since {before[up.peer]}")
    kinds = [each.kind for each in messages]
    expect(set(kinds) == {INITIATION, UP, ROUTES} and kinds.count(UP) == 2, f"there were messages of types {kinds}")
    expect(all(each.one("bmp.peer.timestamp.sec") == "0" for each in messages if each.kind == ROUTES),
           "nobody knows any more when they came")
    events = gateway.bgp.events()
    for words in ("noc-1", "is connected", "has closed its connection"):
        expect(words in events, f"{words!r} is not in:\n{events}")


def taken_out(bed: Bed, gateway: Gateway, site: Site, station: Station) -> None:
    """A station that the resource file has no more is told so, and one that it has again is told everything."""
    bed.step("take the station out of the resource file, and put it back")
    gateway.reload(replace(site, stations=()).render())
    told = station.connections[1]
    wait_for("its connection to end", lambda: told.ended)
    last = station.decoded(told)[-1]
    expect((last.kind, last.one("bmp.term.reason")) == (TERMINATION, "4"), f"it has ended with {last}")
    gateway.reload(site.render())
    told = station.wait_connection(2)
    station.wait_told(told, "what there is", lambda messages: known(messages) == PREFIXES and complete(messages))
    gateway.bgp.wait_established(*PEERS, timeout=1)


def over(bed: Bed, gateway: Gateway, station: Station) -> None:
    """A gateway that ends says so: of its sessions, and then of itself."""
    told = station.connections[-1]
    bed.step("stop Bordergate")
    gateway.stop()
    wait_for("its connection to end", lambda: told.ended)
    messages = station.decoded(told)
    expect([each.kind for each in messages[-3:]] == [DOWN, DOWN, TERMINATION],
           f"its last messages were of types {[each.kind for each in messages[-5:]]}")
    expect({each.peer for each in messages[-3:-1]} == PREFIXES.keys(), f"sessions of others have ended: {messages[-3:-1]}")
    expect(messages[-1].one("bmp.term.reason") == "0", f"it has ended for {messages[-1]}")


def known(messages: list[Message]) -> dict[str, set[str]]:
    """What somebody knows who was told this: the prefixes of each session that is up."""
    of_each: dict[str, set[str]] = {}
    for message in messages:
        if message.kind == UP:
            of_each[message.peer] = set()
        elif message.kind == DOWN:
            del of_each[message.peer]
        elif message.kind == ROUTES:
            of_each[message.peer] -= set(message.withdrawn)
            of_each[message.peer] |= set(message.announced)
    return of_each


def since(up: Message) -> int:
    """When a session came up."""
    return int(up.one("bmp.peer.timestamp.sec"))


def complete(messages: list[Message]) -> bool:
    """Whether the last word on each session is that this was all (RFC 4724 §2)."""
    last = {message.peer: message for message in messages if message.kind == ROUTES}
    return all(not message.announced and not message.withdrawn for message in last.values())


def bgp_messages(stream: bytes) -> list[bytes]:
    """Those that stand one behind the other."""
    messages = []
    while len(stream) >= 19 and len(stream) >= (length := int.from_bytes(stream[16:18], "big")):
        messages.append(stream[:length])
        stream = stream[length:]
    return messages
