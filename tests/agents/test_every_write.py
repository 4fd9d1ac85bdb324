"""The process dies at each write of a run, just before it or just after: nothing is lost, and nothing is done twice but
what was under way."""

import json
import sqlite3
from collections import Counter
from contextlib import closing

from pydantic_ai import RunContext

from durable_ast import SQLiteStore, Workflow
from durable_ast.pydantic_ai import DurableAgent
from durable_ast.stores.delegating import DelegatingStore

from .scripted import LOG, call, note, scripted, shape


class Photographer(DelegatingStore):
    """A SQLite database of which a picture is taken after each write.

    Args:
        path: its file.

    Attributes:
        moments: the pictures, each with how many effects there had been when it was taken, and when the next
            write was asked for: the process may have died at any time between.
    """

    def __init__(self, path):
        super().__init__(SQLiteStore(path))
        self._path = path
        self.moments = [[None, 0, 0]]

    def commit(self, *args):
        self.moments[-1][2] = len(LOG)
        return self._written(super().commit(*args))

    async def _written(self, writing):
        if writing is not None:
            await writing
        picture = self._path.with_name(f"{len(self.moments)}.db")
        with closing(sqlite3.connect(self._path)) as database, closing(sqlite3.connect(picture)) as copy:
            database.backup(copy)
        self.moments.append([picture, len(LOG), len(LOG)])


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


async def test_a_death_at_every_write(tmp_path):
    LOG.clear()
    store = Photographer(tmp_path / "agents.db")
    expected = await office(store).run("go", run_id="it")
    effects = list(LOG)
    assert json.loads(expected.output)["ask-1"] == "in the drawer" and expected.usage.requests == 8
    assert len(store.moments) > 20
    await store.close()
    for place, (picture, *deaths) in enumerate(store.moments):
        LOG.clear()
        left = SQLiteStore(picture or tmp_path / "empty.db")
        again = await office(left).run("go", run_id="it")
        await left.close()
        assert (again.output, again.usage, shape(again)) == (expected.output, expected.usage, shape(expected)), place
        for died in deaths:
            twice = Counter(effects[:died]) + Counter(LOG) - Counter(effects)
            assert not Counter(effects) - Counter(effects[:died]) - Counter(LOG), f"something was lost at {place}"
            assert twice.total() <= 2, f"{twice} ran twice for a death at {place}, where two calls are under way"
    assert LOG == [], "the run had ended"
