"""The decorator facade: workflows, tasks, signals and handles over durable programs.

It adds names and conventions, and no way of running: a workflow function is a durable program, a task
is a step, a signal is a message in the instance's mailbox.
"""

from ..runtime.environment import found_by_path
from .functions import WorkflowFunction
from .handles import Handle
from .logs import RunFields
from .run import Run
from .workflow import Workflow

__all__ = ["Handle", "Run", "RunFields", "Workflow", "WorkflowFunction"]

found_by_path(Workflow)
found_by_path(WorkflowFunction)
