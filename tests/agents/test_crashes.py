"""What a run of an agent has finished is not done again, wherever it died."""

import asyncio
import json

import pytest
from pydantic_ai import RunContext, UsageLimitExceeded, UsageLimits
from pydantic_ai.capabilities import AbstractCapability

from durable_ast import DurableBackend, InMemoryStore, Workflow, make_durable
from durable_ast.pydantic_ai import AstDurability, DurableAgent, TaskConfig

from ..everywhere import RecordingStore
from .scripted import LOG, Death, Killed, call, note, scripted, shape


def durable(agent, store, **options):
    """The agent in a process of its own."""
    return DurableAgent(agent, Workflow("agents", db=store), **options)


@pytest.fixture(autouse=True)
def _empty_log():
    LOG.clear()


def shop(death=lambda place: None):
    """Looks two things up at once, twice, then pays."""
    turns = [
        *([call("price", f"price-{i}", item=i), call("stock", f"stock-{i}", item=i)] for i in range(2)),
        [call("pay", "pay", amount=7)],
        None,
    ]
    agent = scripted(*turns, name="shop", death=death)

    @agent.tool_plain
    async def price(item: int) -> int:
        await asyncio.sleep(0)
        note(f"price {item}")
        return 10 + item

    @agent.tool_plain
    async def stock(item: int) -> int:
        note(f"stock {item}")
        await asyncio.sleep(0)
        return item

    @agent.tool_plain
    async def pay(amount: int) -> str:
        note("pay")
        death("pay")
        return "paid"

    return agent


async def test_a_death_at_every_write():
    store = RecordingStore()
    expected = await durable(shop(), store).run("buy", run_id="it")
    effects = list(LOG)
    assert json.loads(expected.output) == {"price-0": 10, "stock-0": 0, "price-1": 11, "stock-1": 1, "pay": "paid"}
    assert len(effects) == 9 and len(store.states) >= 9
    for executed, state in store.states:
        LOG.clear()
        again = await durable(shop(), RecordingStore(state)).run("buy", run_id="it")
        assert (again.output, again.usage, shape(again)) == (expected.output, expected.usage, shape(expected))
        assert again.run_id == expected.run_id == "it"
        lost = [effect for effect in effects[:executed] if effect in LOG]
        assert len(lost) <= 1, "more than the unit in flight ran again"
        assert set(LOG) - set(lost) == set(effects[executed:])
        assert len(LOG) == len(set(LOG)), "a unit ran twice"


async def test_a_finished_run_gives_its_result_and_asks_nothing():
    store = InMemoryStore()
    first = await durable(shop(), store).run("buy", run_id="it")
    LOG.clear()
    again = await durable(shop(), store).run("buy", run_id="it")
    assert LOG == []
    assert (again.output, again.usage, again.all_messages()) == (first.output, first.usage, first.all_messages())
    assert again.new_messages_json() == first.new_messages_json()


@pytest.mark.parametrize("place", ["model 0", "model 1", "model 2", "pay", "model 3"])
async def test_a_death_within_a_unit_repeats_that_unit_only(place):
    store = InMemoryStore()
    with pytest.raises(Killed):
        await durable(shop(Death(place)), store).run("buy", run_id="it")
    result = await durable(shop(), store).run("buy", run_id="it")
    assert sorted(LOG) == sorted([*set(LOG), place])
    assert result.usage.requests == 4 and result.usage.tool_calls == 5 and result.usage.input_tokens == 40


async def test_arguments_that_cannot_be_stored():
    """A run with them goes on when it is called with them again."""
    store = InMemoryStore()
    lock = asyncio.Lock()
    connection = (lock, iter([]), open)
    deps = {"connection": connection, "callback": lambda: (yield)}
    deps["generator"] = deps["callback"]()
    with pytest.raises(Killed):
        await durable(shop(Death("model 3")), store).run("buy", run_id="it", deps=deps)
    await durable(shop(), store).run("buy", run_id="it", deps=deps)
    assert LOG.count("pay") == 1 and LOG.count("model 0") == 1


class Delays(AbstractCapability):
    """Makes calls of tools begin in another order."""

    def __init__(self, *order):
        self.order = order

    async def before_tool_execute(self, ctx, *, call, tool_def, args):
        for _ in range(10 * self.order.index(call.tool_call_id)):
            await asyncio.sleep(0)
        return args


async def test_parallel_calls_that_begin_in_another_order():
    store = InMemoryStore()

    def made(death, *order):
        calls = [call("double", name, text=name) for name in "abc"]
        agent = scripted(calls, None, death=death, capabilities=[Delays(*order)])

        @agent.tool_plain
        async def double(text: str) -> str:
            note(text)
            return text * 2

        return agent

    with pytest.raises(Killed):
        await durable(made(Death("model 1"), *"abc"), store).run("go", run_id="it")
    result = await durable(made(Death(), *"cba"), store).run("go", run_id="it")
    assert json.loads(result.output) == {"a": "aa", "b": "bb", "c": "cc"}
    assert [text for text in LOG if text in "abc"] == ["a", "b", "c"]


