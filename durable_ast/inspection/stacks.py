"""The call stacks of an instance, read without running anything in them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ..runtime import cut, sources, staged, unstaged
from ..runtime.call_stack import CallStack
from ..runtime.shared import look
from ..state.history import Checkpoint
from ..state.schema import BRANCHES, Record
from ..stores.base import InstanceStore
from .inert import unpickler


@dataclass(frozen=True, slots=True)
class Stack:
    """The calls of one branch.

    Attributes:
        calls: outermost first, and what the innermost waits for.
        number: which branch of the instance it is.
        name: the name of its task.
    """

    calls: CallStack
    number: int = cut.ROOT
    name: str = ""


@dataclass(frozen=True, slots=True)
class Saved:
    """What a store keeps of an instance, all of one moment.

    Attributes:
        record: the instance.
        parts: the records beside it, which hold its branches.
        texts: the texts of the functions that it stands in, by version.
    """

    record: Record
    parts: Mapping[str, bytes]
    texts: Mapping[str, str]

    def stacks(self) -> list[Stack]:
        """Its call stacks, but for those of branches that have ended; the root's is the first."""
        data = self.record.state
        if data is None:
            return [Stack(CallStack())]
        if data.startswith(staged.MARK):
            return [Stack(unstaged.stack_in(data, unpickler))]
        if not data.startswith(cut.MARK):
            return [Stack(CallStack.from_bytes(data, unpickler))]
        records = [data, *(part for name, part in self.parts.items() if cut.is_of_branch(name))]
        shared = self.parts.get(cut.SHARED)
        objects = {} if shared is None else look(shared, unpickler)
        states = [
            cut.seen_in(part, lambda number: objects.get(number, cut.Elsewhere(number)), unpickler) for part in records
        ]
        return [
            Stack(CallStack(state.calls, state.waiting), state.number, state.facts.name)
            for state in sorted(states, key=lambda state: state.number)
            if not state.ended
        ]


async def saved_instance(store: InstanceStore, instance_id: str) -> Saved | None:
    """An instance as it stands in a store; None if there is none.

    Raises:
        TimeoutError: it moves faster than it can be read.
    """
    whole = await store.whole(instance_id)
    if whole is None:
        return None
    record, parts = whole
    return Saved(record, parts, await _texts(store, [Checkpoint(record, parts)]))


async def saved_history(store: InstanceStore, instance_id: str) -> list[Saved]:
    """An instance as its checkpoints that were kept had it, oldest first.

    Raises:
        TimeoutError: it moves faster than it can be read.
    """
    checkpoints = await store.history(instance_id)
    texts = await _texts(store, checkpoints)
    return [Saved(each.record, each.parts, texts) for each in checkpoints]


async def _texts(store: InstanceStore, checkpoints: Iterable[Checkpoint]) -> dict[str, str]:
    graphs = [each.record.state or b"" for each in checkpoints]
    graphs += [data for each in checkpoints for name, data in each.parts.items() if name.startswith(BRANCHES)]
    found = {version: await store.source(version) for version in sources.versions_in(graphs)}
    return {version: text for version, text in found.items() if text is not None}
