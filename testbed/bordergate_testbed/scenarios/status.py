"""`status` tells people and programs the same, and every command ends with the exit code that its manual promises."""

from __future__ import annotations

import json
import re
import signal
import subprocess
from typing import Any

from ..gateway import Gateway, Site, Tunnel, binary
from ..process import run as run_command, wait_for
from ..scenario import Bed, expect
from ..strongswan import Connection
from ..topology import BORDERGATE_WAN, CUSTOMER_WAN, IDC_HOST, VPC_HOST
from ..traffic import must_ping

PINGS = 20
# A peer that nobody is.
SILENT = "198.51.100.77"


def run(bed: Bed) -> None:
    topology = bed.topology
    bed.step("start one tunnel that comes up and one that cannot")
    bed.strongswan().start(Connection())
    other = Site(name="2", asn=65010, customer_asn=65011, vpc_interface="vpc1", tunnel=Tunnel(
        name="tun-down", remote=SILENT, admin="down"))
    topology.add_second_tenant()
    gateway = bed.gateway().start(Site(), other)
    gateway.wait_up()
    gateway.wait_down("admin_down", "tun-down")
    must_ping(topology.vpc_host, IDC_HOST, count=PINGS)
    must_ping(topology.idc_host, VPC_HOST, count=PINGS)

    bed.step("compare the tables with the JSON")
    tables_say_the_same(gateway)
    bed.step("look at the latencies of the pings")
    latencies(gateway)
    bed.step("look at the rates under traffic")
    stream = topology.vpc_host.start("ping", ["ping", "-n", "-c", "400", "-i", "0.01", IDC_HOST],
                                     bed.directory / "ping.log")
    wait_for("the rates to show 100 pings a second", lambda: any(
        worker["rates"]["received_pps"] > 100 and worker["rates"]["transmitted_pps"] > 100
        and 0 < worker["rates"]["busy_percent"] <= 100 for worker in gateway.status()["workers"]), 4)
    stream.kill()

    bed.step("watch it")
    watch(gateway, bed)
    bed.step("give each command what it cannot take")
    exit_codes(gateway, bed)
    bed.step("start a second gateway on top of the first")
    before = gateway.tunnel()["esp"]
    second = topology.bordergate.run(str(binary()), "run", str(gateway.file), "--socket", str(gateway.socket),
                                     "--pin-dir", str(gateway.pin_directory), check=False, timeout=15)
    expect(second.returncode == 1, f"exit code {second.returncode}:\n{second.stderr}")
    expect(str(gateway.socket) in second.stderr, f"it does not say what is taken:\n{second.stderr}")
    expect(gateway.tunnel()["esp"] == before, "the first one's tunnel has changed")
    must_ping(topology.vpc_host, IDC_HOST)


def tables_say_the_same(gateway: Gateway) -> None:
    """Every cell that does not move by itself is in the tables as it is in the JSON."""
    status = gateway.status()
    shown = gateway.status_text()
    rows = tables(shown)
    up, down = status["tunnels"]
    for tunnel in (up, down):
        row = rows["TUNNEL"][tunnel["name"]]
        for column, key in (("STATE", "state"), ("LOCAL", "local"), ("REMOTE", "remote")):
            expect(row[column] == tunnel[key], f"{column} of {tunnel['name']} is {row[column]}, not {tunnel[key]}")
        expect(row["DROPPED"] == str(sum(tunnel["counters"]["drops"].values())), f"dropped: {row}")
    row = rows["TUNNEL"]["tun-1"]
    expect(up["state"] == "UP" and up["local"] == BORDERGATE_WAN and up["remote"] == CUSTOMER_WAN, f"it is {up}")
    expect(row["ESP"] == "aes128gcm16 in UDP", f"ESP is {row['ESP']}")
    for column, way in (("IN", "in"), ("OUT", "out")):
        packets = up["counters"][f"packets_{way}"]
        expect(packets >= 2 * PINGS, f"only {packets} packets were counted")
        expect(row[column].startswith(f"{packets} ("), f"{column} is {row[column]}, not {packets} packets")
    expect(rows["TUNNEL"]["tun-down"]["ESP"] == "-", "a tunnel that is down shows a suite")
    reason = down["reason"]
    expect(f"tun-down: {reason['text']}" in shown and reason["hint"] in shown, f"no reason in:\n{shown}")
    for worker in status["workers"]:
        row = rows["CORE"][str(worker["core"])]
        for key in ("received", "transmitted", "passed", "dropped"):
            expect(int(row[key.upper()]) >= worker[key], f"{key} of core {worker['core']} went back: {row}")
    for interface in status["interfaces"]:
        row = rows["INTERFACE"][interface["name"]]
        expect((row["SIDE"], row["XDP"]) == (interface["side"], interface["xdp_mode"]), f"{interface['name']}: {row}")
    expect(all(warning in shown for warning in status["warnings"]), "a warning is missing")


