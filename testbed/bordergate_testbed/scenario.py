"""What a scenario is given, and how it ends: PASS, FAIL or SKIP with a reason."""

from __future__ import annotations

import contextlib
import importlib
import re
import signal
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import FrameType, ModuleType

from .bird import Bird
from .capture import Capture, Injector
from .frr import Frr
from .gateway import ROUTED_SITE, SECOND_SITE, Gateway, Site, Tunnel, mirrored
from .namespace import Namespace
from .openiked import OpenIked
from .process import CommandFailed, Failure
from .pulse import Pulse
from .strongswan import Connection, Retries, StrongSwan
from .topology import (BORDERGATE_INNER, CUSTOMER_INNER, IDC_PREFIX, SECOND_CUSTOMER_WAN, VPC_PREFIX, Options,
                       Topology)


class Skip(Exception):
    """The machine lacks what the scenario needs; the text says what and how to get it. Never a pass."""


class Bed:
    """One scenario's topology, programs and files. Whatever it makes, it takes away again."""

    def __init__(self, prefix: str, directory: Path) -> None:
        self.directory = directory
        self.steps: list[str] = []
        self.notes: list[str] = []
        self._prefix = prefix
        self._topology: Topology | None = None
        self._gateways: list[Gateway] = []
        self._strongswans: list[StrongSwan] = []
        self._openikeds: list[OpenIked] = []
        self._routers: list[Frr | Bird] = []
        self._played: list[Gateway] = []
        self._cleanup = contextlib.ExitStack()

    def step(self, text: str) -> None:
        """Say what is being done now; a failure names the last step."""
        self.steps.append(text)

    def note(self, text: str) -> None:
        """A line of what was measured, shown with the scenario's end whatever that is."""
        self.notes.append(text)

    def build(self, options: Options = Options()) -> Topology:
        """The chain of namespaces; building it again takes the old one down first."""
        self.step("build the namespaces")
        self.take_down()
        self._topology = Topology.build(self._prefix, options)
        return self._topology

    @property
    def topology(self) -> Topology:
        """The chain, built with the usual options when first asked for."""
        return self._topology or self.build()

    def gateway(self, *, name: str = "bordergate", namespace: Namespace | None = None) -> Gateway:
        """A Bordergate that is not running yet, in the gateway's namespace unless another one is given."""
        gateway = Gateway(namespace or self.topology.bordergate, self.directory / name, name)
        self._gateways.append(gateway)
        self._played.append(gateway)
        return gateway

    def strongswan(self, *, name: str = "strongswan", namespace: Namespace | None = None,
                   fragment_size: int = 1280, retries: Retries = Retries()) -> StrongSwan:
        """A strongSwan that is not running yet, on the customer's device unless another namespace is given."""
        strongswan = StrongSwan(namespace or self.topology.customer, self.directory / name, name,
                                fragment_size=fragment_size, retries=retries)
        self._strongswans.append(strongswan)
        return strongswan

    def openiked(self, *, name: str = "openiked") -> OpenIked:
        """An OpenIKED that is not running yet, on the customer's device."""
        openiked = OpenIked(self.topology.customer, self.directory / name, name)
        self._openikeds.append(openiked)
        return openiked

    def frr(self, *, name: str = "frr") -> Frr:
        """An FRR that is not running yet, on the customer's router."""
        frr = Frr(self.topology.customer, self.directory / name, name)
        self._routers.append(frr)
        return frr

    def bird(self, *, name: str = "bird", namespace: Namespace | None = None) -> Bird:
        """A BIRD that is not running yet, on the customer's router unless another namespace is given."""
        bird = Bird(namespace or self.topology.customer, self.directory / name, name)
        self._routers.append(bird)
        return bird

    def up_with_strongswan(self, *, tunnel: Tunnel | None = None, connection: Connection | None = None,
                           arguments: tuple[str, ...] = ()) -> tuple[Gateway, StrongSwan]:
        """The usual beginning: strongSwan waits, Bordergate initiates, the tunnel is UP."""
        self.step("start strongSwan as the customer's device")
        strongswan = self.strongswan().start(connection or Connection())
        self.step("start Bordergate, which initiates")
        gateway = self.gateway().start(Site(tunnel=tunnel or Tunnel()), arguments=arguments)
        gateway.wait_up()
        return gateway, strongswan

    def up_with_inner_addresses(self) -> tuple[Gateway, Namespace]:
        """As `up_with_strongswan`, with addresses inside the tunnel; the gateway, and its own host's namespace."""
        topology = self.topology
        self.step("start strongSwan with an address inside the tunnel")
        topology.customer.ip("addr", "add", f"{CUSTOMER_INNER}/32", "dev", "lo")
        self.strongswan().start(Connection(local_ts=f"{IDC_PREFIX},{CUSTOMER_INNER}/32",
                                           remote_ts=f"{VPC_PREFIX},{BORDERGATE_INNER}/32"))
        host = Namespace(f"{topology.prefix}bgw-1")
        self._cleanup.callback(host.remove)
        self.step("start Bordergate, which has the other address, and initiates")
        gateway = self.gateway().start(Site(namespace=host.name, tunnel=Tunnel(
            inner=f"{BORDERGATE_INNER}/30", peer_inner=CUSTOMER_INNER)))
        gateway.wait_up()
        return gateway, host

    def up_with_two_tenants(self, first: Site = Site(), second: Site = SECOND_SITE
                            ) -> tuple[Gateway, StrongSwan, StrongSwan]:
        """Two border gateways in one daemon with the same inner addresses, each tunnel UP to a strongSwan of its own."""
        self.step("add the second tenant's namespaces")
        self.topology.add_second_tenant()
        self.step("start two strongSwans, one per customer")
        peer = self.strongswan(name="strongswan-1").start(Connection())
        second_peer = self.strongswan(name="strongswan-2", namespace=self.topology["customer-2"]).start(
            Connection(name="tun-2", local=SECOND_CUSTOMER_WAN, local_id=SECOND_CUSTOMER_WAN, psk="another_battery"))
        self.step("start Bordergate with both tenants")
        gateway = self.gateway().start(first, second)
        gateway.wait_up("tun-1")
        gateway.wait_up("tun-2")
        return gateway, peer, second_peer

    def up_with_two_tunnels(self, site: Site = ROUTED_SITE) -> tuple[Gateway, Site]:
        """A connection of two tunnels, UP, each to a strongSwan on a device of its own; `tun1` and `tun2` of the customer's
        router lead into them, with the peers' inner addresses. The gateway, and the site as it was started with.
        """
        topology = self.topology
        self.step("put two tunnel devices before the customer's router")
        topology.add_tunnel_devices()
        tunnels = [tunnel for tunnel in (site.tunnel, *site.further) if tunnel]
        self.step("start a strongSwan on each, and lead its tunnel to the router")
        for number, tunnel in enumerate(tunnels, start=1):
            peer = self.strongswan(name=f"strongswan-{number}", namespace=topology[f"device-{number}"])
            peer.start(Connection(
                name=tunnel.name, local=tunnel.remote, local_id=tunnel.remote, remote=tunnel.local,
                remote_id=tunnel.local, psk=tunnel.psk, local_ts=",".join(tunnel.remote_prefixes),
                remote_ts=",".join(tunnel.local_prefixes), mobike="no"))
            length = (tunnel.inner or "").partition("/")[2]
            peer.lend_device(topology.customer, f"tun{number}", f"{tunnel.peer_inner}/{length}")
            # On a machine of few cores, where more is going on, BFD would be kept waiting by them and not by what it watches.
            peer.daemon.hurry()
        host = Namespace(f"{topology.prefix}bgw-{site.name}")
        self._cleanup.callback(host.remove)
        site = replace(site, namespace=host.name)
        self.step("start Bordergate, which initiates both tunnels")
        gateway = self.gateway().start(site)
        gateway.daemon.hurry(real_time=False)
        for tunnel in tunnels:
            gateway.wait_up(tunnel.name)
        return gateway, site

    def up_with_bordergate(self, *, tunnel: Tunnel | None = None, site: Site | None = None,
                           arguments: tuple[str, ...] = ()) -> tuple[Gateway, Gateway]:
        """Two Bordergates, the cloud's and one on the customer's device, with the tunnels of a site UP, or one tunnel.

        Left alone, without arguments, both would choose the same core to work on, as neither knows of the other.
        """
        site = site or Site(tunnel=tunnel or Tunnel())
        self.step("start Bordergate on the customer's device")
        customer = self.gateway(name="bordergate-customer", namespace=self.topology.customer).start(
            mirrored(site), arguments=arguments or ("--cores", "0"))
        self.step("start Bordergate, which initiates")
        cloud = self.gateway().start(site, arguments=arguments)
        for tunnel in (site.tunnel, *site.further):
            cloud.wait_up(tunnel.name)
            customer.wait_up(tunnel.name)
        return cloud, customer

    def capture(self, name: str, namespace: Namespace, interface: str, *, incoming_only: bool = False,
                may_lose: bool = False) -> Capture:
        """Capture a link from now until the scenario's end."""
        path = self.directory / f"{name}.pcap"
        capture = Capture(namespace, interface, path, incoming_only=incoming_only, may_lose=may_lose)
        self._cleanup.callback(capture.stop)
        return capture

    def capture_wan(self) -> Capture:
        """Capture the gateway's WAN link, from the internet's end."""
        return self.capture("wan", self.topology.internet, "bordergate0")

    def inject_from_internet(self) -> Injector:
        """Puts frames onto the gateway's WAN link."""
        injector = Injector(self.topology.internet, "bordergate0", self.topology.bordergate, "wan0")
        return self._cleanup.enter_context(injector)

    def undisturbed(self, act: Callable[[], None], *, attempts: int = 5) -> None:
        """Do it, and again where it failed while the machine itself stood still: that proves nothing of what is measured.

        It has to begin by putting everything back to where it was before.
        """
        for left in reversed(range(attempts)):
            with Pulse() as pulse:
                try:
                    act()
                except Failure as failure:
                    if not left or not pulse.stood_still:
                        raise
                    self.note(f"once more, for the machine stood still for {pulse.longest_seconds * 1000:.0f} ms: "
                              f"{str(failure).splitlines()[0]}")
                else:
                    return

    def check_accounting(self) -> None:
        """What every scenario ends with: no packet is unaccounted for."""
        for gateway in self._gateways:
            if gateway.running:
                self.step(f"add up {gateway.name}'s counters")
                gateway.check_accounting()

    @property
    def accounted(self) -> int:
        """Packets of all gateways, stopped ones included, whose counters were found to add up."""
        return sum(gateway.accounted for gateway in self._played)

    def take_down(self) -> None:
        """Stop and remove everything but the files. The first thing that goes wrong is raised, after all is done."""
        first: Exception | None = None
        actions: list[Callable[[], None]] = [self._cleanup.close]
        actions += [gateway.clean for gateway in self._gateways]
        actions += [strongswan.stop for strongswan in self._strongswans]
        actions += [openiked.stop for openiked in self._openikeds]
        actions += [router.stop for router in self._routers]
        actions += [self._topology.remove] if self._topology else []
        for action in actions:
            try:
                action()
            except Exception as error:  # noqa: BLE001 - every action gets its turn
                first = first or error
        self._gateways.clear()
        self._strongswans.clear()
        self._openikeds.clear()
        self._routers.clear()
        self._topology = None
        if first is not None:
            raise first

    def log_tails(self, lines: int = 20) -> Iterator[tuple[str, str]]:
        """The last lines of every log, by name."""
        for path in sorted(self.directory.rglob("*.log")):
            text = path.read_text(errors="replace").splitlines()
            if text:
                yield str(path.relative_to(self.directory)), "\n".join(text[-lines:])


