"""One end of a `Meter`, run by its path inside a namespace: sends numbered datagrams at a steady rate and keeps what comes.

Lines on standard input steer it: `send`, `stop` (sending; it goes on receiving), `end` (say what was seen, as JSON, and exit).
"""

from __future__ import annotations

import json
import os
import select
import socket
import struct
import sys
import time

_SO_RCVBUFFORCE = 33
HEADER = struct.Struct("!QI")
"""The run it belongs to, and its number."""


class End:
    """A socket, the numbers sent, and those received with the time of each."""

    def __init__(self, local: tuple[str, int], remote: tuple[str, int], run: int, rate: int, size: int) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        # The meter must not be what loses packets while the machine is busy elsewhere.
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, 8 << 20)
        self._socket.bind(local)
        self._socket.setblocking(False)
        self._remote = remote
        self._run = run
        self._interval = 1 / rate
        self._filling = bytes(max(0, size - HEADER.size))
        self._sending = False
        self._due = 0.0
        self.sent: list[float] = []
        self.received: dict[int, float] = {}
        self.twice = 0
        self.refused = 0
        """Sends that the host's own stack refused; they have no number."""

    def serve(self) -> None:
        """Send and receive until `end`."""
        commands = ""
        while True:
            wait = max(0.0, self._due - time.monotonic()) if self._sending else None
            ready, _, _ = select.select([self._socket, sys.stdin], [], [], wait)
            if sys.stdin in ready:
                text = os.read(0, 4096).decode()
                commands += text
                *lines, commands = commands.split("\n")
                for line in lines:
                    if line == "end":
                        return
                    self._sending = line == "send"
                    self._due = time.monotonic()
                    print(len(self.sent), flush=True)
                if not text:
                    return
            self._receive()
            self._send()

    def _send(self) -> None:
        # One at a time: after a time without the processor, what is due goes out between looks at what came in.
        if not self._sending or time.monotonic() < self._due:
            return
        try:
            self._socket.sendto(HEADER.pack(self._run, len(self.sent)) + self._filling, self._remote)
        except OSError:
            self.refused += 1
        else:
            self.sent.append(time.time())
        self._due = max(self._due + self._interval, time.monotonic() - 0.05)

    def _receive(self) -> None:
        while True:
            try:
                datagram = self._socket.recv(65535)
            except BlockingIOError:
                return
            except OSError:
                # An ICMP error about something sent: the packet is missing at the other end, where it is counted.
                continue
            run, number = HEADER.unpack_from(datagram.ljust(HEADER.size))
            if run != self._run:
                continue
            self.twice += number in self.received
            self.received.setdefault(number, time.time())


def main() -> None:
    """`meter_end.py LOCAL PORT REMOTE PORT RUN RATE SIZE`."""
    local, local_port, remote, remote_port, run, rate, size = sys.argv[1:]
    end = End((local, int(local_port)), (remote, int(remote_port)), int(run), int(rate), int(size))
    print("ready", flush=True)
    end.serve()
    json.dump({"sent": end.sent, "received": list(end.received.items()), "twice": end.twice, "refused": end.refused},
              sys.stdout)


if __name__ == "__main__":
    main()
