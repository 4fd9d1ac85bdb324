"""What compiled code calls: the functions behind the hidden free variables.

Those that decide anything about an instance (`.await`, `.pause`) live in `awaiting`; here is the
rest, which only spells out what CPython's bytecode does in one instruction.
"""

import builtins
import inspect
import io
import itertools
from collections.abc import AsyncIterator, Awaitable, Coroutine, Iterator, Mapping
from types import TracebackType
from typing import Any

from ..compiler.names import is_hidden


class Once(list[Iterator[Any]]):
    """``for x in Once((iterator,))`` loops over the iterator itself, without calling its
    ``__iter__`` a second time, and without a Python frame."""

    __slots__ = ()
    __iter__ = list.pop


class Converted(str):
    """What ``!r`` has given in an f-string: converted once more, as by a Python that does so later, it is
    the same text."""

    __slots__ = ()
    __repr__ = str.__str__


def iter(iterable: Any) -> Iterator[Any]:
    """``GET_ITER``; the lines of a text file are asked for one by one, because a file that is iterated
    over does not tell its position."""
    if type(iterable) is io.TextIOWrapper:
        return builtins.iter(iterable.readline, "")
    return builtins.iter(iterable)


def resumed(iterator: Iterator[Any]) -> Iterator[Any]:
    """An iterable that gives one item nobody looks at, then what is left of `iterator`."""
    return itertools.chain((None,), Once((iterator,)))


def aiter(iterable: Any) -> Any:
    """``GET_AITER``."""
    cls = type(iterable)
    if not hasattr(cls, "__aiter__"):
        raise _error_of(_iterate(iterable))
    iterator = cls.__aiter__(iterable)
    if not hasattr(type(iterator), "__anext__"):
        raise _error_of(_iterate(_Gives(iterator)))
    return iterator


def anext(iterator: AsyncIterator[Any]) -> Awaitable[Any]:
    """``GET_ANEXT``."""
    step = type(iterator).__anext__(iterator)
    if not _is_awaitable(step):
        raise _error_of(_iterate(_Gives(_Gives(step))))
    return step


def aenter(manager: Any) -> Awaitable[Any]:
    """``BEFORE_ASYNC_WITH``."""
    cls = type(manager)
    if not hasattr(cls, "__aenter__") or not hasattr(cls, "__aexit__"):
        raise _error_of(_manage(manager))
    step: Any = cls.__aenter__(manager)
    if not _is_awaitable(step):
        raise _error_of(_manage(_Gives(step)))
    awaitable: Awaitable[Any] = step
    return awaitable


def aexit(manager: Any, error: BaseException | None) -> Awaitable[Any]:
    """The call of ``__aexit__``, with or without an exception."""
    leave = type(manager).__aexit__
    step: Any = (
        leave(manager, None, None, None) if error is None else leave(manager, type(error), error, error.__traceback__)
    )
    if not _is_awaitable(step):
        raise _error_of(_leave(step))
    awaitable: Awaitable[Any] = step
    return awaitable


def _is_awaitable(value: object) -> bool:
    return hasattr(type(value), "__await__") or inspect.isawaitable(value)


# Where a protocol is not met, CPython is asked for its own words.


class _Gives:
    """Whose protocol methods all give one object."""

    def __init__(self, given: Any) -> None:
        self._given = given

    def __aiter__(self) -> Any:
        return self._given

    __anext__ = __aenter__ = __aiter__

    def __aexit__(self, *error: object) -> Any: ...


async def _iterate(iterable: Any) -> None:
    async for _ in iterable:
        pass


async def _manage(manager: Any) -> None:
    async with manager:
        pass


async def _leave(step: Any) -> None:
    class Leaves:
        async def __aenter__(self) -> None: ...

        def __aexit__(self, *error: object) -> Any:
            return step

    async with Leaves():
        pass


def _error_of(coroutine: Coroutine[Any, Any, None]) -> BaseException:
    """The error that running `coroutine` raises at once."""
    try:
        coroutine.send(None)
    except BaseException as error:
        return error.with_traceback(None)
    raise AssertionError("the protocol is met after all")


def visible(listing: Any) -> Any:
    """``locals()`` or ``dir()`` without the names of the compiler."""
    if isinstance(listing, dict):
        return {name: value for name, value in listing.items() if not is_hidden(name)}
    return [name for name in listing if not is_hidden(name)]


def merge(function: Any, known: Mapping[str, Any], mapping: Mapping[str, Any]) -> None:
    """``DICT_MERGE``: the keywords of a call are different ones."""
    for name in mapping:
        if name in known:
            raise TypeError(f"{_called(function)} got multiple values for keyword argument '{name}'")


def _called(function: Any) -> str:
    """A function as CPython names it in an error."""
    qualname, module = getattr(function, "__qualname__", None), getattr(function, "__module__", None)
    if qualname is None:
        return str(function)
    return f"{qualname}()" if module in (None, "builtins") else f"{module}.{qualname}()"


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
        ".iter": iter,
        ".once": Once,
        ".aenter": aenter,
        ".aexit": aexit,
        ".slice": builtins.slice,
        ".merge": merge,
        ".converted": Converted,
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
