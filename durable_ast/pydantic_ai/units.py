"""The units of an agent: what is asked, called or done once, and then answered from the journal.

pydantic-ai describes each as an operation; `UnitBackend` runs it under a key.  A key names the agent's
run and the operation, and for tools the id of the call, which comes from the recorded response of the
model: so tools that run side by side may begin, end and begin again in any order.
"""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from contextvars import ContextVar
from copy import copy
from dataclasses import dataclass, replace
from typing import Any

import pydantic_ai
from pydantic import TypeAdapter
from pydantic_ai import RunContext
from pydantic_ai.durable_exec import (
    JSON_CODEC,
    DurableOperationId,
    EventStreamHandlerId,
    JournalCallableOperationBackend,
    ModelCancelSuspendedResponseId,
    ModelRequestId,
    RoleBasedOperationConfig,
    ToolsetCallToolId,
    ToolsetValidateToolArgumentsId,
)
from pydantic_ai.exceptions import ToolFailed
from pydantic_ai.messages import ModelResponse
from pydantic_ai.usage import RunUsage

from ..errors import DurableError
from ..runtime.journal import Run, current_run
from ..runtime.retries import Policy
from ..runtime.setting import setting
from ..runtime.steps import Step
from ..runtime.steps import unit as run_unit
from .config import policy_of
from .telemetry import mark_replayed, note_unit

_USAGE = TypeAdapter(RunUsage)
JSON_CODEC.load(
    ModelResponse, {"parts": [], "kind": "response"}
)  # pydantic prepares for these now, not in the first run
with suppress(ImportError):  # older versions keep it to themselves
    from pydantic_ai.durable_exec import CallToolResult

    JSON_CODEC.load(CallToolResult, {"result": None, "kind": "tool_return"})

_IS_STREAM_A_RESPONSE = tuple(map(int, pydantic_ai.__version__.split(".")[:2])) >= (2, 60)
"""Whether pydantic-ai records the same for a streamed response as for one that came at once."""


@dataclass(slots=True)
class Unit:
    """A unit that is running.

    Attributes:
        key: its key.
        is_stream: whether it is a model's response as it comes.
        is_call: whether it is a call of a tool.
        ran: whether it has run in this process, rather than been answered from the journal.
        before: the usage at its beginning.
        usage: the usage as the tool sees it, with what it has spent itself.
    """

    key: str
    is_stream: bool
    is_call: bool
    ran: bool = False
    before: RunUsage | None = None
    usage: RunUsage | None = None

    def watched(self, ctx: RunContext[Any]) -> RunContext[Any]:
        """The context to run in, with a usage of its own: a delegate adds to it."""
        self.before, self.usage = copy(ctx.usage), copy(ctx.usage)
        return replace(ctx, usage=self.usage)

    def spent(self) -> RunUsage | None:
        """What delegates have spent inside, if anything."""
        if self.usage is None or self.before is None:
            return None
        spent = self.usage - self.before
        return spent if spent.has_values() else None


run_name: ContextVar[str | None] = ContextVar("durable_ast.pydantic_ai.run_name", default=None)
"""The name of the run of an agent that this code belongs to: its id, or another where that is made up anew
when it runs again."""

_failures: ContextVar[list[str] | None] = ContextVar("durable_ast.pydantic_ai.failures", default=None)
"""The keys of the units of the run of an agent that have failed."""

_unit: ContextVar[Unit | None] = ContextVar("durable_ast.pydantic_ai.unit", default=None)


def running_unit() -> Unit | None:
    """The innermost unit that this code runs in."""
    return _unit.get()


class UnitBackend(JournalCallableOperationBackend[Mapping[str, Any]]):
    """Runs pydantic-ai's operations as units of the running step."""

    def __init__(
        self, agent_name: str, default_model_id: str | None, config: RoleBasedOperationConfig[Mapping[str, Any]]
    ) -> None:
        super().__init__(agent_name=agent_name, default_model_id=default_model_id, config=config)

    async def execute(
        self,
        *,
        operation_id: DurableOperationId,
        name: str,
        body: Callable[[], Awaitable[object]],
        cache_key: tuple[object, ...],
        config: Mapping[str, Any],
    ) -> object:
        port = current_run()
        if port is None:
            return await body()
        if isinstance(operation_id, ModelCancelSuspendedResponseId) and port.is_left:
            return None  # whoever goes on with the run wants the provider to go on as well
        ctx = next((value for value in cache_key if isinstance(value, RunContext)), None)
        unit = Unit(
            _key(port, operation_id, name, cache_key, ctx),
            is_stream=isinstance(operation_id, ModelRequestId) and operation_id.streaming,
            is_call=isinstance(operation_id, ToolsetCallToolId),
        )
        if unit.is_call and config.get("at_most_once"):
            await _begin_once(port, unit.key, name)
        has_events = unit.is_stream and not _IS_STREAM_A_RESPONSE
        entry = await answered(unit, name, config, functools.partial(_response_of, body) if has_events else body)
        if not unit.ran:
            mark_replayed(operation_id, ctx)
        if ctx is not None:
            add_spent(ctx, entry)
        return {"response": entry["result"], "events": []} if has_events else entry["result"]


