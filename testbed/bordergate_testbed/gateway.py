"""Bordergate itself: its resource file, its process, and what its status says."""

from __future__ import annotations

import ipaddress
import json
import os
import signal
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from .bgp import Bfd, Bgp, BgpCommands, Propagation, RouteFilter, VpcRouter
from .certificates import Certified
from .namespace import Namespace
from .process import CommandFailed, Failure, Program, run, wait_for
from .topology import (BORDERGATE_INNER, BORDERGATE_WAN, CUSTOMER_INNER, CUSTOMER_WAN, IDC_PREFIX,
                       SECOND_BORDERGATE_INNER, SECOND_BORDERGATE_WAN, SECOND_CUSTOMER_INNER, SECOND_CUSTOMER_WAN,
                       VPC_PREFIX)

REPOSITORY = Path(__file__).resolve().parents[2]


def binary() -> Path:
    """Where the release build of the daemon is; BORDERGATE names another one."""
    target = Path(os.environ.get("CARGO_TARGET_DIR", REPOSITORY / "target"))
    return Path(os.environ.get("BORDERGATE", target / "release" / "bordergate"))


@dataclass(frozen=True)
class Tunnel:
    """One `vpn_tunnel`; the defaults are the cloud's side of the first tunnel of `examples/static.toml`."""

    name: str = "tun-1"
    local: str = BORDERGATE_WAN
    remote: str = CUSTOMER_WAN
    psk: str = "correct_horse_battery"
    certified: Certified | None = None
    """Authenticate by certificates, not by the pre-shared key."""
    ppk: str | None = None
    """A post-quantum key, known as `ppk-1`."""
    ppk_required: bool = True
    local_id: str | None = None
    remote_id: str | None = None
    admin: str = "up"
    startup: str = "initiate"
    local_prefixes: tuple[str, ...] = (VPC_PREFIX,)
    remote_prefixes: tuple[str, ...] = (IDC_PREFIX,)
    udp_encapsulation: str = "auto"
    mobike: bool = False
    key_exchange: tuple[str, ...] = ("x25519", "ecp256")
    ike_encryption: tuple[str, ...] = ("aes128gcm16", "aes128")
    integrity: tuple[str, ...] = ("sha256",)
    prf: tuple[str, ...] = ("sha256",)
    liveness_seconds: int = 10
    ike_lifetime_seconds: int = 14400
    esp_encryption: tuple[str, ...] = ("aes128gcm16",)
    esp_integrity: tuple[str, ...] = ()
    """With CBC; left out if there is none."""
    esp_key_exchange: tuple[str, ...] = ()
    """For perfect forward secrecy; left out if there is none."""
    esn: bool = True
    child_sas: int = 1
    replay_window: int = 1024
    inner: str | None = None
    """Our end inside the tunnel with its prefix length; the selectors hold it, too."""
    peer_inner: str | None = None
    paused: bool = False
    weight: int = 1
    df: str = "set"
    bandwidth_mbps: int | None = None
    lifetime_packets: int = 0

    def render(self, connection: str) -> str:
        """The tunnel in TOML."""
        identities = "".join(f'{key} = "{value}"\n' for key, value in
                             (("local_id", self.local_id), ("remote_id", self.remote_id)) if value is not None)
        inner = "".join(f'{key} = "{value}"\n' for key, value in
                        (("inner_address", self.inner), ("peer_inner_address", self.peer_inner)) if value is not None)
        further = "".join(f"{key} = {_list(values)}\n" for key, values in
                          (("integrity", self.esp_integrity), ("key_exchange", self.esp_key_exchange)) if values)
        proof = self.certified.render() if self.certified else f'psk = "{self.psk}"\n'
        if self.ppk is not None:
            proof += f'ppk = "{self.ppk}"\nppk_id = "ppk-1"\nppk_required = {str(self.ppk_required).lower()}\n'
        bandwidth = "" if self.bandwidth_mbps is None else f"bandwidth_mbps = {self.bandwidth_mbps}\n"
        return f"""
[[vpn_tunnel]]
name = "{self.name}"
vpn_connection = "{connection}"
local_address = "{self.local}"
remote_address = "{self.remote}"
{proof}{identities}admin = "{self.admin}"
startup = "{self.startup}"
local_prefixes = {_list(_with_host(self.local_prefixes, self.inner))}
remote_prefixes = {_list(_with_host(self.remote_prefixes, self.peer_inner))}
{inner}udp_encapsulation = "{self.udp_encapsulation}"
mobike = {str(self.mobike).lower()}
paused = {str(self.paused).lower()}
weight = {self.weight}
{bandwidth}
[vpn_tunnel.ike]
key_exchange = {_list(self.key_exchange)}
encryption = {_list(self.ike_encryption)}
integrity = {_list(self.integrity)}
prf = {_list(self.prf)}
liveness_seconds = {self.liveness_seconds}
lifetime_seconds = {self.ike_lifetime_seconds}

[vpn_tunnel.esp]
encryption = {_list(self.esp_encryption)}
{further}esn = {str(self.esn).lower()}
child_sas = {self.child_sas}
replay_window = {self.replay_window}
lifetime_packets = {self.lifetime_packets}

[vpn_tunnel.outer]
df = "{self.df}"
"""

    def mirrored(self) -> Tunnel:
        """The same tunnel as the other end sees it."""
        return replace(
            self, local=self.remote, remote=self.local, local_id=self.remote_id, remote_id=self.local_id,
            local_prefixes=self.remote_prefixes, remote_prefixes=self.local_prefixes,
            startup="respond" if self.startup == "initiate" else "initiate")


