"""What capabilities of pydantic-ai do in a durable run: operations of their own, workspaces, spans, guards."""

import asyncio

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from pydantic_ai import Agent, CancellationToken, RunContext, durable_exec
from pydantic_ai.capabilities import (
    AbstractCapability,
    Instrumentation,
    ProcessEventStream,
    ProcessHistory,
    durable_operation,
)
from pydantic_ai.exceptions import RunCancelled, UserError
from pydantic_ai.messages import ModelRequest, SystemPromptPart
from pydantic_ai.models.instrumented import InstrumentationSettings
from pydantic_ai.models.test import TestModel

from durable_ast import InMemoryStore, Workflow
from durable_ast.pydantic_ai import AstDurability, DurableAgent

from .scripted import LOG, Death, Killed, call, needs, note, scripted
from .twice import twice


@pytest.fixture(autouse=True)
def _empty_log():
    LOG.clear()


class Ledger(AbstractCapability):
    """Has operations that are to be done once."""

    id = "ledger"

    async def before_run(self, ctx):
        note(f"got {await self.book(ctx, 'first')}")
        note(f"got {await self.book(ctx, 'second')}")

    @durable_operation("book")
    async def book(self, ctx: RunContext, entry: str) -> str:
        note(f"book {entry}")
        return entry.upper()


async def test_operations_of_a_capability():
    agents = []

    def made(wf):
        agents.append(DurableAgent(scripted("done", capabilities=[Ledger(), AstDurability()]), wf))
        return lambda: agents[-1].run("go")

    with pytest.raises(AssertionError, match="done again"):
        await twice(made)  # what it got is noted by code that belongs to no operation
    assert [effect for effect in LOG if "book" in effect] == ["book first", "book second"]
    assert LOG.count("got FIRST") == LOG.count("got SECOND") == 2


@needs("LocalWorkspace")
@pytest.mark.parametrize("durability", [[], [AstDurability()]])
async def test_a_workspace(tmp_path, durability):
    from pydantic_ai.capabilities import LocalWorkspace

    def made(wf):
        turns = [call("write", "a", text="one"), call("write", "b", text="two")], [call("read", "c")], None
        capabilities = [LocalWorkspace(tmp_path), *durability]
        agent = scripted(*turns, name="writer", capabilities=capabilities)

        @agent.tool
        async def write(ctx: RunContext, text: str) -> str:
            note(f"write {text}")
            await ctx.workspace.write_bytes(f"{text}.txt", text.encode())
            return text

        @agent.tool
        async def read(ctx: RunContext) -> str:
            note("read")
            return (await ctx.workspace.read_bytes("one.txt")).decode()

        durable = DurableAgent(agent, wf)

        async def code():
            return (await durable.run("go")).output

        return code

    assert await twice(made, effects=6) == ['{"a": "one", "b": "two", "c": "one"}'] * 2


def watched(exporter, reader=None):
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    meters = MeterProvider([] if reader is None else [reader])
    return Instrumentation(InstrumentationSettings(tracer_provider=provider, meter_provider=meters))


def looker(store, death, *capabilities):
    agent = scripted([call("look", "l")], "done", death=death, capabilities=capabilities)

    @agent.tool_plain
    def look() -> str:
        return "seen"

    return DurableAgent(agent, Workflow("agents", db=store))


async def test_spans_of_what_was_done_before_are_marked():
    store, exporter = InMemoryStore(), InMemorySpanExporter()

    def spans():
        found = [
            (span.name.split()[0], bool(span.attributes.get("durable.replayed")))
            for span in exporter.get_finished_spans()
        ]
        exporter.clear()
        return found

    with pytest.raises(Killed):
        await looker(store, Death("model 1"), watched(exporter)).run("go", run_id="it")
    assert ("chat", True) not in spans()
    await looker(store, Death(), watched(exporter)).run("go", run_id="it")
    found = spans()
    assert found.count(("chat", True)) == found.count(("chat", False)) == 1
    assert ("execute_tool", True) in found and ("execute_tool", False) not in found
    assert found[-1] == ("invoke_agent", False)


