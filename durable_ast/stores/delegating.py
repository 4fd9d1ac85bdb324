"""A store in front of another one: what changes little of what a store does derives from it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence
from concurrent.futures import Future
from typing import Any

from ..state.schema import Message, Outgoing, Record, State
from .base import InstanceStore
from .claiming import Claimed
from .parts import NO_PARTS, Parts
from .selection import Selection
from .sizes import Sizes
from .transactions import OpenTransaction


class DelegatingStore(InstanceStore):
    """Does everything as the store behind it.

    Attributes:
        inner: the store behind it.
    """

    def __init__(self, inner: InstanceStore) -> None:
        self.inner = inner
        self.is_shared, self.is_guarded = inner.is_shared, inner.is_guarded
        self.writes_whole, self.is_at_once = inner.writes_whole, inner.is_at_once

    def is_same(self, other: object) -> bool:
        return self is other or self.inner.is_same(other.inner if isinstance(other, DelegatingStore) else other)

    async def load(self, instance_id: str) -> State | None:
        return await self.inner.load(instance_id)

    async def save(self, instance_id: str, state: State) -> None:
        await self.inner.save(instance_id, state)

    async def acquire(self, initial: Record) -> tuple[Record, bool]:
        return await self.inner.acquire(initial)

    async def enqueue(self, record: Record) -> bool:
        return await self.inner.enqueue(record)

    async def claim(self, programs: Collection[str], limit: int, but: Collection[str] = ()) -> Claimed:
        return await self.inner.claim(programs, limit, but)

    def commit(
        self,
        record: Record,
        consumed: Sequence[int],
        flush: bool,
        parts: Parts = NO_PARTS,
        outbox: Sequence[Outgoing] = (),
    ) -> Awaitable[None] | None:
        return self.inner.commit(record, consumed, flush, parts, outbox)

    async def begin(self, record: Record) -> OpenTransaction:
        return await self.inner.begin(record)

    def commit_within(
        self,
        transaction: OpenTransaction,
        record: Record,
        consumed: Sequence[int],
        parts: Parts = NO_PARTS,
        outbox: Sequence[Outgoing] = (),
    ) -> Awaitable[None]:
        return self.inner.commit_within(transaction, record, consumed, parts, outbox)

    def release(self, instance_id: str, epoch: int) -> None:
        self.inner.release(instance_id, epoch)

    async def read(self, instance_id: str) -> Record | None:
        return await self.inner.read(instance_id)

    async def parts(self, instance_id: str, prefix: str = "") -> dict[str, bytes]:
        return await self.inner.parts(instance_id, prefix)

    async def messages(self, instance_id: str) -> list[Message]:
        return await self.inner.messages(instance_id)

    async def message(self, instance_id: str, name: str) -> Message | None:
        return await self.inner.message(instance_id, name)

    def publish(self, instance_id: str, name: str, payload: bytes) -> Future[int]:
        return self.inner.publish(instance_id, name, payload)

    async def offer(self, instance_id: str, name: str, payload: bytes) -> bool:
        return await self.inner.offer(instance_id, name, payload)

    async def changed(self, instance_id: str | None, seen: Any, timeout: float) -> Any:
        return await self.inner.changed(instance_id, seen, timeout)

    def watch(self, instance_id: str, callback: Callable[[], None]) -> Callable[[], object]:
        return self.inner.watch(instance_id, callback)

    async def select(self, selection: Selection) -> list[Record]:
        return await self.inner.select(selection)

    async def delete(self, instance_id: str) -> bool:
        return await self.inner.delete(instance_id)

    async def drop_parts(self, instance_id: str, prefix: str) -> int:
        return await self.inner.drop_parts(instance_id, prefix)

    async def sizes(self, *, largest: int = 10) -> Sizes:
        return await self.inner.sizes(largest=largest)

    async def shrink(self) -> None:
        await self.inner.shrink()

    async def keep_source(self, version: str, text: str) -> None:
        await self.inner.keep_source(version, text)

    async def source(self, version: str) -> str | None:
        return await self.inner.source(version)

    async def close(self) -> None:
        await self.inner.close()
