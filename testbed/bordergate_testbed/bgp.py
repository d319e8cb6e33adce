"""BGP and BFD of a Bordergate: what its resource file says of them, and what the commands below `bordergate bgp` tell."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .process import Failure, run, wait_for


@dataclass(frozen=True)
class Propagation:
    """`[vpc_attachment.propagation]`: where routes towards customers appear as the kernel's."""

    via: tuple[str, ...]
    """Their next hops, one for each family."""
    namespace: str | None = None
    table: int | None = None

    def render(self) -> str:
        """The table in TOML; what is `None` is left out, here as below."""
        return f"\n[vpc_attachment.propagation]\n{_fields(self)}"


@dataclass(frozen=True)
class Bgp:
    """`[vpn_connection.bgp]`."""

    local_asn: int | None = None
    hold_seconds: int | None = None
    connect_retry_seconds: int | None = 1
    passive: bool | None = None
    families: tuple[str, ...] | None = None
    graceful_restart_seconds: int | None = None
    long_lived_stale_seconds: int | None = None
    allow_own_asn: int | None = None
    override_asn: bool | None = None
    prefix_limit: int | None = None
    prefix_excess: str | None = None
    import_: str | None = None
    """`all`, `none` or a filter's name."""
    export: str | None = None
    """`all`, `own`, `none` or a filter's name."""
    md5_key: str | None = None
    ttl_security: bool | None = None
    drain_prepend: int | None = None
    drain_med: int | None = None

    def render(self) -> str:
        """The table in TOML."""
        return f"\n[vpn_connection.bgp]\n{_fields(self)}"


@dataclass(frozen=True)
class Bfd:
    """`[vpn_connection.bfd]`."""

    interval_ms: int = 10
    multiplier: int | None = None
    multihop: bool | None = None
    authentication: str | None = None
    key_id: int | None = None
    key: str | None = None

    def render(self) -> str:
        """The table in TOML."""
        return f"\n[vpn_connection.bfd]\n{_fields(self)}"


@dataclass(frozen=True)
class Rule:
    """`[[route_filter.rule]]`."""

    prefixes: tuple[str, ...] | None = None
    """Each may have a range of lengths behind it: `10.4.0.0/14 16-24`."""
    as_path_contains: int | None = None
    as_path_begins: int | None = None
    as_path_ends: int | None = None
    as_path_longer_than: int | None = None
    community: str | None = None
    large_community: str | None = None
    set_local_pref: int | None = None
    set_med: int | None = None
    prepend: int | None = None
    add_community: str | None = None
    remove_community: str | None = None
    add_large_community: str | None = None
    remove_large_community: str | None = None
    action: str | None = None
    """`accept`, `reject` or `next`."""


@dataclass(frozen=True)
class RouteFilter:
    """`[[route_filter]]`."""

    name: str
    rules: tuple[Rule, ...] = ()
    otherwise: str | None = None

    def render(self) -> str:
        """The filter in TOML."""
        otherwise = "" if self.otherwise is None else f'otherwise = "{self.otherwise}"\n'
        return f'\n[[route_filter]]\nname = "{self.name}"\n{otherwise}' + "".join(
            f"\n[[route_filter.rule]]\n{_fields(rule)}" for rule in self.rules)


@dataclass(frozen=True)
class VpcRouter:
    """`[[vpc_router]]` of a site's attachment."""

    local_address: str
    address: str
    name: str = "router-1"
    asn: int | None = None
    bfd: Bfd | None = None

    def render(self, attachment: str) -> str:
        """The router in TOML."""
        asn = "" if self.asn is None else f"asn = {self.asn}\n"
        bfd = self.bfd.render().replace("vpn_connection", "vpc_router") if self.bfd else ""
        return f"""
[[vpc_router]]
name = "{self.name}"
vpc_attachment = "{attachment}"
{asn}local_address = "{self.local_address}"
address = "{self.address}"

[vpc_router.bgp]
connect_retry_seconds = 1
{bfd}"""


