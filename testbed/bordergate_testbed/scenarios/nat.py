"""The customer's device sits behind a NAT that also changes ports: it initiates, moves to 4500, and traffic passes."""

from __future__ import annotations

from scapy.layers.inet import IP, UDP

from ..capture import is_ike, is_udp_esp
from ..demo import check_it_went_through
from ..gateway import Site, Tunnel
from ..scenario import Bed, expect
from ..strongswan import Connection
from ..topology import BORDERGATE_WAN, CUSTOMER_PRIVATE, CUSTOMER_WAN, IDC_HOST, VPC_HOST, Options
from ..traffic import iperf_both_ways, must_ping


def run(bed: Bed) -> None:
    topology = bed.build(Options(nat=True))
    wan = bed.capture_wan()
    bed.step("start Bordergate, which waits")
    gateway = bed.gateway().start(Site(tunnel=Tunnel(startup="respond")))
    bed.step("start strongSwan behind the NAT, which initiates")
    strongswan = bed.strongswan().start(Connection(local=CUSTOMER_PRIVATE))
    strongswan.initiate()
    tunnel = gateway.wait_up()
    expect(tunnel["esp"]["encapsulation"] == "udp", f"encapsulation is {tunnel['esp']['encapsulation']}, not udp")

    bed.step("ping both ways")
    must_ping(topology.idc_host, VPC_HOST)
    must_ping(topology.vpc_host, IDC_HOST)

    bed.step("look at the ports on the WAN link")
    wan.stop()
    packets = [packet for packet in wan.packets() if packet.haslayer(UDP)]
    to_us = [packet for packet in packets if packet[IP].dst == BORDERGATE_WAN]
    from_us = [packet for packet in packets if packet[IP].src == BORDERGATE_WAN]
    expect(all(packet[IP].src == CUSTOMER_WAN and 20000 <= packet[UDP].sport < 30000 for packet in to_us),
           "the NAT did not change the customer's ports, so this proves nothing")
    esp_ports = {packet[UDP].dport for packet in from_us if is_udp_esp(packet)}
    seen = {packet[UDP].sport for packet in to_us if is_udp_esp(packet)}
    expect(len(esp_ports) == 1 and esp_ports == seen,
           f"ESP goes to ports {sorted(esp_ports)}, but comes from {sorted(seen)}")
    expect(any(is_ike(packet) and packet[UDP].dport == 4500 for packet in to_us), "IKE did not move to port 4500")

    bed.step("run iperf3 both ways")
    both = iperf_both_ways(topology.idc_host, topology.vpc_host, bed.directory / "iperf3.log")
    check_it_went_through(gateway, strongswan, both)
