"""`bordergate check` accepts the example and refuses broken files with file, line, field, value and what is allowed."""

from __future__ import annotations

from dataclasses import dataclass

from .. import process
from ..gateway import REPOSITORY, binary
from ..scenario import Bed, expect

WITHOUT_PACKETS = True


@dataclass(frozen=True)
class Broken:
    """One line of the example replaced, and what the message about it must hold besides file and line."""

    line: str
    instead: str
    message: tuple[str, ...]


BROKEN = (
    Broken('replay_window = 1024', 'replay_window = 32', ("replay_window", "32", "64 to 4096")),
    Broken('startup = "initiate"', 'startup = "begin"', ("startup", "begin", "initiate", "respond")),
    Broken('asn = 65000 ', 'asn = 0', ("asn", "0", "1 to 4294967294")),
    Broken('key_exchange = ["x25519", "ecp256"]', 'key_exchange = ["modp768"]', ("key_exchange", "modp768", "x25519")),
    Broken('local_address = "203.0.113.1"', 'local_address = "203.0.113.9"', ("local_address", "203.0.113.9")),
    Broken('vpn_connection = "conn-1"', 'vpn_connection = "conn-2"', ("vpn_connection", "conn-2", "conn-1")),
    Broken('prefixes = ["10.1.0.0/16"]', 'prefixes = ["10.1.0.0/33"]', ("prefixes", "10.1.0.0/33")),
    Broken('admin = "up"', 'admni = "up"', ("admni",)),
    Broken('esn = true', 'esn = ', ()),
)


def check(path: str) -> tuple[int, str]:
    """Exit code and standard error of `bordergate check`."""
    done = process.run([str(binary()), "check", path], check=False)
    return done.returncode, done.stderr


def run(bed: Bed) -> None:
    example = REPOSITORY / "examples" / "static.toml"
    bed.step("check the example")
    code, errors = check(str(example))
    expect(code == 0, f"the example is refused with {code}:\n{errors}")

    text = example.read_text()
    for number, broken in enumerate(BROKEN):
        bed.step(f"check a file with `{broken.instead}`")
        lines = text.splitlines()
        at = next(index for index, line in enumerate(lines) if line.startswith(broken.line))
        lines[at] = broken.instead
        path = bed.directory / f"broken-{number}.toml"
        path.write_text("\n".join(lines) + "\n")
        code, errors = check(str(path))
        expect(code == 2, f"exit code {code} instead of 2:\n{errors}")
        expect(f"{path.name}:{at + 1}:" in errors, f"no `{path.name}:{at + 1}:` in:\n{errors}")
        for part in broken.message:
            expect(part in errors, f"nothing about `{part}` in:\n{errors}")
        expect("correct_horse_battery" not in errors, f"the message gives the pre-shared key away:\n{errors}")

    bed.step("check a file that is not there")
    code, errors = check(str(bed.directory / "nowhere.toml"))
    expect(code == 2 and "nowhere.toml" in errors, f"exit code {code}:\n{errors}")
