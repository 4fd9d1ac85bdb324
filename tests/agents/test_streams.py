"""Events of agents: while they happen, and for those who follow from elsewhere."""

import asyncio
import json

import pytest
from pydantic_ai import Agent, AgentRunResultEvent
from pydantic_ai.messages import ModelResponse, PartDeltaEvent, TextPart, TextPartDelta, ToolCallPart
from pydantic_ai.models.function import DeltaToolCall, FunctionModel

from durable_ast import DurableBackend, InMemoryStore, SQLiteStore, Status, Workflow, make_durable, step
from durable_ast.pydantic_ai import AstDurability, DurableAgent
from durable_ast.runtime import event_log

from .scripted import LOG, Death, Killed, note, returns


@pytest.fixture(autouse=True)
def _empty_log():
    LOG.clear()


def speaker(*words, death=lambda place: None, gate=None, **options):
    """Looks something up, then speaks word by word; waits at the gate before the last word."""

    async def stream(messages, info):
        if not returns(messages):
            yield {0: DeltaToolCall("look", "{}", tool_call_id="look")}
            return
        for number, word in enumerate(words):
            if gate is not None and number == len(words) - 1:
                await asyncio.wait_for(gate.wait(), 20)
            death(word)
            note(word)
            yield word

    async def at_once(messages, info):
        deltas = [delta async for delta in stream(messages, info)]
        if isinstance(deltas[0], str):
            return ModelResponse(parts=[TextPart("".join(deltas))])
        return ModelResponse(parts=[ToolCallPart("look", {}, tool_call_id="look")])

    agent = Agent(FunctionModel(at_once, stream_function=stream), name="speaker", **options)

    @agent.tool_plain
    def look() -> str:
        note("look")
        return "seen"

    return agent


def durable(agent, store, **options):
    return DurableAgent(agent, Workflow("agents", db=store), **options)


def words_of(events):
    """The text that somebody who follows has in the end."""
    texts = {}
    for event in events:
        if event["event_kind"] == "stream_reset":
            texts[event["unit"]] = ""
        elif event["event_kind"] == "part_start" and event["part"]["part_kind"] == "text":
            texts[event["unit"]] = event["part"]["content"]
        elif event["event_kind"] == "part_delta" and event["delta"]["part_delta_kind"] == "text":
            texts[event["unit"]] += event["delta"]["content_delta"]
    return "".join(texts.values())


@pytest.mark.parametrize("where", ["outside", "in a workflow"])
async def test_tokens_arrive_while_the_model_speaks(where):
    """The model waits for whoever listens: if the events came later, nobody would open the gate."""
    gate = asyncio.Event()
    agent = durable(speaker("one ", "two ", "three", gate=gate), InMemoryStore())
    kinds = []

    async def listen(run_id=None):
        async with agent.run_stream_events("go", run_id=run_id) as events:
            async for event in events:
                kinds.append(event.event_kind)
                if isinstance(event, PartDeltaEvent) and "two" in str(event):
                    gate.set()
                if isinstance(event, AgentRunResultEvent):
                    return event.result.output
        return None

    if where == "outside":
        assert await listen("it") == "one two three"
    else:

        @agent.wf.task
        async def listening():
            return await listen()

        @agent.wf.workflow(id="it")
        async def workflow():
            return await listening()

        assert await workflow() == "one two three"
    assert kinds.count("function_tool_call") == kinds.count("function_tool_result") == 1
    assert kinds[-1] == "agent_run_result"


async def heard_by_handler(agent, hear):
    async def handler(ctx, events):
        async for event in events:
            hear(event)

    return (await agent.run("go", event_stream_handler=handler)).output


async def heard_by_events(agent, hear):
    async with agent.run_stream_events("go") as events:
        async for event in events:
            hear(event)
    return event.result.output


async def heard_by_nodes(agent, hear):
    async with agent.iter("go") as run:
        async for node in run:
            if Agent.is_model_request_node(node) or Agent.is_call_tools_node(node):
                async with node.stream(run.ctx) as events:
                    async for event in events:
                        hear(event)
    return run.result.output


async def heard_as_text(agent, hear):
    async with agent.run_stream("go") as stream:
        async for text in stream.stream_text(delta=True, debounce_by=None):
            hear(PartDeltaEvent(index=0, delta=TextPartDelta(text)))
        return await stream.get_output()


HEARD = pytest.mark.parametrize("heard", [heard_by_handler, heard_by_events, heard_by_nodes, heard_as_text])


