"""strongSwan as the other end: Debian's charon-systemd with its ESP in user space, configured over swanctl."""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import dataclass, field
from pathlib import Path

from .certificates import Certified
from .gateway import REPOSITORY
from .namespace import Namespace
from .process import CommandFailed, Failure, Program, wait_for
from .topology import BORDERGATE_WAN, CUSTOMER_WAN, IDC_PREFIX, VPC_PREFIX

_INSTALLED = ("/usr/sbin/charon-systemd", "/usr/sbin/swanctl")

# Only what IKEv2 with a pre-shared key or certificates needs. kernel-libipsec does ESP in user space over a TUN device,
# because a kernel may come without ESP; kernel-netlink then is left with addresses and routes.
_PLUGINS = ("random nonce aes sha1 sha2 hmac kdf gcm chapoly curve25519 gmp openssl "
            "x509 pem pkcs1 pkcs8 pubkey revocation constraints kernel-libipsec kernel-netlink socket-default vici")

_TUN = "ipsec0"

_STRONGSWAN_CONF = """
charon-systemd {{
    load = {plugins}
    fragment_size = {fragment_size}
    retransmit_tries = {retries.tries}
    retransmit_timeout = {retries.first_after}
    retransmit_base = {retries.base}
    # RFC 7427.
    signature_authentication = {signature_authentication}
    # Packets to the peer must not enter the tunnel that they carry: ours are marked, and marked ones skip the tunnel's
    # routing table. Without this, selectors that hold the peer's own address could not be used.
    plugins {{
        vici {{
            socket = {vici}
        }}
        socket-default {{
            fwmark = 0x42
        }}
        kernel-netlink {{
            fwmark = !0x42
        }}
        kernel-libipsec {{
            allow_peer_ts = yes
        }}
    }}
    journal {{
        default = -1
    }}
    filelog {{
        stderr {{
            default = 1
            ike = 2
            cfg = 1
            knl = 1
            esp = 1
            flush_line = yes
            time_format = %H:%M:%S
        }}
    }}
}}
"""


@dataclass(frozen=True)
class Connection:
    """One IKE connection with one child, as strongSwan sees it; the defaults are the customer's side."""

    name: str = "tun-1"
    local: str = CUSTOMER_WAN
    remote: str = BORDERGATE_WAN
    local_id: str = CUSTOMER_WAN
    remote_id: str = BORDERGATE_WAN
    psk: str = "correct_horse_battery"
    local_ts: str = IDC_PREFIX
    remote_ts: str = VPC_PREFIX
    ike_proposals: tuple[str, ...] = ("aes128gcm16-prfsha256-x25519", "aes128-sha256-ecp256")
    # kernel-libipsec has no extended sequence numbers; "noesn" is also what is proposed when nothing is said.
    esp_proposals: tuple[str, ...] = ("aes128gcm16",)
    fragmentation: str = "yes"
    """`yes`, `accept`, `force` or `no` (RFC 7383)."""
    certified: Certified | None = None
    """Authenticate by certificates, not by the pre-shared key."""
    ppk: str | None = None
    """A post-quantum key, known as `ppk-1`."""
    ppk_required: bool = True
    start: bool = False
    """Initiate when loaded (and again after the peer was found dead) instead of waiting to be asked."""
    dpd_seconds: int = 10
    childless: str = "allow"
    """`allow`, `prefer`, `force` or `never` (RFC 6023)."""
    mobike: str = "yes"
    """Announced, and used if the peer announces it, too (RFC 4555)."""

    def render(self) -> str:
        """The connection in swanctl.conf's syntax, with its secret."""
        ours, theirs = "auth = psk", "auth = psk"
        if self.certified is not None:
            ours = f"auth = pubkey\n            certs = {self.certified.name}.pem"
            theirs = f"auth = pubkey\n            revocation = {'strict' if self.certified.strict else 'relaxed'}"
        return f"""
connections {{
    {self.name} {{
        version = 2
        local_addrs = {self.local}
        remote_addrs = {self.remote}
        proposals = {",".join(self.ike_proposals)}
        dpd_delay = {self.dpd_seconds}s
        keyingtries = 1
        fragmentation = {self.fragmentation}
        childless = {self.childless}
{self._post_quantum()}        mobike = {self.mobike}
        local {{
            {ours}
            id = "{self.local_id}"
        }}
        remote {{
            {theirs}
            id = "{self.remote_id}"
        }}
        children {{
            {self.name} {{
                local_ts = {self.local_ts}
                remote_ts = {self.remote_ts}
                esp_proposals = {",".join(self.esp_proposals)}
                start_action = {"start" if self.start else "none"}
                dpd_action = {"restart" if self.start else "clear"}
                close_action = none
            }}
        }}
    }}
}}
secrets {{
    ike-{self.name} {{
        id-1 = "{self.local_id}"
        id-2 = "{self.remote_id}"
        secret = "{self.psk}"
    }}
{self._post_quantum_secret()}}}
"""

    def _post_quantum_secret(self) -> str:
        return "" if self.ppk is None else f'    ppk-{self.name} {{\n        id = ppk-1\n        secret = "{self.ppk}"\n    }}\n'

    def _post_quantum(self) -> str:
        required = "yes" if self.ppk_required else "no"
        return "" if self.ppk is None else f"        ppk_id = ppk-1\n        ppk_required = {required}\n"


