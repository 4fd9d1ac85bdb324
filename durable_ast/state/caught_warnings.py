"""``with warnings.catch_warnings()`` in a snapshot: inside of it, the filters are as they were.

What an entered manager has changed are settings of the `warnings` module.  They are saved with it,
and set again when it is restored; on leaving, what was there before comes back.
"""

from __future__ import annotations

import warnings
from types import FunctionType
from typing import Any

from .snapshot import Reduced, register

_KEPT_IN = {"filters": "_filters", "showwarning": "_showwarning", "_showwarnmsg_impl": "_showwarnmsg_impl"}
"""The settings, and where an entered manager keeps what they were before."""

_module: Any = warnings
_usual = {name: value for name in _KEPT_IN if isinstance(value := getattr(_module, name), FunctionType)}
"""The functions that stand there while nobody has caught anything."""


def reduce_catcher(catcher: Any) -> Reduced:
    """What the pickler saves for a `warnings.catch_warnings`."""
    if not catcher._entered:
        return NotImplemented
    others = {name: value for name, value in vars(catcher).items() if name not in _KEPT_IN.values()}
    before = {name: _or_usual(getattr(catcher, own)) for name, own in _KEPT_IN.items()}
    now = {name: _or_usual(getattr(_module, name)) for name in _KEPT_IN}
    return object.__new__, (type(catcher),), (others, before, now), None, None, _fill


def _or_usual(value: Any) -> Any:
    """None for what can only be found by a name that means something else now."""
    return None if isinstance(value, FunctionType) and value.__module__ == "warnings" else value


def _fill(catcher: Any, state: tuple[dict[str, Any], dict[str, Any], dict[str, Any]]) -> None:
    others, before, now = state
    vars(catcher).update(others)
    for name, own in _KEPT_IN.items():
        setattr(catcher, own, _usual[name] if before[name] is None else before[name])
        setattr(_module, name, _usual[name] if now[name] is None else now[name])
    filters = list(_module.filters)
    warnings.resetwarnings()  # tells the implementation in C that there are others
    _module.filters.extend(filters)


def register_all() -> None:
    """Let snapshots save caught warnings in this way."""
    register(warnings.catch_warnings, reduce_catcher, subclasses=True)
