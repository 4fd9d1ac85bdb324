"""What compiled code calls: the functions behind the hidden free variables.

Those that decide anything about an instance (`.await`, `.pause`) live in `awaiting`; here is the
rest, which only spells out what CPython's bytecode does in one instruction.
"""

import builtins
import itertools
import sys
from collections.abc import AsyncIterator, Awaitable, Iterator
from types import TracebackType
from typing import Any

from ..compiler.names import is_hidden


class Once(list[Iterator[Any]]):
    """``for x in Once((iterator,))`` loops over the iterator itself, without calling its
    ``__iter__`` a second time, and without a Python frame."""

    __slots__ = ()
    __iter__ = list.pop


def resumed(iterator: Iterator[Any]) -> Iterator[Any]:
    """An iterable that gives one item nobody looks at, then what is left of `iterator`."""
    return itertools.chain((None,), Once((iterator,)))


def aiter(iterable: Any) -> Any:
    """``GET_AITER``."""
    cls = type(iterable)
    if not hasattr(cls, "__aiter__"):
        raise TypeError(f"'async for' requires an object with __aiter__ method, got {cls.__name__}")
    iterator = cls.__aiter__(iterable)
    kind = type(iterator)
    if not hasattr(kind, "__anext__"):
        raise TypeError(
            f"'async for' received an object from __aiter__ that does not implement __anext__: {kind.__name__}"
        )
    return iterator


def anext(iterator: AsyncIterator[Any]) -> Awaitable[Any]:
    """``GET_ANEXT``."""
    step = type(iterator).__anext__(iterator)
    if not _is_awaitable(step):
        raise TypeError(
            f"'async for' received an invalid object from __anext__: {type(step).__name__}"
        ) from _await_error(step)
    return step


def _is_awaitable(value: object) -> bool:
    return hasattr(type(value), "__await__") or bool(getattr(getattr(value, "gi_code", None), "co_flags", 0) & 0x100)


def _await_error(value: object) -> TypeError:
    return TypeError(f"object {type(value).__name__} can't be used in 'await' expression")


def aenter(manager: Any) -> Awaitable[Any]:
    """``BEFORE_ASYNC_WITH``."""
    cls = type(manager)
    name = f"{cls.__module__}.{cls.__qualname__}" if cls.__module__ != "builtins" else cls.__qualname__
    protocol = f"'{name}' object does not support the asynchronous context manager protocol"
    if not hasattr(cls, "__aenter__"):
        hint = " Did you mean to use 'with'?" if hasattr(cls, "__enter__") and sys.version_info >= (3, 14) else ""
        raise TypeError(protocol + hint)
    if not hasattr(cls, "__aexit__"):
        raise TypeError(f"{protocol} (missed __aexit__ method)")
    return _checked(cls.__aenter__(manager), "__aenter__")


def aexit(manager: Any, error: BaseException | None) -> Awaitable[Any]:
    """The call of ``__aexit__``, with or without an exception."""
    leave = type(manager).__aexit__
    if error is None:
        return _checked(leave(manager, None, None, None), "__aexit__")
    return _checked(leave(manager, type(error), error, error.__traceback__), "__aexit__")


def _checked(step: Any, name: str) -> Awaitable[Any]:
    if not _is_awaitable(step):
        raise TypeError(
            f"'async with' received an object from {name} that does not implement __await__: {type(step).__name__}"
        )
    awaitable: Awaitable[Any] = step
    return awaitable


def visible(listing: Any) -> Any:
    """``locals()`` or ``dir()`` without the names of the compiler."""
    if isinstance(listing, dict):
        return {name: value for name, value in listing.items() if not is_hidden(name)}
    return [name for name in listing if not is_hidden(name)]


def is_match(error: BaseException, type_: Any) -> bool:
    """``CHECK_EXC_MATCH``: whether an except clause of this type catches `error`."""
    kinds = type_ if isinstance(type_, tuple) else (type_,)
    for kind in kinds:
        if not (isinstance(kind, type) and issubclass(kind, BaseException)):
            raise TypeError("catching classes that do not inherit from BaseException is not allowed")
    return any(kind in type(error).__mro__ for kind in kinds)


# re-entry


class Lost:
    """Stands for a context manager that could not be saved."""

    def __reduce__(self) -> str:
        return "LOST"


LOST = Lost()


class Unbound:
    """Stands for a local that is not bound."""

    def __reduce__(self) -> str:
        return "UNBOUND"


UNBOUND = Unbound()


class Held:
    """A context manager that is entered already."""

    __slots__ = ("_manager",)

    def __init__(self, manager: Any) -> None:
        self._manager = manager

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> Any:
        return type(self._manager).__exit__(self._manager, kind, error, traceback)


def enter(manager: Any) -> Any:
    """Enter a context manager, as ``with`` does."""
    cls = type(manager)
    if not hasattr(cls, "__enter__") or not hasattr(cls, "__exit__"):
        raise TypeError(f"'{cls.__name__}' object does not support the context manager protocol")
    return cls.__enter__(manager)


_Links = list[tuple[BaseException, BaseException | None]]
_raised: dict[int, tuple[BaseException, TracebackType | None, _Links]] = {}


def reenter(error: BaseException) -> BaseException:
    """Remember what raising `error` once more is about to change: its traceback, and the contexts
    of the whole chain, which raising cuts where it would become a cycle."""
    links: _Links = []
    link: BaseException | None = error
    while link is not None and all(link is not known for known, _ in links):
        links.append((link, link.__context__))
        link = link.__context__
    _raised[id(error)] = error, error.__traceback__, links
    return error


def reentered(error: BaseException) -> None:
    """Undo what raising `error` to get back into its handler has changed."""
    saved = _raised.pop(id(error), None)
    if saved is not None:
        _, error.__traceback__, links = saved
        for link, context in links:
            link.__context__ = context


def functions() -> dict[str, Any]:
    """The intrinsics of this module, by hidden name."""
    from .exception_groups import Star

    return {
        ".iter": builtins.iter,
        ".once": Once,
        ".aenter": aenter,
        ".aexit": aexit,
        ".slice": builtins.slice,
        ".visible": visible,
        ".is_match": is_match,
        ".star": Star,
        ".BaseException": BaseException,
        ".StopAsyncIteration": StopAsyncIteration,
        ".AssertionError": AssertionError,
        ".unbound": UNBOUND,
        ".lost": LOST,
        ".enter": enter,
        ".reenter": reenter,
        ".reentered": reentered,
        ".resumed": resumed,
        ".held": Held,
    }
