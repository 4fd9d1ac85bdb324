"""Let go of suspended frames without running what is left of them.

CPython closes a coroutine or generator that is dropped while it is suspended: it throws
``GeneratorExit`` into it, and the user's ``finally`` blocks run.  An instance that only leaves
memory has not left those blocks, so nothing of it may run.

CPython runs the finalizer of an object once at most (PEP 442) and keeps a mark on the object that
says it has.  Setting that mark is all it takes: the frame is then freed, with all it refers to, and
nothing in it is executed.  The mark has no name in the C API; it is one bit in front of the object,
and `gc.is_finalized` tells whether the right one was set.
"""

from __future__ import annotations

import gc
import sys
from types import AsyncGeneratorType, CoroutineType, GeneratorType
from typing import Any, TypeAlias

Suspended: TypeAlias = "CoroutineType[Any, Any, Any] | GeneratorType[Any, Any, Any] | AsyncGeneratorType[Any, Any]"

_FINALIZED = 1

_kept: list[Suspended] = []
"""Where the mark cannot be set (another layout of objects), frames are kept for good instead."""


def discard(suspended: Suspended) -> None:
    """Make sure that dropping `suspended` runs nothing of it."""
    if gc.is_finalized(suspended):
        return
    if _has_known_layout():
        import ctypes  # takes milliseconds, and few processes let go of anything

        # PyGC_Head is two words in front of the object; the mark is in the second
        word = ctypes.sizeof(ctypes.c_void_p)
        ctypes.c_size_t.from_address(id(suspended) - word).value |= _FINALIZED
    if not gc.is_finalized(suspended):
        _kept.append(suspended)


def _has_known_layout() -> bool:
    free_threaded = not getattr(sys, "_is_gil_enabled", lambda: True)()
    return sys.implementation.name == "cpython" and not free_threaded
