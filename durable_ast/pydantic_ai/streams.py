"""The events of a run, for the agent's own handler, and published for those who follow from elsewhere.

A model's response is handed on token by token, inside of its unit.  If the process dies meanwhile,
the response begins again under a reset mark: who follows drops what it has of that unit.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator
from typing import Any

from pydantic import TypeAdapter
from pydantic_ai import RunContext
from pydantic_ai.agent import EventStreamHandler
from pydantic_ai.messages import AgentStreamEvent

from ..runtime.journal import Run, current_run
from .live import fed
from .units import event_key, running_unit

_EVENT: TypeAdapter[AgentStreamEvent] = TypeAdapter(AgentStreamEvent)


class Relay:
    """Hands the events of a run to those who want them.

    Args:
        handler: the agent's own handler, whose effects are units.
        publishes: whether events are published.
    """

    def __init__(self, handler: EventStreamHandler[Any] | None, publishes: bool) -> None:
        self.handler = handler
        self.publishes = publishes

    @property
    def has_work(self) -> bool:
        """Whether there is anything to do with events."""
        return self.publishes or self.handler is not None

    async def __call__(self, ctx: RunContext[Any], stream: AsyncIterable[AgentStreamEvent]) -> None:
        """Handle the stream of a model's response, or a single event."""
        port, unit = current_run(), running_unit()
        if port is None or unit is None or not unit.is_stream:
            await self._handle(ctx, stream)
        elif not self.publishes:
            await self._handle(ctx, fed(stream))
        else:
            writer = _Writer(port, unit.key)
            await writer.begin()
            try:
                await self._handle(ctx, writer.noting(fed(stream)))
            finally:
                await writer.finish()

    async def _handle(self, ctx: RunContext[Any], stream: AsyncIterable[AgentStreamEvent]) -> None:
        """Give the stream to the handler; what it leaves is read to its end."""
        if self.handler is not None:
            await self.handler(ctx, stream)
        async for _ in stream:
            pass

    async def publish(self, ctx: RunContext[Any], event: AgentStreamEvent) -> None:
        """Publish an event that is none of a model's, once."""
        port = current_run()
        if port is None or not self.publishes:
            return
        key = f"{ctx.run_id}/event/{event_key(event)}"
        await port.publish([_published(event, key)], f"{key}#{port.ordinal(key)}")


class _Writer:
    """Publishes a stream: what comes while a batch is written makes the next one."""

    def __init__(self, port: Run, key: str) -> None:
        self._port = port
        self._key = key
        self._batch: list[Any] = []
        self._writing: asyncio.Task[None] | None = None

    async def begin(self) -> None:
        """Note the attempt; if it is not the first, whoever follows is told so."""
        attempt, mark = 1, f"{self._key} is streamed"
        while await self._port.lookup(f"{mark}#{attempt}") is not None:
            attempt += 1
        reset = [{"event_kind": "stream_reset", "unit": self._key, "attempt": attempt}] if attempt > 1 else []
        await self._port.publish(reset, f"{mark}#{attempt}")

    async def noting(self, stream: AsyncIterable[AgentStreamEvent]) -> AsyncIterator[AgentStreamEvent]:
        async for event in stream:
            self._batch.append(_published(event, self._key))
            if self._writing is None or self._writing.done():
                await self._join()
                self._writing = asyncio.create_task(self._write())
            yield event

    async def finish(self) -> None:
        """Wait until all is written."""
        await self._join()

    async def _write(self) -> None:
        while self._batch:
            batch, self._batch = self._batch, []
            await self._port.publish(batch)

    async def _join(self) -> None:
        if self._writing is not None:
            await self._writing


def _published(event: AgentStreamEvent, unit: str) -> dict[str, Any]:
    return {**_EVENT.dump_python(event, mode="json"), "unit": unit}
