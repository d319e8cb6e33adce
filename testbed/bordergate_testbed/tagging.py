"""Links in a VLAN (IEEE 802.1Q) whose ends need no VLAN devices, which a kernel may come without."""

from __future__ import annotations

import platform
from pathlib import Path

from .namespace import Namespace
from .process import run

_SOURCE = Path(__file__).with_name("tagging.bpf.c")


def put_into_vlan(namespace: Namespace, interface: str, vlan: int, directory: Path) -> None:
    """Have a namespace's kernel send and receive on this interface in a VLAN, as on a switch's access port.

    Done by its traffic control, so that captures on the interface show the tags, and so does XDP: both come before.
    """
    program = directory / f"tagging-{vlan}.o"
    if not program.exists():
        # Where Debian keeps <asm/types.h>; elsewhere there is no such place, and no need of one.
        include = f"/usr/include/{platform.machine()}-linux-gnu"
        run(["clang", "-O2", "-target", "bpf", f"-I{include}", f"-DVLAN={vlan}", "-c", str(_SOURCE), "-o", str(program)])
    # In the frame, where XDP looks, instead of beside it.
    namespace.run("ethtool", "-K", interface, "txvlan", "off")
    namespace.run("tc", "qdisc", "add", "dev", interface, "clsact")
    for hook in ("egress", "ingress"):
        namespace.run("tc", "filter", "add", "dev", interface, hook, "bpf", "direct-action", "object-file", str(program),
                      "section", f"tc/{hook}")


def has_vlan_devices(namespace: Namespace, interface: str, vlan: int) -> bool:
    """Make a VLAN device of an interface, named as usual; whether the kernel can."""
    command = ("ip", "link", "add", "link", interface, "name", f"{interface}.{vlan}", "type", "vlan", "id", str(vlan))
    return namespace.run(*command, check=False).returncode == 0
