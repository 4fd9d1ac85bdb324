"""Context variables: what the code of an instance finds in them is part of its state.

A web framework's request id, a tenant, a locale: whoever goes on with the instance has the values
that its caller, and its own code, had set.  Left to each process are variables that are no globals
of a module, and values that cannot be saved: a tracer's span, a connection.
"""

from __future__ import annotations

import contextvars
import functools
from typing import Any, TypeAlias

from ..state.snapshot import Reduced, failure, register
from .running_branch import current

Variables: TypeAlias = "tuple[tuple[contextvars.ContextVar[Any], Any], ...]"
"""Context variables with their values."""

_OWN = "durable_ast."
"""What the names of this library's own variables begin with."""


@functools.lru_cache(maxsize=1024)
def _is_found(variable: contextvars.ContextVar[Any]) -> bool:
    """Whether another process finds the variable; the search goes through all modules."""
    return not variable.name.startswith(_OWN) and failure(variable) is None


class Seen:
    """The values of context variables that an instance has met, and whether they can be saved."""

    def __init__(self) -> None:
        self._values: dict[contextvars.ContextVar[Any], tuple[Any, bool]] = {}

    def variables(self) -> Variables:
        """The variables of the running context that can be saved."""
        found: Variables = ()
        for variable, value in contextvars.copy_context().items():  # asked at each checkpoint, mostly for nothing
            if _is_found(variable) and self._can_be_saved(variable, value):
                found += ((variable, value),)
        return found

    def _can_be_saved(self, variable: contextvars.ContextVar[Any], value: Any) -> bool:
        known = self._values.get(variable)
        if known is None or known[0] is not value:
            known = self._values[variable] = value, failure(value) is None
        return known[1]


def restore(variables: Variables) -> None:
    """Set variables in the running context."""
    for variable, value in variables:
        variable.set(value)


def register_all() -> None:
    """Let snapshots save the tokens of context variables."""
    register(contextvars.Token, _reduce_token)


def _reduce_token(token: contextvars.Token[Any]) -> Reduced:
    if current.get() is None:
        raise TypeError(
            "cannot save the token of a context variable outside of an instance: it is good in one task only"
        )
    reason = failure(token.var.get(None))
    if reason is not None:  # the variable would be without it between now and then
        raise TypeError(
            f"cannot save the token of the context variable {token.var.name!r}: what that was set to cannot be saved: "
            f"{type(reason).__name__}: {reason}"
        )
    if token.old_value is contextvars.Token.MISSING:
        return _token, (token.var,)
    return _token, (token.var, token.old_value)


def _token(variable: contextvars.ContextVar[Any], *old: Any) -> contextvars.Token[Any]:
    """A token that sets a variable back, in the context that this is called in; what the variable is
    until then is set afterwards."""
    if not old:
        return variable.set(None)
    before = variable.set(old[0])
    token = variable.set(old[0])
    variable.reset(before)
    return token