@dataclass(frozen=True)
class Site:
    """A border gateway with one VPC attachment, one customer gateway and one connection.

    Without a tunnel there is neither customer gateway nor connection.
    """

    name: str = "1"
    asn: int = 65000
    customer_asn: int = 65001
    vpc_interface: str = "vpc0"
    tunnel: Tunnel | None = field(default_factory=Tunnel)
    further: tuple[Tunnel, ...] = ()
    """More tunnels of the connection, each between other addresses."""
    alternates: tuple[str, ...] = ()
    """Addresses of the customer gateway that no tunnel leads to."""
    flow_hash: str = "directed"
    vlan: int | None = None
    namespace: str | None = None
    """Of the gateway's own host; the daemon's choice if `None`."""
    routed: bool = True
    """Whether static routes lead what is for the customer into the tunnel."""
    anti_spoofing: bool = True
    prefixes: tuple[str, ...] | None = None
    """Those of the attachment, where they are not the tunnel's own selectors."""
    routes: tuple[str, ...] | None = None
    """What static routes lead into the tunnel, where that is not the peer's selectors."""
    discarded: tuple[tuple[str, str], ...] = ()
    """Prefixes whose packets are dropped, each with `blackhole` or `reject`."""
    bgp: Bgp | None = None
    """How the connection's tunnels learn their routes; if `None`, all routes are static."""
    bfd: Bfd | None = None
    filters: tuple[RouteFilter, ...] = ()
    propagation: Propagation | None = None
    router: VpcRouter | None = None
    """What speaks BGP behind the attachment."""
    router_id: str | None = None
    addresses: tuple[str, ...] = ()
    """The gateway's own inside, besides its tunnels'."""

    def render(self) -> str:
        """The site's resources in TOML."""
        tunnel = self.tunnel
        namespace = "" if self.namespace is None else f'namespace = "{self.namespace}"\n'
        router_id = "" if self.router_id is None else f'router_id = "{self.router_id}"\n'
        addresses = f"addresses = {_list(self.addresses)}\n" if self.addresses else ""
        vlan = "" if self.vlan is None else f"vlan = {self.vlan}\n"
        gateway = f"""
[[border_gateway]]
name = "bgw-{self.name}"
asn = {self.asn}
flow_hash = "{self.flow_hash}"
{router_id}{addresses}{namespace}
[[vpc_attachment]]
name = "vpc-{self.name}"
border_gateway = "bgw-{self.name}"
interface = "{self.vpc_interface}"
{vlan}prefixes = {_list(self.prefixes or (tunnel.local_prefixes if tunnel else (VPC_PREFIX,)))}
anti_spoofing = {str(self.anti_spoofing).lower()}
{self.propagation.render() if self.propagation else ""}{self.router.render(f"vpc-{self.name}") if self.router else ""}\
{"".join(each.render() for each in self.filters)}"""
        if tunnel is None:
            return gateway
        connection = f"conn-{self.name}"
        routes = "".join(f"""
[[static_route]]
border_gateway = "bgw-{self.name}"
destination = "{prefix}"
vpn_connection = "{connection}"
""" for prefix in self._static_destinations(tunnel))
        routes += "".join(f"""
[[static_route]]
border_gateway = "bgw-{self.name}"
destination = "{prefix}"
{kind} = true
""" for prefix, kind in self.discarded)
        tunnels = (tunnel, *self.further)
        return f"""{gateway}
[[customer_gateway]]
name = "idc-{self.name}"
asn = {self.customer_asn}
addresses = {_list(tuple(dict.fromkeys((*(each.remote for each in tunnels), *self.alternates))))}

[[vpn_connection]]
name = "{connection}"
border_gateway = "bgw-{self.name}"
customer_gateway = "idc-{self.name}"
routing = "{"bgp" if self.bgp else "static"}"
addresses = {_list(tuple(dict.fromkeys(each.local for each in tunnels)))}
{"".join(each.render() for each in (self.bgp, self.bfd) if each)}{
    "".join(each.render(connection) for each in tunnels)}{routes}"""

    def _static_destinations(self, tunnel: Tunnel) -> tuple[str, ...]:
        if not self.routed:
            return ()
        return self.routes or (() if self.bgp else tunnel.remote_prefixes)


