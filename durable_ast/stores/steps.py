"""`Store`: the least that a user's own store for a `Workflow` has to do."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any


class Store(ABC):
    """Keeps the steps, signals and outcomes of runs; seven methods suffice.

    Every store of this library is one.  A subclass of your own may keep what it is given in any form
    that holds text, numbers, lists and dictionaries, such as JSON.  It serves one process at a time;
    signals may come from others.

    >>> class Notebook(Store):
    ...     def __init__(self):
    ...         self.steps, self.signals = {}, {}
    ...     async def setup(self): ...
    ...     async def get_step(self, run_id, step_id):
    ...         return (run_id, step_id) in self.steps, self.steps.get((run_id, step_id))
    ...     async def set_step(self, run_id, step_id, result, attempt=1):
    ...         self.steps[run_id, step_id] = result
    ...     async def mark_run_done(self, run_id): ...
    ...     async def mark_run_failed(self, run_id, error): ...
    ...     async def get_signal(self, run_id, name):
    ...         return (run_id, name) in self.signals, self.signals.get((run_id, name))
    ...     async def set_signal(self, run_id, name, payload):
    ...         return self.signals.setdefault((run_id, name), payload) is payload
    """

    @abstractmethod
    async def setup(self) -> None:
        """Get ready; called once before anything else."""

    @abstractmethod
    async def get_step(self, run_id: str, step_id: str) -> tuple[bool, Any]:
        """Whether a step has a result, and the result."""

    @abstractmethod
    async def set_step(self, run_id: str, step_id: str, result: Any, attempt: int = 1) -> None:
        """Keep the result of a step, in place of an earlier one."""

    @abstractmethod
    async def mark_run_done(self, run_id: str) -> None:
        """The run has ended well."""

    @abstractmethod
    async def mark_run_failed(self, run_id: str, error: str) -> None:
        """The run has ended with an error, whose text this is."""

    @abstractmethod
    async def get_signal(self, run_id: str, name: str) -> tuple[bool, Any]:
        """Whether a signal was set, and its payload."""

    @abstractmethod
    async def set_signal(self, run_id: str, name: str, payload: Any) -> bool:
        """Set a signal, unless it was set before; gives whether it was not."""
