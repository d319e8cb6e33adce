"""A monitoring station (RFC 7854): what the resource file says of it, what it is told, and what tshark reads in that."""

from __future__ import annotations

import select
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from scapy.layers.inet import IP, TCP
from scapy.utils import wrpcap

from .gateway import Site
from .namespace import Namespace
from .process import run, wait_for

ROUTES, STATISTICS, DOWN, UP, INITIATION, TERMINATION = 0, 1, 2, 3, 4, 5
_HEADER = 6
# Of each message; a field that stands in it several times has several values.
_FIELDS = (
    "bmp.type", "bmp.init.info", "bmp.peer.flags", "bmp.peer.ip.addr", "bmp.peer.ipv6.addr", "bmp.peer.asn", "bmp.peer.id",
    "bmp.peer.timestamp.sec", "bmp.peer.up.ip.addr", "bmp.peer.up.ipv6.addr", "bmp.peer.up.port.local",
    "bmp.peer.up.port.remote", "bmp.peer.down.reason", "bmp.term.reason", "bmp.stats.type", "bmp.stats.data.prefix_rej",
    "bmp.stats.data.as_loop", "bmp.stats.data.routes_adj_rib_in", "bmp.stats.data.routes_per_adj_rib_in",
    "bmp.stats.data.routes_post_adj_rib_out", "bmp.stats.data.routes_post_per_adj_rib_out", "bmp.stats.data.update_treat",
    "bgp.type", "bgp.cap.4as", "bgp.notify.major_error", "bgp.notify.minor_error_cease", "bgp.prefix_length",
    "bgp.withdrawn_prefix", "bgp.nlri_prefix", "bgp.mp_reach_nlri_ipv4_prefix", "bgp.mp_reach_nlri_ipv6_prefix",
    "bgp.mp_unreach_nlri_ipv4_prefix", "bgp.mp_unreach_nlri_ipv6_prefix",
    "bgp.update.path_attribute.community_value", "bgp.update.path_attribute.as_path_segment.as4")


@dataclass(frozen=True)
class BmpStation:
    """`[[bmp_station]]`, of the site's border gateway."""

    name: str = "noc-1"
    address: str = "127.0.0.1"
    port: int = 11019
    local_address: str | None = None

    def render(self, gateway: str) -> str:
        """The station in TOML."""
        local = "" if self.local_address is None else f'local_address = "{self.local_address}"\n'
        return (f'\n[[bmp_station]]\nname = "{self.name}"\nborder_gateway = "{gateway}"\n'
                f'address = "{self.address}"\nport = {self.port}\n{local}')


@dataclass(frozen=True)
class MonitoredSite(Site):
    """A site whose border gateway has monitoring stations."""

    stations: tuple[BmpStation, ...] = (BmpStation(),)

    def render(self) -> str:
        """The site's resources in TOML."""
        return super().render() + "".join(station.render(f"bgw-{self.name}") for station in self.stations)


