"""The names by which runs, and the agents that are run, are found again."""

from __future__ import annotations

import hashlib
import weakref
from typing import TYPE_CHECKING, Any

from ..errors import DurableError
from ..state.digest import digest

if TYPE_CHECKING:
    from .agent import DurableAgent


def _run_id_for_agent(agent_name: str, prompt: Any, run_id: str | None, *further: Any) -> str:
    """The id of a run: the one it was given, or else one from all that it is made of.

    Raises:
        ValueError: something has no form that is the same in every process.
    """
    if run_id:
        return run_id
    hashed = digest((prompt, *further))
    if hashed is None:
        unstable = "prompt" if digest(prompt) is None else "dependencies or options"
        raise ValueError(
            f"no id can be made for this run of agent {agent_name!r}: its {unstable} have no form that is the same "
            "in every process; give it a run_id"
        )
    return f"agent-{agent_name}-{hashlib.sha256(hashed.encode()).hexdigest()[:12]}"


_agents: dict[str, weakref.WeakValueDictionary[str, DurableAgent[Any, Any]]] = {}


def remember(agent: DurableAgent[Any, Any], workflow: str, name: str) -> None:
    """Let runs find an agent by its name; the last one of a name counts.

    Raises:
        ValueError: the same workflow has another agent of this name, whose runs could be taken for those of this one.
    """
    agents = _agents.setdefault(workflow, weakref.WeakValueDictionary())
    other = agents.get(name)
    if other is not None and other.wf is agent.wf and other.wrapped is not agent.wrapped:
        raise ValueError(
            f"the workflow {workflow!r} has another agent that is called {name!r}; runs are told apart by the names of their "
            "agents: give one of them another by DurableAgent(name=)"
        )
    agents[name] = agent


def found(workflow: str, name: str) -> DurableAgent[Any, Any]:
    """The agent of this name.

    Raises:
        DurableError: there is none in this process.
    """
    try:
        return _agents[workflow][name]
    except KeyError:
        raise DurableError(
            f"a run refers to the agent {name!r} of the workflow {workflow!r}, and this process has made none of that "
            "name"
        ) from None
