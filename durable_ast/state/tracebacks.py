"""Tracebacks in a snapshot: the lines they print, with the marks under the expressions.

A traceback refers to frames, and nobody but the interpreter can make a frame.  So for each line a
piece of code is run that raises in that place: same file, same name, same line and columns.
"""

from __future__ import annotations

import ast
import itertools
from types import CodeType, TracebackType
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
    for line in reversed(lines):
        raised = _raised_at(*line)
        traceback = TracebackType(traceback, raised.tb_frame, raised.tb_lasti, raised.tb_lineno)
    return traceback


def _raised_at(
    filename: str, name: str, qualname: str, module: str | None, line: int | None, place: Place
) -> TracebackType:
    """A traceback of one line."""
    code = compile(_raise_at(line, place), filename, "exec", dont_inherit=True)
    code = code.replace(co_name=name, co_qualname=qualname)
    namespace: dict[str, Any] = {"__name__": module, "__builtins__": {}, "error": _Here}
    raised: TracebackType | None = None
    try:
        exec(code, namespace)
    except _Here as error:
        raised = error.__traceback__
    assert raised is not None and raised.tb_next is not None
    return raised.tb_next


def _raise_at(line: int | None, place: Place) -> ast.Module:
    first, last, column, last_column = place
    known = (first or line or 1, column or 0, last or first or line or 1, last_column or 0)
    where = dict(zip(("lineno", "col_offset", "end_lineno", "end_col_offset"), known, strict=True))
    return ast.Module([ast.Raise(ast.Name("error", ast.Load(), **where), None, **where)], [])


class _Here(Exception):
    """Raised for its traceback."""
