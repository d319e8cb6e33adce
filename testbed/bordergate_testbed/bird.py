"""BIRD as the customer's router: an implementation of BGP and BFD that shares nothing with FRR."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from .namespace import Namespace
from .process import CommandFailed, Failure, Program, wait_for
from .topology import BORDERGATE_INNER, CUSTOMER_INNER

_PROGRAM = Path("/usr/sbin/bird")


@dataclass(frozen=True)
class Session:
    """One BGP session; the defaults are the customer's side of the first tunnel."""

    name: str = "bgp_1"
    local: str = CUSTOMER_INNER
    remote: str = BORDERGATE_INNER
    asn: int = 65001
    remote_asn: int = 65000
    password: str | None = None
    """Signs segments (RFC 2385)."""
    families: tuple[str, ...] = ("ipv4",)
    """`ipv4` over an IPv6 session takes an IPv6 next hop (RFC 8950)."""
    preference: int = 100
    """Of its routes: the higher wins, before all that BGP says of them."""
    bfd: bool = False
    """Whether BFD watches it."""
    silent: bool = False
    """Whether it announces nothing."""
    options: tuple[str, ...] = ()
    """Further statements."""
    direct: bool = False
    """Whether a peer of its own AS is on the same link: by itself it takes it to be beyond routers."""

    def render(self) -> str:
        """The protocol in bird.conf."""
        password = "" if self.password is None else f'password "{self.password}";'
        extended = "\n        extended next hop on;" if ":" in self.local else ""
        channels = "".join(f"""
    {family} {{
        preference {self.preference};
        import all;
        export {"none" if self.silent else "where source = RTS_STATIC"};{extended if family == "ipv4" else ""}
    }};""" for family in self.families)
        return f"""
protocol bgp {self.name} {{
    local {self.local} as {self.asn};
    neighbor {self.remote} as {self.remote_asn};
    {password}
    {"direct;" if self.direct else ""}
    {" ".join(self.options)}
    connect retry time 1;
    error wait time 1, 2;
    strict bind on;
    graceful restart on;
    bfd {"on" if self.bfd else "off"};{channels}
}}
"""


@dataclass(frozen=True)
class Route:
    """A route that is announced; `attributes` are statements such as `bgp_med = 5;`."""

    prefix: str
    attributes: str = ""

    def render(self) -> str:
        """The route in bird.conf. It leads nowhere here: where its packets go the kernel knows."""
        return f"    route {self.prefix} unreachable {{ {self.attributes} }};\n"


@dataclass(frozen=True)
class Router:
    """What its sessions learn goes into the kernel, of equal routes all, and its routes to all of them."""

    sessions: tuple[Session, ...] = (Session(),)
    routes: tuple[Route, ...] = ()
    bfd: str = "interval 10 ms; multiplier 3;"
    """Statements for the sessions that it watches."""

    def render(self) -> str:
        """bird.conf. It listens at the addresses of its sessions alone."""
        families = {"ipv4": [route for route in self.routes if ":" not in route.prefix],
                    "ipv6": [route for route in self.routes if ":" in route.prefix]}
        tables = "".join(f"""
protocol kernel kernel_{family} {{
    {family} {{ import none; export where source = RTS_BGP; }};
    merge paths on;
    persist;
    graceful restart;
}}
protocol static static_{family} {{
    {family};
{"".join(route.render() for route in routes)}}}
""" for family, routes in families.items())
        return f"""
log stderr all;
debug protocols {{ states, events }};
router id 10.255.0.2;
protocol device {{}}
protocol bfd {{
    interface "*" {{ {self.bfd} }};
}}
{tables}{"".join(session.render() for session in self.sessions)}"""


class Bird(Program):
    """One bird in a namespace, with configuration, control socket and log of its own."""

    def __init__(self, namespace: Namespace, directory: Path, name: str = "bird") -> None:
        super().__init__(name)
        self._namespace = namespace
        self._directory = directory

    def start(self, router: Router) -> Bird:
        """Start it; its sessions begin to connect."""
        self._directory.mkdir(parents=True, exist_ok=True)
        self._configuration.write_text(router.render())
        return self._start()

    def start_again(self) -> Bird:
        """Start it with the configuration that it had, as one that has restarted gracefully (RFC 4724)."""
        return self._start("-R")

    def reconfigure(self, router: Router) -> None:
        """Replace the configuration; sessions that have not changed are not touched."""
        self._configuration.write_text(router.render())
        self.birdc("configure")

    def birdc(self, command: str) -> str:
        """What it says to a command; one that it does not know is a failure."""
        said = self._namespace.run("birdc", "-s", str(self._socket), *command.split()).stdout
        # Behind a line that tells its version.
        return said.partition("\n")[2]

    def routes(self, prefix: str, session: str) -> str:
        """Everything it says of a session's routes to a prefix; nothing if there are none."""
        try:
            return self.birdc(f"show route all {prefix} protocol {session}")
        except CommandFailed as failed:
            if "Network not found" in failed.output:
                return ""
            raise

    def wait_route(self, prefix: str, session: str, timeout: float = 10) -> str:
        """Wait until a session has a route to a prefix; what it then says of it."""
        return wait_for(f"{self.name} to hear of {prefix} from {session}", lambda: self.routes(prefix, session), timeout)

    def wait_no_route(self, prefix: str, session: str, timeout: float = 10) -> None:
        """Wait until it has none."""
        wait_for(f"{self.name} to be without {prefix} of {session}", lambda: not self.routes(prefix, session), timeout)

    def protocol(self, name: str) -> str:
        """Everything it says of one of its protocols."""
        return self.birdc(f"show protocols all {name}")

    def established(self, protocol: str) -> bool:
        """Whether a BGP session is up."""
        return re.search(r"BGP state: +Established", self.protocol(protocol)) is not None

    def wait_established(self, protocol: str, timeout: float = 15) -> str:
        """Wait until a BGP session is up; what it then says of it. The failure tells its state, and why."""
        try:
            wait_for(f"{self.name}'s session {protocol}", lambda: self.established(protocol), timeout)
        except Failure as failure:
            raise Failure(f"{failure}:\n{self.protocol(protocol)}\n{self.daemon.tail(8)}") from failure
        return self.protocol(protocol)

    def _start(self, *arguments: str) -> Bird:
        if not _PROGRAM.exists():
            raise Failure(f"{_PROGRAM} is not installed: run testbed/install-packages")
        self._socket.unlink(missing_ok=True)
        self._daemon = self._namespace.start(
            self.name, [str(_PROGRAM), "-f", "-c", str(self._configuration), "-s", str(self._socket),
                        "-P", str(self._directory / "bird.pid"), *arguments], self._directory / "bird.log")

        def answering() -> bool:
            if self.daemon.exit_code is not None:
                raise Failure(f"bird ended at once with {self.daemon.exit_code}:\n{self.daemon.tail()}")
            try:
                self.birdc("show status")
            except CommandFailed:
                return False
            return True

        wait_for("bird's control socket", answering)
        self.daemon.hurry()
        return self

    @property
    def _configuration(self) -> Path:
        return self._directory / "bird.conf"

    @property
    def _socket(self) -> Path:
        return self._directory / "bird.ctl"
