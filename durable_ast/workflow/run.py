"""What is known of a run without a look into its state."""

from __future__ import annotations

from dataclasses import dataclass

from ..state.schema import Record, Status


@dataclass(frozen=True, slots=True)
class Run:
    """The facts about a run, as `Workflow.list` gives them.

    Attributes:
        id: its id.
        workflow: its function, as ``module:name``.
        status: where it stands.
        created_at: when it was started, in seconds since 1970.
        updated_at: when it was last heard of.
        awaited: the signals it waits for.
        wake_at: when it will go on by itself, in seconds since 1970, if it will.
        error: the text of its error, if it failed.
    """

    id: str
    workflow: str
    status: Status
    created_at: float
    updated_at: float
    awaited: tuple[str, ...]
    wake_at: float | None
    error: str | None

    @classmethod
    def of(cls, record: Record) -> Run:
        """The facts in a record."""
        return cls(
            record.instance_id,
            record.program,
            record.status,
            record.created_at,
            record.updated_at,
            record.awaited,
            record.wakes_at,
            record.error,
        )
