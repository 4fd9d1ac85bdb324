"""Requests to models: in several parts, compacted, taken back, and to other models than the agent's own."""

import asyncio
from dataclasses import replace
from inspect import signature

import pytest
from pydantic_ai import Agent, UsageLimitExceeded, UsageLimits
from pydantic_ai.capabilities import AbstractCapability, Instrumentation, ResolveModelId, SelectModel
from pydantic_ai.exceptions import ModelHTTPError, UserError
from pydantic_ai.messages import ModelRequest, ModelResponse, TextPart, UserPromptPart
from pydantic_ai.models.function import FunctionModel
from pydantic_ai.models.test import TestModel
from pydantic_ai.models.wrapper import WrapperModel
from pydantic_ai.usage import RequestUsage

from durable_ast import InMemoryStore, Status, Workflow
from durable_ast.backoff import constant
from durable_ast.pydantic_ai import AstDurability, DurableAgent, TaskConfig

from .scripted import LOG, Death, Killed, call, needs, note, scripted
from .twice import twice, units_of


@pytest.fixture(autouse=True)
def _empty_log():
    LOG.clear()


class Slow(FunctionModel):
    """A provider that works on an answer in the background, and gives it in parts.

    Args:
        parts: what it says in each; None fails.
        death: kills it.
        delay: seconds after which it is asked for the next part.
    """

    def __init__(self, *parts, death=lambda place: None, delay=0.001):
        self.parts, self.death, self.delay = parts, death, delay
        super().__init__(self.respond, stream_function=self.stream)

    def respond(self, messages, info):
        number = messages[-1].metadata["number"] + 1 if isinstance(messages[-1], ModelResponse) else 0
        note(f"part {number}")
        self.death(f"part {number}")
        text = self.parts[number]
        if text is None:
            raise ModelHTTPError(400, "slow")
        return ModelResponse(
            parts=[TextPart(text)],
            state="complete" if number == len(self.parts) - 1 else "suspended",
            usage=RequestUsage(input_tokens=10, output_tokens=1),
            metadata={"number": number},
            provider_response_id=f"job-{number}",
        )

    async def stream(self, messages, info):
        yield self.respond(messages, info).parts[0].content

    def continuation_delay(self, response):
        return self.delay

    async def cancel_suspended_response(self, response):
        note(f"cancelled {response.metadata['number']}")


async def test_an_answer_in_parts():
    def made(wf):
        agent = DurableAgent(Agent(Slow("one ", "two ", "three"), name="slow"), wf)

        async def code():
            result = await agent.run("go")
            return result.output, result.usage

        return code

    first, again = await twice(made, effects=3)
    assert first == again and first[0] == "one two three" and first[1].input_tokens == 30


@pytest.mark.parametrize("place", ["part 0", "part 1", "part 2"])
async def test_a_death_between_the_parts(place):
    store = InMemoryStore()

    def made(death):
        return DurableAgent(Agent(Slow("one ", "two ", "three", death=death), name="slow"), Workflow("w", db=store))

    with pytest.raises(Killed):
        await made(Death(place)).run("go", run_id="it")
    cancelled = [effect for effect in LOG if effect.startswith("cancelled")]
    assert (await made(Death()).run("go", run_id="it")).output == "one two three"
    assert sorted(set(LOG) - set(cancelled)) == ["part 0", "part 1", "part 2"]
    assert len(LOG) == 4 + len(cancelled), "more than the part in flight was asked for again"


async def test_a_limit_ends_what_works_in_the_background():
    def made(wf):
        agent = DurableAgent(Agent(Slow("one ", "two ", "three"), name="slow"), wf)

        async def code():
            with pytest.raises(UsageLimitExceeded):
                await agent.run("go", usage_limits=UsageLimits(input_tokens_limit=15))

        return code

    await twice(made)
    assert LOG == ["part 0", "part 1", "cancelled 1"]


async def test_a_run_that_stands_still_does_not_end_what_works_in_the_background():
    agent = DurableAgent(Agent(Slow("one ", "two", delay=0.2), name="slow"), Workflow("agents", db=InMemoryStore()))
    running = asyncio.create_task(agent.run("go", run_id="it"))
    while not LOG:
        await asyncio.sleep(0.005)
    handle = agent.wf.handle("it")
    await handle.pause()
    while (await handle.info()).status is not Status.PAUSED:
        await asyncio.sleep(0.005)
    await asyncio.sleep(0.4)
    assert LOG == ["part 0"]
    await handle.resume()
    assert (await agent.run("go", run_id="it")).output == "one two"
    assert LOG == ["part 0", "part 1"]
    running.cancel()