class BgpCommands:
    """`bordergate bgp` of one running Bordergate."""

    def __init__(self, binary: Path, socket: Path) -> None:
        self._binary = binary
        self._socket = socket

    def drain(self, tunnel: str) -> None:
        """Have the peer and ourselves prefer other tunnels; returns before they do."""
        self._run("drain", tunnel)

    def undrain(self, tunnel: str) -> None:
        """End that."""
        self._run("undrain", tunnel)

    def refresh(self, tunnel: str) -> None:
        """Ask the peer for all its routes again."""
        self._run("refresh", tunnel)

    def reset(self, tunnel: str) -> None:
        """End the session; it begins anew."""
        self._run("reset", tunnel)

    def events(self) -> str:
        """What has happened, for people."""
        return self._run("events")

    def explain(self, prefix: str, gateway: str | None = None) -> str:
        """Why traffic to a prefix goes where it goes, for people."""
        return self._run("explain", prefix, *_of(gateway))

    def described(self, tunnel: str) -> str:
        """A tunnel's neighbour, for people."""
        return self._run("neighbor", tunnel)

    def neighbor(self, tunnel: str) -> dict[str, Any]:
        """A tunnel's neighbour as the summary has it."""
        for neighbor in json.loads(self._run("summary", "--json"))["neighbors"]:
            if neighbor["tunnel"] == tunnel:
                return neighbor
        raise Failure(f"the summary has no neighbour of tunnel {tunnel}")

    def routes(self, prefix: str | None = None, *, learnt: str | None = None, told: str | None = None,
               best: bool = False, gateway: str | None = None) -> list[dict[str, Any]]:
        """The RIB's routes, or those of one prefix: all, those learnt from a tunnel, told to one, or the best."""
        which = [*(("--in", learnt) if learnt else ()), *(("--out", told) if told else ()), *(("--best",) if best else ())]
        routes = json.loads(self._run("rib", "--json", *which, *_of(gateway)))["routes"]
        return [route for route in routes if prefix in (None, route["prefix"])]

    def wait_neighbor(self, tunnel: str, what: str, timeout: float = 10, **wanted: Any) -> dict[str, Any]:
        """Wait until these fields of a neighbour have these values; a value may also be a condition."""

        def as_wanted() -> dict[str, Any] | None:
            neighbor = self.neighbor(tunnel)
            fits = (value(neighbor[name]) if callable(value) else neighbor[name] == value
                    for name, value in wanted.items())
            return neighbor if all(fits) else None

        try:
            return wait_for(f"the neighbour of {tunnel} {what}", as_wanted, timeout)
        except Failure as failure:
            raise Failure(f"{failure}: it is {self.neighbor(tunnel)}\n{self.events()[-1500:]}") from failure

    def wait_established(self, *tunnels: str, timeout: float = 15) -> None:
        """Wait until the sessions of these tunnels are up."""
        for tunnel in tunnels:
            self.wait_neighbor(tunnel, "to be established", timeout, state="established")

    def wait_down(self, tunnel: str, words: str, timeout: float = 10) -> str:
        """Wait until a session is not up and its last error has these words; the error."""
        neighbor = self.wait_neighbor(
            tunnel, f"to be down and to say {words!r}", timeout, state=lambda state: state != "established",
            last_error=lambda error: error is not None and words in error)
        return neighbor["last_error"]

    def wait_routes(self, prefix: str, sources: Sequence[str], timeout: float = 10) -> list[dict[str, Any]]:
        """Wait until the best routes to a prefix are those of exactly these sources; none if there are no sources."""

        def best() -> bool:
            return sorted(route["source"] for route in self.routes(prefix, best=True)) == sorted(sources)

        try:
            wait_for(f"the best routes to {prefix} to be those of {', '.join(sources) or 'nobody'}", best, timeout)
        except Failure as failure:
            raise Failure(f"{failure}; there are {self.routes(prefix)}") from failure
        return self.routes(prefix, best=True)

    def _run(self, *arguments: str) -> str:
        return run([str(self._binary), "bgp", *arguments, "--socket", str(self._socket)], timeout=5).stdout


def _of(gateway: str | None) -> tuple[str, ...]:
    return () if gateway is None else ("--gateway", gateway)


def _fields(resource: Propagation | Bgp | Bfd | Rule) -> str:
    """One line for each field that is not `None`; a name that Python keeps for itself has an underscore behind it."""
    values = ((each.name.rstrip("_"), getattr(resource, each.name)) for each in dataclasses.fields(resource))
    return "".join(f"{name} = {_value(value)}\n" for name, value in values if value is not None)


def _value(value: str | int | tuple[str, ...]) -> str:
    """JSON writes strings, numbers, truth and lists of strings as TOML does."""
    return json.dumps(list(value) if isinstance(value, tuple) else value)
