"""Tracebacks without the library's own frames."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType

_PACKAGE = str(Path(__file__).parent.parent)


def without_library_frames(traceback: TracebackType | None) -> TracebackType | None:
    """Skip the frames of the library at the outer end, down to the first one of the user's."""
    first = traceback
    while first is not None and first.tb_frame.f_code.co_filename.startswith(_PACKAGE):
        first = first.tb_next
    return traceback if first is None else first