async def test_a_failure_ends_what_works_in_the_background():
    def made(wf):
        agent = DurableAgent(Agent(Slow("one ", None), name="slow"), wf)
        return lambda: agent.run("go")

    with pytest.raises(ModelHTTPError):
        await twice(made)
    assert LOG == ["part 0", "part 1", "cancelled 0"]


async def test_a_run_goes_on_with_what_was_suspended():
    """The history of another run ends in its middle."""
    suspended = Slow("one ", "two").respond([ModelRequest(parts=[UserPromptPart("go")])], None)
    LOG.clear()

    def made(wf):
        agent = DurableAgent(Agent(Slow("one ", "two"), name="slow"), wf)

        async def code():
            result = await agent.run(message_history=[ModelRequest(parts=[UserPromptPart("go")]), suspended])
            return result.output

        return code

    assert await twice(made, effects=1) == ["one two"] * 2


class Compacting(FunctionModel):
    async def compact_messages(self, request_context, *, instructions=None):
        note(f"compact {len(request_context.messages)}")
        return ModelResponse(parts=[TextPart("in short")])


class Compaction(AbstractCapability):
    """Makes one message of many before each request."""

    async def before_model_request(self, ctx, request_context):
        if len(request_context.messages) > 2:
            short = await request_context.model.compact_messages(request_context)
            request_context.messages = [
                ModelRequest(parts=[UserPromptPart(short.parts[0].content)]),
                request_context.messages[-1],
            ]
        return request_context


async def test_a_history_is_compacted_once():
    def made(wf):
        def respond(messages, info):
            note(f"model {len(messages)}")
            if any(isinstance(part, UserPromptPart) and part.content == "in short" for part in messages[0].parts):
                return ModelResponse(parts=[TextPart("done")])
            return ModelResponse(parts=[call("look", "l")])

        agent = Agent(Compacting(respond), name="compacter", capabilities=[Compaction()])

        @agent.tool_plain
        def look() -> str:
            note("look")
            return "seen"

        durable = DurableAgent(agent, wf)

        async def code():
            return (await durable.run("go")).output

        return code

    assert await twice(made, effects=4) == ["done"] * 2
    assert LOG == ["model 1", "look", "compact 3", "model 1"]


def speaking(text, **options):
    def respond(messages, info):
        note(text)
        return ModelResponse(parts=[TextPart(text)])

    return FunctionModel(respond, **options)


async def test_a_model_is_chosen_by_name():
    def made(wf):
        agent = Agent(
            speaking("own"), name="chooser", capabilities=[AstDurability(models={"other": speaking("other")})]
        )

        async def code():
            return [(await agent.run("go", model=model)).output for model in (None, "other", None)]

        return code

    assert await twice(made, effects=3) == [["own", "other", "own"]] * 2


async def test_a_model_is_made_from_its_name_and_the_dependencies():
    def made(wf):
        resolve = ResolveModelId(lambda ctx, model_id: speaking(f"{model_id} for {ctx.deps}"))
        agent = Agent("alias", name="resolver", deps_type=str, capabilities=[resolve])
        durable = DurableAgent(agent, wf)

        async def code():
            return [(await durable.run("go", deps=who)).output for who in ("Ada", "Bob")]

        return code

    assert await twice(made, effects=2) == [["alias for Ada", "alias for Bob"]] * 2


async def test_a_model_for_each_request():
    def made(wf):
        models = {"first": scripted([call("look", "l")], name="first").model, "then": speaking("then")}
        select = SelectModel(lambda ctx: "first" if ctx.run_step <= 1 else "then")
        agent = Agent(TestModel(), name="selector", capabilities=[select])

        @agent.tool_plain
        def look() -> str:
            note("look")
            return "seen"

        durable = DurableAgent(agent, wf, models=models)

        async def code():
            return (await durable.run("go")).output

        return code

    assert await twice(made, effects=3) == ["then"] * 2


