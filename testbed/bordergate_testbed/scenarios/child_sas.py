"""Two child SAs for the same traffic, one for each of two cores (RFC 9611), with a peer that knows of that and one that does not."""

from __future__ import annotations

import time
from collections import Counter

from ..capture import Capture, is_raw_esp, is_udp_esp, spi_of
from ..gateway import Gateway, Tunnel
from ..process import wait_for
from ..scenario import Bed, expect
from ..topology import BORDERGATE_WAN, CUSTOMER_WAN, IDC_HOST, Options, Topology
from ..traffic import UdpFlows, must_ping, udp_echo

CORES = 2
ARGUMENTS = ("--cores", "0,1", "--queues", str(CORES))
FLOWS = 60
SECONDS = 8
TUNNEL = Tunnel(child_sas=CORES)


def run(bed: Bed) -> None:
    topology = bed.build(Options(queues=CORES))
    cloud, customer = bed.up_with_bordergate(tunnel=TUNNEL, arguments=ARGUMENTS)
    for gateway in (cloud, customer):
        wait_for_all(gateway)
    through_a_rekey(bed, topology, cloud, "bordergate", (BORDERGATE_WAN, CUSTOMER_WAN))
    expect(f" x{CORES}" in cloud.status_text(), f"the table does not tell how many there are:\n{cloud.status_text()}")
    cloud.stop()
    customer.stop()

    topology = bed.build(Options(queues=CORES))
    cloud, strongswan = bed.up_with_strongswan(tunnel=TUNNEL, arguments=ARGUMENTS)
    wait_for_all(cloud)
    # The kernel there sends through one SA, whichever it prefers.
    through_a_rekey(bed, topology, cloud, "strongswan", (BORDERGATE_WAN,))
    children = [child for sa in strongswan.sas() for child in sa.installed]
    expect(len(children) == CORES, f"strongSwan has {len(children)} child SAs: {children}")


def wait_for_all(gateway: Gateway) -> None:
    """The others are made one after the other once the tunnel is up."""
    wait_for(f"{gateway.name} to send through {CORES} child SAs",
             lambda: (gateway.tunnel()["esp"] or {}).get("child_sas") == CORES, 20)


def through_a_rekey(bed: Bed, topology: Topology, gateway: Gateway, peer: str, sources: tuple[str, ...]) -> None:
    """Flows go on while all child SAs are replaced, and before and after it each core of these gateways has one."""
    must_ping(topology.vpc_host, IDC_HOST)
    wan = bed.capture(f"wan-{peer}", topology.internet, "bordergate0")
    bed.step(f"{peer}: {FLOWS} flows, there and back, again and again, while the child SAs are replaced")
    with udp_echo(topology.idc_host, IDC_HOST) as port, UdpFlows(topology.vpc_host, (IDC_HOST, port), FLOWS) as flows:
        lost = flows.exchange()
        before = used(wan, sources)
        gateway.rekey()
        end = time.monotonic() + SECONDS
        rounds = 1
        while time.monotonic() < end:
            lost += flows.exchange()
            rounds += 1
        begin = len(wan.frames)
        lost += flows.exchange()
        after = used(wan, sources, begin)
    wan.stop()
    bed.note(f"{peer}: {rounds} rounds of {FLOWS}, {lost} lost; packets by SPI before {before}, after {after}")
    expect(lost == 0, f"{lost} packets did not come back")
    for source in sources:
        old, new = set(before[source]), set(after[source])
        expect(len(old) == CORES, f"{source} sent through {len(old)} SAs: {before[source]}")
        expect(len(new) == CORES, f"{source} sent through {len(new)} SAs after the rekey: {after[source]}")
        expect(not old & new, f"{source} still sends through what was replaced: {old & new}")
    wait_for_all(gateway)


def used(wan: Capture, sources: tuple[str, ...], begin: int = 0) -> dict[str, Counter[str]]:
    """How many packets each source has sealed with which SA."""
    packets = [packet for packet in wan.packets(begin) if is_raw_esp(packet) or is_udp_esp(packet)]
    return {source: Counter(f"{spi_of(packet):08x}" for packet in packets if packet["IP"].src == source)
            for source in sources}