EVERYTHING = ("0.0.0.0/0", "::/0")

# What goes with `Topology.add_tunnel_devices`: it is routes that lead into a tunnel, and selectors hold everything.
ROUTED_TUNNELS = (
    Tunnel(local_prefixes=EVERYTHING, remote_prefixes=EVERYTHING, inner=f"{BORDERGATE_INNER}/30",
           peer_inner=CUSTOMER_INNER),
    Tunnel(name="tun-2", local=SECOND_BORDERGATE_WAN, remote=SECOND_CUSTOMER_WAN, psk="another_battery",
           local_prefixes=EVERYTHING, remote_prefixes=EVERYTHING, inner=f"{SECOND_BORDERGATE_INNER}/30",
           peer_inner=SECOND_CUSTOMER_INNER))
ROUTED_SITE = Site(tunnel=ROUTED_TUNNELS[0], further=ROUTED_TUNNELS[1:], prefixes=(VPC_PREFIX,), routes=(IDC_PREFIX,))

# What goes with `Topology.add_second_tenant`.
SECOND_SITE = Site(name="2", asn=65010, customer_asn=65011, vpc_interface="vpc1",
                   tunnel=Tunnel(name="tun-2", remote=SECOND_CUSTOMER_WAN, psk="another_battery"))


def mirrored(site: Site) -> Site:
    """The same connection as the other end sees it: what the customer's device would be, were it a Bordergate."""
    tunnel = site.tunnel
    if tunnel is None:
        raise Failure(f"site {site.name} has no tunnel to be the other end of")
    return replace(site, name=f"{site.name}-customer", vpc_interface="lan0", alternates=(), tunnel=tunnel.mirrored(),
                   further=tuple(each.mirrored() for each in site.further))


