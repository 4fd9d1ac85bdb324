"""Pauses: waiting for an event, and sleeping.

What the user calls is here as an ordinary coroutine function, for its name and its signature.  The
runtime recognises its coroutines before they start and does the durable thing instead; run anywhere
else, they say so.
"""

from __future__ import annotations

import asyncio
import sys
import time
from types import CoroutineType
from typing import Any

from ..errors import DurableError, PauseForEventException
from ..state import snapshot
from ..state.schema import Message
from .branch import Branch, Park, signal
from .frames import arguments_of
from .running_branch import current


async def wait_for_event(name: str, *, timeout: float | None = None) -> Any:
    """Pause until an event is published to this instance; gives its payload.

    Events are kept from the moment they are published, in order, whether or not anybody waits yet;
    each is delivered once.

    Args:
        name: the name of the event.
        timeout: how long to wait, in seconds; forever if it is None.  The time goes on while no
            process runs.

    Raises:
        TimeoutError: the time was up first.

    >>> import asyncio
    >>> from durable_ast import DurableBackend, make_durable
    >>> @make_durable
    ... async def order():
    ...     return await wait_for_event("paid")
    >>> async def main():
    ...     backend = DurableBackend()
    ...     backend.publish_event("order-1", "paid", {"amount": 7})
    ...     return await order(orchestration_backend=backend, instance_id="order-1")
    >>> asyncio.run(main())
    {'amount': 7}
    """
    raise DurableError(
        f"wait_for_event({name!r}) was awaited outside of a durable function. Await it in an async function that "
        "make_durable() compiles, or in one that such a function awaits and that is part of the same package."
    )


async def receive(branch: Branch, name: str, deadline: float | None, *, saved: bool = False) -> Any:
    """The durable form of `wait_for_event`; `saved` if the pause has been written already."""
    frame = sys._getframe(1)
    instance = branch.instance
    message: Message | None = await instance.receive(name)
    if message is None:
        pause = Park(name, deadline)
        if not saved:
            await branch.checkpoint(("event", name, deadline), frame, pause=pause)
        if deadline is None or time.time() < deadline:
            message = await signal(pause)
    if message is None:
        try:
            raise TimeoutError(f"no event {name!r} within the time")
        except TimeoutError as error:
            await branch.failed(error, sys._getframe(1))
            raise
    payload = snapshot.loads(message.payload)
    await branch.checkpoint(("value", payload), sys._getframe(1), consumed=(message.number,))
    return payload


def pause(raised: Any) -> Any:
    """What a raised pause becomes; the intrinsic `.pause`."""
    branch = current.get()
    if branch is None or branch.in_step:
        return _raised(raised)
    event = raised.event if isinstance(raised, PauseForEventException) else None
    if not isinstance(event, str):
        raise TypeError(f"the event of a PauseForEventException must be a str, not {type(event).__name__}")
    return receive(branch, event, None)


async def _raised(error: BaseException) -> None:
    raise error


def begin_wait(branch: Branch, coroutine: CoroutineType[Any, Any, Any]) -> Any:
    """Start a `wait_for_event` that was recognised."""
    values = arguments_of(coroutine)
    name, timeout = values["name"], values["timeout"]
    coroutine.close()
    if not isinstance(name, str):
        raise TypeError(f"the name of an event must be a str, not {type(name).__name__}")
    return receive(branch, name, None if timeout is None else time.time() + timeout)


def begin_sleep(branch: Branch, coroutine: CoroutineType[Any, Any, Any]) -> Any:
    """Start an `asyncio.sleep` that was recognised."""
    values = arguments_of(coroutine)
    delay, result = values["delay"], values["result"]
    if not delay > 0:  # nothing to wait for, or NaN, which asyncio refuses
        return coroutine
    coroutine.close()
    return sleep_until(branch, time.time() + delay, result)


async def sleep_until(branch: Branch, due: float, result: Any, *, saved: bool = False) -> Any:
    """Sleep until a time of the clock, in seconds since 1970; time spent dead counts."""
    frame = sys._getframe(1)
    if not saved:
        await branch.checkpoint(("sleep", due, result), frame, wake_at=due)
    try:
        while True:
            left = due - time.time()
            if left <= 0:
                return result
            await asyncio.sleep(min(left, _LONGEST_NAP))
    except BaseException as error:
        await branch.failed(error, sys._getframe(1))
        raise


_LONGEST_NAP = 60.0
"""Seconds after which the clock is looked at again: it may have been set."""
