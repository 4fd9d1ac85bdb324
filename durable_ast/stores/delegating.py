"""A store in front of another one: what changes little of what a store does derives from it.

What it does not change it hands on as it is, and not in a coroutine of its own: each costs as much as
what it waits for.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Coroutine, Mapping, Sequence
from concurrent.futures import Future
from typing import Any

from ..errors import StaleOwnerError
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

    def load(self, instance_id: str) -> Coroutine[Any, Any, State | None]:
        return self.inner.load(instance_id)

    def save(self, instance_id: str, state: State) -> Coroutine[Any, Any, None]:
        return self.inner.save(instance_id, state)

    def acquire(self, initial: Record) -> Coroutine[Any, Any, tuple[Record, bool]]:
        return self.inner.acquire(initial)

    def enqueue(self, record: Record) -> Coroutine[Any, Any, bool]:
        return self.inner.enqueue(record)

    def claim(self, programs: Collection[str], limit: int, but: Collection[str] = ()) -> Coroutine[Any, Any, Claimed]:
        return self.inner.claim(programs, limit, but)

    def commit(
        self,
        record: Record,
        consumed: Sequence[int],
        flush: bool,
        parts: Parts = NO_PARTS,
        outbox: Sequence[Outgoing] = (),
    ) -> Awaitable[None] | None:
        return self.inner.commit(record, consumed, flush, parts, outbox)

    def begin(self, record: Record) -> Coroutine[Any, Any, OpenTransaction]:
        return self.inner.begin(record)

    def commit_within(
        self,
        transaction: OpenTransaction,
        record: Record,
        consumed: Sequence[int],
        parts: Parts = NO_PARTS,
        outbox: Sequence[Outgoing] = (),
    ) -> Awaitable[None]:
        return self.inner.commit_within(transaction, record, consumed, parts, outbox)

    def refusal(self, record: Record) -> StaleOwnerError | None:
        return self.inner.refusal(record)

    def release(self, instance_id: str, epoch: int) -> None:
        self.inner.release(instance_id, epoch)

    def read(self, instance_id: str) -> Coroutine[Any, Any, Record | None]:
        return self.inner.read(instance_id)

    def parts(self, instance_id: str, prefix: str = "") -> Coroutine[Any, Any, dict[str, bytes]]:
        return self.inner.parts(instance_id, prefix)

    def messages(self, instance_id: str) -> Coroutine[Any, Any, list[Message]]:
        return self.inner.messages(instance_id)

    def mailboxes(self, instance_ids: Sequence[str]) -> Coroutine[Any, Any, dict[str, list[Message]]]:
        return self.inner.mailboxes(instance_ids)

    def message(self, instance_id: str, name: str) -> Coroutine[Any, Any, Message | None]:
        return self.inner.message(instance_id, name)

    def publish(self, instance_id: str, name: str, payload: bytes) -> Future[int]:
        return self.inner.publish(instance_id, name, payload)

    def offer(self, instance_id: str, name: str, payload: bytes) -> Coroutine[Any, Any, bool]:
        return self.inner.offer(instance_id, name, payload)

    def complete(
        self, instance_id: str, name: str, payload: bytes, delivered: str, rivals: str | None = None
    ) -> Coroutine[Any, Any, bool | None]:
        return self.inner.complete(instance_id, name, payload, delivered, rivals)

    def changed(self, instance_id: str | None, seen: Any, timeout: float) -> Coroutine[Any, Any, Any]:
        return self.inner.changed(instance_id, seen, timeout)

    def watch(self, instance_id: str, callback: Callable[[], None]) -> Callable[[], object]:
        return self.inner.watch(instance_id, callback)

    def select(self, selection: Selection) -> Coroutine[Any, Any, list[Record]]:
        return self.inner.select(selection)

    def delete(self, instance_id: str) -> Coroutine[Any, Any, bool]:
        return self.inner.delete(instance_id)

    def drop_parts(self, instance_id: str, prefix: str) -> Coroutine[Any, Any, int]:
        return self.inner.drop_parts(instance_id, prefix)

    def sizes(self, *, largest: int = 10) -> Coroutine[Any, Any, Sizes]:
        return self.inner.sizes(largest=largest)

    def shrink(self) -> Coroutine[Any, Any, None]:
        return self.inner.shrink()

    def keep_sources(self, texts: Mapping[str, str]) -> Coroutine[Any, Any, None]:
        return self.inner.keep_sources(texts)

    def source(self, version: str) -> Coroutine[Any, Any, str | None]:
        return self.inner.source(version)

    def close(self) -> Coroutine[Any, Any, None]:
        return self.inner.close()
