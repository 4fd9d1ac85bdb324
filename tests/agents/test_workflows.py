"""Agents in workflows: node by node, as streams, side by side, and many turns of a conversation."""

import asyncio
import json

import pytest
from pydantic_ai import Agent, FunctionToolset, RunContext, UsageLimitExceeded, UsageLimits, models
from pydantic_ai.exceptions import ModelHTTPError, UserError
from pydantic_ai.messages import ModelResponse, TextPart, ToolCallPart
from pydantic_ai.models.function import FunctionModel
from pydantic_ai.models.test import TestModel
from pydantic_ai.toolsets import DynamicToolset
from pydantic_ai.usage import RunUsage

from durable_ast import (
    DurableBackend,
    InMemoryStore,
    InstanceConflictError,
    NotPersistableWarning,
    Workflow,
    make_durable,
)
from durable_ast.backoff import constant
from durable_ast.pydantic_ai import (
    AstDurability,
    DurableAgent,
    TaskConfig,
    durable_pipeline,
    durable_tool,
    idempotency_key,
)

from .scripted import LOG, Death, Killed, call, note, scripted

pytestmark = pytest.mark.filterwarnings("ignore::durable_ast.NotPersistableWarning")


@pytest.fixture(autouse=True)
def _empty_log():
    LOG.clear()


@pytest.fixture
def wf():
    return Workflow("agents", db=InMemoryStore(), default_retries=0)


def looker(*turns, death=lambda place: None, **options):
    agent = scripted(*turns, death=death, **options)

    @agent.tool
    async def look(ctx: RunContext, where: str = "") -> str:
        note(f"look {where}")
        return idempotency_key(ctx)

    return agent


async def test_node_by_node_and_as_streams(wf):
    agent = DurableAgent(Agent(TestModel(), name="tester"), wf)

    @wf.workflow(id="it")
    async def workflow():
        async with agent.iter("x") as run:
            nodes = [type(node).__name__ async for node in run]
        async with agent.run_stream("y") as stream:
            text = await stream.get_output()
        kinds = []
        async with agent.run_stream_events("z") as events:
            async for event in events:
                kinds.append(event.event_kind)
        return nodes, text, kinds

    nodes, text, kinds = await workflow()
    assert nodes == ["UserPromptNode", "ModelRequestNode", "CallToolsNode", "End"]
    assert text == "success (no tool calls)"
    assert kinds[0] == "part_start" and kinds[-1] == "agent_run_result"


@pytest.mark.parametrize("place", ["model 1", "model 2", "look c"])
@pytest.mark.parametrize("way", ["iter", "events", "stream"])
async def test_a_death_in_the_middle_of_an_iteration(way, place):
    store = InMemoryStore()

    def made(death):
        wf = Workflow("agents", db=store, default_retries=0)
        turns = [call("look", "a", where="a")], [call("look", "b", where="b")], "done"
        agent = DurableAgent(looker(*turns, death=death), wf)

        @wf.workflow(id="it")
        async def workflow():
            await asyncio.sleep(0)
            if way == "iter":
                async with agent.iter("x") as run:
                    async for _ in run:
                        pass
                output = run.result.output
            elif way == "events":
                async with agent.run_stream_events("x") as events:
                    async for event in events:
                        last = event
                output = last.result.output
            else:
                async with agent.run_stream("x") as stream:
                    output = await stream.get_output()
            death("look c")
            return output

        return workflow

    with pytest.raises(Killed):
        await made(Death(place))()
    assert await made(Death())() == "done"
    assert sorted(LOG) == sorted([*set(LOG), *([place] if place.startswith("model") else [])])


@pytest.mark.parametrize("capable", [True, False])
async def test_what_is_said_about_a_block_that_is_gone_through(capable):
    """It is whole; to try to save the run at each of its awaits would cost more than the run."""
    agent = scripted("done", name="looker", capabilities=[AstDurability()] if capable else [])
    gone_through = agent if capable else DurableAgent(agent, Workflow("agents", db=InMemoryStore()))

    @make_durable
    async def program():
        async with gone_through.iter("x") as run:
            async for _ in run:
                pass
        return run.result.output

    with pytest.warns(NotPersistableWarning, match="begins the block again, and finds what the agent had finished"):
        assert await program(orchestration_backend=DurableBackend(), instance_id="it") == "done"


