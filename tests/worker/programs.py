"""Programs for workers."""

import asyncio
import os
import signal
from pathlib import Path

from durable_ast import make_durable, wait_for_event


async def step(log, value):
    with Path(log).open("a") as file:
        file.write(f"{value}\n")
    return value


@make_durable
async def greet(log: str, name: str) -> str:
    await step(log, f"{name} begins")
    answer = await wait_for_event("answer")
    await step(log, f"{name} goes on")
    return f"{name}: {answer}"


@make_durable
async def nap(log: str, seconds: float) -> str:
    await step(log, "before")
    await asyncio.sleep(seconds)
    await step(log, "after")
    return "rested"


@make_durable
async def naps(log: str, seconds: float) -> list[str]:
    async def one(number: int) -> str:
        await step(log, f"before {number}")
        await asyncio.sleep(seconds)
        await step(log, f"after {number}")
        return str(number)

    return await asyncio.gather(one(1), one(2))


@make_durable
async def count(log: str, most: int, pause: float) -> int:
    for number in range(most):
        await step(log, number)
        await slow(pause)
    return most


async def slow(seconds):
    await asyncio.wait_for(asyncio.to_thread(__import__("time").sleep, seconds), 60)


@make_durable
async def fail(log: str) -> None:
    await step(log, "fails")
    raise LookupError("gone")


@make_durable
async def poison(log: str) -> None:
    await step(log, "drinks")
    await kill(log)


async def kill(log):
    await step(log, "dies")
    os.kill(os.getpid(), signal.SIGKILL)


class Unsavable:
    def __reduce__(self):
        raise TypeError("it lives here only")


@make_durable
async def unsavable(log: str) -> None:
    held = Unsavable()
    await step(log, "holds")
    await wait_for_event("never")
    assert held
