"""Values that are not saved but made again: clients, connections, handles.

A program says how, once for each type: `save` gives what it takes to make such an object, `restore`
makes it.
"""

from __future__ import annotations

import contextlib
import importlib
import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar, overload

from ..errors import CheckpointException
from .snapshot import Reduced, register

T = TypeVar("T")
S = TypeVar("S")
Restore = TypeVar("Restore", bound=Callable[..., Any])

_restores: dict[str, Callable[[Any], Any]] = {}
_looking = 0


@overload
def resource(
    kind: type[T], *, save: Callable[[T], S], restore: Callable[[S], T], subclasses: bool = False
) -> type[T]: ...
@overload
def resource(
    kind: type[T], *, save: Callable[[T], S], subclasses: bool = False
) -> Callable[[Callable[[S], T]], Callable[[S], T]]: ...


def resource(
    kind: type[Any],
    *,
    save: Callable[[Any], Any],
    restore: Callable[[Any], Any] | None = None,
    subclasses: bool = False,
) -> Any:
    """Say how the objects of a type are made again when an instance goes on in another process.

    Call it where the module is imported, so that every process knows it.  Without `restore` it is a
    decorator for the function that restores.

    Args:
        kind: the type.
        save: gives, for an object, what it takes to make it again: plain data, or whatever else can be
            saved; or NotImplemented if this one cannot be.
        restore: makes the object.  It runs while the instance is being loaded and cannot await; what
            has to be awaited belongs into the ``__aenter__`` of a context manager, which is entered
            again, or is done on first use.
        subclasses: whether it holds for objects of subclasses too.  The nearest class that was
            registered counts.

    Raises:
        TypeError: `kind` is no type, or a function is missing or async.

    >>> class Client:
    ...     def __init__(self, url):
    ...         self.url = url
    ...         self.connection = object()
    >>> @resource(Client, save=lambda client: client.url)
    ... def connect(url):
    ...     return Client(url)
    """
    if not isinstance(kind, type):
        raise TypeError(f"resource() needs a type, not {kind!r}")
    if restore is None:
        return lambda function: _registered(kind, save, function, subclasses) and function
    return _registered(kind, save, restore, subclasses)


def _registered(kind: type[T], save: Callable[[T], Any], restore: Callable[[Any], T], subclasses: bool) -> type[T]:
    for role, function in (("save", save), ("restore", restore)):
        if not callable(function):
            raise TypeError(f"resource({kind.__qualname__}): {role} must be a function, not {function!r}")
        if inspect.iscoroutinefunction(function):
            raise TypeError(
                f"resource({kind.__qualname__}): {role} must not be async, because an instance is loaded at once; "
                "open it in an `async with`, which is entered again, or on first use"
            )
    name = f"{kind.__module__}.{kind.__qualname__}"
    registrar = getattr(restore, "__module__", None) or "__main__"
    _restores[name] = restore

    def reduce(obj: T) -> Reduced:
        saved = save(obj)
        return NotImplemented if saved is NotImplemented else (_restored, (name, registrar, saved))

    register(kind, reduce, subclasses=subclasses)
    return kind


def _restored(name: str, registrar: str, saved: Any) -> Any:
    if _looking:
        return Elsewhere(name, saved)
    if name not in _restores:
        with contextlib.suppress(ImportError):
            importlib.import_module(registrar)
    restore = _restores.get(name)
    if restore is None:
        raise CheckpointException(
            f"a {name} was saved, and nothing here says how to make it again; import the module that calls "
            f"durable_ast.resource() for it ({registrar}) before the instance goes on"
        )
    try:
        return restore(saved)
    except Exception as error:
        raise CheckpointException(
            f"a {name} cannot be made again from {saved!r}: {type(error).__name__}: {error}; the instance can be "
            "called again once it can"
        ) from error


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """Stands for a resource where an instance is only looked at."""

    name: str
    saved: Any


@contextlib.contextmanager
def only_looking() -> Iterator[None]:
    """Inside, no resource is made."""
    global _looking
    _looking += 1
    try:
        yield
    finally:
        _looking -= 1


def is_looking() -> bool:
    """Whether what is loaded will only be looked at."""
    return bool(_looking)
