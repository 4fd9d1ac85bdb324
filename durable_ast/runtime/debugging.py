"""A debugger that steps through a durable function stays in the user's code.

`bdb`, on which `pdb` and most others stand, takes a list of modules that it does not step into; the
functions that compiled code calls at each await and each loop belong on it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


def step_over_library() -> None:
    """Let the debugger that traces this thread, if there is one, not step into the library."""
    debugger = getattr(sys.gettrace(), "__self__", None)
    bdb = sys.modules.get("bdb")
    if bdb is not None and isinstance(debugger, bdb.Bdb):
        debugger.skip = {*(debugger.skip or ()), "durable_ast.*"}


def unseen(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Call a function without a trace: what the library calls elsewhere is on no such list."""
    trace = sys.gettrace()
    sys.settrace(None)
    try:
        return function(*args, **kwargs)
    finally:
        sys.settrace(trace)