class Gateway(Program):
    """One Bordergate process in a namespace, with control socket and pinned programs of its own."""

    def __init__(self, namespace: Namespace, directory: Path, name: str = "bordergate", *,
                 outlives_us: bool = False) -> None:
        super().__init__(name)
        self.namespace = namespace
        self.directory = directory
        self.socket = directory / "bordergate.sock"
        self.pin_directory = directory / "bpf"
        self.file = directory / "bordergate.toml"
        self._outlives_us = outlives_us
        self.accounted = 0
        """Packets that the workers had received when their counters were last found to add up."""

    def start(self, *sites: Site, arguments: tuple[str, ...] = (), timeout: float = 15) -> Gateway:
        """Write the resource file and run; returns once it answers `status`."""
        self.directory.mkdir(parents=True, exist_ok=True)
        for tunnel in (tunnel for site in sites for tunnel in (site.tunnel, *site.further) if tunnel):
            if tunnel.certified:
                tunnel.certified.install_for_bordergate(self.directory)
        self.file.write_text("".join(site.render() for site in sites))
        return self.restart(arguments=arguments, timeout=timeout)

    def restart(self, *, arguments: tuple[str, ...] = (), timeout: float = 15) -> Gateway:
        """Run with the resource file that is there."""
        if not binary().exists():
            raise Failure(f"{binary()} is not there; build it with `cargo build --release --locked`")
        self._daemon = self.namespace.start(
            self.name, [str(binary()), "run", str(self.file), "--socket", str(self.socket),
                        "--pin-dir", str(self.pin_directory), *arguments],
            self.directory / "bordergate.log", outlives_us=self._outlives_us)

        def answering() -> bool:
            if self.daemon.exit_code is not None:
                ended, self._daemon = self.daemon, None
                raise Failure(f"{self.name} ended at once with {ended.exit_code}:\n{ended.tail(12)}")
            try:
                self.status()
            except CommandFailed:
                return False
            return True

        wait_for(f"{self.name} to answer on its control socket", answering, timeout)
        return self

    def reload(self, text: str, *, refused: bool = False, timeout: float = 5) -> str:
        """Replace the resource file and send SIGHUP; what is logged until it is taken up, or refused."""
        self.file.write_text(text)
        told = len(self.daemon.output())
        os.kill(self.daemon.pid, signal.SIGHUP)
        ends = ("resource file taken up", "the resource file is refused")

        def logged() -> str | None:
            new = self.daemon.output()[told:]
            return new if any(end in new for end in ends) else None

        new = wait_for(f"{self.name} to tell what it does with the file", logged, timeout)
        if (ends[1] in new) is not refused:
            raise Failure(f"the file should{'' if refused else ' not'} have been refused:\n{new}")
        return new

    def check(self, *, refused: bool = False) -> str:
        """`bordergate check` of the resource file as it stands; what it says."""
        done = run([str(binary()), "check", str(self.file)], check=False)
        if done.returncode != (2 if refused else 0):
            raise Failure(f"`check` ended with {done.returncode}:\n{done.stdout}{done.stderr}")
        return done.stderr if refused else done.stdout

    def stop(self, timeout: float = 10) -> None:
        """Add up the counters, then SIGTERM; anything but exit code 0 is a failure. The pin directory is unmounted."""
        if self._daemon is None:
            return
        unaccounted: Failure | None = None
        if self._daemon.exit_code is None:
            try:
                self.check_accounting()
            except Failure as failure:
                unaccounted = failure
        daemon, self._daemon = self._daemon, None
        code = daemon.stop(timeout)
        self.unmount()
        if code != 0:
            raise Failure(f"{self.name} ended with {code} on SIGTERM:\n{daemon.tail(12)}")
        if "panicked" in daemon.output():
            raise Failure(f"something in {self.name} panicked:\n{daemon.tail(12)}")
        if unaccounted is not None:
            raise unaccounted

    def kill(self) -> None:
        """Add up the counters, then SIGKILL; the pinned programs stay."""
        if self.running:
            self.check_accounting()
        super().kill()

    def detach(self) -> None:
        """Take pinned programs off the interfaces, as an operator does after a daemon died."""
        self.namespace.run(str(binary()), "detach", "--pin-dir", str(self.pin_directory))

    def unmount(self) -> None:
        """Undo the mount of the BPF file system, so that the directory can be removed."""
        unmount_below(self.pin_directory)

    def clean(self) -> None:
        """Whatever state it is in, leave nothing: for the end of a scenario."""
        try:
            self.stop()
        finally:
            self.unmount()

    def status(self) -> dict[str, Any]:
        """`bordergate status --json`."""
        return json.loads(run([str(binary()), "status", "--json", "--socket", str(self.socket)], timeout=5).stdout)

    def status_text(self) -> str:
        """`bordergate status`, for people."""
        return run([str(binary()), "status", "--socket", str(self.socket)], timeout=5).stdout

    def rekey(self, name: str = "tun-1", *, ike: bool = False) -> None:
        """Have a tunnel's child SAs replaced, or its IKE SA; returns before that is done."""
        run([str(binary()), "tunnel", "rekey", name, "--ike" if ike else "--child", "--socket", str(self.socket)],
            timeout=5)

    @property
    def bgp(self) -> BgpCommands:
        """What `bordergate bgp` tells and does."""
        return BgpCommands(binary(), self.socket)

    def drain(self, to: str | None) -> None:
        """Send peers to another gateway, or to none."""
        run([str(binary()), "drain", *(("--to", to) if to else ("--off",)), "--socket", str(self.socket)], timeout=5)

    def export_esp_keys(self, path: Path) -> Path:
        """Write the keys of all ESP SAs in Wireshark's form; the file must be readable by its owner alone."""
        run([str(binary()), "status", "--socket", str(self.socket), "--esp-keys", str(path)], timeout=5)
        mode = path.stat().st_mode & 0o777
        if mode != 0o600:
            raise Failure(f"the exported keys have mode {mode:o}, not 600")
        return path

    def tunnel(self, name: str = "tun-1") -> dict[str, Any]:
        """One tunnel of the status."""
        for tunnel in self.status()["tunnels"]:
            if tunnel["name"] == name:
                return tunnel
        raise Failure(f"{self.name}'s status has no tunnel {name}")

    def wait_up(self, name: str = "tun-1", timeout: float = 15) -> dict[str, Any]:
        """Wait until the tunnel is UP; the failure tells the reason it gives for being DOWN."""
        return self._wait_tunnel(name, "UP", lambda tunnel: tunnel["state"] == "UP", timeout)

    def wait_counted(self, what: str, names: Iterable[str], before: Counter[str], by: int, timeout: float = 5) -> None:
        """Wait until the counters of these names together stand `by` above `before`."""
        names = tuple(names)

        def risen() -> bool:
            now = self.counted()
            return sum(now[name] - before[name] for name in names) >= by

        try:
            wait_for(f"{what} to be counted as {' or '.join(names)}", risen, timeout)
        except Failure as failure:
            changed = {name: count - before[name] for name, count in self.counted().items() if count != before[name]}
            raise Failure(f"{failure}; these counters changed: {changed}") from failure

    def wait_down(self, code: str, name: str = "tun-1", timeout: float = 15) -> dict[str, Any]:
        """Wait until the tunnel is DOWN for exactly this reason, told in words and with a hint."""
        tunnel = self._wait_tunnel(name, f"DOWN ({code})", lambda tunnel: (
            tunnel["state"] == "DOWN" and (tunnel["reason"] or {}).get("code") == code), timeout)
        for part in ("text", "hint"):
            if not tunnel["reason"].get(part):
                raise Failure(f"the reason {code} comes without a {part}")
        return tunnel

    def counted(self) -> Counter[str]:
        """Every counter of the status by its name, summed over wherever it stands.

        A packet dropped for a tunnel shows in the worker's counter and in the tunnel's: good for asking whether a
        name's count rose, not for how far.
        """
        totals: Counter[str] = Counter()

        def walk(value: Any) -> None:
            if isinstance(value, dict):
                for name, inner in value.items():
                    if isinstance(inner, int) and not isinstance(inner, bool):
                        totals[name] += inner
                    else:
                        walk(inner)
            elif isinstance(value, list):
                for inner in value:
                    walk(inner)

        walk(self.status())
        return totals

    def worker_drops(self) -> Counter[str]:
        """The workers' drop reasons, each packet once."""
        found: Counter[str] = Counter()
        for worker in self.status()["workers"]:
            found.update(worker["drops"])
        return found

    def check_accounting(self, timeout: float = 3) -> None:
        """received + split = transmitted + passed + dropped + merged for every worker, and the drops have names that add up.

        Counters are read while workers run, so the equation is given a moment to hold.
        """
        wrong = ["status was not read"]
        received = 0

        def balanced() -> bool:
            nonlocal received
            wrong.clear()
            workers = self.status()["workers"]
            if not workers:
                wrong.append("there are no workers to ask")
            received = sum(worker["received"] for worker in workers)
            for worker in workers:
                came = worker["received"] + worker["split"]
                accounted = sum(worker[verdict] for verdict in ("transmitted", "passed", "dropped", "merged"))
                if came != accounted:
                    wrong.append(f"worker {worker['core']}: received {worker['received']} + split {worker['split']}, but "
                                 f"transmitted {worker['transmitted']} + passed {worker['passed']} + dropped "
                                 f"{worker['dropped']} + merged {worker['merged']} = {accounted}")
                if worker["dropped"] != sum(worker["drops"].values()):
                    wrong.append(f"worker {worker['core']}: dropped {worker['dropped']}, but named {worker['drops']}")
            return not wrong

        try:
            wait_for("the counters to add up", balanced, timeout)
        except Failure as failure:
            raise Failure(f"{self.name}: packets are unaccounted for: {'; '.join(wrong)}") from failure
        self.accounted = received

    def _wait_tunnel(self, name: str, what: str, wanted: Any, timeout: float) -> dict[str, Any]:
        last: dict[str, Any] = {}

        def look() -> dict[str, Any] | None:
            last.clear()
            if self.daemon.exit_code is not None:
                raise Failure(f"{self.name} ended with {self.daemon.exit_code}:\n{self.daemon.tail(12)}")
            last.update(self.tunnel(name))
            return last if wanted(last) else None

        try:
            return wait_for(f"{name} to be {what}", look, timeout)
        except Failure as failure:
            if not last:
                raise
            reason = last.get("reason") or {}
            raise Failure(f"{failure}: it is {last['state']}"
                          + (f" ({reason.get('code')}: {reason.get('text')})" if reason else "")) from failure