async def test_side_by_side(wf):
    agents = [DurableAgent(looker([call("look", "a", where=str(n))], None, name=f"agent-{n}"), wf) for n in range(3)]

    @wf.workflow(id="it")
    async def workflow():
        results = await asyncio.gather(*(agent.run("go") for agent in agents), agents[0].run("again"))
        return [result.output for result in results], [result.run_id for result in results]

    outputs, run_ids = await workflow()
    assert len(set(run_ids)) == 4 and all(run_id.startswith("it:agent-") for run_id in run_ids)
    assert [json.loads(output)["a"] for output in outputs] == [f"{run_id}:a" for run_id in run_ids]
    before = list(LOG)
    assert await workflow() == (outputs, run_ids)
    assert before == LOG


async def test_a_conversation_does_not_run_old_turns_again():
    store = InMemoryStore()

    def made(death):
        wf = Workflow("agents", db=store)

        def model(messages, info):
            asked = sum(isinstance(message, ModelResponse) for message in messages)
            note(f"turn {asked}")
            death(f"turn {asked}")
            return ModelResponse(parts=[TextPart(f"answer {asked}")])

        agent = DurableAgent(Agent(FunctionModel(model), name="talker"), wf)

        @wf.workflow(id="talk")
        async def talk():
            history = []
            for turn in range(4):
                result = await agent.run(f"question {turn}", message_history=history)
                history = result.all_messages()
            return len(history), result.output

        return talk

    for turn in range(4):
        with pytest.raises(Killed):
            await made(Death(f"turn {turn}"))()
    assert await made(Death())() == (8, "answer 3")
    assert [f"turn {turn}" for turn in range(4) for _ in range(2)] == LOG


async def test_retries_only_where_they_can_help(wf):
    class Flaky:
        def __init__(self, *errors):
            self.errors = list(errors)

        def __call__(self, messages, info):
            note("model")
            if self.errors:
                raise self.errors.pop(0)
            return ModelResponse(parts=[TextPart("fine")])

    def made(name, *errors):
        config = TaskConfig(retries=3, backoff=constant(0))
        return DurableAgent(Agent(FunctionModel(Flaky(*errors)), name=name), wf, model_task_config=config)

    busy = ModelHTTPError(503, "model"), ModelHTTPError(429, "model"), ConnectionError()
    assert (await made("busy", *busy).run("x", run_id="busy")).output == "fine"
    assert len(LOG) == 4
    LOG.clear()
    with pytest.raises(ModelHTTPError):
        await made("wrong", ModelHTTPError(400, "model")).run("x", run_id="wrong")
    assert len(LOG) == 1


async def test_a_tool_says_how_often_it_is_tried(wf):
    agent = scripted([call("flaky", "f")], None)

    @agent.tool_plain(metadata={"durable": TaskConfig(retries=4, backoff=constant(0))})
    def flaky() -> str:
        note("flaky")
        if LOG.count("flaky") < 5:
            raise ConnectionError
        return "fine"

    durable = DurableAgent(agent, wf, tool_task_config=TaskConfig(retries=0))
    assert (await durable.run("x", run_id="it")).output == '{"f": "fine"}'


async def test_toolsets_that_come_with_the_run():
    store = InMemoryStore()

    def made(death):
        wf = Workflow("agents", db=store)
        late = FunctionToolset()

        @late.tool_plain
        def late_tool() -> str:
            note("late")
            return "l"

        def toolset(ctx):
            dynamic = FunctionToolset()

            @dynamic.tool_plain
            def dynamic_tool() -> str:
                note("dynamic")
                return "d"

            return dynamic

        agent = scripted(
            [call("late_tool", "a")],
            [call("dynamic_tool", "b")],
            None,
            death=death,
            toolsets=[DynamicToolset(toolset, id="dynamic")],
        )
        return DurableAgent(agent, wf).run("x", run_id="it", toolsets=[late])

    with pytest.raises(Killed):
        await made(Death("model 2"))
    assert json.loads((await made(Death())).output) == {"a": "l", "b": "d"}
    assert LOG.count("dynamic") == LOG.count("late") == 1