@HEARD
async def test_tokens_arrive_where_a_capability_alone_makes_the_agent_durable(heard):
    store, kinds, death = InMemoryStore(), [], Death("done")

    def program(gate):
        agent = speaker("one ", "two ", "three", gate=gate, capabilities=[AstDurability()])

        def hear(event):
            kinds.append(event.event_kind)
            if isinstance(event, PartDeltaEvent) and "two" in str(event):
                gate.set()

        @step
        async def listening():
            output = await heard(agent, hear)
            death("done")
            return output

        @make_durable
        async def talk():
            return await listening()

        return talk

    with pytest.raises(Killed):
        await program(asyncio.Event())(orchestration_backend=DurableBackend(store), instance_id="it")
    live, effects = list(kinds), list(LOG)
    kinds.clear()
    again = await program(asyncio.Event())(orchestration_backend=DurableBackend(store), instance_id="it")
    assert again == "one two three" and effects == LOG == ["look", "one ", "two ", "three"]
    if heard is not heard_as_text:
        assert live.count("part_delta") > 1 and kinds.count("part_delta") == 0  # it comes whole from the journal
        assert [kind for kind in live if kind != "part_delta"] == kinds


@pytest.mark.parametrize("fault", ["the provider's", "the listener's", "none"])
@pytest.mark.parametrize("heard", [heard_by_handler, heard_by_events, heard_by_nodes])
async def test_a_stream_that_breaks_off(heard, fault):
    """Whoever listens learns the same, at the same place, as without durability."""

    async def stream(messages, info):
        try:
            yield "one "
            yield "two "
            if fault == "the provider's":
                raise ValueError("broken")
            yield "three"
        finally:
            note("closed")

    outcomes, listening = [], step(heard)
    for capabilities in ([], [AstDurability(model_task_config={"retries": 0})]):
        agent = Agent(FunctionModel(stream_function=stream), name="speaker", capabilities=capabilities)
        told = []

        def hear(event, told=told):
            told.append(getattr(event, "part", None) or event.event_kind)
            if fault == "the listener's" and "two" in str(event):
                raise ValueError("broken")

        listening = step(heard)

        @make_durable
        async def talk(listening=listening, agent=agent, hear=hear):
            return await listening(agent, hear)

        try:
            output = await talk(orchestration_backend=DurableBackend(), instance_id="it")
        except ValueError as error:
            output = str(error)
        outcomes.append((output, told, list(LOG)))
        LOG.clear()
    assert outcomes[0] == outcomes[1]
    assert outcomes[0][0] == ("one two three" if fault == "none" else "broken") and outcomes[0][2] == ["closed"]


async def test_somebody_follows_from_elsewhere(tmp_path):
    gate = asyncio.Event()
    path = tmp_path / "agents.db"
    running = durable(speaker("one ", "two ", "three", gate=gate), SQLiteStore(path), publish_events=True)
    elsewhere = Workflow("elsewhere", db=SQLiteStore(path))
    seen = []

    async def follow():
        async for number, event in elsewhere.events("it"):
            seen.append((number, event))
            if "two" in str(event):
                gate.set()

    following = asyncio.create_task(follow())
    result = await running.run("go", run_id="it")
    await asyncio.wait_for(following, 20)
    assert result.output == words_of(event for _, event in seen) == "one two three"
    assert [number for number, _ in seen] == list(range(1, len(seen) + 1))
    kinds = [event["event_kind"] for _, event in seen]
    assert kinds.count("function_tool_call") == kinds.count("function_tool_result") == 1
    assert [item async for item in elsewhere.events("it", after=3)] == seen[3:]
    assert [item async for item in elsewhere.events("it", after=len(seen))] == []
    assert await running.run("go", run_id="it")
    assert [item async for item in elsewhere.events("it")] == seen


@pytest.mark.parametrize("place", ["two ", "three"])
async def test_a_response_that_begins_again(place):
    store = InMemoryStore()
    with pytest.raises(Killed):
        await durable(speaker("one ", "two ", "three", death=Death(place)), store, publish_events=True).run(
            "go", run_id="it"
        )
    agent = durable(speaker("one ", "two ", "three"), store, publish_events=True)
    before = [item async for item in agent.events("it")]
    result = await agent.run("go", run_id="it")
    assert LOG.count("look") == 1
    after = [item async for item in agent.events("it", after=before[-1][0])]
    assert (after[0][1]["event_kind"], after[0][1]["attempt"]) == ("stream_reset", 2)
    events = [event for _, event in before + after]
    assert words_of(events) == result.output == "one two three"
    kinds = [event["event_kind"] for event in events]
    assert kinds.count("function_tool_call") == kinds.count("function_tool_result") == 1


