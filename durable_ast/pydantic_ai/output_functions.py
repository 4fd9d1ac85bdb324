"""Output functions: what an agent does with its answer is done once.

The function, the output validators after it and the hooks around both are one unit.  That the model
is asked to try again is a result like any other, and so is not asked of them again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from copy import copy
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError
from pydantic_ai import RunContext
from pydantic_ai.exceptions import ModelRetry, ToolRetryError
from pydantic_ai.output import OutputContext

from ..runtime.journal import Run
from .config import is_transient, over
from .results import restored_output, stored_output
from .units import Unit, add_spent, answered, name_of_run


@dataclass(frozen=True, slots=True)
class _TryAgain:
    """What the model is told instead of an output."""

    error: ModelRetry | ToolRetryError


def is_effectful(ctx: RunContext[Any], output_context: OutputContext) -> bool:
    """Whether processing an output calls a function of the user's, and not just to show a part of it."""
    return output_context.has_function and not ctx.partial_output


async def processed_once(
    port: Run,
    agent_name: str,
    ctx: RunContext[Any],
    output_context: OutputContext,
    process: Callable[[], Awaitable[Any]],
    config: Mapping[str, Any],
) -> Any:
    """What `process()` gives for the output of an agent, now or when it ran before."""
    spec = None if ctx.agent is None else ctx.agent.output_type
    name = f"{agent_name}__output_function"
    if output_context.function_name is not None:
        name += f":{output_context.function_name}"
    call_id = "" if output_context.tool_call is None else output_context.tool_call.tool_call_id
    key = f"{name_of_run(ctx)}/{name}/{call_id}"
    unit = Unit(f"{key}#{port.ordinal(key)}", is_stream=False, is_call=False)
    unit.before, unit.usage = copy(ctx.usage), ctx.usage

    async def body() -> Any:
        try:
            return stored_output(await process(), spec)
        except (ModelRetry, ToolRetryError) as error:
            return _TryAgain(error)

    entry = await answered(unit, name, over(config, {"retry_if": _is_transient}), body)
    if not unit.ran:
        add_spent(ctx, entry)
    result = entry["result"]
    if isinstance(result, _TryAgain):
        raise result.error
    return restored_output(result, spec)


def _is_transient(error: Exception) -> bool:
    return is_transient(error) and not isinstance(error, ValidationError)  # the model learns of it
