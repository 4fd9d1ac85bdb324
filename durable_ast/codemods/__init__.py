"""Moving in: programs written for another library become programs of this one.

A `Source` knows one library that programs come from, and what has to change in a file.  Files are
changed by libcst, so formatting and comments survive; what only a person can decide is pointed out.
It needs the extra ``migrate``.
"""

from __future__ import annotations

import difflib
import io
import tokenize
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Note:
    """Something in a file that a person should look at.

    Attributes:
        line: where, from 1.
        text: what it is about.
    """

    line: int
    text: str


@dataclass(frozen=True, slots=True)
class Migrated:
    """What a file becomes.

    Attributes:
        path: the file.
        before, after: its text.
        notes: what to look at, in the order of the lines of the text before.
        encoding: of the file.
    """

    path: Path
    before: str
    after: str
    notes: tuple[Note, ...]
    encoding: str

    @property
    def diff(self) -> str:
        """The change as a unified diff; empty if there is none."""
        before, after = self.before.splitlines(keepends=True), self.after.splitlines(keepends=True)
        return "".join(difflib.unified_diff(before, after, str(self.path), str(self.path)))

    def write(self) -> None:
        """Change the file."""
        self.path.write_bytes(self.after.encode(self.encoding))


class Source(Protocol):
    """A library that programs come from."""

    name: str
    """What it is called in messages."""

    def migrate(self, text: str) -> tuple[str, Sequence[Note]]:
        """The text of a module as it should be, and what to look at in it.

        A text that does not use the library stays as it is.

        Raises:
            SyntaxError: it is no Python.
        """


def python_files(paths: Sequence[Path]) -> Iterator[Path]:
    """The files, and the Python files in the folders; none whose path has a hidden part."""
    for path in paths:
        if path.is_dir():
            inside = path.rglob("*.py")
            yield from sorted(file for file in inside if not _is_hidden(file.relative_to(path)))
        else:
            yield path


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def migrate(path: Path, source: Source) -> Migrated | None:
    """What a file becomes; None if it does not use the library.

    Raises:
        OSError, UnicodeDecodeError: it cannot be read.
        SyntaxError: it is no Python.
    """
    data = path.read_bytes()
    encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
    before = data.decode(encoding)
    after, notes = source.migrate(before)
    if after == before and not notes:
        return None
    return Migrated(path, before, after, tuple(sorted(notes, key=lambda note: note.line)), encoding)
