"""Traffic between the hosts, and what was measured of it."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from .namespace import Namespace
from .process import CommandFailed, Daemon, Failure, wait_for
from .topology import VPC_HOST


@dataclass(frozen=True)
class Ping:
    """Round trips in milliseconds; there are none of echoes below 16 bytes, which hold no time stamp."""

    sent: int
    received: int
    rtts: tuple[float, ...]

    @property
    def minimum(self) -> float:
        """The shortest."""
        return min(self.rtts)

    @property
    def average(self) -> float:
        """The mean."""
        return sum(self.rtts) / len(self.rtts)

    def percentile(self, percent: float) -> float:
        """The value that `percent` of the round trips stay at or below."""
        ordered = sorted(self.rtts)
        return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


def ping(source: Namespace, target: str, *, count: int = 5, interval: float = 0.05, size: int = 56,
         patience: float = 1) -> Ping:
    """Send echo requests; lost ones are in the result, not an error."""
    timeout = count * interval + patience + 10
    output = source.run("ping", "-n", "-c", str(count), "-i", str(interval), "-W", str(patience), "-s", str(size),
                        target, check=False, timeout=timeout).stdout
    rtts = tuple(float(value) for value in re.findall(r"icmp_seq=\d+ .*time=([\d.]+) ms", output))
    # Echoes too small for a time stamp have no round trip, but they are counted.
    counted = re.search(r"(\d+) received", output)
    return Ping(count, int(counted[1]) if counted else 0, rtts)


def must_ping(source: Namespace, target: str, *, count: int = 5, interval: float = 0.05, size: int = 56,
              patience: float = 10) -> Ping:
    """`ping` until an echo comes back (the first ones may be lost to a cold neighbour), then expect no loss at all."""
    wait_for(f"an answer to ping from {source.name} to {target}",
             lambda: ping(source, target, count=1, size=size, patience=1).received == 1, patience)
    result = ping(source, target, count=count, interval=interval, size=size, patience=2)
    if result.received != result.sent:
        raise Failure(f"ping from {source.name} to {target}, {size} bytes: "
                      f"{result.received} of {result.sent} came back")
    return result


@dataclass(frozen=True)
class Throughput:
    """What iperf3 measured, at the receiving end."""

    mbit_per_s: float
    retransmits: int
    bytes: int


@contextmanager
def iperf_server(host: Namespace, address: str, log: Path) -> Iterator[Daemon]:
    """An iperf3 server on `address` that is gone afterwards."""
    server = host.start("iperf3 server", ["iperf3", "--server", "--bind", address, "--forceflush"], log)
    try:
        wait_for("iperf3 to listen", lambda: "listening" in server.output())
        yield server
    finally:
        server.kill()


def iperf(client: Namespace, server_address: str, *, seconds: float = 2, reverse: bool = False,
          streams: int = 1) -> Throughput:
    """One TCP run against a running server; with `reverse` the server sends."""
    arguments = ["iperf3", "--client", server_address, "--time", str(seconds), "--json", "--parallel", str(streams),
                 "--connect-timeout", "3000"]
    if reverse:
        arguments.append("--reverse")
    try:
        answer = json.loads(client.run(*arguments, timeout=seconds + 20).stdout)
    except CommandFailed as failed:
        raise Failure(f"iperf3 from {client.name} to {server_address} failed:\n{failed.output[-600:]}") from failed
    end = answer["end"]
    return Throughput(end["sum_received"]["bits_per_second"] / 1e6, int(end["sum_sent"].get("retransmits", 0)),
                      int(end["sum_received"]["bytes"]))


@dataclass(frozen=True)
class BothWays:
    """TCP through the tunnel, once in each direction."""

    to_vpc: Throughput
    to_idc: Throughput


def iperf_both_ways(idc_host: Namespace, vpc_host: Namespace, log: Path, *, seconds: float = 2) -> BothWays:
    """The server is in the VPC; the data centre's host sends first, then receives."""
    with iperf_server(vpc_host, VPC_HOST, log):
        to_vpc = iperf(idc_host, VPC_HOST, seconds=seconds)
        # The server takes one client at a time and needs a moment to let go of the last one.
        deadline = time.monotonic() + 5
        while True:
            try:
                to_idc = iperf(idc_host, VPC_HOST, seconds=seconds, reverse=True)
                break
            except Failure as failure:
                if "busy" not in str(failure) or time.monotonic() > deadline:
                    raise
                time.sleep(0.2)
    for name, result in (("to the VPC", to_vpc), ("to the IDC", to_idc)):
        if result.bytes < 100_000:
            raise Failure(f"iperf3 {name} moved only {result.bytes} bytes")
    return BothWays(to_vpc, to_idc)


