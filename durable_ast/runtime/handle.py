"""An instance from the outside, whoever runs it."""

from __future__ import annotations

import asyncio
import time
from typing import Any, Generic, TypeVar

from ..backends.durable import DurableBackend
from ..errors import UnknownRunError
from ..state import snapshot
from ..state.schema import Record, Status
from .control import CANCEL
from .instance import outcome_of
from .moments import Moment, moments

R = TypeVar("R")

_OVER = (Status.SUCCESS, Status.ERROR, Status.CANCELLED, Status.PARKED)
_LOOK_AGAIN = 60.0
"""Seconds after which an instance is looked at again, though nothing was heard of it."""


class InstanceHandle(Generic[R]):
    """An instance that others run; `DurableProgram.start` gives it.

    Args:
        backend: where it is kept.
        instance_id: its id.
    """

    def __init__(self, backend: DurableBackend, instance_id: str) -> None:
        self._backend = backend
        self.instance_id = instance_id

    async def result(self, *, timeout: float | None = None) -> R:
        """Wait until it has ended; gives its result.

        Args:
            timeout: how long to wait, in seconds; forever if it is None.

        Raises:
            Exception: the error that it ended with.
            ParkedError: no worker could go on with it.
            TimeoutError: the time was up first; the instance goes on.
            UnknownRunError: there is no such instance.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        seen: Any = None
        while True:
            left = _LOOK_AGAIN if deadline is None else deadline - time.monotonic()
            seen = await self._backend.store.changed(self.instance_id, seen, min(max(left, 0.0), _LOOK_AGAIN))
            record = await self._record()
            if record.status in _OVER and record.outcome is not None:
                result: R = outcome_of(record)
                return result
            if left <= 0:
                raise TimeoutError(f"instance {self.instance_id!r} has not ended within {timeout} seconds")

    async def status(self) -> Status:
        """Where it stands.

        Raises:
            UnknownRunError: there is no such instance.
        """
        return (await self._record()).status

    async def history(self) -> list[Moment]:
        """Its checkpoints that are kept, oldest first; the last is how it stands.

        Earlier ones are kept if its program was made with ``history=``.

        Raises:
            UnknownRunError: there is no such instance.

        >>> import asyncio
        >>> from durable_ast import DurableBackend, Worker, make_durable, step
        >>> @step
        ... async def greet(name: str) -> str:
        ...     return f"hello {name}"
        >>> @make_durable(history="all")
        ... async def greet_all(names: list[str]) -> list[str]:
        ...     greetings = []
        ...     while names:
        ...         greeting = await greet(names.pop())
        ...         greetings.append(greeting)
        ...     return greetings
        >>> async def main():
        ...     backend = DurableBackend()
        ...     handle = await greet_all.start(["Bo", "Al"], orchestration_backend=backend)
        ...     await Worker(backend.store, [greet_all]).run_until_idle()
        ...     for moment in await handle.history():
        ...         print(moment.status, moment.locals)
        >>> asyncio.run(main())
        ENQUEUED {'names': ['Bo', 'Al']}
        RUNNING {'names': ['Bo', 'Al']}
        RUNNING {'names': ['Bo'], 'greetings': []}
        RUNNING {'names': [], 'greetings': ['hello Al']}
        SUCCESS {}
        """
        found = await moments(self._backend.store, self.instance_id)
        if not found:
            raise self._unknown()
        return found

    async def signal(self, name: str, payload: Any = None) -> None:
        """Publish an event to it.

        Args:
            name: what it waits for.
            payload: what it gets there.
        """
        await asyncio.wrap_future(self._backend.publish_event(self.instance_id, name, payload))

    async def cancel(self) -> None:
        """Ask it to stop: what it awaits is cancelled, as asyncio does, and it may clean up."""
        await asyncio.wrap_future(self._backend.store.publish(self.instance_id, CANCEL, snapshot.dumps(None)))

    async def _record(self) -> Record:
        record = await self._backend.store.read(self.instance_id)
        if record is None:
            raise self._unknown()
        return record

    def _unknown(self) -> UnknownRunError:
        return UnknownRunError(f"there is no instance {self.instance_id!r}")

    def __repr__(self) -> str:
        return f"<instance {self.instance_id!r}>"
