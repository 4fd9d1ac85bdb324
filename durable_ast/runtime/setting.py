"""A context variable that has a value for the length of a block, whoever ends that block."""

from __future__ import annotations

from contextlib import suppress
from contextvars import ContextVar, Token
from typing import Any, Generic, TypeVar

T = TypeVar("T")
_NOTHING: Any = object()


class setting(Generic[T]):
    """Inside, the variable has this value.

    A coroutine whose event loop is closed stays suspended in such a block until somebody drops it:
    the garbage collector, in the midst of whatever runs by then.  That has a context of its own, with
    a value of its own, which must stay.

    A variable that has the value already is left alone: each one that is set makes another context.

    Args:
        variable: the variable.
        value: its value inside of the block.
    """

    __slots__ = ("_token", "_value", "_variable")

    _token: Token[T] | None

    def __init__(self, variable: ContextVar[T], value: T) -> None:
        self._variable, self._value = variable, value

    def __enter__(self) -> None:
        has_it = self._variable.get(_NOTHING) is self._value
        self._token = None if has_it else self._variable.set(self._value)

    def __exit__(self, *error: object) -> None:
        if self._token is None:
            return
        with suppress(ValueError):  # this context is not the block's
            self._variable.reset(self._token)