async def test_whoever_listens_to_a_run_that_goes_on_hears_all_of_it():
    store = InMemoryStore()
    heard = []

    async def listen(ctx, events):
        async for event in events:
            heard.append(event.event_kind)

    with pytest.raises(Killed):
        await durable(speaker("one ", "two", death=Death("two")), store).run("go", run_id="it")
    agent = durable(speaker("one ", "two"), store)
    await agent.run("go", run_id="it", event_stream_handler=listen)
    assert LOG == ["look", "one ", "one ", "two"]
    assert heard[0] == "part_start" and heard.count("function_tool_call") == 1
    assert heard.count("function_tool_result") == 1 and "part_delta" in heard


async def test_effects_of_a_handler_are_not_repeated():
    store = InMemoryStore()

    async def handler(ctx, events):
        async for event in events:
            if event.event_kind.startswith("function_tool"):
                note(event.event_kind)

    for death in (Death("one "), Death()):
        agent = durable(speaker("one ", "two", death=death), store, event_stream_handler=handler)
        try:
            await agent.run("go", run_id="it")
        except Killed:
            LOG.append("killed")
    assert LOG == ["function_tool_call", "look", "function_tool_result", "killed", "one ", "two"]


@pytest.mark.parametrize("way", ["by who listens", "by its handle"])
async def test_a_stream_is_cancelled(way):
    """The provider sees that nobody wants more."""

    async def stream(messages, info):
        try:
            yield "one "
            await asyncio.sleep(60)
            yield "two"
        finally:
            note("closed")

    agent = durable(Agent(FunctionModel(stream_function=stream), name="speaker"), InMemoryStore(), publish_events=True)

    async def listen():
        async with agent.run_stream_events("go", run_id="it") as events:
            async for event in events:
                if "one" in str(event):
                    if way == "by who listens":
                        break
                    await agent.wf.handle("it").cancel()

    if way == "by who listens":
        await listen()
    else:
        with pytest.raises(asyncio.CancelledError):
            await listen()
    assert LOG == ["closed"]
    assert (await agent.wf.handle("it").info()).status is Status.CANCELLED


async def test_a_long_log(monkeypatch):
    monkeypatch.setattr(event_log, "_CHUNK", 4)
    store = InMemoryStore()
    words = [f"{number} " for number in range(50)]
    for death in (Death("31 "), Death()):
        try:
            result = await durable(speaker(*words, death=death), store, publish_events=True).run("go", run_id="it")
        except Killed:
            LOG.append("killed")
    agent = durable(speaker(), store)
    events = [item async for item in agent.events("it")]
    assert [number for number, _ in events] == list(range(1, len(events) + 1))
    assert words_of(event for _, event in events) == result.output == "".join(words)
    for after in (0, 3, 4, 5, len(events) - 1):
        assert [item async for item in agent.events("it", after=after)] == events[after:]
    assert json.dumps(events)


def whole(events):
    """The events without those that tell of parts of parts; the result itself is another object each time."""
    return [
        getattr(event, "part", None) or event.event_kind
        for event in events
        if event.event_kind not in ("part_delta", "part_start")
    ]


@pytest.mark.parametrize("output_type", [str, bool])
async def test_whoever_listens_to_a_run_that_has_ended_is_told_of_it(output_type):
    async def stream(messages, info):
        number = sum(isinstance(message, ModelResponse) for message in messages)
        if number < 2:
            yield {
                0: DeltaToolCall("look", json.dumps({"where": ["", 0, "here"][number + 1]}), tool_call_id=f"{number}")
            }
        elif output_type is str:
            yield "It is "
            yield "empty."
        else:
            yield {0: DeltaToolCall(info.output_tools[0].name, '{"response": true}', tool_call_id="c")}

    agent = Agent(FunctionModel(stream_function=stream), name="looker", output_type=output_type)

    @agent.tool_plain
    def look(where: str) -> str:
        note("look")
        return "nothing"

    store = InMemoryStore()
    told = []
    for _ in range(2):
        async with durable(agent, store).run_stream_events("go", run_id="it") as events:
            told.append([event async for event in events])
    assert whole(told[1]) == whole(told[0]) and len(told[1]) > 10
    starts = [event for event in told[1] if event.event_kind == "part_start"]
    assert [start.part for start in starts] == [event.part for event in told[1] if event.event_kind == "part_end"]
    assert told[1][-1].result.output == told[0][-1].result.output
    assert LOG == ["look"]
