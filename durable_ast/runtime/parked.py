"""Waiting for an instance that has left memory, until it can go on."""

from __future__ import annotations

import time
from typing import Any

from ..errors import UnknownRunError
from ..state.schema import Status
from ..stores.base import InstanceStore
from ..stores.names import CONTROL

_LONGEST = 60.0
"""Seconds after which to look again: the clock may be set, and a store may not hear of everything."""


async def until_it_can_go_on(store: InstanceStore, instance_id: str) -> None:
    """Wait until an instance has what it waits for, or its time is up, or it is not waiting any more.

    Raises:
        UnknownRunError: it was deleted.
    """
    seen: Any = None
    left = _LONGEST
    while True:
        seen = await store.changed(instance_id, seen, left)
        left = await _left(store, instance_id)
        if left <= 0:
            return


async def _left(store: InstanceStore, instance_id: str) -> float:
    """Seconds to wait at most; none if it can go on."""
    record = await store.read(instance_id)
    if record is None:
        raise UnknownRunError(f"instance {instance_id!r} was deleted while it waited")
    if record.status is not Status.WAITING:
        return 0.0
    for name in record.awaited:
        if await store.message(instance_id, name) is not None:
            return 0.0
    if any(message.name.startswith(CONTROL) for message in await store.messages(instance_id)):
        return 0.0
    return _LONGEST if record.wake_at is None else min(record.wake_at - time.time(), _LONGEST)
