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
    """A socket for each flow, the numbers sent, and those received with the time of each."""

    def __init__(self, local: tuple[str, int], remote: tuple[str, int], run: int, rate: int, size: int,
                 flows: int) -> None:
        self._flows = [_socket((local[0], local[1] + flow)) for flow in range(flows)]
        self._remotes = [(remote[0], remote[1] + flow) for flow in range(flows)]
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
            ready, _, _ = select.select([*self._flows, sys.stdin], [], [], wait)
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
            for flow in self._flows:
                if flow in ready:
                    self._receive(flow)
            self._send()

    def _send(self) -> None:
        # One at a time: after a time without the processor, what is due goes out between looks at what came in.
        if not self._sending or time.monotonic() < self._due:
            return
        number = len(self.sent)
        flow = number % len(self._flows)
        try:
            self._flows[flow].sendto(HEADER.pack(self._run, number) + self._filling, self._remotes[flow])
        except OSError:
            self.refused += 1
        else:
            self.sent.append(time.time())
        self._due = max(self._due + self._interval, time.monotonic() - 0.05)

    def _receive(self, flow: socket.socket) -> None:
        while True:
            try:
                datagram = flow.recv(65535)
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


def _socket(local: tuple[str, int]) -> socket.socket:
    flow = socket.socket(socket.AF_INET6 if ":" in local[0] else socket.AF_INET, socket.SOCK_DGRAM)
    # The meter must not be what loses packets while the machine is busy elsewhere.
    flow.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, 8 << 20)
    flow.bind(local)
    flow.setblocking(False)
    return flow


def main() -> None:
    """`meter_end.py LOCAL PORT REMOTE PORT RUN RATE SIZE FLOWS`; each flow has the next port."""
    local, local_port, remote, remote_port, run, rate, size, flows = sys.argv[1:]
    end = End((local, int(local_port)), (remote, int(remote_port)), int(run), int(rate), int(size), int(flows))
    print("ready", flush=True)
    end.serve()
    json.dump({"sent": end.sent, "received": list(end.received.items()), "twice": end.twice, "refused": end.refused},
              sys.stdout)


if __name__ == "__main__":
    main()
