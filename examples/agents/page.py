"""An agent on a web page: AG-UI to talk to it, server-sent events to follow a run from anywhere.

uvicorn examples.agents.page:app
curl -N localhost:8000/follow/run-1                  a page that lost its connection sends the header
curl -N localhost:8000/follow/run-1 -H 'Last-Event-ID: 3'

A run that dies in the middle of its answer goes on when it is asked for again; who follows is told
by an event of kind ``stream_reset`` to drop the half that came before.
"""

import json
from collections.abc import AsyncIterator

from pydantic_ai import Agent
from pydantic_ai.messages import ModelMessage
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.ui.ag_ui import AGUIAdapter
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from durable_ast import Workflow
from durable_ast.pydantic_ai import DurableAgent


async def speak(messages: list[ModelMessage], info: AgentInfo) -> AsyncIterator[str]:
    for word in ("It ", "is ", "twelve ", "degrees."):
        yield word


wf = Workflow("page", db="page.db")
agent = DurableAgent(Agent(FunctionModel(stream_function=speak), name="speaker"), wf, publish_events=True)


async def talk(request: Request) -> Response:
    """The endpoint of AG-UI: its run id is the id of the run."""
    run_input = AGUIAdapter.build_run_input(await request.body())
    adapter = AGUIAdapter(agent=agent, run_input=run_input, accept=request.headers.get("accept"))
    return adapter.streaming_response(adapter.run_stream(run_id=run_input.run_id))


async def follow(request: Request) -> Response:
    """The events of a run as server-sent events, from the last one that was seen on."""
    run_id = request.path_params["run_id"]
    seen = int(request.headers.get("last-event-id", 0))

    async def lines() -> AsyncIterator[str]:
        async for number, event in agent.events(run_id, after=seen):
            yield f"id: {number}\ndata: {json.dumps(event)}\n\n"

    return StreamingResponse(lines(), media_type="text/event-stream")


app = Starlette(
    routes=[Route("/talk", talk, methods=["POST"]), Route("/follow/{run_id}", follow)],
    lifespan=wf.lifespan,
)
