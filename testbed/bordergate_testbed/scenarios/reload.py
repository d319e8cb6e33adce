"""SIGHUP takes up what has changed and touches nothing else; a file that is not valid is refused as a whole.

Two tenants. The second one's tunnel must not notice what happens to the first one's, until it is removed itself.
"""

from __future__ import annotations

import re
from dataclasses import replace

from ..gateway import SECOND_SITE, Gateway, Site, Tunnel
from ..process import wait_for
from ..scenario import Bed, expect
from ..strongswan import Connection
from ..topology import IDC_HOST, VPC_HOST
from ..traffic import must_ping, ping

NEW_PSK = "a_fresh_battery"


def run(bed: Bed) -> None:
    # What a port carries, so that nothing but its being another interface is wrong with it.
    bed.topology.bordergate.ip("link", "set", "lo", "mtu", "1500")
    topology = bed.topology
    tunnel = Tunnel()
    first, second = Site(tunnel=tunnel), SECOND_SITE
    both = first.render() + second.render()
    gateway, first_peer, second_peer = bed.up_with_two_tenants(first, second)
    must_ping(topology.idc_host, VPC_HOST)
    must_ping(topology["idc-host-2"], VPC_HOST)
    before = spis(gateway)

    bed.step("reload the very same file")
    gateway.reload(both)
    expect(spis(gateway) == before, "a tunnel was set up anew though nothing has changed")

    bed.step("change what takes hold later, under traffic that must not notice")
    stream = topology.idc_host.start("ping", ["ping", "-n", "-c", "60", "-i", "0.02", "-W", "1", VPC_HOST],
                                     bed.directory / "ping.log")
    wait_for("the first echoes", lambda: "icmp_seq=5 " in stream.output(), 3)
    later = replace(first, tunnel=replace(tunnel, liveness_seconds=20))
    gateway.reload(later.render() + second.render())
    expect(stream.exit_code is None, "the pings had ended before the reload did, so they prove nothing")
    wait_for("the last echo", lambda: stream.exit_code is not None, 5)
    expect("60 packets transmitted, 60 received" in stream.output(), f"echoes were lost:\n{stream.tail(4)}")
    expect(spis(gateway) == before, "a tunnel was set up anew for a change that can wait")

    bed.step("take the static route away, and put it back")
    gateway.reload(replace(later, routed=False).render() + second.render())
    counted = gateway.counted()
    lost = ping(topology.vpc_host, IDC_HOST, count=3, patience=0.3)
    expect(lost.received == 0, "traffic passes without a route")
    gateway.wait_counted("packets without a route", ("no_route",), counted, 3)
    must_ping(topology["vpc-host-2"], IDC_HOST)
    gateway.reload(both)
    must_ping(topology.vpc_host, IDC_HOST)
    expect(spis(gateway) == before, "a tunnel was set up anew for a route")

    for name, text, words in broken_files(first, second):
        bed.step(f"reload {name}")
        told = gateway.reload(text, refused=True)
        for word in words:
            expect(word in told, f"nothing about `{word}` in:\n{told}")
        expect("battery" not in told, f"the log gives a pre-shared key away:\n{told}")
        expect(spis(gateway) == before, "a refused file has changed a tunnel")
    must_ping(topology.idc_host, VPC_HOST)
    must_ping(topology["idc-host-2"], VPC_HOST)

    bed.step("change the pre-shared key at both ends")
    first_peer.load(Connection(psk=NEW_PSK))
    gateway.reload(replace(first, tunnel=replace(tunnel, psk=NEW_PSK)).render() + second.render())
    wait_for("the first tunnel to be set up anew", lambda: changed(gateway, before, "tun-1"), 10)
    gateway.wait_up("tun-1")
    must_ping(topology.idc_host, VPC_HOST)
    expect(spis(gateway)["tun-2"] == before["tun-2"], "the other tunnel was set up anew too")

    bed.step("change it back at our end alone")
    gateway.reload(both)
    gateway.wait_down("authentication_rejected", "tun-1")

    bed.step("remove the second tunnel")
    gateway.reload(first.render() + replace(second, tunnel=None).render())
    expect(list(spis(gateway)) == ["tun-1"], f"the status still tells of {list(spis(gateway))}")
    second_peer.wait_gone()
    expect("received DELETE for IKE_SA tun-2" in second_peer.daemon.output(), "strongSwan was not told by a delete")
    counted = gateway.counted()
    expect(ping(topology["vpc-host-2"], IDC_HOST, count=3, patience=0.3).received == 0, "it still carries traffic")
    gateway.wait_counted("packets for the removed tunnel", ("no_route",), counted, 3)

    bed.step("put everything back")
    first_peer.load(Connection())
    gateway.reload(both)
    gateway.wait_up("tun-2")
    gateway.wait_up("tun-1", timeout=30)
    must_ping(topology.idc_host, VPC_HOST)
    must_ping(topology["idc-host-2"], VPC_HOST)


def broken_files(first: Site, second: Site) -> list[tuple[str, str, tuple[str, ...]]]:
    """Files that each hold a change worth taking up beside what is wrong with them."""
    removed = replace(second, tunnel=None).render()
    wrong = re.sub(r"replay_window = \d+", "replay_window = 32", first.render())
    line = next(number for number, text in enumerate(wrong.splitlines(), start=1) if "replay_window" in text)
    moved = replace(first, vpc_interface="lo").render()
    return [
        ("a file with a wrong value", wrong + removed, (f"bordergate.toml:{line}:", "replay_window", "64 to 4096")),
        ("a file that is cut short", first.render()[:-20], ("bordergate.toml:",)),
        ("a file with another interface", moved + removed, ("lo", "restart")),
        ("an empty file", "", ()),
    ]


def spis(gateway: Gateway) -> dict[str, tuple[str, str] | None]:
    """The live SAs of each tunnel, which tell whether it was set up anew."""
    return {tunnel["name"]: tunnel["esp"] and (tunnel["esp"]["spi_in"], tunnel["esp"]["spi_out"])
            for tunnel in gateway.status()["tunnels"]}


def changed(gateway: Gateway, before: dict[str, tuple[str, str] | None], name: str) -> bool:
    """Whether the tunnel is up with other SAs than before."""
    now = spis(gateway)[name]
    return now is not None and now != before[name]
