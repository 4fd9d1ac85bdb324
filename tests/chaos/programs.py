"""What the workers run; each effect is a line of an append-only log."""

import asyncio
import os

from durable_ast import make_durable, wait_for_event
from durable_ast.runtime.signals import send

LETTERS = 3
STEPS = 2 * LETTERS


async def note(instance: int, line: str) -> None:
    """A step: one write, which other processes cannot split."""
    descriptor = os.open(os.environ["CHAOS_LOG"], os.O_WRONLY | os.O_APPEND)
    try:
        os.write(descriptor, f"{os.getpid()} {instance} {line}\n".encode())
    finally:
        os.close(descriptor)


async def side(instance: int, arm: str) -> str:
    await note(instance, f"{arm} 0")
    await asyncio.sleep(0.05)
    await note(instance, f"{arm} 1")
    return arm


@make_durable
async def journey(instance: int) -> list[object]:
    """Timers, messages from outside and from the other instance of its pair, and branches."""
    got: list[object] = []
    for leg in range(LETTERS):
        await note(instance, f"main {2 * leg}")
        await asyncio.sleep(0.02 * (instance % 10))
        got.append(await wait_for_event("letter"))
        await note(instance, f"main {2 * leg + 1}")
        await send(f"journey-{instance ^ 1}", "leg", leg)
    for _ in range(LETTERS):
        got.append(await wait_for_event("leg"))
    got += await asyncio.gather(side(instance, "left"), side(instance, "right"))
    return got
