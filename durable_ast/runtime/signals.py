"""Signals, messages and published values: what instances and others tell each other.

A signal is an event that ends every wait for it there is when it comes, so that two branches which
wait for one name both go on; a later wait needs another signal.  Each wait remembers the delivery
before it, and the last delivery is kept beside the instance: whichever branch takes the message,
and wherever the process dies, the others find it there.

As in `events`, what the user calls is an ordinary coroutine function that is recognised; in the
middle of a step its body runs, and its effect is a unit of the step's journal.
"""

from __future__ import annotations

import functools
import sys
import time
from types import CoroutineType
from typing import TYPE_CHECKING, Any

from ..errors import CorruptStateError
from ..state.known_classes import given
from ..state.schema import Message, Outgoing
from ..stores.names import check_event_name, check_instance_id
from .branch import Branch, Park
from .effects import NO_EFFECTS, Effects
from .events import parked
from .frames import arguments_of
from .journal import Run, current_run
from .mailbox import Delivered
from .payloads import as_type, payload_bytes
from .running_branch import current
from .spans import is_over

if TYPE_CHECKING:
    from .instance import Instance

VALUES = "v/"
"""What the names of those parts begin with that hold what an instance has published."""


# waiting for a signal


async def wait_for_signal(name: str, timeout: float | None, kind: Any, poll: float | None) -> Any:
    """Wait for a signal; see `Workflow.signal`."""
    run, _ = _step_of(f"signal({name!r})")
    return await run.wait_for_signal(
        check_event_name(name), timeout, poll, functools.partial(as_type, kind=kind, name=name)
    )


def begin_signal(branch: Branch, coroutine: CoroutineType[Any, Any, Any]) -> Any:
    """Start a `wait_for_signal` that was recognised."""
    values = arguments_of(coroutine)
    coroutine.close()
    name = check_event_name(values["name"])
    return hear(branch, name, _deadline(values["timeout"]), None, values["kind"], values["poll"])


async def hear(
    branch: Branch, name: str, deadline: float | None, after: Delivered | None, kind: Any, poll: float | None
) -> Any:
    """The durable form of `wait_for_signal`.

    Args:
        branch: the branch that waits.
        name: the signal.
        deadline: when to give up, in seconds since 1970.
        after: the delivery before it, if the pause has been written already.
        kind: the type of the payload.
        poll: seconds after which to look again.
    """
    branch.must_not_wait(f"signal {name!r} was awaited")
    instance = branch.instance
    is_saved = after is not None
    since = instance.record.updated_at if is_saved else None
    if after is None:
        after = await instance.mailbox.last_delivery(name)
    elif branch.siblings is None:
        instance.mailbox.only_waiter(name, after)
    pause = Park(name, deadline, after, poll)
    message: Message | None = await instance.mailbox.hear(name, after)
    if message is None:
        if not is_saved:
            since = time.time()
            saving = branch.checkpoint(
                ("signal", name, deadline, after.number, kind, poll), sys._getframe(1), pause=pause
            )
            if saving is not None:
                await branch.saved(saving)
        if deadline is None or time.time() < deadline:
            try:
                message = await parked(branch, pause)
            except BaseException as error:
                await branch.failed(error, sys._getframe(1))
                raise
    try:
        if message is None:
            raise _timed_out(name)
        payload = as_type(_payload(message), kind, name)
    except CorruptStateError as error:
        await branch.stop(error)
    except Exception as error:
        effects = NO_EFFECTS if message is None else instance.mailbox.deliver(message)
        await branch.failed(error, sys._getframe(1), effects)
        is_over(instance.spans, name, since)
        raise
    saving = branch.checkpoint(("value", payload), sys._getframe(1), effects=instance.mailbox.deliver(message))
    if saving is not None:
        await branch.saved(saving)
    is_over(instance.spans, name, since)
    return payload


def _timed_out(name: str) -> TimeoutError:
    return TimeoutError(f"no signal {name!r} within the time")


def _payload(message: Message) -> Any:
    try:
        return given(message.payload)
    except CorruptStateError as error:
        raise CorruptStateError(f"signal {message.name!r}: {error}; it stays in the mailbox") from error


def _deadline(timeout: float | None) -> float | None:
    return None if timeout is None else time.time() + timeout


# telling others


async def send(instance_id: str, name: str, payload: Any) -> None:
    """Put a message into the mailbox of another instance; see `Workflow.send`."""
    run, _ = _step_of(f"send({instance_id!r}, {name!r})")
    key = f"send {instance_id} {name}#{run.ordinal(f'send {instance_id} {name}')}"
    if await run.lookup(key) is None:
        await run.record(key, None, _sending(instance_id, name, payload))


def begin_send(branch: Branch, coroutine: CoroutineType[Any, Any, Any]) -> Any:
    """Start a `send` that was recognised."""
    values = arguments_of(coroutine)
    coroutine.close()
    return _with_effects(branch, _sending(values["instance_id"], values["name"], values["payload"]))


def _sending(instance_id: str, name: str, payload: Any) -> Effects:
    data = payload_bytes(payload, f"signal {name!r} for run {instance_id!r}")
    return Effects(outbox=(Outgoing(check_instance_id(instance_id), check_event_name(name), data),))


async def set_value(key: str, value: Any) -> None:
    """Publish a value of this instance; see `Workflow.set_event`."""
    _, instance = _step_of(f"set_event({key!r})")
    await instance.note(_publishing(key, value))


def begin_set_value(branch: Branch, coroutine: CoroutineType[Any, Any, Any]) -> Any:
    """Start a `set_value` that was recognised."""
    values = arguments_of(coroutine)
    coroutine.close()
    return _with_effects(branch, _publishing(values["key"], values["value"]))


def _publishing(key: str, value: Any) -> Effects:
    return Effects(parts={VALUES + key: payload_bytes(value, f"the published value {key!r}")})


async def _with_effects(branch: Branch, effects: Effects) -> None:
    saving = branch.checkpoint(("value", None), sys._getframe(1), effects=effects)
    if saving is not None:
        await branch.saved(saving)


def _step_of(what: str) -> tuple[Run, Instance]:
    """The running step of an instance, and the instance."""
    run, branch = current_run(), current.get()
    if run is None or branch is None:
        raise RuntimeError(f"{what} concerns the run that calls it, and this is no workflow")
    return run, branch.instance
