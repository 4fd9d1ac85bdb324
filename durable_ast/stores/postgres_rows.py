"""Records as rows of a PostgreSQL store, and as the arrays that its statements take."""

from __future__ import annotations

import json
import pickle
import time
from collections.abc import Sequence
from typing import Any

from ..state import plain
from ..state.schema import Outgoing, Record, Status
from .damaged import damaged
from .names import storable_text
from .parts import TRANSIENT
from .postgres_arrays import Array, arrays
from .remote_store import Transition

COLUMNS = """key, id, program, status, epoch, sequence, arguments, call_stack, retry, awaited, wake_at, outcome, error,
created_at, updated_at, recoveries"""
TYPES = {
    "id": "text",
    "program": "text",
    "status": "text",
    "epoch": "bigint",
    "sequence": "bigint",
    "arguments": "text",
    "call_stack": "bytea",
    "retry": "bytea",
    "awaited": "text",
    "wake_at": "float8",
    "outcome": "bytea",
    "error": "text",
    "created_at": "float8",
    "updated_at": "float8",
    "recoveries": "integer",
}
UNNESTED = f"""unnest({", ".join(f"%s::{kind}[]" for kind in TYPES.values())})
WITH ORDINALITY AS given ({", ".join(TYPES)}, place)"""
CHANGED = ("status", "sequence", "call_stack", "retry", "awaited", "wake_at", "outcome", "error", "updated_at")
CHANGE_ONE = f"""UPDATE instances SET {", ".join(f"{name} = %s::{TYPES[name]}" for name in CHANGED)}, recoveries = 0
WHERE key = %s AND epoch = %s RETURNING key"""
"""A transition that changes the row only."""
CHANGE_MANY = f"""UPDATE instances SET {", ".join(f"{name} = new.{name}" for name in CHANGED)}, recoveries = 0
FROM unnest({", ".join(f"%s::{TYPES[name]}[]" for name in CHANGED)}, %s::bigint[], %s::bigint[])
AS new ({", ".join(CHANGED)}, key, epoch)
WHERE instances.key = new.key AND instances.epoch = new.epoch RETURNING instances.key"""
"""The same for many at once.  Both stand here and not in a function of the server, which would plan
them anew each time."""
CHANGE_MORE = f"""WITH changed AS ({CHANGE_MANY}),
done AS MATERIALIZED (SELECT coalesce(array_agg(key), '{{}}') AS keys FROM changed)
"""
"""Before what is to be done beside, for those instances whose row was changed."""
MORE = """%s::bigint[], %s::bigint[], %s::bigint[], %s::text[], %s::bytea[], %s::bigint[], %s::text[],
%s::bigint[], %s::text[], %s::text[], %s::bytea[], %s"""


def columns_of(records: Sequence[Record]) -> list[Array]:
    """What `UNNESTED` takes."""
    return arrays([facts(record) for record in records], *TYPES.values())


def facts(record: Record) -> tuple[Any, ...]:
    return (
        record.instance_id,
        record.program,
        record.status.value,
        record.epoch,
        record.sequence,
        record.arguments,
        *changes(record)[2:-1],
        record.created_at,
        record.updated_at,
        record.recoveries,
    )


def changed(transition: Transition) -> tuple[Any, ...]:
    """What `CHANGE_ONE` takes."""
    return (*changes(transition.record), transition.key, transition.record.epoch)


def all_changed(transitions: Sequence[Transition]) -> list[Array]:
    """What `CHANGE_MANY` takes."""
    return arrays(list(map(changed, transitions)), *(TYPES[name] for name in CHANGED), "bigint", "bigint")


def changes(record: Record) -> tuple[Any, ...]:
    """What a transition changes, in the order of `CHANGED`."""
    return (
        record.status.value,
        record.sequence,
        record.state,
        pickle.dumps(record.retry) if record.retry else None,
        json.dumps(record.awaited) if record.awaited else None,
        record.wake_at,
        record.outcome,
        None if record.error is None else storable_text(record.error),
        time.time(),
    )


def beside(transitions: Sequence[Transition], ended: Sequence[int]) -> list[Array]:
    """What `commit_more` is given, but for the channel."""
    consumed = [(each.key, number) for each in transitions for number in each.consumed]
    letters = [(each.key, *fields_of(letter)) for each in transitions for letter in each.outbox]
    parts: dict[tuple[int, str], bytes | None] = {}
    for each in transitions:
        for name, value in each.parts.items():
            if not (value is not None and each.key in ended and name.startswith(TRANSIENT)):
                parts[each.key, name] = value
    return [
        *arrays(consumed, "bigint", "bigint"),
        *arrays([(key, name, value) for (key, name), value in parts.items()], "bigint", "text", "bytea"),
        Array("bigint", ended),
        Array("text", [f"{prefix}%" for prefix in TRANSIENT]),
        *arrays(letters, "bigint", "text", "text", "bytea"),
    ]


def record_in(row: Sequence[Any]) -> Record:
    """The record in a row, without its key."""
    name, program, status, epoch, sequence, arguments, call_stack, retry, awaited, wake_at, outcome, *rest = row
    try:
        return Record(
            name,
            program,
            Status(status),
            epoch,
            sequence,
            arguments,
            as_bytes(call_stack),
            () if retry is None else plain.loads(retry),
            tuple(json.loads(awaited)) if awaited else (),
            wake_at,
            as_bytes(outcome),
            rest[0],
            created_at=rest[1],
            updated_at=rest[2],
            recoveries=rest[3],
        )
    except Exception as problem:
        raise damaged(name, problem) from problem


def as_bytes(value: Any) -> bytes | None:
    return None if value is None else bytes(value)


def fields_of(letter: Outgoing) -> tuple[str, str, bytes]:
    return letter.instance_id, letter.name, letter.payload
