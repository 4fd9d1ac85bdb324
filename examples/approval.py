"""A run waits for a person, who answers through a web page; it needs no process meanwhile.

uvicorn examples.approval:app
curl -X POST localhost:8000/orders/100
curl -X POST localhost:8000/approve/order-100 -d '{"approved": true, "by": "Alice"}'
curl localhost:8000/orders/100

python examples/approval.py          asks and answers itself; kill it, and start it again
"""

import asyncio
import sys

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from durable_ast import Workflow

wf = Workflow("approvals", db="approvals.db")


@wf.task
async def validate(order_id: str) -> dict[str, object]:
    print(f"validate {order_id}", flush=True)
    await asyncio.sleep(0.1)
    return {"order": order_id, "total": 12_500}


@wf.task
async def fulfill(order: dict[str, object], by: str) -> str:
    print(f"fulfill {order['order']}", flush=True)
    await asyncio.sleep(0.1)
    return f"fulfilled, approved by {by}"


@wf.workflow(id="order-{order_id}")
async def process(order_id: str) -> str:
    order = await validate(order_id)
    print(f"{order_id} waits for an answer", flush=True)
    answer = await wf.signal("approval", timeout=7 * 86400)
    if not answer["approved"]:
        return "rejected"
    return await fulfill(order, answer["by"])


async def start(request: Request) -> JSONResponse:
    handle = await wf.start(process, request.path_params["order_id"])
    return JSONResponse({"run": handle.id}, status_code=202)


async def show(request: Request) -> JSONResponse:
    run = await wf.handle(f"order-{request.path_params['order_id']}").info()
    return JSONResponse({"run": run.id, "status": run.status, "waits_for": run.awaited})


async def approve(request: Request) -> JSONResponse:
    taken = await wf.complete(request.path_params["run_id"], "approval", await request.json())
    return JSONResponse({"taken": taken})


app = Starlette(
    routes=[
        Route("/orders/{order_id}", start, methods=["POST"]),
        Route("/orders/{order_id}", show),
        Route("/approve/{run_id}", approve, methods=["POST"]),
    ],
    lifespan=wf.lifespan,
)


async def main(answer: bool) -> None:
    async with wf:
        handle = await wf.start(process, "100")
        if answer:
            await wf.complete(handle.id, "approval", {"approved": True, "by": "Alice"})
        print(await handle.result())


if __name__ == "__main__":
    asyncio.run(main(answer=sys.argv[1:] == ["yes"]))
