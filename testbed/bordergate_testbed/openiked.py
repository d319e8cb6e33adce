"""OpenIKED as the other end: an implementation of IKEv2 that shares nothing with strongSwan, here with its ESP in user space.

It leaves ESP to a kernel and tells it by PF_KEY what to do; `pf_key.py` plays that kernel, as this one may have no ESP.
"""

from __future__ import annotations

import os
import re
import signal
from dataclasses import dataclass
from pathlib import Path

from .gateway import REPOSITORY
from .namespace import Namespace
from .process import Daemon, Failure, Program, run, wait_for
from .topology import BORDERGATE_WAN, CUSTOMER_WAN, IDC_PREFIX, VPC_PREFIX

_PROGRAM = Path("/usr/sbin/iked")
_TUN = "iked0"


@dataclass(frozen=True)
class Policy:
    """One `ikev2` policy; the defaults are the customer's side."""

    active: bool = False
    """Whether it initiates."""
    local: str = CUSTOMER_WAN
    peer: str = BORDERGATE_WAN
    psk: str = "correct_horse_battery"
    local_ts: str = IDC_PREFIX
    peer_ts: str = VPC_PREFIX
    ike: str = "enc aes-128-gcm prf hmac-sha2-256 group curve25519"
    # For Linux it is built without AES-GCM in ESP, and with SHA-256 cut to 96 bits.
    child: str = "enc aes-256 auth hmac-sha2-512 noesn"
    ike_lifetime_seconds: int = 0
    """After which, less a tenth or so, it rekeys the IKE SA; 0 for never."""
    fragmentation: bool = False

    def render(self) -> str:
        """iked.conf."""
        lifetime = f"ikelifetime {self.ike_lifetime_seconds}" if self.ike_lifetime_seconds else ""
        return f"""
set {"" if self.fragmentation else "no"}fragmentation
set nomobike
ikev2 "tun-1" {"active" if self.active else "passive"} esp from {self.local_ts} to {self.peer_ts} \\
    local {self.local} peer {self.peer} \\
    ikesa {self.ike} childsa {self.child} \\
    srcid {self.local} dstid {self.peer} {lifetime} lifetime 3600 bytes 0 psk "{self.psk}"
"""


class OpenIked(Program):
    """One iked in a namespace, with the program that does its ESP."""

    def __init__(self, namespace: Namespace, directory: Path, name: str = "openiked") -> None:
        super().__init__(name)
        self._namespace = namespace
        self._directory = directory
        self._esp = Program(f"{name}'s ESP")

    def start(self, policy: Policy) -> OpenIked:
        """Start both; an active policy begins to initiate."""
        if not _PROGRAM.exists():
            raise Failure(f"{_PROGRAM} is not installed: run testbed/install-packages")
        self._directory.mkdir(parents=True, exist_ok=True)
        # It gives its privileges up and must still reach its files.
        socket = self._directory / "pf_key.sock"
        socket.unlink(missing_ok=True)
        self._esp.runs_as(self._namespace.start(
            self._esp.name, ["/usr/bin/python3", str(Path(__file__).with_name("pf_key.py")), str(socket), _TUN],
            self._directory / "pf_key.log"))
        wait_for("the program that plays the kernel", lambda: "ready" in self.esp.output())
        self._namespace.ip("link", "set", _TUN, "up")
        self._namespace.ip("route", "replace", policy.peer_ts, "dev", _TUN)
        file = self._directory / "iked.conf"
        file.write_text(policy.render())
        file.chmod(0o600)
        self._daemon = self._namespace.start(
            self.name, [str(_PROGRAM), "-d", "-vv", "-f", str(file), "-s", str(self._directory / "iked.sock")],
            self._directory / "iked.log",
            env={**os.environ, "LD_PRELOAD": str(_preload()), "AF_KEY_SOCKET": str(socket)})

        def listening() -> bool:
            if self.daemon.exit_code is not None:
                raise Failure(f"iked ended at once with {self.daemon.exit_code}:\n{self.daemon.tail()}")
            return "ikev2 \"tun-1\"" in self.daemon.output()

        wait_for("iked to take its policy", listening)
        return self

    def rekey_child(self) -> None:
        """Have it replace its child SA, as if the kernel had said that its soft lifetime is over."""
        os.kill(self.esp.pid, signal.SIGUSR1)

    def spis(self) -> tuple[str, str] | None:
        """Of the newest child: inbound and outbound, as eight hexadecimal digits; `None` if there is not one of each."""
        present: dict[str, list[str]] = {"in": [], "out": []}
        for what, way, spi in re.findall(r"^(add|delete) (in|out) ([0-9a-f]{8})", self.esp.output(), re.MULTILINE):
            if spi in present[way]:
                present[way].remove(spi)
            if what == "add":
                present[way].append(spi)
        return (present["in"][-1], present["out"][-1]) if present["in"] and present["out"] else None

    def stop(self) -> None:
        """Clean shutdown: deletes are sent."""
        super().stop()
        self._esp.stop()

    def kill(self) -> None:
        """Both die silently."""
        super().kill()
        self._esp.kill()

    @property
    def esp(self) -> Daemon:
        """The program that does its ESP."""
        return self._esp.daemon


def _preload() -> Path:
    """The library that leads its PF_KEY socket to `pf_key.py`, compiled when its source is newer."""
    source = REPOSITORY / "testbed" / "af_key.c"
    library = REPOSITORY / "target" / "testbed" / "af_key.so"
    library.parent.mkdir(parents=True, exist_ok=True)
    if not library.exists() or library.stat().st_mtime_ns < source.stat().st_mtime_ns:
        fresh = library.with_suffix(".new")
        run(["gcc", "-O1", "-Wall", "-Werror", "-shared", "-fPIC", "-o", str(fresh), str(source)])
        fresh.replace(library)
    return library
