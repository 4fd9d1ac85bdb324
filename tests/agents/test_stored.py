"""What is stored of a run, and how: in names that must not change, and without blocking the event loop."""

import blockbuster
import pytest

from durable_ast import InMemoryStore, Workflow
from durable_ast.pydantic_ai import DurableAgent, TaskConfig
from durable_ast.state import snapshot

from .scripted import LOG, Death, Killed
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


async def test_what_grows_grows_in_proportion():
    """The journal has each response and each result once."""
    wf = Workflow("agents", db=InMemoryStore())
    with pytest.raises(Killed):
        await DurableAgent(shop(Death("model 3")), wf).run("buy", run_id="it")
    parts = await wf.instances.parts("it", "j/")
    values = [snapshot.loads(data)[1] for data in parts.values()]
    responses = [value["result"] for value in values if isinstance(value, dict) and "parts" in value["result"]]
    assert len(responses) == 3
    assert all(len(response["parts"]) <= 2 for response in responses)


async def test_nothing_blocks_the_event_loop(tmp_path):
    wf = Workflow("agents", db=tmp_path / "agents.db")
    agent = DurableAgent(shop(), wf, publish_events=False)
    with blockbuster.blockbuster_ctx():
        for _ in range(2):
            assert (await agent.run("buy", run_id="it")).output
    assert len(LOG) == 9
    await wf.close()


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
