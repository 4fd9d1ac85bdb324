"""`DurableAgent`: an agent whose runs are workflows of their own, or part of the one they are made in."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from copy import copy
from typing import Any

from pydantic_ai import AgentRunResult, RunContext
from pydantic_ai.agent import AbstractAgent, EventStreamHandler, WrapperAgent
from pydantic_ai.models import Model
from pydantic_ai.models.test import TestModel
from pydantic_ai.output import OutputDataT
from pydantic_ai.run import AgentRun
from pydantic_ai.tools import AgentDepsT
from pydantic_ai.usage import RunUsage

from ..runtime.running_branch import current
from ..runtime.setting import setting
from ..runtime.steps import Step, step
from ..state import snapshot
from ..workflow import Handle, Workflow
from .approvals import APPROVAL, RESULT, signal_of
from .blocks import Block, Ended, handed
from .call import AgentCall
from .config import over, policy_of
from .durability import MODEL_DEFAULTS, TOOL_DEFAULTS, Approvals, AstDurability
from .lookalikes import _AgentRunResult
from .names import _run_id_for_agent, found, remember
from .results import restored, stored
from .retold import Audience, retold
from .surroundings import as_a_whole, scope_of, warn_once

_listener: ContextVar[EventStreamHandler[Any] | None] = ContextVar("durable_ast.pydantic_ai.listener", default=None)
"""Who listens to the run that is being started, in this process."""


class DurableAgent(WrapperAgent[AgentDepsT, OutputDataT]):
    """An agent that survives the death of its process.

    A run that is made in a workflow, or in any durable function, is part of it.  Made elsewhere, it
    is a workflow of its own: called again with the same id it goes on, or gives its stored result.

    Args:
        agent: what is run; anything with an async method `run` will do, whose runs are single steps.
        wf: the workflow that runs are stored with.
        name: the name of the agent in ids and in the journal, by which the runs of one workflow's agents
            are told apart; the agent's own if it is left out.
        model_task_config: how model requests are tried again.
        tool_task_config: how calls of tools are tried again.
        mcp_task_config: the same for tools of MCP servers.
        event_task_config: the same for event handlers.
        models: further models by name, to be chosen when the agent is run.
        event_stream_handler: is given the events of each run.
        approvals: what becomes of calls that wait for a human; see `AstDurability`.
        approval_timeout: seconds after which a call that nobody has decided on is denied.
        publish_events: whether the events of runs are published for others to follow; see `events`.
        deps_factory: makes the dependencies of runs that are given none.

    Raises:
        ValueError: the workflow has another agent of that name.

    >>> import asyncio
    >>> from pydantic_ai import Agent
    >>> from pydantic_ai.models.test import TestModel
    >>> wf = Workflow("geography", db=":memory:")
    >>> agent = DurableAgent(Agent(TestModel(custom_output_text="Paris"), name="geographer"), wf)
    >>> asyncio.run(agent.run("What is the capital of France?", run_id="france")).output
    'Paris'
    """

    def __init__(
        self,
        agent: AbstractAgent[AgentDepsT, OutputDataT],
        wf: Workflow,
        *,
        name: str | None = None,
        model_task_config: Mapping[str, Any] | None = None,
        tool_task_config: Mapping[str, Any] | None = None,
        mcp_task_config: Mapping[str, Any] | None = None,
        event_task_config: Mapping[str, Any] | None = None,
        models: Mapping[str, Model] | None = None,
        event_stream_handler: EventStreamHandler[AgentDepsT] | None = None,
        approvals: Approvals | None = None,
        approval_timeout: float | None = None,
        publish_events: bool = False,
        deps_factory: Callable[[], AgentDepsT] | None = None,
    ) -> None:
        super().__init__(agent)
        self.agent = agent
        self.wf = wf
        self._name: str = name or agent.name or "agent"
        self._models = dict(models or {})
        self._model_in_place: ContextVar[Any] = ContextVar("durable_ast.pydantic_ai.model_in_place", default=None)
        self._handler = event_stream_handler
        self._model_config = over(MODEL_DEFAULTS, model_task_config)
        self._tool_config = over(TOOL_DEFAULTS, tool_task_config)
        self._mcp_config = over(self._tool_config, mcp_task_config)
        self._event_config = over(TOOL_DEFAULTS, event_task_config)
        self._approvals = approvals
        self._approval_timeout = approval_timeout
        self._publish_events = publish_events
        self._deps_factory = deps_factory
        self._runs = wf.workflow(_run_agent)
        remember(self, wf.name, self._name)

    @property
    def name(self) -> str | None:
        """The name of the agent in ids and in the journal."""
        return self._name

    @name.setter
    def name(self, value: str | None) -> None:
        raise AttributeError("the name of a durable agent is part of what is stored; give it to DurableAgent(name=)")

    @property
    def _model_retries(self) -> int | None:
        return self._model_config.retries

    @property
    def _model_backoff(self) -> Any:
        return self._model_config.backoff

    @property
    def _tool_retries(self) -> int | None:
        return self._tool_config.retries

    # running

    async def run(
        self,
        user_prompt: Any = None,
        *,
        run_id: str | None = None,
        deps: Any = None,
        message_history: Sequence[Any] | None = None,
        event_stream_handler: EventStreamHandler[Any] | None = None,
        **options: Any,
    ) -> Any:
        """Run the agent; the arguments are those of `Agent.run`.

        Args:
            user_prompt: what it is asked.
            run_id: the id of the run; if it is left out, it is made from the agent's name and a digest
                of all arguments.
            deps: what its tools are given.
            message_history: what was said before.
            event_stream_handler: is given the events of the run while they happen, as far as it happens
                in this process.
            options: further arguments of `Agent.run`.

        Returns:
            An `AgentRunResult`; the same ever after for the same id.

        Raises:
            ValueError: no id can be made from the arguments; give a `run_id`.
            InstanceConflictError: the id belongs to a run with another prompt.
        """
        call = AgentCall(user_prompt, deps, {"message_history": message_history, **options})
        if current.get() is not None:
            return await self._run_inside(call, run_id, event_stream_handler)
        usage = options.get("usage")
        before = copy(usage)
        run_id = self._id_of(call, run_id)
        audience = None if event_stream_handler is None else Audience(event_stream_handler)
        with setting(_listener, audience):
            outcome = await self._runs.run(run_id, self, run_id, call)
        result = restored(outcome, self._output_spec(call))
        if audience is not None and not audience.was_told and isinstance(result, AgentRunResult):
            await audience(self._context_of(call, result), retold(result))
        if usage is not None and usage == before:
            usage.incr(result.usage - before)
        return result

    async def start(
        self,
        user_prompt: Any = None,
        *,
        run_id: str | None = None,
        deps: Any = None,
        message_history: Sequence[Any] | None = None,
        **options: Any,
    ) -> Handle[Any]:
        """Start a run in the background; it is stored when this returns.

        The arguments are those of `run`.  A run that this process leaves when it ends goes on where
        it is run again, or where `Workflow.recover` is called.

        Raises:
            NotPersistableError: the arguments cannot be stored.
        """
        call = AgentCall(user_prompt, deps, {"message_history": message_history, **options})
        run_id = self._id_of(call, run_id)
        return await self.wf.start(self._runs, self, run_id, call, id=run_id)

    def _id_of(self, call: AgentCall, run_id: str | None) -> str:
        return _run_id_for_agent(self._name, call.prompt, run_id, call.deps, call.options)

    async def _run_inside(
        self, call: AgentCall, run_id: str | None, handler: EventStreamHandler[Any] | None = None
    ) -> Any:
        """Run the agent as part of the running step."""
        options = call.arguments()
        if self._deps_factory is not None and call.deps is None:
            options["deps"] = self._deps_factory()
        if not isinstance(self.wrapped, AbstractAgent):
            result = await self.wrapped.run(call.prompt, **options)
            return _AgentRunResult(result, self._output_spec(call))
        with scope_of(f"agent {self._name}"):
            return await super().run(call.prompt, run_id=run_id, event_stream_handler=handler, **options)

    def _context_of(self, call: AgentCall, result: AgentRunResult[Any]) -> RunContext[Any]:
        """The context of a run that has ended."""
        return RunContext(
            deps=call.deps,
            model=_model_of(self.wrapped),
            usage=result.usage,
            prompt=call.prompt,
            messages=result.all_messages(),
            run_id=result.run_id,
        )

    def _output_spec(self, call: AgentCall) -> Any:
        own = "output_type" if isinstance(self.wrapped, AbstractAgent) else "_output_type"
        return call.options.get("output_type") or getattr(self.wrapped, own, None)

    @contextmanager
    def override(self, **options: Any) -> Iterator[None]:
        """Put something in the place of what the agent has; the arguments are those of `Agent.override`.

        A process that goes on with the run later has to do the same.
        """
        token = self._model_in_place.set(options.get("model"))
        try:
            with self.wrapped.override(**options):
                yield
        finally:
            self._model_in_place.reset(token)

    def iter(self, *args: Any, **options: Any) -> Any:
        """Run the agent node by node; the arguments are those of `Agent.iter`.

        The ``async with`` block is one whole: after a crash it begins again, and finds what the agent
        had finished.  Outside of any durable function the run is a workflow of its own if it is given a
        ``run_id``, and cancelled if the block is left before the agent has ended; without an id it is
        not durable.
        """
        return as_a_whole(self._iter(*args, **options))

    def run_stream(self, *args: Any, **options: Any) -> Any:
        """Run the agent, and give its answer as a stream; the arguments are those of `Agent.run_stream`.

        See `iter` for what is durable.
        """
        return as_a_whole(super().run_stream(*args, **options))

    def run_stream_events(self, *args: Any, **options: Any) -> Any:
        """Run the agent, and give its events while they happen; the arguments are those of
        `Agent.run_stream_events`.

        It is as durable as `run`.
        """
        return as_a_whole(super().run_stream_events(*args, **options))

    @asynccontextmanager
    async def _iter(self, user_prompt: Any = None, **options: Any) -> AsyncIterator[AgentRun[AgentDepsT, Any]]:
        run_id = options.get("run_id")
        if current.get() is not None or run_id is None:
            if current.get() is None:
                warn_once(self._name)
            async with self._iter_inside(user_prompt, **options) as run:
                yield run
            return
        given = {name: value for name, value in options.items() if name not in ("run_id", "deps")}
        call = AgentCall(user_prompt, options.get("deps"), given)
        block = Block()
        async with block.inside(lambda: self._runs.run(run_id, self, run_id, call)) as outcome:
            if outcome is not None:
                ended = Ended(restored(outcome, self._output_spec(call)))
                options["capabilities"] = [*(options.get("capabilities") or ()), ended]
            with scope_of(f"agent {self._name}"):
                async with self._iter_inside(user_prompt, **options) as run:
                    yield run
                    block.result = run.result

    @asynccontextmanager
    async def _iter_inside(
        self, user_prompt: Any = None, *, model: Any = None, capabilities: Sequence[Any] | None = None, **options: Any
    ) -> AsyncIterator[AgentRun[AgentDepsT, Any]]:
        """The same as part of the running step, if any is running."""
        added = [] if AstDurability.from_agent(self.wrapped) is not None else [self._durability(model)]
        if options.get("run_id") is None and added:
            options["run_id"] = added[0].get_default_run_id()
        async with self.wrapped.iter(
            user_prompt, model=model, capabilities=[*(capabilities or ()), *added], **options
        ) as run:
            yield run

    def _durability(self, model: Any) -> AstDurability[AgentDepsT]:
        given = {"run": model, "override": self._model_in_place.get()}
        return AstDurability(
            name=self._name,
            models={**self._models, **{name: model for name, model in given.items() if isinstance(model, Model)}},
            event_stream_handler=self._handler,
            model_task_config=self._model_config,
            tool_task_config=self._tool_config,
            mcp_task_config=self._mcp_config,
            event_task_config=self._event_config,
            approvals=self._approvals,
            approval_timeout=self._approval_timeout,
            publish_events=self._publish_events,
        )

    # around runs

    def tool(
        self, tool_name: str, tool_args: Mapping[str, Any], *, deps: Any = None, step_id: str | None = None
    ) -> Coroutine[Any, Any, Any]:
        """Call a tool of the agent as a task; gives what the tool returns.

        Args:
            tool_name: its name.
            tool_args: its arguments, which are validated as if the model had given them.
            deps: what it finds in its context.
            step_id: a name for this call; see `durable_ast.step`.

        Raises:
            ValueError: the agent has no such tool, or the arguments are none for it.
        """
        call: Step[..., Any] = Step(self._call_tool, f"{self._name}.tool.{tool_name}", policy_of(self._tool_config))
        options = {} if step_id is None else {"step_id": step_id}
        return call(tool_name, dict(tool_args), deps, **options)

    async def _call_tool(self, name: str, args: dict[str, Any], deps: Any) -> Any:
        ctx = RunContext(deps=deps, model=_model_of(self.wrapped), usage=RunUsage(), tool_name=name)
        known: list[str] = []
        for toolset in self.wrapped.toolsets:
            async with toolset:
                tools = await toolset.get_tools(ctx)
                if name in tools:
                    valid = tools[name].args_validator.validate_python(args)
                    return await toolset.call_tool(name, valid, ctx, tools[name])
            known.extend(tools)
        raise ValueError(f"the agent {self._name!r} has no tool {name!r}; its tools are: {', '.join(known) or 'none'}")

    def signal(self, name: str, *, timeout: float | None = None, poll: float = 2.0) -> Coroutine[Any, Any, Any]:
        """Wait, in a workflow, for a signal; the same as `Workflow.signal`."""
        return self.wf.signal(name, timeout=timeout, poll=poll)

    def events(self, run_id: str, *, after: int = 0) -> AsyncIterator[tuple[int, Any]]:
        """The events of a run as dictionaries, with numbers; see `Workflow.events`.

        An event of kind ``stream_reset`` says that the response of its ``unit`` begins again.
        """
        return self.wf.events(run_id, after=after)

    async def pending(self, run_id: str) -> dict[str, Any]:
        """What a run waits for, by the names of the signals; see `Workflow.pending`."""
        return await self.wf.pending(run_id)

    async def approve(
        self,
        run_id: str,
        tool_call_id: str,
        *,
        override_args: Mapping[str, Any] | None = None,
        sha: str | None = None,
        by: str | None = None,
    ) -> bool:
        """Let a call of a tool be made that waits for a decision.

        Args:
            run_id: the run.
            tool_call_id: the call.
            override_args: arguments to call it with instead of those that the model has given.
            sha: the digest of the arguments that the decision is about, as `pending` gives it.
            by: who has decided.

        Returns:
            Whether the decision was taken: False if nobody waits for it, or it has been made.

        Raises:
            ValueError: the call has other arguments than those that were decided about.
        """
        answer = {"approved": True, "override_args": override_args, "sha": sha, "by": by}
        return await self._answer(run_id, APPROVAL, tool_call_id, answer, sha)

    async def deny(self, run_id: str, tool_call_id: str, message: str | None = None, *, by: str | None = None) -> bool:
        """Refuse a call of a tool that waits for a decision.

        Args:
            run_id: the run.
            tool_call_id: the call.
            message: what the model is told.
            by: who has decided.

        Returns:
            Whether the decision was taken: False if nobody waits for it, or it has been made.
        """
        return await self._answer(
            run_id, APPROVAL, tool_call_id, {"approved": False, "message": message, "by": by}, None
        )

    async def resolve(self, run_id: str, tool_call_id: str, value: Any) -> bool:
        """Give the result of a call that is made elsewhere.

        Returns:
            Whether it was taken: False if nobody waits for it, or it has been given.
        """
        return await self._answer(run_id, RESULT, tool_call_id, value, None)

    async def _answer(self, run_id: str, kind: str, tool_call_id: str, answer: Any, sha: str | None) -> bool:
        name = signal_of(kind, tool_call_id)
        question = (await self.wf.pending(run_id)).get(name)
        if question is None:
            return False
        if sha is not None and sha != question["sha"]:
            raise ValueError(
                f"run {run_id!r}: the call {tool_call_id!r} of {question['tool']!r} has other arguments than those that "
                "were decided about; look at pending() again"
            )
        return await self.wf.instances.offer(run_id, name, snapshot.dumps(answer))

    # an agent is found again by its name

    def __reduce__(self) -> Any:
        return found, (self.wf.name, self._name)

    def __repr__(self) -> str:
        return f"<durable agent {self._name!r}>"


def _model_of(agent: AbstractAgent[Any, Any]) -> Model:
    """The model in a context where no model is called; making one from its name may need a key."""
    return agent.model if isinstance(agent.model, Model) else TestModel()


async def _run_agent(agent: DurableAgent[Any, Any], run_id: str, call: AgentCall) -> AgentRunResult[Any]:
    """The workflow of a run that is made outside of any other."""
    return await _attempt(agent, run_id, call)


@step
async def _attempt(agent: DurableAgent[Any, Any], run_id: str, call: AgentCall) -> AgentRunResult[Any]:
    block = handed.get()
    if block is not None and not block.is_taken:
        result = await block.as_step()
    else:
        handler = _listener.get()
        with setting(_listener, None):
            result = await agent._run_inside(call, run_id, handler)
    kept: AgentRunResult[Any] = stored(result, agent._output_spec(call))
    return kept