@pytest.mark.skipif(
    not hasattr(durable_exec, "replay_scope"), reason="this pydantic-ai counts what comes from a journal"
)
async def test_tokens_are_counted_once():
    store, reader, exporter = InMemoryStore(), InMemoryMetricReader(), InMemorySpanExporter()
    watch = watched(exporter, reader)
    with pytest.raises(Killed):
        await looker(store, Death("model 1"), watch).run("go", run_id="it")
    result = await looker(store, Death(), watch).run("go", run_id="it")
    counted = [
        (point.attributes["gen_ai.token.type"], point.sum)
        for resource in reader.get_metrics_data().resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
        if metric.name == "gen_ai.client.token.usage"
        for point in metric.data.data_points
    ]
    assert sorted(counted) == [("input", 20), ("output", 4)]
    assert (result.usage.input_tokens, result.usage.output_tokens) == (20, 4)
    spent = [span.attributes.get("gen_ai.usage.input_tokens", 0) for span in exporter.get_finished_spans()]
    chats = [tokens for span, tokens in zip(exporter.get_finished_spans(), spent, strict=True) if "chat" in span.name]
    assert sum(chats) == 20, "whoever adds up the spans gets the same"


async def test_histories_are_processed_as_ever():
    def made(wf):
        def shorten(messages):
            return messages[-1:]

        def say(ctx: RunContext, messages):
            return [ModelRequest(parts=[SystemPromptPart("Be brief.")]), *messages]

        agent = scripted("done", capabilities=[ProcessHistory(shorten), ProcessHistory(say)])
        durable = DurableAgent(agent, wf)

        async def code():
            return (await durable.run("go")).output

        return code

    assert await twice(made, effects=1) == ["done"] * 2


async def test_whoever_processes_the_stream_of_events_sees_the_whole_of_it():
    def made(wf):
        kinds = []

        async def process(ctx, events):
            async for event in events:
                kinds.append(event.event_kind)

        agent = DurableAgent(scripted([call("look", "l")], "done", capabilities=[ProcessEventStream(process)]), wf)

        @agent.wrapped.tool_plain
        def look() -> str:
            note("look")
            return "seen"

        async def code():
            await agent.run("go")
            return sorted(set(kinds))

        return code

    first, again = await twice(made, effects=3)
    assert {"function_tool_call", "function_tool_result", "part_start"} <= set(first)
    assert set(again) <= set(first) and "part_start" in again


async def test_a_token_that_cancels_is_refused_in_durable_code():
    """It is good in one process only; the run itself can be cancelled, in every process."""
    agent = DurableAgent(scripted("done"), Workflow("agents", db=InMemoryStore()))
    with pytest.raises(UserError, match="Cancel the durable workflow"):
        await agent.run("go", run_id="it", cancellation_token=CancellationToken())
    plain = Agent(TestModel(), name="plain", capabilities=[AstDurability()])
    assert (await plain.run("go", cancellation_token=CancellationToken())).output


async def test_a_run_is_cancelled():
    store = InMemoryStore()
    started = asyncio.Event()
    agent = scripted([call("wait", "w")], "done")

    @agent.tool_plain
    async def wait() -> str:
        started.set()
        try:
            await asyncio.sleep(60)
        finally:
            note("cleaned up")
        return "waited"

    durable = DurableAgent(agent, Workflow("agents", db=store))
    running = asyncio.create_task(durable.run("go", run_id="it"))
    await started.wait()
    await durable.wf.handle("it").cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert LOG == ["model 0", "cleaned up"]


async def test_a_tool_cannot_cancel_the_run_from_within():
    agent = scripted([call("stop", "s")], None)

    @agent.tool
    def stop(ctx: RunContext) -> str:
        try:
            ctx.cancel()
        except UserError as error:
            return str(error)
        return "cancelled"

    result = await DurableAgent(agent, Workflow("agents", db=InMemoryStore())).run("go", run_id="it")
    assert "not supported inside a durable task" in result.output


async def test_a_run_that_cancels_itself_between_its_units():
    class Stop(AbstractCapability):
        async def before_model_request(self, ctx, request_context):
            if ctx.run_step > 1:
                ctx.cancel()
            return request_context

    agent = DurableAgent(
        scripted([call("look", "l")], "done", capabilities=[Stop()]), Workflow("w", db=InMemoryStore())
    )

    @agent.wrapped.tool_plain
    def look() -> str:
        note("look")
        return "seen"

    with pytest.raises(RunCancelled):
        await agent.run("go", run_id="it")
    assert LOG[:2] == ["model 0", "look"] and set(LOG) <= {"model 0", "look", "model 1"}
