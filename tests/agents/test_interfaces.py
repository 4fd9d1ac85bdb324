"""Durable agents behind what shows agents to people and to other agents: AG-UI, Vercel AI, A2A."""

import asyncio
import json

import pytest
from pydantic_ai import Agent
from pydantic_ai.messages import ModelResponse, TextPart
from pydantic_ai.models.function import DeltaToolCall, FunctionModel
from pydantic_ai.ui.ag_ui import AGUIAdapter
from pydantic_ai.ui.vercel_ai import VercelAIAdapter

from durable_ast import InMemoryStore, Status, Workflow
from durable_ast.pydantic_ai import DurableAgent

from .scripted import LOG, Death, Killed, note, returns


@pytest.fixture(autouse=True)
def _empty_log():
    LOG.clear()


def cashier(store, death=lambda place: None):
    """Pays, if somebody approves, and then speaks in two words."""

    async def stream(messages, info):
        note("model")
        if not returns(messages):
            yield {0: DeltaToolCall("pay", "{}", tool_call_id="P")}
            return
        yield "thank "
        death("model")
        yield "you"

    agent = Agent(FunctionModel(stream_function=stream), name="cashier")

    @agent.tool_plain(requires_approval=True)
    def pay() -> str:
        note("pay")
        return "paid"

    return DurableAgent(agent, Workflow("agents", db=store))


def ag_ui(agent):
    body = {"threadId": "t", "runId": "r", "state": None, "tools": [], "context": [], "forwardedProps": None}
    body["messages"] = [{"id": "1", "role": "user", "content": "pay"}]
    return AGUIAdapter(agent=agent, run_input=AGUIAdapter.build_run_input(json.dumps(body).encode()))


def vercel(agent):
    message = {"id": "1", "role": "user", "parts": [{"type": "text", "text": "pay"}]}
    body = {"trigger": "submit-message", "id": "t", "messages": [message]}
    return VercelAIAdapter(agent=agent, run_input=VercelAIAdapter.build_run_input(json.dumps(body).encode()))


async def approved(agent, run_id):
    for _ in range(1000):
        if await agent.pending(run_id):
            return await agent.approve(run_id, "P")
        await asyncio.sleep(0.005)
    raise AssertionError("it did not ask")


async def shown(adapter, run_id=None):
    return [event async for event in adapter.run_stream(run_id=run_id)]


def words(events):
    deltas = (getattr(event, "delta", None) for event in events)
    return [delta for delta in deltas if isinstance(delta, str) and delta in ("thank ", "you")]


@pytest.mark.parametrize("page", [ag_ui, vercel])
async def test_words_come_one_by_one_and_the_approval_by_another_request(page):
    agent = cashier(InMemoryStore())
    approving = asyncio.create_task(approved(agent, "it"))
    events = await shown(page(agent), "it")
    assert await approving and words(events) == ["thank ", "you"]
    assert LOG == ["model", "pay", "model"]
    assert (await agent.wf.handle("it").info()).status is Status.SUCCESS
    again = await shown(page(agent), "it")
    assert type(again[-1]) is type(events[-1]) and LOG == ["model", "pay", "model"]
    assert [event.delta for event in again if getattr(event, "delta", None) == "thank you"], (
        "whoever asks again sees it"
    )


@pytest.mark.parametrize("page", [ag_ui, vercel])
async def test_a_run_without_an_id_is_durable_too(page):
    agent = cashier(InMemoryStore())
    showing = asyncio.create_task(shown(page(agent)))
    while not (runs := await agent.wf.list()):
        await asyncio.sleep(0.005)
    assert await approved(agent, runs[0].id)
    assert words(await showing) == ["thank ", "you"]


async def test_a_page_that_asks_again_after_a_crash():
    store = InMemoryStore()
    agent = cashier(store, Death("model"))
    approving = asyncio.create_task(approved(agent, "it"))
    with pytest.raises(Killed):
        await shown(ag_ui(agent), "it")
    assert await approving
    events = await shown(ag_ui(cashier(store)), "it")
    assert words(events) == ["thank ", "you"]
    assert LOG == ["model", "pay", "model", "model"]


async def test_asked_by_another_agent():
    httpx = pytest.importorskip("httpx")
    bridge = pytest.importorskip("fasta2a.pydantic_ai")

    def respond(messages, info):
        note("model")
        return ModelResponse(parts=[TextPart("seven")])

    agent = DurableAgent(Agent(FunctionModel(respond), name="counter"), Workflow("agents", db=InMemoryStore()))
    app = bridge.agent_to_a2a(agent, url="http://counter")
    message = {"role": "ROLE_USER", "messageId": "m", "parts": [{"text": "How many?"}]}
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://counter") as client,
    ):
        asked = {"jsonrpc": "2.0", "id": 1, "method": "SendMessage", "params": {"message": message}}
        assert (await client.post("/", json=asked)).status_code == 200
        for _ in range(1000):
            (run,) = await agent.wf.list() or [None]
            if run is not None and run.status is Status.SUCCESS:
                break
            await asyncio.sleep(0.005)
    assert LOG == ["model"]
    assert (await agent.wf.handle(run.id).result()).output == "seven"
