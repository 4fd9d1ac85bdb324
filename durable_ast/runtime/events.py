"""Pauses: waiting for an event, and sleeping.

What the user calls is here as an ordinary coroutine function, for its name and its signature.  The
runtime recognises its coroutines before they start and does the durable thing instead; run anywhere
else, they say so.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Awaitable
from types import CoroutineType
from typing import TYPE_CHECKING, Any

from ..errors import CorruptStateError, DurableError, PauseForEventException
from ..state.known_classes import given
from ..state.schema import Message
from ..stores.names import check_event_name
from .branch import Branch, Nap, Park, Signal, signal
from .effects import Effects
from .frames import arguments_of
from .journal import current_run
from .running_branch import current
from .spans import is_over
from .timers import until

if TYPE_CHECKING:
    import datetime


async def wait_for_event(name: str, *, timeout: float | None = None) -> Any:
    """Pause until an event is published to this instance; gives its payload.

    Events are kept from the moment they are published, in order, whether or not anybody waits yet;
    each is delivered once.  In a step, or in what a library calls there, the step stays in memory as
    long as somebody waits with the instance; what it has received is not lost when it runs again.

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
    run = current_run()
    if run is not None:
        return await run.wait_for_event(check_event_name(name), timeout=timeout)
    raise DurableError(
        f"wait_for_event({name!r}) was awaited outside of a durable function. Await it in an async function that "
        "make_durable() compiles, or in one that such a function awaits and that is part of the same package."
    )


async def receive(branch: Branch, name: str, deadline: float | None, *, saved: bool = False) -> Any:
    """The durable form of `wait_for_event`; `saved` if the pause has been written already."""
    branch.must_not_wait(f"event {name!r} was awaited")
    instance = branch.instance
    since = instance.record.updated_at if saved else None
    message: Message | None = await instance.mailbox.receive(name)
    if message is None:
        pause = Park(name, deadline)
        if not saved:
            since = time.time()
            await _saved(branch, branch.checkpoint(("event", name, deadline), sys._getframe(1), pause=pause))
        if deadline is None or time.time() < deadline:
            try:
                message = await parked(branch, pause)
            except BaseException as error:
                await branch.failed(error, sys._getframe(1))
                raise
    if message is None:
        try:
            raise TimeoutError(f"no event {name!r} within the time")
        except TimeoutError as error:
            await branch.failed(error, sys._getframe(1))
            is_over(instance.spans, name, since)
            raise
    try:
        payload = given(message.payload)
    except CorruptStateError as error:
        await branch.stop(
            CorruptStateError(
                f"message {message.number} for instance {instance.record.instance_id!r}, event {name!r}: {error}; it "
                "stays in the mailbox"
            )
        )
    await _saved(branch, branch.checkpoint(("value", payload), sys._getframe(1), effects=Effects((message.number,))))
    is_over(instance.spans, name, since)
    return payload


async def parked(branch: Branch, pause: Park) -> Message | None:
    """Wait for what ends a pause: in memory, if anybody wants to wait, else not any longer."""
    message: Message | None
    if branch.siblings is not None:
        message = await branch.siblings.parked(branch, pause)
    elif branch.instance.stays_at(pause):
        message = await branch.instance.wait(pause)
    else:
        message = await _leaving(branch, pause)
    return message


async def _leaving(branch: Branch, message: Signal) -> Any:
    """Leave memory, unless the branch is to be cancelled or halted: that comes only where its task waits."""
    if branch.halted is not None or branch.instance.is_to_be_cancelled:
        await asyncio.sleep(0)
    return await signal(message)


def pause(raised: Any) -> Any:
    """What a raised pause becomes; the intrinsic `.pause`."""
    branch = current.get()
    if branch is None or branch.in_step:
        return _raised(raised)
    event = raised.event if isinstance(raised, PauseForEventException) else None
    return receive(branch, check_event_name(event), None)


async def _raised(error: BaseException) -> None:
    raise error


def begin_wait(branch: Branch, coroutine: CoroutineType[Any, Any, Any]) -> Any:
    """Start a `wait_for_event` that was recognised."""
    values = arguments_of(coroutine)
    name, timeout = values["name"], values["timeout"]
    coroutine.close()
    return receive(branch, check_event_name(name), None if timeout is None else time.time() + timeout)


def begin_sleep(branch: Branch, coroutine: CoroutineType[Any, Any, Any]) -> Any:
    """Start an `asyncio.sleep` that was recognised."""
    values = arguments_of(coroutine)
    delay, result = values["delay"], values["result"]
    if not _is_to_wait(delay):
        if branch.siblings is not None:
            branch.siblings.awaiting(branch, coroutine, is_inward=False)
        return coroutine
    coroutine.close()
    return sleep_to(branch, time.time() + delay, result)


def _is_to_wait(delay: Any) -> bool:
    """Whether there is anything to wait for; what is no number, asyncio refuses in its own words."""
    try:
        return bool(delay > 0)
    except TypeError:
        return False


async def sleep_until(when: datetime.datetime) -> None:
    """Sleep until a moment; a moment that has passed is waited for no longer.

    In a durable function it is a durable timer, as `asyncio.sleep` is.  The clock of the machine
    decides: where it is set, or daylight saving begins, the moment stays the same.

    Args:
        when: the moment; without a time zone, it is one of the local time.

    >>> import asyncio, datetime
    >>> asyncio.run(sleep_until(datetime.datetime.now(datetime.timezone.utc)))
    """
    await until(_moment(when))


def begin_sleep_until(branch: Branch, coroutine: CoroutineType[Any, Any, Any]) -> Any:
    """Start a `sleep_until` that was recognised."""
    when = arguments_of(coroutine)["when"]
    coroutine.close()
    return sleep_to(branch, _moment(when), None)


def _moment(when: Any) -> float:
    """A moment in seconds since 1970."""
    import datetime

    if not isinstance(when, datetime.datetime):
        raise TypeError(
            f"sleep_until() needs a datetime, not {type(when).__name__}; for seconds there is asyncio.sleep()"
        )
    return when.timestamp()


async def sleep_to(branch: Branch, due: float, result: Any, *, saved: bool = False) -> Any:
    """Sleep until a time of the clock, in seconds since 1970; time spent dead counts."""
    if not saved:
        await _saved(branch, branch.checkpoint(("sleep", due, result), sys._getframe(1), wake_at=due))
    if branch.siblings is not None:
        branch.siblings.naps()
    leaves = branch.siblings is None and branch.instance.leaves_until(due) and branch.instance.record.wake_at == due
    try:
        if leaves:
            await _leaving(branch, Nap(due))
        await until(due)
    except BaseException as error:
        await branch.failed(error, sys._getframe(1))
        raise
    return result


async def _saved(branch: Branch, saving: Awaitable[None] | None) -> None:
    if saving is not None:
        await branch.saved(saving)
