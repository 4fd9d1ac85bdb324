"""A document as a session: its files are written, its commands are run, its output is compared.

A fenced block ``python NAME`` is a file; ``python`` alone is a program that has to run; in a
``console`` block, lines after ``$ `` are commands and the lines below each are what it prints, where
``...`` stands for anything.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
_FENCE = re.compile(r"^```(\w+)[ ]?(\S*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Fence:
    """One fenced block of a document."""

    kind: str
    name: str
    text: str
    line: int


def fences(document: Path) -> list[Fence]:
    """The fenced blocks of a document, in order."""
    text = document.read_text()
    return [
        Fence(found[1], found[2], found[3], text.count("\n", 0, found.start()) + 2) for found in _FENCE.finditer(text)
    ]


class Session:
    """A folder in which the blocks of a document are carried out."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def carry_out(self, fence: Fence) -> None:
        """Do what a block says."""
        match fence.kind:
            case "python" if fence.name:
                (self._folder / fence.name).write_text(fence.text)
            case "python":
                code, output = self._run([sys.executable, "-W", "error", "-c", fence.text])
                assert code == 0, output
            case "console":
                for command, expected in _commands(fence.text):
                    code, output = self._run(_words(command))
                    if code == -signal.SIGKILL:
                        output += "Killed\n"  # the shell says so
                    assert re.fullmatch(_pattern(expected), output), f"$ {command}\n{output}"

    def _run(self, words: list[str]) -> tuple[int, str]:
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "100"}
        ran = subprocess.run(
            words,
            cwd=self._folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=120,
        )
        return ran.returncode, "".join(line.rstrip() + "\n" for line in ran.stdout.splitlines())


def _words(command: str) -> list[str]:
    words = shlex.split(command)
    commands = {"python": [sys.executable], "durable-ast": [sys.executable, "-m", "durable_ast.cli"]}
    return [*commands[words[0]], *words[1:]]


def _commands(text: str) -> list[tuple[str, str]]:
    """The commands of a console block, each with what it prints."""
    found = re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", text, re.MULTILINE)
    assert found, text
    return found


def _pattern(expected: str) -> str:
    return re.escape(expected).replace(re.escape("...\n"), "(?:.*\n)*?").replace(re.escape("..."), ".*")
