"""Where an agent runs: in which unit of a durable function, and in which part of it."""

from __future__ import annotations

import functools
import logging
from contextlib import AbstractContextManager, nullcontext
from typing import TypeVar

from ..runtime.journal import Scope, enclosing
from ..runtime.reentry import persist
from ..runtime.running_branch import current

M = TypeVar("M")

log = logging.getLogger("durable_ast")


def as_a_whole(manager: M) -> M:
    """A manager whose block is not gone on with in its middle, for what it gives cannot be made again."""
    return manager if current.get() is None else persist(manager)


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
