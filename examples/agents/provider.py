"""An agent with a real model: set AGENT_MODEL, such as ``openai:gpt-5.2``, and the provider's key.

python -m examples.agents.provider "What is durable execution?"
"""

import asyncio
import os
import sys

from pydantic_ai import Agent

from durable_ast import Workflow
from durable_ast.backoff import exponential
from durable_ast.pydantic_ai import DurableAgent, TaskConfig

wf = Workflow("provider", db="provider.db")


async def main(question: str) -> None:
    model = os.environ.get("AGENT_MODEL")
    if model is None:
        sys.exit("set AGENT_MODEL to the name of a model, such as openai:gpt-5.2, and the key that it needs")
    agent = DurableAgent(
        Agent(model, name="expert", instructions="Answer in one sentence."),
        wf,
        model_task_config=TaskConfig(retries=5, backoff=exponential(max=120), timeout=60),
    )
    print((await agent.run(question)).output)


if __name__ == "__main__":
    asyncio.run(main(" ".join(sys.argv[1:]) or "What is durable execution?"))