@dataclass(frozen=True)
class Sa:
    """One IKE SA as `swanctl --list-sas --raw` tells it, with its children, oldest first."""

    name: str
    values: dict[str, str] = field(default_factory=dict)
    children: tuple[dict[str, str], ...] = ()

    @property
    def installed(self) -> tuple[dict[str, str], ...]:
        """The children in use; one that was replaced lingers in other states."""
        return tuple(child for child in self.children if child.get("state") == "INSTALLED")

    @property
    def child(self) -> dict[str, str]:
        """The newest child in use, or the newest one there is."""
        return next(reversed(self.installed or self.children), {})

    @property
    def established(self) -> bool:
        """The IKE SA is up and so is its child."""
        return self.values.get("state") == "ESTABLISHED" and self.child.get("state") == "INSTALLED"


@dataclass(frozen=True)
class Retries:
    """When charon sends a message again: each time `base` times as long after the time before.

    By default it gives up within a scenario's patience: after 1 + 1.5 + 2.25 s.
    """

    tries: int = 2
    first_after: float = 1.0
    base: float = 1.5


class StrongSwan(Program):
    """One charon in a namespace, with configuration, control socket and log of its own."""

    def __init__(self, namespace: Namespace, directory: Path, name: str = "strongswan", *,
                 outlives_us: bool = False, fragment_size: int = 1280,
                 retries: Retries = Retries()) -> None:
        super().__init__(name)
        self._namespace = namespace
        self._directory = directory
        self._outlives_us = outlives_us
        self._fragment_size = fragment_size
        self._retries = retries
        self._charon, self._swanctl_program = _INSTALLED

    def start(self, *connections: Connection, signature_authentication: bool = True) -> StrongSwan:
        """Start charon and load the connections; those with `start` begin to initiate.

        Without `signature_authentication` it knows nothing of RFC 7427.
        """
        self._charon, self._swanctl_program = _unconfined_copies()
        for part in ("x509", "x509ca", "private", "conf.d"):
            (self._directory / "swanctl" / part).mkdir(parents=True, exist_ok=True)
        (self._directory / "strongswan.conf").write_text(
            _STRONGSWAN_CONF.format(plugins=_PLUGINS, vici=self._vici, fragment_size=self._fragment_size,
                                    retries=self._retries,
                                    signature_authentication="yes" if signature_authentication else "no"))
        socket = self._directory / "charon.vici"
        socket.unlink(missing_ok=True)
        self._daemon = self._namespace.start(self.name, [self._charon], self._directory / "charon.log",
                                             env=self._environment, outlives_us=self._outlives_us)

        def listening() -> bool:
            if self.daemon.exit_code is not None:
                raise Failure(f"charon ended at once with {self.daemon.exit_code}; is it installed and allowed to "
                              f"open /dev/net/tun?\n{self.daemon.tail()}")
            return socket.exists()

        wait_for("charon's control socket", listening)
        self.load(*connections)
        return self

    def load(self, *connections: Connection) -> None:
        """Replace the loaded connections."""
        for certified in (connection.certified for connection in connections if connection.certified):
            certified.install_for_strongswan(self._directory / "swanctl")
        (self._directory / "swanctl" / "swanctl.conf").write_text("".join(c.render() for c in connections))
        wait_for("charon to take its configuration", lambda: self._try_swanctl("--load-all", "--clear"))

    def lend_device(self, router: Namespace, name: str, *addresses: str) -> None:
        """Move the TUN device of its tunnels to a router, under another name: what is routed there goes to the peer.

        The other end of the device stays with charon. For each child it sets up routes into the device, or the child
        fails; they lead into another one of that name, which takes nothing anywhere.
        """
        wait_for("charon's TUN device", lambda: f"{_TUN} " in self._namespace.ip("-brief", "link", "show"))
        self._namespace.ip("link", "set", _TUN, "netns", router.name, "name", name)
        self._namespace.ip("tuntap", "add", "dev", _TUN, "mode", "tun")
        self._namespace.sysctl({f"net/ipv6/conf/{_TUN}/disable_ipv6": "0"})
        self._namespace.ip("link", "set", _TUN, "up")
        for address in addresses:
            router.ip("addr", "add", address, "dev", name, *(("nodad",) if ":" in address else ()))
        router.ip("link", "set", name, "up")

    def initiate(self, child: str = "tun-1", timeout: float = 10) -> None:
        """Bring a child up; `Failure` with charon's words if that does not work."""
        try:
            self._swanctl("--initiate", "--child", child, "--timeout", str(int(timeout)), timeout=timeout + 5)
        except CommandFailed as failed:
            raise Failure(f"strongSwan could not bring {child} up:\n{failed.output.strip()}") from failed

    def initiate_ike(self, name: str = "tun-1", timeout: float = 10) -> None:
        """Bring an IKE SA up without any child."""
        try:
            self._swanctl("--initiate", "--ike", name, "--timeout", str(int(timeout)), timeout=timeout + 5)
        except CommandFailed as failed:
            raise Failure(f"strongSwan could not bring {name} up:\n{failed.output.strip()}") from failed

    def terminate(self, name: str = "tun-1") -> None:
        """Delete an IKE SA, as an operator does on the customer's device."""
        self._swanctl("--terminate", "--ike", name, "--timeout", "5")

    def rekey(self, *, child: str | None = None, ike: str | None = None) -> None:
        """Have a child or an IKE SA rekeyed; returns before that is done."""
        for kind, name in (("--child", child), ("--ike", ike)):
            if name is not None:
                self._swanctl("--rekey", kind, name)

    def wait_established(self, timeout: float = 15) -> Sa:
        """Wait for an IKE SA with its child installed."""
        return wait_for("strongSwan to hold an established SA",
                        lambda: next((sa for sa in self.sas() if sa.established), None), timeout)

    def wait_gone(self, timeout: float = 10) -> None:
        """Wait until no IKE SA is left."""
        wait_for("strongSwan to have no SA left", lambda: not self.sas(), timeout)

    def sas(self) -> list[Sa]:
        """The IKE SAs there are, established or not."""
        return _parse_sas(self._swanctl("--list-sas", "--raw"))

    def list_sas(self) -> str:
        """The same, for people."""
        return self._swanctl("--list-sas")

    def command_line(self, *arguments: str) -> str:
        """A swanctl command line for people to paste."""
        return (f"STRONGSWAN_CONF={self._directory}/strongswan.conf {self._swanctl_program} {' '.join(arguments)} "
                f"--uri {self._vici}")

    def _try_swanctl(self, *arguments: str) -> bool:
        try:
            self._swanctl(*arguments)
        except CommandFailed as failed:
            # The socket is there a moment before somebody listens on it.
            if "connecting to" in failed.output:
                return False
            raise
        return True

    def _swanctl(self, *arguments: str, timeout: float = 20) -> str:
        return self._namespace.run(self._swanctl_program, *arguments, "--uri", self._vici, env=self._environment,
                                   timeout=timeout).stdout

    @property
    def _vici(self) -> str:
        return f"unix://{self._directory}/charon.vici"

    @property
    def _environment(self) -> dict[str, str]:
        return {**os.environ, "STRONGSWAN_CONF": str(self._directory / "strongswan.conf"),
                "SWANCTL_DIR": str(self._directory / "swanctl")}


