"""An SA with a lifetime in packets is replaced before it has carried them, is told once, and never carries one more."""

from __future__ import annotations

from collections import Counter

from ..capture import is_udp_esp, spi_of
from ..gateway import Tunnel
from ..process import wait_for
from ..scenario import Bed, expect
from ..topology import BORDERGATE_WAN, IDC_HOST
from ..traffic import must_ping

LIFETIME = 300
ECHOES = 800


def run(bed: Bed) -> None:
    topology = bed.topology
    gateway, _ = bed.up_with_strongswan(tunnel=Tunnel(lifetime_packets=LIFETIME))
    must_ping(topology.vpc_host, IDC_HOST)
    wan = bed.capture("wan", topology.internet, "bordergate0", incoming_only=True)

    bed.step(f"send {ECHOES} echoes through SAs of {LIFETIME} packets")
    stream = topology.vpc_host.start("ping", ["ping", "-n", "-c", str(ECHOES), "-i", "0.01", "-W", "1", IDC_HOST],
                                     bed.directory / "ping.log")
    wait_for("the last echo", lambda: stream.exit_code is not None, 30)
    wan.stop()
    by_spi = Counter(spi_of(packet) for packet in wan.packets()
                     if is_udp_esp(packet) and packet["IP"].src == BORDERGATE_WAN)
    used = list(by_spi.values())
    expect(len(used) >= ECHOES // LIFETIME + 1, f"only {len(used)} SAs for {ECHOES} packets: {used}")
    expect(max(used) <= LIFETIME, f"an SA carried {max(used)} packets, of {LIFETIME}")
    # All but the last were replaced early, and none long before it was time.
    expect(all(count >= LIFETIME * 8 // 10 for count in used[1:-1]), f"replaced too early: {used}")

    bed.step("read what was said of it")
    said = gateway.daemon.output().count("soft limit reached")
    hard = gateway.daemon.output().count("hard limit reached")
    expect((said, hard) == (len(used) - 1, 0), f"{said} soft and {hard} hard limits told for {len(used)} SAs")
    gateway.wait_up()
    must_ping(topology.vpc_host, IDC_HOST)
