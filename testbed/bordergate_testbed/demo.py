"""`testbed/demo` from its second step on: build, create, start, bring up, measure, show, remove."""

from __future__ import annotations

import argparse
import re
import shutil
import signal
import subprocess
import sys
from collections import deque
from pathlib import Path
from types import FrameType
from typing import Any

from .gateway import REPOSITORY, Gateway, binary, unmount_below
from .namespace import remove_all
from .process import Failure
from .progress import Progress
from .strongswan import Connection, StrongSwan
from .topology import IDC_HOST, VPC_HOST, Topology
from .traffic import BothWays, Ping, iperf_both_ways, must_ping

PREFIX = "bgd-"
STATE = Path("/run/bordergate-demo")
EXAMPLE = REPOSITORY / "examples" / "static.toml"
STEPS = 10
TCP_SECONDS = 5


class Demo:
    """The main job, once."""

    def __init__(self, *, keep: bool) -> None:
        self._keep = keep
        self._progress = Progress(STEPS, first=2)

    def play(self) -> int:
        """The exit code."""
        left_up = False
        try:
            self._run()
            left_up = self._keep
            return 0
        except KeyboardInterrupt:
            print("\ndemo: interrupted; removing what was created", file=sys.stderr)
            return 130
        except Failure as failure:
            print(f"demo: failed at step {self._progress.number} of {STEPS}: {self._progress.name}", file=sys.stderr)
            print(f"  {failure}".replace("\n", "\n  "), file=sys.stderr)
            show_logs()
            return 1
        finally:
            if not left_up:
                remove()

    def _run(self) -> None:
        with self._progress.step("Build Bordergate (cargo build --release --locked)") as step:
            build(step)
        with self._progress.step("Create the namespaces idc-host, customer, internet, bordergate, vpc-host"):
            remove()
            STATE.mkdir(mode=0o700)
            topology = Topology.build(PREFIX)
            # As on any host that is nothing but a gateway: what Bordergate does not carry goes nowhere.
            topology.bordergate.sysctl({"net/ipv4/ip_forward": "0"})
        with self._progress.step("Start strongSwan as the customer's device"):
            strongswan = StrongSwan(topology.customer, STATE / "strongswan", outlives_us=self._keep)
            strongswan.start(Connection())
        with self._progress.step(f"Start Bordergate with {EXAMPLE.relative_to(REPOSITORY)}"):
            gateway = Gateway(topology.bordergate, STATE, outlives_us=self._keep)
            shutil.copy(EXAMPLE, gateway.file)
            gateway.restart()
        with self._progress.step("Bring the tunnel UP (Bordergate initiates)") as step:
            tunnel = gateway.wait_up()
            strongswan.wait_established()
            encapsulation = {"udp": "in UDP", "none": "as protocol 50"}[tunnel["esp"]["encapsulation"]]
            step.detail(f"ESP {encapsulation}, {tunnel['esp']['suite']}")
        with self._progress.step("Ping both ways through the tunnel"):
            to_vpc = must_ping(topology.idc_host, VPC_HOST, count=100, interval=0.01)
            to_idc = must_ping(topology.vpc_host, IDC_HOST, count=100, interval=0.01)
        with self._progress.step(f"iperf3 both ways through the tunnel (TCP, {TCP_SECONDS} s each)"):
            both = iperf_both_ways(topology.idc_host, topology.vpc_host, STATE / "iperf3.log", seconds=TCP_SECONDS)
            check_it_went_through(gateway, strongswan, both)
        with self._progress.step("Read the tunnel's status"):
            status = gateway.status_text()
            tunnel = gateway.tunnel()
            gateway.check_accounting()
        print()
        print(status.rstrip())
        print()
        print(table(to_vpc, to_idc, both, tunnel))
        print()
        if self._keep:
            with self._progress.step("Leave it up"):
                pass
            print(what_next(topology, gateway, strongswan))
        else:
            with self._progress.step("Stop both, which delete the tunnel, and remove the namespaces"):
                gateway.stop()
                strongswan.wait_gone()
                strongswan.stop()
                remove()


def build(step: Progress) -> None:
    """Build the daemon; cargo's own output is shown only when it fails."""
    process = subprocess.Popen(["cargo", "build", "--release", "--locked", "--package", "bordergate"], cwd=REPOSITORY,
                               stderr=subprocess.PIPE, text=True, errors="replace")
    last: deque[str] = deque(maxlen=40)
    crates = 0
    assert process.stderr is not None
    for line in process.stderr:
        last.append(line.rstrip())
        compiling = re.match(r"\s*(Compiling|Downloaded) (\S+)", line)
        if compiling:
            crates += 1
            step.detail(f"{compiling[1].lower()} {compiling[2]} ({crates})")
    if process.wait() != 0:
        raise Failure("cargo ended with {}:\n{}".format(process.returncode, "\n".join(last)))
    if not binary().exists():
        raise Failure(f"cargo was content, but {binary()} is not there")
    step.detail(f"{crates} crates compiled" if crates else "nothing to compile")