def latencies(gateway: Gateway) -> None:
    """Every packet that was sent has a time, in order from the shortest to the longest, and the totals add up."""
    command = [str(binary()), "latency", "--socket", str(gateway.socket)]
    every = json.loads(run_command([*command, "--json"], timeout=5).stdout)
    total = next(one for one in every if one["core"] is None and one["direction"] is None)
    expect(total["packets"] >= 4 * PINGS, f"only {total['packets']} packets were timed")
    expect(total["packets"] == sum(one["packets"] for one in every if one["core"] is not None), f"{every}")
    expect({one["direction"] for one in every} == {"to_peer", "from_peer", None}, f"{every}")
    for one in every:
        times = [one[f"{name}_us"] for name in ("min", "p50", "p90", "p99", "p999", "max")]
        expect(times == sorted(times) and 0.1 < times[0] and times[1] < 100_000, f"{one}")
    shown = run_command(command, timeout=5).stdout
    expect(re.search(rf"^all +both +{total['packets']} ", shown, re.MULTILINE) is not None, f"no total in:\n{shown}")


def tables(text: str) -> dict[str, dict[str, dict[str, str]]]:
    """Table by the name of its first column, row by its first cell, cell by column; cut where the header says."""
    found: dict[str, dict[str, dict[str, str]]] = {}
    columns: list[tuple[str, int, int | None]] = []
    rows: dict[str, dict[str, str]] = {}
    for line in text.splitlines():
        if re.match(r"(TUNNEL|CORE|INTERFACE) ", line):
            heads = list(re.finditer(r"\S+(?: \S+)*", line))
            ends = [head.start() for head in heads[1:]] + [None]
            columns = [(head[0], head.start(), end) for head, end in zip(heads, ends)]
            rows = found.setdefault(columns[0][0], {})
        elif not line:
            columns = []
        elif columns and not re.match(r"\S+ dropped: |\S+: |  ->|core ", line):
            cells = {name: line[begin:end].strip() for name, begin, end in columns}
            rows[cells[columns[0][0]]] = cells
    return found


def watch(gateway: Gateway, bed: Bed) -> None:
    """`--watch --json` is one object a line until Ctrl-C."""
    watching = bed.topology.bordergate.start("status --watch", [
        str(binary()), "status", "--watch", "--json", "--socket", str(gateway.socket)], bed.directory / "watch.log")
    wait_for("two looks", lambda: watching.output().count("\n") >= 2, 4)
    watching.stop()
    seen: list[dict[str, Any]] = [json.loads(line) for line in watching.output().splitlines()]
    expect(all([tunnel["name"] for tunnel in one["tunnels"]] == ["tun-1", "tun-down"] for one in seen), f"{seen}")


def exit_codes(gateway: Gateway, bed: Bed) -> None:
    """0 when it worked, 1 when something was missing, 2 when the file or the command line is wrong."""
    socket = str(gateway.socket)
    nowhere = str(bed.directory / "nowhere")
    keys = str(bed.directory / "keys")
    broken = bed.directory / "broken.toml"
    broken.write_text("[[border_gateway]]\n")
    for arguments, code, words in (
            (("--version",), 0, r"^bordergate \d+\.\d+\.\d+$"),
            (("--help",), 0, r"(?s)run.*check.*status.*detach"),
            ((), 2, "Usage: bordergate"),
            (("status", "--socket", socket), 0, "^TUNNEL"),
            (("status", "--socket", nowhere), 1, "nowhere"),
            (("status", "--json", "--esp-keys", keys, "--socket", socket), 2, "cannot be used with"),
            (("status", "--esp-keys", nowhere + "/keys", "--socket", socket), 1, "nowhere/keys"),
            (("status", "--esp-keys", keys, "--socket", socket), 0, "2 keys written"),
            (("check", str(gateway.file)), 0, "is valid: 2 border gateways.* 2 VPN tunnels"),
            (("check", str(broken)), 2, r"broken\.toml:1:.*name"),
            (("check", nowhere), 2, "nowhere"),
            (("run", str(broken), "--socket", nowhere), 2, r"broken\.toml:1:"),
            (("run", str(gateway.file), "--socket", nowhere, "--batch", "65"), 2, "65"),
            (("run", str(gateway.file), "--socket", nowhere, "--cores", "999"), 2, "999"),
    ):
        done = run_command(bed.topology.bordergate.command(str(binary()), *arguments), check=False, timeout=10)
        said = done.stdout if code == 0 else done.stderr
        command = f"bordergate {' '.join(arguments)}"
        expect(done.returncode == code, f"`{command}` ended with {done.returncode}, not {code}:\n{said}")
        expect(re.search(words, said, re.MULTILINE) is not None, f"`{command}` does not say /{words}/:\n{said}")
    expect("\n" not in run_command([str(binary()), "status", "--json", "--socket", socket]).stdout.rstrip("\n"),
           "the JSON is not on one line")
    # A reader that goes away early, as `head` does, is no failure.
    with subprocess.Popen([str(binary()), "status", "--watch", "--socket", socket], stdout=subprocess.PIPE) as early:
        assert early.stdout is not None
        early.stdout.readline()
        early.stdout.close()
        expect(early.wait(5) in (0, -signal.SIGPIPE), f"without a reader it ended with {early.returncode}")