async def test_other_models(wf):
    other = TestModel(custom_output_text="other")
    agent = DurableAgent(Agent(TestModel(), name="tester"), wf, models={"third": TestModel(custom_output_text="third")})
    assert (await agent.run("x", run_id="1", model=other)).output == "other"
    assert (await agent.run("x", run_id="1", model=other)).output == "other"
    assert (await agent.run("x", run_id="2", model="third")).output == "third"
    with agent.override(model=agent.model, instructions="Be brief."):
        result = await agent.run("x", run_id="3")
    assert result.all_messages()[0].instructions == "Be brief."


@pytest.mark.parametrize("where", ["outside", "in a workflow"])
async def test_another_model_in_the_place_of_the_agents_own(where):
    """As in a test, which has no model that costs money; also for what the run had not come to when it died."""
    store = InMemoryStore()
    dying = Death("look")

    def made():
        wf = Workflow("agents", db=store, default_retries=0)
        agent = Agent(TestModel(custom_output_text="own"), name="tester")

        @agent.tool_plain
        def look() -> str:
            note("look")
            dying("look")
            return "seen"

        durable = DurableAgent(agent, wf)

        @wf.workflow(id="it")
        async def workflow():
            with durable.override(model=TestModel(custom_output_text="other")):
                other = await durable.run("x")
            return other.output, (await durable.run("y")).output

        async def outside():
            with durable.override(model=TestModel(custom_output_text="other")):
                other = await durable.run("x", run_id="it")
            return other.output, (await durable.run("y", run_id="own")).output

        return outside if where == "outside" else workflow

    with pytest.raises(Killed):
        await made()()
    for _ in range(2):
        assert await made()() == ("other", "own")
    assert LOG == ["look"] * 3


async def test_a_model_in_place_of_one_agents_is_not_that_of_another(wf):
    team = [DurableAgent(Agent(TestModel(custom_output_text=name), name=name), wf) for name in ("ada", "bob")]

    @team[0].wrapped.tool_plain
    async def ask() -> str:
        return (await team[1].run("?")).output

    with team[0].override(model=TestModel()):
        assert (await team[0].run("x", run_id="it")).output == '{"ask":"bob"}'


async def test_tools_called_without_a_model(wf):
    agent = Agent(TestModel(), name="tester")

    @agent.tool_plain
    def double(number: int) -> int:
        note("double")
        return 2 * number

    durable = DurableAgent(agent, wf)

    @wf.workflow(id="it")
    async def workflow():
        return [await durable.tool("double", {"number": number}) for number in (1, "2")]

    assert await workflow() == [2, 4] == await workflow()
    assert LOG == ["double"] * 2
    assert await durable.tool("double", {"number": 3}) == 6
    with pytest.raises(ValueError, match="no tool 'treble'; its tools are: double"):
        await durable.tool("treble", {})


def test_run_sync(wf):
    agent = DurableAgent(scripted("done"), wf)
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        assert [agent.run_sync("x", run_id="it").output for _ in range(2)] == ["done", "done"]
    finally:
        loop.close()
        asyncio.set_event_loop(None)
    assert LOG == ["model 0"]


async def test_seen_from_another_process():
    store = InMemoryStore()

    def made():
        wf = Workflow("agents", db=store)
        agent = looker([call("look", "a")], [call("pay", "b")], None)

        @agent.tool_plain(requires_approval=True)
        def pay() -> str:
            return "paid"

        return DurableAgent(agent, wf)

    agent = made()
    running = asyncio.create_task(agent.run("x", run_id="it"))
    while not await agent.pending("it"):
        await asyncio.sleep(0.001)
    before = list(LOG)
    agent = made()
    result = agent.wf.handle("it")
    await agent.approve("it", "b")
    assert json.loads((await result.result()).output) == {"a": "it:a", "b": "paid"}
    await running
    assert [*before, "model 2"] == LOG


