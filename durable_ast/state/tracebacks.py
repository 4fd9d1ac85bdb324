"""Tracebacks in a snapshot: the lines they print, with the marks under the expressions.

A traceback refers to frames, and nobody but the interpreter can make a frame.  So for each line there
is a generator that would raise in that place: same file, same name, same line and columns.  It is
never started: the frame of one that runs would hold on to all the frames that it was called from.
"""

from __future__ import annotations

import ast
import dis
import functools
import itertools
from types import CodeType, FunctionType, TracebackType
from typing import Any, TypeAlias

from .snapshot import Reduced, register

Place: TypeAlias = tuple[int | None, int | None, int | None, int | None]
"""Line, last line, column and last column."""

Line: TypeAlias = tuple[str, str, str, str | None, int | None, Place]
"""File name, name and qualified name of the code, name of the module, line, and place in it."""


def register_all() -> None:
    """Let snapshots save tracebacks."""
    register(TracebackType, _reduce)


def _reduce(traceback: TracebackType) -> Reduced:
    lines: list[Line] = []
    link: TracebackType | None = traceback
    while link is not None:
        code = link.tb_frame.f_code
        module = link.tb_frame.f_globals.get("__name__")
        place = _place(code, link.tb_lasti)
        lines.append((code.co_filename, code.co_name, code.co_qualname, module, link.tb_lineno, place))
        link = link.tb_next
    return _restored, (lines,)


def _place(code: CodeType, instruction: int) -> Place:
    return next(itertools.islice(code.co_positions(), instruction // 2, None), (None, None, None, None))


def _restored(lines: list[Line]) -> TracebackType | None:
    traceback: TracebackType | None = None
    for filename, name, qualname, module, line, place in reversed(lines):
        code, instruction = _raising(filename, name, qualname, line, place)
        namespace: dict[str, Any] = {"__name__": module, "__builtins__": {}}
        generator = FunctionType(code, namespace)()
        traceback = TracebackType(traceback, generator.gi_frame, instruction, line or code.co_firstlineno)
    return traceback


@functools.lru_cache(maxsize=256)
def _raising(filename: str, name: str, qualname: str, line: int | None, place: Place) -> tuple[CodeType, int]:
    """The code of a generator that raises in a place, and the instruction that does."""
    module = compile(_raise_at(line, place), filename, "exec", dont_inherit=True)
    code: CodeType = next(value for value in module.co_consts if isinstance(value, CodeType))
    raises = (at.offset for at in dis.get_instructions(code) if at.opname == "RAISE_VARARGS")
    return code.replace(co_name=name, co_qualname=qualname), next(raises)


def _raise_at(line: int | None, place: Place) -> ast.Module:
    first, last, column, last_column = place
    known = (first or line or 1, column or 0, last or first or line or 1, last_column or 0)
    module = ast.parse("def generator():\n raise error\n yield")
    for node in ast.walk(module):
        if "lineno" in node._attributes:
            node.lineno, node.col_offset, node.end_lineno, node.end_col_offset = known  # type: ignore[attr-defined]
    return module
