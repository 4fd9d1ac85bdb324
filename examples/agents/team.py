"""Three agents at work on one thing: a plan, research side by side, a summary.

python -m examples.agents.team            dies before the summary
python -m examples.agents.team            only the summary is left to do
"""

import asyncio
import os

from pydantic import BaseModel
from pydantic_ai import Agent
from pydantic_ai.models.test import TestModel

from durable_ast import Workflow
from durable_ast.pydantic_ai import DurableAgent, durable_pipeline, durable_tool

wf = Workflow("team", db="team.db")


class Plan(BaseModel):
    questions: list[str]


@durable_tool(wf, retries=3)
async def look_up(question: str) -> str:
    """What the library knows."""
    print(f"look up: {question}", flush=True)
    return f"{question}: yes"


plan = TestModel(custom_output_args={"questions": ["Is it old?", "Is it big?"]})
planner = DurableAgent(Agent(plan, name="planner", output_type=Plan), wf)
researcher = DurableAgent(Agent(TestModel(), name="researcher"), wf)
writer = DurableAgent(Agent(TestModel(custom_output_text="Old and big."), name="writer"), wf)


async def research(question: str) -> str:
    found = await look_up(question)
    return str((await researcher.run(f"Explain: {found}")).output)


@durable_pipeline(wf, id="study-{topic}")
async def study(topic: str) -> str:
    plan = await planner.run(f"Plan a study of {topic}.")
    print(f"plan: {len(plan.output.questions)} questions", flush=True)
    findings = await asyncio.gather(*(research(question) for question in plan.output.questions))
    if not os.path.exists("died"):
        with open("died", "w"):
            os._exit(9)
    summary = await writer.run("\n".join(findings))
    return str(summary.output)


if __name__ == "__main__":
    print(asyncio.run(study("Ghent")))
