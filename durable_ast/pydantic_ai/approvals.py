"""Humans in the loop: calls of tools that wait for a decision, or for a result from elsewhere.

Each such call is a question of the instance, with the tool, its arguments and their digest, and is
answered by a signal: ``approval:<tool_call_id>`` or ``result:<tool_call_id>``.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from pydantic_ai import RunContext
from pydantic_ai.messages import ToolCallPart
from pydantic_ai.tools import DeferredToolRequests, DeferredToolResults, ToolApproved, ToolDenied

from ..runtime.journal import Run

APPROVAL = "approval"
RESULT = "result"

_DENIED = "The tool call was denied."


def signal_of(kind: str, tool_call_id: str) -> str:
    """The name of the signal that answers.

    >>> signal_of(APPROVAL, "call-7")
    'approval:call-7'
    """
    return f"{kind}:{tool_call_id}"


def digest_of(arguments: Mapping[str, Any]) -> str:
    """What a decision is bound to: a digest of the arguments that it was made about."""
    return hashlib.sha256(json.dumps(arguments, sort_keys=True, default=repr).encode()).hexdigest()


async def decided(
    port: Run, agent_name: str, ctx: RunContext[Any], requests: DeferredToolRequests, timeout: float | None
) -> DeferredToolResults:
    """Ask for all decisions and results at once, and wait for each of them."""
    asked = [(APPROVAL, call) for call in requests.approvals] + [(RESULT, call) for call in requests.calls]
    key = f"{ctx.run_id}/deferred"
    key += f"#{port.ordinal(key)}"
    questions = {
        signal_of(kind, call.tool_call_id): {
            "kind": kind,
            "tool": call.tool_name,
            "args": call.args_as_dict(),
            "sha": digest_of(call.args_as_dict()),
            "tool_call_id": call.tool_call_id,
            "agent": agent_name,
            "run_id": ctx.run_id,
            "metadata": requests.metadata.get(call.tool_call_id),
        }
        for kind, call in asked
    }
    await port.ask(key, questions)
    results = DeferredToolResults()
    for kind, call in asked:
        answer = await _answer(port, key, kind, signal_of(kind, call.tool_call_id), timeout)
        if kind == APPROVAL:
            results.approvals[call.tool_call_id] = _decision(answer, call)
        else:
            results.calls[call.tool_call_id] = answer
    return results


async def _answer(port: Run, key: str, kind: str, name: str, timeout: float | None) -> Any:
    """The answer to one question; also that there was none in time is recorded, for one may come yet."""
    known = await port.lookup(f"{key}/{name}")
    if known is not None:
        return known.value
    try:
        answer = await port.wait_for_event(name, timeout=timeout)
    except TimeoutError:
        message = f"Nobody has answered within {timeout} seconds."
        answer = {"approved": False, "message": message} if kind == APPROVAL else message
    await port.answered(f"{key}/{name}", answer, name)
    return answer


def _decision(answer: Any, call: ToolCallPart) -> ToolApproved | ToolDenied:
    if isinstance(answer, bool):
        return ToolApproved() if answer else ToolDenied(_DENIED)
    if not isinstance(answer, Mapping) or answer.get("approved") is not True:
        message = answer.get("message") if isinstance(answer, Mapping) else None
        return ToolDenied(message or _DENIED)
    if answer.get("sha") not in (None, digest_of(call.args_as_dict())):
        return ToolDenied("The decision was about a call with other arguments.")
    override = answer.get("override_args")
    return ToolApproved() if override is None else ToolApproved(override_args=override)
