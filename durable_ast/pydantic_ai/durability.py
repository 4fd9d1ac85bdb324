"""The capability that makes an agent durable wherever it is run in a durable function.

It is a `BaseDurabilityCapability`: pydantic-ai hands it each model request, tool call and event as an
operation, and `units` runs these.  Outside of a durable function it does nothing.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterable, AsyncIterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from datetime import UTC, datetime
from importlib.util import find_spec
from typing import Any, Literal, get_args

from pydantic_ai import Agent, AgentRunResult, RunContext, capabilities
from pydantic_ai.agent import EventStreamHandler
from pydantic_ai.capabilities.abstract import (
    AbstractCapability,
    CapabilityOrdering,
    WrapModelRequestHandler,
    WrapOutputProcessHandler,
    WrapRunHandler,
)
from pydantic_ai.durable_exec import (
    JSON_CODEC,
    BaseDurabilityCapability,
    DurabilityEngineSpec,
    DurableOperationBackend,
    DurableOperationId,
    RoleBasedOperationConfig,
    ToolsetKind,
)
from pydantic_ai.exceptions import UserError
from pydantic_ai.messages import AgentStreamEvent, ModelResponse
from pydantic_ai.models import Model, ModelRequestContext
from pydantic_ai.output import OutputContext
from pydantic_ai.tools import AgentDepsT, DeferredToolRequests, DeferredToolResults
from pydantic_ai.toolsets import AbstractToolset, FunctionToolset

from ..backoff import exponential
from ..errors import NotPersistableError
from ..runtime.journal import Run, current_run, enclosing
from ..runtime.setting import setting
from .approvals import decided
from .config import TaskConfig, over
from .live import LiveModel
from .output_functions import is_effectful, processed_once
from .results import outputs_of
from .streams import Relay
from .telemetry import replays_left_out
from .units import UnitBackend, failures_of_run, run_name, running_unit

MODEL_DEFAULTS = TaskConfig(retries=3, backoff=exponential(base=2, max=60))
TOOL_DEFAULTS = TaskConfig(retries=2, backoff=exponential(base=2, max=30))

_CONVERSATIONS = uuid.UUID("3f0c7c1e-5d0b-4d6f-9a51-8f0b3d1f6c27")
_ASKS_FOR_RUN_IDS = hasattr(AbstractCapability, "get_default_run_id")
"""Whether pydantic-ai lets a capability name runs; it does since 2.61."""

_HAS_EXTERNAL_EVENTS = find_spec("pydantic_ai.external_events") is not None

_OTHERS_WHO_DECIDE: tuple[type[AbstractCapability[Any]], ...] = tuple(
    getattr(capabilities, name) for name in ("HandleDeferredToolCalls", "RequestInput") if hasattr(capabilities, name)
)

Approvals = Literal["signal", "return"]
"""What becomes of calls that wait for a human."""


def _not_saved(error: Exception) -> NotPersistableError:
    return NotPersistableError(
        f"what a unit of the agent gave cannot be saved ({error}); let the tool return what pydantic can make JSON of"
    )


class AstDurability(BaseDurabilityCapability[AgentDepsT]):
    """Makes an agent durable in durable functions: ``Agent(..., capabilities=[AstDurability()])``.

    Args:
        name: what the agent is called in the journal; the agent's name if it is left out.
        models: further models by name, to be chosen when the agent is run.
        event_stream_handler: is given the events of each run.
        model_task_config: how model requests are tried again.
        tool_task_config: how calls of tools are tried again, unless the tool says so itself, as in
            ``metadata={"durable": TaskConfig(retries=5)}``.
        mcp_task_config: the same for tools of MCP servers.
        event_task_config: the same for event handlers.
        approvals: what becomes of calls that wait for a human or for a result from elsewhere: with
            ``"signal"`` the run waits for signals (see `DurableAgent.pending`), with ``"return"`` it
            ends with them as its output, as without durability.  Left out, it is ``"return"`` for
            agents that have `DeferredToolRequests` among their output types.
        approval_timeout: seconds after which a call that nobody has decided on is denied.
        publish_events: whether the events of runs are published for others to follow; see
            `Workflow.events`.

    >>> import asyncio
    >>> from durable_ast import DurableBackend, make_durable
    >>> from pydantic_ai.models.test import TestModel
    >>> agent = Agent(TestModel(custom_output_text="Paris"), name="geography", capabilities=[AstDurability()])
    >>> @make_durable
    ... async def capital(country: str) -> str:
    ...     result = await agent.run(f"What is the capital of {country}?")
    ...     return result.output
    >>> asyncio.run(capital("France", orchestration_backend=DurableBackend(), instance_id="france"))
    'Paris'
    """

    engine_spec = DurabilityEngineSpec(
        engine_name="durable_ast",
        durable_unit_noun="task",
        durable_container_noun="workflow",
        codec=JSON_CODEC,
        serialization_failure=_not_saved,
        toolset_lifecycles={"function": "enter-always", "mcp": "enter-in-durable-unit", "dynamic": "enter-never"},
        tool_config_key="durable",
    )

    def __init__(
        self,
        *,
        name: str | None = None,
        models: Mapping[str, Model] | None = None,
        event_stream_handler: EventStreamHandler[AgentDepsT] | None = None,
        model_task_config: Mapping[str, Any] | None = None,
        tool_task_config: Mapping[str, Any] | None = None,
        mcp_task_config: Mapping[str, Any] | None = None,
        event_task_config: Mapping[str, Any] | None = None,
        approvals: Approvals | None = None,
        approval_timeout: float | None = None,
        publish_events: bool = False,
    ) -> None:
        if approvals not in (None, *get_args(Approvals)):
            raise ValueError(f"approvals must be one of {get_args(Approvals)}, not {approvals!r}")
        self._relay = Relay(event_stream_handler, publish_events)
        super().__init__(name=name, models=models, event_stream_handler=self._relay)
        self._model_config = over(MODEL_DEFAULTS, model_task_config)
        self._tool_config = over(TOOL_DEFAULTS, tool_task_config)
        self._mcp_config = over(self._tool_config, mcp_task_config)
        self._event_config = over(TOOL_DEFAULTS, event_task_config)
        self._approvals = approvals
        self._approval_timeout = approval_timeout

    @property
    def in_durable_context(self) -> bool:
        """Whether this code runs in a durable function."""
        scope = enclosing()
        return scope is not None and scope.branch is not None

    def get_durable_operation_backend(self) -> DurableOperationBackend[Any]:
        """What runs the operations of the agent."""
        return UnitBackend(
            self.name,
            self.default_model_id,
            RoleBasedOperationConfig(
                model=self._model_config,
                event=self._event_config,
                capability=self._model_config,
                tool=self._tool_config,
                resolve_tool=self._config_of_tool,
            ),
        )

    def _config_of_tool(self, operation: DurableOperationId, tool: Any, name: str) -> Any:
        kind: ToolsetKind = getattr(operation, "toolset_kind", "mcp")
        return self._build_resolve_tool_config(self._toolset_base_config(kind))(tool, name)

    def _toolset_base_config(self, kind: ToolsetKind) -> Any:
        return self._mcp_config if kind == "mcp" else self._tool_config

    def get_wrapper_toolset(self, toolset: AbstractToolset[AgentDepsT]) -> AbstractToolset[AgentDepsT] | None:
        """The toolset with its leaves made durable, also those that come with the run, or in place of
        the agent's own."""
        if not self.in_durable_context:
            return super().get_wrapper_toolset(toolset)
        leaves: list[AbstractToolset[AgentDepsT]] = []
        toolset.apply(leaves.append)
        present = {id(leaf) for leaf in leaves}

        for leaf in leaves:
            known = self._toolsets_by_id.get(leaf.id or "")
            if known is not None and known.wrapped is not leaf and id(known.wrapped) in present:
                return super().get_wrapper_toolset(toolset)  # which refuses two of one id

        def durable(leaf: AbstractToolset[AgentDepsT]) -> AbstractToolset[AgentDepsT]:
            known = self._toolsets_by_id.get(leaf.id or "")
            if known is not None and known.wrapped is leaf:
                return known
            return self._wrap_leaf_toolset(leaf) or leaf

        self._check_ids(leaves)
        return toolset.visit_and_replace(durable)

    def _check_ids(self, leaves: Sequence[AbstractToolset[AgentDepsT]]) -> None:
        """What servers and dynamic toolsets tell is told apart by their ids.

        Raises:
            UserError: several of them have none.
        """
        nameless = [leaf for leaf in leaves if leaf.id is None and not isinstance(leaf, FunctionToolset)]
        if len([leaf for leaf in nameless if self._wrap_leaf_toolset(leaf) is not None]) > 1:
            raise UserError(
                f"agent {self.name!r}: several toolsets that come with this run have no id, and could not be told apart "
                f"when it goes on: {', '.join(leaf.label for leaf in nameless)}; give each of them an `id`"
            )

    # ids and time

    def get_default_run_id(self) -> str | None:
        """The id of a run that is given none: the same when its step runs again."""
        port = current_run()
        return None if port is None else f"{port.instance_id}:{self.name}:{port.key[:12]}:{port.ordinal(self.name)}"

    def get_default_conversation_id(self, run_id: str) -> str | None:
        """The id of a conversation that is given none."""
        return str(uuid.uuid5(_CONVERSATIONS, run_id)) if self.in_durable_context else None

    async def get_run_start_time(self, run_id: str) -> datetime | None:
        """When a run was started first."""
        port = current_run()
        if port is None:
            return None
        started: float = await port.once(f"{run_id}/start", _now)
        return datetime.fromtimestamp(started, UTC)

    async def wrap_run(self, ctx: RunContext[AgentDepsT], *, handler: WrapRunHandler) -> AgentRunResult[Any]:
        """Run the agent, with sleeps that go on while no process runs."""
        port = current_run()
        if port is None:
            return await handler()

        async def sleep(seconds: float) -> None:
            await _sleep(port, f"{ctx.run_id}/sleep", seconds)

        is_named = _ASKS_FOR_RUN_IDS or not _is_random(ctx.run_id)
        name = (ctx.run_id if is_named else self.get_default_run_id()) or ""
        try:
            async with failures_of_run(port):
                with (
                    replays_left_out(),
                    setting(run_name, name),
                    Agent.using_sleep(sleep),
                    self._waits_for_events(port, name),
                ):
                    return await super().wrap_run(ctx, handler=handler)
        finally:
            await port.settled()

    def _waits_for_events(self, port: Run, run: str) -> AbstractContextManager[object]:
        if not _HAS_EXTERNAL_EVENTS:
            return nullcontext()
        from .external_events import external_events

        return external_events(port, self.name, run, self._tool_config)

    # output functions

    async def wrap_output_process(
        self,
        ctx: RunContext[AgentDepsT],
        *,
        output_context: OutputContext,
        output: Any,
        handler: WrapOutputProcessHandler,
    ) -> Any:
        """Process an output once, if that calls a function."""
        port = current_run()
        if port is None or not is_effectful(ctx, output_context):
            return await handler(output)
        return await processed_once(port, self.name, ctx, output_context, lambda: handler(output), self._tool_config)

    # model requests are units, whose responses are live

    async def wrap_model_request(
        self, ctx: RunContext[AgentDepsT], *, request_context: ModelRequestContext, handler: WrapModelRequestHandler
    ) -> ModelResponse:
        """Make the model's requests units."""

        async def live(request: ModelRequestContext) -> ModelResponse:
            if self.in_durable_context:
                request.model = LiveModel(request.model)
            return await handler(request)

        return await super().wrap_model_request(ctx, request_context=request_context, handler=live)

    async def before_model_request(
        self, ctx: RunContext[AgentDepsT], request_context: ModelRequestContext
    ) -> ModelRequestContext:
        """The same for a model that a hook has put in its place."""
        given = request_context.model
        return _live_again(given, await super().before_model_request(ctx, request_context))

    async def prepare_model_request(
        self, ctx: RunContext[AgentDepsT], request_context: ModelRequestContext
    ) -> ModelRequestContext:
        """The same for a model that is asked after another has failed."""
        given = request_context.model
        return _live_again(given, await super().prepare_model_request(ctx, request_context))

    # events

    @property
    def has_wrap_run_event_stream(self) -> bool:
        """Whether runs are streamed, though nobody listens."""
        return self._relay.has_work

    async def wrap_run_event_stream(
        self, ctx: RunContext[AgentDepsT], *, stream: AsyncIterable[AgentStreamEvent]
    ) -> AsyncIterator[AgentStreamEvent]:
        """Deliver what happens between the model's responses."""
        events = super().wrap_run_event_stream(ctx, stream=stream) if self._relay.has_work else stream
        async for event in events:
            yield event

    async def _dispatch_event_stream_event(self, ctx: RunContext[AgentDepsT], event: AgentStreamEvent) -> None:
        await self._relay.publish(ctx, event)
        if self._relay.handler is not None:
            await super()._dispatch_event_stream_event(ctx, event)  # its effects are a unit

    # humans

    def get_ordering(self) -> CapabilityOrdering:
        """The innermost: whoever else decides on calls of tools goes first."""
        ordering = super().get_ordering()
        return replace(ordering, wrapped_by=(*ordering.wrapped_by, *_OTHERS_WHO_DECIDE))

    async def handle_deferred_tool_calls(
        self, ctx: RunContext[AgentDepsT], *, requests: DeferredToolRequests
    ) -> DeferredToolResults | None:
        """Wait for the signals that decide on calls of tools, or give their results."""
        port = current_run()
        if port is None or self._returns_deferred(ctx):
            return None
        return await decided(port, self.name, ctx, requests, self._approval_timeout)

    def _returns_deferred(self, ctx: RunContext[AgentDepsT]) -> bool:
        if self._approvals is not None:
            return self._approvals == "return"
        return ctx.agent is not None and DeferredToolRequests in outputs_of(ctx.agent.output_type)

    # what delegates spend is recorded with the call of the tool

    def _durable_run_context(self, ctx: RunContext[AgentDepsT]) -> RunContext[AgentDepsT]:
        guarded = super()._durable_run_context(ctx)
        unit = running_unit()
        return unit.watched(guarded) if unit is not None and unit.is_call else guarded


def _live_again(given: Model, request: ModelRequestContext) -> ModelRequestContext:
    """The request; where units were made of the requests to another model than before, that is live as well."""
    if request.model is not given:
        request.model = LiveModel(request.model)
    return request


def _is_random(run_id: str | None) -> bool:
    """Whether pydantic-ai has made up an id."""
    try:
        uuid.UUID(run_id or "")
    except ValueError:
        return False
    return True


async def _now() -> float:
    return time.time()


async def _sleep(port: Run, name: str, seconds: float) -> None:
    key = f"{name}#{port.ordinal(name)}"
    due: float = await port.once(key, _after(seconds))
    await asyncio.sleep(max(0.0, due - time.time()))


def _after(seconds: float) -> Any:
    async def due() -> float:
        return time.time() + seconds

    return due
