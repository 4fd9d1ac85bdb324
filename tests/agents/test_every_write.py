"""The process dies at each write of a run, just before it or just after: nothing is lost, and nothing is done twice but
what was under way."""

import json

import pytest
from pydantic_ai import RunContext

from durable_ast import InMemoryStore, SQLiteStore, Workflow
from durable_ast.pydantic_ai import DurableAgent
from durable_ast.stores.delegating import DelegatingStore

from .scripted import LOG, Killed, call, note, scripted, shape


class MortalStore(DelegatingStore):
    """A store with which the process dies at one of its writes.

    Args:
        inner: the store behind it.
        place: the number of the write, from 1.
        when: ``before`` or ``after`` it.
    """

    def __init__(self, inner, place=None, when="before"):
        super().__init__(inner)
        self.place, self.when, self.writes = place, when, 0

    def commit(self, *args):
        self.writes += 1
        if self.writes != self.place:
            return super().commit(*args)
        if self.when == "before":
            raise Killed(self.place)
        return self._written(super().commit(*args))

    async def _written(self, writing):
        if writing is not None:
            await writing
        raise Killed(self.place)


def office(store):
    """Two calls at once, twice, the second of which asks another agent; then one alone."""
    wf = Workflow("office", db=store)
    clerk = DurableAgent(scripted([call("look", "l")], "in the drawer", name="clerk"), wf)

    @clerk.wrapped.tool_plain
    def look() -> str:
        note("look")
        return "seen"

    def is_small(ctx: RunContext, item: int) -> None:
        note(f"check {item}")

    turns = [[call("price", f"price-{i}", item=i), call("ask", f"ask-{i}", item=i)] for i in range(2)]
    agent = scripted(*turns, [call("pay", "pay")], None, name="boss")

    @agent.tool_plain(args_validator=is_small)
    async def price(item: int) -> int:
        note(f"price {item}")
        return 10 + item

    @agent.tool
    async def ask(ctx: RunContext, item: int) -> str:
        note(f"ask {item}")
        return (await clerk.run(f"Where is {item}?", usage=ctx.usage)).output

    @agent.tool_plain
    def pay() -> str:
        note("pay")
        return "paid"

    return DurableAgent(agent, wf, publish_events=True)


@pytest.fixture(params=["memory", "sqlite"])
def make_store(request, tmp_path):
    numbers = iter(range(1000))
    return InMemoryStore if request.param == "memory" else lambda: SQLiteStore(tmp_path / f"{next(numbers)}.db")


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_death_at_every_write(make_store, when):
    LOG.clear()
    store = MortalStore(make_store())
    expected = await office(store).run("go", run_id="it")
    effects = sorted(LOG)
    assert json.loads(expected.output)["ask-1"] == "in the drawer" and expected.usage.requests == 8
    assert store.writes > 20
    await store.close()
    for place in range(1, store.writes + 1):
        LOG.clear()
        inner = make_store()
        try:
            await office(MortalStore(inner, place, when)).run("go", run_id="it")
        except Killed:
            pass
        else:
            assert (place, when) == (store.writes, "after"), "the death went unnoticed"
        again = await office(inner).run("go", run_id="it")
        assert (again.output, again.usage, shape(again)) == (expected.output, expected.usage, shape(expected)), place
        twice = sorted(LOG)
        for effect in effects:
            twice.remove(effect)
        assert len(twice) <= 2, f"{twice} ran twice for a death at write {place}, where two calls are under way"
        await inner.close()
