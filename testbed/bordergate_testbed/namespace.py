"""Network namespaces: made, entered and removed by name."""

from __future__ import annotations

import contextlib
import ctypes
import os
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from .process import CommandFailed, Daemon, end_process, run

_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


def _set_namespace(descriptor: int) -> None:
    if _libc.setns(descriptor, _CLONE_NEWNET) != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"setns: {os.strerror(error)}")


class Namespace:
    """One network namespace of the testbed.

    Programs enter it through `nsenter --net`, not `ip netns exec`: the latter also gives them a mount namespace of
    their own, and a bpffs mounted there would vanish with the process, XDP programs and all, which is the very thing
    the fail-closed scenario is about.
    """

    def __init__(self, name: str) -> None:
        self.name = name

    @classmethod
    def create(cls, name: str) -> Namespace:
        """A fresh namespace with loopback up and IPv6 off, so that captures hold no router solicitations."""
        run(["ip", "netns", "add", name])
        namespace = cls(name)
        namespace.ip("link", "set", "lo", "up")
        namespace.sysctl({"net/ipv6/conf/all/disable_ipv6": "1", "net/ipv6/conf/default/disable_ipv6": "1"})
        return namespace

    def remove(self) -> None:
        """End what still runs in it and remove it; nothing happens if it does not exist."""
        if not self.path.exists():
            return
        for pid in self.pids():
            end_process(pid)
        run(["ip", "netns", "delete", self.name], check=False)

    def ip(self, *arguments: str) -> str:
        """`ip` inside, without entering."""
        return run(["ip", "-n", self.name, *arguments]).stdout

    def sysctl(self, values: dict[str, str]) -> None:
        """Set kernel parameters of this namespace, given as paths below /proc/sys."""
        with self.inside():
            for path, value in values.items():
                (Path("/proc/sys") / path).write_text(value)

    def run(self, *command: str, timeout: float = 30, check: bool = True, stdin: str | None = None,
            env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        """Run a command inside, to its end."""
        return run(self.command(*command), timeout=timeout, check=check, stdin=stdin, env=env)

    def start(self, name: str, command: Sequence[str], log: Path, *, env: dict[str, str] | None = None,
              outlives_us: bool = False) -> Daemon:
        """Start a long-running program inside."""
        return Daemon(name, self.command(*command), log, env=env, outlives_us=outlives_us)

    @contextlib.contextmanager
    def inside(self) -> Iterator[None]:
        """This thread's network is the namespace's while the context lasts; sockets opened there stay there."""
        with open("/proc/thread-self/ns/net", "rb") as before, self.path.open("rb") as there:
            _set_namespace(there.fileno())
            try:
                yield
            finally:
                _set_namespace(before.fileno())

    def command(self, *command: str) -> list[str]:
        """A command line that runs `command` inside; nsenter execs, so its pid is the program's."""
        return ["nsenter", f"--net={self.path}", "--", *command]

    def pids(self) -> list[int]:
        """The processes whose network this is."""
        try:
            return [int(pid) for pid in run(["ip", "netns", "pids", self.name]).stdout.split()]
        except CommandFailed:
            return []

    @property
    def path(self) -> Path:
        """Where the namespace is mounted."""
        return Path("/run/netns") / self.name


def remove_all(prefix: str) -> list[str]:
    """Remove every namespace whose name starts with `prefix`; their names."""
    removed = []
    for path in sorted(Path("/run/netns").glob(f"{prefix}*")) if Path("/run/netns").exists() else []:
        Namespace(path.name).remove()
        removed.append(path.name)
    return removed
