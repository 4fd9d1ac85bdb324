"""Outputs: functions that they are given to, validators, and what is large."""

import pickle

import pytest
from pydantic import BaseModel
from pydantic_ai import Agent, BinaryContent, BinaryImage, ModelRetry, RunContext, TextOutput, ToolOutput
from pydantic_ai.messages import FilePart, ModelResponse, TextPart, ToolCallPart
from pydantic_ai.models.function import FunctionModel
from pydantic_ai.usage import RequestUsage

from durable_ast import InMemoryStore, Workflow
from durable_ast.backoff import constant
from durable_ast.pydantic_ai import DurableAgent, TaskConfig

from .scripted import LOG, Death, Killed, call, note
from .twice import twice

NOW = TaskConfig(retries=2, backoff=constant(0))


@pytest.fixture(autouse=True)
def _empty_log():
    LOG.clear()


class Order(BaseModel):
    item: str
    amount: int


def answering(*answers, name="agent", death=lambda place: None, **options):
    """An agent that gives one answer after the other: a text, or the arguments of its output tool."""

    def respond(messages, info):
        number = sum(isinstance(message, ModelResponse) for message in messages)
        note(f"model {number}")
        death(f"model {number}")
        answer = answers[number]
        if isinstance(answer, str):
            parts = [TextPart(answer)]
        else:
            parts = [ToolCallPart(info.output_tools[0].name, answer, tool_call_id=f"out-{number}")]
        return ModelResponse(parts=parts, usage=RequestUsage(input_tokens=10))

    return Agent(FunctionModel(respond), name=name, **options)


INK = {"item": "ink", "amount": 2}


def order(item: str, amount: int) -> Order:
    """Place an order."""
    note(f"order {item}")
    return Order(item=item, amount=amount)


async def shout(text: str) -> str:
    note(f"shout {text}")
    return text.upper()


@pytest.mark.parametrize(
    ("answer", "output_type", "expected", "effect"),
    [
        (INK, order, Order(**INK), "order ink"),
        (INK, [ToolOutput(order, name="place")], Order(**INK), "order ink"),
        ("hello", TextOutput(shout), "HELLO", "shout hello"),
    ],
)
async def test_a_function_is_called_once(answer, output_type, expected, effect):
    def made(wf):
        agent = DurableAgent(answering(answer, output_type=output_type), wf)

        async def code():
            return (await agent.run("go")).output

        return code

    assert await twice(made, effects=2) == [expected] * 2
    assert ["model 0", effect] == LOG


async def test_a_function_that_asks_the_model_again():
    def made(wf):
        def choose(item: str, amount: int) -> str:
            note(f"choose {amount}")
            if amount > 1:
                raise ModelRetry("one is enough")
            return item

        agent = DurableAgent(answering(INK, {"item": "ink", "amount": 1}, output_type=choose), wf)

        async def code():
            result = await agent.run("go")
            return result.output, "one is enough" in str(result.all_messages())

        return code

    assert await twice(made, effects=4) == [("ink", True)] * 2
    assert LOG == ["model 0", "choose 2", "model 1", "choose 1"]


async def test_a_function_that_fails_is_tried_again():
    def choose(item: str, amount: int) -> str:
        note("choose")
        if LOG.count("choose") < 3:
            raise ConnectionError
        return item

    wf = Workflow("agents", db=InMemoryStore())
    agent = DurableAgent(answering(INK, output_type=choose), wf, tool_task_config=NOW)
    assert (await agent.run("go", run_id="it")).output == "ink"
    assert LOG == ["model 0"] + ["choose"] * 3


async def test_the_answer_is_validated_again_where_that_costs_nothing():
    def made(wf):
        agent = answering("one", "two", output_type=str)

        @agent.output_validator
        def validate(ctx: RunContext, output: str) -> str:
            if output == "one":
                raise ModelRetry("another")
            return output.upper()

        durable = DurableAgent(agent, wf)

        async def code():
            return (await durable.run("go")).output

        return code

    assert await twice(made, effects=2) == ["TWO"] * 2


async def test_what_an_output_function_spends_is_counted_once():
    def made(wf):
        child = DurableAgent(answering("hm", name="child"), wf)

        async def ask(ctx: RunContext, text: str) -> str:
            return (await child.run(text, usage=ctx.usage)).output

        agent = DurableAgent(answering("what?", output_type=TextOutput(ask), name="parent"), wf)

        async def code():
            result = await agent.run("go")
            return result.output, result.usage

        return code

    first, again = await twice(made, effects=2)
    assert first == again and (first[1].requests, first[1].input_tokens) == (2, 20)


async def test_outputs_of_classes_inside_of_functions():
    class Local(BaseModel):
        item: str

    def made(wf):
        def wrap(item: str, amount: int) -> Local:
            note("wrap")
            return Local(item=item)

        agent = DurableAgent(answering(INK, output_type=wrap), wf)

        async def code():
            return (await agent.run("go")).output.item

        return code

    assert await twice(made, effects=2) == ["ink"] * 2


async def test_pictures():
    """Given by the model, and by a tool."""
    png = b"\x89PNG" + bytes(range(256)) * 1000

    def made(wf):
        def respond(messages, info):
            number = sum(isinstance(message, ModelResponse) for message in messages)
            note(f"model {number}")
            if number == 0:
                return ModelResponse(parts=[call("photo", "p")])
            return ModelResponse(parts=[FilePart(BinaryImage(data=png, media_type="image/png"))])

        model = FunctionModel(respond, profile={"supports_image_output": True})
        agent = Agent(model, output_type=BinaryImage, name="painter")

        @agent.tool_plain
        def photo() -> BinaryContent:
            note("photo")
            return BinaryContent(data=png, media_type="image/png")

        durable = DurableAgent(agent, wf)

        async def code():
            result = await durable.run("go")
            return result.output.data == png, len(pickle.dumps(result.all_messages())) > 2 * len(png)

        return code

    assert await twice(made, effects=3) == [(True, True)] * 2


async def test_a_death_in_an_output_function():
    store = InMemoryStore()

    def made(death):
        def choose(item: str, amount: int) -> str:
            note("choose")
            death("choose")
            return item

        return DurableAgent(answering(INK, output_type=choose), Workflow("agents", db=store))

    with pytest.raises(Killed):
        await made(Death("choose")).run("go", run_id="it")
    assert (await made(Death()).run("go", run_id="it")).output == "ink"
    assert LOG == ["model 0", "choose", "choose"]
