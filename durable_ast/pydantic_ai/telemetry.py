"""What OpenTelemetry is told of units that are answered from the journal.

Tokens and costs are counted by the process that has paid for them.  Where a run goes on, each request and
call that is known from before leaves a short span with ``durable.replayed``, and no tokens.  Versions of
pydantic-ai that report what is replayed like all else have their spans marked.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from opentelemetry.context import Context, get_current
from opentelemetry.trace import get_current_span
from pydantic_ai import RunContext, durable_exec
from pydantic_ai.durable_exec import DurableOperationId, ModelRequestId, ToolsetCallToolId

from ..runtime.setting import setting

_LEAVES_OUT_REPLAYS = hasattr(durable_exec, "replay_scope")
"""Whether pydantic-ai reports nothing of what it is told to be replayed; it does since 2.68."""

_REPLAYED = "durable.replayed"

_around_run: ContextVar[Context | None] = ContextVar("durable_ast.pydantic_ai.around_run", default=None)


@contextmanager
def replays_left_out() -> Iterator[None]:
    """Around the run of an agent."""
    if not _LEAVES_OUT_REPLAYS:
        yield
        return
    with setting(_around_run, get_current()), durable_exec.replay_scope():
        yield


def note_unit(*, ran: bool) -> None:
    """Note that a unit has ended: whether it ran now, or is known from before."""
    if _LEAVES_OUT_REPLAYS:
        durable_exec.record_durable_unit(executed=ran)


def mark_replayed(operation: DurableOperationId, ctx: RunContext[Any] | None) -> None:
    """Show that a request or a call is known from before."""
    if ctx is None:
        return
    if isinstance(operation, ModelRequestId):
        name = f"chat {operation.model_name}"
    elif isinstance(operation, ToolsetCallToolId):
        name = f"execute_tool {ctx.tool_name}"
    else:
        return
    if _LEAVES_OUT_REPLAYS:
        ctx.tracer.start_span(name, context=_around_run.get(), attributes={_REPLAYED: True}).end()
    else:
        get_current_span().set_attribute(_REPLAYED, True)
