"""Views as plain data, for programs; the names of the fields are stable."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..state.schema import Record
from .view import FrameView, InstanceView


def as_json(view: InstanceView) -> Mapping[str, Any]:
    """The facts of a view as plain data; its fields are stable."""
    return {
        **summary(view.record),
        "doing": view.doing,
        "result": None if view.result is None else {"type": view.result.type, "text": view.result.text},
        "note": view.note,
        "frames": [_frame(frame) for frame in view.frames],
        "branches": [
            {
                "number": branch.number,
                "name": branch.name,
                "doing": branch.doing,
                "frames": [_frame(frame) for frame in branch.frames],
            }
            for branch in view.branches
        ],
    }


def _frame(frame: FrameView) -> dict[str, Any]:
    place = frame.place
    return {
        "function": place.function,
        "module": place.module,
        "file": place.file,
        "line": None if place.cursor is None else place.cursor[0],
        "end_line": None if place.cursor is None else place.cursor[1],
        "block": frame.block,
        "awaits": place.awaited,
        "note": place.note,
        "locals": [
            {"name": variable.name, "type": variable.type, "text": variable.text} for variable in frame.variables
        ],
    }


def summary(record: Record) -> dict[str, Any]:
    """The facts of a record that need no look into its state, as plain data."""
    return {
        "id": record.instance_id,
        "program": record.program,
        "status": record.status.value,
        "checkpoints": record.sequence,
        "awaits": list(record.awaited),
        "wake_at": record.wakes_at,
        "created_at": record.created_at,
        "updated_at": record.updated_at,
        "error": record.error,
    }
