"""Toolsets of every kind: what they tell and what they do is known ever after."""

import json

import pytest
from mcp.server import MCPServer
from pydantic_ai import Agent, ExternalToolset, FunctionToolset, ModelRetry
from pydantic_ai.capabilities import Capability, DynamicCapability, SetToolMetadata, Toolset
from pydantic_ai.exceptions import ToolFailed, UserError
from pydantic_ai.mcp import MCPToolset
from pydantic_ai.models.test import TestModel
from pydantic_ai.tools import ToolDefinition
from pydantic_ai.toolsets import DynamicToolset

from durable_ast import InMemoryStore, Workflow
from durable_ast.backoff import constant
from durable_ast.pydantic_ai import AstDurability, DurableAgent, TaskConfig

from .scripted import LOG, Death, Killed, call, note, scripted
from .twice import twice

NOW = TaskConfig(retries=2, backoff=constant(0))


@pytest.fixture(autouse=True)
def _empty_log():
    LOG.clear()


def bakery():
    """A server of tools."""
    server = MCPServer("bakery", instructions="Be polite.")

    @server.tool()
    def bake(loaves: int) -> int:
        note(f"bake {loaves}")
        return loaves * 2

    return server


class Watched(MCPToolset):
    """Notes when it connects, and when it asks for the tools."""

    async def __aenter__(self):
        if not self.is_running:
            note("connect")
        return await super().__aenter__()

    async def get_tools(self, ctx):
        note("list")
        return await super().get_tools(ctx)


TWO_LOAVES = [call("bake", "1", loaves=1)], [call("bake", "2", loaves=2)], None


async def test_a_server_is_asked_once():
    def made(wf):
        bread = Watched(bakery(), id="bread", include_instructions=True)
        agent = DurableAgent(scripted(*TWO_LOAVES, toolsets=[bread]), wf)

        async def code():
            result = await agent.run("go")
            return result.output, result.all_messages()[0].instructions

        return code

    first, again = await twice(made)
    assert first == again == ('{"1": 2, "2": 4}', "Be polite.")
    assert [effect for effect in LOG if effect.startswith("bake")] == ["bake 1", "bake 2"]
    assert LOG.count("connect") == LOG.count("list") == 1, "a run has one session"


@pytest.mark.parametrize("place", ["model 0", "model 1", "model 2"])
async def test_a_run_with_a_server_goes_on_where_it_died(place):
    store = InMemoryStore()

    def made(death):
        agent = scripted(*TWO_LOAVES, toolsets=[MCPToolset(bakery(), id="bread")], death=death)
        return DurableAgent(agent, Workflow("agents", db=store))

    with pytest.raises(Killed):
        await made(Death(place)).run("go", run_id="it")
    assert (await made(Death()).run("go", run_id="it")).output == '{"1": 2, "2": 4}'
    assert sorted(LOG) == sorted([*set(LOG), place])


async def test_servers_that_come_with_the_run():
    def made(wf):
        agent = DurableAgent(scripted(*TWO_LOAVES), wf)
        return lambda: agent.run("go", toolsets=[MCPToolset(bakery(), id="bread")])

    first, again = await twice(made, effects=5)
    assert first.output == again.output == '{"1": 2, "2": 4}'


async def test_what_a_server_does_cannot_be_left_out_of_the_journal():
    bread = MCPToolset(bakery(), id="bread").with_metadata(durable=False)
    agent = DurableAgent(scripted(*TWO_LOAVES, toolsets=[bread]), Workflow("agents", db=InMemoryStore()))
    with pytest.raises(UserError, match="cannot run outside a durable task"):
        await agent.run("go", run_id="it")


def greeter(wanted="hello"):
    toolset = FunctionToolset()

    @toolset.tool_plain
    def greet(name: str) -> str:
        note(f"greet {name}")
        return f"{wanted} {name}"

    return toolset


GREETING = [call("greet", "g", name="Ada")], None


@pytest.mark.parametrize("per_run_step", [False, True])
async def test_toolsets_that_are_made_for_the_run(per_run_step):
    def made(wf):
        def factory(ctx):
            note("made")
            return greeter(ctx.deps)

        dynamic = DynamicToolset(factory, id="greeters", per_run_step=per_run_step)
        agent = DurableAgent(scripted(*GREETING, toolsets=[dynamic], deps_type=str), wf)

        async def code():
            return (await agent.run("go", deps="hi")).output

        return code

    if per_run_step:
        assert await twice(made) == ['{"g": "hi Ada"}'] * 2
    else:  # the factory of such a toolset belongs to the run, and is called with it
        with pytest.raises(AssertionError, match="done again"):
            await twice(made)
        LOG.remove("made")
    assert LOG.count("greet Ada") == 1


async def test_toolsets_of_a_capability():
    def made(wf):
        def capability(ctx):
            return Toolset(greeter(), id="inner")

        agent = DurableAgent(
            scripted(
                [call("greet", "g", name="Ada")],
                [call("wave", "w")],
                None,
                capabilities=[DynamicCapability(capability, id="greeting"), Capability(tools=[wave], id="waving")],
            ),
            wf,
        )

        async def code():
            return (await agent.run("go")).output

        return code

    assert await twice(made, effects=5) == ['{"g": "hello Ada", "w": "waved"}'] * 2


def wave() -> str:
    """Wave."""
    note("wave")
    return "waved"


async def test_a_toolset_that_is_added_by_a_decorator():
    def made(wf):
        agent = scripted(*GREETING)

        @agent.toolset(id="late")
        def late(ctx):
            return greeter()

        durable = DurableAgent(agent, wf)

        async def code():
            return (await durable.run("go")).output

        return code

    assert await twice(made, effects=3) == ['{"g": "hello Ada"}'] * 2