def check_it_went_through(gateway: Gateway, strongswan: StrongSwan, both: BothWays) -> None:
    """What iperf3 moved must show in both ends' ESP counters, or it went some other way."""
    counters = gateway.tunnel()["counters"]
    child = strongswan.wait_established().child
    for name, counted, moved in (
            ("Bordergate opened", counters["bytes_in"], both.to_vpc.bytes),
            ("Bordergate sealed", counters["bytes_out"], both.to_idc.bytes),
            ("strongSwan sealed", int(child["bytes-out"]), both.to_vpc.bytes),
            ("strongSwan opened", int(child["bytes-in"]), both.to_idc.bytes)):
        if counted < moved:
            raise Failure(f"iperf3 moved {moved} bytes, but {name} only {counted}")


def table(to_vpc: Ping, to_idc: Ping, both: BothWays, tunnel: dict[str, Any]) -> str:
    """What was measured."""
    counters = tunnel["counters"]

    def rtt(ping: Ping) -> str:
        return f"{ping.minimum:.2f} / {ping.average:.2f} / {ping.percentile(99):.2f}"

    drops = {name: count for name, count in counters["drops"].items() if count}
    why = ", ".join(f"{count} {name}" for name, count in drops.items())
    rows = [
        ("", "IDC -> VPC", "VPC -> IDC"),
        ("ping, ms: min / mean / p99", rtt(to_vpc), rtt(to_idc)),
        ("TCP, Mbit/s", f"{both.to_vpc.mbit_per_s:.1f}", f"{both.to_idc.mbit_per_s:.1f}"),
        ("TCP retransmits", str(both.to_vpc.retransmits), str(both.to_idc.retransmits)),
        ("packets opened / sealed", str(counters["packets_in"]), str(counters["packets_out"])),
        ("packets dropped", why or "none", ""),
    ]
    shown = "\n".join(f"{name:<28}{left:>24}{right:>24}".rstrip() for name, left, right in rows)
    if "neighbour_unresolved" in drops:
        shown += "\n(neighbour_unresolved: the first packets, until the kernel had asked for the host's MAC address)"
    return shown


def what_next(topology: Topology, gateway: Gateway, strongswan: StrongSwan) -> str:
    """Commands to paste while it is up."""
    def enter(role: str) -> str:
        return f"ip netns exec {topology[role].name}"

    return f"""
What to try next (all as root):

  # the tunnel, as Bordergate and as strongSwan see it
  {binary()} status --socket {gateway.socket}   # --watch, --json
  {strongswan.command_line('--list-sas')}

  # a host in the data centre talks to a host in the VPC
  {enter('idc-host')} ping {VPC_HOST}
  {enter('vpc-host')} iperf3 --server --one-off > /dev/null & sleep 1
  {enter('idc-host')} iperf3 --client {VPC_HOST}

  # nothing but ESP and IKE is on the wire between them
  {enter('internet')} tcpdump -n -i bordergate0

  # the customer's device deletes the tunnel, Bordergate sets it up again: watch the status meanwhile
  {strongswan.command_line('--terminate', '--ike', 'tun-1')}

  # the files: resources, configuration, logs
  ls -R {STATE}

  # remove it all
  testbed/demo --down
"""


def show_logs() -> None:
    """The relevant ends of the logs there are."""
    for path in sorted(STATE.rglob("*.log")) if STATE.exists() else []:
        lines = path.read_text(errors="replace").splitlines()
        # charon tells every packet's payloads; its last words on what went wrong are enough.
        lines = [line for line in lines if not re.search(r"\[(ENC|NET)\]", line)]
        if lines:
            print(f"-- the end of {path.relative_to(STATE)}", file=sys.stderr)
            for line in lines[-20:]:
                print(f"| {line}", file=sys.stderr)


def remove() -> bool:
    """Take down whatever a demo left, this one or an earlier one; whether there was something."""
    removed = bool(remove_all(PREFIX))
    if STATE.exists():
        removed = True
        # The namespaces are gone, and with them the interfaces the programs were attached to.
        unmount_below(STATE)
        shutil.rmtree(STATE, ignore_errors=True)
    return removed


def main() -> int:
    """The exit code of `testbed/demo`."""
    parser = argparse.ArgumentParser(prog="testbed/demo")
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("--down", action="store_true")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, _interrupt)
    if arguments.down:
        print("The demo is removed." if remove() else "There was no demo to remove.")
        return 0
    return Demo(keep=arguments.keep).play()


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
