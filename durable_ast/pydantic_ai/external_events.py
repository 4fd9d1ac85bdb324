"""Waits of an agent for somebody outside who has a token: what pydantic-ai's `RequestInput` is built on.

The token names the run and holds a secret; the run asks with it once, and may then leave memory.
Whoever has the token gives the answer in any process, once: `resolve_external_event`.
"""

from __future__ import annotations

import functools
import secrets
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractContextManager
from datetime import timedelta
from typing import Any

from pydantic import JsonValue
from pydantic_ai.external_events import ExternalEventError, ExternalEventWaiter, external_event_scope
from pydantic_core import to_jsonable_python

from ..runtime.journal import Run
from ..runtime.steps import Step
from ..runtime.steps import unit as run_unit
from ..state import snapshot
from ..workflow import Workflow
from .config import policy_of

_EVENT = "external:"
"""What the names of the events that resolve tokens begin with; the rest is the secret."""


def external_events(
    port: Run, agent_name: str, run_id: str, config: Mapping[str, Any]
) -> AbstractContextManager[ExternalEventWaiter]:
    """Let the waits of an agent's run be durable.

    Args:
        port: the step that it runs in.
        agent_name: the agent.
        run_id: its run.
        config: how asking is tried again.
    """
    return external_event_scope(_Waiter(port, agent_name, run_id, config))


class _Waiter(ExternalEventWaiter):
    def __init__(self, port: Run, agent_name: str, run_id: str, config: Mapping[str, Any]) -> None:
        self._port = port
        self._agent_name = agent_name
        self._run_id = run_id
        self._config = config

    async def wait(
        self, name: str, *, ask: Callable[[str], Awaitable[JsonValue]], timeout: timedelta | None
    ) -> JsonValue:
        port, unit = self._port, f"{self._agent_name}__external_event.{name}"
        key = f"{self._run_id}/{unit}"
        key += f"#{port.ordinal(key)}"
        token = await port.once(f"{key}/token", functools.partial(_new_token, port.instance_id))
        event = _EVENT + token.partition(":")[0]
        about = {"kind": "event", "name": name, "token": token, "agent": self._agent_name, "run_id": self._run_id}
        await port.ask(f"{key}/asked", {event: about})
        answer: JsonValue = await run_unit(Step(ask, f"{unit}.ask", policy_of(self._config)), f"{key}.ask", token)
        if answer is not None:
            await port.answered(f"{key}/answered", None, event)
            return answer
        outcome, value = await self._outcome(key, event, timeout)
        if outcome == "failed":
            raise ExternalEventError(value)
        payload: JsonValue = value
        return payload

    async def _outcome(self, key: str, event: str, timeout: timedelta | None) -> tuple[str, Any]:
        """How the wait has ended; also that it ended by itself is recorded, for the answer may come yet."""
        known = await self._port.lookup(f"{key}/outcome")
        if known is not None:
            outcome: tuple[str, Any] = known.value
            return outcome
        seconds = None if timeout is None else timeout.total_seconds()
        try:
            outcome = await self._port.wait_for_event(event, timeout=seconds)
        except TimeoutError:
            outcome = "failed", f"No resolution arrived within {timeout}."
        await self._port.answered(f"{key}/outcome", outcome, event)
        return outcome


async def _new_token(instance_id: str) -> str:
    return f"{secrets.token_urlsafe(24)}:{instance_id}"


async def resolve_external_event(wf: Workflow, token: str, payload: Any) -> bool:
    """Give the answer that a run of an agent waits for outside: what `RequestInput` has asked, or
    `wait_for_external_event`.

    Args:
        wf: the workflows that the run is stored with.
        token: what the run has asked with.
        payload: the answer; it arrives in its JSON form.

    Returns:
        Whether it was taken: False if nobody waits for it, or it has been given.
    """
    return await _settle(wf, token, ("resolved", to_jsonable_python(payload)))


async def fail_external_event(wf: Workflow, token: str, reason: str) -> bool:
    """End such a wait without an answer; the run finds an `ExternalEventError`.

    Args:
        wf: the workflows that the run is stored with.
        token: what the run has asked with.
        reason: why there is no answer.

    Returns:
        Whether anybody waited for it.
    """
    return await _settle(wf, token, ("failed", reason))


async def _settle(wf: Workflow, token: str, outcome: tuple[str, Any]) -> bool:
    secret, _, instance_id = token.partition(":")
    event = _EVENT + secret
    if event not in await wf.pending(instance_id):
        return False
    return await wf.instances.offer(instance_id, event, snapshot.dumps(outcome))
