"""The backend of this library: instances, events and ownership over any store."""

from __future__ import annotations

import time
import weakref
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

from ..runtime.payloads import payload_bytes
from ..state.known_classes import given
from ..state.schema import State
from ..stores.base import InstanceStore, StateStore
from ..stores.memory import InMemoryStateStore
from ..stores.names import check_event_name, check_instance_id
from ..stores.steps import Store
from .base import OrchestrationBackend

if TYPE_CHECKING:
    from ..stores.two_methods import TwoMethodStore


class DurableBackend(OrchestrationBackend):
    """Keeps instances in a store, and delivers events to them.

    Args:
        state_store: where; in memory if it is None.

    >>> backend = DurableBackend()
    >>> backend.publish_event("order-7", "paid", {"amount": 3}).result()
    1
    """

    def __init__(self, state_store: StateStore | Store | None = None) -> None:
        self.state_store = InMemoryStateStore() if state_store is None else state_store
        self.store = instance_store(self.state_store)

    async def load_state(self, instance_id: str) -> State | None:
        return await self.store.load(check_instance_id(instance_id))

    async def save_state(self, instance_id: str, state: State) -> None:
        await self.store.save(check_instance_id(instance_id), state)

    async def wait_for_event(self, instance_id: str, event_name: str, timeout: float | None = None) -> Any:
        """Wait until a message of that name is in the mailbox; it stays there.

        Args:
            instance_id: the instance.
            event_name: the event.
            timeout: how long to wait, in seconds; forever if it is None.

        Raises:
            TimeoutError: the time was up first.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        seen: Any = None
        while True:
            left = 60.0 if deadline is None else deadline - time.monotonic()
            if left < 0:
                raise TimeoutError(f"no event {event_name!r} for instance {instance_id!r} within {timeout} seconds")
            seen = await self.store.changed(instance_id, seen, min(left, 60.0))
            for message in await self.store.messages(instance_id):
                if message.name == event_name:
                    return given(message.payload)

    def publish_event(self, instance_id: str, event_name: str, payload: Any = None) -> Future[int]:
        """Put an event into the mailbox of an instance, which need not exist yet.

        May be called from anywhere: a coroutine, a thread without a loop, another process.  Messages
        of one name are delivered in order, each exactly once.

        Args:
            instance_id: the instance.
            event_name: what it waits for.
            payload: what `wait_for_event` gives there.

        Returns:
            A future that is done once the event is stored; wait for it where that matters.

        Raises:
            InvalidInstanceIdError, InvalidEventNameError: no instance, or no event, has such a name.
            NotPersistableError: the payload cannot be pickled.
        """
        check_instance_id(instance_id)
        check_event_name(event_name)
        data = payload_bytes(payload, f"event {event_name!r} for instance {instance_id!r}")
        return self.store.publish(instance_id, event_name, data)


_adapted: weakref.WeakValueDictionary[int, TwoMethodStore] = weakref.WeakValueDictionary()
"""What adapts a user's own store, by the id of that; it knows which runs this process is at work on."""


def instance_store(store: StateStore | Store) -> InstanceStore:
    """A store as the runtime wants it."""
    if isinstance(store, InstanceStore):
        from ..stores.coded import guarded  # no program needs them before it has a store
        from ..stores.delta_store import DeltaStore

        found = guarded(store.instances)
        return found if found.writes_whole else DeltaStore(found)
    adapter = _adapted.get(id(store))
    if adapter is None:
        adapter = _adapted[id(store)] = _adapter(store)
        adapter.user = store
    return adapter


def _adapter(store: StateStore | Store) -> TwoMethodStore:
    if not isinstance(store, StateStore):
        from ..stores.seven_methods import SevenMethodStore

        return SevenMethodStore(store)
    from ..stores.two_methods import TwoMethodStore

    return TwoMethodStore(store.load, store.save)
