"""Long-running programs: started with their output in a file, stopped without leaving anything behind."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


class Failure(Exception):
    """Something did not behave as it must; the text is what the user reads."""


class CommandFailed(Failure):
    """A command ended with an exit code that was not expected."""

    def __init__(self, command: Sequence[str], code: int, output: str) -> None:
        self.code = code
        self.output = output
        shown = " ".join(command)
        tail = "\n".join(output.strip().splitlines()[-15:])
        super().__init__(f"`{shown}` ended with {code}" + (f":\n{tail}" if tail else ""))


def run(command: Sequence[str], *, timeout: float = 30, check: bool = True, stdin: str | None = None,
        env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, bounded in time. With `check`, a non-zero exit is a `CommandFailed`."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, input=stdin, env=env,
                              errors="replace")
    except subprocess.TimeoutExpired as expired:
        raise Failure(f"`{' '.join(command)}` took longer than {timeout:.0f} s") from expired
    except FileNotFoundError as missing:
        raise Failure(f"`{command[0]}` is not installed: run testbed/install-packages") from missing
    if check and done.returncode != 0:
        raise CommandFailed(command, done.returncode, done.stderr + done.stdout)
    return done


def wait_for(what: str, condition: Callable[[], T | None], timeout: float = 10, every: float = 0.05) -> T:
    """Poll until `condition` gives something true, and give that back; `Failure` after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() >= deadline:
            raise Failure(f"waited {timeout:g} s in vain for {what}")
        time.sleep(every)


class Daemon:
    """A program that keeps running until it is stopped. Its output, both streams, is in `log`."""

    def __init__(self, name: str, command: Sequence[str], log: Path, *, env: dict[str, str] | None = None,
                 outlives_us: bool = False) -> None:
        self.name = name
        self.log = log
        self._log_start = log.stat().st_size if log.exists() else 0
        log.parent.mkdir(parents=True, exist_ok=True)

        def before_exec() -> None:
            # A killed test run must not leave daemons behind that hold the namespaces alive.
            if not outlives_us:
                _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)

        with log.open("ab") as sink:
            # A session of its own: Ctrl-C reaches the test run, which then stops its daemons in order.
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=sink, stderr=subprocess.STDOUT,
                                             env=env, start_new_session=True, preexec_fn=before_exec)

    def kill(self) -> None:
        """SIGKILL: no chance to clean up."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()

    def stop(self, timeout: float = 10) -> int:
        """SIGTERM, and the exit code; SIGKILL and a `Failure` if it does not end in time."""
        if self._process.poll() is None:
            self._process.terminate()
        try:
            return self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            raise Failure(f"{self.name} did not end within {timeout:g} s of SIGTERM") from None

    def hurry(self, *, real_time: bool = True) -> None:
        """Prefer it to whatever else this machine does: for what has to be on time while others are measured, too.

        A program that may be busy for long must not be run in real time, where it would leave nothing to others.
        """
        # Where the kernel groups threads by session (sched(7), autogroup), groups compete, and a thread's own niceness counts
        # within its group alone.
        group = Path(f"/proc/{self.pid}/autogroup")
        if not real_time and group.exists():
            group.write_text("-20")
        for thread in map(int, os.listdir(f"/proc/{self.pid}/task")):
            # One that has ended meanwhile needs nothing.
            with contextlib.suppress(ProcessLookupError):
                if real_time:
                    os.sched_setscheduler(thread, os.SCHED_FIFO, os.sched_param(1))
                else:
                    os.setpriority(os.PRIO_PROCESS, thread, -20)

    @property
    def pid(self) -> int:
        """The process id; namespaces are entered by exec, so it is the program's own."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""
        return self._process.poll()

    def output(self) -> str:
        """What this run of it has written so far (an earlier run may have written to the same file)."""
        with self.log.open("rb") as source:
            source.seek(self._log_start)
            return source.read().decode(errors="replace")

    def tail(self, lines: int = 25) -> str:
        """The last lines it has written."""
        return "\n".join(self.output().splitlines()[-lines:])


class Program:
    """What there is one daemon of, which may be running or not."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._daemon: Daemon | None = None

    def runs_as(self, daemon: Daemon) -> None:
        """It was started: this is it."""
        self._daemon = daemon

    def stop(self) -> None:
        """Clean shutdown: its peers are told."""
        if self._daemon is not None:
            self._daemon.stop()
            self._daemon = None

    def kill(self) -> None:
        """Die silently, as a device that lost power."""
        if self._daemon is not None:
            self._daemon.kill()
            self._daemon = None

    @property
    def daemon(self) -> Daemon:
        """The running process."""
        if self._daemon is None:
            raise Failure(f"{self.name} is not running")
        return self._daemon

    @property
    def running(self) -> bool:
        """Whether it was started and neither stopped nor killed."""
        return self._daemon is not None


def end_process(pid: int, timeout: float = 3) -> None:
    """End a process that is not our child: SIGTERM first, SIGKILL if it stays."""
    deadline = time.monotonic() + timeout
    try:
        os.kill(pid, signal.SIGTERM)
        while time.monotonic() < deadline:
            os.kill(pid, 0)
            if Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z":
                return
            time.sleep(0.05)
        os.kill(pid, signal.SIGKILL)
    except (ProcessLookupError, FileNotFoundError):
        return
