"""The text of a function is in the store before the first checkpoint that names it."""

import asyncio

import pytest

from durable_ast import (
    Durability,
    DurableBackend,
    InMemoryStateStore,
    PauseForEventException,
    make_durable,
    wait_for_event,
)
from durable_ast.runtime.sources import versions_in


class Watching(InMemoryStateStore):
    """Notes the order of texts and checkpoints."""

    def __init__(self):
        super().__init__()
        self.kept, self.unknown, self.commits = set(), [], 0

    async def keep_sources(self, texts):
        await asyncio.sleep(0)
        await super().keep_sources(texts)
        self.kept.update(texts)

    def commit(self, record, consumed, flush, parts=(), outbox=()):
        found = versions_in([data for data in (record.state, *dict(parts).values()) if data is not None])
        self.unknown += found - self.kept
        self.commits += 1
        return super().commit(record, consumed, flush, parts or {}, outbox)


async def waits():
    return await wait_for_event("go")


async def alone():
    return await waits()


async def waits_in_a_branch():
    return await wait_for_event("go")


async def with_branches():
    return await asyncio.gather(waits_in_a_branch(), waits_in_a_branch())


@pytest.mark.parametrize("durability", [Durability.STRICT, Durability.RELAXED, Durability.PAUSES])
@pytest.mark.parametrize("function", [alone, with_branches])
async def test_texts_come_first(function, durability):
    store = Watching()
    program = make_durable(function, durability=durability)
    with pytest.raises(PauseForEventException):
        await program(orchestration_backend=DurableBackend(store), instance_id="it")
    assert store.commits and store.kept
    assert not store.unknown