@dataclass(frozen=True)
class Scenario:
    """One file of `scenarios/`: a docstring that says what it proves, and `run(bed)`."""

    name: str
    module: ModuleType

    @classmethod
    def load(cls, name: str) -> Scenario:
        """Import it and check that it says what it proves."""
        module = importlib.import_module(f"bordergate_testbed.scenarios.{name}")
        if not (module.__doc__ or "").strip():
            raise Failure(f"scenarios/{name}.py has no docstring to say what it proves")
        return cls(name, module)

    @property
    def proves(self) -> str:
        """The docstring's first paragraph on one line."""
        paragraph = (self.module.__doc__ or "").strip().split("\n\n")[0]
        return re.sub(r"\s+", " ", paragraph)

    @property
    def mostly_waits(self) -> bool:
        """Whether it waits for IKE's own timers, so that others may play meanwhile."""
        return bool(getattr(self.module, "MOSTLY_WAITS", False))

    @property
    def without_packets(self) -> bool:
        """Whether it is not about packets; any other scenario that moved none has not done its work."""
        return bool(getattr(self.module, "WITHOUT_PACKETS", False))

    @property
    def limit_seconds(self) -> int:
        """After so long it has failed: a bound on what hangs, not a performance figure."""
        return int(getattr(self.module, "LIMIT_SECONDS", 90))

    def play(self, bed: Bed) -> Outcome:
        """Run it to its end and take everything down."""
        begin = time.monotonic()

        def outcome(result: str, reason: str = "") -> Outcome:
            logs = dict(bed.log_tails()) if result == "FAIL" else {}
            return Outcome(self.name, result, time.monotonic() - begin, reason,
                           bed.steps[-1] if bed.steps else "", logs, bed.notes)

        def out_of_time(_signal: int, _frame: FrameType | None) -> None:
            raise Failure(f"not finished after {self.limit_seconds} s")

        before = signal.signal(signal.SIGALRM, out_of_time)
        signal.alarm(self.limit_seconds)
        try:
            self.module.run(bed)
            bed.check_accounting()
            bed.step("stop everything")
            bed.take_down()
            expect(self.without_packets or bed.accounted > 0, "it ended well, but no gateway has received a packet")
            return outcome("PASS")
        except Skip as skip:
            return outcome("SKIP", str(skip))
        except (Failure, CommandFailed) as failure:
            return outcome("FAIL", str(failure))
        except Exception:  # noqa: BLE001 - a scenario's own mistake is a failure too
            return outcome("FAIL", traceback.format_exc())
        finally:
            signal.alarm(0)
            signal.signal(signal.SIGALRM, before)
            with contextlib.suppress(Exception):
                bed.take_down()


@dataclass(frozen=True)
class Outcome:
    """How a scenario ended. `reason` is empty for PASS."""

    name: str
    result: str
    seconds: float
    reason: str
    step: str
    logs: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def expect(condition: bool, otherwise: str) -> None:
    """`Failure` with these words unless the condition holds."""
    if not condition:
        raise Failure(otherwise)
