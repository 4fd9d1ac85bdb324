"""Where an agent runs: in which unit of a durable function, and in which part of it."""

from __future__ import annotations

import functools
import inspect
import logging
from contextlib import AbstractContextManager, _AsyncGeneratorContextManager, nullcontext
from typing import Any, NoReturn, TypeVar, cast

from pydantic_ai import Agent
from pydantic_ai.agent import AbstractAgent, WrapperAgent
from pydantic_ai.result import StreamedRunResult
from pydantic_ai.run import AgentRun

from ..runtime.journal import Scope, enclosing
from ..runtime.reentry import NotEnteredAgain, Persisted
from ..runtime.running_branch import current
from ..state import snapshot

M = TypeVar("M")

log = logging.getLogger("durable_ast")


def as_a_whole(manager: M) -> M:
    """A manager whose block is not gone on with in its middle, for what it gives cannot be made again."""
    return manager if current.get() is None else cast(M, _Whole(manager))


class _Whole(Persisted):
    """A manager that keeps its block from being saved."""

    def __reduce__(self) -> NoReturn:
        _refuse(self)


def _refuse(kept: object) -> NoReturn:
    raise NotEnteredAgain(
        "whoever goes through a run of an agent begins the block again, and finds what the agent had finished"
    )


_BLOCKS = {inspect.unwrap(way).__code__ for way in (Agent.iter, WrapperAgent.iter, AbstractAgent.run_stream)}


def _reduce_manager(manager: Any) -> Any:
    """An agent's own manager, where a capability alone makes it durable."""
    return _refuse(manager) if getattr(manager.gen, "ag_code", None) in _BLOCKS else NotImplemented


# none of them is tried: to find out at each await that a run cannot be saved takes longer than the run
snapshot.register(_AsyncGeneratorContextManager, _reduce_manager)
snapshot.register_by_name("pydantic_ai.agent.abstract", "_RunStreamEventsContext", _refuse)
for _kind in (AgentRun, StreamedRunResult):
    snapshot.register(_kind, _refuse, subclasses=True)


@functools.cache
def warn_once(name: str) -> None:
    log.warning(
        "agent %s: a run by iter() or run_stream() outside of a workflow is durable only if it is given a run_id", name
    )


def scope_of(name: str) -> AbstractContextManager[None]:
    """A unit that is not recorded, to run an agent in: part of it may outlast the step that started it."""
    step = enclosing()
    if step is None:
        return nullcontext()
    key = f"{name}#{step.ordinal(name)}"
    return Scope(step.branch, step.path_of(key), name)
