"""Instances as the hashes of a Redis store, and transitions as its script takes them."""

from __future__ import annotations

import json
import pickle
import time
from collections.abc import Sequence
from typing import Any

from ..state import plain
from ..state.schema import Record, Status
from .damaged import damaged
from .names import storable_text
from .parts import TRANSIENT
from .redis_turn import Facts
from .remote_store import Transition


def fields_of(record: Record) -> list[Any]:
    """All facts of an instance, as the fields of a hash; what is None is left out."""
    facts = {
        "id": record.instance_id,
        "program": record.program,
        "epoch": record.epoch,
        "arguments": record.arguments,
        "created_at": record.created_at,
        **changes(record),
        "updated_at": record.updated_at,
        "recoveries": record.recoveries,
    }
    return [item for name, value in facts.items() if value is not None for item in (name, value)]


def changes(record: Record) -> dict[str, Any]:
    """What a transition changes."""
    return {
        "status": record.status.value,
        "sequence": record.sequence,
        "call_stack": record.state,
        "retry": pickle.dumps(record.retry) if record.retry else None,
        "awaited": json.dumps(record.awaited) if record.awaited else None,
        "wake_at": record.wake_at,
        "outcome": record.outcome,
        "error": None if record.error is None else storable_text(record.error),
        "updated_at": time.time(),
        "recoveries": 0,
    }


def sent(transition: Transition) -> list[Any]:
    """A transition as the script takes it."""
    record = transition.record
    changed = changes(record)
    final = record.status.is_final
    parts = {
        name: value
        for name, value in transition.parts.items()
        if not (final and value is not None and name.startswith(TRANSIENT))
    }
    return [
        record.instance_id,
        record.epoch,
        record.sequence,
        int(final),
        *counted([item for name, value in changed.items() if value is not None for item in (name, value)]),
        *counted([name for name, value in changed.items() if value is None]),
        *counted(transition.consumed),
        *counted([item for name, value in parts.items() if value is not None for item in (name, value)]),
        *counted([name for name, value in parts.items() if value is None]),
        len(transition.outbox),
        *(item for letter in transition.outbox for item in (letter.instance_id, letter.name, letter.payload)),
    ]


def counted(values: Sequence[Any]) -> list[Any]:
    """How many there are, and they."""
    return [len(values), *values]


def record_in(facts: Facts) -> Record:
    """The record in a hash."""

    def text(name: bytes) -> str | None:
        value = facts.get(name)
        return None if value is None else value.decode()

    wake_at = facts.get(b"wake_at")
    try:
        return Record(
            facts[b"id"].decode(),
            facts[b"program"].decode(),
            Status(facts[b"status"].decode()),
            int(facts[b"epoch"]),
            int(facts[b"sequence"]),
            text(b"arguments"),
            facts.get(b"call_stack"),
            plain.loads(facts[b"retry"]) if b"retry" in facts else (),
            tuple(json.loads(facts[b"awaited"])) if b"awaited" in facts else (),
            None if wake_at is None else float(wake_at),
            facts.get(b"outcome"),
            text(b"error"),
            created_at=float(facts[b"created_at"]),
            updated_at=float(facts[b"updated_at"]),
            recoveries=int(facts[b"recoveries"]),
        )
    except Exception as problem:
        raise damaged(facts.get(b"id", b"?").decode(), problem) from problem
