"""What instances ask of the world while they wait inside of a step.

A question is a part of the instance, beside its record, and is answered by an event of its name.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from ..state import snapshot
from ..stores.base import InstanceStore
from ..stores.parts import Parts

_PREFIX = "q/"


def asked(questions: Mapping[str, Any]) -> Parts:
    """The parts that make questions known, by the names of the events that answer them."""
    return {_part(event): snapshot.dumps((event, question)) for event, question in questions.items()}


def answered(event: str) -> Parts:
    """The parts that take a question back."""
    return {_part(event): None}


async def pending(store: InstanceStore, instance_id: str) -> dict[str, Any]:
    """The questions of an instance that nobody has answered yet, by the names of the events."""
    record = await store.read(instance_id)
    if record is None or record.status.is_final:
        return {}
    parts = await store.parts(instance_id, _PREFIX)
    if not parts:
        return {}
    arrived = {message.name for message in await store.messages(instance_id)}
    questions = dict(snapshot.loads(data) for data in parts.values())
    return {event: questions[event] for event in sorted(questions) if event not in arrived}


def _part(event: str) -> str:
    return _PREFIX + hashlib.blake2b(event.encode(errors="surrogatepass"), digest_size=16).hexdigest()
