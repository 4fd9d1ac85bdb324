"""Exceptions in a snapshot: with cause, context, notes and the lines of their traceback.

``BaseException.__reduce__`` keeps only the arguments and the attributes, and calls the class with
the arguments, which fails for every class whose ``__init__`` takes others.  Here the object is made
without calling ``__init__``, and gets back all that it had.
"""

from __future__ import annotations

import contextlib
import functools
from types import GetSetDescriptorType, MemberDescriptorType, TracebackType
from typing import Any

from . import snapshot
from .snapshot import Reduced, register

_LINKS = ("__cause__", "__context__", "__suppress_context__")


class Unsaved:
    """Stands for a part of an exception that could not be saved; reads like it.

    >>> print(Unsaved("<socket 7>", "<socket 7>"))
    <socket 7>
    """

    def __init__(self, text: str, representation: str) -> None:
        self.text = text
        self.representation = representation

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return self.representation


def reduce_exception(error: BaseException) -> Reduced:
    """What the pickler saves for an exception."""
    reduced: tuple[Any, ...] = error.__reduce_ex__(4)  # type: ignore[assignment]
    make, args, *rest = reduced
    state = rest[0] if rest else None
    if make is type(error):
        make, args = _make, (type(error), *args)
    cls: Any = type(error)
    fields = {name: getattr(error, name, None) for name in _fields(cls)}
    saved = make, args, (state, fields)
    if not _can_be_saved(saved):
        saved = (
            _make,
            (type(error), *map(_or_stand_in, args_of(error, args))),
            (_attributes(state), _attributes(fields)),
        )
    make, args, (state, fields) = saved
    links = {name: getattr(error, name) for name in _LINKS if getattr(error, name)}
    return make, args, (state, fields, links, error.__traceback__), None, None, _fill


def args_of(error: BaseException, args: tuple[Any, ...]) -> tuple[Any, ...]:
    """The arguments to make a stand-in with: those of a class of our own kind, else the plain ones."""
    return args[1:] if args and args[0] is type(error) else error.args


def _can_be_saved(value: Any) -> bool:
    try:
        snapshot.dumps(value)
    except Exception:
        return False
    return True


def _or_stand_in(value: Any) -> Any:
    return value if _can_be_saved(value) else Unsaved(str(value), repr(value))


def _attributes(values: Any) -> Any:
    return {name: _or_stand_in(value) for name, value in values.items()} if isinstance(values, dict) else None


@functools.cache
def _fields(cls: Any) -> tuple[str, ...]:
    """The attributes that CPython keeps outside of ``__dict__`` (``OSError.filename``)."""
    names: list[str] = []
    for base in cls.__mro__:
        if base.__module__ == "builtins" and base not in (BaseException, Exception, object):
            kinds = (MemberDescriptorType, GetSetDescriptorType)
            names.extend(name for name, value in vars(base).items() if isinstance(value, kinds) and name[:2] != "__")
    return tuple(names)


def _make(cls: type[BaseException], *args: Any) -> BaseException:
    """An exception with these arguments; only the ``__init__`` of CPython's own class runs, which
    fills fields that Python code cannot."""
    error = cls.__new__(cls, *args)
    builtin = next(base for base in cls.__mro__ if base.__module__ == "builtins")
    with contextlib.suppress(TypeError):
        builtin.__init__(error, *args)  # type: ignore[misc]
    return error


def _fill(error: BaseException, state: tuple[Any, dict[str, Any], dict[str, Any], Any]) -> None:
    attributes, fields, links, error.__traceback__ = state
    if isinstance(attributes, dict):
        error.__dict__.update(attributes)
    elif attributes is not None:
        error.__setstate__(attributes)
    for name, value in fields.items():
        if value is not None:
            with contextlib.suppress(AttributeError, TypeError):  # some can only be read
                setattr(error, name, value)
    for name, value in links.items():
        setattr(error, name, value)


def _reduce_traceback(traceback: TracebackType) -> Reduced:
    """The lines of a traceback, which is all that can be printed of it."""
    from tblib import Traceback  # only wanted when an exception is in flight

    return _traceback, (Traceback(traceback).to_dict(),)


def _traceback(lines: Any) -> TracebackType | None:
    from tblib import Traceback

    traceback: TracebackType | None = Traceback.from_dict(lines).as_traceback()
    return traceback


def register_all() -> None:
    """Let snapshots save exceptions in this way."""
    register(BaseException, reduce_exception, subclasses=True)
    register(TracebackType, _reduce_traceback)
