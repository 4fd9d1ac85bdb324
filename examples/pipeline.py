"""Tasks one after the other: killed between any two, the run goes on with the next.

python examples/pipeline.py          kill it, and start it again
"""

import asyncio
from dataclasses import dataclass

from durable_ast import Workflow

wf = Workflow("pipeline", db="pipeline.db")


@dataclass
class Invoice:
    customer: str
    amount: float


@wf.task
async def fetch_customer(order_id: str) -> str:
    print(f"fetch the customer of {order_id}", flush=True)
    await asyncio.sleep(0.2)
    return f"{order_id}@example.com"


@wf.task
async def make_invoice(customer: str) -> Invoice:
    print(f"make an invoice for {customer}", flush=True)
    await asyncio.sleep(0.2)
    return Invoice(customer, 49.99)


@wf.task
async def send(invoice: Invoice) -> None:
    print(f"send {invoice.amount} to {invoice.customer}", flush=True)
    await asyncio.sleep(0.2)


@wf.workflow(id="order-{order_id}")
async def process_order(order_id: str) -> Invoice:
    customer = await fetch_customer(order_id)
    invoice = await make_invoice(customer)
    await send(invoice)
    return invoice


async def main() -> None:
    print(await process_order("42"))
    print(await process_order(order_id="42"), "again, and nothing runs")


if __name__ == "__main__":
    asyncio.run(main())
