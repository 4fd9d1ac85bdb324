"""Runs that hand out a token, and wait for whoever has it."""

import asyncio
from datetime import timedelta

import pytest
from pydantic_ai.capabilities import AbstractCapability, RequestInput
from pydantic_ai.exceptions import UserError
from pydantic_ai.external_events import ExternalEventError, wait_for_external_event
from pydantic_ai.tools import DeferredToolResults

from durable_ast import DurableBackend, InMemoryStore, PauseForEventException, Workflow, make_durable
from durable_ast.pydantic_ai import AstDurability, DurableAgent, fail_external_event, resolve_external_event

from ..everywhere import RecordingStore
from .scripted import LOG, call, note, scripted
from .twice import twice


@pytest.fixture(autouse=True)
def _empty_log():
    LOG.clear()


class Postman:
    """Asks for input; keeps the tokens that it was given.

    Args:
        answer: what it says at once.
    """

    def __init__(self, answer=None):
        self.answer, self.tokens = answer, []

    def __call__(self, ctx, requests, token):
        note("asked")
        self.tokens.append(token)
        return self.answer

    async def token(self):
        for _ in range(1000):
            if self.tokens:
                return self.tokens[0]
            await asyncio.sleep(0.005)
        raise AssertionError("it did not ask")


def payer(*capabilities):
    agent = scripted([call("pay", "P", amount=7)], None, name="payer", capabilities=capabilities)

    @agent.tool_plain(requires_approval=True)
    def pay(amount: int) -> str:
        note("pay")
        return f"paid {amount}"

    return agent


YES = DeferredToolResults(approvals={"P": True})


async def test_an_answer_from_outside():
    wf, ask = Workflow("agents", db=InMemoryStore()), Postman()
    agent = DurableAgent(payer(RequestInput(ask=ask)), wf)
    running = asyncio.create_task(agent.run("go", run_id="it"))
    token = await ask.token()
    (question,) = (await agent.pending("it")).values()
    assert (question["token"], question["name"], question["agent"]) == (token, "deferred_tool_calls", "payer")
    assert not await resolve_external_event(wf, f"guessed:{token}", YES)
    assert await resolve_external_event(wf, token, YES)
    assert not await resolve_external_event(wf, token, YES), "it is given once"
    assert (await running).output == '{"P": "paid 7"}'
    assert not await resolve_external_event(wf, token, YES), "nobody waits any longer"
    assert LOG == ["model 0", "asked", "pay", "model 1"]


async def test_an_answer_at_once():
    def made(wf):
        agent = DurableAgent(payer(RequestInput(ask=Postman(YES))), wf)

        async def code():
            return (await agent.run("go")).output

        return code

    assert await twice(made, effects=4) == ['{"P": "paid 7"}'] * 2


@pytest.mark.parametrize("how", ["it takes too long", "it fails"])
async def test_no_answer(how):
    wf, ask = Workflow("agents", db=InMemoryStore()), Postman()
    timeout = timedelta(milliseconds=10) if how == "it takes too long" else None
    agent = DurableAgent(payer(RequestInput(ask=ask, timeout=timeout)), wf)
    running = asyncio.create_task(agent.run("go", run_id="it"))
    if timeout is None:
        assert await fail_external_event(wf, await ask.token(), "nobody is there")
    result = await running
    assert "No decision on this tool call arrived" in result.output and "pay" not in LOG
    assert await agent.pending("it") == {}


async def test_a_death_at_every_write():
    store, ask = RecordingStore(), Postman()
    wf = Workflow("agents", db=store)
    running = asyncio.create_task(DurableAgent(payer(RequestInput(ask=ask)), wf).run("go", run_id="it"))
    assert await resolve_external_event(wf, await ask.token(), YES)
    expected = await running
    effects = list(LOG)
    for executed, state in store.states:
        LOG.clear()
        again = Postman()
        wf = Workflow("agents", db=RecordingStore(state))
        running = asyncio.create_task(DurableAgent(payer(RequestInput(ask=again)), wf).run("go", run_id="it"))
        while not running.done():
            for token in [*ask.tokens, *again.tokens]:
                await resolve_external_event(wf, token, YES)
            await asyncio.sleep(0.001)
        assert running.result().output == expected.output
        assert len([effect for effect in effects[:executed] if effect in LOG]) <= 1
        assert len(again.tokens) <= 1


async def test_nobody_waits_with_it():
    """The program leaves memory; whoever answers does so while no process runs."""
    ask = Postman()
    agent = payer(RequestInput(ask=ask), AstDurability())

    @make_durable
    async def program() -> str:
        return (await agent.run("go")).output

    backend = DurableBackend(InMemoryStore())
    for _ in range(2):
        with pytest.raises(PauseForEventException) as paused:
            await program(orchestration_backend=backend, instance_id="it")
    assert LOG == ["model 0", "asked"]
    backend.publish_event("it", paused.value.event, ("resolved", {"approvals": {"P": True}}))
    assert await program(orchestration_backend=backend, instance_id="it") == '{"P": "paid 7"}'
    assert LOG == ["model 0", "asked", "pay", "model 1"]


async def test_waits_of_ones_own():
    class Gate(AbstractCapability):
        async def before_run(self, ctx):
            try:
                note(await wait_for_external_event("gate", ask=self.ask))
            except ExternalEventError as error:
                note(str(error))

        async def ask(self, token):
            tokens.append(token)

    tokens: list[str] = []
    for settle, expected in ((resolve_external_event, {"open": True}), (fail_external_event, "closed")):
        LOG.clear()
        tokens.clear()
        wf = Workflow("agents", db=InMemoryStore())
        running = asyncio.create_task(DurableAgent(scripted("in", capabilities=[Gate()]), wf).run("go", run_id="it"))
        while not tokens:
            await asyncio.sleep(0.001)
        assert await settle(wf, tokens[0], expected)
        assert (await running).output == "in"
        assert [expected, "model 0"] == LOG


async def test_a_tool_cannot_wait_so():
    agent = scripted([call("ask", "a")], None)

    @agent.tool_plain
    async def ask() -> str:
        return str(await wait_for_external_event("gate", ask=lambda token: None))

    with pytest.raises(UserError, match="inside a durable unit"):
        await DurableAgent(agent, Workflow("agents", db=InMemoryStore())).run("go", run_id="it")
