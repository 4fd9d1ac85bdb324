"""Calls of tools that wait for a human."""

import asyncio
import json

import pytest
from pydantic_ai import CallDeferred, DeferredToolRequests, RunContext
from pydantic_ai.exceptions import ApprovalRequired

from durable_ast import DurableBackend, InMemoryStore, PauseForEventException, Status, Workflow, make_durable
from durable_ast.pydantic_ai import AstDurability, DurableAgent, TaskConfig

from ..everywhere import RecordingStore
from .scripted import LOG, call, note, scripted


@pytest.fixture(autouse=True)
def _empty_log():
    LOG.clear()


def office(**options):
    """Has four things to do at once, of which three wait for somebody."""
    turn = [
        call("remove", "A", path=".env"),
        call("order", "B", item="ink"),
        call("look", "C"),
        call("spend", "D", amount=9),
    ]
    agent = scripted(turn, None, name="office", **options)

    @agent.tool_plain(requires_approval=True)
    def remove(path: str) -> str:
        note(f"remove {path}")
        return f"removed {path}"

    @agent.tool_plain
    def order(item: str) -> str:
        raise CallDeferred(metadata={"job": 7})

    @agent.tool_plain
    def look() -> str:
        note("look")
        return "seen"

    @agent.tool
    def spend(ctx: RunContext, amount: int) -> str:
        if amount > 5 and not ctx.tool_call_approved:
            raise ApprovalRequired(metadata={"why": "much"})
        note(f"spend {amount}")
        return f"spent {amount}"

    return agent


QUESTIONS = ["approval:A", "approval:D", "result:B"]


async def asked(agent, run_id, count=3):
    """What the run waits for, once it asks so much."""
    for _ in range(1000):
        questions = await agent.pending(run_id)
        if len(questions) == count:
            return questions
        await asyncio.sleep(0.005)
    raise AssertionError(f"it asks {questions}")


async def answer_all(agent, run_id):
    questions = await asked(agent, run_id)
    assert sorted(questions) == QUESTIONS
    removal = questions["approval:A"]
    assert (removal["tool"], removal["args"], removal["agent"]) == ("remove", {"path": ".env"}, "office")
    assert questions["approval:D"]["metadata"] == {"why": "much"}
    assert await agent.approve(run_id, "A", override_args={"path": "tmp"}, sha=removal["sha"], by="Ada")
    assert await agent.resolve(run_id, "B", {"delivered": False})
    assert await agent.deny(run_id, "D", "too much")


ANSWERED = {"A": "removed tmp", "B": {"delivered": False}, "C": "seen", "D": "too much"}


async def test_a_run_waits_for_those_who_decide():
    wf = Workflow("agents", db=InMemoryStore())
    agent = DurableAgent(office(), wf)
    running = asyncio.create_task(agent.run("go", run_id="it"))
    await asked(agent, "it")
    info = await wf.handle("it").info()
    assert info.status is Status.WAITING and info.awaited[0] in QUESTIONS
    await answer_all(agent, "it")
    result = await running
    assert json.loads(result.output) == ANSWERED
    assert LOG == ["model 0", "look", "remove tmp", "model 1"]
    assert await agent.pending("it") == {}


async def test_a_decision_is_made_once():
    agent = DurableAgent(office(), Workflow("agents", db=InMemoryStore()))
    assert not await agent.approve("it", "A"), "nobody has asked"
    running = asyncio.create_task(agent.run("go", run_id="it"))
    await asked(agent, "it")
    with pytest.raises(ValueError, match="other arguments"):
        await agent.approve("it", "A", sha="0" * 64)
    assert await agent.deny("it", "D")
    assert not await agent.approve("it", "D")
    assert await agent.approve("it", "A")
    await asked(agent, "it", 1)
    assert not await agent.deny("it", "A"), "it is on its way"
    assert await agent.resolve("it", "B", 0)
    assert json.loads((await running).output)["B"] == 0
    assert not await agent.resolve("it", "B", 1)


@pytest.mark.parametrize(
    ("payload", "removed"),
    [
        (True, True),
        (False, False),
        ({"approved": True}, True),
        ({"approved": "yes"}, False),
        ({}, False),
        ({"approved": True, "sha": "0" * 64}, False),
    ],
)
async def test_decisions_by_signal(payload, removed):
    agent = scripted([call("remove", "A")], None)

    @agent.tool_plain(requires_approval=True)
    def remove() -> str:
        note("remove")
        return "removed"

    wf = Workflow("agents", db=InMemoryStore())
    running = asyncio.create_task(DurableAgent(agent, wf).run("go", run_id="it"))
    assert await wf.complete("it", "approval:A", payload)
    await running
    assert LOG.count("remove") == removed


async def test_nobody_decides_in_time():
    agent = DurableAgent(office(), Workflow("agents", db=InMemoryStore()), approval_timeout=0.01)
    result = json.loads((await agent.run("go", run_id="it")).output)
    assert result["C"] == "seen"
    assert all("Nobody has answered" in result[name] for name in "ABD")