def unmount_below(directory: Path) -> None:
    """Undo every mount at or below a directory, so that it can be removed."""
    for line in Path("/proc/self/mounts").read_text().splitlines():
        mounted = Path(line.split()[1])
        if mounted == directory or directory in mounted.parents:
            run(["umount", "--lazy", str(mounted)])


def xdp_mode(namespace: Namespace, interface: str) -> str | None:
    """How an XDP program is attached, as the kernel tells: "native", "generic", or None."""
    link = json.loads(namespace.ip("-j", "-d", "link", "show", "dev", interface))[0]
    modes = {1: "native", 2: "generic", 3: "offloaded", 4: "several"}
    return modes.get(link["xdp"]["mode"]) if "xdp" in link else None


def _with_host(prefixes: tuple[str, ...], address: str | None) -> tuple[str, ...]:
    """The prefixes and, where none of them holds it, one of the address alone, its own prefix length left out."""
    if address is None:
        return prefixes
    host = ipaddress.ip_address(address.partition("/")[0])
    if any(host in ipaddress.ip_network(prefix) for prefix in prefixes):
        return prefixes
    return (*prefixes, f"{host}/{host.max_prefixlen}")


def _list(values: tuple[str, ...]) -> str:
    return "[" + ", ".join(f'"{value}"' for value in values) + "]"
