"""The events of a run that had ended before, for whoever listens to it now: they are made from its messages."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Iterator
from typing import Any

from pydantic_ai import AgentRunResult, RunContext
from pydantic_ai.agent import EventStreamHandler
from pydantic_ai.messages import (
    AgentStreamEvent,
    FinalResultEvent,
    FunctionToolCallEvent,
    FunctionToolResultEvent,
    ModelResponse,
    OutputToolCallEvent,
    OutputToolResultEvent,
    PartEndEvent,
    PartStartEvent,
    RetryPromptPart,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
)


class Audience:
    """A handler of events, and whether it was told of any.

    Args:
        handler: the handler.
    """

    def __init__(self, handler: EventStreamHandler[Any]) -> None:
        self._handler = handler
        self.was_told = False

    async def __call__(self, ctx: RunContext[Any], stream: AsyncIterable[AgentStreamEvent]) -> None:
        self.was_told = True
        await self._handler(ctx, stream)


async def retold(result: AgentRunResult[Any]) -> AsyncIterator[AgentStreamEvent]:
    """What a run has done, each part of a response as a whole."""
    output_tool = result._output_tool_name
    for message in result.new_messages():
        if isinstance(message, ModelResponse):
            for event in _of_response(message, output_tool, is_last=message is result.response):
                yield event
            for call in message.tool_calls:
                yield OutputToolCallEvent(call) if call.tool_name == output_tool else FunctionToolCallEvent(call)
        else:
            for part in message.parts:
                if isinstance(part, (ToolReturnPart, RetryPromptPart)) and part.tool_name is not None:
                    answer: Any = part  # in older versions it may be either
                    is_output = part.tool_name == output_tool
                    yield OutputToolResultEvent(answer) if is_output else FunctionToolResultEvent(answer)


def _of_response(response: ModelResponse, output_tool: str | None, *, is_last: bool) -> Iterator[AgentStreamEvent]:
    kinds = [None, *(part.part_kind for part in response.parts), None]
    has_output = False
    for index, part in enumerate(response.parts):
        yield PartStartEvent(index=index, part=part, previous_part_kind=kinds[index])
        if isinstance(part, ToolCallPart) and part.tool_name == output_tool:
            yield FinalResultEvent(tool_name=part.tool_name, tool_call_id=part.tool_call_id)
        elif isinstance(part, TextPart) and output_tool is None and is_last and not has_output:
            has_output = True
            yield FinalResultEvent(tool_name=None, tool_call_id=None)
        yield PartEndEvent(index=index, part=part, next_part_kind=kinds[index + 2])
