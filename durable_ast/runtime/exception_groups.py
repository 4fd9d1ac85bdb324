"""The state machine of an ``except*`` whose handlers suspend (PEP 654).

Compiled code asks for one clause after the other which part of the caught exception it handles,
runs the handler with that part as the exception being handled, and at the end raises what the
handlers raised together with what nobody handled.  Follows CPython's `prep_reraise_star`.
"""

import functools
import sys
from types import TracebackType
from typing import Any


class Star:
    """One caught exception on its way through the clauses of an ``except*``."""

    def __init__(self, caught: BaseException) -> None:
        self._caught = caught
        self._rest: BaseException | None = caught
        self._raised: list[BaseException] = []
        self.matched: BaseException | None = None
        self.result: BaseException | None = None

    def split(self, kind: Any) -> bool:
        """Whether a clause of this type handles a part; the part is `matched`."""
        _check(kind)
        self.matched = None
        rest = self._rest
        if rest is None:
            return False
        if isinstance(rest, BaseExceptionGroup):
            self.matched, self._rest = rest.split(kind)
        elif isinstance(rest, kind):
            group = BaseExceptionGroup("", (rest,))  # a naked exception is wrapped
            if _wrapped_has_traceback():
                frame = sys._getframe(1)
                group.__traceback__ = TracebackType(None, frame, frame.f_lasti, frame.f_lineno)
            self.matched, self._rest = group, None
        return self.matched is not None

    def collect(self, error: BaseException) -> None:
        """A handler was left by `error`."""
        self.matched = None
        self._raised.append(error)

    def leftover(self) -> bool:
        """Whether anything is to be raised in the end; it is `result`."""
        self.result = self._combined()
        return self.result is not None

    def _combined(self) -> BaseException | None:
        caught = self._caught
        if not isinstance(caught, BaseExceptionGroup):
            return self._raised[0] if self._raised else self._rest
        raised: list[BaseException] = []
        unhandled = [] if self._rest is None else [self._rest]
        for error in self._raised:
            (unhandled if _same_origin(error, caught) else raised).append(error)
        again = _projection(caught, unhandled)
        if again is not None:
            if not raised:
                return again
            raised.append(again)
        if len(raised) > 1:
            return BaseExceptionGroup("", raised)
        return raised[0] if raised else None


@functools.cache
def _wrapped_has_traceback() -> bool:
    """Whether this Python says where the group around a naked exception was made."""
    try:
        raise ValueError
    except* ValueError as group:
        wrapped: BaseException = group
        has_traceback = wrapped.__traceback__ is not None
    return has_traceback


def _check(kind: Any) -> None:
    for one in kind if isinstance(kind, tuple) else (kind,):
        if not (isinstance(one, type) and issubclass(one, BaseException)):
            raise TypeError("catching classes that do not inherit from BaseException is not allowed")
        if issubclass(one, BaseExceptionGroup):
            raise TypeError("catching ExceptionGroup with except* is not allowed. Use except instead.")


def _same_origin(error: BaseException, caught: BaseException) -> bool:
    """Whether `error` is a part of `caught` that was raised again as it was."""
    return (
        isinstance(error, BaseExceptionGroup)
        and error.__traceback__ is caught.__traceback__
        and error.__context__ is caught.__context__
        and error.__cause__ is caught.__cause__
        and getattr(error, "__notes__", None) is getattr(caught, "__notes__", None)
    )


def _projection(group: BaseExceptionGroup[Any], parts: list[BaseException]) -> BaseException | None:
    """The part of `group` with the exceptions that are in `parts`, in their old order."""
    kept: set[int] = set()
    todo = list(parts)
    while todo:
        error = todo.pop()
        if isinstance(error, BaseExceptionGroup):
            todo.extend(error.exceptions)
        else:
            kept.add(id(error))
    return group.subgroup(lambda error: id(error) in kept) if kept else None