async def test_tools_that_are_called_elsewhere_need_no_unit():
    external = ExternalToolset([ToolDefinition(name="remote")], id="external")

    def made(wf):
        agent = scripted(*GREETING, toolsets=[external, greeter_with_id()])
        durable = DurableAgent(agent, wf)

        async def code():
            return (await durable.run("go")).output

        return code

    assert await twice(made, effects=3) == ['{"g": "hello Ada"}'] * 2


def greeter_with_id(**options):
    toolset = FunctionToolset(id="greeters", **options)

    @toolset.tool_plain
    def greet(name: str) -> str:
        note(f"greet {name}")
        return f"hello {name}"

    return toolset


@pytest.mark.parametrize("kind", ["function", "dynamic", "mcp"])
def test_a_toolset_of_an_agent_with_the_capability_needs_an_id(kind):
    toolset = {
        "function": greeter,
        "dynamic": lambda: DynamicToolset(lambda ctx: None),
        "mcp": lambda: MCPToolset("https://example.com/mcp"),
    }[kind]()
    with pytest.raises(UserError, match="unique `id`"):
        Agent(TestModel(), name="agent", toolsets=[toolset], capabilities=[AstDurability()])


def test_ids_of_toolsets_are_unique():
    with pytest.raises(UserError, match="same `id`"):
        Agent(TestModel(), name="a", toolsets=[greeter_with_id(), greeter_with_id()], capabilities=[AstDurability()])
    one = greeter_with_id()
    assert Agent(TestModel(), name="a", toolsets=[one, one.prefixed("x")], capabilities=[AstDurability()])


async def test_a_toolset_of_the_run_has_an_id_of_its_own():
    agent = DurableAgent(scripted(*GREETING, toolsets=[greeter_with_id()]), Workflow("agents", db=InMemoryStore()))
    with pytest.raises(UserError, match="same `id`"):
        await agent.run("go", run_id="it", toolsets=[greeter_with_id()])


async def test_servers_without_ids_could_not_be_told_apart():
    agent = DurableAgent(scripted(*TWO_LOAVES), Workflow("agents", db=InMemoryStore()))
    with pytest.raises(UserError, match="give each of them an `id`"):
        await agent.run("go", run_id="it", toolsets=[MCPToolset(bakery()), MCPToolset(bakery())])
    assert (await agent.run("go", run_id="it", toolsets=[MCPToolset(bakery())])).output == '{"1": 2, "2": 4}'


async def test_a_tool_that_is_left_out_of_the_journal():
    """It is called again with the run."""

    def made(wf):
        agent = scripted(*GREETING)

        @agent.tool_plain(metadata={"durable": False})
        async def greet(name: str) -> str:
            return f"hello {name}"

        durable = DurableAgent(agent, wf)

        async def code():
            return (await durable.run("go")).output

        return code

    assert await twice(made, effects=2) == ['{"g": "hello Ada"}'] * 2


async def test_metadata_that_is_set_by_a_capability():
    agent = scripted([call("flaky", "f")], None, capabilities=[SetToolMetadata(durable=NOW)])

    @agent.tool_plain
    def flaky() -> str:
        note("flaky")
        if LOG.count("flaky") < 3:
            raise ConnectionError
        return "fine"

    durable = DurableAgent(agent, Workflow("agents", db=InMemoryStore()), tool_task_config=TaskConfig(retries=0))
    assert (await durable.run("go", run_id="it")).output == '{"f": "fine"}'


async def test_metadata_that_means_nothing():
    agent = scripted([call("greet", "g", name="Ada")], None)

    @agent.tool_plain(metadata={"durable": "always"})
    def greet(name: str) -> str:
        return name

    with pytest.raises(UserError, match="expected a dict"):
        await DurableAgent(agent, Workflow("agents", db=InMemoryStore())).run("go", run_id="it")


@pytest.mark.parametrize("error", [ModelRetry("not so"), ToolFailed("not so")])
@pytest.mark.parametrize("kind", ["function", "dynamic"])
async def test_what_a_tool_tells_the_model_is_no_failure(kind, error):
    def made(wf):
        toolset = FunctionToolset(id="tools")

        @toolset.tool_plain
        def act() -> str:
            note("act")
            raise error

        if kind == "dynamic":
            toolset = DynamicToolset(lambda ctx, inner=toolset: inner, id="dynamic")
        agent = DurableAgent(scripted([call("act", "a")], "sorry", toolsets=[toolset]), wf, tool_task_config=NOW)

        async def code():
            result = await agent.run("go")
            return result.output, "not so" in str(result.all_messages())

        return code

    assert await twice(made, effects=3) == [("sorry", True)] * 2


async def test_a_result_that_cannot_be_saved_is_not_asked_for_again():
    agent = scripted([call("act", "a")], None)

    @agent.tool_plain
    def act():
        note("act")
        return object()

    durable = DurableAgent(agent, Workflow("agents", db=InMemoryStore()), tool_task_config=NOW)
    with pytest.raises(Exception, match="cannot be saved"):
        await durable.run("go", run_id="it")
    assert LOG == ["model 0", "act"]


async def test_tools_do_not_reach_into_the_run():
    """What they would ask of the run would not be asked again when they are answered from the journal."""
    agent = scripted([call("act", "a")], None)

    @agent.tool
    def act(ctx) -> str:
        try:
            ctx.enqueue("more")
        except UserError as error:
            return str(error)
        return "enqueued"

    durable = DurableAgent(agent, Workflow("agents", db=InMemoryStore()))
    output = json.loads((await durable.run("go", run_id="it")).output)
    assert "inside a task" in output["a"] or "workflow" in output["a"]
