"""A backend of a user's own, three methods, as a store.

State is loaded and saved by two of them.  What the third one delivers is put into the mailbox, so it
is consumed with the checkpoint that moves past the wait, like any message.
"""

from __future__ import annotations

import asyncio
import weakref

from ..state import snapshot
from ..state.schema import Message
from ..stores.names import CONTROL
from ..stores.two_methods import TwoMethodStore
from .base import OrchestrationBackend

_PATIENCE = 0.05
"""Seconds that a backend has to say that an event is there already."""


class BackendStore(TwoMethodStore):
    """Adapts a backend; events are listened for while an instance that waits for them is at work."""

    def __init__(self, backend: OrchestrationBackend) -> None:
        super().__init__(backend.load_state, backend.save_state)
        self._backend = backend
        self._listening: dict[tuple[str, str], asyncio.Task[None]] = {}

    async def message(self, instance_id: str, name: str) -> Message | None:
        found = await super().message(instance_id, name)
        if found is not None or name.startswith(CONTROL):
            return found
        key = instance_id, name
        listening = self._listening.get(key)
        if listening is None or listening.get_loop() is not asyncio.get_running_loop():
            listening = self._listening[key] = asyncio.create_task(self._listen(instance_id, name))
        await asyncio.wait([listening], timeout=_PATIENCE)
        if listening.done():
            listening.result()
        return await super().message(instance_id, name)

    async def _listen(self, instance_id: str, name: str) -> None:
        try:
            self.deliver(instance_id, name, await self._backend.wait_for_event(instance_id, name))
        finally:
            self._listening.pop((instance_id, name), None)

    def deliver(self, instance_id: str, name: str, payload: object) -> None:
        """Put what the backend has delivered into the mailbox."""
        self.publish(instance_id, name, snapshot.dumps(payload))

    def release(self, instance_id: str, epoch: int) -> None:
        for key in [key for key in self._listening if key[0] == instance_id]:
            self._listening.pop(key).cancel()
        super().release(instance_id, epoch)


_stores: weakref.WeakValueDictionary[int, BackendStore] = weakref.WeakValueDictionary()
"""By the id of a backend, which lives as long as its store does."""


def store_of(backend: OrchestrationBackend) -> BackendStore:
    """The one store of a backend."""
    store = _stores.get(id(backend))
    if store is None:
        store = _stores[id(backend)] = BackendStore(backend)
    return store
