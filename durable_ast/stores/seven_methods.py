"""A user's `Store` as an `InstanceStore`.

The whole state of a run is the result of one of its steps, as text; a signal is a message that is
there until it was delivered once.
"""

from __future__ import annotations

import asyncio
import base64
import inspect
import itertools
import pickle
import threading
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from ..errors import CorruptStateError
from ..state import snapshot
from ..state.schema import Message, Outgoing, Record, State, Status
from .base import InstanceStore
from .parts import NO_PARTS, Parts
from .steps import Store
from .two_methods import Entry, TwoMethodStore

STATE = "durable_ast.state"
"""The step that holds the state of a run."""

_DELIVERED = "delivered/"
"""What the names of parts begin with that tell of signals which were delivered."""

_POLL = 0.25
"""Seconds between two looks at whether a signal was set."""

_NAP = 0.001
"""Seconds between two looks at whether the store is ready."""


class SevenMethodStore(TwoMethodStore):
    """Adapts a store that a user brought.

    Args:
        store: the store.
    """

    def __init__(self, store: Store) -> None:
        super().__init__(self._load_state, self._save_state)
        self.steps = store
        self._is_ready = False
        self._preparing = threading.Lock()
        self._signals: dict[int, str] = {}
        """The signals that were found, by the number that stands for them among the messages."""
        self._numbers = itertools.count(1)

    async def setup(self) -> None:
        if self._is_ready:
            return
        while not self._preparing.acquire(blocking=False):  # who has it may run in another event loop
            await asyncio.sleep(_NAP)
        try:
            if not self._is_ready:
                await self._ask("setup")
                self._is_ready = True
        finally:
            self._preparing.release()

    async def _ask(self, method: str, *args: Any) -> Any:
        """Call one of the seven methods.

        Raises:
            TypeError: it is not async.
        """
        answer = getattr(self.steps, method)(*args)
        if not inspect.isawaitable(answer):
            raise TypeError(f"{type(self.steps).__qualname__}.{method}() must be an async function")
        return await answer

    # states

    async def _load_state(self, run_id: str) -> State | None:
        await self.setup()
        found, text = await self._ask("get_step", run_id, STATE)
        if not found:
            return None
        try:
            state: State = pickle.loads(base64.b64decode(text, validate=True))
        except (ValueError, TypeError, pickle.UnpicklingError, EOFError) as error:
            raise CorruptStateError(
                f"step {STATE!r} of run {run_id!r} does not hold what was stored there: {error}"
            ) from error
        return state

    async def _save_state(self, run_id: str, state: State) -> None:
        await self.setup()
        await self._ask("set_step", run_id, STATE, base64.b64encode(pickle.dumps(state)).decode())

    async def _write(self, entry: Entry, record: Record, version: int) -> None:
        await super()._write(entry, record, version)
        if record.status is Status.SUCCESS:
            await self._ask("mark_run_done", record.instance_id)
        elif record.status in (Status.ERROR, Status.CANCELLED):
            await self._ask("mark_run_failed", record.instance_id, record.error or record.status.value)

    # signals

    async def message(self, instance_id: str, name: str) -> Message | None:
        found = await super().message(instance_id, name)
        if found is not None or await self.parts(instance_id, _DELIVERED + name):
            return found
        await self.setup()
        was_set, payload = await self._ask("get_signal", instance_id, name)
        if not was_set:
            return None
        number = -next(self._numbers)
        self._signals[number] = name
        return Message(number, name, snapshot.dumps(payload))

    async def offer(self, instance_id: str, name: str, payload: bytes) -> bool:
        await self.setup()
        is_new: bool = await self._ask("set_signal", instance_id, name, snapshot.loads(payload))
        self.notices.post(instance_id)
        return is_new

    def commit(
        self,
        record: Record,
        consumed: Sequence[int],
        flush: bool,
        parts: Parts = NO_PARTS,
        outbox: Sequence[Outgoing] = (),
    ) -> Awaitable[None]:
        names = [self._signals.pop(number, None) for number in consumed]
        delivered = {_DELIVERED + name: b"" for name in names if name is not None}
        return super().commit(record, consumed, flush, {**parts, **delivered}, outbox)

    async def changed(self, instance_id: str | None, seen: Any, timeout: float) -> Any:
        """What others set is found by looking; each return is a chance to."""
        return await self.notices.wait(instance_id, seen, min(timeout, _POLL))

    def watch(self, instance_id: str, callback: Callable[[], None]) -> Callable[[], object]:
        return InstanceStore.watch(self, instance_id, callback)

    # the seven methods

    async def get_step(self, run_id: str, step_id: str) -> tuple[bool, Any]:
        answer: tuple[bool, Any] = await self._ask("get_step", run_id, step_id)
        return answer

    async def set_step(self, run_id: str, step_id: str, result: Any, attempt: int = 1) -> None:
        await self._ask("set_step", run_id, step_id, result, attempt)

    async def mark_run_done(self, run_id: str) -> None:
        await self._ask("mark_run_done", run_id)

    async def mark_run_failed(self, run_id: str, error: str) -> None:
        await self._ask("mark_run_failed", run_id, error)

    async def get_signal(self, run_id: str, name: str) -> tuple[bool, Any]:
        answer: tuple[bool, Any] = await self._ask("get_signal", run_id, name)
        return answer

    async def set_signal(self, run_id: str, name: str, payload: Any) -> bool:
        answer: bool = await self._ask("set_signal", run_id, name, payload)
        return answer