async def test_ids_without_a_run_id(wf):
    agent = DurableAgent(scripted("done", "done"), wf)

    class Connection:
        def __init__(self):
            self.callback = lambda: None

    first = await agent.run("x", deps={"tenant": "ada"})
    again = await agent.run("x", deps={"tenant": "ada"})
    other = await agent.run("x", deps={"tenant": "bob"})
    assert first.run_id == again.run_id != other.run_id
    assert first.run_id.startswith("agent-agent-")
    with pytest.raises(ValueError, match="give it a run_id"):
        await agent.run("x", deps=Connection())
    assert LOG == ["model 0"] * 2


async def test_dependencies_that_change_while_they_are_used(wf):
    agent = scripted([call("look", "a")], None)

    @agent.tool
    def look(ctx: RunContext) -> int:
        ctx.deps.append("looked")
        return len(ctx.deps)

    durable = DurableAgent(agent, wf)
    deps = []
    for _ in range(2):
        assert json.loads((await durable.run("x", run_id="it", deps=deps)).output) == {"a": 1}
    with pytest.raises(InstanceConflictError):
        await durable.run("y", run_id="it", deps=deps)


async def test_the_same_run_at_once(wf):
    agent = DurableAgent(looker([call("look", "a")], None), wf)
    results = await asyncio.gather(*(agent.run("x", run_id="it") for _ in range(3)))
    assert len({result.output for result in results}) == 1
    assert LOG == ["model 0", "look ", "model 1"]


async def test_a_run_in_the_background(wf):
    agent = DurableAgent(looker([call("look", "a")], None), wf)
    handle = await agent.start("x", run_id="it")
    assert (await handle.result()).output == (await agent.run("x", run_id="it")).output
    assert LOG == ["model 0", "look ", "model 1"]


async def test_outputs_of_classes_inside_of_functions(wf):
    from pydantic import BaseModel

    class City(BaseModel):
        name: str

    def model(messages, info):
        return ModelResponse(parts=[ToolCallPart(info.output_tools[0].name, {"response": [{"name": "Paris"}]})])

    agent = DurableAgent(Agent(FunctionModel(model), output_type=list[City], name="cities"), wf)
    for _ in range(2):
        assert (await agent.run("x", run_id="it")).output == [City(name="Paris")]


async def test_overrides(wf):
    """Dependencies, tools and toolsets in their place, as ever."""
    agent = scripted([call("look", "a")], None, deps_type=str)

    @agent.tool
    def look(ctx: RunContext) -> str:
        note("look")
        return f"seen by {ctx.deps}"

    def touch() -> str:
        note("touch")
        return "touched"

    durable = DurableAgent(agent, wf)
    with durable.override(deps="Bob"):
        assert (await durable.run("x", run_id="1", deps="Ada")).output == '{"a": "seen by Bob"}'
    touch.__name__ = "look"
    with durable.override(tools=[touch]):
        assert (await durable.run("x", run_id="2")).output == '{"a": "touched"}'
    others = FunctionToolset([touch], id="others")
    with durable.override(toolsets=[others], tools=[]):
        for _ in range(2):
            assert (await durable.run("x", run_id="3")).output == '{"a": "touched"}'
    assert LOG.count("touch") == 2 and LOG.count("look") == 1


async def test_a_signal_in_a_pipeline(wf):
    agent = DurableAgent(scripted("draft"), wf)

    @durable_pipeline(wf, id="review-{topic}")
    async def review(topic: str) -> str:
        draft = (await agent.run(topic)).output
        decision = await agent.signal("decision", timeout=60)
        return f"{draft}: {decision['by']}"

    await wf.complete("review-cats", "decision", {"by": "Ada"})
    assert [await review("cats") for _ in range(2)] == ["draft: Ada"] * 2
    assert LOG == ["model 0"]


async def test_a_tool_that_is_a_task_of_its_own(wf):
    down = [True]

    @durable_tool(wf, retries=2, backoff=constant(0))
    async def search(query: str) -> str:
        note(f"search {query}")
        if down:
            down.pop()
            raise ConnectionError
        return f"found {query}"

    agent = DurableAgent(scripted([call("search", "s", query="cats")], None, tools=[search]), wf)
    for _ in range(2):
        assert (await agent.run("x", run_id="it")).output == '{"s": "found cats"}'
    assert LOG == ["model 0", "search cats", "search cats", "model 1"]


