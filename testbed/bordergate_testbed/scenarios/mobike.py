"""strongSwan's device gets another address while traffic runs: it takes its SAs along, and nothing is set up anew (RFC 4555)."""

from __future__ import annotations

import time

from ..capture import is_udp_esp
from ..gateway import Site, Tunnel
from ..process import wait_for
from ..scenario import Bed, expect
from ..strongswan import Connection
from ..topology import BORDERGATE_WAN, CUSTOMER_WAN, IDC_HOST, INTERNET_AT_CUSTOMER, VPC_HOST
from ..traffic import must_ping

SECOND_ADDRESS = "198.51.100.3"
MOVED = "the peer has moved"
INTERVAL = 0.02
# charon looks for another way a moment after its address is gone, and tells us then.
LOST_SECONDS = 3


def run(bed: Bed) -> None:
    topology = bed.topology
    device = topology.customer
    # The second address outlives the first.
    device.sysctl({"net/ipv4/conf/wan0/promote_secondaries": "1"})
    gateway = bed.gateway().start(Site(tunnel=Tunnel(startup="respond", mobike=True)))
    strongswan = bed.strongswan().start(Connection(local="%any", mobike="yes"))
    strongswan.initiate()
    gateway.wait_up()
    must_ping(topology.vpc_host, IDC_HOST)

    bed.step("take the device's address away while echoes run")
    count = 400
    stream = topology.vpc_host.start("ping", ["ping", "-n", "-c", str(count), "-i", str(INTERVAL), "-W", "1", IDC_HOST],
                                     bed.directory / "ping.log")
    time.sleep(1)
    device.ip("addr", "add", f"{SECOND_ADDRESS}/24", "dev", "wan0")
    time.sleep(1)
    device.ip("addr", "del", f"{CUSTOMER_WAN}/24", "dev", "wan0")
    device.ip("route", "replace", "default", "via", INTERNET_AT_CUSTOMER)
    wait_for("the gateway to tell that the peer has moved",
             lambda: MOVED in gateway.daemon.output() and SECOND_ADDRESS in gateway.daemon.output(), 10)
    wan = bed.capture_wan()
    wait_for("the last echo", lambda: stream.exit_code is not None, 30)
    received = int(stream.output().split(" received")[0].split()[-1])
    lost = count - received
    bed.note(f"{lost} of {count} echoes were lost, {lost * INTERVAL:.1f} s")
    expect(lost * INTERVAL <= LOST_SECONDS, f"{lost} of {count} echoes were lost")

    bed.step("see that it is the same tunnel, elsewhere")
    must_ping(topology.vpc_host, IDC_HOST)
    must_ping(topology.idc_host, VPC_HOST)
    wan.stop()
    esp = [packet for packet in wan.packets() if is_udp_esp(packet)]
    peers = {packet["IP"].dst if packet["IP"].src == BORDERGATE_WAN else packet["IP"].src for packet in esp}
    expect(peers == {SECOND_ADDRESS}, f"ESP goes between us and {peers}")
    tunnel = gateway.tunnel()
    # charon replaces the child by itself: its ESP in user space cannot move one.
    spi = tunnel["esp"]["spi_in"]
    expect(tunnel["messages"]["established"] == 1, "the tunnel was set up anew")

    bed.step("rekey from the new place")
    gateway.rekey()
    wait_for("another child", lambda: (gateway.tunnel()["esp"] or {}).get("spi_in") not in (None, spi), 10)
    must_ping(topology.vpc_host, IDC_HOST)