def _unconfined_copies() -> tuple[str, str]:
    """Copies of charon and swanctl to run.

    The packages bring AppArmor profiles that confine the programs, by their path, to /etc and to one instance per
    machine. Copies elsewhere are free to read a scenario's own configuration. Not in /run or /tmp, which may be
    mounted without the right to execute.
    """
    folder = REPOSITORY / "target" / "testbed"
    folder.mkdir(parents=True, exist_ok=True)
    copies = []
    for installed in map(Path, _INSTALLED):
        if not installed.exists():
            raise Failure(f"{installed} is not installed: run testbed/install-packages")
        copy = folder / installed.name
        if not copy.exists() or copy.stat().st_mtime_ns != installed.stat().st_mtime_ns:
            fresh = copy.with_suffix(".new")
            shutil.copy2(installed, fresh)
            fresh.replace(copy)
        copies.append(str(copy))
    return copies[0], copies[1]


def _parse_sas(raw: str) -> list[Sa]:
    """`list-sa event {tun-1 {uniqueid=1 ... child-sas {tun-1-1 {name=tun-1 ...} ...}}}`, one line per IKE SA."""
    found = []
    for line in raw.splitlines():
        if not line.startswith("list-sa event"):
            continue
        head, _, children = line.partition("child-sas {")
        name = re.match(r"list-sa event \{(\S+) \{", head)
        pairs = r"([\w-]+)=([^\s{}\[\]]*)"
        found.append(Sa(name[1] if name else "", dict(re.findall(pairs, head)),
                        tuple(dict(re.findall(pairs, child)) for child in re.findall(r"\{([^{}]*)\}", children))))
    return found
