"""Durable agents: pydantic-ai agents that survive the death of their process.

Model requests, tool calls and events are units of the step that the agent runs in: what has finished
is not asked, paid or done again.  Needs the extra ``pydantic-ai``.
"""

from contextlib import suppress

from .agent import DurableAgent
from .config import TaskConfig
from .durability import AstDurability
from .lookalikes import _AgentRunResult, _serialize_messages
from .names import _run_id_for_agent
from .tools import durable_pipeline, durable_tool, idempotency_key

with suppress(ImportError):  # there are versions of pydantic-ai that know of no external events
    from .external_events import fail_external_event, resolve_external_event

__all__ = [
    "AstDurability",
    "DurableAgent",
    "TaskConfig",
    "_AgentRunResult",
    "_run_id_for_agent",
    "_serialize_messages",
    "durable_pipeline",
    "durable_tool",
    "fail_external_event",
    "idempotency_key",
    "resolve_external_event",
]