@dataclass(frozen=True)
class Message:
    """One message as it came, and as tshark reads it."""

    octets: bytes
    fields: dict[str, tuple[str, ...]]

    @property
    def kind(self) -> int:
        """Its type."""
        return int(self.one("bmp.type"))

    @property
    def peer(self) -> str:
        """Whose session it is about; nobody's if it is about none."""
        return "".join(self.all("bmp.peer.ip.addr") or self.all("bmp.peer.ipv6.addr"))

    @property
    def bgp(self) -> bytes:
        """What of BGP is in it behind the header of its peer: of a `ROUTES` the UPDATE."""
        return self.octets[_HEADER + 42:]

    @property
    def withdrawn(self) -> tuple[str, ...]:
        """The prefixes that an UPDATE withdraws."""
        return self._prefixes()[0]

    @property
    def announced(self) -> tuple[str, ...]:
        """The prefixes that it announces."""
        return self._prefixes()[1]

    def all(self, name: str) -> tuple[str, ...]:
        """Every value of a field."""
        return self.fields[name]

    def one(self, name: str) -> str:
        """The only value of a field."""
        (value,) = self.fields[name]
        return value

    def _prefixes(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """In an UPDATE what is withdrawn stands in front, in as far as the implementations played with here write it."""
        gone = (self.all("bgp.withdrawn_prefix") + self.all("bgp.mp_unreach_nlri_ipv4_prefix")
                + self.all("bgp.mp_unreach_nlri_ipv6_prefix"))
        come = (self.all("bgp.mp_reach_nlri_ipv4_prefix") + self.all("bgp.mp_reach_nlri_ipv6_prefix")
                + self.all("bgp.nlri_prefix"))
        prefixes = tuple(f"{address}/{length}"
                         for address, length in zip(gone + come, self.all("bgp.prefix_length"), strict=True))
        return prefixes[:len(gone)], prefixes[len(gone):]


@dataclass
class Told:
    """One connection of a gateway, and what has come over it."""

    source: tuple[str, int]
    octets: bytearray = field(default_factory=bytearray)
    ended: bool = False

    def messages(self) -> list[bytes]:
        """Those that are whole."""
        octets, messages = bytes(self.octets), []
        while len(octets) >= _HEADER and len(octets) >= (length := int.from_bytes(octets[1:5], "big")) >= _HEADER:
            messages.append(octets[:length])
            octets = octets[length:]
        return messages


class Station:
    """Listens in a namespace, and reads what it is told, until `close`."""

    def __init__(self, namespace: Namespace, directory: Path, station: BmpStation = BmpStation()) -> None:
        self.connections: list[Told] = []
        self._station = station
        self._directory = directory
        self._streams: dict[socket.socket, Told] = {}
        self._stop = threading.Event()
        with namespace.inside():
            self._listener = socket.create_server((station.address, station.port))
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def hang_up(self) -> None:
        """Close every connection that there is; others are taken as before."""
        for stream in list(self._streams):
            stream.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Listen no longer."""
        self._stop.set()
        self._thread.join()
        for stream in (*self._streams, self._listener):
            stream.close()
        self._streams.clear()

    def wait_connection(self, number: int, timeout: float = 10) -> Told:
        """Wait for the connection of this number, the first being 0."""
        wait_for(f"connection {number} to the monitoring station", lambda: len(self.connections) > number, timeout)
        return self.connections[number]

    def wait_told(self, told: Told, what: str, condition: Callable[[list[Message]], bool],
                  timeout: float = 10) -> list[Message]:
        """Wait until something holds for what was told over a connection."""
        seen = -1
        found: list[Message] = []

        def holds() -> bool:
            nonlocal seen, found
            # tshark takes most of a second.
            if (count := len(told.octets)) == seen:
                return False
            seen, found = count, self.decoded(told)
            return condition(found)

        wait_for(f"the monitoring station to be told {what}", holds, timeout)
        return found

    def decoded(self, told: Told) -> list[Message]:
        """What tshark reads in what has come over a connection so far."""
        messages = told.messages()
        command = ["tshark", "-n", "-r", str(self._capture(told, messages)), "-d", f"tcp.port=={self._station.port},bmp"]
        if not messages:
            return []
        fields = [argument for name in _FIELDS for argument in ("-e", name)]
        lines = run([*command, "-Y", "bmp", "-T", "fields", "-E", "separator=;", *fields]).stdout.splitlines()
        values = ([tuple(value.split(",")) if value else () for value in line.split(";")] for line in lines)
        return [Message(octets, dict(zip(_FIELDS, value, strict=True)))
                for octets, value in zip(messages, values, strict=True)]

    def complaints(self, told: Told) -> str:
        """What tshark finds to be wrong with it."""
        capture = self._capture(told, told.messages())
        return run(["tshark", "-n", "-r", str(capture), "-d", f"tcp.port=={self._station.port},bmp",
                    "-Y", "_ws.malformed || bmp && _ws.expert.severity >= error || !bmp && tcp.len > 0"]).stdout

    def _capture(self, told: Told, messages: list[bytes]) -> Path:
        """A capture as it might have been taken, with a segment for each message."""
        path = self._directory / f"bmp-{self.connections.index(told)}.pcap"
        (address, port), there = told.source, (self._station.address, self._station.port)
        from_gateway = IP(src=address, dst=there[0]) / TCP(sport=port, dport=there[1], ack=1, flags="PA")
        packets = [IP(src=address, dst=there[0]) / TCP(sport=port, dport=there[1], seq=0, flags="S"),
                   IP(src=there[0], dst=address) / TCP(sport=there[1], dport=port, seq=0, ack=1, flags="SA")]
        sequence = 1
        for message in messages:
            packet = from_gateway.copy()
            packet[TCP].seq = sequence
            packets.append(packet / message)
            sequence += len(message)
        wrpcap(str(path), packets)
        return path

    def _listen(self) -> None:
        while not self._stop.is_set():
            ready, _, _ = select.select([self._listener, *self._streams], [], [], 0.05)
            for stream in ready:
                if stream is self._listener:
                    accepted, source = stream.accept()
                    self._streams[accepted] = told = Told(source)
                    self.connections.append(told)
                    continue
                try:
                    octets = stream.recv(1 << 20)
                except ConnectionResetError:
                    octets = b""
                self._streams[stream].octets += octets
                if not octets:
                    self._streams.pop(stream).ended = True
                    stream.close()
