"""Exceptions in a snapshot: with cause, context, notes, and the lines of their traceback.

``BaseException.__reduce__`` keeps only the arguments and the attributes, and calls the class with
the arguments, which fails for every class whose ``__init__`` takes others.  Here the object is made
by CPython's own class underneath, without running any code of its class, and gets back all it had.

What cannot be saved of an exception is replaced by a stand-in that reads like it.  Where the class
itself cannot make one, its nearest base that can does, under the name of the class: the same
``except`` clauses that name such a base catch it.
"""

from __future__ import annotations

import contextlib
import copyreg
import functools
import importlib
import threading
from collections.abc import Callable, Iterator
from types import GetSetDescriptorType, MemberDescriptorType
from typing import Any, TypeVar

from .snapshot import Reduced, failure, importable, register

T = TypeVar("T")

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


def register_all() -> None:
    """Let snapshots save exceptions in this way."""
    register(BaseException, reduce_exception, subclasses=True)


def reduce_exception(error: BaseException) -> Reduced:
    """What the pickler saves for an exception."""
    args, attributes, is_whole = _savable_parts(error)
    make, args = _way_to_make(error, args, is_whole)
    links = {name: getattr(error, name) for name in _LINKS if getattr(error, name)}
    return make, args, (attributes, links, error.__traceback__), None, None, _fill


def _savable_parts(error: BaseException) -> tuple[tuple[Any, ...], dict[str, Any], bool]:
    """The arguments and attributes of an exception, what cannot be saved replaced; and whether nothing was."""
    args, attributes = error.args, _attributes(error)

    def replaced() -> tuple[tuple[Any, ...], dict[str, Any], bool]:
        return tuple(map(_or_stand_in, args)), {name: _or_stand_in(value) for name, value in attributes.items()}, False

    if _tried.is_whole(error):
        return args, attributes, True
    with _tried.trying(error):
        problem = _tried.assuming_whole(lambda: failure((args, attributes)))
        if isinstance(problem, RecursionError):  # to go through all levels would take very long
            return _tried.assuming_whole(replaced)
        if problem is not None and failure((args, attributes)) is not None:
            return replaced()
    _tried.found_whole(error)
    return args, attributes, True


class _Tried(threading.local):
    """What this thread knows of exceptions in exceptions: to try each again with every one that it is a
    part of would take twice as long for each level."""

    def __init__(self) -> None:
        self._now: set[int] = set()
        """Those whose parts are being tried, by id; one that is met among its own parts is tried already."""
        self._whole: dict[int, BaseException] = {}
        """Those of which nothing has to be replaced, among the parts of the one that is being saved."""
        self._assumed: dict[int, BaseException] | None = None
        """Those that were taken for whole, while they are."""

    def is_whole(self, error: BaseException) -> bool:
        """Whether it need not be tried."""
        key = id(error)
        if key in self._now:
            return True
        if self._assumed is not None:
            self._assumed[key] = error
            return True
        if self._now:
            return key in self._whole
        if key not in self._whole:
            self._whole.clear()  # another one is saved
            return False
        del self._whole[key]  # its turn has come; what is saved the next time is tried anew
        return True

    def found_whole(self, error: BaseException) -> None:
        """Nothing of it has to be replaced."""
        if self._now:
            self._whole[id(error)] = error

    @contextlib.contextmanager
    def trying(self, error: BaseException) -> Iterator[None]:
        """While its parts are tried."""
        self._now.add(id(error))
        try:
            yield
        finally:
            self._now.discard(id(error))

    def assuming_whole(self, attempt: Callable[[], T]) -> T:
        """What an attempt gives for which all exceptions are whole; if it is None, they are."""
        assumed: dict[int, BaseException] = {}
        before = self._assumed
        self._assumed = assumed
        try:
            result = attempt()
        finally:
            self._assumed = before
        if result is None:
            self._whole.update(assumed)
        return result


_tried = _Tried()


