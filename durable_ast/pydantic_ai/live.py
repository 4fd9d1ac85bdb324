"""Responses of models, heard while they are made.

pydantic-ai reads a model's stream to its end inside of the unit, and gives the run the recorded response.
`LiveModel` stands around the model that does so: it hands out a stream as soon as the unit has its first
event, and that stream ends when the unit has.  What comes from the journal comes whole.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

from pydantic_ai import RunContext
from pydantic_ai.messages import AgentStreamEvent, ModelMessage, ModelResponse, PartDeltaEvent, PartStartEvent
from pydantic_ai.models import CompletedStreamedResponse, Model, ModelRequestParameters, StreamedResponse
from pydantic_ai.models.wrapper import WrapperModel
from pydantic_ai.settings import ModelSettings
from pydantic_ai.usage import RequestUsage

from ..runtime.setting import setting


class LiveModel(WrapperModel):
    """A model whose requests are units, and whose streams are live nevertheless.

    Args:
        wrapped: what makes units of requests.
    """

    @asynccontextmanager
    async def request_stream(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
        run_context: RunContext[Any] | None = None,
    ) -> AsyncIterator[StreamedResponse]:
        """The response: live if it is made now, from the journal if it was made before."""

        async def recorded() -> StreamedResponse:
            request = self.wrapped.request_stream(messages, model_settings, model_request_parameters, run_context)
            async with request as response:
                if type(response) is not CompletedStreamedResponse:
                    return response  # one that broke off
                whole = response.response
                return CompletedStreamedResponse(
                    whole, model_request_parameters=model_request_parameters, replay_events=True
                )

        feed = Feed()
        with setting(_feed, feed):
            unit = asyncio.create_task(recorded())
        unit.add_done_callback(feed.end)
        try:
            await feed.begun.wait()
            yield _Live(model_request_parameters, self.wrapped, feed, unit) if feed.is_live else await unit
            if not unit.cancelled():
                await unit  # whoever stops listening has the whole response nevertheless
        finally:
            await _ended(unit)

    def _with_serving_wrapper(self, wrap: Callable[[Model], Model]) -> Model:
        # it belongs around the model that is asked, inside of the unit
        return LiveModel(self.wrapped._with_serving_wrapper(wrap))


class Feed:
    """The events of a model's stream, on their way out of its unit.

    Attributes:
        begun: set when there is an event, or there will be none.
        is_live: whether there was any.
    """

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.is_live = False
        self._events: asyncio.Queue[AgentStreamEvent | None] = asyncio.Queue()

    def end(self, unit: object) -> None:
        """No more events will come."""
        self._events.put_nowait(None)
        self.begun.set()

    async def noting(self, stream: AsyncIterable[AgentStreamEvent]) -> AsyncIterator[AgentStreamEvent]:
        """Pass a stream on, and take its events."""
        async for event in stream:
            self._events.put_nowait(event)
            self.is_live = True
            self.begun.set()
            yield event

    async def events(self) -> AsyncIterator[AgentStreamEvent]:
        """The events, as they come."""
        while (event := await self._events.get()) is not None:
            yield event


_feed: ContextVar[Feed | None] = ContextVar("durable_ast.pydantic_ai.feed", default=None)


def fed(stream: AsyncIterable[AgentStreamEvent]) -> AsyncIterable[AgentStreamEvent]:
    """A model's stream inside of its unit, whose events are also heard outside."""
    feed = _feed.get()
    return stream if feed is None else feed.noting(stream)


class _Live(StreamedResponse):
    """A response that a unit is making."""

    def __init__(
        self, parameters: ModelRequestParameters, model: Model, feed: Feed, unit: asyncio.Task[StreamedResponse]
    ) -> None:
        super().__init__(parameters)
        self._model = model
        self._feed = feed
        self._unit = unit
        self._recorded: StreamedResponse | None = None
        self._began = datetime.now(UTC)

    async def _get_event_iterator(self) -> AsyncIterator[Any]:
        async for event in self._feed.events():
            if isinstance(event, (PartStartEvent, PartDeltaEvent)):  # the others are made of these again
                self._parts_manager.apply_event(event)
                yield event
        recorded = await self._unit
        async for _ in recorded:  # what has been heard; a response that broke off raises its error behind it
            pass
        self._recorded = recorded
        self.state = recorded.state

    async def close_stream(self) -> None:
        await _ended(self._unit)

    def get(self) -> ModelResponse:
        return super().get() if self._recorded is None else self._recorded.get()

    @property
    def usage(self) -> RequestUsage:
        return super().usage if self._recorded is None else self._recorded.usage

    @property
    def model_name(self) -> str:
        return self._model.model_name if self._recorded is None else self._recorded.model_name

    @property
    def provider_name(self) -> str | None:
        return self._model.system if self._recorded is None else self._recorded.provider_name

    @property
    def provider_url(self) -> str | None:
        return self._model.base_url if self._recorded is None else self._recorded.provider_url

    @property
    def timestamp(self) -> datetime:
        return self._began if self._recorded is None else self._recorded.timestamp


async def _ended(unit: asyncio.Task[StreamedResponse]) -> None:
    """Stop the unit, if it is not done, and wait until it is."""
    unit.cancel()
    await asyncio.wait([unit])
    with suppress(BaseException):
        unit.result()  # whoever was to learn of its error has done so
