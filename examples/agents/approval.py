"""An agent that may pay only what a person has approved, today or next week.

python -m examples.agents.approval            asks, and ends: no process is needed to wait
python -m examples.agents.approval list       shows what waits for a decision
python -m examples.agents.approval yes        decides; the next start goes on
python -m examples.agents.approval            pays what was approved
"""

import asyncio
import sys

from pydantic_ai import Agent
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart, ToolReturnPart
from pydantic_ai.models.function import AgentInfo, FunctionModel

from durable_ast import Status, Workflow
from durable_ast.pydantic_ai import DurableAgent, TaskConfig


def model(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
    returned = [part.content for part in messages[-1].parts if isinstance(part, ToolReturnPart)]
    if returned:
        return ModelResponse(parts=[TextPart(f"Done: {returned[0]}")])
    print("the model is asked", flush=True)
    return ModelResponse(parts=[ToolCallPart("pay", {"invoice": 7, "amount": 12_500}, tool_call_id="pay-7")])


agent = Agent(FunctionModel(model), name="clerk")


@agent.tool_plain(requires_approval=True, metadata={"durable": TaskConfig(at_most_once=True)})
async def pay(invoice: int, amount: int) -> str:
    """Pay an invoice."""
    print(f"paid {amount}", flush=True)
    return f"invoice {invoice} is paid"


wf = Workflow("clerk", db="clerk.db")
clerk = DurableAgent(agent, wf)


async def run() -> None:
    async with wf:
        handle = await clerk.start("Pay invoice 7.", run_id="invoice-7")
        while await handle.status() in (Status.ENQUEUED, Status.RUNNING):
            await asyncio.sleep(0.05)
        waits_for = await clerk.pending("invoice-7")
        print("waits for " + ", ".join(waits_for) if waits_for else (await handle.result()).output)


async def decide(word: str) -> None:
    for name, question in (await clerk.pending("invoice-7")).items():
        print(name, question["tool"], question["args"])
        if word == "yes":
            await clerk.approve("invoice-7", question["tool_call_id"], sha=question["sha"], by="Ada")
        elif word == "no":
            await clerk.deny("invoice-7", question["tool_call_id"], "not this month", by="Ada")


if __name__ == "__main__":
    asyncio.run(decide(sys.argv[1]) if sys.argv[1:] else run())
