"""Plays the scenarios one after the other and says how each ended."""

from __future__ import annotations

import argparse
import contextlib
import fnmatch
import json
import multiprocessing
import os
import re
import shutil
import signal
import sys
from multiprocessing.connection import Connection as PipeEnd
from pathlib import Path
from types import FrameType

from . import requirement
from .gateway import unmount_below
from .namespace import Namespace, remove_all
from .scenario import Bed, Outcome, Scenario
from .scenarios import ORDER


def main() -> int:
    """The exit code of `testbed/test`, as far as scenarios decide it."""
    arguments = _arguments()
    scenarios = _selected(arguments.only)
    if arguments.list:
        for scenario in scenarios:
            print(f"{scenario.name:<16} {scenario.proves}")
        return 0
    if not scenarios:
        print(f"test: no scenario matches {arguments.only!r}; testbed/test --list shows the names", file=sys.stderr)
        return 2

    # Ctrl-C and SIGTERM both unwind, so that the running scenario takes its namespaces down.
    signal.signal(signal.SIGTERM, _interrupt)
    _remove_what_died()
    prefix = f"bgt{os.getpid()}-"
    directory = _directory(os.getpid())
    outcomes: list[Outcome] = []
    asides: list[Aside] = []

    def told(outcome: Outcome) -> None:
        outcomes.append(outcome)
        _tell(outcome, directory, arguments.json)

    try:
        lacking = requirement.missing()
        if lacking is None:
            asides += [Aside(scenario, prefix, directory) for scenario in scenarios if scenario.mostly_waits]
        for scenario in scenarios:
            if lacking is not None:
                told(Outcome(scenario.name, "SKIP", 0, lacking, ""))
            elif not scenario.mostly_waits:
                _show_running(scenario.name)
                told(_play(scenario, prefix, directory))
        for aside in asides:
            _show_running(aside.name)
            told(aside.outcome())
    except KeyboardInterrupt:
        for aside in asides:
            aside.stop()
        shutil.rmtree(directory, ignore_errors=True)
        print("test: interrupted; the namespaces are removed", file=sys.stderr)
        return 130
    finally:
        remove_all(prefix)

    passed, failed, skipped = (sum(outcome.result == result for outcome in outcomes)
                               for result in ("PASS", "FAIL", "SKIP"))
    if not failed:
        shutil.rmtree(directory, ignore_errors=True)
    if arguments.json:
        print(json.dumps({"passed": passed, "failed": failed, "skipped": skipped,
                          "failed_before": arguments.failed_before}))
    else:
        for what in arguments.failed_before:
            print(f"FAIL  {what} (above)")
        print(f"{passed} passed, {failed} failed, {skipped} skipped")
    return 1 if failed or arguments.failed_before or (skipped and arguments.require_all) else 0


class Aside:
    """A scenario that mostly waits, played in a process of its own beside the others."""

    def __init__(self, scenario: Scenario, prefix: str, directory: Path) -> None:
        self.name = scenario.name
        context = multiprocessing.get_context("fork")
        self._result, sink = context.Pipe(duplex=False)
        self._process = context.Process(target=_play_aside, args=(scenario, prefix, directory, sink))
        self._process.start()
        # Only its own process still holds the other end: when that dies, we are told.
        sink.close()

    def outcome(self) -> Outcome:
        """Wait for its end."""
        try:
            outcome: Outcome = self._result.recv()
        except EOFError:
            self._process.join()
            return Outcome(self.name, "FAIL", 0, f"its process ended with {self._process.exitcode}", "")
        self._process.join()
        return outcome

    def stop(self) -> None:
        """End it before its time; it takes its namespaces down."""
        if self._process.is_alive():
            self._process.terminate()
        self._process.join()


def _play_aside(scenario: Scenario, prefix: str, directory: Path, sink: PipeEnd) -> None:
    with contextlib.suppress(KeyboardInterrupt):
        sink.send(_play(scenario, prefix, directory))


def _show_running(name: str) -> None:
    if sys.stderr.isatty():
        print(f"...   {name:<16}", end="\r", file=sys.stderr, flush=True)


def _directory(pid: int) -> Path:
    return Path(f"/tmp/bordergate-test-{pid}")


def _remove_what_died() -> None:
    """Namespaces and mounts of test runs that were killed; their files stay, somebody may want to read them."""
    for path in Path("/run/netns").glob("bgt*-*") if Path("/run/netns").exists() else []:
        pid = re.match(r"bgt(\d+)-", path.name)
        if pid and not Path(f"/proc/{pid[1]}").exists():
            Namespace(path.name).remove()
            unmount_below(_directory(int(pid[1])))


def _play(scenario: Scenario, prefix: str, directory: Path) -> Outcome:
    own = directory / scenario.name
    own.mkdir(parents=True, mode=0o700)
    # Scenarios play side by side: none may take another's namespaces for its own.
    outcome = scenario.play(Bed(f"{prefix}{scenario.name}-", own))
    if outcome.result != "FAIL":
        shutil.rmtree(own, ignore_errors=True)
    return outcome


def _tell(outcome: Outcome, directory: Path, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"scenario": outcome.name, "result": outcome.result, "seconds": round(outcome.seconds, 2),
                          "reason": outcome.reason, "step": outcome.step, "notes": outcome.notes}), flush=True)
    reason = f"  {outcome.reason.splitlines()[0]}" if outcome.result == "SKIP" else ""
    out = sys.stderr if as_json else sys.stdout
    print(f"{outcome.result}  {outcome.name:<16} {outcome.seconds:6.1f} s{reason}", file=out)
    for note in outcome.notes:
        print(f"      {note}", file=out)
    if outcome.result == "FAIL":
        print(f"      while trying to: {outcome.step}", file=out)
        for line in outcome.reason.splitlines():
            print(f"      {line}", file=out)
        for name, tail in outcome.logs.items():
            print(f"      -- the end of {name}", file=out)
            for line in tail.splitlines():
                print(f"      | {line}", file=out)
        print(f"      everything of this scenario is kept in {directory / outcome.name}", file=out)
    out.flush()


def _selected(pattern: str | None) -> list[Scenario]:
    folder = Path(__file__).parent / "scenarios"
    files = {path.stem for path in folder.glob("*.py")} - {"__init__"}
    if files != set(ORDER):
        differ = ", ".join(sorted(files ^ set(ORDER)))
        raise SystemExit(f"test: scenarios/__init__.py and the folder differ in: {differ}")
    names = [name for name in ORDER
             if pattern is None or pattern in name or fnmatch.fnmatchcase(name, pattern)]
    return [Scenario.load(name) for name in names]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="testbed/test")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--only", metavar="PATTERN")
    parser.add_argument("--require-all", action="store_true")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--failed-before", metavar="WHAT", action="append", default=[],
                        help="something else failed already; the exit code tells so")
    return parser.parse_args()


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
