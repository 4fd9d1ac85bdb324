"""What a context manager is after a resume: restored, or entered again.

By itself a manager that can be saved is restored as it is, and another is entered again.  Around the
expression of a ``with``, `reenter` and `persist` say which it is to be.
"""

from __future__ import annotations

from typing import Any, NoReturn, TypeVar, cast

M = TypeVar("M")


def reenter(manager: M) -> M:
    """Enter this manager again after a resume, although it could be saved.

    >>> import contextlib
    >>> with reenter(contextlib.nullcontext(3)) as number:
    ...     number
    3
    """
    return cast(M, Reentered(manager))


def persist(manager: M) -> M:
    """Restore this manager after a resume, as it was; it is an error if it cannot be saved.

    >>> import contextlib
    >>> with persist(contextlib.nullcontext(3)) as number:
    ...     number
    3
    """
    return cast(M, Persisted(manager))


class Around:
    """Is entered and left as the manager inside."""

    def __init__(self, manager: Any) -> None:
        self.manager = manager

    def __enter__(self) -> Any:
        return _method(self.manager, "__enter__")(self.manager)

    def __exit__(self, *error: Any) -> Any:
        return _method(self.manager, "__exit__")(self.manager, *error)

    def __aenter__(self) -> Any:
        return _method(self.manager, "__aenter__")(self.manager)

    def __aexit__(self, *error: Any) -> Any:
        return _method(self.manager, "__aexit__")(self.manager, *error)


class Reentered(Around):
    """A manager that is not saved."""

    def __reduce__(self) -> NoReturn:
        raise TypeError("it is entered again")


class Persisted(Around):
    """A manager that is saved."""


class NotEnteredAgain(TypeError):
    """Raised where a manager is to be saved that can neither be saved nor entered again in the middle of its
    block: nothing is saved in there, and after a crash the block begins again."""


def _method(manager: Any, name: str) -> Any:
    method = getattr(type(manager), name, None)
    if method is None:
        kind = "asynchronous context manager" if name[2] == "a" else "context manager"
        raise TypeError(f"'{type(manager).__name__}' object does not support the {kind} protocol")
    return method
