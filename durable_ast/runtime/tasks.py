"""Tasks in a saved graph: each is the number of the branch that it runs."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any

from ..state.snapshot import Reduced, register
from .branch_task import BranchTask
from .running_branch import current
from .setting import setting

_tasks: contextvars.ContextVar[Mapping[int, Any] | None] = contextvars.ContextVar("durable_ast.tasks", default=None)


def tasks_by_number(tasks: Mapping[int, Any]) -> AbstractContextManager[None]:
    """Inside, a graph that is read gets these tasks, by the numbers of their branches."""
    return setting(_tasks, tasks)


class Elsewhere:
    """Shown in place of a task to those who only look at a saved graph."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __repr__(self) -> str:
        return f"<task of branch {self.number}>"


def task_of(number: int) -> Any:
    """The task of a branch."""
    tasks = _tasks.get()
    return Elsewhere(number) if tasks is None else tasks[number]


def _reduce_task(task: asyncio.Task[Any]) -> Reduced:
    branch = current.get()
    if branch is not None:
        if isinstance(task, BranchTask) and task.branch.instance is branch.instance and task.branch.line is not None:
            return task_of, (task.branch.line.number,)
        if task is branch.instance.root_task:
            return task_of, (0,)
    raise TypeError(f"cannot save task {task.get_name()!r}: it is no branch of this instance")


def register_all() -> None:
    """Let snapshots save the tasks of branches."""
    register(asyncio.Task, _reduce_task, subclasses=True)
