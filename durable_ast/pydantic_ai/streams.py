"""The events of a run, delivered while they happen, and published for those who follow from elsewhere.

A model's response is handed on token by token, inside of its unit.  If the process dies meanwhile,
the response begins again under a reset mark: who follows drops what it has of that unit.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Sequence
from contextvars import ContextVar
from typing import Any

from pydantic import TypeAdapter
from pydantic_ai import RunContext
from pydantic_ai.agent import EventStreamHandler
from pydantic_ai.messages import AgentStreamEvent

from ..runtime.journal import Run, current_run
from .units import event_key, running_unit

_EVENT: TypeAdapter[AgentStreamEvent] = TypeAdapter(AgentStreamEvent)

listener: ContextVar[EventStreamHandler[Any] | None] = ContextVar("durable_ast.pydantic_ai.listener", default=None)
"""Who listens to the run that is being started, in this process."""


class Relay:
    """Hands the events of a run to those who want them.

    Args:
        handler: the agent's own handler, whose effects are units.
        listener: whoever has called the run.
        publishes: whether events are published.

    Attributes:
        was_live: whether the events of the model request that is at hand were delivered as they came.
    """

    def __init__(
        self, handler: EventStreamHandler[Any] | None, listener: EventStreamHandler[Any] | None, publishes: bool
    ) -> None:
        self.handler = handler
        self.listener = listener
        self.publishes = publishes
        self.was_live = False

    @property
    def has_work(self) -> bool:
        """Whether anybody wants events."""
        return self.publishes or self.handler is not None or self.listener is not None

    async def __call__(self, ctx: RunContext[Any], stream: AsyncIterable[AgentStreamEvent]) -> None:
        """Handle the stream of a model's response, or a single event."""
        port, unit = current_run(), running_unit()
        if port is None or unit is None or not unit.is_stream:
            await _spread(ctx, stream, [] if self.handler is None else [self.handler])
            return
        self.was_live = True
        handlers = [handler for handler in (self.handler, self.listener) if handler is not None]
        if not self.publishes:
            await _spread(ctx, stream, handlers)
            return
        writer = _Writer(port, unit.key)
        await writer.begin()
        try:
            await _spread(ctx, writer.noting(stream), handlers)
        finally:
            await writer.finish()

    async def publish(self, ctx: RunContext[Any], event: AgentStreamEvent) -> None:
        """Publish an event that is none of a model's, once."""
        port = current_run()
        if port is None or not self.publishes:
            return
        key = f"{ctx.run_id}/event/{event_key(event)}"
        await port.publish([_published(event, key)], f"{key}#{port.ordinal(key)}")

    async def tell(self, ctx: RunContext[Any], event: AgentStreamEvent) -> None:
        """Hand an event to the listener."""
        if self.listener is not None:
            await self.listener(ctx, _single(event))


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


async def _single(event: AgentStreamEvent) -> AsyncIterator[AgentStreamEvent]:
    yield event


async def _spread(
    ctx: RunContext[Any], stream: AsyncIterable[AgentStreamEvent], handlers: Sequence[EventStreamHandler[Any]]
) -> None:
    """Give one stream to several handlers, each at its own pace; what they leave is read to its end."""
    if len(handlers) > 1:
        queues: list[asyncio.Queue[AgentStreamEvent | None]] = [asyncio.Queue() for _ in handlers]
        async with asyncio.TaskGroup() as group:
            for handler, queue in zip(handlers, queues, strict=True):
                group.create_task(_handled(handler, ctx, queue))
            try:
                async for event in stream:
                    for queue in queues:
                        queue.put_nowait(event)
            finally:
                for queue in queues:
                    queue.put_nowait(None)
        return
    if handlers:
        await handlers[0](ctx, stream)
    async for _ in stream:
        pass


async def _handled(
    handler: EventStreamHandler[Any], ctx: RunContext[Any], queue: asyncio.Queue[AgentStreamEvent | None]
) -> None:
    async def events() -> AsyncIterator[AgentStreamEvent]:
        while (event := await queue.get()) is not None:
            yield event

    await handler(ctx, events())
