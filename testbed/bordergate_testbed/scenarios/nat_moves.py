"""The customer's NAT forgets it and gives it another port: what anybody could send from another port moves nothing, an
authenticated message from there does, and traffic goes on (RFC 7296 §2.23)."""

from __future__ import annotations

import time

from scapy.layers.inet import IP, UDP
from scapy.packet import Packet, Raw

from ..capture import Capture, is_ike, is_udp_esp
from ..gateway import Site, Tunnel
from ..scenario import Bed, expect
from ..strongswan import Connection
from ..topology import BORDERGATE_WAN, CUSTOMER_PRIVATE, CUSTOMER_WAN, IDC_HOST, VPC_HOST, Options, Topology
from ..traffic import must_ping

MOVED = "the peer's NAT has moved"


def run(bed: Bed) -> None:
    topology = bed.build(Options(nat=True))
    wan = bed.capture_wan()
    bed.step("bring a tunnel up through the NAT")
    gateway = bed.gateway().start(Site(tunnel=Tunnel(startup="respond")))
    # A peer that hears nothing asks whether we are there; that is what tells of the new port.
    bed.strongswan().start(Connection(local=CUSTOMER_PRIVATE, dpd_seconds=2)).initiate()
    gateway.wait_up()
    must_ping(topology.idc_host, VPC_HOST)
    before = last(wan, to_us=True)[UDP].sport

    bed.step("send from another port what anybody could")
    with bed.inject_from_internet() as internet:
        for payload in (b"\xff", bytes(last(wan, to_us=True)[UDP].payload), bytes(4) + bytes(range(60))):
            internet.send(IP(bytes(IP(src=CUSTOMER_WAN, dst=BORDERGATE_WAN) / UDP(sport=31000, dport=4500, chksum=0)
                                   / Raw(payload))))
    must_ping(topology.idc_host, VPC_HOST)
    expect(MOVED not in gateway.daemon.output(), "an unauthenticated datagram has moved the tunnel")

    bed.step("let the NAT forget the customer")
    forget_after(topology, seconds=1)
    must_ping(topology.idc_host, VPC_HOST)
    time.sleep(1.5)
    forget_after(topology, seconds=120)

    bed.step("ping both ways from the new port")
    must_ping(topology.idc_host, VPC_HOST, patience=15)
    must_ping(topology.vpc_host, IDC_HOST)
    expect(MOVED in gateway.daemon.output(), "the gateway has not told that the NAT has moved")
    wan.stop()
    after = last(wan, to_us=True)[UDP].sport
    expect(after != before, "the NAT has given the same port, so this proves nothing")
    expect(last(wan, to_us=False)[UDP].dport == after, "ESP does not go where the customer's comes from")
    packets = [packet for packet in wan.packets() if UDP in packet]
    proof = next(n for n, p in enumerate(packets) if p[UDP].sport == after and is_ike(p) and p[IP].dst == BORDERGATE_WAN)
    first = next(n for n, p in enumerate(packets) if p[UDP].dport == after)
    expect(proof < first, "something was sent to the new port before anything authenticated came from there")


def last(wan: Capture, *, to_us: bool) -> Packet:
    """The last ESP packet in one direction, but for those that we have made up."""
    address = BORDERGATE_WAN if to_us else CUSTOMER_WAN
    return next(packet for packet in reversed(wan.packets())
                if is_udp_esp(packet) and packet[IP].dst == address and packet[UDP].sport != 31000)


def forget_after(topology: Topology, *, seconds: int) -> None:
    """How long the NAT remembers who is silent."""
    names = ("nf_conntrack_udp_timeout", "nf_conntrack_udp_timeout_stream")
    topology.internet.sysctl({f"net/netfilter/{name}": str(seconds) for name in names})
