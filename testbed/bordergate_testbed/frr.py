"""FRR as the customer's router: zebra, bfdd and bgpd in one namespace, configured and asked over vtysh."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from .namespace import Namespace
from .process import CommandFailed, Daemon, Failure, Program, wait_for

_FOLDER = Path("/usr/lib/frr")
# In the order in which they start; zebra is whom the others tell of routes.
_PROGRAMS = ("zebra", "bfdd", "bgpd")


class Frr:
    """One FRR in a namespace, with configuration, control sockets and logs of its own."""

    def __init__(self, namespace: Namespace, directory: Path, name: str = "frr") -> None:
        self.name = name
        self._namespace = namespace
        self._directory = directory
        self._programs = {program: Program(f"{name}'s {program}") for program in _PROGRAMS}

    def start(self, configuration: str) -> Frr:
        """Start all three and give them the configuration, which is that of an frr.conf."""
        self._directory.mkdir(parents=True, exist_ok=True)
        self._configuration.write_text(configuration)
        # What each of them reads at its start: vtysh knows which line is whose.
        self._nothing.touch()
        for program in _PROGRAMS:
            self._start(program)
        self._vtysh("-f", str(self._configuration))
        self.daemon("bfdd").hurry()
        return self

    def start_bgpd(self) -> None:
        """Start bgpd alone after it was killed, with the configuration of the beginning."""
        self._start("bgpd")
        self._vtysh("-d", "bgpd", "-f", str(self._configuration))

    def kill_bgpd(self) -> None:
        """bgpd alone dies silently; zebra and bfdd live on."""
        self._programs["bgpd"].kill()

    def configure(self, *lines: str) -> None:
        """Change the running configuration, as behind `configure terminal`."""
        self.vtysh("configure terminal", *lines)

    def vtysh(self, *commands: str) -> str:
        """What it says to these commands, one after the other; one that it does not know is a failure."""
        return self._vtysh(*(word for command in commands for word in ("-c", command)))

    def vtysh_json(self, command: str) -> Any:
        """What it says to a command with `json` behind it."""
        return json.loads(self.vtysh(f"{command} json"))

    def neighbor(self, address: str) -> dict[str, Any]:
        """What it knows of a BGP neighbour."""
        neighbors = self.vtysh_json(f"show bgp neighbors {address}")
        if address not in neighbors:
            raise Failure(f"{self.name} has no neighbour {address}: {neighbors}")
        return neighbors[address]

    def wait_established(self, address: str, timeout: float = 15) -> dict[str, Any]:
        """Wait until the session is up; the failure tells its state, and why it last went down."""
        def established() -> dict[str, Any] | None:
            neighbor = self.neighbor(address)
            return neighbor if neighbor["bgpState"] == "Established" else None

        try:
            return wait_for(f"{self.name}'s session with {address}", established, timeout)
        except Failure as failure:
            neighbor = self.neighbor(address)
            raise Failure(f"{failure}: it is {neighbor['bgpState']}, last reset: "
                          f"{neighbor.get('lastResetDueTo', 'never')}\n{self.daemon('bgpd').tail(8)}") from failure

    def stop(self) -> None:
        """Clean shutdown: neighbours are told, routes are taken out of the kernel."""
        for program in reversed(self._programs.values()):
            program.stop()

    def kill(self) -> None:
        """All of it dies silently; its routes stay in the kernel."""
        for program in self._programs.values():
            program.kill()

    def daemon(self, program: str) -> Daemon:
        """The running `zebra`, `bfdd` or `bgpd`."""
        return self._programs[program].daemon

    @property
    def running(self) -> bool:
        """Whether it was started and not stopped."""
        return any(program.running for program in self._programs.values())

    def _start(self, program: str) -> None:
        if not (_FOLDER / program).exists():
            raise Failure(f"{_FOLDER / program} is not installed: run testbed/install-packages")
        (self._directory / f"{program}.vty").unlink(missing_ok=True)
        # The user has to be of the group that may use the control sockets; root, as the directory is root's.
        command = [str(_FOLDER / program), "--user", "root", "--group", "frrvty", "--log", "stdout",
                   "--config_file", str(self._nothing), "--vty_socket", str(self._directory), "--vty_port", "0",
                   "--pid_file", str(self._directory / f"{program}.pid"), "--socket", str(self._directory / "zserv.api")]
        if program == "bfdd":
            command += ["--bfdctl", str(self._directory / "bfdd.sock")]
        daemon = self._namespace.start(self._programs[program].name, command, self._directory / f"{program}.log")
        self._programs[program].runs_as(daemon)

        def answering() -> bool:
            if daemon.exit_code is not None:
                raise Failure(f"{program} ended at once with {daemon.exit_code}:\n{daemon.tail()}")
            try:
                self._vtysh("-d", program, "-c", "show version")
            except CommandFailed as failed:
                if "failed to connect" in failed.output:
                    return False
                raise
            return True

        wait_for(f"{program}'s control socket", answering)

    def _vtysh(self, *arguments: str) -> str:
        return self._namespace.run("vtysh", "--vty_socket", str(self._directory), *arguments).stdout

    @property
    def _configuration(self) -> Path:
        return self._directory / "frr.conf"

    @property
    def _nothing(self) -> Path:
        return self._directory / "nothing.conf"
