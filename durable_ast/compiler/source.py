"""A function as it stands in its file: facts, and the text they are about.

`locate.py` finds them, with the tree of the whole file; here is what can be known without one.
"""

from __future__ import annotations

import hashlib
import linecache
import re
import sys
from dataclasses import dataclass, field
from functools import cached_property
from types import CodeType
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from .lowered import FunctionNode

Namespace: TypeAlias = dict[str, Any]

COMMAND = "<string>"
"""The file name of what ``python -c`` runs."""

REWRITTEN = 1000
"""Ordinals from here on are of generator expressions that stand in the text as other comprehensions."""


@dataclass(frozen=True, slots=True, order=True)
class FunctionKey:
    """Which function: the module, the qualified name, and how many of that name precede it there."""

    module: str
    qualname: str
    ordinal: int

    def __str__(self) -> str:
        return f"{self.module}:{self.qualname}" + (f"#{self.ordinal}" if self.ordinal else "")


class FileText:
    """The text of a file, or of what stands for one.

    Attributes:
        filename: its name.
        lines: the lines, with their ends.
    """

    def __init__(self, filename: str, lines: list[str]) -> None:
        self.filename = filename
        self.lines = lines

    @cached_property
    def text(self) -> str:
        """The whole."""
        return "".join(self.lines)

    @cached_property
    def digest(self) -> bytes:
        """16 bytes that stand for it."""
        return hashlib.blake2b(self.text.encode("utf-8", "surrogatepass"), digest_size=16).digest()

    def between(self, first: int, last: int) -> str:
        """The lines from one number to another."""
        return "".join(self.lines[first - 1 : last])


@dataclass(frozen=True, slots=True, eq=False)
class FunctionSource:
    """A function as it stands in its file.

    Attributes:
        key: which function it is.
        plain: the code that CPython made of it.
        class_name: the class whose private names it uses.
        file: the text that it stands in.
        imports: the names that the module imports: CPython compiles a call of a method on one
            differently.
        lines: its first and last line.
        statement_lines: those of the top-level statement of the module that holds it.
        version: a hash of its structure: comments, layout and docstrings do not change it.
    """

    key: FunctionKey
    plain: CodeType
    class_name: str | None
    file: FileText
    imports: tuple[str, ...]
    lines: tuple[int, int]
    statement_lines: tuple[int, int]
    version: str
    _node: list[FunctionNode] = field(default_factory=list)

    @property
    def filename(self) -> str:
        return self.file.filename

    @property
    def text(self) -> str:
        """The lines of the function."""
        return self.file.between(*self.lines)

    @property
    def statement(self) -> str:
        """The lines of the top-level statement that holds it."""
        return self.file.between(*self.statement_lines)

    @property
    def node(self) -> FunctionNode:
        """Its tree, parsed when it is first wanted."""
        if not self._node:
            from .locate import node_of  # a function that was compiled before is not parsed again

            self._node.append(node_of(self))
        return self._node[0]


_files: dict[str, FileText] = {}


def read(filename: str, namespace: Namespace) -> FileText | None:
    """The text of a file; None if it is nowhere to be found."""
    linecache.lazycache(filename, namespace)
    lines = linecache.getlines(filename, namespace) or _typed(filename) or _command(filename, namespace)
    if not lines:
        return None
    known = _files.get(filename)
    if known is None or known.lines != lines:
        known = _files[filename] = FileText(filename, lines)
    return known


def _typed(filename: str) -> list[str]:
    """What was typed into the interpreter: since Python 3.14 it is kept by code object, and each
    statement has a file name of its own."""
    if filename == COMMAND:
        return []  # others are called so too
    kept: dict[Any, Any] = getattr(linecache, "_interactive_cache", {})
    entries = (entry for (name, *_), entry in kept.items() if name == filename)
    return next((entry[2] for entry in entries if len(entry) > 2), [])


def _command(filename: str, namespace: Namespace) -> list[str]:
    """The text of ``python -c TEXT``."""
    if filename != COMMAND or namespace.get("__name__") != "__main__" or sys.argv[:1] != ["-c"]:
        return []
    option = next((i for i, word in enumerate(sys.orig_argv) if re.fullmatch("-[A-Za-z]*c", word)), None)
    return [] if option is None else sys.orig_argv[option + 1].splitlines(keepends=True)
