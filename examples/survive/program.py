"""The month end of a small shop: plain async Python, as one would write it without durability.

It reads the orders, charges every customer, waits until somebody approves the sum, and sends the
invoices.  The outside world is `world`; each call of it takes a moment, and leaves a trace there.
"""

from __future__ import annotations

import csv
import json
from asyncio import to_thread
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from durable_ast import wait_for_event

from . import world

HERE = Path(__file__).parent


@dataclass
class Invoice:
    customer: str
    lines: list[str] = field(default_factory=list)
    cents: int = 0
    paid: bool = False


def read_orders(month: str) -> Iterator[dict[str, str]]:
    with (HERE / "orders.csv").open() as file:
        for row in csv.DictReader(file):
            if row["date"].startswith(month):
                yield row


async def month_end(month: str) -> dict[str, object]:
    """Bill the orders of a month, such as ``2026-10``; gives what was done."""
    customers = json.loads((HERE / "customers.json").read_text())
    orders = list(read_orders(month))
    batch = await to_thread(world.open_batch, month)
    sent = 0
    try:
        invoices = []
        for customer in customers:
            own = [order for order in orders if order["customer"] == customer["id"]]
            if own:
                invoices.append(await bill(customer, own))
        total = sum(invoice.cents for invoice in invoices)
        if await approved(total):
            for invoice in invoices:
                await deliver(invoice)
                sent += 1
    finally:
        await to_thread(world.close_batch, batch)
    unpaid = [invoice.customer for invoice in invoices if not invoice.paid]
    return {"month": month, "invoices": sent, "cents": total, "unpaid": unpaid}


async def bill(customer: dict[str, str], orders: list[dict[str, str]]) -> Invoice:
    invoice = Invoice(customer["name"])
    for order in orders:
        cents = await price(order["item"], int(order["count"]))
        invoice.lines.append(f"{order['count']} x {order['item']}: {cents}")
        invoice.cents += cents
    try:
        await to_thread(world.charge, customer["card"], invoice.cents)
        invoice.paid = True
    except world.CardDeclined as declined:
        await to_thread(world.remind, customer["id"], str(declined))
    return invoice


async def price(item: str, count: int) -> int:
    quoted = await to_thread(world.quote, item)
    return count * quoted * (95 if count >= 10 else 100) // 100


async def approved(total: int) -> bool:
    if total < 100_00:
        return True
    answer = await wait_for_event("approved")
    return bool(answer["yes"])


async def deliver(invoice: Invoice) -> None:
    text = "\n".join([invoice.customer, *invoice.lines, f"total {invoice.cents}"])
    await to_thread(world.send_letter, invoice.customer, text)
