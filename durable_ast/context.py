"""Which run this code belongs to."""

from __future__ import annotations

from dataclasses import dataclass

from .runtime.running_branch import current
from .stores.base import InstanceStore


@dataclass(frozen=True, slots=True)
class RunContext:
    """The run that the calling code belongs to, in a workflow or in a task that it runs.

    Attributes:
        run_id: its id.
        workflow_id: its function, as ``module:name``.
        store: where it is kept.
    """

    run_id: str
    workflow_id: str
    store: InstanceStore

    @classmethod
    def current(cls) -> RunContext | None:
        """The run of the calling code; None outside of any run.

        >>> RunContext.current() is None
        True
        """
        branch = current.get()
        if branch is None:
            return None
        record = branch.instance.record
        return cls(record.instance_id, record.program, branch.instance.store)
