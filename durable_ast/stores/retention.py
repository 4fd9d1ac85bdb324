"""What is deleted when it is old, and how much there is, for a store that has no faster way to tell."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Collection
from typing import TYPE_CHECKING

from ..errors import CorruptStateError
from ..state.deltas import OF_RECORD
from ..state.history import PREFIX as HISTORY
from ..state.schema import Status
from .claiming import InstanceBusy
from .sizes import Size, Sizes, summed

if TYPE_CHECKING:
    from .base import InstanceStore

_PAGE = 500
"""How many records are read at a time where all are looked at."""


async def vacuum(
    store: InstanceStore,
    older_than: float,
    status: Collection[Status],
    program: str | None,
    prefix: str | None,
    history_only: bool,
) -> int:
    """See `InstanceStore.vacuum`."""
    alive = set(status) - {Status.SUCCESS, Status.CANCELLED, Status.ERROR, Status.PARKED}
    if alive:
        raise ValueError(f"instances that are {', '.join(sorted(alive))} may go on; cancel them first")
    before = time.time() - older_than
    deleted = kept = 0
    while True:
        records = await store.records(status=status, program=program, prefix=prefix, limit=_PAGE, offset=kept)
        for record in records:
            is_gone = False
            if record.updated_at <= before:
                with contextlib.suppress(InstanceBusy):
                    if history_only:
                        deleted += await store.drop_parts(record.instance_id, HISTORY) > 0
                    else:
                        is_gone = await store.delete(record.instance_id)
                        deleted += is_gone
            kept += not is_gone
        if len(records) < _PAGE:
            return deleted


async def sizes_by_reading(store: InstanceStore, largest: int) -> Sizes:
    """See `InstanceStore.sizes`."""
    sizes = []
    for record in await store.records():
        try:
            parts = await store.parts(record.instance_id)
            messages = await store.messages(record.instance_id)
        except CorruptStateError:  # how much of it there is, is not known
            parts, messages = {}, []
        history = sum(len(data) for name, data in parts.items() if name.startswith(HISTORY))
        own = sum(len(data) for name, data in parts.items() if name.startswith(OF_RECORD))
        beside = sum(map(len, parts.values())) - history - own
        beside += sum(len(message.payload) for message in messages)
        state = len(record.call_stack or b"") + len(record.outcome or b"") + sum(map(len, record.retry)) + own
        sizes.append(Size(record.instance_id, record.status, state, beside, history))
    return summed(sizes, largest)
