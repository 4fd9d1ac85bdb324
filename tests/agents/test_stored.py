"""What is stored of a run, and how: in names that must not change, and without blocking the event loop."""

import asyncio
import json
import random

import blockbuster
import pytest
from pydantic_ai import Agent, BinaryContent, RunContext
from pydantic_ai.messages import ModelResponse, TextPart
from pydantic_ai.models.function import FunctionModel

from durable_ast import InMemoryStore, SQLiteStore, Workflow
from durable_ast.pydantic_ai import DurableAgent, TaskConfig
from durable_ast.state import snapshot
from durable_ast.stores.delegating import DelegatingStore
from durable_ast.stores.parts import NO_PARTS

from .scripted import LOG, Death, Killed, call, scripted
from .test_crashes import shop


@pytest.fixture(autouse=True)
def _empty_log():
    LOG.clear()


async def test_the_names_of_units():
    """Runs that are stored are found again by them."""
    wf = Workflow("agents", db=InMemoryStore())
    with pytest.raises(Killed):
        await DurableAgent(shop(Death("model 2")), wf).run("buy", run_id="it")
    parts = await wf.instances.parts("it", "j/")
    paths = sorted(snapshot.loads(data)[0].split(" > ", 2)[2] for data in parts.values())
    toolset = "it/shop__function_toolset__<agent>.call_tool"
    assert paths == [
        *(f"{toolset}:price/price-{number}#0" for number in range(2)),
        *(f"{toolset}:stock/stock-{number}#0" for number in range(2)),
        "it/shop__model.request#0",
        "it/shop__model.request#1",
    ]


async def size_of_journal(turns):
    """How many bytes the journal has, and how many entries, after so many requests and calls of a tool."""
    wf = Workflow("agents", db=InMemoryStore())
    pages = [[call("read", f"read-{page}", page=page)] for page in range(turns)]
    agent = scripted(*pages, "done", death=Death(f"model {turns}"))

    @agent.tool_plain
    def read(page: int) -> str:
        return "x" * 1000

    with pytest.raises(Killed):
        await DurableAgent(agent, wf).run("go", run_id="it")
    parts = await wf.instances.parts("it", "j/")
    return sum(map(len, parts.values())), len(parts)


async def test_the_journal_has_each_response_and_each_result_once():
    short, long = await size_of_journal(10), await size_of_journal(30)
    assert (short[1], long[1]) == (20, 60)
    assert long[0] < 3.1 * short[0]


class Weighed(DelegatingStore):
    """Counts the bytes of what is written beside the records, where states, journals and results of steps are."""

    written = 0

    def commit(self, record, consumed, flush, parts=NO_PARTS, outbox=()):
        self.written += sum(len(data) for data in parts.values() if data is not None)
        return super().commit(record, consumed, flush, parts, outbox)


IMAGE = BinaryContent(random.Random(1).randbytes(1_000_000), media_type="image/png")


async def test_an_image_in_a_conversation_is_written_once(tmp_path):
    store = Weighed(SQLiteStore(tmp_path / "agents.db"))
    wf = Workflow("agents", db=store)
    agent = DurableAgent(Agent(FunctionModel(lambda messages, info: ModelResponse(parts=[TextPart("a cat")]))), wf)

    @wf.workflow(id="it")
    async def conversation():
        history = []
        for turn in range(20):
            question = ["What is this?", IMAGE] if turn == 0 else "And now?"
            history = (await agent.run(question, message_history=history)).all_messages()
        return len(history)

    assert await conversation() == 40
    await store.close()
    assert store.written < 1_100_000


async def test_an_image_in_a_prompt_is_not_in_the_journal(tmp_path):
    store = Weighed(SQLiteStore(tmp_path / "agents.db"))
    looks = [[call("look", f"look-{number}")] for number in range(20)]
    agent = DurableAgent(scripted(*looks, "a cat", "still a cat"), Workflow("agents", db=store))

    @agent.wrapped.tool_plain
    def look() -> str:
        return "whiskers"

    first = await agent.run(["What is this?", IMAGE], run_id="it")
    assert store.written < 1_100_000
    await agent.run("And now?", message_history=first.all_messages(), run_id="again")
    await store.close()
    assert store.written < 2_200_000, "once for each run"


async def test_nothing_is_left_of_the_journal_at_the_end():
    wf = Workflow("agents", db=InMemoryStore())
    await DurableAgent(shop(), wf).run("buy", run_id="it")
    assert await wf.instances.parts("it", "j/") == {}


async def test_nothing_blocks_the_event_loop(tmp_path):
    """Not with a file as the store, streams, followers, humans, and one agent that asks another."""
    path = tmp_path / "agents.db"
    wf = Workflow("agents", db=path)
    clerk = DurableAgent(scripted("in the drawer", name="clerk"), wf)
    boss = scripted([call("ask", "a"), call("pay", "p")], None, name="boss")

    @boss.tool
    async def ask(ctx: RunContext) -> str:
        return (await clerk.run("where?", usage=ctx.usage)).output

    @boss.tool_plain(requires_approval=True)
    def pay() -> str:
        return "paid"

    seen = []

    async def handler(ctx, events):
        async for event in events:
            seen.append(event.event_kind)

    agent = DurableAgent(boss, wf, publish_events=True, event_stream_handler=handler)
    with blockbuster.blockbuster_ctx():
        assert (await DurableAgent(shop(), wf).run("buy", run_id="plain")).output
        running = asyncio.create_task(agent.run("go", run_id="it"))
        while not await agent.pending("it"):
            await asyncio.sleep(0.005)
        assert await agent.approve("it", "p")
        assert json.loads((await running).output) == {"a": "in the drawer", "p": "paid"}
        followed = [event["event_kind"] async for _, event in agent.events("it")]
        assert (await agent.run("go", run_id="it")).output
        await wf.close()
    assert followed.count("function_tool_result") == seen.count("function_tool_result") == 2


@pytest.mark.parametrize(
    "options",
    [
        {"retries": -1},
        {"retries": True},
        {"timeout": 0},
        {"backoff": 3},
        {"retry_if": "always"},
        {"total_timeout": "1"},
    ],
)
def test_configs_that_mean_nothing_are_refused(options):
    with pytest.raises((TypeError, ValueError), match=next(iter(options))):
        TaskConfig(**options)


def test_configs_are_dictionaries_and_values():
    assert TaskConfig(retries=5) == {"retries": 5} == TaskConfig(5)
    assert (TaskConfig().retries, TaskConfig().backoff) == (None, None)
