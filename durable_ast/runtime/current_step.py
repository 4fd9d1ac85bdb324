"""Which step this code runs in, and the key of its call."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import DurableError
from .journal import enclosing


@dataclass(frozen=True, slots=True)
class CurrentStep:
    """The step that this code runs in.

    Attributes:
        name: its name.
        attempt: the number of this attempt, from 1.
        key: see `step_key`.
        instance_id: the instance it belongs to; None outside of any.
    """

    name: str
    attempt: int
    key: str
    instance_id: str | None


def current_step() -> CurrentStep | None:
    """The step that this code runs in, or None.

    >>> import asyncio
    >>> from durable_ast import step
    >>> @step(retries=2)
    ... async def flaky() -> int:
    ...     attempt = current_step().attempt
    ...     if attempt < 3:
    ...         raise OSError("down")
    ...     return attempt
    >>> asyncio.run(flaky())
    3
    """
    scope = enclosing()
    if scope is None:
        return None
    return CurrentStep(scope.name, scope.attempt, scope.idempotency_key, scope.instance_id)


def step_key() -> str:
    """A key for the call of the step that this code runs in, to give to those who can tell by it
    that they have been asked the same before: 32 hexadecimal digits.

    It is the same in each attempt, and when the step runs again after a crash; in another instance,
    branch or iteration of a loop it is another one.

    Raises:
        DurableError: no step is running.

    >>> import asyncio
    >>> from durable_ast import step
    >>> @step
    ... async def pay() -> str:
    ...     return step_key()
    >>> len(asyncio.run(pay()))
    32
    """
    scope = enclosing()
    if scope is None:
        raise DurableError("step_key() was called where no step is running; call it in a function made by step()")
    return scope.idempotency_key
