"""Tracebacks without the library's own frames."""

from __future__ import annotations

import asyncio
import os
import traceback as traceback_module
from types import TracebackType

_PACKAGE = os.path.dirname(os.path.dirname(__file__)) + os.sep
_MACHINERY = _PACKAGE, os.path.dirname(asyncio.__file__) + os.sep


def without_library_frames(traceback: TracebackType | None) -> TracebackType | None:
    """Skip the frames of the library at the outer end, down to the first one of the user's."""
    first = traceback
    while first is not None and first.tb_frame.f_code.co_filename.startswith(_PACKAGE):
        first = first.tb_next
    return traceback if first is None else first


def without_our_frame(traceback: TracebackType | None) -> TracebackType | None:
    """Skip the outermost frame if it is the library's."""
    if traceback is None or not traceback.tb_frame.f_code.co_filename.startswith(_PACKAGE):
        return traceback
    return traceback.tb_next


def own_lines(error: BaseException) -> str:
    """The report of an error, and of those that led to it, with the user's frames only."""
    report = traceback_module.TracebackException.from_exception(error)
    parts = [report]
    while parts:
        part = parts.pop()
        part.stack = traceback_module.StackSummary.from_list(
            [frame for frame in part.stack if not frame.filename.startswith(_MACHINERY)]
        )
        parts += [inner for inner in (part.__cause__, part.__context__, *(part.exceptions or ())) if inner is not None]
    return "".join(report.format())
