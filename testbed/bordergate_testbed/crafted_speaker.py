"""A BGP speaker made by hand, to say what no real implementation would (RFC 4271, four-octet AS numbers by RFC 6793)."""

from __future__ import annotations

import ipaddress
import socket
import struct
import time
from dataclasses import dataclass

from .namespace import Namespace
from .process import Failure

OPEN, UPDATE, NOTIFICATION, KEEPALIVE, ROUTE_REFRESH = 1, 2, 3, 4, 5
ORIGIN, AS_PATH, NEXT_HOP = 1, 2, 3
_AS_TRANS = 23456
_MARKER = b"\xff" * 16
_TCP_MD5SIG = 14
# struct tcp_md5sig: the peer's address, flags, its prefix length, the key's length, an interface, the key.
_MD5SIG = struct.Struct("=128sBBHI80s")


@dataclass(frozen=True)
class Message:
    """One message: its type, and what stands behind its header."""

    kind: int
    body: bytes

    def __str__(self) -> str:
        name = {OPEN: "OPEN", UPDATE: "UPDATE", NOTIFICATION: "NOTIFICATION", KEEPALIVE: "KEEPALIVE"}.get(
            self.kind, f"type {self.kind}")
        return f"{name} {self.body.hex()}"


class CraftedSpeaker:
    """A TCP connection to the gateway's end of a tunnel while the context lasts; nothing is said that is not asked for."""

    def __init__(self, namespace: Namespace, local: str, remote: str, *, key: str | None = None,
                 patience: float = 5) -> None:
        """`key` signs the connection's segments (RFC 2385). An end that does not answer is a `TimeoutError`."""
        self._patience = patience
        with namespace.inside():
            self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            if key is not None:
                peer = struct.pack("=HH", socket.AF_INET, 0) + socket.inet_aton(remote)
                self._socket.setsockopt(socket.IPPROTO_TCP, _TCP_MD5SIG,
                                        _MD5SIG.pack(peer, 0, 0, len(key), 0, key.encode()))
            self._socket.settimeout(patience)
            self._socket.bind((local, 0))
            self._socket.connect((remote, 179))
        except BaseException:
            self._socket.close()
            raise

    def __enter__(self) -> CraftedSpeaker:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the connection without a word."""
        self._socket.close()

    def send(self, message: bytes) -> None:
        """Send these octets, whatever they are."""
        self._socket.sendall(message)

    def establish(self, opening: bytes) -> None:
        """The usual beginning: this OPEN, and KEEPALIVEs from both ends."""
        self.send(opening)
        self.wait_for(OPEN)
        self.send(keepalive())
        self.wait_for(KEEPALIVE)

    def wait_for(self, kind: int) -> Message:
        """The next message of this type; a NOTIFICATION that is not asked for is a failure."""
        seen = []
        deadline = time.monotonic() + self._patience
        while time.monotonic() < deadline:
            message = self._receive()
            if message.kind == kind:
                return message
            seen.append(str(message))
            if message.kind == NOTIFICATION:
                break
        raise Failure(f"the gateway has sent no message of type {kind}, but {', '.join(seen) or 'nothing'}")

    def notified(self) -> tuple[int, int]:
        """Wait for a NOTIFICATION; its code and subcode."""
        code, subcode = self.wait_for(NOTIFICATION).body[:2]
        return code, subcode

    def _receive(self) -> Message:
        header = self._exactly(19)
        length, kind = struct.unpack("!HB", header[16:])
        if header[:16] != _MARKER or length < 19:
            raise Failure(f"the gateway has sent something else than BGP: {header.hex()}")
        return Message(kind, self._exactly(length - 19))

    def _exactly(self, length: int) -> bytes:
        found = b""
        while len(found) < length:
            try:
                piece = self._socket.recv(length - len(found))
            except TimeoutError as silent:
                raise Failure(f"the gateway was silent for {self._patience:g} s") from silent
            if not piece:
                raise Failure("the gateway has closed the connection without a word")
            found += piece
        return found


def opening(asn: int, *, hold: int = 90, identifier: str = "10.255.0.99") -> bytes:
    """An OPEN with the capabilities of IPv4 unicast and four-octet AS numbers."""
    capabilities = struct.pack("!BBHBB", 1, 4, 1, 0, 1) + struct.pack("!BBI", 65, 4, asn)
    parameter = struct.pack("!BB", 2, len(capabilities)) + capabilities
    fixed = struct.pack("!BHH4sB", 4, asn if asn < 65536 else _AS_TRANS, hold, socket.inet_aton(identifier),
                        len(parameter))
    return _message(OPEN, fixed + parameter)


def keepalive() -> bytes:
    """A KEEPALIVE."""
    return _message(KEEPALIVE)


def update(reachable: bytes, *, path: tuple[int, ...], next_hop: str, origin: bytes = b"\0") -> bytes:
    """An UPDATE that announces IPv4 prefixes; `origin` is the ORIGIN's value, one octet from 0 to 2 if it is sound."""
    attributes = _attribute(ORIGIN, origin)
    attributes += _attribute(AS_PATH, struct.pack("!BB", 2, len(path)) + b"".join(struct.pack("!I", asn) for asn in path))
    attributes += _attribute(NEXT_HOP, socket.inet_aton(next_hop))
    return _message(UPDATE, struct.pack("!HH", 0, len(attributes)) + attributes + reachable)


def written(prefix: str) -> bytes:
    """A prefix as an UPDATE has it: its length, and as many octets as that takes."""
    network = ipaddress.IPv4Network(prefix)
    return bytes([network.prefixlen]) + network.network_address.packed[:(network.prefixlen + 7) // 8]


def _attribute(kind: int, value: bytes) -> bytes:
    """Well-known, so transitive."""
    return struct.pack("!BBB", 0x40, kind, len(value)) + value


def _message(kind: int, body: bytes = b"") -> bytes:
    return _MARKER + struct.pack("!HB", 19 + len(body), kind) + body