async def test_a_death_at_every_write_while_it_waits():
    """The decisions are made while no process runs."""
    store = RecordingStore()
    agent = DurableAgent(office(), Workflow("agents", db=store))
    running = asyncio.create_task(agent.run("go", run_id="it"))
    await answer_all(agent, "it")
    expected = await running
    effects = list(LOG)
    for executed, state in store.states:
        LOG.clear()
        agent = DurableAgent(office(), Workflow("agents", db=RecordingStore(state)))
        running = asyncio.create_task(agent.run("go", run_id="it"))
        if len(effects[:executed]) < 3:
            await asyncio.sleep(0)
        while not running.done():
            for name in await agent.pending("it"):
                kind, _, call_id = name.partition(":")
                if kind == "result":
                    await agent.resolve("it", call_id, {"delivered": False})
                elif call_id == "A":
                    await agent.approve("it", call_id, override_args={"path": "tmp"})
                else:
                    await agent.deny("it", call_id, "too much")
            await asyncio.sleep(0.001)
        result = running.result()
        assert (result.output, result.usage) == (expected.output, expected.usage)
        lost = [effect for effect in effects[:executed] if effect in LOG]
        assert len(lost) <= 1 and len(LOG) == len(set(LOG))


async def test_a_program_that_nobody_waits_with_leaves_memory():
    agent = office(capabilities=[AstDurability()])

    @make_durable
    async def program() -> str:
        try:
            result = await agent.run("go")
        except BaseException as error:
            note(f"swallowed {error!r}")
            raise
        return result.output

    backend = DurableBackend(InMemoryStore())
    answers = {
        "approval:A": {"approved": True, "override_args": {"path": "tmp"}},
        "approval:D": False,
        "result:B": "ink",
    }
    while answers:
        events = []
        for _ in range(2):
            with pytest.raises(PauseForEventException) as paused:
                await program(orchestration_backend=backend, instance_id="it")
            events.append(paused.value.event)
        assert events[0] == events[1]
        backend.publish_event("it", events[0], answers.pop(events[0]))
    output = json.loads(await program(orchestration_backend=backend, instance_id="it"))
    assert output == {"A": "removed tmp", "B": "ink", "C": "seen", "D": "The tool call was denied."}
    assert LOG == ["model 0", "look", "remove tmp", "model 1"]


async def test_the_classic_output():
    """The run ends with what is asked; the workflow goes on with the decisions."""
    wf = Workflow("agents", db=InMemoryStore())
    agent = DurableAgent(office(output_type=[str, DeferredToolRequests]), wf, model_task_config=TaskConfig(retries=0))

    @wf.workflow(id="it")
    async def office_day():
        result = await agent.run("go")
        assert isinstance(result.output, DeferredToolRequests)
        decision = await wf.signal("decision")
        answers = result.output.build_results(approve_all=decision, calls={"B": "ink"})
        result = await agent.run(message_history=result.all_messages(), deferred_tool_results=answers)
        return result.output, result.run_id

    await wf.complete("it", "decision", True)
    output, run_id = await office_day()
    assert json.loads(output) == {"A": "removed .env", "B": "ink", "C": "seen", "D": "spent 9"}
    assert run_id.startswith("it:office:")
    assert sorted(LOG) == ["look", "model 0", "model 1", "remove .env", "spend 9"]

    result = await agent.run("go", run_id="alone")
    assert sorted(item.tool_name for item in result.output.approvals) == ["remove", "spend"]


async def test_whether_it_waits_can_be_said():
    """Whatever the agent's output types are."""
    waiting = DurableAgent(
        office(output_type=[str, DeferredToolRequests]), Workflow("a", db=InMemoryStore()), approvals="signal"
    )
    running = asyncio.create_task(waiting.run("go", run_id="it"))
    await answer_all(waiting, "it")
    assert json.loads((await running).output) == ANSWERED

    returning = DurableAgent(
        office(output_type=[str, DeferredToolRequests]), Workflow("a", db=InMemoryStore()), approvals="return"
    )
    result = await returning.run("go", run_id="it")
    assert sorted(item.tool_name for item in result.output.approvals) == ["remove", "spend"]
    assert await returning.pending("it") == {}
    with pytest.raises(ValueError, match="approvals must be one of"):
        DurableAgent(office(), Workflow("a", db=InMemoryStore()), approvals="never")._durability(None)


async def test_what_a_delegate_asks_is_listed_with_the_run_that_it_is_part_of():
    wf = Workflow("agents", db=InMemoryStore())
    clerk = DurableAgent(office(), wf)
    boss = scripted([call("ask", "a")], None, name="boss")

    @boss.tool_plain
    async def ask() -> str:
        return (await clerk.run("go")).output

    agent = DurableAgent(boss, wf)
    running = asyncio.create_task(agent.run("go", run_id="it"))
    await answer_all(agent, "it")
    assert json.loads(json.loads((await running).output)["a"]) == ANSWERED
    assert LOG.count("model 0") == LOG.count("model 1") == 2


async def test_a_decision_that_was_taken_is_not_asked_for_any_more():
    """At no moment, not even between two writes of the run: a second one would be lost."""
    store = RecordingStore()
    agent = scripted([call("remove", "A")], None)

    @agent.tool_plain(requires_approval=True)
    def remove() -> str:
        return "removed"

    durable = DurableAgent(agent, Workflow("agents", db=store))
    running = asyncio.create_task(durable.run("go", run_id="it"))
    await asked(durable, "it", 1)
    assert await durable.approve("it", "A")
    await running
    seen = []
    for _, state in store.states:
        left = Workflow("agents", db=RecordingStore(state))
        arrived = await left.instances.messages("it")
        seen.append((bool(await left.pending("it")), bool(arrived)))
    assert (True, False) not in seen[next(index for index, (_, arrived) in enumerate(seen) if arrived) :]
