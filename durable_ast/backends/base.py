"""The interface between the runtime and whatever keeps instances and their events."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from ..state.schema import State


class OrchestrationBackend(ABC):
    """Where a `DurableRuntime` finds and leaves the state of instances.

    Subclass it to put durable functions on an orchestration layer of your own; these three methods
    suffice.  Such a backend serves one process at a time.
    """

    @abstractmethod
    async def load_state(self, instance_id: str) -> State | None:
        """The state that was saved last, or None."""

    @abstractmethod
    async def save_state(self, instance_id: str, state: State) -> None:
        """Replace the state; either all of it or nothing."""

    @abstractmethod
    async def wait_for_event(self, instance_id: str, event_name: str) -> Any:
        """Return, with the payload if there is one, once the event has been published."""