async def answered(
    unit: Unit, name: str, config: Mapping[str, Any], body: Callable[[], Awaitable[object]]
) -> dict[str, Any]:
    """The entry of a unit, which is run if there is none.

    Raises:
        Exception: that of the unit, now or when it ran before.
    """
    try:
        entry: dict[str, Any] = await run_unit(_step(name, policy_of(config)), unit.key, unit, body)
    except Exception as error:
        await _note_failure(unit, error)
        raise
    finally:
        note_unit(ran=unit.ran)
    if not unit.ran and "error" in entry:
        failed = _failures.get()
        if failed is not None:
            failed.append(unit.key)
        raise entry["error"]
    return entry


async def _note_failure(unit: Unit, error: Exception) -> None:
    """Record that a unit has failed: what the run does about it, such as asking another model, holds after a
    crash as well."""
    port, failed = current_run(), _failures.get()
    if port is not None and failed is not None and not isinstance(error, DurableError):
        await port.record(unit.key, {"error": error})
        failed.append(unit.key)


@asynccontextmanager
async def failures_of_run(port: Run) -> AsyncIterator[None]:
    """Around the run of an agent: if it fails itself, its units that have failed are tried again when it is called
    again."""
    failed: list[str] = []
    with setting(_failures, failed):
        try:
            yield
        except Exception as error:
            if failed and not isinstance(error, DurableError):
                await port.forget(failed)
            raise


async def _response_of(stream: Callable[[], Awaitable[Any]]) -> object:
    """The response alone, as newer versions of pydantic-ai record it: who listens may come or go."""
    return (await stream())["response"]


def add_spent(ctx: RunContext[Any], entry: Mapping[str, Any]) -> None:
    """Add to a usage what was spent inside of a unit."""
    if "spent" in entry:
        ctx.usage.incr(_USAGE.validate_python(entry["spent"]))


async def _attempt(unit: Unit, body: Callable[[], Awaitable[object]]) -> dict[str, Any]:
    """Run a unit; gives its entry in the journal."""
    unit.ran = True
    with setting(_unit, unit):
        entry = {"result": await body()}
    spent = unit.spent()
    if spent is not None:
        entry["spent"] = _USAGE.dump_python(spent, mode="json")
    return entry


@functools.lru_cache(maxsize=1024)
def _step(name: str, policy: Policy) -> Step[..., Any]:
    return Step(_attempt, name, policy)


def _key(
    port: Run,
    operation: DurableOperationId,
    name: str,
    cache_key: tuple[object, ...],
    ctx: RunContext[Any] | None,
) -> str:
    if isinstance(operation, ModelRequestId):
        name = name.replace("__model.request_stream", "__model.request")  # a listener may come or go
    key = f"{name_of_run(ctx)}/{name}"
    if isinstance(operation, (ToolsetCallToolId, ToolsetValidateToolArgumentsId)) and ctx is not None:
        key += f"/{ctx.tool_call_id}"
    elif isinstance(operation, EventStreamHandlerId):
        key += f"/{event_key(cache_key[0])}"
    return f"{key}#{port.ordinal(key)}"


def name_of_run(ctx: RunContext[Any] | None) -> str:
    """What the keys of a run's units begin with."""
    return run_name.get() or ("" if ctx is None else ctx.run_id) or ""


def event_key(event: Any) -> str:
    """What tells an event from those that may come before or after it."""
    about = getattr(event, "part", None) or getattr(event, "result", None)
    return f"{event.event_kind}/{getattr(about, 'tool_call_id', '')}"


async def _begin_once(port: Run, key: str, name: str) -> None:
    """Note that a call begins that must not be made twice.

    Raises:
        ToolFailed: it was begun before, and nobody knows how it ended.
    """
    if await port.lookup(key) is not None:
        return  # it has ended: its result is there
    mark = f"{key} has begun"
    if await port.lookup(mark) is not None:
        raise ToolFailed(
            f"{name}: this call was begun before and did not come to its end, so whether it has taken effect is unknown; "
            "it was not made again"
        )
    await port.record(mark, True)
