"""A meter of lost packets: numbered datagrams both ways through a tunnel at a steady rate, each looked for at the far end."""

from __future__ import annotations

import itertools
import json
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .namespace import Namespace
from .process import Failure

RATE = 500
"""Packets a second each way."""
SIZE = 200
PORT = 7000
SETTLE_SECONDS = 0.4
"""How long a packet may take before it counts as lost."""

_runs = itertools.count(time.time_ns())


@dataclass(frozen=True)
class Way:
    """What became of the packets of one direction."""

    name: str
    sent: int
    received: int
    lost: tuple[int, ...]
    """Their numbers."""
    lost_at: tuple[float, ...]
    """When each of these was sent, in seconds since 1970, as logs have it."""
    twice: int
    longest_gap_seconds: float
    """Between two arrivals in a row."""
    flows: int
    """They take turns."""
    refused: int
    """Packets that the sender's own host would not send, as one without a route; they have no numbers."""

    @property
    def flows_with_loss(self) -> int:
        """How many flows have lost packets."""
        return len({number % self.flows for number in self.lost})

    @property
    def outage_seconds(self) -> float:
        """From the first packet that was lost to the last one."""
        return self.lost_at[-1] - self.lost_at[0] if self.lost_at else 0.0

    def must_be_short_of(self, seconds: float) -> None:
        """Some flows and not all have lost what was sent in so long at most, or it is a failure."""
        if not (0 < self.flows_with_loss < self.flows and self.outage_seconds <= seconds) or self.refused:
            raise Failure(f"not some flows for {seconds * 1000:.0f} ms at most: {self}")

    def must_lose_less_than(self, packets: float) -> None:
        """Fewer packets were lost, or it is a failure."""
        if len(self.lost) >= packets:
            raise Failure(f"not fewer than {packets:.0f} packets were lost: {self}")

    def __str__(self) -> str:
        text = f"{self.name}: {self.sent} sent, {len(self.lost)} lost, longest gap {self.longest_gap_seconds * 1000:.0f} ms"
        if self.lost and self.flows > 1:
            text += f", {self.flows_with_loss} of {self.flows} flows without some for {self.outage_seconds * 1000:.0f} ms"
        elif self.lost:
            begin, end = (time.strftime("%H:%M:%S", time.localtime(at)) + f"{at % 1:.3f}"[1:]
                          for at in (self.lost_at[0], self.lost_at[-1]))
            text += f" (numbers {_ranges(self.lost)}, sent from {begin} to {end})"
        text += f", {self.refused} refused by its own host" if self.refused else ""
        return text + (f", {self.twice} came twice" if self.twice else "")


@dataclass(frozen=True)
class Reading:
    """Both directions."""

    ways: tuple[Way, Way]

    @property
    def sent(self) -> int:
        """Packets of both directions."""
        return sum(way.sent for way in self.ways)

    @property
    def lost(self) -> int:
        """Packets of both directions that did not arrive."""
        return sum(len(way.lost) for way in self.ways)

    def must_be_whole(self) -> None:
        """Every packet has arrived, or it is a failure."""
        if self.lost or self.refused:
            raise Failure(f"packets were lost: {self}")

    @property
    def refused(self) -> int:
        """Packets that did not even leave their sender's host."""
        return sum(way.refused for way in self.ways)

    @property
    def longest_gap_seconds(self) -> float:
        """The longer one of the two."""
        return max(way.longest_gap_seconds for way in self.ways)

    def __str__(self) -> str:
        return "; ".join(map(str, self.ways))


class Meter:
    """Traffic that runs between `start` and `stop`."""

    def __init__(self, one: Namespace, one_address: str, other: Namespace, other_address: str, *,
                 rate: int = RATE, size: int = SIZE, flows: int = 1) -> None:
        """The flows of one direction share its rate; each has ports of its own, the same in both directions."""
        run = next(_runs)
        self._flows = flows
        # Without the test run's prefix.
        self._names = tuple(end.name.split("-", 2)[-1] for end in (one, other))
        addresses = (one_address, other_address)
        self._ends = tuple(
            subprocess.Popen(
                namespace.command("/usr/bin/python3", str(Path(__file__).with_name("meter_end.py")),
                                  mine, str(PORT), its, str(PORT), str(run), str(rate), str(size),
                                  str(flows)),
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True)
            for namespace, mine, its in ((one, *addresses), (other, *reversed(addresses))))
        for end in self._ends:
            _said(end)

    def __enter__(self) -> Meter:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self) -> Meter:
        """Both ends begin to send."""
        for end in self._ends:
            _tell(end, "send")
        for end in self._ends:
            _said(end)
        return self

    def stop(self) -> Reading:
        """Both ends stop sending, what is under way arrives, and what did not is lost."""
        for end in self._ends:
            _tell(end, "stop")
        for end in self._ends:
            _said(end)
        time.sleep(SETTLE_SECONDS)
        one, other = (json.loads(end.communicate("end\n", timeout=10)[0]) for end in self._ends)
        reading = Reading((_way(f"{self._names[0]} to {self._names[1]}", one, other, self._flows),
                           _way(f"{self._names[1]} to {self._names[0]}", other, one, self._flows)))
        if not all(way.sent for way in reading.ways):
            raise Failure(f"the meter has sent nothing: {reading}")
        return reading

    def close(self) -> None:
        """End both ends, whatever they are at."""
        for end in self._ends:
            if end.poll() is None:
                end.kill()
            end.wait()
            for pipe in (end.stdin, end.stdout):
                if pipe is not None:
                    pipe.close()


def _way(name: str, sender: dict[str, Any], receiver: dict[str, Any], flows: int) -> Way:
    arrived = dict(receiver["received"])
    lost = tuple(number for number in range(len(sender["sent"])) if number not in arrived)
    # From the first packet sent to the last one: what is lost at either end is a gap, too.
    sent = sender["sent"]
    times = sorted((*arrived.values(), *sent[:1], *sent[-1:]))
    return Way(name, len(sent), len(arrived), lost, tuple(sent[number] for number in lost), receiver["twice"],
               max((later - earlier for earlier, later in itertools.pairwise(times)), default=0.0), flows,
               sender["refused"])


def _ranges(numbers: tuple[int, ...]) -> str:
    """`3-7, 9`, at most eight of them."""
    found: list[list[int]] = []
    for number in numbers:
        if found and number == found[-1][1] + 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    shown = [str(first) if first == last else f"{first}-{last}" for first, last in found[:8]]
    return ", ".join(shown) + (", ..." if len(found) > 8 else "")


def _tell(end: subprocess.Popen[str], command: str) -> None:
    if end.stdin is None:
        raise Failure("the meter has no standard input")
    end.stdin.write(command + "\n")
    end.stdin.flush()


def _said(end: subprocess.Popen[str]) -> str:
    line = end.stdout.readline() if end.stdout is not None else ""
    if not line:
        raise Failure(f"an end of the meter ended with {end.wait()}")
    return line