async def test_what_a_delegate_spends_is_counted_once():
    store = InMemoryStore()

    def made(death):
        wf = Workflow("agents", db=store)
        child = DurableAgent(scripted("found", name="child"), wf)
        parent = scripted([call("ask", "ask")], "done", name="parent", death=death)

        @parent.tool
        async def ask(ctx: RunContext) -> str:
            note("ask")
            first = (await child.run("first", usage=ctx.usage)).output
            death("between")
            second = (await child.run("second", usage=ctx.usage)).output
            return first + second

        return DurableAgent(parent, wf)

    plain = await made(Death()).run("go", run_id="plain")
    assert plain.usage.requests == 4
    LOG.clear()
    with pytest.raises(Killed):
        await made(Death("between")).run("go", run_id="it")
    with pytest.raises(Killed):
        await made(Death("model 1")).run("go", run_id="it")
    result = await made(Death()).run("go", run_id="it")
    assert result.usage == plain.usage
    assert LOG == ["model 0", "ask", "model 0", "ask", "model 0", "model 1", "model 1"]


async def test_limits_count_what_was_spent_before():
    store = InMemoryStore()
    limits = UsageLimits(request_limit=3)

    def made(death):
        agent = scripted(*([call("look", f"look-{number}")] for number in range(9)), death=death)

        @agent.tool_plain
        def look() -> str:
            return "nothing"

        return agent

    with pytest.raises(Killed):
        await durable(made(Death("model 2")), store).run("go", run_id="it", usage_limits=limits)
    for _ in range(2):
        with pytest.raises(UsageLimitExceeded):
            await durable(made(Death()), store).run("go", run_id="it", usage_limits=limits)
    assert LOG == ["model 0", "model 1", "model 2", "model 2"]


async def test_a_call_that_must_not_be_made_twice():
    store = InMemoryStore()

    def made(death):
        agent = scripted([call("pay", "pay")], "done", death=death)

        @agent.tool_plain(metadata={"durable": TaskConfig(at_most_once=True)})
        async def pay() -> str:
            note("pay")
            death("pay")
            return "paid"

        return agent

    with pytest.raises(Killed):
        await durable(made(Death("pay")), store).run("go", run_id="it")
    result = await durable(made(Death()), store).run("go", run_id="it")
    assert LOG == ["model 0", "pay", "model 1"]
    assert "whether it has taken effect is unknown" in str(result.all_messages())

    LOG.clear()
    await durable(made(Death()), store).run("go", run_id="other")
    assert LOG == ["model 0", "pay", "model 1"]


async def test_an_agent_with_the_capability_in_a_workflow():
    store = InMemoryStore()

    def made(death):
        wf = Workflow("agents", db=store)
        agent = scripted([call("look", "look")], "found", death=death, capabilities=[AstDurability()])

        @agent.tool_plain
        async def look() -> str:
            note("look")
            return "a needle"

        @wf.workflow(id="search-{topic}")
        async def search(topic: str) -> list[str]:
            outputs = []
            history = None
            for question in (topic, "what else?"):
                result = await agent.run(question, message_history=history)
                outputs.append(f"{result.output} {len(result.all_messages())}")
                death(f"after {question}")
            return outputs

        return search

    with pytest.raises(Killed):
        await made(Death("model 1"))("hay")
    with pytest.raises(Killed):
        await made(Death("after what else?"))("hay")
    assert await made(Death())("hay") == ["found 4", "found 4"]
    assert LOG == ["model 0", "look", "model 1", "model 1", "model 0", "look", "model 1"]


@pytest.mark.filterwarnings("ignore::durable_ast.NotPersistableWarning")
@pytest.mark.parametrize("way", ["iter", "stream", "events"])
async def test_a_block_of_an_agent_with_the_capability_begins_again(way):
    """What it goes through cannot be made again in its middle, and what the agent had finished is not done again."""
    turns = [call("look", "a", where="a")], [call("look", "b", where="b")], "done"
    agent = scripted(*turns, capabilities=[AstDurability()])

    @agent.tool_plain
    def look(where: str) -> str:
        note(f"look {where}")
        return where

    @make_durable
    async def program() -> list[str]:
        seen = []
        await asyncio.sleep(0)
        if way == "iter":
            async with agent.iter("go") as run:
                async for node in run:
                    seen.append(type(node).__name__)
                seen.append(run.result.output)
                await asyncio.sleep(0)
        elif way == "stream":
            async with agent.run_stream("go") as stream:
                seen.append(await stream.get_output())
                await asyncio.sleep(0)
        else:
            async with agent.run_stream_events("go") as events:
                async for event in events:
                    seen.append(event.event_kind)
        await asyncio.sleep(0)
        note("after")
        return seen

    store = RecordingStore()
    expected = await program(orchestration_backend=DurableBackend(store), instance_id="it")
    effects = list(LOG)
    assert effects == ["model 0", "look a", "model 1", "look b", "model 2", "after"]
    for executed, state in store.states:
        LOG.clear()
        backend = DurableBackend(RecordingStore(state))
        assert await program(orchestration_backend=backend, instance_id="it") == expected
        assert effects[executed:] == LOG
