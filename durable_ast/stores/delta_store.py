"""A store in front of another one that is given of large states only what has changed.

It stands in front of whatever signs, encrypts or compresses, since what comes out of that has nothing in
common with what came out before.  The store behind it sees records and parts, as always: that all of a
transition is written or nothing, and by the current owner only, is its work, and so is one request for
each.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Collection, Sequence
from dataclasses import replace

from ..errors import CorruptStateError
from ..state.deltas import Deltas, is_whole, whole, whole_parts
from ..state.schema import BRANCHES, Outgoing, Record, State, Status
from .base import InstanceStore
from .claiming import Claimed
from .delegating import DelegatingStore
from .parts import NO_PARTS, Parts
from .selection import Selection
from .transactions import OpenTransaction

log = logging.getLogger("durable_ast")

_LOOKS = 20
"""How often an instance of others is read until the record and what is beside it are of one moment."""


_NOBODY = -1, Deltas()


class DeltaStore(DelegatingStore):
    """Keeps large states in another store as a base and patches.

    Args:
        inner: the other store.
    """

    def __init__(self, inner: InstanceStore) -> None:
        super().__init__(inner)
        self.writes_whole = True
        self._held: dict[str, tuple[int, Deltas]] = {}
        """The instances that were acquired here, with their epochs."""

    # owning an instance

    async def acquire(self, initial: Record) -> tuple[Record, bool]:
        record, created = await self.inner.acquire(initial)
        if record.status.is_final:
            return record, created
        try:
            return await self._taken(record), created
        except BaseException:
            self.release(record.instance_id, record.epoch)
            raise

    async def claim(self, programs: Collection[str], limit: int, but: Collection[str] = ()) -> Claimed:
        claimed = await self.inner.claim(programs, limit, but)
        if all(map(is_whole, claimed.records)):
            self._held.update((record.instance_id, (record.epoch, Deltas())) for record in claimed.records)
            return claimed
        try:
            found = await asyncio.gather(*map(self._taken_or_put_aside, claimed.records))
        except BaseException:
            for record in claimed.records:
                self.release(record.instance_id, record.epoch)
            raise
        return replace(claimed, records=[record for record in found if record is not None])

    async def _taken(self, record: Record) -> Record:
        """An instance that is ours, whole."""
        deltas = Deltas()
        self._held[record.instance_id] = record.epoch, deltas
        if is_whole(record):
            return record
        return whole(record, await self.inner.parts(record.instance_id, BRANCHES), deltas)

    async def _taken_or_put_aside(self, record: Record) -> Record | None:
        try:
            return await self._taken(record)
        except CorruptStateError as error:
            log.error("instance %r: %s; it is put aside", record.instance_id, error)
            await self._written(replace(record, status=Status.PARKED, sequence=record.sequence + 1))
            self.release(record.instance_id, record.epoch)
            return None

    async def _written(self, record: Record) -> None:
        writing = self.inner.commit(record, (), True)
        if writing is not None:
            await writing

    def release(self, instance_id: str, epoch: int) -> None:
        if self._held.get(instance_id, _NOBODY)[0] == epoch:
            del self._held[instance_id]
        self.inner.release(instance_id, epoch)

    def _deltas(self, record: Record, parts: Parts) -> Deltas | None:
        """What a transition goes through; None if it is written as it is."""
        epoch, deltas = self._held.get(record.instance_id, _NOBODY)
        is_whole = epoch != record.epoch or record.status.is_final or not deltas.concern(record, parts)
        return None if is_whole else deltas

    # transitions

    def commit(
        self,
        record: Record,
        consumed: Sequence[int],
        flush: bool,
        parts: Parts = NO_PARTS,
        outbox: Sequence[Outgoing] = (),
    ) -> Awaitable[None] | None:
        deltas = self._deltas(record, parts)
        if deltas is not None:
            record, parts = deltas.next(record, parts)
        return self.inner.commit(record, consumed, flush, parts, outbox)

    def commit_within(
        self,
        transaction: OpenTransaction,
        record: Record,
        consumed: Sequence[int],
        parts: Parts = NO_PARTS,
        outbox: Sequence[Outgoing] = (),
    ) -> Awaitable[None]:
        deltas = self._deltas(record, parts)
        if deltas is None:
            return self.inner.commit_within(transaction, record, consumed, parts, outbox)
        record, parts = deltas.next(record, parts)
        return _built_upon(self.inner.commit_within(transaction, record, consumed, parts, outbox), deltas)

    # looking

    async def read(self, instance_id: str) -> Record | None:
        record = await self.inner.read(instance_id)
        return None if record is None else await self._whole_of_another(record)

    async def _whole_of_another(self, record: Record) -> Record | None:
        """An instance that somebody may be at work on, whole; None if it is gone."""
        current: Record | None = record
        for looks in range(_LOOKS):
            if current is None or is_whole(current):
                return current
            parts = await self.inner.parts(current.instance_id, BRANCHES)
            try:
                return whole(current, parts, Deltas())
            except CorruptStateError:
                before, current = current, await self.inner.read(current.instance_id)
                if looks and current is not None and current.sequence == before.sequence:
                    raise
        raise TimeoutError(f"{record.instance_id} is running, and moves faster than it can be read")

    async def parts(self, instance_id: str, prefix: str = "") -> dict[str, bytes]:
        found = await self.inner.parts(instance_id, prefix)
        return whole_parts(found, self._held.get(instance_id, (0, Deltas()))[1])

    async def whole(self, instance_id: str) -> tuple[Record, dict[str, bytes]] | None:
        return await self.inner.whole(instance_id)

    async def select(self, selection: Selection) -> list[Record]:
        found = await self.inner.select(selection)
        if all(map(is_whole, found)):
            return found
        records = await asyncio.gather(*map(self._whole_of_another, found))
        return [record for record in records if record is not None]

    async def load(self, instance_id: str) -> State | None:
        state = await self.inner.load(instance_id)
        if state is None or "format" not in state:
            return state
        record = await self.read(instance_id)
        return None if record is None else record.to_state()


async def _built_upon(writing: Awaitable[None], deltas: Deltas) -> None:
    """Wait for a transition; if it is rolled back, what comes after it does not build on it."""
    try:
        await writing
    except BaseException:
        deltas.lose()
        raise
