"""Agents whose models follow a script, and log what is asked of them."""

import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from pydantic_ai import Agent, capabilities, models
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart, ToolReturnPart
from pydantic_ai.models.function import DeltaToolCall, DeltaToolCalls, FunctionModel
from pydantic_ai.usage import RequestUsage

from ..effects import LOG, note

models.ALLOW_MODEL_REQUESTS = False

Turn = list[ToolCallPart] | str | None


def needs(name: str) -> pytest.MarkDecorator:
    """For a test of what only newer versions of pydantic-ai have among their capabilities."""
    return pytest.mark.skipif(not hasattr(capabilities, name), reason=f"this pydantic-ai has no {name}")


class Killed(BaseException):
    """Stands for the death of the process: nothing of a library catches it."""


class Death:
    """Kills at one of the places that ask for it.

    Attributes:
        at: the place.
    """

    def __init__(self, at: object = None) -> None:
        self.at = at

    def __call__(self, place: object) -> None:
        if place == self.at:
            self.at = None
            raise Killed(place)


def call(tool: str, call_id: str | None = None, /, **args: Any) -> ToolCallPart:
    """A call that a model asks for."""
    return ToolCallPart(tool, args, tool_call_id=call_id or f"{tool}-{json.dumps(args, sort_keys=True)}")


def returns(messages: list[ModelMessage]) -> dict[str, Any]:
    """What tools have returned so far, by the ids of the calls."""
    parts = (part for message in messages for part in message.parts)
    return {part.tool_call_id: part.content for part in parts if isinstance(part, ToolReturnPart)}


def scripted(
    *turns: Turn, name: str = "agent", death: Callable[[object], None] = lambda place: None, **options: Any
) -> Agent[Any, Any]:
    """An agent whose model answers its n-th request with the n-th turn; None tells what the tools have
    returned."""

    def model(messages: list[ModelMessage], info: object) -> ModelResponse:
        number = sum(isinstance(message, ModelResponse) for message in messages)
        note(f"model {number}")
        death(f"model {number}")
        turn = turns[number]
        text = json.dumps(returns(messages)) if turn is None else turn
        parts = [TextPart(text)] if isinstance(text, str) else text
        return ModelResponse(parts=parts, usage=RequestUsage(input_tokens=10, output_tokens=2))

    async def stream(messages: list[ModelMessage], info: object) -> AsyncIterator[str | DeltaToolCalls]:
        for index, part in enumerate(model(messages, info).parts):
            if isinstance(part, TextPart):
                yield part.content
            elif isinstance(part, ToolCallPart):
                yield {index: DeltaToolCall(part.tool_name, json.dumps(part.args), tool_call_id=part.tool_call_id)}

    return Agent(FunctionModel(model, stream_function=stream), name=name, **options)


def shape(result: Any) -> list[list[str]]:
    """The kinds of all parts of all messages."""
    return [[type(part).__name__ for part in message.parts] for message in result.all_messages()]


__all__ = ["LOG", "Death", "Killed", "call", "needs", "note", "returns", "scripted", "shape"]
