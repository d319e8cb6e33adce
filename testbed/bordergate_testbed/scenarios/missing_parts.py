"""A missing privilege, interface, address or daemon is told in one line that says what is missing; nothing panics."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from ..gateway import Site, Tunnel, binary
from ..process import Failure, run as run_command
from ..scenario import Bed, expect

WITHOUT_PACKETS = True


def refused(what: str, command: Sequence[str], wanted: str) -> None:
    """The command must end soon with an error whose last line matches `wanted`, whatever the case."""
    done = run_command(command, check=False, timeout=20)
    errors = done.stderr.strip()
    expect(done.returncode != 0, f"{what}: exit code 0")
    expect("panicked" not in errors, f"{what}: it panics:\n{errors}")
    last = errors.splitlines()[-1] if errors else ""
    if not re.search(wanted, last, re.IGNORECASE):
        raise Failure(f"{what}: the last line should match /{wanted}/:\n{errors}")


def run(bed: Bed) -> None:
    namespace = bed.topology.bordergate
    # A place where another user may read the program and the file.
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        open_folder = Path(folder)
        open_folder.chmod(0o755)
        program = str(shutil.copy(binary(), open_folder))
        file = open_folder / "bordergate.toml"
        control = ("--socket", str(open_folder / "sock"), "--pin-dir", str(open_folder / "bpf"))

        file.write_text(Site().render())
        bed.step("run as nobody")
        refused("as nobody",
                namespace.command("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups",
                                  program, "run", str(file), *control),
                r"root|privilege|capabilit|CAP_")
        bed.step("run as root without capabilities")
        refused("without capabilities",
                namespace.command("setpriv", "--bounding-set=-all", "--inh-caps=-all",
                                  program, "run", str(file), *control),
                r"root|privilege|capabilit|CAP_")

        bed.step("run with a VPC interface that does not exist")
        file.write_text(Site(vpc_interface="vpc9").render())
        refused("without the VPC interface", namespace.command(program, "run", str(file), *control),
                r"interface.*vpc9|vpc9.*interface")

        bed.step("run with a WAN interface that does not exist")
        file.write_text(Site().render())
        refused("without the WAN interface", namespace.command(program, "run", str(file), "--wan", "wan9", *control),
                r"interface.*wan9|wan9.*interface")

        bed.step("run with an address that this host does not have")
        file.write_text(Site(tunnel=Tunnel(local="203.0.113.77")).render())
        refused("without the address", namespace.command(program, "run", str(file), *control), r"203\.0\.113\.77")

        bed.step("ask for the status of a daemon that does not run")
        refused("no daemon", [program, "status", "--socket", str(open_folder / "sock")],
                rf"{re.escape(str(open_folder / 'sock'))}|not running")

        bed.step("see that nothing stays attached")
        links = namespace.ip("-d", "link", "show")
        expect("xdp" not in links, f"an XDP program is still attached:\n{links}")