def _way_to_make(error: BaseException, args: tuple[Any, ...], is_whole: bool) -> tuple[Any, tuple[Any, ...]]:
    """A function that makes an equal exception, as far as that is possible, and its arguments."""
    cls = type(error)
    if _is_savable(cls):
        if _makes(_make, cls, *args):
            if not is_whole and cls.__str__ not in _PLAIN_TEXTS:
                return _stand_in, (cls, cls.__module__, cls.__qualname__, _text(error), args)
            if cls.__module__ == "builtins" or not importable(cls):
                return _make, (cls, *args)
            return _make_named, (_builtin(cls), cls.__module__, cls.__qualname__, _text(error), args)
        with contextlib.suppress(Exception):  # made by an extension module: only it can do that
            reduced: Any = error.__reduce_ex__(4)
            make, own = reduced[:2]
            if _tried.assuming_whole(lambda: failure((make, own))) is None and _makes(make, *own):
                return make, own
    base = next(base for base in cls.__mro__[1:] if _is_savable(base) and _makes(_make, base, *args))
    return _stand_in, (base, cls.__module__, cls.__qualname__, _text(error), args)


_PLAIN_TEXTS = (BaseException.__str__, OSError.__str__, KeyError.__str__, SyntaxError.__str__, ImportError.__str__)


def _makes(make: Any, *args: Any) -> bool:
    try:
        return isinstance(make(*args), BaseException)
    except RecursionError:
        raise  # it says nothing of the class
    except Exception:
        return False


def _is_savable(cls: type) -> bool:
    problem = failure(cls)
    if isinstance(problem, RecursionError):
        raise problem  # nor does this
    return problem is None


def _attributes(error: BaseException) -> dict[str, Any]:
    """All that is set on an exception, wherever it is kept."""
    cls: Any = type(error)
    names = (*_fields(cls), *copyreg._slotnames(cls))  # type: ignore[attr-defined]
    kept = {name: getattr(error, name) for name in names if getattr(error, name, None) is not None}
    return {**kept, **_own_attributes(error)}


def _own_attributes(error: BaseException) -> dict[str, Any]:
    """What is in the ``__dict__`` of an exception.  To ask for that would make one, and what has one is
    pickled otherwise."""
    reduced: Any = BaseException.__reduce__(error)
    own: dict[str, Any] = reduced[2] if len(reduced) > 2 else {}
    return own


@functools.cache
def _fields(cls: Any) -> tuple[str, ...]:
    """The attributes that CPython keeps outside of ``__dict__`` (``OSError.filename``)."""
    names: list[str] = []
    for base in cls.__mro__:
        if base.__module__ == "builtins" and base not in (BaseException, Exception, object):
            kinds = (MemberDescriptorType, GetSetDescriptorType)
            names.extend(name for name, value in vars(base).items() if isinstance(value, kinds) and name[:2] != "__")
    return tuple(names)


def _or_stand_in(value: Any) -> Any:
    return value if failure(value) is None else Unsaved(_text(value), _text(value, repr))


def _text(value: Any, shown: Any = str) -> str:
    try:
        return str(shown(value))
    except Exception:
        return f"<{type(value).__qualname__}>"


# restoring


def _make(cls: type[BaseException], *args: Any) -> BaseException:
    """An exception with these arguments, of which only CPython's own class has seen anything."""
    builtin: Any = _builtin(cls)
    error: BaseException = builtin.__new__(cls, *args)
    with contextlib.suppress(TypeError):
        builtin.__init__(error, *args)
    return error


def _make_named(
    builtin: type[BaseException], module: str, qualname: str, text: str, args: tuple[Any, ...]
) -> BaseException:
    """An exception of a class that is found by its name, or else a stand-in: the class may be gone, or
    belong to a package that is not installed here."""
    try:
        cls: Any = importlib.import_module(module)
        for name in qualname.split("."):
            cls = getattr(cls, name)
        return _make(cls, *args)
    except (ImportError, AttributeError, TypeError):
        return _stand_in(builtin, module, qualname, text, args)


def _builtin(cls: type[BaseException]) -> type[BaseException]:
    """CPython's own class under a class."""
    return next(base for base in cls.__mro__ if base.__module__ == "builtins")


def _stand_in(base: type[BaseException], module: str, qualname: str, text: str, args: tuple[Any, ...]) -> BaseException:
    """An exception that is called like another class and reads like it was."""

    def to_text(self: BaseException) -> str:
        return text

    name = qualname.rpartition(".")[2]
    facts = {"__module__": module, "__qualname__": qualname, "__str__": to_text}
    return _make(type(name, (base,), facts), *args)


def _fill(error: BaseException, state: tuple[dict[str, Any], dict[str, Any], Any]) -> None:
    attributes, links, error.__traceback__ = state
    for name, value in attributes.items():
        with contextlib.suppress(AttributeError, TypeError):  # some can only be read
            object.__setattr__(error, name, value)
    for name, value in links.items():
        setattr(error, name, value)
