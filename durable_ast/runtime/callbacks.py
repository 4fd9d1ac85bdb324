"""What user code has asked a task to call when it is done.

These are saved with the branch that the task runs.  asyncio's own callbacks (of those who wait for the
task) are not: whoever waits asks again when the instance goes on.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable
from typing import Any, TypeAlias

Callback: TypeAlias = "Callable[[asyncio.Task[Any]], object]"

_NOT_THE_USERS = frozenset({"asyncio", "_asyncio", __name__.partition(".")[0]})


def is_users(callback: Any) -> bool:
    """Whether a callback is not one of asyncio's or of ours.

    >>> is_users(print), is_users(asyncio.Event().set)
    (True, False)
    """
    while isinstance(callback, functools.partial):
        callback = callback.func
    owner = getattr(callback, "__self__", None)
    if isinstance(owner, asyncio.Task) and getattr(callback, "__name__", "") == "task_wakeup":
        return False  # the task that awaits this one
    module = getattr(callback, "__module__", None)
    return not isinstance(module, str) or module.partition(".")[0] not in _NOT_THE_USERS
