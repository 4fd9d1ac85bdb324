"""An agent whose process dies in the middle of five tools that run at once.

python -m examples.agents.killed          dies when three of them have finished
python -m examples.agents.killed          runs the other two, and answers
"""

import asyncio
import os

from pydantic_ai import Agent
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart, ToolReturnPart
from pydantic_ai.models.function import AgentInfo, FunctionModel

from durable_ast import Workflow
from durable_ast.pydantic_ai import DurableAgent


def model(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
    returned = [str(part.content) for part in messages[-1].parts if isinstance(part, ToolReturnPart)]
    if returned:
        return ModelResponse(parts=[TextPart(f"read {', '.join(returned)}")])
    print("the model is asked", flush=True)
    return ModelResponse(parts=[ToolCallPart("read", {"page": page}) for page in range(5)])


agent = Agent(FunctionModel(model), name="reader")


@agent.tool_plain
async def read(page: int) -> str:
    """A page of the book."""
    await asyncio.sleep(0.2 * page)
    if page == 3 and not os.path.exists("died"):
        with open("died", "w"):
            os._exit(9)
    print(f"page {page} is read", flush=True)
    return f"page {page}"


reader = DurableAgent(agent, Workflow("reader", db="reader.db"))


async def main() -> None:
    print((await reader.run("Read the book.", run_id="book")).output)


if __name__ == "__main__":
    asyncio.run(main())
