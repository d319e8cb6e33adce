"""Packets of up to 9000 bytes go through the tunnel in one piece, in native and in generic mode; the sender of a longer one
learns what fits; and an MTU beyond what ports carry is refused at start, by interface and with what is allowed."""

from __future__ import annotations

from scapy.layers.inet import ICMP, IP

from ..capture import is_raw_esp
from ..esp_peer import EspSa, read_exported_sas
from ..gateway import Site
from ..process import Failure
from ..scenario import Bed, expect
from ..topology import BORDERGATE_WAN, IDC_HOST, VPC_HOST
from ..traffic import iperf_both_ways, must_ping

JUMBO = 9000
# What the tunnel puts around fits beside it.
WAN = 9100
# Bytes of an IPv4 header and an echo's.
ECHO = 28


def run(bed: Bed) -> None:
    for mode in ("native", "generic"):
        topology = bed.build()
        bed.step("give all links long MTUs")
        long_links(bed, inner=JUMBO, outer=WAN)
        wan = bed.capture(f"wan-{mode}", topology.internet, "bordergate0")
        cloud, customer = bed.up_with_bordergate(arguments=("--xdp-mode", mode))
        bed.step(f"ping with all lengths, {mode}")
        # Around where a packet takes another frame of the rings, on either side of the gateway.
        for length in (84, 1500, 1770, 1771, 3700, 3760, 3800, 3826, 3827, 7600, 7650, 7666, 7667, JUMBO):
            for source, target in ((topology.vpc_host, IDC_HOST), (topology.idc_host, VPC_HOST)):
                must_ping(source, target, size=length - ECHO, count=3, interval=0.02)
        expect("1 received" in ping_whole(bed, JUMBO), f"{JUMBO} bytes with DF do not go through, {mode}")
        bed.step(f"open one of them by scapy, {mode}")
        sas = read_exported_sas(cloud.export_esp_keys(bed.directory / "esp_sa"))
        exported = next(sa for sa in sas if sa.source == BORDERGATE_WAN)
        outer = wan.wait_for("a long ESP packet", lambda p: is_raw_esp(p) and len(p) > JUMBO and
                             p[IP].src == BORDERGATE_WAN)
        inner = EspSa(exported, esn=True, encapsulated=False).open(outer[IP])
        expect(len(inner) == JUMBO and inner.haslayer(ICMP) and inner[IP].dst == IDC_HOST, inner.summary())
        wan.stop()
        bed.step(f"run iperf3 both ways, {mode}")
        wan = bed.capture(f"wan-{mode}-tcp", topology.internet, "bordergate0", may_lose=True)
        both = iperf_both_ways(topology.idc_host, topology.vpc_host, bed.directory / "iperf3.log")
        for name, throughput in (("to the VPC", both.to_vpc), ("to the IDC", both.to_idc)):
            expect(throughput.retransmits < 500, f"{throughput.retransmits} retransmits {name}")
        segments = sum(len(frame) > JUMBO for frame in wan.frames)
        expect(segments > 100, f"TCP was not sent in long segments: {segments} long frames")
        for gateway in (cloud, customer):
            lost = [queue["rx_dropped"] for interface in gateway.status()["interfaces"] for queue in interface["queues"]]
            expect(not any(lost), f"{gateway.name}'s sockets dropped {lost}")
            gateway.check_accounting()

    bed.step("have the WAN take less than the VPC's link")
    topology = bed.build()
    long_links(bed, inner=JUMBO, outer=JUMBO)
    vpc = bed.capture("vpc-host", topology.vpc_host, "vpc0", incoming_only=True)
    cloud, customer = bed.up_with_bordergate()
    must_ping(topology.vpc_host, IDC_HOST)
    ping_whole(bed, JUMBO)
    error = vpc.wait_for("fragmentation needed", lambda p: ICMP in p and (p[ICMP].type, p[ICMP].code) == (3, 4))
    mtu = error[ICMP].nexthopmtu
    expect(JUMBO - 80 < mtu < JUMBO and mtu == cloud.tunnel()["path_mtu"]["inner_bytes"], f"{mtu} bytes are said to fit")
    said = ping_whole(bed, mtu)
    expect("1 received" in said, f"{mtu} bytes were said to fit, and do not; dropped: "
           f"{cloud.worker_drops()}, {customer.worker_drops()}\n{said}")
    cloud.stop()

    bed.step("start with an MTU that no port carries")
    topology.bordergate.ip("link", "set", "vpc0", "mtu", "12000")
    try:
        cloud.start(Site())
    except Failure as failure:
        expect("the MTU of vpc0 is 12000; allowed is up to 11498 (ip link set vpc0 mtu 11498)" in str(failure), str(failure))
    else:
        raise Failure("it started with an MTU of 12000")


def long_links(bed: Bed, *, inner: int, outer: int) -> None:
    """Set the MTUs of all links."""
    for role, interface, mtu in (
            ("idc-host", "lan0", inner), ("customer", "lan0", inner), ("customer", "wan0", outer),
            ("internet", "customer0", outer), ("internet", "bordergate0", outer), ("bordergate", "wan0", outer),
            ("bordergate", "vpc0", inner), ("vpc-host", "vpc0", inner)):
        bed.topology[role].ip("link", "set", interface, "mtu", str(mtu))


def ping_whole(bed: Bed, length: int) -> str:
    """What ping says of one echo of so many bytes that must not be fragmented."""
    bed.topology.vpc_host.run("ip", "route", "flush", "cache")
    command = ("ping", "-n", "-c", "1", "-W", "2", "-M", "do", "-s", str(length - ECHO), IDC_HOST)
    done = bed.topology.vpc_host.run(*command, check=False)
    return done.stdout + done.stderr
