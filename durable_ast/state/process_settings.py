"""Managers that change a setting of the process, in a snapshot: they have to be entered again.

`contextlib.redirect_stdout`, `redirect_stderr` and `chdir` can be pickled, but in another process nothing
is redirected and the folder is another one.  An entered one is therefore refused, like a manager that
cannot be pickled: its ``with`` evaluates it again, which also finds out what is to be set back there.
"""

from __future__ import annotations

import contextlib
from typing import Any

from .snapshot import Reduced, register

_KEPT_IN: dict[type, str] = {
    contextlib.redirect_stdout: "_old_targets",
    contextlib.redirect_stderr: "_old_targets",
    contextlib.chdir: "_old_cwd",
}
"""The managers, and where each keeps what it will set back: nothing while it is not entered."""


def register_all() -> None:
    """Let snapshots refuse those that are entered."""
    for kind in _KEPT_IN:
        register(kind, _reduce_manager, subclasses=True)


def _reduce_manager(manager: Any) -> Reduced:
    kept = next(kept for kind, kept in _KEPT_IN.items() if isinstance(manager, kind))
    if getattr(manager, kept):
        raise TypeError(f"an entered {type(manager).__name__} is a setting of its process")
    return NotImplemented