async def test_limits_on_calls_of_tools():
    store = InMemoryStore()

    def made(death):
        return DurableAgent(looker(*([call("look", str(n))] for n in range(9)), death=death), Workflow("w", db=store))

    limits = UsageLimits(tool_calls_limit=2)
    with pytest.raises(Killed):
        await made(Death("model 2")).run("x", run_id="it", usage_limits=limits)
    with pytest.raises(UsageLimitExceeded):
        await made(Death()).run("x", run_id="it", usage_limits=limits)
    assert LOG.count("look ") == 2


async def test_a_run_that_counts_for_its_caller(wf):
    """A usage that is given to a run has what it has spent, also if it is known already."""
    agent = DurableAgent(looker([call("look", "a")], None), wf)
    for _ in range(2):
        usage = RunUsage()
        result = await agent.run("x", run_id="it", usage=usage)
        assert (usage.requests, usage.input_tokens) == (result.usage.requests, result.usage.input_tokens) == (2, 20)


class Refused(Exception):
    """As the library of a provider tells what a server has answered."""

    def __init__(self, status_code):
        self.status_code = status_code


class Answered(Exception):
    """As httpx does."""

    def __init__(self, status_code):
        self.response = Refused(status_code)


def _switched_off():
    with pytest.raises(RuntimeError) as raised:
        models.check_allow_model_requests()
    return raised.value


@pytest.mark.parametrize(
    ("error", "attempts"),
    [
        (ConnectionError(), 3),
        (TimeoutError(), 3),
        (Refused(503), 3),
        (Refused(429), 3),
        (Answered(500), 3),
        (Refused(404), 1),
        (Answered(401), 1),
        (UserError("no"), 1),
        (UsageLimitExceeded("enough"), 1),
        (ExceptionGroup("all models", [Refused(400), Refused(503)]), 3),
        (ExceptionGroup("all models", [Refused(400), Refused(401)]), 1),
        (RuntimeError("overloaded"), 3),
        (_switched_off(), 1),
    ],
    ids=repr,
)
async def test_what_is_tried_again(wf, error, attempts):
    agent = scripted([call("act", "a")], None)

    @agent.tool_plain
    def act() -> str:
        note("act")
        raise error

    durable = DurableAgent(agent, wf, tool_task_config=TaskConfig(retries=2, backoff=constant(0)))
    with pytest.raises(type(error)):
        await durable.run("x", run_id="it")
    assert LOG.count("act") == attempts


async def test_limits_are_final_whoever_wants_to_try_again(wf):
    agent = scripted([call("act", "a")], None)

    @agent.tool_plain
    def act() -> str:
        note("act")
        raise UsageLimitExceeded("enough")

    always = TaskConfig(retries=5, backoff=constant(0), retry_if=lambda error: True)
    with pytest.raises(UsageLimitExceeded):
        await DurableAgent(agent, wf, tool_task_config=always).run("x", run_id="it")
    assert LOG.count("act") == 1


async def test_agents_are_told_apart_by_their_names(wf):
    one = Agent(TestModel(custom_output_text="one"))
    agents = [DurableAgent(one, wf), DurableAgent(one, wf)]
    with pytest.raises(ValueError, match="another agent that is called 'agent'"):
        DurableAgent(Agent(TestModel(custom_output_text="two")), wf)
    agents.append(DurableAgent(Agent(TestModel(custom_output_text="two")), wf, name="second"))
    assert [(await agent.run("x")).output for agent in agents] == ["one", "one", "two"]


@pytest.mark.filterwarnings("ignore::durable_ast.NotPersistableWarning")
async def test_agents_that_cannot_be_saved_run_side_by_side():
    """They are local variables of a function, which branches share."""
    agents = [Agent(TestModel(custom_output_text=f"{n}"), name=f"a{n}", capabilities=[AstDurability()]) for n in "abc"]

    async def one(number: int) -> str:
        return (await agents[number].run("go")).output

    @make_durable
    async def program() -> list[str]:
        return await asyncio.gather(*(one(number) for number in range(3)))

    assert await program(orchestration_backend=DurableBackend(), instance_id="it") == ["a", "b", "c"]
