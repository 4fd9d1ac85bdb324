"""Starts processes, kills them, and reads what they have logged."""

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
_COMPILED = tempfile.TemporaryDirectory()


@dataclass
class Killer:
    """Kills the processes of one store, again and again."""

    folder: Path
    url: str | None = None
    options: dict[str, Any] = field(default_factory=dict)
    chance: random.Random = field(default_factory=lambda: random.Random(4))
    pids: list[int] = field(default_factory=list)
    kills: int = 0

    @property
    def store(self) -> str:
        """Where the instances are; a file in the folder, if no other place was named."""
        return self.url or str(self.folder / "store.db")

    def start(self, command: str, *args: object) -> subprocess.Popen[str]:
        """A process that is about to begin, in a process group of its own."""
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.kill.victim", command, self.store, *map(str, args)],
            cwd=ROOT,
            env=self._environment(),
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        assert process.pid not in self.pids, "the process has not changed"
        self.pids.append(process.pid)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        return process

    def _environment(self) -> dict[str, str]:
        """What a process is started with: the log, and modules that are compiled once for all of them."""
        environment = {
            **os.environ,
            "KILL_LOG": str(self.folder / "log"),
            "KILL_OPTIONS": json.dumps(self.options),
            "PYTHONPATH": str(ROOT),
            "PYTHONPYCACHEPREFIX": _COMPILED.name,
        }
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        return environment

    def kill(self, process: subprocess.Popen[str]) -> bool:
        """Kill the process group; whether it was still at work."""
        with process:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
        killed = process.returncode == -signal.SIGKILL
        self.kills += killed
        return killed

    def finish(self, process: subprocess.Popen[str]) -> None:
        """Let the process come to its end."""
        try:
            assert process.wait(60) == 0
        finally:
            self.kill(process)

    def wait_for_lines(self, process: subprocess.Popen[str], count: int) -> None:
        """Wait until the process has logged some lines, or has ended."""
        self.wait_until(process, lambda: len(self.lines(process.pid)) >= count)

    def wait_until(self, process: subprocess.Popen[str], condition: Callable[[], bool]) -> None:
        """Wait until something holds, or the process has ended."""
        wait_until(lambda: process.poll() is not None or condition())

    def pause(self, longest: float) -> None:
        """Wait a random time, in seconds."""
        time.sleep(self.chance.uniform(0, longest))

    def lines(self, pid: int | None = None) -> list[list[str]]:
        """The log: process, kind of line, what of; of one process or of all."""
        file = self.folder / "log"
        lines = [line.split(" ", 3) for line in file.read_text().splitlines()] if file.exists() else []
        return [line for line in lines if pid is None or line[0] == str(pid)]

    def steps(self) -> list[tuple[int, int]]:
        """The steps in the order in which they ran, each with its process."""
        return [(int(pid), int(words[0])) for pid, kind, *words in self.lines() if kind == "step"]

    def result(self, instance_id: str) -> Any:
        """The logged result of an instance, which must be one."""
        (result,) = {words[1] for _, kind, *words in self.lines() if kind == "result" and words[0] == instance_id}
        return json.loads(result)


def wait_until(condition: Callable[[], bool]) -> None:
    """Look again and again until it holds."""
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "no progress within a minute"
        time.sleep(0.001)


def repeats(steps: list[tuple[int, int]], *, most: int = 1) -> int:
    """How many steps ran again; fails if one did that must not.

    Steps are numbered in the order of the program.  A process may begin with steps that the one
    before it has run already: the last `most` of them.
    """
    count = 0
    expected = 0
    last: int | None = None
    for pid, number in steps:
        if number != expected:
            assert pid != last, f"step {number} ran after step {expected - 1} in one process"
            assert expected - most <= number < expected, f"step {number} ran again after step {expected - 1}"
            count += expected - number
        expected = number + 1
        last = pid
    return count