@needs("ModelFallback")
async def test_a_model_instead_of_one_that_fails():
    """That it has failed is known as well: should it answer the next time, it would lead elsewhere."""
    from pydantic_ai.capabilities import ModelFallback

    def made(wf):
        def busy(messages, info):
            note("busy")
            raise ModelHTTPError(503, "busy")

        agent = Agent(FunctionModel(busy), name="fallback", capabilities=[ModelFallback("spare")])
        config = TaskConfig(retries=1, backoff=constant(0))
        durable = DurableAgent(agent, wf, models={"spare": speaking("spare")}, model_task_config=config)

        async def code():
            return (await durable.run("go")).output

        return code

    assert await twice(made, effects=3) == ["spare"] * 2


@pytest.mark.parametrize("unit", ["model", "tool"])
async def test_a_run_that_failed_asks_again_when_it_is_called_again(unit):
    store = InMemoryStore()
    down = [True]

    def fail(what):
        note(what)
        if what == unit and down:
            raise ConnectionError(what)

    def respond(messages, info):
        fail("model")
        return ModelResponse(parts=[call("look", "l")] if len(messages) == 1 else [TextPart("done")])

    def made():
        agent = Agent(FunctionModel(respond), name="agent")

        @agent.tool_plain
        def look() -> str:
            fail("tool")
            return "seen"

        never = TaskConfig(retries=0)
        return DurableAgent(agent, Workflow("w", db=store), model_task_config=never, tool_task_config=never)

    with pytest.raises(ConnectionError):
        await made().run("go", run_id="it")
    down.clear()
    assert (await made().run("go", run_id="it")).output == "done"
    assert sorted(LOG) == sorted(["model", "model", "tool", unit])


async def test_any_model_for_one_run():
    agent = DurableAgent(Agent(speaking("own"), name="agent"), Workflow("agents", db=InMemoryStore()))
    for model in (speaking("other"), WrapperModel(speaking("other"))):
        LOG.clear()
        results = [await agent.run("go", run_id=f"with {type(model)}", model=model) for _ in range(2)]
        assert [result.output for result in results] == ["other"] * 2 and LOG == ["other"]


async def test_models_that_nobody_would_find_again_are_refused():
    wf = Workflow("agents", db=InMemoryStore(), default_retries=0)
    agent = Agent(speaking("own"), name="agent", capabilities=[AstDurability()])

    @wf.workflow(id="it-{how}")
    async def program(how: str):
        if how == "unknown":
            return await agent.run("go", model="nobody:knows")
        return await agent.run("go", model=speaking("other"))

    for how in ("unknown", "an instance"):
        with pytest.raises(UserError):
            await program(how)
    assert LOG == []


async def test_the_name_of_the_agent():
    with pytest.raises(UserError, match="unique `name`"):
        Agent(TestModel(), capabilities=[AstDurability()])
    Agent(TestModel(), capabilities=[AstDurability(name="given")])
    assert AstDurability.get_serialization_name() is None


async def test_outside_of_durable_code_nothing_changes():
    agent = Agent(speaking("own"), name="agent", capabilities=[AstDurability(model_task_config=TaskConfig(retries=9))])
    assert (await agent.run("go", model=speaking("other"))).output == "other"
    async with agent.iter("go") as run:
        assert len([node async for node in run]) > 2
    assert LOG == ["other", "own"]


@pytest.mark.skipif("timeout" not in signature(Agent.run).parameters, reason="this pydantic-ai has no timeout")
async def test_the_time_that_a_run_may_take_counts_from_its_first_start():
    def made(wf):
        agent = Agent(speaking("own"), name="agent", capabilities=[AstDurability()])

        async def code():
            await agent.run("go", timeout=60)
            return await AstDurability.from_agent(agent).get_run_start_time("it")

        return code

    first, again = await twice(made, effects=1)
    assert first == again and first.tzinfo is not None


async def test_a_request_is_a_unit_whoever_asks_for_it():
    """Also one that a hook has made of another, with another number of messages."""

    class Hook(AbstractCapability):
        async def before_model_request(self, ctx, request_context):
            return replace(request_context, messages=request_context.messages[-1:])

    store = InMemoryStore()
    wf = Workflow("agents", db=store)
    with pytest.raises(Killed):
        await DurableAgent(scripted("one", death=Death("model 0")), wf).run("go", run_id="it")
    assert await units_of(wf, "it") == []
    capabilities = [Hook(), Instrumentation()]
    agent = DurableAgent(scripted("one", capabilities=capabilities), Workflow("agents", db=store))
    assert (await agent.run("go", run_id="it")).output == "one"
