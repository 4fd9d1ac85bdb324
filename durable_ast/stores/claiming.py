"""Who gets an instance that can go on, and how a store finds one that has no index of them."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..state.schema import Message, Record, Status
from .names import CONTROL

if TYPE_CHECKING:
    from .base import InstanceStore


class InstanceBusy(Exception):
    """Another owner is at work on the instance; for the runtime only."""


@dataclass(frozen=True, slots=True)
class Claimed:
    """What a claim gave.

    Attributes:
        records: the instances.
        next_due: when the next one will be due, as far as it is known.
        messages: the mailboxes of those instances that have any messages, oldest first; None if they
            were not read.
    """

    records: list[Record]
    next_due: float | None = None
    messages: Mapping[str, list[Message]] | None = None


async def claim_by_listing(
    store: InstanceStore, programs: Collection[str], limit: int, but: Collection[str] = ()
) -> Claimed:
    """The claim of a store that has no index of what can go on: look at everything."""
    claimed: list[Record] = []
    next_due: float | None = None
    waiting = await store.records(status=(Status.ENQUEUED, Status.RUNNING, Status.SLEEPING, Status.WAITING))
    for record in reversed(waiting):
        if record.program not in programs or record.instance_id in but:
            continue
        due = await due_of(store, record)
        if due is not None and due > time.time():
            next_due = due if next_due is None else min(due, next_due)
        elif due is not None and len(claimed) < limit:
            with contextlib.suppress(InstanceBusy):
                current, _ = await store.acquire(record)
                claimed.append(current)
    return Claimed(claimed, next_due)


async def due_of(store: InstanceStore, record: Record) -> float | None:
    """When an instance that nobody owns can go on, in seconds since 1970; None if only an event can
    tell."""
    if record.status in (Status.ENQUEUED, Status.RUNNING) and not record.is_held:
        return record.created_at
    if record.status in (Status.SLEEPING, Status.WAITING):
        for message in await store.messages(record.instance_id):
            if message.name in record.awaited or message.name.startswith(CONTROL):
                return record.updated_at
        for name in record.awaited:  # there are stores that must be asked for each
            if await store.message(record.instance_id, name) is not None:
                return record.updated_at
    return record.wake_at if record.status in (Status.SLEEPING, Status.WAITING) else None
