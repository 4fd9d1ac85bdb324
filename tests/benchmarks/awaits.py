"""What an await costs in memory, beside the plain coroutine."""

import asyncio
import itertools
from time import process_time

from durable_ast import Durability, DurableBackend, make_durable

from .measure import Row, Table, fastest, times

AWAITS = 20_000
_ids = itertools.count()


async def step(number: int) -> int:
    """A step that does not suspend."""
    return number


async def turn(number: int) -> int:
    """A step that lets the event loop turn."""
    await asyncio.sleep(0)
    return number


async def steps(count: int) -> int:
    """Nothing but awaits of steps."""
    total = 0
    for number in range(count):
        total += await step(number)
    return total


async def turns(count: int) -> int:
    """Awaits that suspend."""
    total = 0
    for number in range(count):
        total += await turn(number)
    return total


async def inner(number: int) -> int:
    """A frame with one step."""
    return await step(number)


async def frames(count: int) -> int:
    """Awaits of frames that await steps."""
    total = 0
    for number in range(count):
        total += await inner(number)
    return total


def measure() -> Table:
    """Time each shape plainly, with checkpoints at pauses only, and with a checkpoint a step."""
    rows = []
    for function in (steps, turns, frames):
        plainly = fastest(lambda function=function: asyncio.run(function(AWAITS)), clock=process_time)
        rows.append(Row(f"{function.__name__}, plain", _each(plainly)))
        for durability, count in ((Durability.PAUSES, AWAITS), (Durability.STRICT, AWAITS // 10)):
            program = make_durable(function, durability=durability)
            seconds = fastest(lambda program=program, count=count: _run(program, count), clock=process_time)
            seconds *= AWAITS / count
            rows.append(Row(f"{function.__name__}, {durability.name}", _each(seconds), times(seconds / plainly)))
    return Table("An await in memory", "beside the plain coroutine", rows)


def _run(program, count: int) -> None:
    asyncio.run(program(count, orchestration_backend=DurableBackend(), instance_id=f"it-{next(_ids)}"))


def _each(seconds: float) -> str:
    return f"{seconds / AWAITS * 1e9:,.0f} ns"
