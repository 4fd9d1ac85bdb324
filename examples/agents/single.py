"""An agent is asked once, however often the program is started.

python -m examples.agents.single          asks the model
python -m examples.agents.single          gives the stored answer: the model is not asked
"""

import asyncio

from pydantic import BaseModel
from pydantic_ai import Agent, RunContext
from pydantic_ai.messages import ModelMessage, ModelResponse, ToolCallPart
from pydantic_ai.models.function import AgentInfo, FunctionModel

from durable_ast import Workflow
from durable_ast.pydantic_ai import DurableAgent, idempotency_key


class Forecast(BaseModel):
    city: str
    degrees: int


def model(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
    """Stands for a model that costs money: looks at the thermometer first, then answers."""
    print("the model is asked", flush=True)
    if len(messages) == 1:
        return ModelResponse(parts=[ToolCallPart("thermometer", {"city": "Ghent"})])
    return ModelResponse(parts=[ToolCallPart(info.output_tools[0].name, {"city": "Ghent", "degrees": 12})])


agent = Agent(FunctionModel(model), name="weather", output_type=Forecast)


@agent.tool
async def thermometer(ctx: RunContext, city: str) -> int:
    """The temperature in a city, from a service that can tell by a key that it was asked the same before."""
    print(f"the thermometer in {city} is read", flush=True)
    assert idempotency_key(ctx)
    return 12


weather = DurableAgent(agent, Workflow("weather", db="weather.db"))


async def main() -> None:
    result = await weather.run("How warm is it in Ghent?", run_id="ghent")
    print(f"{result.output.city}: {result.output.degrees} degrees, {result.usage.requests} requests")


if __name__ == "__main__":
    asyncio.run(main())
