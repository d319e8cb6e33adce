"""`bordergate capture` writes what goes through a tunnel, in clear and in ESP, both ways, while it goes; tshark reads it.

Filter, count and the file's mode are as promised, and what is wrong with a command is told.
"""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

from ..gateway import Gateway, binary
from ..process import Daemon, run as run_command, wait_for
from ..scenario import Bed, expect
from ..topology import BORDERGATE_WAN, CUSTOMER_WAN, IDC_HOST, VPC_HOST
from ..traffic import iperf, iperf_server, must_ping

PINGS = 20


def run(bed: Bed) -> None:
    gateway, _ = bed.up_with_strongswan()
    must_ping(bed.topology.vpc_host, IDC_HOST)

    bed.step("capture both sides while pings go both ways")
    everything = begin(bed, gateway, "all")
    must_ping(bed.topology.vpc_host, IDC_HOST, count=PINGS)
    must_ping(bed.topology.idc_host, VPC_HOST, count=PINGS)
    summary = end(everything)
    expect(" 0 missed " in summary, f"it missed packets: {summary}")
    file = bed.directory / "all.pcapng"
    expect(file.stat().st_mode & 0o777 == 0o600, f"the file has mode {file.stat().st_mode & 0o777:o}")

    bed.step("read it with tshark")
    # An echo and its reply both ways, in clear and sealed.
    both_sides(file, least=4 * PINGS)

    bed.step("capture one side of one protocol, for so many packets")
    some = begin(bed, gateway, "some", "tun-1", "--side", "inner", "--host", VPC_HOST, "--protocol", "icmp",
                 "--count", "8")
    with iperf_server(bed.topology.vpc_host, VPC_HOST, bed.directory / "iperf3.log"):
        iperf(bed.topology.idc_host, VPC_HOST, kilobytes=100)
    expect(some.exit_code is None, f"it ended without a ping:\n{some.output()}")
    must_ping(bed.topology.vpc_host, IDC_HOST, count=PINGS)
    wait_for("the capture to end by itself", lambda: some.exit_code is not None, 5)
    expect(some.exit_code == 0, some.output())
    left_out = re.search(r"^8 captured, 0 missed .* (\d+) left out", some.output(), re.MULTILINE)
    expect(left_out is not None and int(left_out[1]) > 50, f"TCP was not left out:\n{some.output()}")
    found = packets(bed.directory / "some.pcapng")
    expect(sum(found.values()) == 8, f"it has {dict(found)}")
    expect(all((interface, protocol) == ("tun-1/inner", "1") for interface, _, _, _, protocol in found), f"{dict(found)}")

    bed.step("pipe one into tshark, live")
    pipe = f"{binary()} capture --socket {gateway.socket} --duration 2s --side outer | tshark -n -r - -T fields -e esp.spi"
    live = bed.topology.bordergate.start("tshark", ["sh", "-c", pipe], bed.directory / "live.log")
    wait_for("the capture to begin", lambda: "capturing" in live.output(), 5)
    must_ping(bed.topology.vpc_host, IDC_HOST)
    wait_for("tshark to end", lambda: live.exit_code is not None, 10)
    expect(live.exit_code == 0 and live.output().count("\n0x") >= 10, live.output())

    bed.step("ask for what there is not")
    wrong(bed, gateway)


def begin(bed: Bed, gateway: Gateway, name: str, *arguments: str) -> Daemon:
    """Start a capture into a file; returns once it is on."""
    capture = bed.topology.bordergate.start(f"capture {name}", [
        str(binary()), "capture", "--socket", str(gateway.socket), "--write", str(bed.directory / f"{name}.pcapng"),
        *arguments], bed.directory / f"capture-{name}.log")
    wait_for("the capture to begin", lambda: "capturing tun-1" in capture.output(), 5)
    return capture


def end(capture: Daemon) -> str:
    """Stop it as Ctrl-C does; its last line."""
    code = capture.stop()
    expect(code == 0, f"it ended with {code}:\n{capture.tail()}")
    return capture.tail(1)


def packets(path: Path) -> Counter[tuple[str, str, str, str, str]]:
    """How many packets there are of an interface, a direction (1 in, 2 out), two ends and a protocol."""
    command = ["tshark", "-n", "-r", str(path), "-T", "fields", "-E", "separator= "]
    for name in ("frame.interface_name", "frame.packet_flags_direction", "ip.src", "ip.dst", "ip.proto"):
        command += ["-e", name]
    done = run_command(command, timeout=30)
    found: Counter[tuple[str, str, str, str, str]] = Counter()
    for line in done.stdout.splitlines():
        interface, direction, source, destination, protocol = line.split()
        found[(interface, str(int(direction, 16)), source, destination, protocol)] += 1
    return found


def both_sides(path: Path, least: int) -> None:
    """tshark sees ICMP of the hosts in clear, and as many ESP packets in UDP of the gateways, either way."""
    found = packets(path)
    ways = (("2", (VPC_HOST, IDC_HOST), (BORDERGATE_WAN, CUSTOMER_WAN)),
            ("1", (IDC_HOST, VPC_HOST), (CUSTOMER_WAN, BORDERGATE_WAN)))
    seen = 0
    for direction, inner, outer in ways:
        clear = found.pop(("tun-1/inner", direction, *inner, "1"), 0)
        sealed = found.pop(("tun-1/outer", direction, *outer, "17"), 0)
        expect(clear == sealed >= least // 2, f"{clear} in clear and {sealed} sealed, of {least // 2}: {dict(found)}")
        seen += clear
    expect(not found, f"it has other packets as well: {dict(found)}")
    esp = run_command(["tshark", "-n", "-r", str(path), "-Y", "udp.port == 4500 && esp"], timeout=30)
    expect(len(esp.stdout.splitlines()) == seen, "not everything in UDP is ESP")


def wrong(bed: Bed, gateway: Gateway) -> None:
    """Errors name what, where and what is allowed, and a file that is there is not touched."""
    socket, nowhere = str(gateway.socket), str(bed.directory / "nowhere")
    before = (bed.directory / "all.pcapng").read_bytes()
    for arguments, code, words in (
            (("tun-9", "--socket", socket, "--write", str(bed.directory / "all.pcapng")), 1, r'"tun-9"; there are tun-1'),
            (("--socket", nowhere), 1, "no gateway listens on .*nowhere"),
            (("--socket", socket, "--write", nowhere + "/file"), 1, "nowhere/file"),
            (("--socket", socket, "--protocol", "gre"), 2, "tcp, udp, icmp or a number"),
            (("--help",), 0, r"(?s)in clear.*0600.*tshark -r -")):
        done = run_command([str(binary()), "capture", *arguments], check=False, timeout=10)
        said = done.stdout + done.stderr
        expect(done.returncode == code, f"{arguments} ended with {done.returncode}, not {code}:\n{said}")
        expect(re.search(words, said) is not None, f"{arguments} does not say /{words}/:\n{said}")
    expect((bed.directory / "all.pcapng").read_bytes() == before, "a capture that was refused has emptied a file")
