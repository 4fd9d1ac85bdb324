"""Objects that only look like agents: a run of one is a single step."""

import pytest

from durable_ast import InMemoryStore, Workflow
from durable_ast.pydantic_ai import DurableAgent

from .scripted import LOG, note


class Answer:
    """A result that cannot be saved."""

    def __init__(self, output):
        self.output = output
        self.connection = open  # a function of C

    def __reduce__(self):
        raise TypeError("it stays here")

    def all_messages(self):
        return [{"role": "user"}, self]

    def usage(self):
        return {"tokens": 42}


class Lookalike:
    name = "parrot"

    async def run(self, prompt, **options):
        note((prompt, options))
        return Answer(prompt.upper())


@pytest.mark.parametrize("where", ["outside", "in a workflow"])
async def test_what_is_known_of_a_result_is_kept(where):
    LOG.clear()
    wf = Workflow("agents", db=InMemoryStore())
    agent = DurableAgent(Lookalike(), wf)

    @wf.workflow(id="it")
    async def workflow():
        return await agent.run("hello", deps={"a": 1})

    for _ in range(2):
        result = await (agent.run("hello", run_id="it", deps={"a": 1}) if where == "outside" else workflow())
        assert (result.output, result.usage) == ("HELLO", {"tokens": 42})
        first, second = result.all_messages()
        assert first == {"role": "user"} and "Answer" in second["__repr__"]
    assert LOG == [("hello", {"deps": {"a": 1}})]
