"""The arithmetic of `decimal` in a snapshot: how exact it is, and how it rounds.

`decimal` keeps this in a context variable that is no global of a module; and a manager made by
`decimal.localcontext` tells what it sets, and what it will set back, only by doing so.
"""

from __future__ import annotations

import contextvars
import functools
import sys
from typing import Any

from .snapshot import Reduced, register_by_name

_NAME = "decimal_context"


def register_all() -> None:
    """Let snapshots save the managers."""
    register_by_name("decimal", "ContextManager", _reduce_manager)


def is_decimals(variable: contextvars.ContextVar[Any]) -> bool:
    """Whether `decimal` keeps its context in this variable."""
    return variable.name == _NAME and "decimal" in sys.modules and variable is variable_of_decimal()


@functools.cache
def variable_of_decimal() -> contextvars.ContextVar[Any]:
    """The variable that `decimal` keeps its context in."""
    import decimal

    def find() -> contextvars.ContextVar[Any]:
        decimal.getcontext()  # sets it
        return next(variable for variable in contextvars.copy_context() if variable.name == _NAME)

    return contextvars.Context().run(find)


def _reduce_manager(manager: Any) -> Reduced:
    import decimal

    def left() -> decimal.Context:
        manager.__exit__(None, None, None)
        return decimal.getcontext()

    inside: decimal.Context = contextvars.copy_context().run(manager.__enter__)
    return _manager, (inside, contextvars.copy_context().run(left))


def _manager(inside: Any, outside: Any) -> Any:
    import decimal

    def make() -> Any:
        decimal.setcontext(outside)
        return decimal.localcontext(inside)

    return contextvars.Context().run(make)
