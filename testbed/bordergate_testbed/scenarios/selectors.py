"""What lies outside the negotiated traffic selectors passes neither way, though it is routed, and its sender is told."""

from __future__ import annotations

from scapy.layers.inet import IP, UDP
from scapy.packet import Raw

from ..esp_peer import EspSa, read_exported_sas
from ..gateway import Site, Tunnel
from ..scenario import Bed, expect
from ..strongswan import Connection
from ..topology import BORDERGATE_WAN, IDC_HOST, VPC_HOST
from ..traffic import must_be_neighbour, must_ping

NARROW_VPC, NARROW_IDC = "10.1.0.0/24", "10.2.0.0/24"
FOREIGN_IDC, FOREIGN_VPC = "10.2.9.9", "10.1.9.9"
EACH = 3


def run(bed: Bed) -> None:
    topology = bed.topology
    bed.step("agree on selectors that are narrower than the routes")
    bed.strongswan().start(Connection(local_ts=NARROW_IDC, remote_ts=NARROW_VPC))
    tunnel = Tunnel(local_prefixes=(NARROW_VPC,), remote_prefixes=(NARROW_IDC,))
    gateway = bed.gateway().start(Site(tunnel=tunnel, prefixes=("10.1.0.0/16",), routes=("10.2.0.0/16",)))
    gateway.wait_up()
    must_ping(topology.vpc_host, IDC_HOST)
    must_be_neighbour(topology.vpc_host, topology.bordergate, VPC_HOST)

    bed.step("send to an address outside")
    before = gateway.counted()
    told = topology.vpc_host.run("ping", "-n", "-c", str(EACH), "-i", "0.1", "-W", "1", FOREIGN_IDC, check=False).stdout
    gateway.wait_counted("what was sent outside", ("outside_selectors",), before, EACH)
    # ICMP type 3, code 13 (RFC 1812 §5.2.7.1).
    expect("Packet filtered" in told, f"ping was not told:\n{told}")

    bed.step("let the peer seal from and to addresses outside")
    sas = read_exported_sas(gateway.export_esp_keys(bed.directory / "esp_sa"))
    sa = EspSa(next(sa for sa in sas if sa.destination == BORDERGATE_WAN), esn=False, encapsulated=True)
    vpc = bed.capture("vpc-host", topology.vpc_host, "vpc0", incoming_only=True)
    before = gateway.counted()
    outside = [IP(src=FOREIGN_IDC, dst=VPC_HOST), IP(src=IDC_HOST, dst=FOREIGN_VPC)]
    with bed.inject_from_internet() as internet:
        for number, header in enumerate(outside * EACH):
            internet.send(sa.seal(header / UDP(sport=9, dport=9) / Raw(b"outside"), 300 + number))
        gateway.wait_counted("what came from outside", ("outside_selectors",), before, EACH * len(outside))
        inside = IP(src=IDC_HOST, dst=VPC_HOST, id=7777) / UDP(sport=9, dport=9) / Raw(b"inside")
        internet.send(sa.seal(inside, 400))
        vpc.wait_for("what lies inside", lambda frame: frame.haslayer(IP) and frame[IP].id == 7777)
    vpc.stop()
    reached = [packet.summary() for packet in vpc.packets() if b"outside" in bytes(packet)]
    expect(not reached, f"it reached the VPC: {reached}")
