"""A killed gateway leaks nothing: with forwarding on and a default route, no packet of the VPC leaves in clear.

The worst case: SIGKILL, so nobody cleans up; the host forwards, and its default route points to the internet. The
control experiment at the end takes the pinned programs away and must see the packets leave, or the capture could not
have seen a leak.
"""

from __future__ import annotations

from scapy.layers.inet import IP
from scapy.packet import Packet

from ..capture import Capture, Injector
from ..gateway import xdp_mode
from ..process import Failure, wait_for
from ..scenario import Bed, expect
from ..topology import IDC_HOST, VPC_HOST, Topology
from ..traffic import must_ping, ping


def from_vpc_in_clear(packet: Packet) -> bool:
    """An IP packet of the VPC's that nobody has sealed."""
    return packet.haslayer(IP) and (packet[IP].src.startswith("10.1.") or packet[IP].dst.startswith("10.1."))


def try_to_leak(topology: Topology, wan: Capture) -> list[Packet]:
    """Send from the VPC to the data centre, in several ways; what of it is on the WAN link."""
    ping(topology.vpc_host, IDC_HOST, count=5, patience=0.3)
    with Injector(topology.vpc_host, "vpc0", topology.bordergate, "vpc0") as vpc:
        packet = IP(src=VPC_HOST, dst=IDC_HOST) / b"clear?"
        for tag in (b"", b"\x81\x00\x00\x00", b"\x81\x00\x00\x0a"):
            vpc.send(packet, vlan=tag)
        # As fragments, and with options: not what a fast path likes to see.
        vpc.send(IP(src=VPC_HOST, dst=IDC_HOST, flags="MF") / (b"x" * 64))
        vpc.send(IP(src=VPC_HOST, dst=IDC_HOST, frag=8) / (b"x" * 64))
        vpc.send(IP(src=VPC_HOST, dst=IDC_HOST, options=b"\x01\x01\x01\x00") / (b"x" * 64))
    # A ping to the gateway's own WAN address passes by way of the kernel, after all of the above.
    topology.internet.run("ping", "-n", "-c", "1", "-W", "2", "203.0.113.1", check=False)
    return [packet for packet in wan.packets() if from_vpc_in_clear(packet)]


def run(bed: Bed) -> None:
    topology = bed.topology
    wan = bed.capture_wan()
    gateway, _ = bed.up_with_strongswan()
    must_ping(topology.vpc_host, IDC_HOST)
    expect((topology.bordergate.run("cat", "/proc/sys/net/ipv4/ip_forward").stdout.strip()) == "1",
           "the host does not forward, so this proves nothing")

    bed.step("kill the gateway with SIGKILL and look for packets in clear")
    gateway.check_accounting()
    gateway.kill()
    leaked = try_to_leak(topology, wan)
    expect(not leaked, f"in clear on the WAN link: {[packet.summary() for packet in leaked[:5]]}")
    expect(xdp_mode(topology.bordergate, "vpc0") is not None, "the XDP program on vpc0 died with the daemon")

    bed.step("start the gateway again, over what the killed one left")
    gateway.restart().wait_up(timeout=30)
    must_ping(topology.vpc_host, IDC_HOST)
    must_ping(topology.idc_host, VPC_HOST)
    gateway.check_accounting()

    bed.step("see that nothing left in clear around the restart either")
    leaked = [packet for packet in wan.packets() if from_vpc_in_clear(packet)]
    expect(not leaked, f"in clear on the WAN link around the restart: {[packet.summary() for packet in leaked[:5]]}")

    bed.step("the control experiment: kill again, detach, and see the packets leave in clear")
    gateway.kill()
    gateway.detach()
    expect(xdp_mode(topology.bordergate, "vpc0") is None, "detach left the XDP program on vpc0")

    def leaks() -> bool:
        return bool(try_to_leak(topology, wan))

    try:
        wait_for("a packet in clear", leaks, 10)
    except Failure as failure:
        raise Failure("without Bordergate's programs nothing leaves in clear either, so this scenario could not "
                      "have failed") from failure
