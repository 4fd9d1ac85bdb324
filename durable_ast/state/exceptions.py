"""Exceptions in a snapshot: with cause, context, notes and the lines of their traceback.

``BaseException.__reduce__`` keeps only the arguments and the attributes, and calls the class with
the arguments, which fails for every class whose ``__init__`` takes others.  Here the object is made
without calling ``__init__``, and gets back all that it had.
"""

from __future__ import annotations

from types import TracebackType
from typing import Any

from .snapshot import Reduced, register

_LINKS = ("__cause__", "__context__", "__suppress_context__")


def _make(cls: type[BaseException], args: tuple[Any, ...]) -> BaseException:
    """An exception with these arguments; only the ``__init__`` of CPython's own class runs, which
    fills fields that Python code cannot."""
    error = cls.__new__(cls, *args)
    builtin = next(base for base in cls.__mro__ if base.__module__ == "builtins")
    builtin.__init__(error, *args)
    return error


def _fill(error: BaseException, state: tuple[Any, dict[str, Any], Any]) -> None:
    attributes, links, lines = state
    if isinstance(attributes, dict):
        error.__dict__.update(attributes)
    elif attributes is not None:
        error.__setstate__(attributes)  # type: ignore[attr-defined]
    for name, value in links.items():
        setattr(error, name, value)
    if lines is not None:
        error.__traceback__ = _traceback(lines)


def reduce_exception(error: BaseException) -> Reduced:
    """What the pickler saves for an exception."""
    make, args, *rest = error.__reduce_ex__(4)  # type: ignore[misc]
    state = rest[0] if rest else None
    if make is type(error):
        make, args = _make, (type(error), args)
    links = {name: getattr(error, name) for name in _LINKS if getattr(error, name)}
    return make, args, (state, links, _lines(error.__traceback__)), None, None, _fill


def _lines(traceback: TracebackType | None) -> Any:
    if traceback is None:
        return None
    from tblib import Traceback  # only wanted when an exception is in flight

    return Traceback(traceback).to_dict()


def _traceback(lines: Any) -> TracebackType | None:
    from tblib import Traceback

    traceback: TracebackType | None = Traceback.from_dict(lines).as_traceback()
    return traceback


register(BaseException, reduce_exception, subclasses=True)
