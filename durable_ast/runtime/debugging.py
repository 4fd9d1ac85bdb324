"""A debugger that steps through a durable function stays in the user's code.

`bdb`, on which `pdb` and most others stand, takes a list of modules that it does not step into; the
functions that compiled code calls at each await and each loop belong on it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


def step_over_library() -> None:
    """Let the debugger that traces this thread, if there is one, not step into the library."""
    bdb = sys.modules.get("bdb")
    if bdb is None:
        return
    debugger = getattr(sys.gettrace() or _monitor(), "__self__", None)
    if isinstance(debugger, bdb.Bdb):
        debugger.skip = {*(debugger.skip or ()), "durable_ast.*"}


def unseen(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Call a function without a trace: what the library calls elsewhere is on no such list."""
    trace, events = sys.gettrace(), _events()
    sys.settrace(None)
    if events:
        _monitoring.set_events(_monitoring.DEBUGGER_ID, 0)
    try:
        return function(*args, **kwargs)
    finally:
        sys.settrace(trace)
        if events:
            _monitoring.set_events(_monitoring.DEBUGGER_ID, events)


def unwatched(end: Callable[[], object]) -> None:
    """Give up what has never run; before Python 3.13 tracers would see an exception in it."""
    if sys.gettrace() is None:
        end()
    else:
        unseen(end)


_monitoring: Any = getattr(sys, "monitoring", None)
"""With this instead of a trace function (PEP 669), `bdb` watches since Python 3.14."""


def _events() -> int:
    """The events that `bdb` watches for."""
    if _monitoring is None or _monitoring.get_tool(_monitoring.DEBUGGER_ID) != "bdbtracer":
        return 0
    events: int = _monitoring.get_events(_monitoring.DEBUGGER_ID)
    return events


def _monitor() -> Any:
    """What `bdb` has called for what it watches for.  Its callback can be had only in exchange for
    another one."""
    if not _events():
        return None
    tool, event = _monitoring.DEBUGGER_ID, _monitoring.events.PY_START
    callback = _monitoring.register_callback(tool, event, None)
    _monitoring.register_callback(tool, event, callback)
    tracer = getattr(getattr(callback, "__wrapped__", None), "__self__", None)
    return getattr(tracer, "_tracefunc", None)
