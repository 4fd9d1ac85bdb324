"""An agent that is killed: `python -m tests.agents.victim DATABASE LOG`."""

import asyncio
import os
import sys

from pydantic_ai import Agent
from pydantic_ai.messages import ModelResponse, TextPart
from pydantic_ai.models.function import FunctionModel

from durable_ast import Workflow
from durable_ast.pydantic_ai import DurableAgent

from .scripted import call, returns

TURNS = 6


def log(line: str) -> None:
    with open(sys.argv[2], "a") as file:
        file.write(f"{os.getpid()} {line}\n")


def model(messages, info):
    turn = sum(isinstance(message, ModelResponse) for message in messages)
    log(f"model {turn}")
    if turn < TURNS:
        return ModelResponse(parts=[call("work", f"work-{turn}", turn=turn)])
    if turn == TURNS:
        return ModelResponse(parts=[call("pay", "pay")])
    return ModelResponse(parts=[TextPart(" ".join(map(str, returns(messages).values())))])


agent = Agent(FunctionModel(model), name="victim")


@agent.tool_plain
async def work(turn: int) -> int:
    await asyncio.sleep(0.01)
    log(f"work {turn}")
    return turn


@agent.tool_plain(requires_approval=True)
def pay() -> str:
    log("pay")
    return "paid"


async def main() -> None:
    durable = DurableAgent(agent, Workflow("victim", db=sys.argv[1]))
    log(f"result {(await durable.run('go', run_id='it')).output}")


if __name__ == "__main__":
    asyncio.run(main())
