"""Tools and pipelines of agents, by the names that agents' authors look for."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec, TypeVar

from pydantic_ai import RunContext

from ..backoff import Backoff
from ..runtime.steps import StepDecorator
from ..workflow import Workflow, WorkflowFunction
from .durability import TOOL_DEFAULTS

P = ParamSpec("P")
R = TypeVar("R")


def durable_tool(
    wf: Workflow, *, name: str | None = None, retries: int = 2, backoff: Backoff | None = None
) -> StepDecorator:
    """Make a function a tool whose calls are tasks, wherever they are made from.

    Args:
        wf: the workflows that it is used in.
        name: what its calls are called.
        retries: how often it is tried again after it failed.
        backoff: how long to wait before that; see `durable_ast.backoff`.

    >>> wf = Workflow("tools", db=":memory:")
    >>> @durable_tool(wf, retries=3)
    ... async def search(query: str) -> str:
    ...     return f"found {query}"
    """
    return wf.task(name=name, retries=retries, backoff=backoff or TOOL_DEFAULTS.backoff)


def durable_pipeline(
    wf: Workflow, *, id: str
) -> Callable[[Callable[P, Coroutine[Any, Any, R]]], WorkflowFunction[P, R]]:
    """Make a function that runs several agents a workflow; the same as `wf.workflow`.

    Args:
        wf: the workflows that it belongs to.
        id: the id of a run, with arguments in braces, such as ``"research-{topic}"``.

    >>> wf = Workflow("pipelines", db=":memory:")
    >>> @durable_pipeline(wf, id="research-{topic}")
    ... async def research(topic: str) -> str:
    ...     return f"all about {topic}"
    """
    return wf.workflow(id=id)


def idempotency_key(ctx: RunContext[Any]) -> str:
    """A key for the call of the tool that `ctx` was given to, for those who can tell by it that they
    have been asked the same before: it is the same when the call is made again.

    Raises:
        ValueError: this is no call of a tool.
    """
    if ctx.tool_call_id is None:
        raise ValueError("idempotency_key() needs the context that a tool was called with")
    return f"{ctx.run_id}:{ctx.tool_call_id}"
