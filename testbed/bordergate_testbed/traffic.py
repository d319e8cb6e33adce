"""Traffic between the hosts, and what was measured of it."""

from __future__ import annotations

import contextlib
import json
import re
import select
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from .namespace import Namespace
from .process import Daemon, Failure, wait_for
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


def must_be_neighbour(host: Namespace, gateway: Namespace, address: str) -> None:
    """Let a gateway's kernel resolve a host beside it, whose first packets it would otherwise drop."""
    must_ping(gateway, address, count=1)
    wait_for(f"{gateway.name} to know {host.name}'s MAC address",
             lambda: "lladdr" in gateway.ip("neigh", "show", "to", address), 3)


@contextmanager
def udp_echo(server: Namespace, address: str) -> Iterator[int]:
    """Sends every datagram back to where it came from; the port."""
    with server.inside():
        listening = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        listening.bind((address, 0))
    listening.settimeout(0.1)
    stop = threading.Event()

    def answer() -> None:
        while not stop.is_set():
            with contextlib.suppress(TimeoutError):
                listening.sendto(*listening.recvfrom(65535))

    thread = threading.Thread(target=answer, daemon=True)
    thread.start()
    try:
        yield listening.getsockname()[1]
    finally:
        stop.set()
        thread.join()
        listening.close()


class UdpFlows:
    """Flows from a host to one address and port, each from a port of its own."""

    def __init__(self, client: Namespace, target: tuple[str, int], count: int) -> None:
        with client.inside():
            self._sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(count)]
        try:
            for flow in self._sockets:
                flow.connect(target)
        except OSError as error:
            raise Failure(f"{client.name} cannot send to {target[0]}: {error}") from error

    def __enter__(self) -> UdpFlows:
        return self

    def __exit__(self, *_: object) -> None:
        for flow in self._sockets:
            flow.close()

    def exchange(self, patience: float = 2) -> int:
        """Each sends one datagram, in turn, and waits for it to come back; how many did not."""
        lost = 0
        for flow in self._sockets:
            flow.send(b"echo")
            ready, _, _ = select.select([flow], [], [], patience if lost == 0 else 0.05)
            lost += not ready or flow.recv(64) != b"echo"
        return lost


@dataclass(frozen=True)
class Throughput:
    """What iperf3 measured: rate and bytes at the receiving end, retransmits at the sending one."""

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


def iperf(client: Namespace, server_address: str, *, seconds: int | None = None, kilobytes: int | None = None,
          reverse: bool = False) -> Throughput:
    """One TCP run against a running server, for so long or for so many bytes; with `reverse` the server sends."""
    # Whole seconds: iperf3 takes a fraction of one for no limit at all.
    limit = ["--bytes", f"{kilobytes}K"] if seconds is None else ["--time", str(seconds)]
    arguments = ["iperf3", "--client", server_address, *limit, "--json", "--connect-timeout", "3000"]
    if reverse:
        arguments.append("--reverse")
    # iperf3 ends with 0 or 1 and may or may not say why in its JSON: what counts is what stands in it.
    output = client.run(*arguments, timeout=(seconds or 0) + 20, check=False)
    said = output.stdout + output.stderr
    try:
        answer = json.loads(output.stdout)
        if output.returncode != 0 or "error" in answer:
            raise Failure(f"iperf3 from {client.name} to {server_address} failed with {output.returncode}: "
                          f"{answer.get('error', said[-600:])}")
        sent, received = answer["end"]["sum_sent"], answer["end"]["sum_received"]
        return Throughput(received["bits_per_second"] / 1e6, int(sent["retransmits"]), int(received["bytes"]))
    except (ValueError, KeyError, TypeError) as wrong:
        raise Failure(f"iperf3 from {client.name} to {server_address} ended with {output.returncode} and no result "
                      f"({type(wrong).__name__}: {wrong}); it said:\n{said[-1500:]}") from wrong


@dataclass(frozen=True)
class BothWays:
    """TCP through the tunnel, once in each direction."""

    to_vpc: Throughput
    to_idc: Throughput


def iperf_both_ways(idc_host: Namespace, vpc_host: Namespace, log: Path, *, seconds: int = 1) -> BothWays:
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


@dataclass(frozen=True)
class KernelRoute:
    """A route of a kernel's: where its packets go next, and through which devices."""

    prefix: str
    next_hops: tuple[str, ...]
    devices: tuple[str, ...]


def kernel_routes(namespace: Namespace, prefix: str, table: str = "main") -> list[KernelRoute]:
    """The kernel's routes to exactly this prefix."""
    family = "-6" if ":" in prefix else "-4"
    listed = namespace.run("ip", "-json", family, "route", "show", "table", table, "exact", prefix, check=False)
    # A table that nothing has been put into yet is an error to `ip`.
    routes = json.loads(listed.stdout) if listed.returncode == 0 else []
    found = []
    for route in routes:
        ways = route.get("nexthops", [route])
        hops = (way.get("gateway") or way.get("via", {}).get("host") for way in ways)
        found.append(KernelRoute(route["dst"], tuple(hop for hop in hops if hop), tuple(way["dev"] for way in ways)))
    return found


def must_have_route(namespace: Namespace, prefix: str, patience: float = 10) -> list[KernelRoute]:
    """Wait until the kernel has a route to exactly this prefix; all it has."""
    return wait_for(f"{namespace.name} to have a route to {prefix}", lambda: kernel_routes(namespace, prefix), patience)


def must_lack_route(namespace: Namespace, prefix: str, patience: float = 10) -> None:
    """Wait until the kernel has none."""
    wait_for(f"{namespace.name} to have no route to {prefix}", lambda: not kernel_routes(namespace, prefix), patience)
