"""Giving an instance what it may wait for, in a store that has no single request for that."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .base import InstanceStore


async def complete_by_asking(
    store: InstanceStore, instance_id: str, name: str, payload: bytes, delivered: str, rivals: str | None
) -> bool | None:
    """`InstanceStore.complete` by reading first; the instance may end meanwhile, and then nobody reads the message."""
    if rivals is not None and await store.messages(rivals):
        return None
    record = await store.read(instance_id)
    if record is not None:
        if record.status.is_final:
            return False
        if name not in record.awaited and delivered in await store.parts(instance_id, delivered):
            return False
    return await store.offer(instance_id, name, payload)
